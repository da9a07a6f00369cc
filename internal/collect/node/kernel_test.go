package node

import (
	"bytes"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

// TestKernel takes the file /ring of a case as the ring buffer, read at noon after 100,000
// seconds; without it the kernel refuses to show the ring.
func TestKernel(t *testing.T) {
	collecttest.Run(t, "testdata/kernel/*.txtar", kernelWith(kernelSource{
		ring: func(env *collect.Env) ([]byte, error) {
			data, err := env.Host.ReadFile("/ring", 4<<20)
			if err != nil {
				return nil, syscall.EPERM
			}
			return data, nil
		},
		now: func() (time.Time, time.Duration) {
			return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), 100_000 * time.Second
		},
	}))
}

func TestParseKernelLine(t *testing.T) {
	for _, c := range []struct {
		line string
		want string // priority, stamp, text
		ok   bool
	}{
		{"<6>[   12.345678] text\n", "info [   12.345678] text", true},
		{"<30>[123456.000001] systemd[1]: x", "daemon.info [123456.000001] systemd[1]: x", true},
		{"<4>[    0.000000][    T1] caller", "warning [    0.000000] [    T1] caller", true},
		{"<3>[drm:foo] *ERROR* x", "err [-] [drm:foo] *ERROR* x", true},
		{"<3>no stamp", "err [-] no stamp", true},
		{"<6>[    1.000000] ", "info [    1.000000] ", true},
		{"<6>[    1.000000]", "info [    1.000000] ", true},
		{"<6>[    1.000000]   indented", "info [    1.000000]   indented", true},
		{"<6>[99999999999.000000] x", "info [-] [99999999999.000000] x", true},
		{"<184>x", "facility23.emerg [-] x", true},
		{"plain", "emerg [-] plain", false},
		{"<x>y", "emerg [-] <x>y", false},
		{"<99999999999>y", "emerg [-] <99999999999>y", false},
		{"<6", "emerg [-] <6", false},
		{"", "emerg [-] ", false},
	} {
		line, ok := parseKernelLine([]byte(c.line))
		if got := strings.TrimSuffix(string(line.append(nil)), "\n"); got != "- "+c.want || ok != c.ok {
			t.Errorf("%q: got %q, %v, want %q, %v", c.line, got, ok, "- "+c.want, c.ok)
		}
	}
}

func TestParseKernelRate(t *testing.T) {
	const head = "Sched Debug Version: v0.11, 5.15.0-1057-azure #65-Ubuntu\nktime     : 1000200.000000\nsched_clk : 1000000.500000\ncpu_clk   : "
	for tail, want := range map[string]float64{
		"1000000.000000\n": 1.0002,
		"0\n":              0,
		"NaN\n":            0,
		"1000.0\n":         0, // unbelievable
		"":                 0,
	} {
		if got := parseKernelRate([]byte(head + tail)); got != want {
			t.Errorf("%q: got %v, want %v", tail, got, want)
		}
	}
	if got := parseKernelRate([]byte("ktime : 50000.0\ncpu_clk : 50000.0\n")); got != 0 {
		t.Errorf("soon after boot: got %v, want 0", got)
	}
}

func TestKernelClock(t *testing.T) {
	zero := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for rate, want := range map[float64]time.Time{
		0:       zero.Add(10 * day),
		1.00001: zero.Add(10*day + 8640*time.Millisecond),
	} {
		got := kernelClock{zero, rate}.wall(10 * day)
		if d := got.Sub(want).Abs(); d > time.Microsecond {
			t.Errorf("rate %v: got %v, want %v", rate, got, want)
		}
	}
}

func TestParseKernelJournal(t *testing.T) {
	for _, c := range []struct {
		name, entry, want string
	}{
		{"ordinary",
			`{"__REALTIME_TIMESTAMP":"1763690400000000","__MONOTONIC_TIMESTAMP":"90000100","_SOURCE_MONOTONIC_TIMESTAMP":"90000000","PRIORITY":"4","SYSLOG_FACILITY":"0","MESSAGE":"hello"}`,
			"2025-11-21T02:00:00.000000Z warning [   90.000000] hello\n"},
		{"from before the journal was up",
			`{"__REALTIME_TIMESTAMP":"1763690400000000","__MONOTONIC_TIMESTAMP":"4000000","_SOURCE_MONOTONIC_TIMESTAMP":"1500000","PRIORITY":"6","MESSAGE":"early"}`,
			"2025-11-21T01:59:57.500000Z info [    1.500000] early\n"},
		{"bytes", `{"__REALTIME_TIMESTAMP":"1763690400000000","PRIORITY":"3","SYSLOG_FACILITY":"3","MESSAGE":[104,255,105]}`,
			"2025-11-21T02:00:00.000000Z daemon.err [-] h\xffi\n"},
		{"no message", `{"__REALTIME_TIMESTAMP":"1763690400000000","MESSAGE":null}`, "2025-11-21T02:00:00.000000Z emerg [-] \n"},
		{"no time", `{"MESSAGE":"x"}`, ""},
		{"time out of range", `{"__REALTIME_TIMESTAMP":"18446744073709551615","MESSAGE":"x"}`, ""},
		{"no JSON", `-- No entries --`, ""},
		{"wrong type", `{"MESSAGE":{}}`, ""},
	} {
		line, err := parseKernelJournal([]byte(c.entry))
		got := ""
		if err == nil {
			got = string(line.append(nil))
		}
		if got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

// TestKernelJournalPieces writes the output of journalctl in pieces of every size, with a
// line that is too long, a torn one, and a message of two lines.
func TestKernelJournalPieces(t *testing.T) {
	entry := func(message string) string {
		return `{"__REALTIME_TIMESTAMP":"1763690400000000","_SOURCE_MONOTONIC_TIMESTAMP":"90000000","PRIORITY":"6","MESSAGE":"` + message + "\"}\n"
	}
	stream := entry("one") + entry(strings.Repeat("x", kernelJournalLine)) + entry(`two\nthree`) + `{"__REALTIME`
	const prefix = "2025-11-21T02:00:00.000000Z info [   90.000000] "
	want := prefix + "one\n" + prefix + "two\n" + prefix + "three\n"
	for _, size := range []int{1, 7, 4096, len(stream)} {
		var b bytes.Buffer
		j := &kernelJournal{log: kernelLogTo(&b, collect.Window{})}
		for rest := []byte(stream); len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := j.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := j.log.close(); err != nil || b.String() != want || j.log.facts.Malformed != 1 || cap(j.rest) > 2*kernelJournalLine {
			t.Errorf("pieces of %d: got %q, %d malformed, %v; want %q, 1", size, b.String(), j.log.facts.Malformed, err, want)
		}
	}
}

func kernelLogTo(b *bytes.Buffer, w collect.Window) *kernelLog {
	return &kernelLog{window: w, create: func() (io.WriteCloser, error) { return kernelNopCloser{b}, nil }}
}

type kernelNopCloser struct{ io.Writer }

func (kernelNopCloser) Close() error { return nil }

func FuzzParseKernelLine(f *testing.F) {
	f.Add([]byte("<6>[   12.345678] text\n<30>[1.000000][ T1] x\n<3>y\nz\n"))
	f.Add([]byte("ktime : 100000.0\ncpu_clk : 100000.1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		clock := kernelClock{time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), parseKernelRate(data)}
		var b bytes.Buffer
		log := kernelLogTo(&b, collect.Window{})
		for line := range bytes.Lines(data) {
			parsed, ok := parseKernelLine(line)
			if parsed.stamped {
				parsed.wall = clock.wall(parsed.stamp)
			}
			if _, err := parsed.wall.MarshalJSON(); err != nil {
				t.Errorf("time that JSON cannot hold: %v", err)
			}
			if err := log.add(parsed, ok); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.close(); err != nil {
			t.Fatal(err)
		}
		if got, want := bytes.Count(b.Bytes(), []byte("\n")), log.facts.Lines; got != want {
			t.Errorf("%d lines written, %d counted", got, want)
		}
	})
}

func FuzzParseKernelJournal(f *testing.F) {
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1763690400000000","__MONOTONIC_TIMESTAMP":"2","_SOURCE_MONOTONIC_TIMESTAMP":"1","PRIORITY":"9","MESSAGE":[1,2]}`), 3)
	f.Add([]byte("{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":\"a\\nb\"}\n\n{\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var b bytes.Buffer
		j := &kernelJournal{log: kernelLogTo(&b, collect.Window{})}
		at := min(max(cut, 0), len(data))
		for _, p := range [][]byte{data[:at], data[at:]} {
			if _, err := j.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if len(j.rest) > kernelJournalLine {
			t.Errorf("%d bytes held of a line", len(j.rest))
		}
		if err := j.log.close(); err != nil {
			t.Fatal(err)
		}
	})
}
