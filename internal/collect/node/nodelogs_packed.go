package node

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// nodelogsMaxContent is the most that a compressed log may hold. It bounds the work that
// a decompression bomb makes.
const nodelogsMaxContent = 4 << 30

// A nodelogsKind is a way to compress logs.
type nodelogsKind struct {
	name, extension, magic string
	open                   func(io.Reader) (io.ReadCloser, error)
}

var nodelogsKinds = []*nodelogsKind{
	{"gzip", ".gz", "\x1f\x8b", func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{"zstd", ".zst", "\x28\xb5\x2f\xfd", nodelogsZstd},
	{"bzip2", ".bz2", "BZh", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
}

// nodelogsZstd bounds memory: content that was compressed with a window over 8 MiB, more
// than any level of zstd takes without --long or --ultra, is an error.
func nodelogsZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// nodelogsKindOf tells how a file that begins with head is compressed, nil if it is not.
func nodelogsKindOf(head []byte) *nodelogsKind {
	for _, k := range nodelogsKinds {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return k
		}
	}
	return nil
}

// measure decompresses everything, to learn how long it is and how it begins. Damage at
// the end is no error: what is before it can be had.
func (k *nodelogsKind) measure(r io.Reader) (head []byte, size int64, err error) {
	d, err := k.open(bufio.NewReaderSize(r, 32<<10))
	if err != nil {
		return nil, 0, fmt.Errorf("decompress: %w", err)
	}
	defer func() { _ = d.Close() }()
	head = make([]byte, nodelogsHead)
	n, err := io.ReadFull(d, head)
	size = int64(n)
	if err == nil {
		var rest int64
		rest, err = io.Copy(io.Discard, io.LimitReader(d, nodelogsMaxContent+1-size))
		size += rest
	}
	if size > nodelogsMaxContent {
		return nil, 0, fmt.Errorf("decompresses to more than %d GiB", nodelogsMaxContent>>30)
	}
	if size == 0 && err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("decompress: %w", err)
	}
	return head[:n], size, nil
}

// unpack copies the newest limit bytes of the content, from the start of a line on.
func (f *nodelogsFile) unpack(ctx context.Context, env *collect.Env, out collect.Output, limit int64) error {
	file, err := env.Host.Open(f.Path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	d, err := f.kind.open(bufio.NewReaderSize(contextReader{ctx, file}, 32<<10))
	if err != nil {
		return fmt.Errorf("decompress %s: %w", f.Path, err)
	}
	defer func() { _ = d.Close() }()
	w, err := out.Create(f.name())
	if err != nil {
		return err
	}
	source := manifest.Source{Path: f.Path}
	if info, err := file.Stat(); err == nil {
		source.ModTime = info.ModTime()
	}
	r := bufio.NewReaderSize(d, 32<<10)
	if source.CutFront, err = nodelogsSkip(r, f.ContentBytes-limit); err == nil {
		_, err = io.Copy(w, io.LimitReader(r, limit))
	}
	collect.Describe(w, source)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("decompress %s: %w", f.Path, err)
	}
	return nil
}

// nodelogsSkip passes over at least n bytes, up to the start of a line, and returns how
// many those were.
func nodelogsSkip(r *bufio.Reader, n int64) (int64, error) {
	if n <= 0 {
		return 0, nil
	}
	skipped, err := io.CopyN(io.Discard, r, n-1)
	for err == nil {
		var p []byte
		p, err = r.ReadSlice('\n')
		skipped += int64(len(p))
		if err == nil || errors.Is(err, io.EOF) {
			return skipped, nil
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
	}
	return skipped, err
}
