package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

var (
	errHung   = errors.New("the kernel did not answer in time")
	errGaveUp = errors.New("not tried, because calls before it hung")
)

// A hangGuard bounds calls into the kernel that may never return, such as on a dead network
// file system or on a lock that a stuck process holds. A call that hangs is abandoned with
// its goroutine; after too many of them no more are tried. It is used by one goroutine.
type hangGuard struct {
	wait time.Duration // for one call
	most int           // calls that may hang
	hung int
}

// guarded returns what call returns, errHung when it takes too long, errGaveUp when too
// many calls hung before, or why ctx ended. A panic in call is an error.
func guarded[T any](ctx context.Context, g *hangGuard, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if g.hung >= g.most {
		return none, errGaveUp
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("panic: %v", p)
			}
			done <- r
		}()
		r.value, r.err = call()
	}()
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
		g.hung++
		return none, errHung
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// pause waits for d, or until ctx ends and returns why.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return context.Cause(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const maxLine = 32 << 10

// eachLine calls fn with every line of r, without its end, looking at ctx now and then. A
// line of more than maxLine bytes is left out. fn must not keep the slice.
func eachLine(ctx context.Context, r io.Reader, fn func(line []byte)) error {
	buf := bufio.NewReaderSize(r, maxLine)
	long := false
	for n := 0; ; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, more, err := buf.ReadLine()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !more && !long {
			fn(line)
		}
		long = more
	}
}

// A lineFile is a file of an Output that takes lines until one does not fit in a limit of
// its own, and counts those after: so a long list leaves room for the files beside it.
type lineFile struct {
	name string
	to   io.WriteCloser
	buf  *bufio.Writer
	room int
	lost int
}

func newLineFile(out collect.Output, name string, room int) (*lineFile, error) {
	to, err := out.Create(name)
	if err != nil {
		return nil, err
	}
	return &lineFile{name: name, to: to, buf: bufio.NewWriterSize(to, 64<<10), room: room}, nil
}

func (f *lineFile) add(line []byte) error {
	if f.lost > 0 || len(line) > f.room {
		f.lost++
		return nil
	}
	f.room -= len(line)
	_, err := f.buf.Write(line)
	return err
}

func (f *lineFile) close() error { return errors.Join(f.buf.Flush(), f.to.Close()) }

// warn tells how many lines were left out.
func (f *lineFile) warn(log *slog.Logger) {
	if f.lost > 0 {
		log.Warn("file is full", "file", f.name, "lines left out", f.lost)
	}
}
