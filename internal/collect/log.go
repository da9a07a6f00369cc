package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
// that shrinks ends early, and is read from its start when it shrank to less than what was
// to be left out. A line longer than limit begins behind a blank in it. Files that claim to be
// empty, as those of procfs do, are read from their start. The manifest gets path, modification time and what was cut.
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
	err = copyTail(ctx, w, f, info, manifest.Source{Path: path, ModTime: info.ModTime()}, limit)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	return nil
}

func copyTail(ctx context.Context, w io.Writer, f *host.File, info fs.FileInfo, s manifest.Source, limit int64) error {
	size := info.Size()
	start, err := seekTail(f, size, limit)
	if err != nil {
		return err
	}
	if now, err := f.Stat(); err == nil && now.Size() < start {
		start, size = 0, now.Size() // emptied a moment ago
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	s.CutFront = start
	Describe(w, s)
	if size == 0 {
		return copySpan(ctx, w, f, limit)
	}
	return copySpan(ctx, w, f, size-start)
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
		if at, err = nextBlank(f, from, size); err != nil {
			return 0, err
		}
	}
	_, err = f.Seek(at, io.SeekStart)
	return at, err
}

// nextBlank returns the offset behind the first blank at or after from, where a secret that
// from lies in has ended, and from when there is none nearby.
func nextBlank(r io.ReaderAt, from, size int64) (int64, error) {
	buf := make([]byte, min(copyBuffer, size-from))
	n, err := r.ReadAt(buf, from)
	if err != nil && err != io.EOF {
		return 0, err
	}
	return from + int64(bytes.IndexByte(buf[:n], ' ')) + 1, nil
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
