package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Glob returns the host names that match pattern, sorted. The pattern is absolute; each of its parts is as in
// path.Match, and a part of two stars ("**") is not supported. Symlinked directories on the way are followed within
// the root; a symlink that leads nowhere matches by its name.
//
// At most MaxEntries names are returned: if there are more, those found first, and ErrTooMany. A malformed pattern
// is path.ErrBadPattern. After any other error, the first directory that could not be read, the names are those
// found elsewhere.
func (f FS) Glob(pattern string) ([]string, error) {
	return onName("glob", pattern, func(pattern string) ([]string, error) {
		parts := strings.Split(strings.Trim(pattern, "/"), "/")
		for _, part := range parts {
			if err := checkPattern(part); err != nil {
				return nil, err
			}
		}
		found := []string{"/"}
		var failed error
		for _, part := range parts {
			var err error
			found, err = f.expand(found, part)
			failed = firstError(failed, err)
		}
		slices.Sort(found)
		return found, failed
	})
}

func checkPattern(part string) error {
	if strings.Contains(part, "**") {
		return fmt.Errorf(`"**" is not supported: %w`, path.ErrBadPattern)
	}
	if _, err := path.Match(part, ""); err != nil {
		return fmt.Errorf("in %q: %w", part, err)
	}
	return nil
}

// expand returns the names in dirs that match part, at most MaxEntries, and the first error.
func (f FS) expand(dirs []string, part string) (found []string, failed error) {
	add := func(name string) error {
		if len(found) == MaxEntries {
			return ErrTooMany
		}
		found = append(found, name)
		return nil
	}
	for _, dir := range dirs {
		err := f.match(dir, part, add)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if errors.Is(err, ErrTooMany) {
			return found, firstError(failed, err)
		}
		if err != nil {
			failed = firstError(failed, fmt.Errorf("in %q: %w", dir, cause(err)))
		}
	}
	return found, failed
}

// match calls add with each name in dir that matches part.
func (f FS) match(dir, part string, add func(string) error) error {
	if !strings.ContainsAny(part, `*?[\`) {
		name := path.Join(dir, part)
		if _, err := f.tree.stat(name, false); err != nil {
			return err
		}
		return add(name)
	}
	return f.scan(dir, true, func(e fs.DirEntry) error {
		if ok, err := path.Match(part, e.Name()); !ok || err != nil {
			return err
		}
		return add(path.Join(dir, e.Name()))
	})
}

// firstError returns the first error that is not nil.
func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Walk calls fn with name and with everything below it that is at most depth levels down (0: name alone), in
// lexical order, a directory before its content. The symlinks in name itself are followed; those found below it
// are not, and info describes them as Lstat does.
//
// If an entry cannot be described, fn gets a nil info and the error. If a directory cannot be read, or has more
// than MaxEntries entries (ErrTooMany), fn is called a second time with that directory and the error; what could be
// read of it is walked all the same. As in fs.WalkDir an error that fn returns ends the walk and is returned, except
// that fs.SkipDir leaves out the directory (or, for another file, the rest of its directory) and fs.SkipAll ends the
// walk without an error. Memory is bounded by depth times MaxEntries.
func (f FS) Walk(name string, depth int, fn func(path string, info fs.FileInfo, err error) error) error {
	start, err := clean(name)
	if err != nil {
		return &fs.PathError{Op: "walk", Path: name, Err: err}
	}
	info, err := f.Stat(start)
	if err != nil {
		err = fn(start, nil, err)
	} else {
		err = walker{f, fn}.walk(start, info, depth, true)
	}
	if errors.Is(err, fs.SkipDir) || errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

type walker struct {
	fs FS
	fn func(path string, info fs.FileInfo, err error) error
}

func (w walker) walk(name string, info fs.FileInfo, depth int, follow bool) error {
	err := w.fn(name, info, nil)
	if !info.IsDir() {
		return err
	}
	if err == nil && depth > 0 {
		err = w.children(name, info, depth, follow)
	}
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

func (w walker) children(dir string, info fs.FileInfo, depth int, follow bool) error {
	entries, err := w.fs.readDir(dir, MaxEntries, follow)
	if err != nil {
		if err := w.fn(dir, info, &fs.PathError{Op: "readdir", Path: dir, Err: cause(err)}); err != nil {
			return err
		}
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if err := w.child(name, e, depth-1); err != nil {
			return err
		}
	}
	return nil
}

func (w walker) child(name string, e fs.DirEntry, depth int) error {
	info, err := e.Info()
	if err != nil {
		return w.fn(name, nil, err)
	}
	return w.walk(name, info, depth, false)
}
