package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

const copyBuffer = 128 << 10

// WriteFile writes data as one file of out.
func WriteFile(out Output, name string, data []byte) error {
	w, err := out.Create(name)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return errors.Join(err, w.Close())
}

// CopyLog copies the newest limit bytes of the host's log file into out as name, starting
// at the start of a line. A file that grows meanwhile is read up to the size it had; one
// that shrinks ends early. The manifest gets path, modification time and what was cut.
func CopyLog(ctx context.Context, env *Env, out Output, name, path string, limit int64) error {
	f, err := env.Host.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w, err := out.Create(name)
	if err != nil {
		return err
	}
	start, err := seekTail(f, info.Size(), limit)
	if err == nil {
		Describe(w, manifest.Source{Path: path, ModTime: info.ModTime(), CutFront: start})
		err = copySpan(ctx, w, f, info.Size()-start)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	return nil
}

// seekTail positions f at the first line start within its last limit bytes and returns
// that offset. A line longer than limit is begun in its middle.
func seekTail(f *host.File, size, limit int64) (int64, error) {
	if size <= limit {
		return 0, nil
	}
	from := size - limit
	at, err := NextLine(f, from, size)
	if err != nil {
		return 0, err
	}
	if at >= size {
		at = from
	}
	_, err = f.Seek(at, io.SeekStart)
	return at, err
}

// NextLine returns the offset of the first line start at or after from, and size when
// there is none before size.
func NextLine(r io.ReaderAt, from, size int64) (int64, error) {
	if from <= 0 {
		return 0, nil
	}
	buf := make([]byte, 32<<10)
	for at := from - 1; at < size; {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
		at += int64(n)
		if n == 0 || (err != nil && err != io.EOF) {
			if err == io.EOF {
				err = nil
			}
			return size, err
		}
	}
	return size, nil
}

// copySpan copies n bytes, or fewer when r ends before, looking at ctx between blocks.
func copySpan(ctx context.Context, w io.Writer, r io.Reader, n int64) error {
	buf := make([]byte, copyBuffer)
	for n > 0 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		k, err := r.Read(buf[:min(int64(len(buf)), n)])
		if _, werr := w.Write(buf[:k]); werr != nil {
			return werr
		}
		n -= int64(k)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Share divides room among sources of the given sizes: small ones get all they need, the
// rest equal parts. The sum of the parts is the least of room and the sum of the sizes.
func Share(room int64, sizes []int64) []int64 {
	order := make([]int, len(sizes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case sizes[a] < sizes[b]:
			return -1
		case sizes[a] > sizes[b]:
			return 1
		}
		return a - b
	})
	parts := make([]int64, len(sizes))
	for k, i := range order {
		parts[i] = min(sizes[i], room/int64(len(order)-k))
		room -= parts[i]
	}
	return parts
}

// CopyFile copies a snapshot, such as a file of procfs or a configuration, from its start
// to its end into out as name. Unlike CopyLog it does not trust the size that stat tells.
func CopyFile(ctx context.Context, env *Env, out Output, name, path string) error {
	f, err := env.Host.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := out.Create(name)
	if err != nil {
		return err
	}
	s := manifest.Source{Path: path}
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		s.ModTime = info.ModTime()
	}
	Describe(w, s)
	err = copySpan(ctx, w, f, math.MaxInt64)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	return nil
}
