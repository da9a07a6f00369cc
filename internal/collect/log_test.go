package collect_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

// A meddler is an Output that does something to the host at the first byte written.
type meddler struct {
	*archive
	meddle func()
}

func (m *meddler) Create(name string) (io.WriteCloser, error) {
	w, err := m.archive.Create(name)
	return &meddled{w, m}, err
}

type meddled struct {
	io.WriteCloser
	m *meddler
}

func (f *meddled) Write(p []byte) (int, error) {
	if f.m.meddle != nil {
		f.m.meddle()
		f.m.meddle = nil
	}
	return f.WriteCloser.Write(p)
}

// TestCopyLogOfAMovingFile copies a log of 300 KB that changes after its first block.
func TestCopyLogOfAMovingFile(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	log := strings.Repeat(line, 3000)
	for _, tt := range []struct {
		name   string
		meddle func(path string) error
		want   func(got string) bool
	}{
		{"stays", func(string) error { return nil }, func(got string) bool { return got == log }},
		{"grows", func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString(line)
			return errors.Join(err, f.Close())
		}, func(got string) bool { return got == log }},
		{"shrinks", func(path string) error { return os.Truncate(path, 1000) }, func(got string) bool { return len(got) < len(log) && strings.HasPrefix(log, got) }},
		{"vanishes", os.Remove, func(got string) bool { return got == log }},
		{"is replaced", func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("other"), 0o600), os.Rename(path+".new", path))
		}, func(got string) bool { return got == log }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "log")
			if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newArchive()
			out := &meddler{a, func() {
				if err := tt.meddle(path); err != nil {
					t.Error(err)
				}
			}}
			if err := copyLog(t, dir, out, 1<<30); err != nil {
				t.Error(err)
			}
			if got := a.text("log"); !tt.want(got) {
				t.Errorf("got %d bytes", len(got))
			}
		})
	}
}

func copyLog(t *testing.T, root string, out collect.Output, limit int64) error {
	t.Helper()
	h, err := host.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return collect.CopyLog(t.Context(), &collect.Env{Host: h}, out, "log", "/log", limit)
}

func TestCopyLogKeepsTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name, log string
		limit     int64
		want      string
	}{
		{"whole", "one\ntwo\n", 8, "one\ntwo\n"},
		{"on a line start", "one\ntwo\nthree\n", 6, "three\n"},
		{"in a line", "one\ntwo\nthree\n", 8, "three\n"},
		{"just behind a line end", "one\ntwo\nthree\n", 10, "two\nthree\n"},
		{"no line end at all", "0123456789", 4, "6789"},
		{"no line end in the limit", "one\n0123456789", 4, "6789"},
		{"nothing", "one\n", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "log"), []byte(tt.log), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newArchive()
			if err := copyLog(t, dir, a, tt.limit); err != nil {
				t.Fatal(err)
			}
			f := a.files["log"]
			if got := a.text("log"); got != tt.want || f.source.CutFront != int64(len(tt.log)-len(tt.want)) {
				t.Errorf("got %q, cut %d; want %q", got, f.source.CutFront, tt.want)
			}
		})
	}
}

// TestCopyLogOfASparseFile reads the end of a file that claims 10 GB.
func TestCopyLogOfASparseFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 10<<30)); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	a := newArchive()
	if err := copyLog(t, dir, a, 1<<20); err != nil {
		t.Fatal(err)
	}
	if n, cut := len(a.text("log")), a.files["log"].source.CutFront; n != 1<<20 || cut != 10<<30-1<<20 {
		t.Errorf("%d bytes, %d cut", n, cut)
	}
}

func TestCopyLogEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := host.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := collect.CopyLog(ctx, &collect.Env{Host: h}, newArchive(), "log", "/log", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
