package bundle

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"crypto/sha256"

	"github.com/klauspost/compress/flate"

	"github.com/periscope-k8s/periscope/internal/manifest"
	"github.com/periscope-k8s/periscope/internal/redact"
)

// Segments of a log that keeps its end are small parts of its limit, so that little more
// is cut than must be.
const (
	segmentsPerLimit = 16
	minSegment       = 4 << 10
	maxSegment       = 4 << 20
)

// An entry is one open file of the bundle. Its bytes go through redaction, hash and
// compression into segments: byte-aligned pieces of one deflate stream that do not refer
// to each other, so that the first ones can be dropped. An ordinary entry has one segment
// for each part; a log has many.
type entry struct {
	w    *Writer
	name string

	mu      sync.Mutex
	masker  *redact.Writer // nil: nothing is masked
	counts  map[string]int64
	source  manifest.Source
	keepEnd bool
	limit   int64 // size at which a segment ends
	part    int
	current *segment
	kept    []*segment // of a log: ended and not dropped
	raw     int64      // bytes written and not dropped, before masking
	dropped int64      // bytes dropped at the front, after masking
	midLine bool       // the last byte put was not a line's end
	sum     sums       // of the current part
	tail    *tail      // newest bytes, for the case that the disk breaks
	broken  bool       // only tail is left
	err     error
	closed  bool
}

type sums struct {
	sha  hash.Hash
	crc  uint32
	size int64
}

func (s *sums) write(p []byte) {
	s.sha.Write(p)
	s.crc = crc32.Update(s.crc, crc32.IEEETable, p)
	s.size += int64(len(p))
}

func newSums() sums { return sums{sha: sha256.New()} }

func newEntry(w *Writer, name string) *entry {
	e := &entry{w: w, name: name, limit: MaxEntry, sum: newSums(), tail: w.newTail(), broken: w.broken != nil && !isFull(w.broken)}
	if r := w.opts.Redactor; r != nil {
		e.masker = r.NewWriter(sink{e})
	}
	return e
}

// KeepEnd makes the entry a log from which DropFront can drop: at most a sixteenth of
// limit more than it must. It is called before the first Write.
func (e *entry) KeepEnd(limit int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keepEnd = true
	e.limit = min(max(limit/segmentsPerLimit, minSegment), maxSegment)
}

// Describe adds to what the manifest says of the entry: cut bytes add up, a path or time
// replaces the one before.
func (e *entry) Describe(s manifest.Source) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.source.CutFront += s.CutFront
	e.source.CutEnd += s.CutEnd
	e.source.Partial = e.source.Partial || s.Partial
	if s.Path != "" {
		e.source.Path = s.Path
	}
	if !s.ModTime.IsZero() {
		e.source.ModTime = s.ModTime
	}
}

// Write masks and compresses p. After an error the entry is over.
func (e *entry) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return 0, fmt.Errorf("write %s: closed", e.name)
	}
	if e.err != nil {
		return 0, e.err
	}
	if e.masker != nil {
		_, e.err = e.masker.Write(p)
	} else {
		e.err = e.put(p)
	}
	if e.err != nil {
		return 0, e.err
	}
	e.raw += int64(len(p))
	return len(p), nil
}

// A sink receives the masked bytes of an entry.
type sink struct{ e *entry }

func (s sink) Write(p []byte) (int, error) {
	if err := s.e.put(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// put compresses p, ending segments where they are full. A failing disk is no error: the
// newest bytes are in the tail.
func (e *entry) put(p []byte) error {
	e.tail.write(p)
	for len(p) > 0 && !e.broken {
		n, err := e.putSome(p)
		if isDiskFailure(err) {
			e.fallBack(err)
		} else if err != nil {
			return err
		}
		p = p[n:]
	}
	if e.broken {
		e.sum.size += int64(len(p))
	}
	return nil
}

func (e *entry) putSome(p []byte) (int, error) {
	if e.current == nil {
		s, err := newSegment(e.w, !e.midLine)
		if err != nil {
			return 0, err
		}
		e.current = s
	}
	n, full := e.cutAt(p)
	e.sum.write(p[:n])
	if err := e.current.write(p[:n]); err != nil {
		return n, err
	}
	e.midLine = n > 0 && p[n-1] != '\n'
	if full {
		return n, e.endSegment()
	}
	return n, nil
}

// cutAt tells how much of p goes into the current segment, and whether it is full then: at
// the first line end behind the size aimed at, or at the greatest size.
func (e *entry) cutAt(p []byte) (n int, full bool) {
	aim, most := e.limit-e.limit/16, e.limit
	if e.keepEnd {
		aim, most = e.limit, 2*e.limit
	}
	size := e.current.size
	if size+int64(len(p)) < aim {
		return len(p), false
	}
	from, to := max(0, aim-size-1), min(int64(len(p)), most-size)
	if i := bytes.IndexByte(p[from:to], '\n'); i >= 0 {
		return int(from) + i + 1, true
	}
	return int(to), size+to == most
}

// endSegment ends the current segment: a log keeps it, another entry appends it as a part.
func (e *entry) endSegment() error {
	s := e.current
	if s == nil {
		return nil
	}
	if err := s.end(e.w); err != nil {
		return err
	}
	e.current = nil
	if e.keepEnd {
		e.kept = append(e.kept, s)
		return nil
	}
	err := e.appendPart([]*segment{s}, e.sum)
	if err != nil {
		s.store.free() // at once: a full disk needs its room
	}
	return err
}

// appendPart appends the segments to the archive as the next part of the entry.
func (e *entry) appendPart(segs []*segment, sum sums) error {
	name := e.w.partName(e.name, e.part)
	rec := record{name: name, modTime: e.modTime(), method: methodDeflate, crc: sum.crc, size: sum.size, compressed: int64(len(endOfStream))}
	bodies := make([]store, 0, len(segs)+1)
	for _, s := range segs {
		rec.compressed += s.store.size()
		bodies = append(bodies, s.store)
	}
	err := e.w.add(rec, e.describe(name, sum), append(bodies, bytesStore(endOfStream))...)
	if err != nil {
		return err
	}
	freeSegments(segs)
	e.described()
	e.part++
	e.sum = newSums()
	return nil
}

// describe makes the manifest's line for a part. What belongs to the whole entry goes to
// its first part.
func (e *entry) describe(name string, sum sums) manifest.File {
	return manifest.File{
		Name: name, Size: sum.size, SHA256: hex.EncodeToString(sum.sha.Sum(nil)),
		Source: e.source.Path, ModTime: e.source.ModTime.UTC(), Written: time.Now().UTC(),
		CutFront: e.source.CutFront + e.dropped, CutEnd: e.source.CutEnd, Partial: e.source.Partial,
		Redactions: e.newCounts(),
	}
}

// described makes the next part's line start from zero.
func (e *entry) described() {
	e.source.CutFront, e.source.CutEnd, e.dropped = 0, 0, 0
	if e.masker != nil {
		e.counts = maps.Clone(e.masker.Counts())
	}
}

// newCounts returns the redactions since the part before.
func (e *entry) newCounts() map[string]int64 {
	if e.masker == nil {
		return nil
	}
	fresh := maps.Clone(e.masker.Counts())
	for rule, n := range e.counts {
		if fresh[rule] -= n; fresh[rule] == 0 {
			delete(fresh, rule)
		}
	}
	return fresh
}

func (e *entry) modTime() time.Time {
	if e.source.ModTime.IsZero() {
		return time.Now()
	}
	return e.source.ModTime
}

// DropFront drops whole segments at the front until at least n of the bytes written are
// gone or nothing is left, and returns how many went. Masking changes lengths; what a
// segment held of the bytes written is reckoned from the log's whole.
func (e *entry) DropFront(n int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || !e.keepEnd {
		return 0
	}
	freed := min(n, e.raw) // on a broken disk the tail drops by itself
	if !e.broken {
		freed = e.dropSegments(n)
	}
	e.raw -= freed
	return freed
}

func (e *entry) dropSegments(n int64) int64 {
	held := e.sum.size - e.dropped
	share := func(masked int64) int64 {
		if masked >= held {
			return e.raw // all but the little that the masker holds back
		}
		return int64(float64(e.raw) * float64(masked) / float64(held))
	}
	var gone int64
	for share(gone) < n && e.hasKept() {
		gone += e.dropFirst()
	}
	for e.lineStartFollows() {
		gone += e.dropFirst()
	}
	e.dropped += gone
	return share(gone)
}

// hasKept makes the current segment one that can be dropped when there is no other.
func (e *entry) hasKept() bool {
	return len(e.kept) > 0 || (e.current != nil && e.endSegment() == nil)
}

func (e *entry) dropFirst() int64 {
	s := e.kept[0]
	freeSegments(e.kept[:1])
	e.kept = e.kept[1:]
	return s.size
}

// lineStartFollows reports whether the log begins in the middle of a line and a line begins
// at a later segment. A line longer than the log is begun in its middle.
func (e *entry) lineStartFollows() bool {
	if len(e.kept) == 0 || e.kept[0].startsLine {
		return false
	}
	return (e.current != nil && e.current.startsLine) || slices.ContainsFunc(e.kept, func(s *segment) bool { return s.startsLine })
}

// Close ends the entry and puts it into the archive, or, on a broken disk, its newest
// bytes into memory.
func (e *entry) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	defer e.w.freeTail(e.tail)
	defer e.discard()
	if e.err == nil && e.masker != nil {
		e.err = e.masker.Close()
	}
	if e.err != nil {
		e.source.Partial = true // what was examined before the error is kept
	}
	err := e.finish()
	if isDiskFailure(err) {
		e.fallBack(err)
		err = nil
	}
	if e.broken && err == nil {
		err = e.rescue()
	}
	return errors.Join(e.err, err)
}

// finish appends what is left.
func (e *entry) finish() error {
	if e.broken {
		return nil
	}
	if e.current == nil && e.part == 0 && len(e.kept) == 0 {
		s, err := newSegment(e.w, true) // an empty file is evidence too
		if err != nil {
			return err
		}
		e.current = s
	}
	if err := e.endSegment(); err != nil {
		return err
	}
	return e.appendKept()
}

// appendKept appends a log's segments, as many parts as their size needs.
func (e *entry) appendKept() error {
	whole := e.dropped == 0 && e.sum.size <= MaxEntry
	left := e.sum.size - e.dropped
	failed := func(err error) error {
		e.sum.size = left + e.dropped // what the tail may stand for
		return err
	}
	for len(e.kept) > 0 {
		n, size := 0, int64(0)
		for n < len(e.kept) && size+e.kept[n].size <= MaxEntry {
			size += e.kept[n].size
			n++
		}
		sum := e.sum
		if !whole {
			var err error
			if sum, err = sumSegments(e.kept[:n]); err != nil {
				return failed(err)
			}
		}
		if err := e.appendPart(e.kept[:n], sum); err != nil {
			return failed(err)
		}
		left -= size
		e.kept = e.kept[n:]
	}
	return nil
}

// fallBack leaves the disk: from now on only the newest bytes are kept, in memory.
func (e *entry) fallBack(err error) {
	e.w.noteBroken(err)
	e.broken = true
	e.discard()
}

func (e *entry) discard() {
	if e.current != nil {
		e.current.abandon(e.w)
		e.current = nil
	}
	freeSegments(e.kept)
	e.kept = nil
}

// A segment is a byte-aligned piece of a deflate stream.
type segment struct {
	store      *fileStore
	buf        *bufio.Writer
	deflate    *flate.Writer
	size       int64 // before compression
	startsLine bool
}

// endOfStream is an empty final deflate block. It ends the stream that segments, each
// ended by a flush, make up.
var endOfStream = []byte{0x03, 0x00}

func newSegment(w *Writer, startsLine bool) (*segment, error) {
	st, err := newFileStore(filepath.Dir(w.opts.Path), w.relieve)
	if err != nil {
		return nil, err
	}
	buf := bufio.NewWriterSize(st, 32<<10)
	d, err := w.deflater(buf)
	if err != nil {
		st.free()
		return nil, err
	}
	return &segment{store: st, buf: buf, deflate: d, startsLine: startsLine}, nil
}

func (s *segment) write(p []byte) error {
	s.size += int64(len(p))
	_, err := s.deflate.Write(p)
	return err
}

func (s *segment) end(w *Writer) error {
	if err := errors.Join(s.deflate.Flush(), s.buf.Flush()); err != nil {
		return err
	}
	w.deflaters.Put(s.deflate)
	s.deflate, s.buf = nil, nil
	return nil
}

func (s *segment) abandon(w *Writer) {
	if s.deflate != nil {
		w.deflaters.Put(s.deflate)
	}
	s.store.free()
}

func freeSegments(segs []*segment) {
	for _, s := range segs {
		s.store.free()
	}
}

// sumSegments reads segments back to learn the sums of a log that lost its front.
func sumSegments(segs []*segment) (sums, error) {
	sum := newSums()
	var readers []io.Reader
	for _, s := range segs {
		readers = append(readers, io.NewSectionReader(s.store, 0, s.store.size()))
	}
	r := flate.NewReader(io.MultiReader(append(readers, bytes.NewReader(endOfStream))...))
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		sum.write(buf[:n])
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, fmt.Errorf("read the spool: %w", err)
		}
	}
}
