package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)

func rawHeader(name, text string) *zip.FileHeader {
	return &zip.FileHeader{
		Name: name, Method: zip.Store, Extra: binary.LittleEndian.AppendUint32([]byte{0x55, 0x54, 5, 0, 1}, uint32(testTime.Unix())),
		CRC32: crc32.ChecksumIEEE([]byte(text)), CompressedSize64: uint64(len(text)), UncompressedSize64: uint64(len(text)),
	}
}

func TestCat(t *testing.T) {
	path, data := testBundle(t)
	cut := writeFile(t, "cut.zip", data[:bytes.Index(data, []byte("more\n"))+2])
	tests := []struct {
		name string
		args []string
		code int
		out  string
		errs string
	}{
		{"all parts", []string{path, "journal/kubelet.log"}, exitDone, "first lines\nmore\nend\n", ""},
		{"one part", []string{path, "journal/kubelet.log.001"}, exitDone, "more\n", ""},
		{"a name like a part's", []string{path, "journal/kubelet.log.002"}, exitDone, "other\n", ""},
		{"several", []string{path, "./journal/kubelet.log.001", "os/esc\x1b[2J\u202e.txt"}, exitDone, "more\na\x1b[31mb\n", ""},
		{"same base name", []string{path, "kubelet.log"}, exitFailed, "", "kubelet.log: no such file in the bundle (did you mean journal/kubelet.log?)"},
		{"misspelt", []string{path, "journal/kublet.log"}, exitFailed, "", "(did you mean journal/kubelet.log?)"},
		{"unknown, then known", []string{path, "nope", "journal/kubelet.log.001"}, exitFailed, "more\n", "nope: no such file in the bundle\n"},
		{"leaves the folder", []string{path, "../../etc/passwd"}, exitFailed, "", "no such file in the bundle"},
		{"control characters", []string{path, "a\x1b[2J"}, exitFailed, "", `a\x1b[2J: no such file`},
		{"folder", []string{path, "journal"}, exitFailed, "", "journal is a folder: see what is in it with periscope ls"},
		{"no path", []string{path}, exitUsage, "", "requires at least 2 arg"},
		{"no bundle", []string{path + "x", "a"}, exitFailed, "", "no such file or directory"},
		{"whole file of a cut bundle", []string{cut, "journal/kubelet.log"}, exitDone, "first lines\n", ""},
		{"cut file", []string{cut, "journal/kubelet.log.001"}, exitIncomplete, "mo", "the archive is cut"},
		{"lost file", []string{cut, "manifest.json"}, exitFailed, "", "the bundle is not whole, so it may have been lost"},
		{"cut and lost", []string{cut, "nope", "journal/kubelet.log.001"}, exitFailed, "mo", "nope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := runMain(t, append([]string{"cat"}, tt.args...)...)
			if code != tt.code || out != tt.out {
				t.Errorf("exit code %d, output %q; want %d, %q", code, out, tt.code, tt.out)
			}
			if !strings.Contains(errs, tt.errs) || (tt.errs == "" && errs != "") || strings.Contains(errs, "\x1b") {
				t.Errorf("errors %q, want %q", errs, tt.errs)
			}
		})
	}
}

func TestCatOnTerminal(t *testing.T) {
	path, _ := testBundle(t)
	for _, tt := range []struct {
		raw  bool
		want string
	}{{false, `a\x1b[31mb` + "\n"}, {true, "a\x1b[31mb\n"}} {
		var out strings.Builder
		o := &catOptions{raw: tt.raw, terminal: true}
		err := o.run(t.Context(), &Streams{Out: &out, Err: io.Discard}, path, []string{"os/esc\x1b[2J\u202e.txt"})
		if err != nil || out.String() != tt.want {
			t.Errorf("raw %v: %q, %v; want %q", tt.raw, out.String(), err, tt.want)
		}
	}
}

// A brokenPipe is standard output whose reader went away.
type brokenPipe struct{ err error }

func (b brokenPipe) Write([]byte) (int, error) { return 0, b.err }

func TestReaderWentAway(t *testing.T) {
	path, _ := testBundle(t)
	for _, args := range [][]string{{"cat", path, "journal/kubelet.log"}, {"ls", path}, {"ls", path, "-o", "json"}} {
		for _, tt := range []struct {
			err  error
			code int
		}{{&brokenError{syscall.EPIPE}, exitDone}, {syscall.ENOSPC, exitFailed}} {
			var errs strings.Builder
			code := Main(t.Context(), append([]string{"periscope"}, args...), Streams{Out: brokenPipe{tt.err}, Err: &errs})
			if code != tt.code || (errs.Len() > 0) != (tt.code == exitFailed) {
				t.Errorf("%s with %v: exit code %d, %q; want %d", args[0], tt.err, code, errs.String(), tt.code)
			}
		}
	}
}

type brokenError struct{ err error }

func (b *brokenError) Error() string { return fmt.Sprintf("write /dev/stdout: %v", b.err) }
func (b *brokenError) Unwrap() error { return b.err }

func TestCatIsInterrupted(t *testing.T) {
	path, _ := testBundle(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelWriter{cancel: cancel}
	err := (&catOptions{}).run(ctx, &Streams{Out: out, Err: io.Discard}, path, []string{"journal/kubelet.log", "manifest.json"})
	if !errors.Is(err, context.Canceled) || out.n != len("first lines\n") {
		t.Errorf("%v after %d bytes; want Canceled after the first file's part", err, out.n)
	}
}

// A cancelWriter interrupts at the first write.
type cancelWriter struct {
	cancel context.CancelFunc
	n      int
}

func (c *cancelWriter) Write(p []byte) (int, error) {
	c.cancel()
	c.n += len(p)
	return len(p), nil
}

func TestParts(t *testing.T) {
	file := func(name, source string) manifest.File { return manifest.File{Name: name, Source: source} }
	m := &manifest.Manifest{Files: []manifest.File{
		file("a", "/a"), file("a.001", "/a"), file("a.002", "/a"), file("a.004", "/a"),
		file("b", "/b"), file("b.001", "/other"), file("c.001", "/c"),
	}}
	for name, want := range map[string]string{"a": "a a.001 a.002", "a.001": "a.001", "b": "b", "c": "c", "none": "none"} {
		if got := strings.Join(parts(m, name), " "); got != want {
			t.Errorf("parts of %s: %s, want %s", name, got, want)
		}
	}
}
