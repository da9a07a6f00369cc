package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

// A folder is an unpacked bundle. No link leads out of it, and what is neither file nor
// folder is not opened.
type folder struct{ root *os.Root }

func (f folder) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	// A pipe must not block, before it can be seen for what it is.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("neither a file nor a folder")}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (f folder) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(f.root.FS(), name) }
func (f folder) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(f.root.FS(), name) }

// openFolderPath opens the one zip in a folder, which verifies itself, or the files.
func openFolderPath(path string) (*Bundle, io.Closer, error) {
	zips, err := zipsIn(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open bundle: %w", err)
	}
	if len(zips) == 1 {
		return openFile(filepath.Join(path, zips[0]))
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open bundle: %w", err)
	}
	if _, err := root.Stat(manifest.Name); err != nil {
		_ = root.Close()
		return nil, nil, fmt.Errorf("open %s: not a bundle: it holds no %s and %d zip files: name one zip, or a node's folder", path, manifest.Name, len(zips))
	}
	return newBundle(folder{root}), root, nil
}

func zipsIn(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	var zips []string
	for _, e := range entries {
		if name := e.Name(); e.Type().IsRegular() && (strings.HasSuffix(name, ".zip") || strings.HasSuffix(name, ".zip"+Partial)) {
			zips = append(zips, name)
		}
	}
	return zips, err
}
