package bundle

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/klauspost/compress/flate"
)

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
