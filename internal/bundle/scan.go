package bundle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	methodStore    = 0
	flagEncrypted  = 1 << 0
	flagSizesAfter = 1 << 3 // sizes and checksum follow the data
	localSize      = 30     // of a local header before the name
	maxName        = 4096
	maxDepth       = 128 // segments of a name
)

var (
	errFormat  = errors.New("not as the zip format says")
	errOverlap = errors.New("it overlaps another entry")
)

// A header is what local and central headers say of an entry.
type header struct {
	record
	flags uint16
	mode  uint32 // of Unix; 0: unknown
}

// le reads little-endian numbers off a slice that is known to be long enough.
type le []byte

func (b *le) uint16() uint16 {
	v := binary.LittleEndian.Uint16(*b)
	*b = (*b)[2:]
	return v
}

func (b *le) uint32() uint32 {
	v := binary.LittleEndian.Uint32(*b)
	*b = (*b)[4:]
	return v
}

func (b *le) uint64() uint64 {
	v := binary.LittleEndian.Uint64(*b)
	*b = (*b)[8:]
	return v
}

// common reads the fields that both headers share, from "version needed" to "extra field
// length".
func (h *header) common(b *le) (nameLen, extraLen int) {
	b.uint16()
	h.flags = b.uint16()
	h.method = b.uint16()
	clock, date := b.uint16(), b.uint16()
	h.modTime = fromDosTime(date, clock)
	h.crc = b.uint32()
	h.compressed = int64(b.uint32())
	h.size = int64(b.uint32())
	return int(b.uint16()), int(b.uint16())
}

// fromDosTime takes the time as UTC; a zip does not say. A date of 0 is none.
func fromDosTime(date, clock uint16) time.Time {
	if date == 0 {
		return time.Time{}
	}
	return time.Date(int(date>>9)+1980, time.Month(date>>5&0xf), int(date&0x1f),
		int(clock>>11), int(clock>>5&0x3f), int(clock&0x1f)*2, 0, time.UTC)
}

// extra reads the extra fields: the precise time, and the zip64 numbers for those that do
// not fit in the header.
func (h *header) extra(b []byte) {
	for len(b) >= 4 {
		f := le(b)
		id, n := f.uint16(), int(f.uint16())
		if n > len(f) {
			return
		}
		field := f[:n]
		switch {
		case id == extraTime && n >= 5 && field[0]&1 != 0:
			h.modTime = time.Unix(int64(binary.LittleEndian.Uint32(field[1:])), 0).UTC()
		case id == extraZip64:
			for _, v := range []*int64{&h.size, &h.compressed, &h.offset} {
				if *v == math.MaxUint32 && len(field) >= 8 {
					*v = int64(min(field.uint64(), math.MaxInt64))
				}
			}
		}
		b = f[n:]
	}
}

// refusal says why a reader does not offer the entry; nil when it does.
func (h *header) refusal() error {
	const typeMask, regular, folder = 0o170000, 0o100000, 0o040000
	kind := h.mode & typeMask
	switch {
	case h.flags&flagEncrypted != 0:
		return errors.New("it is encrypted")
	case kind != 0 && kind != regular && kind != folder:
		return errors.New("it is a link or a device")
	case h.method != methodStore && h.method != methodDeflate:
		return fmt.Errorf("it is compressed by unknown method %d", h.method)
	case h.size > maxSize:
		return fmt.Errorf("it declares more than %d bytes", int64(maxSize))
	}
	return nil
}

// cleanName makes a path of an entry's name, and reports whether it is a folder's.
func cleanName(name string) (clean string, isFolder bool, err error) {
	switch {
	case len(name) > maxName || strings.Count(name, "/") >= maxDepth:
		return "", false, errors.New("its name is too long")
	case strings.ContainsAny(name, "\\\x00") || isDrive(name) || slices.Contains(strings.Split(name, "/"), ".."):
		return "", false, errors.New("its name may leave the folder")
	}
	clean = path.Clean(name)
	isFolder = strings.HasSuffix(name, "/")
	if name == "" || !fs.ValidPath(clean) || (clean == "." && !isFolder) {
		return "", false, errors.New("its name is not a valid path")
	}
	return clean, isFolder, nil
}

func isDrive(name string) bool {
	return len(name) >= 2 && name[1] == ':' && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z')
}

// readLocalHeader reads the header at off, and returns the offset of the data behind it.
// It ends before limit, else io.ErrUnexpectedEOF.
func readLocalHeader(r io.ReaderAt, off, limit int64) (h header, data int64, err error) {
	if off+localSize > limit {
		return h, 0, io.ErrUnexpectedEOF
	}
	var fixed [localSize]byte
	if err := readFull(r, fixed[:], off); err != nil {
		return h, 0, err
	}
	b := le(fixed[:])
	if b.uint32() != sigLocal {
		return h, 0, errFormat
	}
	nameLen, extraLen := h.common(&b)
	data = off + localSize + int64(nameLen+extraLen)
	if data > limit {
		return h, 0, io.ErrUnexpectedEOF
	}
	rest := make([]byte, nameLen+extraLen)
	if err := readFull(r, rest, off+localSize); err != nil {
		return h, 0, err
	}
	h.name = string(rest[:nameLen])
	h.extra(rest[nameLen:])
	h.offset = off
	return h, data, nil
}

// readFull fills p. The caller knows that r is long enough.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the archive became shorter while it was read")
	}
	return err
}

// A scan is what the local headers of a cut archive tell.
type scan struct {
	members []*member
	why     string // where it stopped; "": at a header or directory that is cut
}

// scanLocal reads entry by entry from the start. It needs headers that hold the true
// sizes, which those of this package do. An error is one of r.
func scanLocal(r io.ReaderAt, size int64) (*scan, error) {
	s := &scan{}
	for off := int64(0); off < size; {
		h, data, err := readLocalHeader(r, off, size)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return s, nil
		case errors.Is(err, errFormat):
			s.why, err = stopAt(r, off, size)
			return s, err
		case err != nil:
			return nil, err
		case h.flags&flagSizesAfter != 0 || h.compressed == math.MaxUint32:
			s.why = fmt.Sprintf("%q: its size is only known from the directory, which is missing", h.name)
			return s, nil
		case len(s.members) == maxEntries:
			return nil, errTooMany
		}
		m := &member{header: h, start: data, limit: size, cut: h.compressed > size-data}
		if !m.cut {
			m.limit = data + h.compressed
		}
		s.members = append(s.members, m)
		off = m.limit
	}
	return s, nil
}

// stopAt says what lies at off instead of an entry.
func stopAt(r io.ReaderAt, off, size int64) (string, error) {
	var sig [4]byte
	if err := readFull(r, sig[:], off); err != nil {
		return "", err
	}
	switch binary.LittleEndian.Uint32(sig[:]) {
	case sigCentral, sigEnd, sigEnd64:
		return "", nil
	}
	return fmt.Sprintf("%d bytes at offset %d are no entry and were not read", size-off, off), nil
}
