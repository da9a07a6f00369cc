//go:build !linux

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// maxLinks is how many symlinks one name may lead through, as in Linux.
const maxLinks = 40

// A tree resolves names below its root.
type tree struct{ dir *os.Root }

func openTree(root string) (tree, error) {
	dir, err := os.OpenRoot(root)
	return tree{dir}, err
}

// local is the form in which os.Root takes a host name. It refuses what means something else on this system, such
// as backslashes and drive letters on Windows.
func local(name string) (string, error) {
	if name == "/" {
		return ".", nil
	}
	return filepath.Localize(name[1:])
}

func (t tree) lstat(name string) (fs.FileInfo, error) {
	rel, err := local(name)
	if err != nil {
		return nil, err
	}
	return t.dir.Lstat(rel)
}

func (t tree) readLink(name string) (string, error) {
	resolved, err := t.resolve(name, false)
	if err != nil {
		return "", err
	}
	rel, err := local(resolved)
	if err != nil {
		return "", err
	}
	return t.dir.Readlink(rel)
}

// resolve returns the host name that name leads to, without symlinks (but its last part's, unless follow). Unlike
// os.Root it takes absolute symlinks and those that go up too far, and keeps them inside the root.
func (t tree) resolve(name string, follow bool) (string, error) {
	resolved := "/"
	rest := split(name)
	for links := 0; len(rest) > 0; {
		next := path.Join(resolved, rest[0])
		rest = rest[1:]
		info, err := t.lstat(next)
		if err != nil {
			return "", err
		}
		if info.Mode().Type() != fs.ModeSymlink || len(rest) == 0 && !follow {
			resolved = next
			continue
		}
		if links++; links > maxLinks {
			return "", syscall.ELOOP
		}
		target, err := t.target(next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			resolved = "/"
		}
		rest = append(split(target), rest...)
	}
	return resolved, nil
}

// target returns where a symlink leads, slash-separated and without a volume name.
func (t tree) target(link string) (string, error) {
	rel, err := local(link)
	if err != nil {
		return "", err
	}
	target, err := t.dir.Readlink(rel)
	return filepath.ToSlash(target[len(filepath.VolumeName(target)):]), err
}

func split(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
}

func (t tree) stat(name string, follow bool) (fs.FileInfo, error) {
	resolved, err := t.resolve(name, follow)
	if err != nil {
		return nil, err
	}
	return t.lstat(resolved)
}

func (tree) statfs(string) (Statfs, error) { return Statfs{}, errors.ErrUnsupported }

func (t tree) openDir(name string, follow bool) (*os.File, error) {
	info, resolved, err := t.find(name, follow)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, syscall.ENOTDIR
	}
	rel, err := local(resolved)
	if err != nil {
		return nil, err
	}
	return t.dir.Open(rel)
}

func (t tree) find(name string, follow bool) (fs.FileInfo, string, error) {
	resolved, err := t.resolve(name, follow)
	if err != nil {
		return nil, "", err
	}
	info, err := t.lstat(resolved)
	return info, resolved, err
}

// open opens a regular file whose path, as requested and as resolved, deny does not hold for.
func (t tree) open(name string, deny func(string) bool) (*os.File, error) {
	info, resolved, err := t.find(name, true)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(info.Mode()); err != nil {
		return nil, err
	}
	// A short name such as PROGRA~1 may stand for a denied one.
	if deny(resolved) || runtime.GOOS == "windows" && strings.Contains(resolved, "~") {
		return nil, fmt.Errorf("leads to %q: %w", resolved, ErrDenied)
	}
	rel, err := local(resolved)
	if err != nil {
		return nil, err
	}
	file, err := t.dir.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err == nil {
		err = checkRegular(info.Mode())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
