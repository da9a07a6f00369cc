package bundle

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/periscope-k8s/periscope/internal/manifest"
	"github.com/periscope-k8s/periscope/internal/redact"
)

func newTestWriter(t *testing.T, opts Options) *Writer {
	t.Helper()
	if opts.Path == "" {
		opts.Path = filepath.Join(t.TempDir(), "node-1.zip")
	}
	w, err := NewWriter(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Abort)
	return w
}

func create(t *testing.T, w *Writer, name string) *entry {
	t.Helper()
	e, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return e.(*entry)
}

func put(t *testing.T, w *Writer, name, text string) {
	t.Helper()
	e := create(t, w, name)
	if _, err := io.WriteString(e, text); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func finish(t *testing.T, w *Writer) (Finished, *manifest.Manifest) {
	t.Helper()
	m := &manifest.Manifest{RunID: "2026-01-02T03-04-05Z", Node: "node-1"}
	f, err := w.Close(m)
	if err != nil {
		t.Fatal(err)
	}
	return f, m
}

// readZip reads an archive by archive/zip, which checks sizes and CRC-32, and compares
// every file with its line in the manifest.
func readZip(t *testing.T, r io.ReaderAt, size int64) (map[string]string, *manifest.Manifest) {
	t.Helper()
	z, err := zip.NewReader(r, size)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		files[f.Name] = string(data)
	}
	if last := z.File[len(z.File)-1].Name; last != manifest.Name {
		t.Errorf("the last entry is %s", last)
	}
	m, err := manifest.Parse([]byte(files[manifest.Name]))
	if err != nil {
		t.Fatal(err)
	}
	delete(files, manifest.Name)
	for _, f := range m.Files {
		sum := sha256.Sum256([]byte(files[f.Name]))
		if f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len(files[f.Name])) {
			t.Errorf("%s: the manifest says %d bytes, %s", f.Name, f.Size, f.SHA256)
		}
	}
	if len(m.Files) != len(files) {
		t.Errorf("%d files in the manifest, %d in the archive", len(m.Files), len(files))
	}
	return files, m
}

func readFinished(t *testing.T, f Finished) (map[string]string, *manifest.Manifest) {
	t.Helper()
	if f.Memory != nil {
		return readZip(t, bytes.NewReader(f.Memory), f.Size)
	}
	file, err := os.Open(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return readZip(t, file, f.Size)
}

func fileOf(t *testing.T, m *manifest.Manifest, name string) manifest.File {
	t.Helper()
	for _, f := range m.Files {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("%s is not in the manifest", name)
	return manifest.File{}
}

func TestWriteAndRead(t *testing.T) {
	w := newTestWriter(t, Options{})
	e := create(t, w, "os/os.json")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e.Describe(manifest.Source{Path: "/etc/os-release", ModTime: at, CutFront: 7})
	fmt.Fprint(e, "hello")
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	put(t, w, "os/empty", "")
	if got, err := fs.ReadFile(w.FS(), "os/os.json"); err != nil || string(got) != "hello" {
		t.Errorf("FS before Close: %q, %v", got, err)
	}
	done, _ := finish(t, w)
	files, m := readFinished(t, done)
	if files["os/os.json"] != "hello" || files["os/empty"] != "" || len(files) != 2 {
		t.Errorf("got %q", files)
	}
	f := fileOf(t, m, "os/os.json")
	if f.Source != "/etc/os-release" || !f.ModTime.Equal(at) || f.CutFront != 7 || m.Outcome != manifest.Succeeded {
		t.Errorf("manifest: %+v, %s", f, m.Outcome)
	}
	if out, err := exec.Command("unzip", "-t", done.Path).CombinedOutput(); err != nil && !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("unzip -t: %v\n%s", err, out)
	}
	left, err := os.ReadDir(filepath.Dir(done.Path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the archive: %v, %v", left, err)
	}
}

func TestCreateRefusesBadNames(t *testing.T) {
	w := newTestWriter(t, Options{})
	put(t, w, "a/b", "1")
	for _, name := range []string{"", ".", "/a", "../a", "a/../b", "a//b", `a\b`, "a\x00", "a/b", "a", "a/b/c", manifest.Name} {
		if _, err := w.Create(name); err == nil {
			t.Errorf("Create(%q) succeeded", name)
		}
	}
}

func TestLongFilesGoOnInParts(t *testing.T) {
	w := newTestWriter(t, Options{})
	e := create(t, w, "podlogs/0.log")
	e.limit = 1000
	e.Describe(manifest.Source{Path: "/var/log/x", CutFront: 5})
	put(t, w, "podlogs/0.log.002", "taken")
	var want strings.Builder
	for i := range 300 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		fmt.Fprint(e, line)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	done, _ := finish(t, w)
	files, m := readFinished(t, done)
	got := files["podlogs/0.log"] + files["podlogs/0.log.001"] + files["podlogs/0.log.002~"]
	if got != want.String() {
		t.Errorf("the parts make %d bytes, want %d (%v)", len(got), want.Len(), len(files))
	}
	for _, name := range []string{"podlogs/0.log", "podlogs/0.log.001"} {
		if s := files[name]; len(s) > 1000 || !strings.HasSuffix(s, "\n") {
			t.Errorf("%s has %d bytes, ends %q", name, len(s), s[max(0, len(s)-5):])
		}
	}
	if a, b := fileOf(t, m, "podlogs/0.log").CutFront, fileOf(t, m, "podlogs/0.log.001").CutFront; a != 5 || b != 0 {
		t.Errorf("cut bytes: %d and %d, want 5 and 0", a, b)
	}
}

func TestDropFrontKeepsTheEnd(t *testing.T) {
	for _, lines := range []struct {
		name   string
		length int
	}{{"short lines", 20}, {"lines longer than a segment", 20_000}} {
		t.Run(lines.name, func(t *testing.T) {
			w := newTestWriter(t, Options{})
			e := create(t, w, "journal/kubelet")
			const limit = 100_000
			e.KeepEnd(limit)
			var all strings.Builder
			var size, dropped int64
			for i := 0; all.Len() < 1_000_000; i++ {
				line := fmt.Sprintf("%08d %s\n", i, strings.Repeat("x", lines.length))
				if over := size + int64(len(line)) - limit; over > 0 {
					n := e.DropFront(over)
					size, dropped = size-n, dropped+n
				}
				all.WriteString(line)
				size += int64(len(line))
				fmt.Fprint(e, line)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			done, _ := finish(t, w)
			files, m := readFinished(t, done)
			got := files["journal/kubelet"]
			if !strings.HasSuffix(all.String(), got) || len(got) < limit/2 || len(got) > limit {
				t.Errorf("kept %d bytes of %d", len(got), all.Len())
			}
			if before := all.String()[:all.Len()-len(got)]; !strings.HasSuffix(before, "\n") {
				t.Error("it does not start with a line")
			}
			if f := fileOf(t, m, "journal/kubelet"); f.CutFront != dropped || dropped+int64(len(got)) != int64(all.Len()) {
				t.Errorf("cut %d, dropped %d, kept %d of %d", f.CutFront, dropped, len(got), all.Len())
			}
		})
	}
}

func TestDropFrontOfEverything(t *testing.T) {
	w := newTestWriter(t, Options{})
	e := create(t, w, "a/b")
	e.KeepEnd(10)
	fmt.Fprint(e, "one\ntwo\n")
	if n := e.DropFront(100); n != 8 {
		t.Errorf("dropped %d, want 8", n)
	}
	fmt.Fprint(e, "three\n")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	done, _ := finish(t, w)
	files, m := readFinished(t, done)
	if got := files["a/b"]; got != "three\n" || fileOf(t, m, "a/b").CutFront != 8 {
		t.Errorf("got %q, %+v", got, m.Files)
	}
}

func TestEntriesInParallel(t *testing.T) {
	w := newTestWriter(t, Options{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			e, err := w.Create(fmt.Sprintf("c/%d", i))
			if err != nil {
				t.Error(err)
				return
			}
			for range 1000 {
				fmt.Fprintf(e, "entry %d\n", i)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	done, _ := finish(t, w)
	files, _ := readFinished(t, done)
	for i := range 16 {
		if got := files[fmt.Sprintf("c/%d", i)]; got != strings.Repeat(fmt.Sprintf("entry %d\n", i), 1000) {
			t.Errorf("entry %d has %d bytes", i, len(got))
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	r, err := redact.New(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	w := newTestWriter(t, Options{Redactor: r})
	put(t, w, "a/plain", "nothing here\n")
	put(t, w, "a/secret", "password=hunter2-hunter2\n")
	m := &manifest.Manifest{Collectors: []manifest.Result{{
		Collector: "a", State: manifest.OK, Reason: "r password=hunter2-hunter2", Notes: []string{"token=hunter2-hunter2"},
		Commands: []manifest.Command{{Line: "x --token=hunter2-hunter2", Stderr: "secret: hunter2-hunter2"}},
	}}}
	done, err := w.Close(m)
	if err != nil {
		t.Fatal(err)
	}
	files, read := readFinished(t, done)
	text, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(files["a/secret"], "hunter2") || bytes.Contains(text, []byte("hunter2")) {
		t.Errorf("a secret is left: %q\n%s", files["a/secret"], text)
	}
	if n := len(fileOf(t, read, "a/secret").Redactions); n != 1 || len(fileOf(t, read, "a/plain").Redactions) != 0 {
		t.Errorf("redactions: %+v", read.Files)
	}
	if !read.Redaction.Enabled || len(read.Redaction.Counts) == 0 {
		t.Errorf("redaction: %+v", read.Redaction)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w := newTestWriter(t, Options{Path: filepath.Join(dir, "n.zip")})
	put(t, w, "a/b", "x")
	w.Abort()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestKilledRunIsReadable reads what a killed run leaves: the unfinished archive.
func TestKilledRunIsReadable(t *testing.T) {
	w := newTestWriter(t, Options{})
	put(t, w, "a/one", "first")
	put(t, w, "a/two", "second")
	f, err := os.Open(w.opts.Path + Partial)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := Open(f, w.offset)
	if !errors.Is(err, ErrTruncated) {
		t.Fatalf("got %v, want ErrTruncated", err)
	}
	for name, want := range map[string]string{"a/one": "first", "a/two": "second"} {
		if got, err := fs.ReadFile(b, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestDirectoryZip64(t *testing.T) {
	records := []record{{name: "a", method: methodDeflate, offset: 5 << 30, modTime: time.Now()}}
	var buf bytes.Buffer
	if err := writeDirectory(&buf, records, 6<<30); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(offsetReader{&buf, 6 << 30}, 6<<30+int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if len(z.File) != 1 || z.File[0].Name != "a" {
		t.Errorf("got %+v", z.File)
	}
}

// An offsetReader is a file of which only the end exists.
type offsetReader struct {
	buf   *bytes.Buffer
	start int64
}

func (o offsetReader) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if before := o.start - off; before > 0 {
		n = int(min(before, int64(len(p))))
		clear(p[:n])
	}
	n += copy(p[n:], o.buf.Bytes()[min(max(off-o.start, 0), int64(o.buf.Len())):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
