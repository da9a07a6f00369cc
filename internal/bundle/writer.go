// Package bundle provides the archive that one run makes for one node: a Writer that
// spools, masks and compresses evidence as it arrives, and Open, which reads a bundle
// back, whole or cut, from a file, a folder or a URL. FORMAT.md beside the code describes
// the bytes.
//
// A bundle is a zip whose last entry is the manifest. Every entry is complete in a spool
// file before it is appended, so an archive that a killed run left behind is readable up
// to the last entry that was appended.
//
// Memory is bounded by the number of open entries (about 1 MiB each), never by their
// sizes. When the disk is full or breaks, the Writer goes on in memory with the newest
// part of each file, at most MaxRescue bytes; nothing is lost without a line in the
// manifest.
//
// What is in a bundle is hostile input to its reader; see Bundle for what Open refuses.
package bundle

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/periscope-k8s/periscope/internal/manifest"
	"github.com/periscope-k8s/periscope/internal/redact"
)

const (
	// Level is the flate level of entries.
	Level = 5

	// MaxEntry is the most bytes of one entry before compression. Longer files go on in
	// further entries, named NAME.001, NAME.002 and so on.
	MaxEntry = 2<<30 - 1<<20

	// Partial is the suffix of an archive that is not closed yet.
	Partial = ".partial"

	reserveSize = 1 << 20 // held back on disk, so that a full disk leaves room for manifest and directory
)

// Options say where a Writer writes, and what it masks.
type Options struct {
	Path     string           // of the archive; it has the suffix Partial until Close. Its folder exists and takes the spool files too.
	Redactor *redact.Redactor // masks every byte of every entry; nil masks nothing
	Order    []string         // folders of entries in order of priority, for what a broken disk spares
	Relieve  func() bool      // called when the disk is full; true: it freed something, try again
}

// A Writer writes one bundle. Its methods may be called from several goroutines; each
// entry is written by one.
type Writer struct {
	opts      Options
	deflaters sync.Pool
	tails     sync.Pool

	mu       sync.Mutex
	file     *os.File // nil when the disk was broken from the start
	reserve  *os.File
	offset   int64 // end of the last whole entry
	records  []record
	files    []manifest.File // one for each record
	names    map[string]bool // of entries; true: of folders above them
	broken   error           // first failure of the disk
	memory   []rescued
	problems []string
	closed   bool
}

// NewWriter starts an archive at Options.Path + Partial; a file of that name is replaced.
// On a full or broken disk it does not fail but starts in memory.
func NewWriter(opts Options) (*Writer, error) {
	w := &Writer{opts: opts, names: map[string]bool{}}
	file, err := openArchive(opts.Path + Partial)
	if err == nil {
		w.file = file
		w.reserve, err = reserve(filepath.Dir(opts.Path), reserveSize)
	}
	if isDiskFailure(err) {
		w.broken = err
		return w, nil
	}
	if err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// openArchive opens the file such that it can be renamed while it is open, on Windows too:
// os.Root shares that right, os.OpenFile does not.
func openArchive(name string) (*os.File, error) {
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.OpenFile(filepath.Base(name), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
}

// Create starts an entry; name is a slash-separated relative path, unique within the
// bundle. The entry is in the archive, and its bytes are safe, when its Close returns nil.
// Its further methods (KeepEnd, DropFront, Describe) are what package collect looks for.
func (w *Writer) Create(name string) (io.WriteCloser, error) {
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") || len(name) > 4096 {
		return nil, fmt.Errorf("create %q: not a valid entry name", name)
	}
	if w.opts.Redactor != nil {
		name = w.opts.Redactor.String(name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, fmt.Errorf("create %s: %w", name, os.ErrClosed)
	}
	if err := w.claim(name); err != nil {
		return nil, err
	}
	return newEntry(w, name), nil
}

// claim takes a name. A name cannot be a file's and a folder's at once: such an archive
// cannot be unpacked. The caller holds w.mu.
func (w *Writer) claim(name string) error {
	if _, taken := w.names[name]; taken || name == manifest.Name {
		return fmt.Errorf("create %s: %w", name, fs.ErrExist)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if folder, taken := w.names[dir]; taken && !folder {
			return fmt.Errorf("create %s: %s is a file: %w", name, dir, fs.ErrExist)
		}
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		w.names[dir] = true
	}
	w.names[name] = false
	return nil
}

// FS reads the entries that are closed by now.
func (w *Writer) FS() fs.FS {
	w.mu.Lock()
	defer w.mu.Unlock()
	records := slices.Clone(w.records)
	for _, m := range w.memory {
		records = append(records, m.record)
	}
	return newFS(w.file, records)
}

// A Finished bundle is on disk, or in memory when the disk no longer took it.
type Finished struct {
	Path   string // "" when in memory
	Size   int64
	Memory []byte // the archive; nil when it is on disk
}

// Close completes m with what the Writer knows (files, counts, losses, the outcome),
// masks its texts, appends it as the last entry and finishes the archive. All entries are
// closed before. On a disk failure it finishes the archive as well as that disk, then
// memory, allows; an error means that there is no bundle.
func (w *Writer) Close(m *manifest.Manifest) (Finished, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return Finished{}, os.ErrClosed
	}
	w.closed = true
	defer w.release()
	if w.broken == nil {
		err := w.finish(m)
		if err == nil || !isDiskFailure(err) {
			return Finished{Path: w.opts.Path, Size: w.offset}, err
		}
		w.broken = err
	}
	return w.rescue(m)
}

// finish appends manifest and directory to the archive on disk and gives it its name.
// After an error the archive and m are as before.
func (w *Writer) finish(m *manifest.Manifest) error {
	end, whole := w.offset, len(w.records)
	full := w.complete(m)
	err := w.appendManifest(full)
	if err == nil {
		err = w.publish()
	}
	if err != nil {
		w.offset, w.records = end, w.records[:whole]
		return err
	}
	*m = full
	return nil
}

// complete returns m with what the Writer knows added, and masked.
func (w *Writer) complete(m *manifest.Manifest) manifest.Manifest {
	full := *m
	full.Format = manifest.Format
	full.Files = slices.Clone(w.files)
	full.Problems = append(slices.Clone(m.Problems), w.problems...)
	full.Redaction = manifest.Redaction{Enabled: w.opts.Redactor != nil, Counts: map[string]int64{}}
	for _, f := range full.Files {
		for rule, n := range f.Redactions {
			full.Redaction.Counts[rule] += n
		}
	}
	full.Judge()
	if w.opts.Redactor != nil {
		full.Mask(w.opts.Redactor.String)
	}
	return full
}

// encode makes the entry of a manifest.
func (w *Writer) encode(m manifest.Manifest) (record, error) {
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return record{}, fmt.Errorf("encode %s: %w", manifest.Name, err)
	}
	return w.compress(manifest.Name, append(data, '\n'), time.Now())
}

func (w *Writer) appendManifest(m manifest.Manifest) error {
	rec, err := w.encode(m)
	if err != nil {
		return err
	}
	return w.append(rec, bytesStore(rec.mem))
}

// publish writes the directory, cuts off what a failed write left behind it, and gives the
// archive its name.
func (w *Writer) publish() error {
	if _, err := w.file.Seek(w.offset, io.SeekStart); err != nil {
		return err
	}
	buf := bufio.NewWriter(w.file)
	err := errors.Join(writeDirectory(buf, w.records, w.offset), buf.Flush())
	if err != nil {
		return err
	}
	end, err := w.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if err := errors.Join(w.file.Truncate(end), w.file.Sync()); err != nil {
		return err
	}
	w.offset = end
	return os.Rename(w.opts.Path+Partial, w.opts.Path)
}

// append adds an entry whose compressed bytes are those of the stores. On an error the
// archive is as before. The caller holds w.mu.
func (w *Writer) append(rec record, bodies ...store) error {
	if w.file == nil {
		return w.broken
	}
	rec.offset = w.offset
	err := w.writeAt(w.offset, rec, bodies)
	if err != nil {
		// What is behind offset is overwritten or cut off later; truncating now only
		// frees the space early.
		_ = w.file.Truncate(w.offset)
		return fmt.Errorf("append %s: %w", rec.name, err)
	}
	rec.mem = nil
	w.offset = rec.data() + rec.compressed
	w.records = append(w.records, rec)
	return nil
}

func (w *Writer) writeAt(offset int64, rec record, bodies []store) error {
	if _, err := w.file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	if err := w.insist(rec.localHeader()); err != nil {
		return err
	}
	for _, b := range bodies {
		if err := b.copyTo(w.file, w.relieve); err != nil {
			return err
		}
	}
	return nil
}

// insist writes p to the archive, making room when the disk is full.
func (w *Writer) insist(p []byte) error { return insist(w.file, p, w.relieve) }

func (w *Writer) relieve() bool { return w.opts.Relieve != nil && w.opts.Relieve() }

// add appends a finished part of an entry and its line in the manifest.
func (w *Writer) add(rec record, f manifest.File, bodies ...store) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	if err := w.append(rec, bodies...); err != nil {
		return err
	}
	w.files = append(w.files, f)
	return nil
}

// noteBroken remembers the first failure of the disk. Entries begun later stay in memory,
// unless it was just full: what then fell back has left room.
func (w *Writer) noteBroken(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil || isFull(w.broken) {
		w.broken = err
	}
}

// partName returns the name of part n of an entry, distinct from all others.
func (w *Writer) partName(name string, n int) string {
	if n == 0 {
		return name
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	part := fmt.Sprintf("%s.%03d", name, n)
	for w.claim(part) != nil {
		part += "~"
	}
	return part
}

// Abort gives up and removes the unfinished archive. After Close it does nothing.
func (w *Writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	w.release()
	os.Remove(w.opts.Path + Partial)
}

func (w *Writer) release() {
	w.freeReserve()
	if w.file != nil {
		w.file.Close()
	}
}

func (w *Writer) freeReserve() {
	if w.reserve != nil {
		closeSpool(w.reserve)
		w.reserve = nil
	}
}

func (w *Writer) deflater(to io.Writer) (*flate.Writer, error) {
	if f, ok := w.deflaters.Get().(*flate.Writer); ok {
		f.Reset(to)
		return f, nil
	}
	return flate.NewWriter(to, Level)
}

// order is the priority of an entry: the place of its folder in Options.Order.
func (w *Writer) order(name string) int {
	folder, _, _ := strings.Cut(name, "/")
	if i := slices.Index(w.opts.Order, folder); i >= 0 {
		return i
	}
	return len(w.opts.Order)
}
