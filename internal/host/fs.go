// Package host is the node as collectors see it: its file tree below a root, and its commands.
//
// An [FS] is a rooted, read-only view. "/var/log/syslog" means that file of the host, whether the host is mounted
// at /host or is the machine itself. Symlinks, absolute ones too, resolve inside the root. Only regular files are
// opened: a FIFO, socket or device is an error at once and is never touched. Private keys, pod volumes and the
// like can be seen but not read: opening one is [ErrDenied], by whatever path or symlink it is reached. A file is
// known by its path: a hard link or a copy under a harmless name is not recognised.
//
// A [Runner] runs the host's commands with time and output limits, and kills them with their process group.
//
// Everything read from a host is untrusted. Memory is bounded by the limits that callers give and by
// [MaxEntries]. What cannot be bounded is time inside the kernel: a system call on a hung file system (a dead NFS
// server) does not return, and nothing here can interrupt it. It holds up its own goroutine only: the package
// holds no lock during I/O. A caller that must go on runs the call in a goroutine and abandons it.
//
// Outside Linux the same interface stands on [os.Root]: the deny list is then checked against the path as it was
// just before the file was opened, and a symlink put there at that moment can defeat it.
package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// MaxEntries bounds what is held of one directory by Walk, of a ReadDir without limit, and of a Glob.
const MaxEntries = 10_000

// Errors of an FS, for errors.Is. Those of the operating system, such as fs.ErrNotExist, fs.ErrPermission and
// syscall.ELOOP, are passed through. All come in an fs.PathError with the host path.
var (
	// ErrDenied: the content of this file is never read. Stat, ReadLink and listings still show it.
	ErrDenied = errors.New("denied: content of this kind is never read")
	// ErrNotRegular: the name is a directory, FIFO, socket or device; the error's text says which.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge: the file is longer than the limit; the bytes up to the limit are returned with it.
	ErrTooLarge = errors.New("longer than the limit")
	// ErrTooMany: there are more names than the limit; those found first are returned with it.
	ErrTooMany = errors.New("too many entries")
)

// An FS is the host's file tree below a root. It is read-only, may be copied and used by many goroutines, and
// holds one descriptor until the last copy is garbage. The zero value is unusable; make one with Open.
//
// Names are absolute and slash-separated, as on the host: "/var/log/syslog". They are cleaned as by path.Clean, so
// ".." goes up in the name, not from where a symlink leads. A relative name or one with a NUL is fs.ErrInvalid.
//
// The links of /proc that are no paths (PID/exe, PID/root, PID/fd/N) are read by ReadLink but not followed: that is
// an error.
type FS struct {
	root string
	tree tree
}

// Open returns the file tree below root, an existing directory: "/" on the host itself, "/host" in the agent's
// container. On Linux every name is resolved by openat2(2) with RESOLVE_IN_ROOT. Where that system call is missing
// (before Linux 5.6, or behind an old seccomp profile) Open fails, except for the root "/", which needs no
// confinement.
func Open(root string) (FS, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return FS{}, fmt.Errorf("open host root %s: %w", root, err)
	}
	t, err := openTree(abs)
	if err != nil {
		return FS{}, fmt.Errorf("open host root %s: %w", root, cause(err))
	}
	return FS{abs, t}, nil
}

// Root returns the absolute path, on this machine, that host names are below.
func (f FS) Root() string { return f.root }

// Stat describes what name leads to, following symlinks.
func (f FS) Stat(name string) (fs.FileInfo, error) {
	return onName("stat", name, func(name string) (fs.FileInfo, error) { return f.tree.stat(name, true) })
}

// Lstat describes name itself, which may be a symlink.
func (f FS) Lstat(name string) (fs.FileInfo, error) {
	return onName("lstat", name, func(name string) (fs.FileInfo, error) { return f.tree.stat(name, false) })
}

// A Statfs describes the file system that a name is on.
type Statfs struct {
	Type   int64 // magic number, as in statfs(2): https://man7.org/linux/man-pages/man2/statfs.2.html
	Bytes  Usage
	Inodes Usage // all zero where the file system does not count them
	// ReadOnly is true when this process cannot write there, be it for the file system or for the mount: below a
	// root that is mounted read-only it says nothing about the host. /proc/1/mountinfo tells the two apart.
	ReadOnly bool
}

// Usage counts bytes or inodes: Free are unused, Available are those of them that unprivileged users may take.
type Usage struct{ Total, Free, Available uint64 }

// Statfs describes the file system of name, following symlinks. It is Linux only: errors.ErrUnsupported elsewhere.
func (f FS) Statfs(name string) (Statfs, error) {
	return onName("statfs", name, f.tree.statfs)
}

// ReadLink returns the target of the symlink name as it is stored, which may be a relative path, or a path of
// another mount namespace as in /proc/PID/exe.
func (f FS) ReadLink(name string) (string, error) {
	return onName("readlink", name, f.tree.readLink)
}

// ReadDir returns at most limit entries of a directory, sorted by name; limit 0 means MaxEntries. If there are more
// it returns those that the file system gave first, and ErrTooMany. After another error the entries read before it
// are returned. Info of an entry is as Lstat at the time of its call.
func (f FS) ReadDir(name string, limit int) ([]fs.DirEntry, error) {
	if limit <= 0 {
		limit = MaxEntries
	}
	return onName("readdir", name, func(name string) ([]fs.DirEntry, error) { return f.readDir(name, limit, true) })
}

func (f FS) readDir(name string, limit int, follow bool) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	err := f.scan(name, follow, func(e fs.DirEntry) error {
		if len(entries) == limit {
			return ErrTooMany
		}
		entries = append(entries, entry{e, f, path.Join(name, e.Name())})
		return nil
	})
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// scan calls fn with the entries of a directory as they come, a few at a time, until the first error. Their Info
// must not be used: it would not be confined to the root.
func (f FS) scan(name string, follow bool, fn func(fs.DirEntry) error) error {
	dir, err := f.tree.openDir(name, follow)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(256)
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// An entry is a fs.DirEntry whose Info is confined to the root.
type entry struct {
	fs.DirEntry
	fs   FS
	path string
}

func (e entry) Info() (fs.FileInfo, error) { return e.fs.Lstat(e.path) }

// Open opens a regular file for reading, following symlinks. Anything else is ErrNotRegular, without having been
// opened; a file whose content is never read is ErrDenied. The caller closes the file.
func (f FS) Open(name string) (*File, error) {
	return onName("open", name, func(name string) (*File, error) { return f.open(name, denied) })
}

func (f FS) open(name string, deny func(string) bool) (*File, error) {
	if deny(name) {
		return nil, ErrDenied
	}
	file, err := f.tree.open(name, deny)
	if err != nil {
		return nil, err
	}
	return &File{file, name}, nil
}

// A File is an open regular file. It stays readable when its name is removed or replaced. Reads do not wait for
// data: where a file has none yet (some below /proc do that) they return syscall.EAGAIN.
type File struct {
	file *os.File
	name string
}

// Name returns the cleaned host path the file was opened by.
func (f *File) Name() string { return f.name }

// Read implements io.Reader.
func (f *File) Read(p []byte) (int, error) { return f.file.Read(p) }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.file.ReadAt(p, off) }

// Seek implements io.Seeker.
func (f *File) Seek(offset int64, whence int) (int64, error) { return f.file.Seek(offset, whence) }

// Stat describes the open file.
func (f *File) Stat() (fs.FileInfo, error) { return f.file.Stat() }

// Close implements io.Closer.
func (f *File) Close() error { return f.file.Close() }

// ReadFile returns the content of a file as Open would read it, whatever size the file claims: those below /proc
// and /sys claim none, or a page. If the file is longer than limit bytes it returns the first limit bytes, and
// ErrTooLarge. After another error it returns what was read before it.
func (f FS) ReadFile(name string, limit int64) ([]byte, error) {
	return onName("read", name, func(name string) ([]byte, error) { return f.readFile(name, limit, denied) })
}

func (f FS) readFile(name string, limit int64, deny func(string) bool) ([]byte, error) {
	file, err := f.open(name, deny)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	limit = min(max(limit, 0), math.MaxInt64-1)
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if int64(len(data)) > limit {
		return data[:limit], ErrTooLarge
	}
	return data, err
}

// onName calls do with the cleaned name and puts its error into an fs.PathError.
func onName[T any](op, name string, do func(name string) (T, error)) (T, error) {
	var result T
	cleaned, err := clean(name)
	if err == nil {
		name = cleaned
		result, err = do(name)
	}
	if err != nil {
		err = &fs.PathError{Op: op, Path: name, Err: cause(err)}
	}
	return result, err
}

func clean(name string) (string, error) {
	if !path.IsAbs(name) || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: a host path is absolute", fs.ErrInvalid)
	}
	return path.Clean(name), nil
}

// cause strips the path of this machine, which means nothing to a reader of host paths, from an error.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func checkRegular(mode fs.FileMode) error {
	kind := "file of unknown kind"
	switch mode.Type() {
	case 0:
		return nil
	case fs.ModeDir:
		kind = "directory"
	case fs.ModeNamedPipe:
		kind = "FIFO"
	case fs.ModeSocket:
		kind = "socket"
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		kind = "device"
	}
	return fmt.Errorf("%w: it is a %s", ErrNotRegular, kind)
}
