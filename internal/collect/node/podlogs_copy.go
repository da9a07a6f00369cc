package node

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

const podlogsBuffer = 128 << 10

// A podlogsWorker copies one file after the other with one buffer.
type podlogsWorker struct {
	*podlogs
	buf    []byte
	packed *bufio.Reader
	gzip   *gzip.Reader
}

// run copies a file and notes in it how that went. The error is the archive's; those of
// the host are only noted.
func (w *podlogsWorker) run(ctx context.Context, f *podlogsFile) error {
	file, err := w.env.Host.Open(f.path)
	if err != nil {
		f.LeftOut = podlogsWhy(err)
		w.env.Log.Warn("container log", "err", err)
		return nil
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && !os.SameFile(info, f.info) {
		w.note(f, "replaced while logs were collected")
	}
	sink := &podlogsSink{out: w.out, f: f}
	if !w.env.Window.Open() {
		sink.window = newPodlogsWindow(w.env.Window, f.from == 0)
	}
	if err := w.pump(ctx, file, f, sink); err != nil {
		w.note(f, podlogsWhy(err))
		if sink.w == nil && sink.err == nil {
			f.LeftOut = "unreadable"
			return nil
		}
	}
	return sink.close()
}

func (w *podlogsWorker) note(f *podlogsFile, text string) {
	f.Note = text
	w.env.Log.Warn("container log", "path", f.path, "note", text)
}

// pump reads what there is room for of the wanted span, its newest end.
func (w *podlogsWorker) pump(ctx context.Context, file *host.File, f *podlogsFile, sink *podlogsSink) error {
	start := max(f.from, f.to-f.limit)
	sink.cutting = start > f.from
	if sink.midLine = start > 0; sink.midLine {
		start-- // if it is the end of a line, the next one is whole
	}
	if sink.cutting {
		f.CutBytes = start - f.from
	}
	r, err := w.seek(contextReader{ctx, file}, file, f, start)
	if err != nil {
		return err
	}
	return w.copySpan(r, f.to-start, f, sink)
}

// seek returns what reads the content of a file from start on.
func (w *podlogsWorker) seek(r io.Reader, file *host.File, f *podlogsFile, start int64) (io.Reader, error) {
	if !f.gzip {
		_, err := file.Seek(start, io.SeekStart)
		return r, err
	}
	if w.gzip == nil {
		w.gzip, w.packed = new(gzip.Reader), bufio.NewReaderSize(nil, 32<<10)
	}
	w.packed.Reset(r)
	err := w.gzip.Reset(w.packed)
	if err == nil {
		_, err = io.CopyN(io.Discard, w.gzip, start)
	}
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return w.gzip, nil
}

// copySpan gives the next n bytes of r to sink.
func (w *podlogsWorker) copySpan(r io.Reader, n int64, f *podlogsFile, sink *podlogsSink) error {
	for have := 0; ; {
		k, err := r.Read(w.buf[have:min(int64(len(w.buf)), int64(have)+n)])
		have, n = have+k, n-int64(k)
		used := sink.take(w.buf[:have], err != nil || n == 0)
		if used == 0 && have == len(w.buf) {
			used = sink.take(w.buf[:have], true) // a line that is longer than the buffer
		}
		if sink.done() {
			return nil
		}
		have = copy(w.buf, w.buf[used:have])
		switch {
		case err == io.EOF && n > 0 && !f.gzip:
			w.note(f, "shrank while it was read")
			return nil
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case n == 0:
			return w.checkEnd(r, f)
		}
	}
}

// checkEnd notes it when a compressed file goes on beyond what its trailer said.
func (w *podlogsWorker) checkEnd(r io.Reader, f *podlogsFile) error {
	if !f.gzip {
		return nil
	}
	n, err := r.Read(w.buf[:1])
	if n > 0 {
		w.note(f, "longer than its trailer says, its end is left out")
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// A contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// A podlogsSink writes the lines in the window to a file of the bundle, which it creates
// when there is something to write.
type podlogsSink struct {
	out     collect.Output
	f       *podlogsFile
	midLine bool           // the rest of a line comes first and is dropped
	cutting bool           // for want of room, so it counts
	window  *podlogsWindow // nil: all lines
	w       io.WriteCloser
	told    int64 // of f.CutBytes, that the manifest knows of
	err     error // of the archive
}

// take deals with the start of p and returns how long that is: everything when all is set,
// else at least the complete lines.
func (s *podlogsSink) take(p []byte, all bool) int {
	dropped := 0
	if s.midLine {
		dropped = bytes.IndexByte(p, '\n') + 1
		if s.midLine = dropped == 0; s.midLine {
			dropped = len(p)
		}
		if s.cutting {
			s.f.CutBytes += int64(dropped)
		}
	}
	if p = p[dropped:]; s.window == nil {
		s.write(p)
		return dropped + len(p)
	}
	return dropped + s.window.filter(p, all, s.write)
}

func (s *podlogsSink) done() bool { return s.err != nil || (s.window != nil && s.window.done) }

func (s *podlogsSink) write(p []byte) {
	if len(p) == 0 || s.err != nil {
		return
	}
	if s.create(); s.err == nil {
		_, s.err = s.w.Write(p)
		s.f.CollectedBytes += int64(len(p))
	}
}

func (s *podlogsSink) create() {
	if s.w == nil {
		if s.w, s.err = s.out.Create(s.f.stored); s.err == nil {
			collect.Describe(s.w, manifest.Source{Path: s.f.path, ModTime: s.f.info.ModTime(), CutFront: s.f.CutBytes})
			s.told = s.f.CutBytes
		}
	}
}

// close ends the file. An empty log is evidence, too, and so is one that was cut to
// nothing; one without a line in the window is left out.
func (s *podlogsSink) close() error {
	if s.w == nil && s.err == nil {
		if s.window != nil && s.f.CutBytes == 0 {
			s.f.LeftOut = "no lines in the window"
			return nil
		}
		s.create()
	}
	if s.w == nil {
		return s.err
	}
	collect.Describe(s.w, manifest.Source{CutFront: s.f.CutBytes - s.told})
	if err := s.w.Close(); s.err == nil {
		s.err = err
	}
	return s.err
}
