package bundle

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

// An archive is a zip made by hand, so that any of it can be wrong.
type archive struct {
	buf     bytes.Buffer
	records []record
}

var testTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func deflated(t testing.TB, data string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, Level)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// add appends an entry; change may falsify its headers.
func (a *archive) add(t testing.TB, name, data string, change ...func(*record)) *archive {
	t.Helper()
	body := deflated(t, data)
	r := record{
		name: name, modTime: testTime, method: methodDeflate, crc: crc32.ChecksumIEEE([]byte(data)),
		compressed: int64(len(body)), size: int64(len(data)), offset: int64(a.buf.Len()),
	}
	for _, c := range change {
		c(&r)
	}
	a.buf.Write(r.localHeader())
	a.buf.Write(body)
	a.records = append(a.records, r)
	return a
}

func (a *archive) close(t testing.TB) []byte {
	t.Helper()
	if err := writeDirectory(&a.buf, a.records, int64(a.buf.Len())); err != nil {
		t.Fatal(err)
	}
	return a.buf.Bytes()
}

func openBytes(data []byte) (*Bundle, error) { return Open(bytes.NewReader(data), int64(len(data))) }

func mustOpen(t testing.TB, data []byte) *Bundle {
	t.Helper()
	b, err := openBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// contents reads all files; an unreadable one yields its error.
func contents(t testing.TB, fsys fs.FS) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := readAll(fsys, name)
		if err != nil {
			text = "error: " + err.Error()
		}
		got[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// readAll also returns what was read before an error.
func readAll(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	return string(data), err
}

const smallManifest = `{"format":1,"runID":"2026-03-04T05-06-07Z","node":"node-1","outcome":"Succeeded"}`

func TestOpen(t *testing.T) {
	big := strings.Repeat("a line of a log\n", 10_000)
	want := map[string]string{"os/release.json": "{}", "podlogs/ns/pod/0.log": big, "podlogs/empty": "", manifest.Name: smallManifest}

	ours := &archive{}
	foreign := &bytes.Buffer{}
	z := zip.NewWriter(foreign)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		ours.add(t, name, want[name])
		method := zip.Deflate
		if name == "os/release.json" {
			method = zip.Store
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: testTime})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, want[name])
	}
	if _, err := z.Create("podlogs/"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.SetComment("a comment"), z.Close()); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ours": ours.close(t), "archive/zip": foreign.Bytes()} {
		t.Run(name, func(t *testing.T) {
			b := mustOpen(t, data)
			if err := fstest.TestFS(b, slices.Collect(maps.Keys(want))...); err != nil {
				t.Error(err)
			}
			if got := contents(t, b); !maps.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			info, err := b.Stat("os/release.json")
			if err != nil || !info.ModTime().Equal(testTime) || info.Size() != 2 {
				t.Errorf("Stat = %v, %v", info, err)
			}
			if p := b.Problems(); len(p) > 0 {
				t.Errorf("problems: %q", p)
			}
			m, err := b.Manifest()
			if err != nil || m.Node != "node-1" {
				t.Errorf("Manifest = %+v, %v", m, err)
			}
		})
	}
}

func TestNewFS(t *testing.T) {
	a := (&archive{}).add(t, "x/a", "first").add(t, "x/b", "second")
	body := deflated(t, "third")
	inMemory := record{name: "y", method: methodDeflate, crc: crc32.ChecksumIEEE([]byte("third")), compressed: int64(len(body)), size: 5, mem: body}
	fsys := newFS(bytes.NewReader(a.buf.Bytes()), append(a.records, inMemory))
	want := map[string]string{"x/a": "first", "x/b": "second", "y": "third"}
	if got := contents(t, fsys); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCutAtEveryByte cuts an archive everywhere: what lies before the cut is readable, the
// entry in the cut is readable up to it, and there is nothing else.
func TestCutAtEveryByte(t *testing.T) {
	a := (&archive{}).add(t, "a/one", strings.Repeat("one ", 40)).add(t, "a/two", "2").add(t, "empty", "").
		add(t, "b/three", "some text that hardly compresses: q9Xz7").add(t, manifest.Name, smallManifest)
	records := slices.Clone(a.records)
	whole := slices.Clone(a.close(t))
	want := contents(t, mustOpen(t, whole))
	for n := range len(whole) {
		b, err := openBytes(whole[:n])
		if n < 4 {
			if b != nil || err == nil || !strings.Contains(err.Error(), "not a bundle") {
				t.Fatalf("cut at %d: Open = %v, %v; want no bundle", n, b, err)
			}
			continue
		}
		if b == nil || !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d: Open = %v, %v; want a bundle and ErrTruncated", n, b, err)
		}
		checkCut(t, b, records, want, int64(n))
	}
}

func checkCut(t *testing.T, b *Bundle, records []record, want map[string]string, n int64) {
	t.Helper()
	offered := 0
	for _, r := range records {
		got, err := readAll(b, r.name)
		switch {
		case n >= r.data()+r.compressed:
			offered++
			if got != want[r.name] || err != nil {
				t.Fatalf("cut at %d: %s = %q, %v", n, r.name, got, err)
			}
		case n >= r.data():
			offered++
			if !strings.HasPrefix(want[r.name], got) || !errors.Is(err, ErrTruncated) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d: %s = %q, %v; want its start and ErrTruncated", n, r.name, got, err)
			}
			if p := strings.Join(b.Problems(), "\n"); !strings.Contains(p, r.name) {
				t.Fatalf("cut at %d: problems %q do not name %s", n, p, r.name)
			}
		case !errors.Is(err, fs.ErrNotExist):
			t.Fatalf("cut at %d: %s: %v, want ErrNotExist", n, r.name, err)
		}
	}
	if got := len(contents(t, b)); got != offered {
		t.Fatalf("cut at %d: %d files, want %d", n, got, offered)
	}
}

func TestCutEntryYieldsWhatIsThere(t *testing.T) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "line %d of a long log\n", i)
	}
	a := (&archive{}).add(t, "log", text.String())
	data := a.buf.Bytes()[:a.buf.Len()/2]
	b, err := openBytes(data)
	if !errors.Is(err, ErrTruncated) {
		t.Fatalf("Open: %v, want ErrTruncated", err)
	}
	got, err := readAll(b, "log")
	if !errors.Is(err, ErrTruncated) {
		t.Errorf("read: %v, want ErrTruncated", err)
	}
	if !strings.HasPrefix(text.String(), got) || len(got) < text.Len()/4 {
		t.Errorf("%d bytes of %d were readable", len(got), text.Len())
	}
	if _, err := b.Manifest(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Manifest: %v, want ErrNotExist", err)
	}
}

func TestRefusedEntries(t *testing.T) {
	const good = "good"
	mode := func(m uint32) func([]byte) {
		return func(central []byte) { binary.LittleEndian.PutUint32(central[38:], m<<16) }
	}
	flags := func(central []byte) { central[8] |= flagEncrypted }
	tests := []struct {
		name, entry string
		central     func([]byte) // falsifies the central header
		want        string       // in the problem
	}{
		{"parent", "../evil", nil, "may leave"},
		{"parent inside", "a/../../evil", nil, "may leave"},
		{"parent at the end", "a/..", nil, "may leave"},
		{"absolute", "/etc/passwd", nil, "not a valid path"},
		{"drive", "C:/evil", nil, "may leave"},
		{"drive, relative", "c:evil", nil, "may leave"},
		{"backslash", `..\evil`, nil, "may leave"},
		{"nul", "evil\x00.txt", nil, "may leave"},
		{"invalid UTF-8", "evil\xff", nil, "not a valid path"},
		{"empty", "", nil, "not a valid path"},
		{"dot", ".", nil, "not a valid path"},
		{"too deep", strings.Repeat("x/", maxDepth) + "x", nil, "too long"},
		{"too long", strings.Repeat("x", maxName+1), nil, "too long"},
		{"duplicate", good, nil, "another entry has this name"},
		{"duplicate after cleaning", "./" + good, nil, "another entry has this name"},
		{"below a file", good + "/evil", nil, "a file and a folder"},
		{"folder with a file's name", good + "/", nil, "folder with content"},
		{"file with a folder's name", "folder", nil, "a file and a folder"},
		{"link", "link", mode(0o120777), "link or a device"},
		{"device", "device", mode(0o020666), "link or a device"},
		{"pipe", "pipe", mode(0o010666), "link or a device"},
		{"encrypted", "secret", flags, "encrypted"},
		{"unknown method", "zstd", func(c []byte) { c[10] = 93 }, "unknown method 93"},
		{"more than 2 GiB", "big", func(c []byte) { binary.LittleEndian.PutUint32(c[24:], 3<<30) }, "declares more than"},
		{"beyond the archive", "far", func(c []byte) { binary.LittleEndian.PutUint32(c[42:], 1<<30) }, "beyond the archive"},
		{"longer than the archive", "long", func(c []byte) { binary.LittleEndian.PutUint32(c[20:], 1<<30) }, "beyond the archive"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := (&archive{}).add(t, good, "good text").add(t, "folder/file", "more").add(t, manifest.Name, smallManifest).add(t, tt.entry, "evil text")
			start := a.buf.Len()
			data := a.close(t)
			if tt.central != nil {
				i := bytes.LastIndex(data, binary.LittleEndian.AppendUint32(nil, sigCentral))
				if i < start {
					t.Fatal("no central header")
				}
				tt.central(data[i:])
			}
			b := mustOpen(t, data)
			want := map[string]string{good: "good text", "folder/file": "more", manifest.Name: smallManifest}
			if got := contents(t, b); !maps.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			problems := b.Problems()
			if len(problems) != 1 || !strings.Contains(problems[0], tt.want) {
				t.Errorf("problems %q, want one with %q", problems, tt.want)
			}
			if strings.ContainsFunc(strings.Join(problems, ""), func(r rune) bool { return r < ' ' }) {
				t.Errorf("problems %q are not fit for a terminal", problems)
			}
		})
	}
}

func TestLiesAboutContent(t *testing.T) {
	text := strings.Repeat("0123456789", 1000)
	tests := []struct {
		name   string
		change func(*record)
		read   int // bytes before the error
		want   string
	}{
		{"declares less", func(r *record) { r.size = 100 }, 100, "more than the archive declares"},
		{"declares nothing", func(r *record) { r.size = 0 }, 0, "more than the archive declares"},
		{"declares more", func(r *record) { r.size++ }, len(text), "unexpected EOF"},
		{"checksum", func(r *record) { r.crc++ }, len(text), "checksum"},
		{"checksum 0", func(r *record) { r.crc = 0 }, len(text), "checksum"},
		{"stored, not deflated", func(r *record) { r.method = methodStore }, -1, "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := mustOpen(t, (&archive{}).add(t, "f", text, tt.change).close(t))
			got, err := readAll(b, "f")
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrTruncated) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if tt.read >= 0 && len(got) != tt.read {
				t.Errorf("read %d bytes, want %d", len(got), tt.read)
			}
		})
	}
}

func TestOverlappingEntries(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records func(t *testing.T, a *archive)
		want    []string // offered
	}{
		{"all point to one", func(_ *testing.T, a *archive) {
			for i := range 100 {
				r := a.records[0]
				r.name = fmt.Sprintf("copy%02d", i)
				a.records = append(a.records, r)
			}
		}, []string{"after"}},
		{"each holds the next", func(_ *testing.T, a *archive) {
			a.records[0].compressed = a.records[1].data() + a.records[1].compressed - a.records[0].data()
		}, []string{"after"}},
		{"reaches into the directory", func(_ *testing.T, a *archive) {
			last := &a.records[len(a.records)-1]
			last.offset = int64(a.buf.Len()) - localSize
			last.compressed = 0
		}, []string{"one", "two"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := (&archive{}).add(t, "one", "1").add(t, "two", "2").add(t, "after", "3")
			tt.records(t, a)
			if tt.name == "all point to one" {
				a.records = slices.Delete(a.records, 1, 2)
			}
			b := mustOpen(t, a.close(t))
			if got := slices.Sorted(maps.Keys(contents(t, b))); !slices.Equal(got, tt.want) {
				t.Errorf("offered %q, want %q", got, tt.want)
			}
			if p := strings.Join(b.Problems(), "\n"); !strings.Contains(p, "overlaps") {
				t.Errorf("problems %q do not tell", p)
			}
		})
	}
}

func TestLocalHeaderOfAnother(t *testing.T) {
	a := (&archive{}).add(t, "innocent", "text of the innocent")
	a.records[0].name = "important"
	b := mustOpen(t, a.close(t))
	if _, err := b.Open("important"); err == nil || !strings.Contains(err.Error(), "points to something else") {
		t.Errorf("Open: %v, want an error: the names differ", err)
	}
}

// TestLongLocalHeader has a local header whose extra field pushes the data into the next
// entry, which only shows when it is read.
func TestLongLocalHeader(t *testing.T) {
	a := (&archive{}).add(t, "one", "1111").add(t, "two", "2222")
	data := a.close(t)
	binary.LittleEndian.PutUint16(data[28:], timeExtraSize+5)
	if _, err := mustOpen(t, data).Open("one"); !errors.Is(err, errOverlap) {
		t.Errorf("Open: %v, want errOverlap", err)
	}
}

func TestNotABundle(t *testing.T) {
	const size = centralSize * (maxEntries + 1)
	tooMany := append(make([]byte, size), endOfDirectory(maxEntries+1, size, 0)...)
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "not a bundle: it is empty"},
		{"text", []byte("just a log file\n"), "not a bundle: it is no zip archive"},
		{"gzip", []byte("\x1f\x8b\x08\x00"), "not a bundle: it is no zip archive"},
		{"short", []byte("PK"), "not a bundle: it is no zip archive"},
		{"too many entries declared", tooMany, "more than 1000000 entries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := openBytes(tt.data)
			if b != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v, %v; want %q", b, err, tt.want)
			}
		})
	}
}

// TestFoldersCount has few entries whose names imply many folders.
func TestFoldersCount(t *testing.T) {
	tree := newTree(nil)
	tree.room = 10
	for i, want := range []error{nil, nil, errTooMany} {
		err := tree.admit(&member{header: header{record: record{name: fmt.Sprintf("%d/a/b/f", i)}}})
		if !errors.Is(err, want) {
			t.Errorf("entry %d: %v, want %v", i, err, want)
		}
	}
}

// TestWrongDirectory damages the directory: the entries are still found by their local
// headers.
func TestWrongDirectory(t *testing.T) {
	whole := func() ([]byte, int) {
		a := (&archive{}).add(t, "one", "1").add(t, "two", "2")
		start := a.buf.Len()
		return slices.Clone(a.close(t)), start
	}
	end := func(data []byte) []byte { return data[len(data)-endSize:] }
	tests := map[string]func(data []byte, start int) []byte{
		"signature":        func(data []byte, start int) []byte { data[start] = 'X'; return data },
		"second signature": func(data []byte, start int) []byte { data[start+centralHeaderSize("one")] = 'X'; return data },
		"count too small":  func(data []byte, _ int) []byte { end(data)[8], end(data)[10] = 1, 1; return data },
		"count too large":  func(data []byte, _ int) []byte { end(data)[8], end(data)[10] = 3, 3; return data },
		"count far too large": func(data []byte, _ int) []byte {
			binary.LittleEndian.PutUint32(end(data)[8:], math.MaxUint32)
			return data
		},
		"offset":           func(data []byte, _ int) []byte { end(data)[16]++; return data },
		"size":             func(data []byte, _ int) []byte { end(data)[12]++; return data },
		"disk":             func(data []byte, _ int) []byte { end(data)[4]++; return data },
		"name length":      func(data []byte, start int) []byte { data[start+29] = 0xff; return data },
		"bytes in between": func(data []byte, start int) []byte { return slices.Insert(data, start, 0, 0, 0, 0) },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := openBytes(damage(whole()))
			if !errors.Is(err, ErrTruncated) {
				t.Fatalf("Open: %v, want ErrTruncated", err)
			}
			want := map[string]string{"one": "1", "two": "2"}
			if got := contents(t, b); !maps.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestTrailingBytes(t *testing.T) {
	data := (&archive{}).add(t, "one", "1").close(t)
	b := mustOpen(t, append(data, make([]byte, 1000)...))
	if got := contents(t, b)["one"]; got != "1" {
		t.Errorf("got %q", got)
	}
}

func TestScanStops(t *testing.T) {
	first := func() *archive { return (&archive{}).add(t, "one", "1") }
	withDescriptor := first()
	at := withDescriptor.buf.Len()
	withDescriptor.add(t, "two", "2").add(t, "three", "3")
	withDescriptor.buf.Bytes()[at+6] |= flagSizesAfter
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"foreign entry", withDescriptor.buf.Bytes(), `"two": its size is only known from the directory`},
		{"garbage", append(first().buf.Bytes(), "not an entry, but quite long enough to be one"...), "45 bytes at offset 50 are no entry"},
		{"zeros", append(first().buf.Bytes(), make([]byte, 4096)...), "4096 bytes at offset 50 are no entry"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := openBytes(tt.data)
			if !errors.Is(err, ErrTruncated) {
				t.Fatalf("Open: %v, want ErrTruncated", err)
			}
			if got := contents(t, b); !maps.Equal(got, map[string]string{"one": "1"}) {
				t.Errorf("got %q", got)
			}
			if p := b.Problems(); len(p) != 1 || !strings.Contains(p[0], tt.want) {
				t.Errorf("problems %q, want %q", p, tt.want)
			}
		})
	}
}

func TestZip64(t *testing.T) {
	const n = math.MaxUint16 + 10
	ours := &archive{}
	body := deflated(t, "x")
	for i := range n {
		r := record{name: fmt.Sprintf("d/%d", i), method: methodDeflate, crc: crc32.ChecksumIEEE([]byte("x")), compressed: int64(len(body)), size: 1, offset: int64(ours.buf.Len())}
		ours.buf.Write(r.localHeader())
		ours.buf.Write(body)
		ours.records = append(ours.records, r)
	}
	foreign := &bytes.Buffer{}
	z := zip.NewWriter(foreign)
	for i := range n {
		w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("d/%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, "x")
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ours": ours.close(t), "archive/zip": foreign.Bytes()} {
		t.Run(name, func(t *testing.T) {
			b := mustOpen(t, data)
			list, err := b.ReadDir("d")
			if err != nil || len(list) != n {
				t.Fatalf("%d files, %v; want %d", len(list), err, n)
			}
			if got, err := readAll(b, fmt.Sprintf("d/%d", n-1)); got != "x" || err != nil {
				t.Errorf("last file %q, %v", got, err)
			}
		})
	}
}

// TestZip64Offset has an entry beyond 4 GiB, behind a hole.
func TestZip64Offset(t *testing.T) {
	const far = 5 << 30
	name := filepath.Join(t.TempDir(), "far.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := (&archive{}).add(t, "far", "away", func(r *record) { r.offset = far })
	if _, err := f.WriteAt(a.buf.Bytes(), far); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	var dir bytes.Buffer
	start := int64(far + a.buf.Len())
	if err := writeDirectory(&dir, a.records, start); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(dir.Bytes(), start); err != nil {
		t.Fatal(err)
	}
	b, err := Open(f, start+int64(dir.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, b); !maps.Equal(got, map[string]string{"far": "away"}) {
		t.Errorf("got %q", got)
	}
}

func TestManifest(t *testing.T) {
	with := func(text string) []byte {
		return (&archive{}).add(t, "os/a", "12345").add(t, manifest.Name, text).close(t)
	}
	tooBig := (&archive{}).add(t, manifest.Name, smallManifest, func(r *record) { r.size = maxManifestRead + 1 }).close(t)
	tests := []struct {
		name     string
		data     []byte
		err      string
		problems []string
	}{
		{"none", (&archive{}).add(t, "a", "a").close(t), "no bundle of Periscope", []string{"no bundle of Periscope"}},
		{"no JSON", with("hello"), "read manifest.json", []string{"read manifest.json"}},
		{"other JSON", with("{}"), "not a bundle's manifest", []string{"not a bundle's manifest"}},
		{"newer", with(`{"format":99}`), "newer", []string{"newer"}},
		{"too big", tooBig, "longer than", []string{"longer than"}},
		{"whole", with(`{"format":1,"files":[{"name":"os/a","size":5}]}`), "", nil},
		{"missing and different", with(`{"format":1,"files":[{"name":"os/a","size":7},{"name":"os/\u001bb"},{"name":"os"},{"name":"../x"}]}`), "",
			[]string{`"os/a" has 5 bytes, by the manifest 7`, `"os/\x1bb" is missing`, `"os" has 0 bytes`, "invalid argument"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := mustOpen(t, tt.data)
			m, err := b.Manifest()
			if tt.err == "" != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.err)) || (m == nil) != (err != nil) {
				t.Errorf("Manifest = %v, %v; want %q", m, err, tt.err)
			}
			got := b.Problems()
			if len(got) != len(tt.problems) {
				t.Fatalf("problems %q, want %q", got, tt.problems)
			}
			for i, want := range tt.problems {
				if !strings.Contains(got[i], want) {
					t.Errorf("problem %q, want %q", got[i], want)
				}
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var p problems
	for i := range maxProblems + 50 {
		p.add("problem %d", i)
	}
	got := p.all()
	if len(got) != maxProblems+1 || got[maxProblems] != "and 50 more problems" {
		t.Errorf("%d problems, the last %q", len(got), got[len(got)-1])
	}
}

type failingReader struct{ err error }

func (f failingReader) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestReadErrorIsNoCut(t *testing.T) {
	broken := errors.New("the cable is out")
	if b, err := Open(failingReader{broken}, 1000); b != nil || !errors.Is(err, broken) || errors.Is(err, ErrTruncated) {
		t.Errorf("Open = %v, %v; want the reader's error", b, err)
	}
	if b, err := Open(bytes.NewReader(nil), 1000); b != nil || err == nil || errors.Is(err, ErrTruncated) {
		t.Errorf("Open of a file that became shorter = %v, %v", b, err)
	}
}

func TestReadAfterClose(t *testing.T) {
	f, err := mustOpen(t, (&archive{}).add(t, "a", "text").close(t)).Open("a")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Read: %v, want ErrClosed", err)
	}
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second Close: %v, want ErrClosed", err)
	}
}

func TestReadInParallel(t *testing.T) {
	a := &archive{}
	for i := range 8 {
		a.add(t, fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), 100_000))
	}
	b := mustOpen(t, a.add(t, manifest.Name, smallManifest).close(t))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			got, err := readAll(b, fmt.Sprint(i))
			if want := strings.Repeat(fmt.Sprint(i), 100_000); got != want || err != nil {
				t.Errorf("file %d: %d bytes, %v", i, len(got), err)
			}
			b.Problems()
		})
	}
	wg.Wait()
}

func FuzzOpen(f *testing.F) {
	a := (&archive{}).add(f, "a/b", "text\n").add(f, "c", "").add(f, manifest.Name, `{"format":1,"files":[{"name":"a/b","size":5}]}`)
	whole := slices.Clone(a.close(f))
	f.Add(whole)
	f.Add(whole[:len(whole)-30])
	f.Add(whole[:60])
	f.Add((&archive{}).add(f, "../x", "y").add(f, "./c", "d").close(f))
	f.Add(endOfDirectory(70_000, 70_000*46, 0))
	var foreign bytes.Buffer
	z := zip.NewWriter(&foreign)
	for _, name := range []string{"dir/", "dir/file", "x"} {
		w, err := z.Create(name)
		if err != nil {
			f.Fatal(err)
		}
		if !strings.HasSuffix(name, "/") {
			io.WriteString(w, strings.Repeat(name, 100))
		}
	}
	z.Close()
	f.Add(foreign.Bytes())

	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := openBytes(data)
		if b == nil {
			if err == nil {
				t.Fatal("neither bundle nor error")
			}
			return
		}
		if err != nil && !errors.Is(err, ErrTruncated) {
			t.Fatalf("a bundle and the error %v", err)
		}
		b.Problems()
		err = fs.WalkDir(b, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
				t.Fatalf("name %q", name)
			}
			if !d.IsDir() {
				fuzzRead(t, b, name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// fuzzRead reads at most 1 MiB of a file.
func fuzzRead(t *testing.T, b *Bundle, name string) {
	f, err := b.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	const most = 1 << 20
	n, err := io.Copy(io.Discard, io.LimitReader(f, most))
	if n > info.Size() || (err == nil && n < most && n != info.Size()) {
		t.Fatalf("%q declares %d bytes, read %d, %v", name, info.Size(), n, err)
	}
}
