package node

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
	"github.com/periscope-k8s/periscope/internal/host"
)

func TestPodlogs(t *testing.T) {
	collecttest.Run(t, "testdata/podlogs/*.txtar", podlogsCollector(nil))
}

func TestParsePodFilter(t *testing.T) {
	tests := []struct {
		in   string
		want PodFilter
		ok   bool
	}{
		{"kube-system", PodFilter{Namespace: "kube-system"}, true},
		{"kube-system/tunnelfront", PodFilter{"kube-system", "tunnelfront"}, true},
		{"", PodFilter{}, false},
		{"/x", PodFilter{}, false},
		{"x/", PodFilter{}, false},
		{"a/b/c", PodFilter{}, false},
		{"a b", PodFilter{}, false},
	}
	for _, tt := range tests {
		got, err := ParsePodFilter(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParsePodFilter(%q) = %v, %v; want %v, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func TestPodFilterMatches(t *testing.T) {
	pod := parsePodlogsPod("kube-system_tunnelfront-6d7_uid-1")
	tests := []struct {
		filter    PodFilter
		container string
		want      bool
	}{
		{PodFilter{Namespace: "kube-system"}, "c", true},
		{PodFilter{Namespace: "kube"}, "c", false},
		{PodFilter{"kube-system", "tunnelfront-6d7"}, "c", true},
		{PodFilter{"kube-system", "tunnel"}, "c", true},
		{PodFilter{"kube-system", "front"}, "c", false},
		{PodFilter{"kube-system", "c"}, "c", true},
		{PodFilter{"kube-system", "c"}, "cc", false},
	}
	for _, tt := range tests {
		if got := tt.filter.matches(pod, tt.container); got != tt.want {
			t.Errorf("%v matches %v/%s: got %v, want %v", tt.filter, pod, tt.container, got, tt.want)
		}
	}
}

// A logTree is a host with pod logs, in a folder of the test.
type logTree struct {
	t    testing.TB
	root string
}

func newLogTree(t testing.TB) logTree {
	t.Helper()
	return logTree{t, t.TempDir()}
}

func (l logTree) path(name string) string { return filepath.Join(l.root, name) }

func (l logTree) write(name string, data []byte) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(l.path(name)), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.path(name), data, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l logTree) env(w collect.Window) *collect.Env {
	l.t.Helper()
	tree, err := host.Open(l.root)
	if err != nil {
		l.t.Fatal(err)
	}
	return &collect.Env{Host: tree, Node: "node-1", Window: w}
}

func gzipped(t testing.TB, data string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const testPod = "var/log/pods/default_app_uid-1/"

var testStart = time.Date(2016, 11, 20, 8, 0, 0, 0, time.UTC)

// criLines makes n lines, one a second from testStart on.
func criLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s stdout F line %d of a container that writes one a second\n", testStart.Add(time.Duration(i)*time.Second).Format(time.RFC3339Nano), i)
	}
	return b.String()
}

func TestPodlogsGzip(t *testing.T) {
	l := newLogTree(t)
	long := criLines(5000)
	l.write(testPod+"c/0.log.20261120-000000.gz", gzipped(t, long))
	l.write(testPod+"c/0.log.20261119-000000.gz", gzipped(t, long)[:2000])
	l.write(testPod+"c/0.log.20261118-000000.gz", []byte("this is not gzip at all\n"))
	l.write(testPod+"c/0.log.20261117-000000.gz", nil)
	l.write(testPod+"c/0.log.20261116-000000.gz", append(gzipped(t, "first member\n"), gzipped(t, "x\n")...))
	res, files := collecttest.Collect(t, l.env(collect.Window{}), podlogsCollector(nil))
	if res.State != "ok" || len(res.Notes) != 3 || res.Files != 4 {
		t.Errorf("result: %s", collecttest.Summary(res))
	}
	dir := "default_app_uid-1/c/"
	if got := string(files[dir+"0.log.20261120-000000"]); got != long {
		t.Errorf("got %d bytes, want %d", len(got), len(long))
	}
	if got := string(files[dir+"0.log.20261119-000000"]); len(got) < 1000 || !strings.HasPrefix(long, got) {
		t.Errorf("of a damaged file: got %d bytes %.100q", len(got), got)
	}
	if got := string(files[dir+"0.log.20261116-000000"]); !strings.HasPrefix(got, "first member\nx") {
		t.Errorf("of two members: got %q", got)
	}
}

func TestPodlogsWindowOfLargeFiles(t *testing.T) {
	text := criLines(60_000) // about 5 MB
	lines := strings.SplitAfter(text, "\n")
	l := newLogTree(t)
	l.write(testPod+"c/0.log", []byte(text))
	l.write(testPod+"c/0.log.20261120-000000.gz", gzipped(t, text))
	at := func(i int) time.Time { return testStart.Add(time.Duration(i) * time.Second) }
	tests := []struct {
		name     string
		window   collect.Window
		from, to int
	}{
		{"since", collect.Window{Since: at(41_234)}, 41_234, 60_000},
		{"until", collect.Window{Until: at(1_234)}, 0, 1_235},
		{"both", collect.Window{Since: at(30_000), Until: at(30_010)}, 30_000, 30_011},
		{"before all", collect.Window{Since: at(-100)}, 0, 60_000},
		{"after all", collect.Window{Since: at(60_000)}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, files := collecttest.Collect(t, l.env(tt.window), podlogsCollector(nil))
			want := strings.Join(lines[tt.from:tt.to], "")
			for _, name := range []string{"0.log", "0.log.20261120-000000"} {
				if got := string(files["default_app_uid-1/c/"+name]); got != want {
					t.Errorf("%s: got %d bytes %.60q, want %d bytes %.60q", name, len(got), got, len(want), want)
				}
			}
		})
	}
}

func TestPodlogsSpanReadsLittle(t *testing.T) {
	text := criLines(60_000)
	w := collect.Window{Since: testStart.Add(40_000 * time.Second), Until: testStart.Add(40_100 * time.Second)}
	from, to := podlogsSpan(strings.NewReader(text), int64(len(text)), w, make([]byte, podlogsProbe))
	if n := to - from; n > 5*podlogsMargin {
		t.Errorf("span [%d, %d) has %d bytes", from, to, n)
	}
}

func TestPodlogsUnevenTimes(t *testing.T) {
	noTimes := strings.Repeat("a line without a time\n", 100_000)
	w := collect.Window{Since: testStart, Until: testStart.Add(time.Hour)}
	from, to := podlogsSpan(strings.NewReader(noTimes), int64(len(noTimes)), w, make([]byte, podlogsProbe))
	if from != 0 || to != int64(len(noTimes)) {
		t.Errorf("span of a log without times: [%d, %d), want all", from, to)
	}
}

func TestPodlogsLongLines(t *testing.T) {
	big := strings.Repeat("x", 3*podlogsBuffer+17)
	l := newLogTree(t)
	text := "2016-11-20T08:00:00Z stdout F early " + big + "\n" +
		"2016-11-20T10:00:00Z stdout F wanted " + big + "\n" +
		"2016-11-20T10:00:01Z stdout F short\n"
	l.write(testPod+"c/0.log", []byte(text))
	since := collect.Window{Since: testStart.Add(time.Hour)}
	both := collect.Window{Since: since.Since, Until: testStart.Add(2 * time.Hour)}
	lines := strings.SplitAfter(text, "\n")
	for _, tt := range []struct {
		w    collect.Window
		want string
	}{{collect.Window{}, text}, {since, lines[1] + lines[2]}, {both, lines[1]}} {
		_, files := collecttest.Collect(t, l.env(tt.w), podlogsCollector(nil))
		if got := string(files["default_app_uid-1/c/0.log"]); got != tt.want {
			t.Errorf("window %v: got %d bytes, want %d", tt.w, len(got), len(tt.want))
		}
	}
}

// A room limits how many bytes a collector may have, as the engine does.
type room struct {
	collect.Output
	left int64
}

func (r room) Reserve(want int64) (int64, error) { return min(want, r.left), nil }

func withRoom(c collect.Collector, n int64) collect.Collector {
	run := c.Run
	c.Run = func(ctx context.Context, env *collect.Env, out collect.Output) error {
		return run(ctx, env, room{out, n})
	}
	return c
}

func TestPodlogsRoom(t *testing.T) {
	l := newLogTree(t)
	noisy, quiet := criLines(2000), criLines(20)
	l.write("var/log/pods/a_noisy_1/c/0.log", []byte(noisy))
	l.write("var/log/pods/a_noisy_1/c/0.log.20261120-070000", []byte(noisy))
	l.write("var/log/pods/a_noisy_1/c/0.log.20261120-060000.gz", gzipped(t, noisy))
	l.write("var/log/pods/b_quiet_1/c/0.log", []byte(quiet))
	size := int64(len(noisy) + len(noisy)/2 + len(quiet))
	_, files := collecttest.Collect(t, l.env(collect.Window{}), withRoom(podlogsCollector(nil), size+7*podlogsIndexBytes))
	if got := string(files["b_quiet_1/c/0.log"]); got != quiet {
		t.Errorf("the quiet container got %d bytes, want %d", len(got), len(quiet))
	}
	if got := string(files["a_noisy_1/c/0.log"]); got != noisy {
		t.Errorf("the newest file got %d bytes, want %d", len(got), len(noisy))
	}
	half := string(files["a_noisy_1/c/0.log.20261120-070000"])
	if !strings.HasSuffix(noisy, "\n"+half) || len(half) < len(noisy)/2-200 || len(half) > len(noisy)/2 {
		t.Errorf("the older file got %d bytes of %d: %.60q", len(half), len(noisy), half)
	}
	if got, ok := files["a_noisy_1/c/0.log.20261120-060000"]; !ok || len(got) != 0 {
		t.Errorf("the oldest file got %d bytes, want an empty file", len(got))
	}
}

func TestPodlogsRoomGzip(t *testing.T) {
	l := newLogTree(t)
	text := criLines(2000)
	l.write(testPod+"c/0.log.20261120-060000.gz", gzipped(t, text))
	_, files := collecttest.Collect(t, l.env(collect.Window{}), withRoom(podlogsCollector(nil), 10_000+3*podlogsIndexBytes))
	got := string(files["default_app_uid-1/c/0.log.20261120-060000"])
	if !strings.HasSuffix(text, "\n"+got) || len(got) < 9_800 || len(got) > 11_100 {
		t.Errorf("got %d bytes: %.60q", len(got), got)
	}
}

func TestPodlogsFilters(t *testing.T) {
	l := newLogTree(t)
	for _, name := range []string{"a_x-1_u/main/0.log", "a_x-1_u/side/0.log", "a_y-1_u/side/0.log", "b_x-1_u/main/0.log"} {
		l.write("var/log/pods/"+name, []byte("text\n"))
	}
	tests := []struct {
		filters []PodFilter
		want    []string
	}{
		{[]PodFilter{{"a", "x"}}, []string{"a_x-1_u/main/0.log", "a_x-1_u/side/0.log", "podlogs.json"}},
		{[]PodFilter{{"a", "side"}, {Namespace: "b"}}, []string{"a_x-1_u/side/0.log", "a_y-1_u/side/0.log", "b_x-1_u/main/0.log", "podlogs.json"}},
		{[]PodFilter{{Namespace: "c"}}, nil},
	}
	for _, tt := range tests {
		res, files := collecttest.Collect(t, l.env(collect.Window{}), podlogsCollector(tt.filters))
		if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %v, want %v (%s)", tt.filters, got, tt.want, collecttest.Summary(res))
		}
	}
}

// A meddler changes a file when the first byte of the log is written.
type meddler struct {
	collect.Output
	once *sync.Once
	do   func()
}

type meddlingFile struct {
	io.WriteCloser
	m meddler
}

func (m meddler) Create(name string) (io.WriteCloser, error) {
	w, err := m.Output.Create(name)
	if strings.HasSuffix(name, ".log") {
		w = meddlingFile{w, m}
	}
	return w, err
}

func (f meddlingFile) Write(p []byte) (int, error) {
	f.m.once.Do(f.m.do)
	return f.WriteCloser.Write(p)
}

func TestPodlogsFilesThatChange(t *testing.T) {
	text := criLines(60_000)
	tests := []struct {
		name string
		do   func(path string) error
		note string
	}{
		{"grows", func(path string) error { return os.WriteFile(path, []byte(text+text), 0o644) }, ""},
		{"shrinks", func(path string) error { return os.Truncate(path, 10) }, "shrank"},
		{"vanishes", os.Remove, ""},
		{"is replaced", func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o644)) }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLogTree(t)
			l.write(testPod+"c/0.log", []byte(text))
			c := podlogsCollector(nil)
			run := c.Run
			c.Run = func(ctx context.Context, env *collect.Env, out collect.Output) error {
				return run(ctx, env, meddler{out, &sync.Once{}, func() {
					if err := tt.do(l.path(testPod + "c/0.log")); err != nil {
						t.Error(err)
					}
				}})
			}
			res, files := collecttest.Collect(t, l.env(collect.Window{}), c)
			notes := strings.Join(res.Notes, "\n")
			if res.State != "ok" || !strings.Contains(notes, tt.note) || (tt.note == "") != (notes == "") {
				t.Errorf("result: %s", collecttest.Summary(res))
			}
			got := string(files["default_app_uid-1/c/0.log"])
			if !strings.HasPrefix(text, got) || (tt.note == "" && got != text) {
				t.Errorf("got %d bytes, want %d", len(got), len(text))
			}
		})
	}
}

func TestPodlogsEndsWithItsContext(t *testing.T) {
	l := newLogTree(t)
	l.write(testPod+"c/0.log", []byte(criLines(60_000)))
	ctx, cancel := context.WithCancel(t.Context())
	c := podlogsCollector(nil)
	files := discard{}
	err := c.Run(ctx, l.quiet(collect.Window{}), meddler{files, &sync.Once{}, cancel})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

type discard struct{}

type discarded struct{ io.Writer }

func (discarded) Close() error { return nil }

func (discard) Create(string) (io.WriteCloser, error) { return discarded{io.Discard}, nil }

func FuzzPodlogsTime(f *testing.F) {
	for _, s := range []string{
		"2016-10-06T00:17:09.669794202Z stdout F text", "2016-10-06T00:17:09Z stderr P ", "2016-10-06T00:17:09.5+02:00 stdout F x",
		`{"log":"a\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}`, `{"time":"2016-10-06T00:17:09Z"}`, "", "{", "\n",
		"2016-13-45T99:99:99Z x",
	} {
		f.Add([]byte(s), int64(1475712000), int64(1475720000))
	}
	f.Fuzz(func(t *testing.T, data []byte, since, until int64) {
		w := collect.Window{Since: time.Unix(since%1e10, 0), Until: time.Unix(until%1e10, 0)}
		var kept []byte
		n := newPodlogsWindow(w, false).filter(data, true, func(p []byte) { kept = append(kept, p...) })
		if n > len(data) || len(kept) > len(data) {
			t.Fatalf("took %d and kept %d of %d bytes", n, len(kept), len(data))
		}
		line, _, _ := bytes.Cut(data, []byte("\n"))
		at, ok := podlogsTime(line)
		if ok && at.Year() > 0 && at.Year() < 10000 && w.Since.Year() > 0 {
			if got, want := len(kept) > 0 && bytes.HasPrefix(kept, line), w.Contains(at); want && !got {
				t.Errorf("%q in %v to %v: kept %v, want %v", line, w.Since.UTC(), w.Until.UTC(), got, want)
			}
		}
		podlogsSpan(bytes.NewReader(data), int64(len(data)), w, make([]byte, 64))
	})
}

func FuzzParsePodFilter(f *testing.F) {
	f.Add("kube-system/coredns")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParsePodFilter(s)
		if err == nil && got.Namespace == "" {
			t.Errorf("%q: no namespace and no error", s)
		}
	})
}

func (l logTree) quiet(w collect.Window) *collect.Env {
	env := l.env(w)
	env.Log = slog.New(slog.DiscardHandler)
	return env
}

// BenchmarkPodlogs copies 64 MB of logs to an Output that discards.
func BenchmarkPodlogs(b *testing.B) {
	l := newLogTree(b)
	text := []byte(criLines(100_000))
	var size int64
	for i := range 8 {
		l.write(fmt.Sprintf("var/log/pods/default_app-%d_uid/c/0.log", i), text)
		size += int64(len(text))
	}
	at := func(i int) time.Time { return testStart.Add(time.Duration(i) * time.Second) }
	for _, bm := range []struct {
		name   string
		window collect.Window
	}{
		{"all", collect.Window{}},
		{"since", collect.Window{Since: at(1000)}},
		{"until", collect.Window{Since: at(1000), Until: at(99_000)}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			env := l.quiet(bm.window)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := podlogsCollector(nil).Run(b.Context(), env, discard{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
