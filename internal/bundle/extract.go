package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

const maxExtractErrors = 20

// Extract writes the files of fsys below dir, which it makes when it is missing; nothing
// leaves dir, also not by links that are there. Files get mode 0600, folders 0700, and the
// times of modification of fsys.
//
// It writes nothing when the declared sizes add up to more than maxBytes. It never
// replaces a file. A file that cannot be read to its end is kept as far as it could be
// read, and the others are written all the same; a failed write or the end of ctx ends it.
func Extract(ctx context.Context, fsys fs.FS, dir string, maxBytes int64) error {
	if err := checkTotal(ctx, fsys, maxBytes); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	x := &extraction{ctx: ctx, from: fsys, to: root, left: maxBytes, buf: make([]byte, 64<<10)}
	err = fs.WalkDir(fsys, ".", x.visit)
	return errors.Join(append(x.unread, err)...)
}

func checkTotal(ctx context.Context, fsys fs.FS, maxBytes int64) error {
	var total int64
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if total += info.Size(); total > maxBytes {
			return fmt.Errorf("its files have more than %d bytes", maxBytes)
		}
		return nil
	})
}

type extraction struct {
	ctx    context.Context
	from   fs.FS
	to     *os.Root
	left   int64
	buf    []byte
	unread []error
}

func (x *extraction) visit(name string, d fs.DirEntry, err error) error {
	if err == nil {
		err = x.ctx.Err()
	}
	if err != nil || name == "." {
		return err
	}
	if d.IsDir() {
		return x.to.MkdirAll(name, 0o700)
	}
	return x.file(name)
}

// file writes one file. It returns an error when the extraction cannot go on.
func (x *extraction) file(name string) error {
	in, err := x.from.Open(name)
	if err != nil {
		return x.note(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return x.note(err)
	}
	out, err := x.to.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	readErr, err := x.copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if mod := info.ModTime(); !mod.IsZero() {
		err = x.to.Chtimes(name, mod, mod)
	}
	return errors.Join(err, x.note(readErr))
}

// note remembers that a file could not be read, unless that is too much.
func (x *extraction) note(err error) error {
	if err == nil {
		return nil
	}
	if len(x.unread) == maxExtractErrors {
		return err
	}
	x.unread = append(x.unread, err)
	return nil
}

func (x *extraction) copy(out io.Writer, in io.Reader) (readErr, writeErr error) {
	for {
		if err := x.ctx.Err(); err != nil {
			return nil, err
		}
		n, err := in.Read(x.buf)
		if x.left -= int64(n); x.left < 0 {
			return nil, errors.New("the files are longer than they declared")
		}
		if _, err := out.Write(x.buf[:n]); err != nil {
			return nil, err
		}
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return err, nil
		}
	}
}
