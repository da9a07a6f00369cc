package node

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// processTicks is the unit of times in procfs for user space, on every architecture that
// Periscope is built for: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
const processTicks = 100 // a second

// processKernelFlag is PF_KTHREAD of the kernel's include/linux/sched.h.
const processKernelFlag = 0x00200000

// A processStat is what Periscope reads of /proc/PID/stat.
type processStat struct {
	pid, ppid     int32
	comm          string
	state         byte
	group         int32 // process group
	session       int32
	foreground    int32 // process group in the foreground of its terminal
	kernel        bool
	majorFaults   uint64
	ticks         uint64 // user and system time
	nice          int
	threads       int
	start         uint64 // ticks after boot
	blockIODelays uint64 // ticks
}

// parseProcessStat parses /proc/PID/stat. The name may hold anything, also spaces and
// parentheses; it ends at the last one.
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func parseProcessStat(data []byte) (processStat, error) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return processStat{}, errors.New("no name in parentheses")
	}
	fields := strings.Fields(string(data[end+1:]))
	const first = 3 // number of the first field after the name
	if len(fields) < 22-first+1 || len(fields[0]) != 1 {
		return processStat{}, fmt.Errorf("%d fields after the name", len(fields))
	}
	pid, err := strconv.ParseInt(strings.TrimSpace(string(data[:open])), 10, 32)
	if err != nil {
		return processStat{}, fmt.Errorf("process ID: %w", err)
	}
	var bad error
	signed := func(n int) int64 {
		v, err := strconv.ParseInt(fields[n-first], 10, 64)
		bad = errors.Join(bad, err)
		return v
	}
	unsigned := func(n int) uint64 {
		v, err := strconv.ParseUint(fields[n-first], 10, 64)
		bad = errors.Join(bad, err)
		return v
	}
	s := processStat{
		pid: int32(pid), comm: string(data[open+1 : end]), state: fields[0][0],
		ppid: int32(signed(4)), group: int32(signed(5)), session: int32(signed(6)), foreground: int32(signed(8)),
		kernel: unsigned(9)&processKernelFlag != 0, majorFaults: unsigned(12), ticks: unsigned(14) + unsigned(15),
		nice: int(signed(19)), threads: int(signed(20)), start: unsigned(22),
	}
	if n := 42 - first; len(fields) > n {
		s.blockIODelays = unsigned(42)
	}
	return s, bad
}

// A processStatus is what Periscope reads of /proc/PID/status. Sizes are bytes.
type processStatus struct {
	uid            int64 // effective; -1 when not told
	rss, vsz, swap int64
	pidInNamespace int64 // of the innermost PID namespace; 0 when not told
}

// parseProcessStatus parses /proc/PID/status; lines that it does not know or understand
// are skipped. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
func parseProcessStatus(data []byte) processStatus {
	s := processStatus{uid: -1}
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(string(line), ":")
		fields := strings.Fields(value)
		number := func(i int, to *int64, unit int64) {
			if i < 0 || i >= len(fields) {
				return
			}
			if v, err := strconv.ParseInt(fields[i], 10, 48); err == nil && v >= 0 {
				*to = v * unit
			}
		}
		switch key {
		case "Uid":
			number(1, &s.uid, 1)
		case "VmRSS":
			number(0, &s.rss, 1024)
		case "VmSize":
			number(0, &s.vsz, 1024)
		case "VmSwap":
			number(0, &s.swap, 1024)
		case "NSpid":
			number(len(fields)-1, &s.pidInNamespace, 1)
		}
	}
	return s
}

// A processIO is what Periscope reads of /proc/PID/io: bytes to and from storage.
type processIO struct{ read, written uint64 }

// parseProcessIO parses /proc/PID/io; ok tells that both counters were there.
func parseProcessIO(data []byte) (io processIO, ok bool) {
	found := 0
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "read_bytes":
			io.read = n
			found++
		case "write_bytes":
			io.written = n
			found++
		}
	}
	return io, found == 2
}

// parseProcessUsers maps user IDs to the first name each has in passwd, at most 10,000.
func parseProcessUsers(passwd []byte) map[int64]string {
	const most = 10_000
	users := map[int64]string{}
	for line := range bytes.Lines(passwd) {
		fields := strings.SplitN(string(line), ":", 4)
		if len(fields) < 4 || fields[0] == "" || len(users) == most {
			continue
		}
		uid, err := strconv.ParseUint(fields[2], 10, 32)
		if _, known := users[int64(uid)]; err == nil && !known {
			users[int64(uid)] = fields[0]
		}
	}
	return users
}

// parseProcessCgroup returns the control group that tells most about a process: of
// /proc/PID/cgroup the unified hierarchy's (v2), unless it is the root, else the memory
// controller's, else systemd's. https://man7.org/linux/man-pages/man7/cgroups.7.html
func parseProcessCgroup(data []byte) string {
	best, rank := "", -1
	for line := range bytes.Lines(data) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(parts) < 3 {
			continue
		}
		r := 0
		switch controllers := "," + parts[1] + ","; {
		case parts[2] == "/":
		case controllers == ",,":
			r = 4
		case strings.Contains(controllers, ",memory,"):
			r = 3
		case controllers == ",name=systemd,":
			r = 2
		default:
			r = 1
		}
		if r > rank {
			best, rank = parts[2], r
		}
	}
	return best
}

// parseProcessPod returns the pod UID and the container ID that a control group's path
// names, "" for what it does not name. It knows the kubelet's systemd and cgroupfs drivers,
// with containerd, CRI-O and Docker, and paths relative to another control group ("/../x").
func parseProcessPod(cgroup string) (podUID, containerID string) {
	for _, part := range slices.Backward(strings.Split(cgroup, "/")) {
		// containerd with its cgroupfs driver below a systemd slice: SLICE:cri-containerd:ID
		for piece := range strings.SplitSeq(part, ":") {
			if uid, ok := processPodUID(piece); ok && podUID == "" {
				podUID = uid
			}
			if id, ok := processContainerID(piece); ok && containerID == "" {
				containerID = id
			}
		}
	}
	return podUID, containerID
}

// processPodUID finds a pod's UID in "pod<uid>" or "kubepods[-class]-pod<uid>.slice". The
// UID of a static pod from a file is 32 hexadecimal digits.
func processPodUID(part string) (string, bool) {
	name := strings.TrimSuffix(part, ".slice")
	if strings.HasPrefix(name, "kubepods") {
		name = name[strings.LastIndex(name, "-pod")+1:]
	}
	uid, ok := strings.CutPrefix(name, "pod")
	uid = strings.ReplaceAll(uid, "_", "-")
	hex := strings.ReplaceAll(uid, "-", "")
	return uid, ok && len(hex) == 32 && (len(uid) == 32 || len(uid) == 36) && processHex(hex)
}

// processContainerID finds a container's ID in "<id>" or "<runtime>-<id>.scope".
func processContainerID(part string) (string, bool) {
	name := strings.TrimSuffix(part, ".scope")
	id := name[strings.LastIndexByte(name, '-')+1:]
	return id, len(id) == 64 && processHex(id)
}

func processHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}
