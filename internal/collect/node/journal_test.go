package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
	"github.com/periscope-k8s/periscope/internal/host"
)

func TestJournal(t *testing.T) {
	collecttest.Run(t, "testdata/journal/*.txtar", journalCollector())
}

func journalEnv(t *testing.T, exec collect.ExecFunc) *collect.Env {
	t.Helper()
	l := newLogTree(t)
	l.write("var/log/journal/0123/system.journal", nil)
	env := l.quiet(collect.Window{})
	env.Exec = exec
	return env
}

// An AKS node with Ubuntu 22.04 (systemd 249). Its remarks look like files of a txtar archive, so it is no case there.
func TestJournalRemarks(t *testing.T) {
	const begins = "-- Journal begins at Mon 2026-11-16 08:00:00 UTC, ends at Fri 2026-11-20 09:00:00 UTC. --\n"
	const kubelet = "2026-11-19T22:10:01.000123+0000 aks-nodepool1-1 systemd[1]: Started Kubelet.\n" +
		"-- Boot 4d0c3a1e7f5b4a2e9c8d7b6a5f4e3d2c --\n" +
		"2026-11-20T08:10:02.113344+0000 aks-nodepool1-1 kubelet[1402]: E1120 08:10:02.113301    1402 kubelet.go:2409] \"Skipping pod synchronization\"\n"
	env := journalEnv(t, func(_ context.Context, c host.Command) (host.Exit, error) {
		switch c.Args[len(c.Args)-1] {
		case "kubelet":
			fmt.Fprint(c.Stdout, begins+kubelet)
		case "localdns": // systemd 252
			fmt.Fprint(c.Stdout, "-- No entries --\n")
		default:
			fmt.Fprint(c.Stdout, begins+"-- No entries --\n")
		}
		return host.Exit{}, nil
	})
	_, files := collecttest.Collect(t, env, journalCollector())
	want := []string{"journal.json", "kubelet"}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) || string(files["kubelet"]) != kubelet {
		t.Errorf("got %v, want %v; kubelet:\n%s", got, want, files["kubelet"])
	}
	for text, want := range map[string]int{`"no entries"`: 6, `"collected"`: 1, `"lines": 3`: 1, `"first": "2026-11-19T22:10:01.000123Z"`: 1} {
		if got := bytes.Count(files["journal.json"], []byte(text)); got != want {
			t.Errorf("%s: got %d times, want %d", text, got, want)
		}
	}
}

// A journalctl that does not end leaves what it printed, and is asked for the newest lines.
func TestJournalTimeout(t *testing.T) {
	var lines []string
	env := journalEnv(t, func(_ context.Context, c host.Command) (host.Exit, error) {
		line := journalLine(c)
		lines = append(lines, line)
		switch {
		case strings.HasSuffix(line, "-u kubelet"):
			fmt.Fprintln(c.Stdout, "2026-11-20T08:00:00.000000+0000 n kubelet[1]: oldest")
			return host.Exit{Code: -1, TimedOut: true}, fmt.Errorf("killed: %w", context.DeadlineExceeded)
		case strings.Contains(line, " -n "):
			fmt.Fprintln(c.Stdout, "2026-11-20T09:00:00.000000+0000 n kubelet[1]: newest")
		}
		return host.Exit{}, nil
	})
	res, files := collecttest.Collect(t, env, journalCollector())
	want := []string{"journal.json", "kubelet", "kubelet.newest"}
	if got := slices.Sorted(maps.Keys(files)); res.State != "ok" || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v\n%s", got, want, collecttest.Summary(res))
	}
	if got := string(files["journal.json"]); !strings.Contains(got, `"state": "incomplete"`) {
		t.Errorf("journal.json: %s", got)
	}
	if len(lines) != len(journalUnits)+2 || !strings.HasSuffix(lines[1], "-u kubelet -n 5000") {
		t.Errorf("commands:\n%s", strings.Join(lines, "\n"))
	}
}

// A command that was given up may go on to write.
func TestJournalAbandoned(t *testing.T) {
	var late []io.Writer
	env := journalEnv(t, func(_ context.Context, c host.Command) (host.Exit, error) {
		late = append(late, c.Stdout)
		fmt.Fprintln(c.Stdout, "2026-11-20T08:00:00.000000+0000 n kubelet[1]: text")
		return host.Exit{Code: -1}, host.ErrAbandoned
	})
	_, files := collecttest.Collect(t, env, journalCollector())
	for _, w := range late {
		if _, err := w.Write([]byte("too late\n")); err == nil {
			t.Error("a late write is no error")
		}
	}
	if bytes.Contains(files["kubelet"], []byte("late")) {
		t.Errorf("got %q", files["kubelet"])
	}
}

// A logLimits output notes which file got which limit.
type logLimits struct {
	collect.Output
	limits map[string]int64
}

type limitedLog struct {
	io.WriteCloser
	set func(int64)
}

func (f limitedLog) KeepEnd(limit int64) { f.set(limit) }

func (o logLimits) Create(name string) (io.WriteCloser, error) {
	w, err := o.Output.Create(name)
	return limitedLog{w, func(n int64) { o.limits[name] = n }}, err
}

func TestJournalRoom(t *testing.T) {
	megabyte := bytes.Repeat([]byte("2026-11-20T08:00:00.000000+0000 text\nand 27 bytes more in it.\n"), 1<<14)
	env := journalEnv(t, func(_ context.Context, c host.Command) (host.Exit, error) {
		if unit := c.Args[len(c.Args)-1]; unit == "kubelet" || unit == "containerd" || unit == "docker" {
			for range 70 {
				if _, err := c.Stdout.Write(megabyte); err != nil {
					return host.Exit{}, err
				}
			}
		}
		return host.Exit{}, nil
	})
	out := logLimits{discard{}, map[string]int64{}}
	if err := collectJournal(t.Context(), env, out); err != nil {
		t.Fatal(err)
	}
	used := 70 * int64(len(megabyte))
	want := map[string]int64{"kubelet": 128 << 20, "containerd": (256<<20 - used) / 2, "docker": (256<<20 - 2*used) / 2}
	if !maps.Equal(out.limits, want) {
		t.Errorf("got %v, want %v", out.limits, want)
	}
}

func TestJournalWriter(t *testing.T) {
	const text = "-- Logs begin at Mon 2026-11-16 08:00:00 UTC, end at Fri. --\n" +
		"2026-11-20T08:00:00.000001+0000 n kubelet[1]: one\n" +
		"-- Reboot --\n" +
		"2026-11-20T09:00:00.000002+0000 n kubelet[1]: two\n" +
		"    continued"
	for size := range len(text) {
		var b bytes.Buffer
		w := &journalWriter{create: func() (io.WriteCloser, error) { return discarded{&b}, nil }}
		for chunk := range slices.Chunk([]byte(text), size+1) {
			if _, err := w.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		_, want, _ := strings.Cut(text, "\n")
		if b.String() != want || w.lines != 4 || w.bytes != int64(len(want)) {
			t.Errorf("in pieces of %d: got %d lines, %d bytes %q", size+1, w.lines, w.bytes, b.String())
		}
		first, last := parseJournalTime(w.first), parseJournalTime(w.last)
		if first != time.Date(2026, 11, 20, 8, 0, 0, 1000, time.UTC) || last != time.Date(2026, 11, 20, 9, 0, 0, 2000, time.UTC) {
			t.Errorf("in pieces of %d: first %v, last %v", size+1, first, last)
		}
	}
}

// TestJournalctl runs the commands on real journal files, which systemd-journal-remote
// makes of text.
func TestJournalctl(t *testing.T) {
	const remote = "/lib/systemd/systemd-journal-remote"
	if _, err := os.Stat(remote); err != nil {
		t.Skip("needs systemd-journal-remote to make journal files:", err)
	}
	dir := t.TempDir()
	journal := filepath.Join(dir, "test.journal")
	cmd := exec.Command(remote, "-o", journal, "-")
	cmd.Stdin = strings.NewReader(journalExport("kubelet", 3) + journalExport("containerd", 2))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	run := host.NewRunner("/").Run
	env := journalEnv(t, func(ctx context.Context, c host.Command) (host.Exit, error) {
		c.Args = append(c.Args, "--file", journal)
		return run(ctx, c)
	})
	env.Window = collect.Window{Since: testStart.Add(500 * time.Millisecond)}
	res, files := collecttest.Collect(t, env, journalCollector())
	if got := strings.Count(string(files["kubelet"]), "\n"); got != 2 || !strings.HasSuffix(string(files["kubelet"]), ": line 2 of kubelet\n") {
		t.Errorf("kubelet: got %q\n%s", files["kubelet"], collecttest.Summary(res))
	}
	if got := strings.Count(string(files["containerd"]), "\n"); got != 1 {
		t.Errorf("containerd: got %q", files["containerd"])
	}
	for _, want := range []string{`"first": "2016-11-20T08:00:01Z"`, `"state": "no entries"`} {
		if !bytes.Contains(files["journal.json"], []byte(want)) {
			t.Errorf("journal.json: no %s in %s", want, files["journal.json"])
		}
	}
	if len(files) != 4 || len(files["boots.txt"]) == 0 {
		t.Errorf("got %v", slices.Sorted(maps.Keys(files)))
	}
}

// journalExport makes n entries, one a second from testStart on.
func journalExport(unit string, n int) string {
	var b strings.Builder
	for i := range n {
		at := testStart.Add(time.Duration(i) * time.Second).UnixMicro()
		fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=d5c3a2b1e0f94c6f8a7b6c5d4e3f2a1b\n_HOSTNAME=n\n"+
			"_SYSTEMD_UNIT=%s.service\nSYSLOG_IDENTIFIER=%s\n_PID=7\nMESSAGE=line %d of %s\n\n", at, 1000+i, unit, unit, i, unit)
	}
	return b.String()
}

func FuzzJournalWriter(f *testing.F) {
	f.Add([]byte("-- No entries --\n"), 3)
	f.Add([]byte("2026-11-20T08:00:00.000001+0000 n kubelet[1]: one\n"), 7)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		write := func(chunks ...[]byte) ([]byte, *journalWriter) {
			var b bytes.Buffer
			w := &journalWriter{create: func() (io.WriteCloser, error) { return discarded{&b}, nil }}
			for _, c := range chunks {
				if _, err := w.Write(c); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(w.Close()); err != nil {
				t.Fatal(err)
			}
			return b.Bytes(), w
		}
		cut = max(0, min(cut, len(data)))
		whole, a := write(data)
		pieces, b := write(data[:cut], data[cut:])
		if !bytes.Equal(whole, pieces) || a.lines != b.lines || !bytes.Equal(a.last, b.last) {
			t.Errorf("%q: whole %q (%d lines), cut at %d %q (%d lines)", data, whole, a.lines, cut, pieces, b.lines)
		}
		parseJournalTime(a.first)
	})
}
