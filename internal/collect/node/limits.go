package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

func limitsCollector() collect.Collector {
	return collect.Collector{
		Name: "limits",
		Doc:  "kernel settings that end processes or nodes, limits and how much of them is used, OOM scores of kubelet and runtime, from /proc",
		Size: 4 << 20,
		Run:  collectLimits,
	}
}

// limitsSettings are files below /proc/sys, or globs of such.
var limitsSettings = []string{
	"vm/panic_on_oom", "vm/oom_kill_allocating_task", "vm/oom_dump_tasks",
	"vm/overcommit_memory", "vm/overcommit_ratio", "vm/min_free_kbytes", "vm/swappiness", "vm/max_map_count",
	"kernel/panic", "kernel/panic_on_oops", "kernel/panic_on_warn", "kernel/panic_on_rcu_stall",
	"kernel/panic_on_io_nmi", "kernel/panic_on_unrecovered_nmi", "kernel/hung_task_*", "kernel/softlockup_panic",
	"kernel/pid_max", "kernel/threads-max",
	"fs/inotify/*", "fs/file-max", "fs/file-nr", "fs/nr_open",
	"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/bridge/bridge-nf-call-iptables",
	"net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_buckets",
	"net/ipv4/neigh/default/gc_thresh[123]", "net/ipv6/neigh/default/gc_thresh[123]",
	"net/core/somaxconn", "net/core/netdev_max_backlog", "net/ipv4/tcp_max_syn_backlog", "net/ipv4/ip_local_port_range",
}

// limitsProcesses are the names, as in /proc/PID/comm, of the processes whose death takes
// the node down.
var limitsProcesses = []string{"kubelet", "containerd", "dockerd", "crio"}

// limitsFacts is limits.json.
type limitsFacts struct {
	Settings  map[string]string `json:"settings"`          // by the name that sysctl(8) uses; text as in the file
	Missing   []string          `json:"missing,omitempty"` // settings and globs that this kernel does not have
	Usage     []limitsUsage     `json:"usage"`
	Tasks     limitsTasks       `json:"tasks"`
	Processes []limitsProcess   `json:"processes"` // kubelet and runtime
}

// A limitsUsage is how much of a limit is in use.
type limitsUsage struct {
	Name  string  `json:"name"`
	Used  uint64  `json:"used"`
	Max   uint64  `json:"max"`
	Ratio float64 `json:"ratio"`
	Limit string  `json:"limit"` // the settings that make it
}

type limitsTasks struct {
	Processes uint64 `json:"processes"` // kernel threads included
	Threads   uint64 `json:"threads"`   // of all processes
	Runnable  uint64 `json:"runnable"`
	Blocked   uint64 `json:"blocked"`        // waiting for I/O
	Forks     uint64 `json:"forksSinceBoot"` // threads included
}

type limitsProcess struct {
	PID         int                    `json:"pid"`
	Name        string                 `json:"name"`
	OOMScoreAdj string                 `json:"oomScoreAdj,omitempty"`
	OOMScore    string                 `json:"oomScore,omitempty"`
	Limits      map[string]limitsRange `json:"limits,omitempty"` // names as in /proc/PID/limits
}

// A limitsRange holds numbers, or "unlimited".
type limitsRange struct {
	Soft string `json:"soft"`
	Hard string `json:"hard"`
	Unit string `json:"unit,omitempty"`
}

func collectLimits(ctx context.Context, env *collect.Env, out collect.Output) error {
	s := &snapshot{ctx: ctx, env: env, out: out}
	facts := limitsFacts{Settings: map[string]string{}, Usage: []limitsUsage{}, Processes: []limitsProcess{}}
	for _, name := range limitsSettings {
		s.limitsSetting(&facts, name)
	}
	s.limitsTasks(&facts)
	s.limitsUsages(&facts)
	s.json("limits.json", facts)
	s.keep("limits.txt", "/proc/sys", limitsText(facts.Settings))
	return s.end("nothing below /proc/sys could be read")
}

func (s *snapshot) limitsSetting(facts *limitsFacts, name string) {
	const root = "/proc/sys/"
	paths := s.glob(root + name)
	found := false
	for _, p := range paths {
		if text, ok := s.value(p); ok {
			facts.Settings[strings.ReplaceAll(strings.TrimPrefix(p, root), "/", ".")] = strings.ReplaceAll(text, "\n", " ")
			found = true
		}
	}
	if !found {
		facts.Missing = append(facts.Missing, strings.ReplaceAll(name, "/", "."))
	}
}

func (s *snapshot) limitsTasks(facts *limitsFacts) {
	t := &facts.Tasks
	if load := snapshotParse(s, "/proc/loadavg", parseOSLoad); load != nil {
		t.Threads = load.Threads
	}
	stat, _ := s.load("/proc/stat", snapshotFile)
	numbers := parseLimitsStat(stat)
	t.Runnable, t.Blocked, t.Forks = numbers["procs_running"], numbers["procs_blocked"], numbers["processes"]

	// Bounds memory, and more than nodes have; procfs gives those with low numbers first.
	const most = 1 << 15
	entries, err := s.env.Host.ReadDir("/proc", most)
	s.missing("/proc", err)
	for _, e := range entries {
		pid, err := strconv.ParseUint(e.Name(), 10, 31)
		if err != nil || s.ctx.Err() != nil {
			continue
		}
		t.Processes++
		s.limitsProcess(facts, int(pid))
	}
	slices.SortFunc(facts.Processes, func(a, b limitsProcess) int { return a.PID - b.PID })
}

// limitsProcess adds process pid if it is one of limitsProcesses. It may end meanwhile.
func (s *snapshot) limitsProcess(facts *limitsFacts, pid int) {
	const most = 64
	dir := path.Join("/proc", strconv.Itoa(pid))
	comm, err := s.env.Host.ReadFile(dir+"/comm", snapshotValue)
	name := snapshotText(string(comm))
	if err != nil || !slices.Contains(limitsProcesses, name) || len(facts.Processes) == most {
		return
	}
	p := limitsProcess{PID: pid, Name: name, Limits: snapshotParseOptional(s, dir+"/limits", parseLimitsProcess)}
	p.OOMScoreAdj, _ = s.value(dir + "/oom_score_adj")
	p.OOMScore, _ = s.value(dir + "/oom_score")
	facts.Processes = append(facts.Processes, p)
}

func (s *snapshot) limitsUsages(facts *limitsFacts) {
	set := facts.Settings
	add := func(name string, used, limit uint64, settings string) {
		if limit > 0 {
			facts.Usage = append(facts.Usage, limitsUsage{name, used, limit, float64(used) / float64(limit), settings})
		}
	}
	if files, ok := snapshotNumbers(strings.Fields(set["fs.file-nr"])); ok && len(files) == 3 {
		add("openFiles", files[0]-min(files[0], files[1]), files[2], "fs.file-max")
	}
	add("threads", facts.Tasks.Threads, limitsLeast(set, "kernel.pid_max", "kernel.threads-max"), "kernel.pid_max, kernel.threads-max")
	if entries, err := strconv.ParseUint(set["net.netfilter.nf_conntrack_count"], 10, 64); err == nil {
		const setting = "net.netfilter.nf_conntrack_max"
		add("conntrackEntries", entries, limitsLeast(set, setting), setting)
	}
	for _, family := range []struct{ version, cache string }{{"4", "arp_cache"}, {"6", "ndisc_cache"}} {
		setting := "net.ipv" + family.version + ".neigh.default.gc_thresh3"
		if used, ok := s.limitsNeighbours(family.cache); ok {
			add("neighboursIPv"+family.version, used, limitsLeast(set, setting), setting)
		}
	}
}

// limitsNeighbours returns how many neighbours a cache has over all network namespaces,
// which share its limits.
func (s *snapshot) limitsNeighbours(cache string) (uint64, bool) {
	file := "/proc/net/stat/" + cache
	data, err := s.load(file, snapshotFile)
	if !errors.Is(err, host.ErrTooLarge) && err != nil {
		return 0, false
	}
	entries, err := parseLimitsCache(data)
	if err != nil {
		s.missing(file, err)
	}
	return entries, err == nil
}

// limitsLeast returns the least of the named settings that are numbers, else 0.
func limitsLeast(settings map[string]string, names ...string) (least uint64) {
	for _, name := range names {
		n, err := strconv.ParseUint(settings[name], 10, 64)
		if err == nil && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// limitsText is in the form of sysctl -a.
func limitsText(settings map[string]string) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = %s\n", name, settings[name])
	}
	return b.Bytes()
}

// parseLimitsStat parses the lines of /proc/stat that hold one number.
func parseLimitsStat(data []byte) map[string]uint64 {
	stat := map[string]uint64{}
	snapshotLines(data, func(fields []string) bool {
		numbers, ok := snapshotNumbers(fields[1:])
		if ok && len(numbers) == 1 {
			stat[fields[0]] = numbers[0]
		}
		return true
	})
	return stat
}

// parseLimitsProcess parses /proc/PID/limits. Names have spaces, units may be missing; two
// spaces or more end a column.
func parseLimitsProcess(data []byte) (map[string]limitsRange, int) {
	limits := map[string]limitsRange{}
	bad := 0
	for line := range bytes.Lines(data) {
		text := snapshotText(string(line))
		if text == "" || strings.HasPrefix(text, "Limit ") {
			continue
		}
		name, rest, _ := strings.Cut(text, "  ")
		values := strings.Fields(rest)
		if len(values) < 2 || len(values) > 3 {
			bad++
			continue
		}
		r := limitsRange{Soft: values[0], Hard: values[1]}
		if len(values) == 3 {
			r.Unit = values[2]
		}
		limits[name] = r
	}
	return limits, bad
}

// parseLimitsCache returns the entries of a file in /proc/net/stat: hexadecimal numbers
// below a heading, a line for each CPU, of which each tells the whole in the column
// "entries". https://man7.org/linux/man-pages/man8/lnstat.8.html
func parseLimitsCache(data []byte) (uint64, error) {
	heading, rest, _ := strings.Cut(string(data), "\n")
	column := slices.Index(strings.Fields(heading), "entries")
	values := strings.Fields(rest)
	if column < 0 || column >= len(values) {
		return 0, errors.New("no column of entries")
	}
	return strconv.ParseUint(values[column], 16, 64)
}
