package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	maxSize    = 2 << 30   // bytes of an entry that a reader accepts
	maxEntries = 1_000_000 // files and folders that a reader accepts
)

var (
	errDuplicate = errors.New("another entry has this name")
	errClash     = errors.New("it is a file and a folder at once")
	errTooMany   = fmt.Errorf("it has more than %d entries", maxEntries)
)

// newFS reads the entries of an archive that this package is writing.
func newFS(archive io.ReaderAt, records []record) fs.FS {
	t := newTree(archive)
	for _, r := range records {
		m := &member{header: header{record: r}, start: r.data(), limit: math.MaxInt64}
		if r.mem != nil {
			m.at, m.start = bytes.NewReader(r.mem), 0
		}
		// Names are unique; one below another's file could not be unpacked either.
		_ = t.add(r.name, m, r.modTime)
	}
	t.sort()
	return t
}

// A tree is the fs.FS over the members of an archive.
type tree struct {
	archive io.ReaderAt
	nodes   map[string]*node // by path
	room    int              // for nodes
}

func newTree(archive io.ReaderAt) *tree {
	return &tree{archive: archive, nodes: map[string]*node{".": {name: "."}}, room: maxEntries}
}

// add puts a file, or a folder when m is nil, at a valid path.
func (t *tree) add(name string, m *member, modTime time.Time) error {
	if old := t.nodes[name]; old != nil {
		switch {
		case old.file == nil && m == nil:
			old.modTime = modTime
			return nil
		case old.file != nil && m != nil:
			return errDuplicate
		}
		return errClash
	}
	if m == nil {
		n, err := t.folder(name)
		if err == nil {
			n.modTime = modTime
		}
		return err
	}
	return t.insert(name, &node{name: path.Base(name), modTime: modTime, file: m})
}

// folder returns the folder of that path, made when it is missing.
func (t *tree) folder(name string) (*node, error) {
	if n := t.nodes[name]; n != nil {
		if n.file != nil {
			return nil, errClash
		}
		return n, nil
	}
	n := &node{name: path.Base(name)}
	return n, t.insert(name, n)
}

func (t *tree) insert(name string, n *node) error {
	parent, err := t.folder(path.Dir(name))
	if err != nil {
		return err
	}
	if t.room == 0 {
		return errTooMany
	}
	t.room--
	parent.list = append(parent.list, n)
	t.nodes[name] = n
	return nil
}

// sort brings the folders in the order that fs.ReadDir promises.
func (t *tree) sort() {
	for _, n := range t.nodes {
		slices.SortFunc(n.list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
}

func (t *tree) lookup(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := t.nodes[name]
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (t *tree) Open(name string) (fs.File, error) {
	n, err := t.lookup("open", name)
	if err != nil {
		return nil, err
	}
	if n.file == nil {
		return &openFolder{node: n}, nil
	}
	r, err := n.file.open(t.archive)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &stream{node: n, path: name, r: r, left: n.file.size}, nil
}

func (t *tree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.lookup("stat", name)
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.lookup("readdir", name)
	if err == nil && n.file != nil {
		err = &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a folder")}
	}
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.list), nil
}

// A node is a file or folder of a tree.
type node struct {
	name    string
	modTime time.Time
	file    *member // nil: a folder
	list    []fs.DirEntry
}

func (n *node) Name() string               { return n.name }
func (n *node) ModTime() time.Time         { return n.modTime }
func (n *node) IsDir() bool                { return n.file == nil }
func (n *node) Sys() any                   { return nil }
func (n *node) Type() fs.FileMode          { return n.Mode().Type() }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }
func (n *node) String() string             { return fs.FormatDirEntry(n) }

func (n *node) Size() int64 {
	if n.file == nil {
		return 0
	}
	return n.file.size
}

func (n *node) Mode() fs.FileMode {
	if n.file == nil {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// An openFolder is an open folder.
type openFolder struct {
	node *node
	next int
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFolder) Close() error               { return nil }

func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.node.name, Err: errors.New("is a folder")}
}

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := f.node.list[f.next:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	f.next += len(rest)
	return slices.Clone(rest), nil
}
