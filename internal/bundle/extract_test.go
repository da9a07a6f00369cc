package bundle

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestExtract(t *testing.T) {
	want := map[string]string{"os/release.json": "{}", "podlogs/ns/pod/0.log": strings.Repeat("line\n", 50_000), "podlogs/empty": ""}
	a := &archive{}
	for name, text := range want {
		a.add(t, name, text)
	}
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if err := Extract(t.Context(), mustOpen(t, a.close(t)), dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, os.DirFS(dir)); !maps.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for name, mode := range map[string]fs.FileMode{"os/release.json": 0o600, "podlogs/ns": fs.ModeDir | 0o700} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), mode)
		}
		if !info.IsDir() && !info.ModTime().Equal(testTime) {
			t.Errorf("%s has time %v, want %v", name, info.ModTime(), testTime)
		}
	}
}

func TestExtractRefuses(t *testing.T) {
	b := mustOpen(t, (&archive{}).add(t, "a/one", "12345").add(t, "b", "12345").close(t))
	outside := t.TempDir()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name     string
		ctx      context.Context
		prepare  func(dir string) error
		maxBytes int64
		want     error // nil: any
		text     string
	}{
		{"too much", t.Context(), nil, 9, nil, "more than 9 bytes"},
		{"existing file", t.Context(), func(dir string) error { return os.WriteFile(filepath.Join(dir, "b"), []byte("old"), 0o600) }, 10, fs.ErrExist, ""},
		{"link out", t.Context(), func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "a")) }, 10, nil, ""},
		{"link in place of the file", t.Context(), func(dir string) error { return os.Symlink(filepath.Join(outside, "x"), filepath.Join(dir, "b")) }, 10, nil, ""},
		{"ended", ended, nil, 10, context.Canceled, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.prepare != nil {
				if err := tt.prepare(dir); err != nil {
					t.Skip(err)
				}
			}
			err := Extract(tt.ctx, b, dir, tt.maxBytes)
			if err == nil || !strings.Contains(err.Error(), tt.text) || (tt.want != nil && !errors.Is(err, tt.want)) {
				t.Errorf("Extract: %v, want %v %q", err, tt.want, tt.text)
			}
			if left, _ := os.ReadDir(outside); len(left) > 0 {
				t.Errorf("%s was written outside", left[0].Name())
			}
			if old, err := os.ReadFile(filepath.Join(dir, "b")); tt.name == "existing file" && (string(old) != "old" || err != nil) {
				t.Errorf("the old file is %q, %v", old, err)
			}
		})
	}
}

func TestExtractKeepsWhatIsReadable(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 100_000)
	a := (&archive{}).add(t, "damaged", text, func(r *record) { r.crc++ }).add(t, "whole", "1")
	dir := t.TempDir()
	err := Extract(t.Context(), mustOpen(t, a.close(t)), dir, 1<<30)
	if err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("Extract: %v, want the wrong checksum", err)
	}
	got := contents(t, os.DirFS(dir))
	if got["whole"] != "1" || got["damaged"] != text {
		t.Errorf("%d files; damaged has %d bytes, want %d", len(got), len(got["damaged"]), len(text))
	}
}
