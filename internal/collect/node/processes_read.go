package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

// A processReader reads the details of one process after the other.
type processReader struct {
	ctx    context.Context
	env    *collect.Env
	began  time.Time
	guard  hangGuard
	users  map[int64]string
	boot   time.Time // zero when unknown
	now    time.Time // of the host's clock; zero when unknown
	memory int64     // bytes of the host; 0 when unknown
	hung   []int32   // processes that hold their memory lock
	denied int       // processes whose IO may not be read
}

func newProcessReader(ctx context.Context, env *collect.Env, began time.Time) *processReader {
	r := &processReader{ctx: ctx, env: env, began: began, guard: hangGuard{wait: processHangWait, most: processHangMost}}
	read := func(path string) []byte {
		data, err := env.Host.ReadFile(path, 1<<20)
		if err != nil {
			env.Log.Warn("read file", "path", path, "err", err)
		}
		return data
	}
	r.users = parseProcessUsers(read("/etc/passwd"))
	r.memory = 1024 * processNumber(read("/proc/meminfo"), "MemTotal:")
	if btime := processNumber(read("/proc/stat"), "btime"); btime > 0 {
		r.boot = time.Unix(btime, 0).UTC()
		uptime, _, _ := strings.Cut(string(read("/proc/uptime")), " ")
		if up, err := strconv.ParseFloat(uptime, 64); err == nil && up >= 0 && up < 1e9 {
			r.now = r.boot.Add(time.Duration(up * float64(time.Second)))
		}
	}
	return r
}

// processNumber returns the number that follows key at the start of a line, or 0.
func processNumber(data []byte, key string) int64 {
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == key {
			n, err := strconv.ParseInt(fields[1], 10, 48)
			if err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

// read returns all that can be known of a process, or an error when it is gone.
func (r *processReader) read(n processNode) (*process, error) {
	data, err := r.env.Host.ReadFile(processPath(n.pid, "stat"), maxProcessFile)
	if err != nil {
		return nil, err
	}
	s, err := parseProcessStat(data)
	if err != nil {
		return nil, err
	}
	p := &process{
		PID: s.pid, PPID: s.ppid, State: string(s.state), Comm: s.comm, KernelThread: s.kernel,
		Threads: s.threads, Nice: s.nice, MajorFaults: s.majorFaults,
		CPUSeconds: float64(s.ticks) / processTicks, IODelaySeconds: float64(s.blockIODelays) / processTicks,
	}
	p.Stat = processStatFlags(s)
	r.times(p, s, n)
	r.owner(p)
	r.links(p)
	if !s.kernel && s.state != 'Z' {
		r.args(p)
	}
	r.io(p)
	return p, nil
}

func processPath(pid int32, file string) string {
	return "/proc/" + strconv.Itoa(int(pid)) + "/" + file
}

// processStatFlags is the STAT column of ps(1).
func processStatFlags(s processStat) string {
	flags := string(s.state)
	switch {
	case s.nice < 0:
		flags += "<"
	case s.nice > 0:
		flags += "N"
	}
	if s.session == s.pid {
		flags += "s"
	}
	if s.threads > 1 {
		flags += "l"
	}
	if s.foreground > 0 && s.foreground == s.group {
		flags += "+"
	}
	return flags
}

// times fills what needs the clock: start and CPU use.
func (r *processReader) times(p *process, s processStat, before processNode) {
	const tick = time.Second / processTicks
	if !r.boot.IsZero() && s.start < 1e12 {
		p.Started = r.boot.Add(time.Duration(s.start) * tick)
	}
	if alive := r.now.Sub(p.Started).Seconds(); !r.now.IsZero() && !p.Started.IsZero() && alive > 0 {
		p.CPUPercent = processRound(100 * p.CPUSeconds / alive)
	}
	span := time.Since(r.began) - before.at
	if span >= processMinSample && s.start == before.start && s.ticks >= before.ticks {
		percent := processRound(100 * float64(s.ticks-before.ticks) / processTicks / span.Seconds())
		p.CPUPercentSample = &percent
	}
}

// processRound rounds to a hundredth.
func processRound(v float64) float64 { return float64(int64(v*100+0.5)) / 100 }

// owner fills what status tells: user, memory and namespace.
func (r *processReader) owner(p *process) {
	status := parseProcessStatus(r.file(p.PID, "status"))
	if status.uid >= 0 {
		p.UID, p.User = &status.uid, r.users[status.uid]
	}
	p.RSSBytes, p.VSZBytes, p.SwapBytes = status.rss, status.vsz, status.swap
	if r.memory > 0 {
		p.MemoryPercent = processRound(100 * float64(status.rss) / float64(r.memory))
	}
	if status.pidInNamespace != int64(p.PID) {
		p.PIDInNamespace = status.pidInNamespace
	}
}

// links fills what small files and links of the process tell.
func (r *processReader) links(p *process) {
	// A link that may not be read is normal: it needs the right to trace the process.
	p.PIDNamespace, _ = r.env.Host.ReadLink(processPath(p.PID, "ns/pid"))
	p.Cgroup = parseProcessCgroup(r.file(p.PID, "cgroup"))
	p.PodUID, p.ContainerID = parseProcessPod(p.Cgroup)
	if wchan := strings.TrimSpace(string(r.file(p.PID, "wchan"))); wchan != "0" {
		p.WaitChannel = wchan
	}
	if adj, err := strconv.Atoi(strings.TrimSpace(string(r.file(p.PID, "oom_score_adj")))); err == nil {
		p.OOMScoreAdj = &adj
	}
	r.openFiles(p)
}

// openFiles counts the open files; a process that may not be traced does not tell.
func (r *processReader) openFiles(p *process) {
	if p.KernelThread {
		return
	}
	entries, err := r.env.Host.ReadDir(processPath(p.PID, "fd"), maxProcessFiles)
	if len(entries) > 0 || err == nil {
		n := int64(len(entries))
		p.OpenFiles, p.OpenFilesMore = &n, err != nil
	}
}

// file returns a file of the process, or nothing: it may have ended, or may not be ours to read.
func (r *processReader) file(pid int32, name string) []byte {
	data, _ := r.env.Host.ReadFile(processPath(pid, name), maxProcessFile)
	return data
}

// guardedFile is file for those that the kernel reads under a lock of the process, which
// may be held for ever.
func (r *processReader) guardedFile(pid int32, name string, limit int64) ([]byte, error) {
	data, err := guarded(r.ctx, &r.guard, func() ([]byte, error) {
		return r.env.Host.ReadFile(processPath(pid, name), limit)
	})
	if errors.Is(err, errHung) {
		r.hung = append(r.hung, pid)
	}
	return data, err
}

// args fills the command line.
func (r *processReader) args(p *process) {
	data, err := r.guardedFile(p.PID, "cmdline", maxProcessArgs)
	if errors.Is(err, errHung) || errors.Is(err, errGaveUp) {
		p.ArgsError = err.Error()
	}
	p.ArgsCut = errors.Is(err, host.ErrTooLarge)
	p.Args = snapshotText(processArgs(data))
}

// processArgs joins arguments by blanks. Those with blanks of their own are quoted, for a
// person to see where they end and for redaction, too. A process that set its title has
// blanks and no separators.
func processArgs(data []byte) string {
	args := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
	for i, a := range args {
		if len(args) > 1 && strings.ContainsAny(a, " \t\n") {
			args[i] = strconv.Quote(a)
		}
	}
	return strings.Join(args, " ")
}

// io fills the bytes read and written. They need the right to trace the process.
func (r *processReader) io(p *process) {
	data, err := r.guardedFile(p.PID, "io", maxProcessFile)
	if errors.Is(err, fs.ErrPermission) {
		r.denied++
	}
	if io, ok := parseProcessIO(data); ok {
		p.ReadBytes, p.WriteBytes = &io.read, &io.written
	}
}

// warn tells what could not be read of many processes.
func (r *processReader) warn() {
	if len(r.hung) > 0 {
		r.env.Log.Warn("processes whose memory lock is held: reading them hangs", "pids", fmt.Sprint(r.hung))
	}
	if r.guard.hung >= r.guard.most {
		r.env.Log.Warn("command lines and IO of the processes after these were not read", "hung", r.guard.hung)
	}
	if r.denied > 0 {
		r.env.Log.Warn("IO counters need CAP_SYS_PTRACE", "processes", r.denied)
	}
}
