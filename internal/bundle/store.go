package bundle

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// A store holds compressed bytes until they are appended to the archive.
type store interface {
	io.ReaderAt
	copyTo(dst *os.File, relieve func() bool) error
	size() int64
	free()
}

// A fileStore is a spool file: nameless where the system allows, so that a killed run
// leaves nothing behind.
type fileStore struct {
	f       *os.File
	n       int64
	relieve func() bool
}

func newFileStore(dir string, relieve func() bool) (*fileStore, error) {
	f, err := spoolFile(dir)
	for isFull(err) && relieve() {
		f, err = spoolFile(dir)
	}
	if err != nil {
		return nil, err
	}
	return &fileStore{f: f, relieve: relieve}, nil
}

// namedSpoolFile makes a spool file that has a name for a moment, or on Windows until it is
// closed.
func namedSpoolFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".spool-*")
	if err == nil && runtime.GOOS != "windows" {
		os.Remove(f.Name())
	}
	return f, err
}

func closeSpool(f *os.File) {
	f.Close()
	if runtime.GOOS == "windows" {
		os.Remove(f.Name())
	}
}

func (s *fileStore) Write(p []byte) (int, error) {
	err := insist(s.f, p, s.relieve)
	if err != nil {
		return 0, err
	}
	s.n += int64(len(p))
	return len(p), nil
}

func (s *fileStore) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off) }
func (s *fileStore) size() int64                             { return s.n }
func (s *fileStore) free()                                   { closeSpool(s.f) }

// copyTo appends the bytes at the position of dst, by the kernel where it can.
func (s *fileStore) copyTo(dst *os.File, relieve func() bool) error {
	for done := int64(0); done < s.n; {
		if _, err := s.f.Seek(done, io.SeekStart); err != nil {
			return err
		}
		n, err := dst.ReadFrom(io.LimitReader(s.f, s.n-done))
		done += n
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && !(isFull(err) && relieve()) {
			return err
		}
	}
	return nil
}

// A bytesStore is compressed bytes in memory.
type bytesStore []byte

func (s bytesStore) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(s)) {
		return 0, io.EOF
	}
	n := copy(p, s[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s bytesStore) size() int64 { return int64(len(s)) }
func (s bytesStore) free()       {}

func (s bytesStore) copyTo(dst *os.File, relieve func() bool) error { return insist(dst, s, relieve) }

// insist writes p at the position of f; when the disk is full it goes on as long as
// relieve finds something to free.
func insist(f *os.File, p []byte, relieve func() bool) error {
	for {
		n, err := f.Write(p)
		p = p[n:]
		if err == nil || !isFull(err) || !relieve() {
			return err
		}
	}
}

// reserve takes n bytes of the disk in a spool file.
func reserve(dir string, n int64) (*os.File, error) {
	f, err := spoolFile(filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	for ; n > 0; n -= int64(len(buf)) {
		if _, err := f.Write(buf); err != nil {
			closeSpool(f)
			return nil, err
		}
	}
	return f, nil
}

// isDiskFailure reports whether err says that the disk is full, read-only or broken.
func isDiskFailure(err error) bool {
	for _, e := range diskFailures {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
