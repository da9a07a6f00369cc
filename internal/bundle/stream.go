package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/klauspost/compress/flate"
)

// A member is an entry as its reader sees it.
type member struct {
	header
	at      io.ReaderAt // nil: the archive
	start   int64       // of the compressed bytes; -1: behind a local header that is not read yet
	limit   int64       // the compressed bytes lie before this offset
	cut     bool        // limit is the end of a cut archive, not that of the entry
	refused error       // why it is not offered; nil when it is
}

// open returns the decompressed bytes, unverified.
func (m *member) open(archive io.ReaderAt) (io.Reader, error) {
	if m.at != nil {
		archive = m.at
	}
	start := m.start
	if start < 0 {
		var err error
		if start, err = m.locate(archive); err != nil {
			return nil, err
		}
	}
	raw := io.NewSectionReader(archive, start, min(m.compressed, m.limit-start))
	if m.method == methodStore {
		return raw, nil
	}
	return flate.NewReader(bufio.NewReaderSize(raw, 32<<10)), nil
}

// A prefetcher gets a range in one go that will be read piece by piece.
type prefetcher interface{ prefetch(off, n int64) error }

// locate reads the local header, whose length only it knows.
func (m *member) locate(archive io.ReaderAt) (int64, error) {
	if p, ok := archive.(prefetcher); ok {
		if err := p.prefetch(m.offset, int64(localHeaderSize(m.name))+m.compressed); err != nil {
			return 0, err
		}
	}
	h, start, err := readLocalHeader(archive, m.offset, m.limit)
	switch {
	case errors.Is(err, errFormat) || (err == nil && h.name != m.name):
		return 0, errors.New("the archive's directory points to something else")
	case err != nil:
		return 0, err
	case start+m.compressed > m.limit:
		return 0, errOverlap
	}
	return start, nil
}

// A stream is an open file. It yields exactly the size that the archive declares, with the
// right checksum, or ends with an error.
type stream struct {
	node *node
	path string
	r    io.Reader
	left int64
	crc  uint32
	err  error
}

func (s *stream) Stat() (fs.FileInfo, error) { return s.node, nil }

func (s *stream) Close() error {
	if errors.Is(s.err, fs.ErrClosed) {
		return s.err
	}
	s.r, s.err = nil, &fs.PathError{Op: "read", Path: s.path, Err: fs.ErrClosed}
	return nil
}

func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	var n int
	var err error
	if s.left > 0 {
		n, err = s.r.Read(p[:min(int64(len(p)), s.left)])
		s.crc = crc32.Update(s.crc, crc32.IEEETable, p[:n])
		s.left -= int64(n)
	}
	if s.left == 0 {
		err = s.verify(err)
	}
	s.err = s.explain(err)
	return n, s.err
}

// verify checks that the data ends where it should and is what was written.
func (s *stream) verify(err error) error {
	var more [1]byte
	if err == nil {
		var n int
		if n, err = io.ReadFull(s.r, more[:]); n > 0 {
			return errors.New("it holds more than the archive declares")
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if s.crc != s.node.file.crc {
		return errors.New("its checksum is wrong: the archive is damaged")
	}
	return io.EOF
}

func (s *stream) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case s.left == 0 && errors.Is(err, io.EOF):
		return io.EOF
	case s.node.file.cut && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		err = fmt.Errorf("%w: %w", ErrTruncated, io.ErrUnexpectedEOF)
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return &fs.PathError{Op: "read", Path: s.path, Err: err}
}
