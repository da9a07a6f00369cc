package collect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// An archive is an Output in memory that can do all that a bundle.Writer can.
type archive struct {
	mu    sync.Mutex
	files map[string]*archived
	fail  error
}

type archived struct {
	a       *archive
	data    []byte
	source  manifest.Source
	keepEnd bool
	closed  bool
}

func newArchive() *archive { return &archive{files: map[string]*archived{}} }

func (a *archive) Create(name string) (io.WriteCloser, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := &archived{a: a}
	a.files[name] = f
	return f, nil
}

func (a *archive) text(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f := a.files[name]; f != nil && f.closed {
		return string(f.data)
	}
	return "(missing)"
}

func (f *archived) Write(p []byte) (int, error) {
	f.a.mu.Lock()
	defer f.a.mu.Unlock()
	if f.a.fail != nil {
		return 0, f.a.fail
	}
	f.data = append(f.data, p...)
	return len(p), nil
}

func (f *archived) Close() error {
	f.a.mu.Lock()
	defer f.a.mu.Unlock()
	f.closed = true
	return nil
}

func (f *archived) Describe(s manifest.Source) {
	f.source.CutFront += s.CutFront
	f.source.CutEnd += s.CutEnd
	f.source.Partial = f.source.Partial || s.Partial
}

func (f *archived) KeepEnd(int64) { f.keepEnd = true }

func (f *archived) DropFront(n int64) int64 {
	f.a.mu.Lock()
	defer f.a.mu.Unlock()
	at := min(int(n), len(f.data))
	if i := bytes.IndexByte(f.data[at:], '\n'); i >= 0 {
		at += i + 1
	}
	f.data = f.data[at:]
	return int64(at)
}

func collector(name string, run func(ctx context.Context, env *collect.Env, out collect.Output) error) collect.Collector {
	return collect.Collector{Name: name, Run: run}
}

func write(t *testing.T, out collect.Output, name, text string) {
	t.Helper()
	if err := collect.WriteFile(out, name, []byte(text)); err != nil {
		t.Error(err)
	}
}

func states(results []collect.Result) string {
	var all []string
	for _, r := range results {
		all = append(all, r.Collector+":"+string(r.State))
	}
	return strings.Join(all, " ")
}

func TestRunTurnsEveryEndingIntoAResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive()
		hang := make(chan struct{})
		results := collect.Run(t.Context(), &collect.Env{}, a, collect.Options{Parallel: 2, Collectors: []collect.Collector{
			collector("good", func(_ context.Context, env *collect.Env, out collect.Output) error {
				env.Log.Warn("read file", "path", "/x", "err", errors.New("gone"))
				write(t, out, "a.txt", "A")
				return nil
			}),
			collector("nothing", func(context.Context, *collect.Env, collect.Output) error { return collect.Skip("no %s here", "docker") }),
			collector("bad", func(_ context.Context, _ *collect.Env, out collect.Output) error {
				write(t, out, "half", "kept")
				return errors.New("broke\nin two")
			}),
			collector("panics", func(context.Context, *collect.Env, collect.Output) error { panic("boom") }),
			{Name: "slow", Time: time.Minute, Run: func(ctx context.Context, _ *collect.Env, out collect.Output) error {
				w, err := out.Create("log")
				if err != nil {
					return err
				}
				fmt.Fprint(w, "begun\n")
				<-ctx.Done()
				return ctx.Err()
			}},
			{Name: "hangs", Time: time.Minute, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
				w, err := out.Create("log")
				if err != nil {
					return err
				}
				fmt.Fprint(w, "begun\n")
				<-hang
				if _, err := w.Write([]byte("late")); err == nil {
					t.Error("an abandoned collector could still write")
				}
				if _, err := out.Create("late"); err == nil {
					t.Error("an abandoned collector could still create")
				}
				return nil
			}},
			collector("last", func(_ context.Context, _ *collect.Env, out collect.Output) error { write(t, out, "b", "B"); return nil }),
		}})
		want := "good:ok nothing:skipped bad:failed panics:failed slow:timed-out hangs:timed-out last:ok"
		if got := states(results); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		close(hang)
		synctest.Wait()
		for name, want := range map[string]string{"good/a.txt": "A", "bad/half": "kept", "slow/log": "begun\n", "hangs/log": "begun\n", "last/b": "B"} {
			if got := a.text(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if !a.files["hangs/log"].source.Partial {
			t.Error("a file that the collector did not close is not marked partial")
		}
		for i, want := range map[int]string{1: "no docker here", 2: "broke in two", 3: "panic: boom", 4: "its time limit of 1m0s was reached", 5: "was abandoned"} {
			if !strings.Contains(results[i].Reason, want) {
				t.Errorf("%s: reason %q, want %q in it", results[i].Collector, results[i].Reason, want)
			}
		}
		if want := []string{"read file path=/x err=gone"}; !slices.Equal(results[0].Notes, want) {
			t.Errorf("notes: got %q, want %q", results[0].Notes, want)
		}
		if n := results[3].Notes; len(n) != 1 || !strings.Contains(n[0], "run_test.go") {
			t.Errorf("the panic's stack is not in the notes: %q", n)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		want  string
		after string
	}{
		{"time limit", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, collect.ErrTimeLimit)
		}, "done:ok waits:timed-out never:timed-out", "not started: the time limit of the run was reached"},
		{"user", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(errors.New("interrupt")) })
			return ctx, func() { cancel(nil) }
		}, "done:ok waits:cancelled never:cancelled", "not started: interrupt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				wait := func(ctx context.Context, _ *collect.Env, _ collect.Output) error { <-ctx.Done(); return ctx.Err() }
				done := func(context.Context, *collect.Env, collect.Output) error { return nil }
				results := collect.Run(ctx, &collect.Env{}, newArchive(), collect.Options{Parallel: 1, Collectors: []collect.Collector{
					collector("done", done), collector("waits", wait), collector("never", done),
				}})
				if got := states(results); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				if got := results[2].Reason; got != tt.after {
					t.Errorf("reason: got %q, want %q", got, tt.after)
				}
			})
		})
	}
}

// TestSizeLimitSparesPriority lets the last collector write first; the first one must
// still get all it needs.
func TestSizeLimitSparesPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive()
		late := func(size int) func(context.Context, *collect.Env, collect.Output) error {
			return func(_ context.Context, _ *collect.Env, out collect.Output) error {
				time.Sleep(time.Second)
				write(t, out, "f", strings.Repeat("1", size))
				return nil
			}
		}
		results := collect.Run(t.Context(), &collect.Env{}, a, collect.Options{Parallel: 3, MaxSize: 1000, Collectors: []collect.Collector{
			{Name: "first", Size: 600, Run: late(600)},
			{Name: "second", Size: 300, Run: late(200)},
			{Name: "third", Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
				write(t, out, "f", strings.Repeat("3", 5000))
				return nil
			}},
		}})
		for i, want := range []int64{600, 200, 200} {
			if got := results[i].Bytes; got != want {
				t.Errorf("%s wrote %d bytes, want %d", results[i].Collector, got, want)
			}
		}
		third := results[2]
		if third.State != manifest.Cut || !third.SizeHit || third.Cut != 4800 {
			t.Errorf("third: %+v, want cut by the run's limit with 4800 bytes left out", third)
		}
		if results[0].SizeHit || results[0].State != manifest.OK {
			t.Errorf("first: %+v, want ok", results[0])
		}
	})
}

func TestOwnLimitIsNoProblemOfTheRun(t *testing.T) {
	results := collect.Run(t.Context(), &collect.Env{}, newArchive(), collect.Options{MaxSize: 1000, Collectors: []collect.Collector{
		{Name: "small", Size: 10, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
			write(t, out, "f", "0123456789abcdef")
			return nil
		}},
	}})
	m := manifest.Manifest{Collectors: results}
	m.Judge()
	if r := results[0]; r.State != manifest.Cut || r.SizeHit || r.Cut != 6 || m.Outcome != manifest.Succeeded {
		t.Errorf("got %+v, outcome %s", r, m.Outcome)
	}
}

func TestLogKeepsItsEnd(t *testing.T) {
	a := newArchive()
	results := collect.Run(t.Context(), &collect.Env{}, a, collect.Options{Collectors: []collect.Collector{
		{Name: "log", Size: 100, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
			w, err := collect.CreateLog(out, "f", 0)
			if err != nil {
				return err
			}
			for i := range 100 {
				fmt.Fprintf(w, "line %03d\n", i)
			}
			return w.Close()
		}},
	}})
	got := a.text("log/f")
	if !strings.HasSuffix(got, "line 099\n") || !strings.HasPrefix(got, "line 0") || len(got) > 100 || len(got) < 80 {
		t.Errorf("kept %d bytes: %q", len(got), got)
	}
	if r := results[0]; r.Cut+r.Bytes != 900 || r.Bytes != int64(len(got)) {
		t.Errorf("%d bytes and %d cut, want 900 together and %d bytes", r.Bytes, r.Cut, len(got))
	}
}

// TestLogLimit checks that a log with a limit of its own leaves the collector's other files
// their room.
func TestLogLimit(t *testing.T) {
	a := newArchive()
	results := collect.Run(t.Context(), &collect.Env{}, a, collect.Options{Collectors: []collect.Collector{
		{Name: "c", Size: 1000, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
			for _, name := range []string{"noisy", "quiet"} {
				w, err := collect.CreateLog(out, name, 500)
				if err != nil {
					return err
				}
				for i := range 100 {
					fmt.Fprintf(w, "%09d\n", i)
				}
				if err := w.Close(); err != nil {
					return err
				}
			}
			return nil
		}},
	}})
	for _, name := range []string{"c/noisy", "c/quiet"} {
		if got := a.text(name); len(got) > 500 || len(got) < 480 || !strings.HasSuffix(got, "000000099\n") {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	if r := results[0]; r.Bytes+r.Cut != 2000 || r.State != manifest.Cut {
		t.Errorf("got %+v", r)
	}
}

func TestUnusedReservationsGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := collect.Run(t.Context(), &collect.Env{}, newArchive(), collect.Options{MaxSize: 1000, Collectors: []collect.Collector{
			{Name: "greedy", Size: 900, Run: func(ctx context.Context, _ *collect.Env, out collect.Output) error {
				_, err := collect.Reserve(out, 900)
				return err
			}},
			{Name: "next", Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
				write(t, out, "f", strings.Repeat("x", 1000))
				return nil
			}},
		}})
		if got := results[1].Bytes; got != 1000 {
			t.Errorf("the next collector wrote %d bytes, want 1000", got)
		}
	})
}

func TestReserve(t *testing.T) {
	collect.Run(t.Context(), &collect.Env{}, newArchive(), collect.Options{MaxSize: 500, Collectors: []collect.Collector{
		{Name: "one", Size: 100, Run: func(ctx context.Context, _ *collect.Env, out collect.Output) error {
			got, err := collect.Reserve(out, 1000)
			if got != 100 || err != nil {
				t.Errorf("got %d, %v; want 100", got, err)
			}
			write(t, out, "f", strings.Repeat("x", 100))
			return nil
		}},
	}})
}

func TestArchiveErrorFailsTheCollector(t *testing.T) {
	a := newArchive()
	a.fail = errors.New("archive is gone")
	results := collect.Run(t.Context(), &collect.Env{}, a, collect.Options{Collectors: []collect.Collector{
		collector("c", func(_ context.Context, _ *collect.Env, out collect.Output) error {
			return collect.WriteFile(out, "f", []byte("x"))
		}),
	}})
	if r := results[0]; r.State != manifest.Failed || !strings.Contains(r.Reason, "archive is gone") {
		t.Errorf("got %+v", r)
	}
}

func TestCommandsAreRecorded(t *testing.T) {
	env := &collect.Env{Log: slog.New(slog.DiscardHandler), Exec: func(_ context.Context, c host.Command) (host.Exit, error) {
		switch c.Name {
		case "missing":
			return host.Exit{}, host.ErrNoCommand
		case "fails":
			return host.Exit{Code: 3, Stderr: "no such unit"}, nil
		case "hangs":
			return host.Exit{Code: -1}, context.DeadlineExceeded
		}
		return host.Exit{}, nil
	}}
	results := collect.Run(t.Context(), env, newArchive(), collect.Options{Collectors: []collect.Collector{
		collector("c", func(ctx context.Context, env *collect.Env, _ collect.Output) error {
			for _, name := range []string{"fine", "missing", "fails", "hangs"} {
				_, _ = env.Exec(ctx, host.Command{Name: name, Args: []string{"-a"}})
			}
			return nil
		}),
	}})
	var got []string
	for _, c := range results[0].Commands {
		got = append(got, fmt.Sprint(c.Line, "|", c.Exit, "|", c.Stderr, "|", c.Error))
	}
	want := []string{"fails -a|3|no such unit|", "hangs -a|-1||context deadline exceeded"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNamesAreSafeAndUnique(t *testing.T) {
	a := newArchive()
	collect.Run(t.Context(), &collect.Env{}, a, collect.Options{Collectors: []collect.Collector{
		collector("c", func(_ context.Context, _ *collect.Env, out collect.Output) error {
			for _, name := range []string{"a", "a", "A", "../../x", "/abs", "new\nline", "bad\xff", "dir/sub\x1b[31m", "..", "", `win:"1"\x`, "aux.log", "COM1", strings.Repeat("long", 100)} {
				write(t, out, name, name)
			}
			return nil
		}),
	}})
	var got []string
	for name := range a.files {
		if len(name) > 300 {
			t.Errorf("name of %d bytes", len(name))
		}
		got = append(got, name)
	}
	slices.Sort(got)
	want := []string{
		"c/%00", "c/%43OM1", "c/%61ux.log", "c/.%2E", "c/.%2E/.%2E/x", "c/A~3", "c/a", "c/a~2", "c/abs", "c/bad%FF", "c/dir/sub%1B[31m",
		"c/" + strings.Repeat("long", 25) + "~" + strings.Repeat("long", 25), "c/new%0Aline", "c/win%3A%221%22%5Cx",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestShare(t *testing.T) {
	for _, tt := range []struct {
		room  int64
		sizes []int64
		want  []int64
	}{
		{100, []int64{10, 20}, []int64{10, 20}},
		{100, []int64{10, 1000, 1000}, []int64{10, 45, 45}},
		{100, []int64{1000}, []int64{100}},
		{0, []int64{5, 0}, []int64{0, 0}},
		{10, nil, []int64{}},
	} {
		if got := collect.Share(tt.room, tt.sizes); !slices.Equal(got, tt.want) {
			t.Errorf("Share(%d, %v) = %v, want %v", tt.room, tt.sizes, got, tt.want)
		}
	}
}

// A hang of one collector must not end another that waits for room.
func TestWaitingForRoomIsNotOwnTime(t *testing.T) {
	for _, ignores := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			stop := make(chan struct{})
			results := collect.Run(t.Context(), &collect.Env{}, newArchive(), collect.Options{Parallel: 4, MaxSize: 20 << 20, Collectors: []collect.Collector{
				{Name: "hangs", Size: 8 << 20, Time: time.Minute, Run: func(ctx context.Context, _ *collect.Env, out collect.Output) error {
					if ignores {
						<-stop
					}
					<-ctx.Done()
					return ctx.Err()
				}},
				{Name: "b", Size: 16 << 20, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
					return collect.WriteFile(out, "f", make([]byte, 13<<20))
				}},
				{Name: "c", Size: 8 << 20, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
					return collect.WriteFile(out, "f", []byte("ten bytes\n"))
				}},
			}})
			close(stop)
			for _, r := range results[1:] {
				if r.State != manifest.OK && r.State != manifest.Cut {
					t.Errorf("ignores %v: %s: %s %s (%d bytes)", ignores, r.Collector, r.State, r.Reason, r.Bytes)
				}
			}
			synctest.Wait()
		})
	}
}

type panicClose struct{ io.WriteCloser }

func (panicClose) Close() error { panic("close panics") }

type panicArchive struct{ *archive }

func (p panicArchive) Create(name string) (io.WriteCloser, error) {
	w, err := p.archive.Create(name)
	return panicClose{w}, err
}

// A file that is left open is closed by the engine; a panic there is the collector's.
func TestPanicOfTheArchive(t *testing.T) {
	results := collect.Run(t.Context(), &collect.Env{}, panicArchive{newArchive()}, collect.Options{Collectors: []collect.Collector{
		collector("c", func(_ context.Context, _ *collect.Env, out collect.Output) error {
			_, err := out.Create("left-open")
			return err
		}),
	}})
	if r := results[0]; r.State != manifest.Failed || !strings.Contains(r.Reason, "close panics") {
		t.Errorf("got %+v", r)
	}
}
