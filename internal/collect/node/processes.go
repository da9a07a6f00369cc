package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

// Limits of the collector processes.
const (
	maxProcesses       = 200_000 // listed; more are not looked at
	maxProcessFile     = 64 << 10
	maxProcessArgs     = 4 << 10
	maxProcessFiles    = 10_000           // open files counted by listing them
	processSample      = time.Second      // between the two readings of CPU time
	processMinSample   = time.Second / 10 // a shorter one says nothing: CPU time is in 1/100 s
	processHangWait    = time.Second      // for the memory lock of one process
	processHangMost    = 4
	processListBytes   = 20 << 20 // of processes.jsonl
	processTableBytes  = 8 << 20  // of ps.txt
	processOutputBytes = 32 << 20
)

func processesCollector() collect.Collector { return processesSampled(processSample) }

// processesSampled is the collector with CPU use measured over sample.
func processesSampled(sample time.Duration) collect.Collector {
	return collect.Collector{
		Name: "processes",
		Doc:  "every process with its CPU, memory, IO, threads, state, wait channel and pod, as a tree, from /proc/PID",
		Size: processOutputBytes,
		Run: func(ctx context.Context, env *collect.Env, out collect.Output) error {
			return collectProcesses(ctx, env, out, sample)
		},
	}
}

// A process is a line of processes.jsonl. Pointers are nil where the kernel does not tell,
// or not to us.
type process struct {
	PID              int32     `json:"pid"`
	PPID             int32     `json:"ppid"`
	PIDInNamespace   int64     `json:"pidInNamespace,omitempty"` // in its own PID namespace, when that is another one
	PIDNamespace     string    `json:"pidNamespace,omitempty"`
	UID              *int64    `json:"uid,omitempty"` // effective
	User             string    `json:"user,omitempty"`
	State            string    `json:"state"` // R, S, D, Z, T, t, I, X as in ps
	Stat             string    `json:"stat"`  // State with the flags of ps
	Comm             string    `json:"comm"`
	Args             string    `json:"args,omitempty"`
	ArgsCut          bool      `json:"argsCut,omitempty"` // Args are the first 4 KiB
	ArgsError        string    `json:"argsError,omitempty"`
	KernelThread     bool      `json:"kernelThread,omitempty"`
	Started          time.Time `json:"started,omitzero"`
	CPUSeconds       float64   `json:"cpuSeconds"`
	CPUPercent       float64   `json:"cpuPercent"`                 // of one CPU, since its start
	CPUPercentSample *float64  `json:"cpuPercentSample,omitempty"` // of one CPU, in the last second or more
	RSSBytes         int64     `json:"rssBytes"`
	VSZBytes         int64     `json:"vszBytes"`
	SwapBytes        int64     `json:"swapBytes"`
	MemoryPercent    float64   `json:"memoryPercent"`
	MajorFaults      uint64    `json:"majorFaults"`
	Threads          int       `json:"threads"`
	Nice             int       `json:"nice"`
	ReadBytes        *uint64   `json:"readBytes,omitempty"`
	WriteBytes       *uint64   `json:"writeBytes,omitempty"`
	IODelaySeconds   float64   `json:"ioDelaySeconds,omitempty"` // waited for block devices; needs delay accounting
	OpenFiles        *int64    `json:"openFiles,omitempty"`
	OpenFilesMore    bool      `json:"openFilesMore,omitempty"` // there are more than OpenFiles
	OOMScoreAdj      *int      `json:"oomScoreAdj,omitempty"`
	WaitChannel      string    `json:"waitChannel,omitempty"`
	Cgroup           string    `json:"cgroup,omitempty"`
	PodUID           string    `json:"podUID,omitempty"`
	ContainerID      string    `json:"containerID,omitempty"`
}

func collectProcesses(ctx context.Context, env *collect.Env, out collect.Output, sample time.Duration) error {
	began := time.Now()
	nodes, err := processNodes(ctx, env, began)
	if err != nil {
		return err
	}
	if len(nodes) == 0 {
		return collect.Skip("no processes below /proc")
	}
	if err := pause(ctx, sample); err != nil {
		return err
	}
	w, err := newProcessWriter(out)
	if err != nil {
		return err
	}
	r, sum := newProcessReader(ctx, env, began), newProcessSummary(env)
	for i, branches := range processForest(nodes) {
		if err = context.Cause(ctx); err != nil {
			break
		}
		p, gone := r.read(nodes[i])
		if gone != nil {
			sum.Gone++
			continue
		}
		sum.add(p)
		if err = w.write(p, branches, r.now); err != nil {
			break
		}
	}
	r.warn()
	w.warn(env.Log)
	sum.Complete, sum.Listed = err == nil, sum.Total-w.list.lost
	return errors.Join(err, w.close(), writeJSON(out, "processes.json", sum))
}

// processNodes reads the CPU time of all processes, sorted by process ID.
func processNodes(ctx context.Context, env *collect.Env, began time.Time) ([]processNode, error) {
	pids, err := processIDs(env)
	if err != nil {
		return nil, err
	}
	nodes := make([]processNode, 0, len(pids))
	for _, pid := range pids {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		data, _ := env.Host.ReadFile(fmt.Sprintf("/proc/%d/stat", pid), maxProcessFile)
		// One that vanished since it was listed has no stat.
		if s, err := parseProcessStat(data); err == nil {
			nodes = append(nodes, processNode{pid, s.ppid, s.ticks, s.start, time.Since(began)})
		}
	}
	return nodes, nil
}

func processIDs(env *collect.Env) ([]int32, error) {
	entries, err := env.Host.ReadDir("/proc", maxProcesses)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, collect.Skip("no /proc")
		}
		if len(entries) == 0 {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		env.Log.Warn("list processes", "listed", len(entries), "err", err)
	}
	pids := make([]int32, 0, len(entries))
	for _, e := range entries {
		if pid, err := strconv.ParseInt(e.Name(), 10, 32); err == nil && pid > 0 {
			pids = append(pids, int32(pid))
		}
	}
	slices.Sort(pids)
	return pids, nil
}
