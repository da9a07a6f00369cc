package bundle

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"maps"
	"sync"
	"time"

	"crypto/sha256"

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
