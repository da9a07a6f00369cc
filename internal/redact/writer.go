package redact

import (
	"errors"
	"maps"
)

var (
	errClosed = errors.New("redact: write to a closed writer")
	errBroken = errors.New("redact: writer stopped in the middle of a call")
)

// A stage takes a stream in pieces. It does not keep p.
type stage interface {
	write(p []byte) error
	close() error
}

// A Writer redacts one stream. It is not for use by several goroutines at once.
type Writer struct {
	in     stage
	counts map[string]int64
	err    error // of a call before; sticky
}

// Write redacts p. It holds some text back until more follows; Close writes it. An error of the underlying writer is
// returned by this and every later call.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.do(func() error { return w.in.write(p) }); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close redacts and writes what was held back, and does not close the underlying writer. A secret that has no end yet
// is masked to the end of the stream. A second Close does nothing.
func (w *Writer) Close() error {
	if errors.Is(w.err, errClosed) {
		return nil
	}
	if err := w.do(w.in.close); err != nil {
		return err
	}
	w.err = errClosed
	return nil
}

// Counts returns how many secrets have been masked so far, by rule name.
func (w *Writer) Counts() map[string]int64 { return maps.Clone(w.counts) }

// do leaves the writer unusable when call panics: a recovered panic must not lead to unexamined text being written.
func (w *Writer) do(call func() error) error {
	if w.err != nil {
		return w.err
	}
	w.err = errBroken
	w.err = call()
	return w.err
}
