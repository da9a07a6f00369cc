package bundle

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

// ErrTruncated says that an archive has no valid directory at its end, as one that a
// killed run left behind or a download that broke off. What lies before the cut is
// readable; reading the file that the cut goes through ends with this error too.
var ErrTruncated = errors.New("the archive is cut")

// A Bundle is the fs.FS of a bundle's files: a zip, whole or cut, local or remote, or an
// unpacked folder. Files of a zip are streams that end with an error, not with io.EOF,
// when size or checksum are not as declared. It may be used from several goroutines.
//
// Bundles come from elsewhere, so the content is not trusted. Entries whose names could
// leave a folder or are no valid paths, second entries of a name, links, devices,
// encrypted and overlapping entries, and those that declare more than 2 GiB, are not
// offered; Problems names them. Whoever reads a file bounds what it keeps of it: small
// archives can hold large files. Names may hold any character but NUL and backslash.
type Bundle struct {
	files   fileSystem
	cut     bool
	refused problems

	manifest func() (*manifest.Manifest, error)
}

type fileSystem interface {
	fs.ReadDirFS
	fs.StatFS
}

func newBundle(files fileSystem) *Bundle {
	b := &Bundle{files: files}
	b.manifest = sync.OnceValues(b.readManifest)
	return b
}

// Open reads the directory of the zip in r, or, when it has none, its local headers; then
// the error is ErrTruncated and the Bundle, not nil, holds what is readable. Any other
// error says why r is no bundle or could not be read.
//
// A zip without manifest, which no run of Periscope made, opens too; Manifest and Problems
// say so.
func Open(r io.ReaderAt, size int64) (*Bundle, error) {
	members, err := readDirectory(r, size)
	switch {
	case err == nil:
		return openMembers(r, members)
	case errors.Is(err, errTooMany):
		return nil, fmt.Errorf("not a bundle: %w", err)
	case !errors.Is(err, errFormat):
		return nil, fmt.Errorf("read the archive's directory: %w", err)
	}
	return openCut(r, size)
}

func openCut(r io.ReaderAt, size int64) (*Bundle, error) {
	if err := checkStart(r, size); err != nil {
		return nil, err
	}
	s, err := scanLocal(r, size)
	if errors.Is(err, errTooMany) {
		return nil, fmt.Errorf("not a bundle: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cut archive: %w", err)
	}
	b, err := openMembers(r, s.members)
	if err != nil {
		return nil, err
	}
	b.cut = true
	if s.why != "" {
		b.refused.add("%s", s.why)
	}
	return b, fmt.Errorf("%w: it has no directory; entries found before the cut: %d", ErrTruncated, len(s.members))
}

// checkStart tells a cut archive from a file that never was one.
func checkStart(r io.ReaderAt, size int64) error {
	if size == 0 {
		return errors.New("not a bundle: it is empty")
	}
	var sig [4]byte
	n := min(size, 4)
	if err := readFull(r, sig[:n], 0); err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	if n < 4 || binary.LittleEndian.Uint32(sig[:]) != sigLocal {
		return errors.New("not a bundle: it is no zip archive")
	}
	return nil
}

func openMembers(r io.ReaderAt, members []*member) (*Bundle, error) {
	t := newTree(r)
	b := newBundle(t)
	for _, m := range members {
		err := t.admit(m)
		if errors.Is(err, errTooMany) {
			return nil, fmt.Errorf("not a bundle: %w", err)
		}
		if err != nil {
			b.refused.add("%q is not offered: %w", m.name, err)
		} else if m.cut {
			b.refused.add("%q is cut: the archive ends in the middle of it", m.name)
		}
	}
	t.sort()
	return b, nil
}

// admit adds a member that comes from elsewhere, unless it is refused.
func (t *tree) admit(m *member) error {
	name, isFolder, err := cleanName(m.name)
	if err = errors.Join(m.refused, err); err != nil {
		return err
	}
	if err := m.refusal(); err != nil {
		return err
	}
	if !isFolder {
		return t.add(name, m, m.modTime)
	}
	if m.size > 0 {
		return errors.New("it is a folder with content")
	}
	return t.add(name, nil, m.modTime)
}

// Open opens a file or folder.
func (b *Bundle) Open(name string) (fs.File, error) { return b.files.Open(name) }

// Stat describes a file or folder. Sizes are as declared.
func (b *Bundle) Stat(name string) (fs.FileInfo, error) { return b.files.Stat(name) }

// ReadDir lists a folder by name.
func (b *Bundle) ReadDir(name string) ([]fs.DirEntry, error) { return b.files.ReadDir(name) }

const maxManifestRead = 64 << 20

// Manifest reads manifest.json. The error is fs.ErrNotExist when there is none. All calls
// return the same value, which callers do not change.
func (b *Bundle) Manifest() (*manifest.Manifest, error) { return b.manifest() }

func (b *Bundle) readManifest() (*manifest.Manifest, error) {
	f, err := b.Open(manifest.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no bundle of Periscope, or not all of it: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxManifestRead {
		return nil, fmt.Errorf("read %s: it is longer than %d bytes", manifest.Name, maxManifestRead)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxManifestRead))
	if err != nil {
		return nil, err
	}
	return manifest.Parse(data)
}

// Problems says, for people, what was refused, what is missing or not as the manifest
// says; none means that the bundle is whole. It reads the manifest but no other file. Names
// in it are quoted, so a terminal may show them.
func (b *Bundle) Problems() []string {
	p := problems{slices.Clone(b.refused.list), b.refused.more}
	m, err := b.Manifest()
	switch {
	case err == nil:
		for _, f := range m.Files {
			b.compare(f, &p)
		}
	case !b.cut:
		p.add("%w", err)
	}
	return p.all()
}

func (b *Bundle) compare(f manifest.File, p *problems) {
	info, err := b.Stat(f.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.add("%q is missing: the manifest lists it", f.Name)
	case err != nil:
		p.add("%q, which the manifest lists: %q", f.Name, err)
	case info.Size() != f.Size || info.IsDir():
		p.add("%q has %d bytes, by the manifest %d", f.Name, info.Size(), f.Size)
	}
}

// problems is a list of bounded length.
type problems struct {
	list []string
	more int
}

const maxProblems = 1000

func (p *problems) add(format string, args ...any) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, fmt.Errorf(format, args...).Error())
}

func (p *problems) all() []string {
	if p.more == 0 {
		return p.list
	}
	return append(p.list, fmt.Sprintf("and %d more problems", p.more))
}

// OpenPath opens a bundle that is a zip file, an unpacked folder, a folder that holds just
// one zip, or the http(s) URL of a zip. Errors and ErrTruncated are as of Open; the Closer
// is nil only when the Bundle is. ctx ends all reading from a URL, also later.
func OpenPath(ctx context.Context, arg string) (*Bundle, io.Closer, error) {
	if isURL(arg) {
		return openURL(ctx, arg)
	}
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("open bundle: %w", err)
	case info.IsDir():
		return openFolderPath(arg)
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("open %s: not a bundle: neither a file nor a folder", arg)
	}
	return openFile(arg)
}

func isURL(arg string) bool {
	scheme, _, ok := strings.Cut(arg, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

func openFile(path string) (*Bundle, io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open bundle: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("open bundle: %w", err)
	}
	return openReader(path, f, info.Size())
}

func openReader(shown string, r interface {
	io.ReaderAt
	io.Closer
}, size int64) (*Bundle, io.Closer, error) {
	b, err := Open(r, size)
	if err != nil {
		err = fmt.Errorf("open %s: %w", shown, err)
	}
	if b == nil {
		r.Close()
		return nil, nil, err
	}
	return b, r, err
}
