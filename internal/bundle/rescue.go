package bundle

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

// Limits of what is kept when the disk takes no more.
const (
	MaxRescue = 16 << 20  // bytes of the archive in memory
	MaxTail   = 256 << 10 // newest bytes of each file
)

// maxManifest is left free in MaxRescue for manifest and directory.
const maxManifest = 2 << 20

// A rescued entry lies in memory because the disk broke before it was closed.
type rescued struct {
	record record
	file   manifest.File
}

// A tail keeps the newest MaxTail bytes of a stream.
type tail struct {
	buf   []byte
	start int   // of the oldest byte, once buf is full
	total int64 // bytes seen
}

func (w *Writer) newTail() *tail {
	if t, ok := w.tails.Get().(*tail); ok {
		return t
	}
	return &tail{}
}

func (w *Writer) freeTail(t *tail) {
	*t = tail{buf: t.buf[:0]}
	w.tails.Put(t)
}

func (t *tail) write(p []byte) {
	t.total += int64(len(p))
	if len(p) >= MaxTail {
		t.buf, t.start = append(t.buf[:0], p[len(p)-MaxTail:]...), 0
		return
	}
	if room := MaxTail - len(t.buf); room > 0 {
		n := min(room, len(p))
		t.buf = append(t.buf, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 {
		n := copy(t.buf[t.start:], p)
		t.start = (t.start + n) % MaxTail
		p = p[n:]
	}
}

// newest returns at most the newest limit bytes, from a line start when they are not all.
func (t *tail) newest(limit int64) []byte {
	all := append(slices.Clone(t.buf[t.start:]), t.buf[:t.start]...)
	cut := t.total > int64(len(all))
	if int64(len(all)) > limit {
		all, cut = all[int64(len(all))-limit:], true
	}
	if i := bytes.IndexByte(all, '\n'); cut && i >= 0 && i+1 < len(all) {
		all = all[i+1:]
	}
	return all
}

// rescue puts the newest bytes of an entry's current part into memory.
func (e *entry) rescue() error {
	data := e.tail.newest(e.sum.size)
	sum := newSums()
	sum.write(data)
	e.dropped = e.sum.size - sum.size
	name := e.w.partName(e.name, e.part)
	rec, err := e.w.compress(name, data, e.modTime())
	if err != nil {
		return err
	}
	e.w.keep(rescued{rec, e.describe(name, sum)})
	return nil
}

// compress makes an entry in memory.
func (w *Writer) compress(name string, data []byte, modTime time.Time) (record, error) {
	var buf bytes.Buffer
	d, err := w.deflater(&buf)
	if err != nil {
		return record{}, err
	}
	defer w.deflaters.Put(d)
	if _, err := d.Write(data); err != nil {
		return record{}, err
	}
	if err := d.Close(); err != nil {
		return record{}, err
	}
	sum := newSums()
	sum.write(data)
	return record{name: name, modTime: modTime, method: methodDeflate, crc: sum.crc, size: sum.size, compressed: int64(buf.Len()), mem: buf.Bytes()}, nil
}

// keep adds a rescued entry, and drops those of lowest priority when they are too many.
func (w *Writer) keep(r rescued) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory = append(w.memory, r)
	slices.SortStableFunc(w.memory, func(a, b rescued) int {
		return cmp.Compare(w.order(a.record.name), w.order(b.record.name))
	})
	for rescueSize(w.memory) > MaxRescue-maxManifest {
		w.lose(w.memory[len(w.memory)-1], noRoom)
		w.memory = w.memory[:len(w.memory)-1]
	}
}

func rescueSize(entries []rescued) (n int64) {
	for _, r := range entries {
		n += r.record.footprint()
	}
	return n
}

// footprint is what the entry takes in an archive.
func (r *record) footprint() int64 {
	return r.compressed + int64(localHeaderSize(r.name)+centralHeaderSize(r.name))
}

const maxLost = 1000

func (w *Writer) lose(r rescued, why string) {
	if len(w.problems) < maxLost {
		w.problems = append(w.problems, fmt.Sprintf("%s: lost, %d bytes: %s", r.record.name, r.file.Size+r.file.CutFront, why))
	} else if len(w.problems) == maxLost {
		w.problems = append(w.problems, "more files were lost than are listed")
	}
}

const noRoom = "no room on disk or in memory"

// rescue finishes the archive after the disk broke: on the disk when, with the reserve
// freed, that works; else in memory. The caller holds w.mu.
func (w *Writer) rescue(m *manifest.Manifest) (Finished, error) {
	w.problems = append(w.problems, fmt.Sprintf("the disk took no more (%v): of files that did not fit only the newest %d bytes are kept", w.broken, MaxTail))
	w.freeReserve()
	if w.file != nil {
		if f, err := w.rescueOnDisk(m); err == nil {
			return f, nil
		}
	}
	return w.rescueInMemory(m)
}

// rescueOnDisk appends to the archive as many of the rescued entries as fit together with
// the manifest. After an error nothing of it has happened.
func (w *Writer) rescueOnDisk(m *manifest.Manifest) (Finished, error) {
	whole, problems := len(w.records), slices.Clone(w.problems)
	ends := []int64{w.offset}
	for _, r := range w.memory {
		if w.append(r.record, bytesStore(r.record.mem)) != nil {
			break
		}
		w.files = append(w.files, r.file)
		ends = append(ends, w.offset)
	}
	for fit := len(ends) - 1; ; fit-- {
		w.offset, w.records, w.files, w.problems = ends[fit], w.records[:whole+fit], w.files[:whole+fit], slices.Clone(problems)
		for _, r := range w.memory[fit:] {
			w.lose(r, noRoom)
		}
		err := w.finish(m)
		if err == nil {
			return Finished{Path: w.opts.Path, Size: w.offset}, nil
		}
		if fit == 0 || !isDiskFailure(err) {
			w.offset, w.records, w.files, w.problems = ends[0], w.records[:whole], w.files[:whole], problems
			return Finished{}, err
		}
	}
}

// rescueInMemory makes a new archive in memory from the newest bytes of what can be read
// back from the disk and of what is in memory, by priority.
func (w *Writer) rescueInMemory(m *manifest.Manifest) (Finished, error) {
	entries := w.readBack()
	switch {
	case w.file == nil:
	case len(w.records) == 0:
		os.Remove(w.file.Name()) // nothing is in it
	default:
		w.problems = append(w.problems, fmt.Sprintf("what was complete before may still be read from %s, if that disk can be read", w.file.Name()))
	}
	var buf bytes.Buffer
	buf.Grow(MaxRescue)
	var records []record
	w.files = nil
	room := int64(MaxRescue - maxManifest)
	for i, r := range entries {
		entries[i].record.mem = nil // r has it; the copy in buf is enough then
		if room -= r.record.footprint(); room < 0 {
			w.lose(r, noRoom)
			continue
		}
		records = appendRecord(&buf, records, r.record)
		w.files = append(w.files, r.file)
	}
	*m = w.complete(m)
	rec, err := w.encode(*m)
	if err != nil {
		return Finished{}, err
	}
	records = appendRecord(&buf, records, rec)
	if err := writeDirectory(&buf, records, int64(buf.Len())); err != nil {
		return Finished{}, err
	}
	return Finished{Size: int64(buf.Len()), Memory: buf.Bytes()}, nil
}

func appendRecord(buf *bytes.Buffer, records []record, r record) []record {
	r.offset = int64(buf.Len())
	buf.Write(r.localHeader())
	buf.Write(r.mem)
	r.mem = nil
	return append(records, r)
}

// readBack returns all entries by priority, those of the disk cut to their newest bytes.
// It stops reading when it has more than fits.
func (w *Writer) readBack() []rescued {
	all := slices.Clone(w.memory)
	for i := range w.records {
		all = append(all, rescued{w.records[i], w.files[i]})
	}
	slices.SortStableFunc(all, func(a, b rescued) int {
		return cmp.Compare(w.order(a.record.name), w.order(b.record.name))
	})
	kept := all[:0]
	room := int64(MaxRescue)
	for _, r := range all {
		if r.record.mem == nil && room > 0 {
			if err := w.readTail(&r); err != nil {
				w.lose(r, err.Error())
				continue
			}
		}
		if r.record.mem != nil {
			room -= r.record.footprint()
		}
		kept = append(kept, r)
	}
	return kept
}

// readTail replaces an entry of the disk by its newest bytes in memory.
func (w *Writer) readTail(r *rescued) error {
	t := &tail{}
	in := flate.NewReader(io.NewSectionReader(w.file, r.record.data(), r.record.compressed))
	_, err := io.CopyBuffer(onlyWriter{t}, in, make([]byte, 64<<10))
	if err = errors.Join(err, in.Close()); err != nil {
		return err
	}
	data := t.newest(MaxTail)
	sum := newSums()
	sum.write(data)
	r.file.CutFront += r.file.Size - sum.size
	r.file.Size, r.file.SHA256 = sum.size, hex.EncodeToString(sum.sha.Sum(nil))
	r.record, err = w.compress(r.record.name, data, r.record.modTime)
	return err
}

type onlyWriter struct{ t *tail }

func (o onlyWriter) Write(p []byte) (int, error) {
	o.t.write(p)
	return len(p), nil
}
