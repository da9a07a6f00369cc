package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

// onFakeTime makes a collector that runs c where waiting takes no time. Half a second after
// it began what lies below /.later on the host moves to the root: counters have gone on.
func onFakeTime(t *testing.T, c collect.Collector) collect.Collector {
	run := c.Run
	c.Run = func(_ context.Context, env *collect.Env, out collect.Output) (err error) {
		synctest.Test(t, func(t *testing.T) {
			defer time.AfterFunc(500*time.Millisecond, func() { moveLater(t, env.Host.Root()) }).Stop()
			err = run(t.Context(), env, out)
		})
		return err
	}
	return c
}

func moveLater(t *testing.T, root string) {
	later := filepath.Join(root, ".later")
	err := filepath.WalkDir(later, func(name string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) && name == later {
			return filepath.SkipAll
		}
		if err != nil || d.IsDir() {
			return err
		}
		to, err := filepath.Rel(later, name)
		if err != nil {
			return err
		}
		return os.Rename(name, filepath.Join(root, to))
	})
	if err != nil {
		t.Error(err)
	}
}

func TestGuarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		hang := func() (int, error) { <-release; return 0, nil }
		g := &hangGuard{wait: time.Second, most: 2}

		if got, err := guarded(t.Context(), g, func() (int, error) { return 7, os.ErrExist }); got != 7 || !errors.Is(err, os.ErrExist) {
			t.Errorf("a call that answers: got %d, %v; want its own answer", got, err)
		}
		if _, err := guarded(t.Context(), g, func() (int, error) { panic("boom") }); err == nil || err.Error() != "panic: boom" {
			t.Errorf("a call that panics: got %v", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(os.ErrDeadlineExceeded)
		if _, err := guarded(ctx, g, hang); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a context that ended: got %v; want its cause", err)
		}
		for range 2 {
			if _, err := guarded(t.Context(), g, hang); !errors.Is(err, errHung) {
				t.Errorf("a call that hangs: got %v; want %v", err, errHung)
			}
		}
		called := false
		if _, err := guarded(t.Context(), g, func() (int, error) { called = true; return 0, nil }); !errors.Is(err, errGaveUp) || called {
			t.Errorf("after too many hung: got %v, called %v; want %v, not called", err, called, errGaveUp)
		}
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := pause(t.Context(), 3*time.Second); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("pause: %v after %v; want nil after 3s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := pause(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("pause: %v after %v; want the context's end after 1s", err, time.Since(start))
		}
	})
}

func TestEachLine(t *testing.T) {
	long := strings.Repeat("x", 3*maxLine)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"no end", "a\nb", []string{"a", "b"}},
		{"empty lines", "a\n\nb\n", []string{"a", "", "b"}},
		{"too long", "a\n" + long + "\nb\n", []string{"a", "b"}},
		{"too long at the end", "a\n" + long, []string{"a"}},
	} {
		var got []string
		err := eachLine(t.Context(), strings.NewReader(c.in), func(line []byte) { got = append(got, string(line)) })
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := eachLine(ctx, strings.NewReader("a\n"), func([]byte) { t.Error("a line after the end") }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
