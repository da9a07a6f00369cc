package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
	"github.com/periscope-k8s/periscope/internal/host"
)

func TestProcesses(t *testing.T) {
	collecttest.Run(t, "testdata/processes/*.txtar", onFakeTime(t, processesCollector()))
}

// The machine that runs the test is a host, too, and this test one of its processes.
func TestProcessesHere(t *testing.T) {
	fs, err := host.Open("/")
	if err != nil {
		t.Skip(err) // not Linux
	}
	res, files := collecttest.Collect(t, &collect.Env{Host: fs}, processesSampled(0))
	if res.State != "ok" {
		t.Fatalf("%s: %s", res.State, res.Reason)
	}
	if list := string(files["processes.jsonl"]); !strings.Contains(list, `"comm":"node.test"`) {
		t.Errorf("this test is not among the processes:\n%s", list)
	}
}

const processStatLine = "42 (a) (b c) S 1 40 41 34816 40 4194304 100 0 3 0 150 50 7 8 25 5 9 0 123456 1000000 500 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 700 0 0\n"

func TestParseProcessStat(t *testing.T) {
	got, err := parseProcessStat([]byte(processStatLine))
	want := processStat{
		pid: 42, ppid: 1, comm: "a) (b c", state: 'S', group: 40, session: 41, foreground: 40, majorFaults: 3, ticks: 200,
		nice: 5, threads: 9, start: 123456, blockIODelays: 700,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "42", "42 (x", "42 )x( S 1", "42 (x) S 1 2", "x" + processStatLine, strings.Replace(processStatLine, "123456", "soon", 1)} {
		if s, err := parseProcessStat([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v; want an error", bad, s)
		}
	}
}

func TestParseProcessPod(t *testing.T) {
	const dashed, low = "7d0f3c1e-55aa-4b0f-9f7e-0123456789ab", "7d0f3c1e_55aa_4b0f_9f7e_0123456789ab"
	id, static := strings.Repeat("0123456789abcdef", 4), strings.Repeat("0a", 16)
	for _, c := range []struct{ name, cgroup, pod, container string }{
		{"systemd, containerd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + low + ".slice/cri-containerd-" + id + ".scope", dashed, id},
		{"systemd, guaranteed", "/kubepods.slice/kubepods-pod" + low + ".slice/crio-" + id + ".scope", dashed, id},
		{"systemd, Docker", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + low + ".slice/docker-" + id + ".scope", dashed, id},
		{"cgroupfs", "/kubepods/burstable/pod" + dashed + "/" + id, dashed, id},
		{"static pod", "/kubepods/burstable/pod" + static + "/" + id, static, id},
		{"pod alone", "/kubepods/besteffort/pod" + dashed, dashed, ""},
		{"slice with cgroupfs runtime", "/system.slice/containerd.service/kubepods-pod" + low + ".slice:cri-containerd:" + id, dashed, id},
		{"group below the container", "/kubepods/pod" + dashed + "/" + id + "/init.scope", dashed, id},
		{"relative", "/../../kubepods-pod" + low + ".slice/cri-containerd-" + id + ".scope", dashed, id},
		{"sibling container", "/../cri-containerd-" + id + ".scope", "", id},
		{"nested", "/docker/" + strings.Repeat("f", 64) + "/kubelet/kubepods/pod" + dashed + "/" + id, dashed, id},
		{"service", "/system.slice/containerd.service", "", ""},
		{"no UID", "/kubepods.slice/podman.service", "", ""},
		{"wrong length", "/kubepods/pod" + dashed + "0/" + id + "0", "", ""},
		{"root", "/", "", ""},
		{"none", "", "", ""},
	} {
		if pod, container := parseProcessPod(c.cgroup); pod != c.pod || container != c.container {
			t.Errorf("%s: got %q, %q; want %q, %q", c.name, pod, container, c.pod, c.container)
		}
	}
}

func TestParseProcessCgroup(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"unified", "0::/system.slice/a.service\n", "/system.slice/a.service"},
		{"unified root, v1", "4:memory:/m\n1:name=systemd:/s\n0::/\n", "/m"},
		{"hybrid", "4:memory:/m\n0::/u\n", "/u"},
		{"no memory", "8:pids:/p\n1:name=systemd:/s\n", "/s"},
		{"joined controllers", "3:cpu,memory:/m\n8:pids:/p\n", "/m"},
		{"root", "4:memory:/\n0::/\n", "/"},
		{"colon in the path", "0::/a:b:c\n", "/a:b:c"},
		{"malformed", "memory\n\n4:\n", ""},
	} {
		if got := parseProcessCgroup([]byte(c.data)); got != c.want {
			t.Errorf("%s: got %q; want %q", c.name, got, c.want)
		}
	}
}

func TestParseProcessUsers(t *testing.T) {
	got := parseProcessUsers([]byte("root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbad\n:x:1:1:\nneg:x:-1:1:\na:x:7:7:\n"))
	if len(got) != 2 || got[0] != "root" || got[7] != "a" {
		t.Errorf("got %v; want root and a", got)
	}
}

func TestProcessForest(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes [][2]int32 // process, parent
		want  []string
	}{
		{"none", nil, nil},
		{"families", [][2]int32{{1, 0}, {2, 0}, {3, 1}, {4, 2}, {5, 3}, {6, 1}}, []string{"1", ` \_ 3`, ` |   \_ 5`, ` \_ 6`, "2", ` \_ 4`}},
		{"missing parent", [][2]int32{{5, 4}, {6, 5}}, []string{"5", ` \_ 6`}},
		{"own parent", [][2]int32{{5, 5}, {6, 5}}, []string{"5", ` \_ 6`}},
		{"loop", [][2]int32{{1, 0}, {5, 6}, {6, 7}, {7, 5}}, []string{"1", "5", ` \_ 7`, `     \_ 6`}},
	} {
		var nodes []processNode
		for _, n := range c.nodes {
			nodes = append(nodes, processNode{pid: n[0], ppid: n[1]})
		}
		var got []string
		for i, branches := range processForest(nodes) {
			got = append(got, branches+fmt.Sprint(nodes[i].pid))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q; want %q", c.name, got, c.want)
		}
	}
}

func TestProcessForestDeep(t *testing.T) {
	const depth = 10_000
	nodes := make([]processNode, depth)
	for i := range nodes {
		nodes[i] = processNode{pid: int32(i + 1), ppid: int32(i)}
	}
	n, longest := 0, 0
	for i, branches := range processForest(nodes) {
		if i != n {
			t.Fatalf("got process %d as number %d", i+1, n+1)
		}
		n, longest = n+1, max(longest, len(branches))
	}
	if n != depth || longest > 4*maxProcessDepth {
		t.Errorf("got %d processes, branches of %d bytes; want %d, at most %d", n, longest, depth, 4*maxProcessDepth)
	}
	for range processForest(nodes) {
		break // must not panic
	}
}

func TestProcessInsert(t *testing.T) {
	var top []process
	for i := range 100 {
		p := process{PID: int32(i), RSSBytes: int64(i * 7 % 100)}
		top = processInsert(top, &p, func(a, b *process) int { return cmp.Compare(b.RSSBytes, a.RSSBytes) })
	}
	if len(top) != processTop || top[0].RSSBytes != 99 || top[processTop-1].RSSBytes != 80 {
		t.Errorf("got %d from %d to %d; want the 20 largest, 99 to 80", len(top), top[0].RSSBytes, top[len(top)-1].RSSBytes)
	}
}

func TestProcessStart(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		start time.Time
		want  string
	}{
		{now.Add(-3 * time.Hour), "07:00"}, {now.Add(-72 * time.Hour), "Feb27"}, {now.AddDate(-1, 0, 0), "2025"}, {time.Time{}, "?"},
	} {
		if got := processStart(c.start, now); got != c.want {
			t.Errorf("%v: got %s; want %s", c.start, got, c.want)
		}
	}
}

func TestProcessTime(t *testing.T) {
	for seconds, want := range map[float64]string{0.9: "00:00:00", 3661: "01:01:01", 90061: "1-01:01:01"} {
		if got := processTime(seconds); got != want {
			t.Errorf("%v: got %s; want %s", seconds, got, want)
		}
	}
}

// A process whose memory lock is held must not cost more than its command line.
func TestProcessArgsGivenUp(t *testing.T) {
	r := &processReader{ctx: t.Context(), env: &collect.Env{}, guard: hangGuard{wait: time.Second, most: 1, hung: 1}}
	p := &process{PID: 7, Comm: "stuck"}
	r.args(p)
	if p.Args != "" || p.ArgsError != errGaveUp.Error() {
		t.Errorf("got %q, %q; want no command line and the reason", p.Args, p.ArgsError)
	}
	if got := processCommand(p); got != "[stuck]" {
		t.Errorf("got command %q; want its name", got)
	}
}

func TestProcessWriterFull(t *testing.T) {
	c := collect.Collector{Name: "x", Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
		f, err := newLineFile(out, "list", 10)
		if err != nil {
			return err
		}
		for _, line := range []string{"1234\n", "123456\n", "1\n"} {
			if err := f.add([]byte(line)); err != nil {
				return err
			}
		}
		if f.lost != 2 {
			t.Errorf("lost %d lines; want 2: nothing follows the first that does not fit", f.lost)
		}
		return f.close()
	}}
	_, files := collecttest.Collect(t, &collect.Env{}, c)
	if got := string(files["list"]); got != "1234\n" {
		t.Errorf("got %q", got)
	}
}

func FuzzParseProcess(f *testing.F) {
	f.Add([]byte(processStatLine))
	f.Add([]byte("Uid:\t1\t2\t3\t4\nVmRSS:\t 5 kB\nNSpid:\t7\t1\n"))
	f.Add([]byte("read_bytes: 1\nwrite_bytes: 2\n"))
	f.Add([]byte("0::/kubepods/pod0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a/x\n"))
	f.Add([]byte("root:x:0:0::/:/bin/sh\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseProcessStat(data); err == nil {
			p := &process{Comm: s.comm, State: string(s.state), Stat: processStatFlags(s)}
			if line := processLine(p, "", time.Time{}); strings.Count(line, "\n") != 1 {
				t.Errorf("not one line: %q", line)
			}
		}
		if s := parseProcessStatus(data); s.rss < 0 || s.vsz < 0 || s.swap < 0 || s.uid < -1 {
			t.Errorf("negative: %+v", s)
		}
		parseProcessIO(data)
		parseProcessUsers(data)
		pod, container := parseProcessPod(parseProcessCgroup(data))
		if len(pod) > 36 || len(container) > 64 {
			t.Errorf("got pod %q, container %q", pod, container)
		}
	})
}
