package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/host/hosttest"
)

func TestSnapshotText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{" a b\r\n", "a b"}, {"x\x00", "x"}, {"\xff", "\uFFFD"}, {"", ""},
	} {
		if got := snapshotText(c.text); got != c.want {
			t.Errorf("snapshotText(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestSnapshotPairs(t *testing.T) {
	var got []string
	bad := snapshotPairs([]byte("a = b = c\n# d=e\n; f=g\n\nh\n=i"), "=", func(k, v string) { got = append(got, k+":"+v) })
	if want := []string{"a:b = c", ":i"}; !slices.Equal(got, want) || bad != 1 {
		t.Errorf("got %q, %d malformed, want %q, 1", got, bad, want)
	}
}

// TestSnapshotCut checks that a source over the limit is kept up to it, and noted.
func TestSnapshotCut(t *testing.T) {
	c := collect.Collector{Name: "x", Run: func(ctx context.Context, env *collect.Env, out collect.Output) error {
		s := &snapshot{ctx: ctx, env: env, out: out}
		if got := len(s.read("/big")); got != snapshotFile {
			t.Errorf("read %d bytes, want %d", got, snapshotFile)
		}
		return s.end("")
	}}
	env := snapshotEnv(t, txtar.File{Name: "host/big", Data: make([]byte, snapshotFile+1)})
	res, files := collecttest.Collect(t, env, c)
	if len(files["raw/big"]) != snapshotFile || len(res.Notes) != 1 || !strings.Contains(res.Notes[0], host.ErrTooLarge.Error()) {
		t.Errorf("%d bytes, notes %q, want %d and one on the limit", len(files["raw/big"]), res.Notes, snapshotFile)
	}
}

// TestSnapshotCancelled checks that none of these collectors goes on when its time is over.
func TestSnapshotCancelled(t *testing.T) {
	env := snapshotEnv(t, txtar.File{Name: "host/proc/meminfo", Data: []byte("MemTotal: 1 kB\n")})
	for _, c := range []collect.Collector{osCollector(), memoryCollector(), limitsCollector(), dnsCollector(), kernelCollector()} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		own := *env
		if err := c.Run(ctx, &own, snapshotRefuse{t}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want %v", c.Name, err, context.Canceled)
		}
	}
}

// TestSnapshotFullDisk checks that an error of the output is the collector's.
func TestSnapshotFullDisk(t *testing.T) {
	full := errors.New("no space left on device")
	c := memoryCollector()
	env := snapshotEnv(t, txtar.File{Name: "host/proc/meminfo", Data: []byte("MemTotal: 1 kB\n")})
	if err := c.Run(t.Context(), env, snapshotFailing{full}); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

func snapshotEnv(t *testing.T, files ...txtar.File) *collect.Env {
	archive := &txtar.Archive{Files: files}
	return &collect.Env{
		Host: hosttest.FromTxtar(t, archive), Exec: hosttest.Exec(t, archive),
		Log: slog.New(slog.DiscardHandler),
	}
}

// A snapshotRefuse is an Output of a collector that should write nothing.
type snapshotRefuse struct{ t *testing.T }

func (r snapshotRefuse) Create(name string) (io.WriteCloser, error) {
	r.t.Errorf("%s was written", name)
	return nil, errors.ErrUnsupported
}

type snapshotFailing struct{ err error }

func (f snapshotFailing) Create(string) (io.WriteCloser, error) { return nil, f.err }
