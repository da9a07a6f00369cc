package bundle

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

// makeFiles writes files below a new folder.
func makeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openPath(t *testing.T, path string) (*Bundle, error) {
	t.Helper()
	b, closer, err := OpenPath(t.Context(), path)
	if (b == nil) != (closer == nil) || (b == nil && err == nil) {
		t.Fatalf("OpenPath = %v, %v, %v", b, closer, err)
	}
	if closer != nil {
		t.Cleanup(func() { closer.Close() })
	}
	return b, err
}

func TestOpenPath(t *testing.T) {
	zipped := string((&archive{}).add(t, "os/a", "in the zip").add(t, manifest.Name, smallManifest).close(t))
	files := map[string]string{manifest.Name: smallManifest, "os/a": "in the folder"}
	with := func(more ...string) map[string]string {
		m := maps.Clone(files)
		for _, name := range more {
			m[name] = zipped
		}
		return m
	}
	tests := []struct {
		name  string
		files map[string]string
		open  string
		want  string // content of os/a
		err   string
	}{
		{"zip", with("n.zip"), "n.zip", "in the zip", ""},
		{"folder of files", files, ".", "in the folder", ""},
		{"folder with a zip", with("n.zip"), ".", "in the zip", ""},
		{"folder with a partial zip", map[string]string{"n.zip.partial": zipped}, ".", "in the zip", ""},
		{"folder with files and two zips", with("n.zip", "m.zip"), ".", "in the folder", ""},
		{"folder with two zips only", map[string]string{"m.zip": zipped, "n.zip": zipped}, ".", "", "holds no manifest.json and 2 zip files"},
		{"folder of folders", map[string]string{"run/node/n.zip": zipped}, ".", "", "not a bundle: it holds no manifest.json and 0 zip files"},
		{"missing", nil, "n.zip", "", "open bundle: stat "},
		{"text", map[string]string{"a.log": "text"}, "a.log", "", "a.log: not a bundle"},
		{"cut", map[string]string{"n.zip": zipped[:len(zipped)-10]}, "n.zip", "in the zip", "n.zip: the archive is cut"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := openPath(t, filepath.Join(makeFiles(t, tt.files), tt.open))
			if (tt.err == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("OpenPath: %v, want %q", err, tt.err)
			}
			if (b != nil) != (tt.want != "") {
				t.Fatalf("a bundle: %v", b != nil)
			}
			if b == nil {
				return
			}
			if got, err := readAll(b, "os/a"); got != tt.want || err != nil {
				t.Errorf("os/a = %q, %v; want %q", got, err, tt.want)
			}
			if m, err := b.Manifest(); err != nil || m.Node != "node-1" {
				t.Errorf("Manifest = %v, %v", m, err)
			}
		})
	}
}

func TestFolder(t *testing.T) {
	dir := makeFiles(t, map[string]string{
		manifest.Name: `{"format":1,"files":[{"name":"os/a","size":4},{"name":"os/gone","size":1},{"name":"os/out","size":1}]}`,
		"os/a":        "text", "podlogs/ns/0.log": "line\n",
	})
	b, err := openPath(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(b, "os/a", "podlogs/ns/0.log", manifest.Name); err != nil {
		t.Error(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("not for the bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "os", "out")); err != nil {
		t.Skipf("no links here: %v", err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "os", "loop")); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(b, "os/out"); err == nil {
		t.Errorf("a link led out of the folder, to %q", got)
	}
	if _, err := b.Open("../x"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Open of a bad name: %v, want ErrInvalid", err)
	}
	problems := strings.Join(b.Problems(), "\n")
	if !strings.Contains(problems, `"os/gone" is missing`) || !strings.Contains(problems, `"os/out", which the manifest lists`) {
		t.Errorf("problems %q", problems)
	}
}
