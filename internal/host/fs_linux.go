package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// descriptors is where procfs tells the path of an open file, and opens it again.
const descriptors = "/proc/self/fd/"

const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY

// A tree resolves names below its root.
type tree struct {
	dir   *os.File // the root, O_PATH
	real  string   // path of the root without symlinks
	plain bool     // openat2 is missing; the root is "/"
	proc  bool     // descriptors is readable
}

func openTree(root string) (tree, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return tree{}, err
	}
	t := tree{dir: os.NewFile(uintptr(fd), root), real: root}
	if link, err := os.Readlink(t.descriptor(t.dir)); err == nil {
		t.real, t.proc = link, true
	}
	probe, err := t.openat("/", unix.O_PATH, 0)
	if err == nil {
		return t, unix.Close(probe)
	}
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return tree{}, err
	}
	if t.real != "/" || !t.proc {
		return tree{}, fmt.Errorf("symlinks cannot be confined to it, openat2 is missing (needs Linux 5.6): %w", err)
	}
	t.plain = true
	return t, nil
}

func (t tree) descriptor(f *os.File) string {
	return fmt.Sprint(descriptors, f.Fd())
}

// openat opens name below the root. It follows no magic links such as /proc/PID/root, unless plain.
func (t tree) openat(name string, flags int, resolve uint64) (int, error) {
	flags |= unix.O_CLOEXEC
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_IN_ROOT | resolve}
	defer runtime.KeepAlive(t.dir)
	// EAGAIN means that a rename or mount raced with "..": https://man7.org/linux/man-pages/man2/openat2.2.html
	for again := 0; ; again++ {
		var fd int
		err := ignoreEINTR(func() (err error) {
			if t.plain {
				fd, err = unix.Open(name, flags, 0)
			} else {
				fd, err = unix.Openat2(int(t.dir.Fd()), name, &how)
			}
			return err
		})
		if !errors.Is(err, unix.EAGAIN) || again == 100 {
			return fd, err
		}
	}
}

// handle opens name without touching what it is: no device is opened, no FIFO waited for.
func (t tree) handle(name string, follow bool) (*os.File, error) {
	flags := unix.O_PATH
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := t.openat(name, flags, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (t tree) stat(name string, follow bool) (fs.FileInfo, error) {
	h, err := t.handle(name, follow)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.Stat()
}

func (t tree) readLink(name string) (string, error) {
	h, err := t.handle(name, false)
	if err != nil {
		return "", err
	}
	defer h.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(h.Fd()), "", buf)
	if errors.Is(err, unix.ENOENT) { // so says the kernel of an empty path when the descriptor is no symlink
		err = unix.EINVAL
	}
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (t tree) statfs(name string) (Statfs, error) {
	h, err := t.handle(name, true)
	if err != nil {
		return Statfs{}, err
	}
	defer h.Close()
	var s unix.Statfs_t
	if err := ignoreEINTR(func() error { return unix.Fstatfs(int(h.Fd()), &s) }); err != nil {
		return Statfs{}, err
	}
	block := uint64(s.Frsize)
	return Statfs{
		Type:     s.Type,
		Bytes:    Usage{s.Blocks * block, s.Bfree * block, s.Bavail * block},
		Inodes:   Usage{s.Files, s.Ffree, s.Ffree},
		ReadOnly: s.Flags&unix.ST_RDONLY != 0,
	}, nil
}

func (t tree) openDir(name string, follow bool) (*os.File, error) {
	flags := openFlags | unix.O_DIRECTORY
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := t.openat(name, flags, 0)
	if err != nil {
		return nil, err
	}
	// Where the file system tells no types, os.File takes them by lstat below the file's name.
	here := strings.TrimSuffix(t.real, "/") + name
	if t.proc {
		here = fmt.Sprint(descriptors, fd)
	}
	return blocking(fd, here), nil
}

// open opens a regular file whose path, as requested and as resolved, deny does not hold for.
func (t tree) open(name string, deny func(string) bool) (*os.File, error) {
	h, err := t.handle(name, true)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkRegular(info.Mode()); err != nil {
		return nil, err
	}
	if !t.proc {
		return t.openUnlinked(name)
	}
	resolved, err := t.resolved(h, info)
	if err != nil {
		return nil, err
	}
	// A path that ends like this may be that of a removed file.
	if deny(resolved) || deny(strings.TrimSuffix(resolved, " (deleted)")) {
		return nil, fmt.Errorf("leads to %q: %w", resolved, ErrDenied)
	}
	var fd int
	err = ignoreEINTR(func() error {
		fd, err = unix.Open(t.descriptor(h), openFlags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return blocking(fd, name), nil
}

// resolved returns the host path of an open file without symlinks.
func (t tree) resolved(h *os.File, info fs.FileInfo) (string, error) {
	link, err := os.Readlink(t.descriptor(h))
	if err != nil {
		return "", fmt.Errorf("%w (its path is unknown: %w)", ErrDenied, cause(err))
	}
	name, ok := strings.CutPrefix(link, strings.TrimSuffix(t.real, "/"))
	if !ok || !strings.HasPrefix(name, "/") {
		return "", fmt.Errorf("%w (it is outside the root)", ErrDenied)
	}
	if t.plain {
		// A magic link may have led into another mount namespace, where the path means something else.
		here, err := os.Lstat(link)
		if err != nil || !os.SameFile(here, info) {
			return "", fmt.Errorf("%w (its path is unknown)", ErrDenied)
		}
	}
	return name, nil
}

// openUnlinked opens a name without symlinks, whose path therefore needs no asking for.
func (t tree) openUnlinked(name string) (*os.File, error) {
	fd, err := t.openat(name, openFlags, unix.RESOLVE_NO_SYMLINKS)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w (where a symlink leads is unknown without /proc)", ErrDenied)
	}
	if err != nil {
		return nil, err
	}
	file := blocking(fd, name)
	info, err := file.Stat()
	if err == nil {
		err = checkRegular(info.Mode()) // it may have been replaced meanwhile
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// blocking makes an os.File of a descriptor that was opened with O_NONBLOCK and keeps that flag, but keeps it from
// the runtime's poller: that would wait where the descriptor has no data.
func blocking(fd int, name string) *os.File {
	_ = unix.SetNonblock(fd, false)
	file := os.NewFile(uintptr(fd), name)
	_ = unix.SetNonblock(fd, true)
	return file
}

func ignoreEINTR(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
