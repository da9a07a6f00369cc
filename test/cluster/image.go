package cluster

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
)

// An ImageFile is one file of an image: the content of the file From, or a symbolic link to Link. Files are executable.
type ImageFile struct{ Path, From, Link string }

// WriteImage writes a one-layer image named ref, without a base image, as a tar that Node.Import reads (the format of
// `docker save`). It has the folders of its files, /tmp and nothing else, and the platform of this machine.
func WriteImage(to, ref string, entrypoint []string, files ...ImageFile) error {
	layer, err := os.CreateTemp("", "layer")
	if err != nil {
		return err
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	digest := sha256.New()
	if err := writeLayer(io.MultiWriter(layer, digest), files); err != nil {
		return fmt.Errorf("write image %s: %w", ref, err)
	}
	diffID := hex.EncodeToString(digest.Sum(nil))
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": entrypoint, "Env": []string{"PATH=/bin:/usr/bin:/sbin"}, "WorkingDir": "/"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + diffID}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{ref}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	return writeArchive(to, layer, config, manifest)
}

func writeArchive(to string, layer *os.File, config, manifest []byte) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	w := tar.NewWriter(out)
	for name, data := range map[string][]byte{"config.json": config, "manifest.json": manifest} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	if err := copyInto(w, "layer.tar", layer); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Close()
}

func writeLayer(out io.Writer, files []ImageFile) error {
	w := tar.NewWriter(out)
	made := map[string]bool{}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return err
	}
	for _, f := range files {
		name := strings.TrimPrefix(f.Path, "/")
		if dir := path.Dir(name); dir != "." && !made[dir] {
			made[dir] = true
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
				return err
			}
		}
		if err := writeImageFile(w, name, f); err != nil {
			return err
		}
	}
	return w.Close()
}

func writeImageFile(w *tar.Writer, name string, f ImageFile) error {
	if f.Link != "" {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: f.Link, Mode: 0o777})
	}
	in, err := os.Open(f.From)
	if err != nil {
		return err
	}
	defer in.Close()
	return copyInto(w, name, in)
}

// copyInto writes the whole of in, from its start, as the executable file name.
func copyInto(w *tar.Writer, name string, in *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}
