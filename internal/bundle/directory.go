package bundle

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

const (
	endSize     = 22 // of the end record before its comment
	end64Size   = 56
	locatorSize = 20
	centralSize = 46 // of a central header before the name

	maxDirectory = 128 << 20 // bytes of a directory that is read
	unixMadeBy   = 3
	darwinMadeBy = 19
)

// A directory is where an archive's central directory lies.
type directory struct{ count, size, start int64 }

// readDirectory reads the headers of the central directory. The error is errFormat when
// there is no valid one, errTooMany, or one of r.
func readDirectory(r io.ReaderAt, size int64) ([]*member, error) {
	d, err := findDirectory(r, size)
	if err != nil {
		return nil, err
	}
	if d.count > maxEntries || d.size > maxDirectory {
		return nil, errTooMany
	}
	if d.count > d.size/centralSize {
		return nil, errFormat
	}
	in := bufio.NewReaderSize(io.NewSectionReader(r, d.start, d.size), 64<<10)
	members := make([]*member, 0, d.count)
	for range d.count {
		h, err := readCentralHeader(in)
		if err != nil {
			return nil, err
		}
		m := &member{header: h, start: -1}
		if h.offset > d.start || h.compressed > d.start-h.offset {
			m.refused = errors.New("it reaches beyond the archive")
		}
		members = append(members, m)
	}
	if rest, err := in.Peek(4); err == nil && binary.LittleEndian.Uint32(rest) == sigCentral {
		return nil, errFormat
	}
	setLimits(members, d.start)
	return members, nil
}

// findDirectory reads the end record, in its zip64 form where there is one. The directory
// must lie right before it and nothing before the archive, so that all readers see the
// same entries.
func findDirectory(r io.ReaderAt, size int64) (directory, error) {
	var d directory
	tail := make([]byte, min(size, math.MaxUint16+endSize))
	if err := readFull(r, tail, size-int64(len(tail))); err != nil {
		return d, err
	}
	i := lastEnd(tail)
	if i < 0 {
		return d, errFormat
	}
	end := size - int64(len(tail)) + int64(i)
	b := le(tail[i+4:])
	disk, count := b.uint32(), int64(b.uint16())
	d.count, d.size, d.start = int64(b.uint16()), int64(b.uint32()), int64(b.uint32())
	if disk != 0 || count != d.count {
		return d, errFormat
	}
	if d.count == math.MaxUint16 || d.size == math.MaxUint32 || d.start == math.MaxUint32 {
		if d64, at, err := findDirectory64(r, end); !errors.Is(err, errFormat) {
			if err != nil {
				return d, err
			}
			d, end = d64, at
		}
	}
	if d.start > end || d.size != end-d.start {
		return d, errFormat
	}
	return d, nil
}

// lastEnd finds the last end record whose comment fits.
func lastEnd(tail []byte) int {
	sig := binary.LittleEndian.AppendUint32(nil, sigEnd)
	for stop := len(tail); ; {
		i := bytes.LastIndex(tail[:stop], sig)
		if i < 0 {
			return -1
		}
		if len(tail)-i >= endSize && int(binary.LittleEndian.Uint16(tail[i+endSize-2:])) <= len(tail)-i-endSize {
			return i
		}
		stop = i
	}
}

// findDirectory64 reads the zip64 end record, by the locator that ends at end.
func findDirectory64(r io.ReaderAt, end int64) (d directory, at int64, err error) {
	if end < locatorSize+end64Size {
		return d, 0, errFormat
	}
	var loc [locatorSize]byte
	if err := readFull(r, loc[:], end-locatorSize); err != nil {
		return d, 0, err
	}
	b := le(loc[:])
	sig, disk, offset, disks := b.uint32(), b.uint32(), b.uint64(), b.uint32()
	if sig != sigLocator64 || disk != 0 || disks != 1 || offset > uint64(end-locatorSize-end64Size) {
		return d, 0, errFormat
	}
	var rec [end64Size]byte
	if err := readFull(r, rec[:], int64(offset)); err != nil {
		return d, 0, err
	}
	b = le(rec[:])
	if b.uint32() != sigEnd64 {
		return d, 0, errFormat
	}
	b = b[12:] // size of this record, versions
	disks64, onDisk, count, size, start := b.uint64(), b.uint64(), b.uint64(), b.uint64(), b.uint64()
	if disks64 != 0 || onDisk != count || max(count, size, start) > math.MaxInt64 {
		return d, 0, errFormat
	}
	return directory{int64(count), int64(size), int64(start)}, int64(offset), nil
}

func readCentralHeader(in *bufio.Reader) (h header, err error) {
	var fixed [centralSize]byte
	if _, err := io.ReadFull(in, fixed[:]); err != nil {
		return h, shortDirectory(err)
	}
	b := le(fixed[:])
	if b.uint32() != sigCentral {
		return h, errFormat
	}
	madeBy := b.uint16() >> 8
	nameLen, extraLen := h.common(&b)
	commentLen := int(b.uint16())
	b.uint32() // disk, internal attributes
	mode := b.uint32() >> 16
	h.offset = int64(b.uint32())
	if madeBy == unixMadeBy || madeBy == darwinMadeBy {
		h.mode = mode
	}
	rest := make([]byte, nameLen+extraLen)
	if _, err := io.ReadFull(in, rest); err != nil {
		return h, shortDirectory(err)
	}
	if _, err := in.Discard(commentLen); err != nil {
		return h, shortDirectory(err)
	}
	h.name = string(rest[:nameLen])
	h.extra(rest[nameLen:])
	return h, nil
}

// shortDirectory makes the end of the directory within a header what it is, a wrong
// format, and keeps errors of the archive's reader.
func shortDirectory(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the directory ends early", errFormat)
	}
	return err
}

// setLimits lets each entry end where the next begins, and refuses those that share bytes
// with another: a bomb of overlapping entries costs its maker nothing.
func setLimits(members []*member, start int64) {
	byOffset := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m.refused != nil })
	slices.SortStableFunc(byOffset, func(a, b *member) int { return cmp.Compare(a.offset, b.offset) })
	var far *member // the one that reaches farthest so far
	for i, m := range byOffset {
		m.limit = start
		if i+1 < len(byOffset) {
			m.limit = byOffset[i+1].offset
		}
		if far != nil && far.end() > m.offset {
			m.refused, far.refused = errOverlap, errOverlap
		}
		if far == nil || m.end() > far.end() {
			far = m
		}
	}
	if far != nil && far.end() > start {
		far.refused = errOverlap
	}
}

// end is the least offset where the entry can end.
func (m *member) end() int64 { return m.offset + localSize + int64(len(m.name)) + m.compressed }
