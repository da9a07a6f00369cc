// Command image writes Periscope's container image as an OCI archive, without Docker: an
// index of one image for each platform, each FROM scratch with the binary and nothing else.
// The Dockerfile of the repository gives the same content. Equal binaries give equal bytes.
//
//	image -name NAME:TAG -out FILE linux/amd64=BINARY linux/arm64=BINARY
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	name := flag.String("name", "periscope:dev", "name and tag")
	out := flag.String("out", "periscope.tar", "the archive")
	flag.Parse()
	if err := run(*name, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(name, out string, binaries []string) error {
	if len(binaries) == 0 {
		return errors.New("name at least one PLATFORM=BINARY")
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range binaries {
		platform, path, ok := strings.Cut(b, "=")
		if !ok {
			return fmt.Errorf("%q is not PLATFORM=BINARY", b)
		}
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			return err
		}
		img, err := image(p, path)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	_, tag, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	err = store.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          name,
		"org.opencontainers.image.ref.name": tag,
	}))
	if err != nil {
		return err
	}
	return pack(dir, out)
}

// image is one platform's image.
func image(p *v1.Platform, path string) (v1.Image, error) {
	content, err := layer(path)
	if err != nil {
		return nil, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), l)
	if err != nil {
		return nil, err
	}
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: p.Architecture, OS: p.OS, Variant: p.Variant,
		RootFS: config.RootFS, History: []v1.History{{CreatedBy: "COPY periscope /periscope"}},
		Config: v1.Config{Entrypoint: []string{"/periscope"}, WorkingDir: "/", Labels: map[string]string{
			"org.opencontainers.image.title":    "periscope",
			"org.opencontainers.image.licenses": "Apache-2.0",
		}},
	})
}

// layer is a tar of the binary, always with the same times and owner.
func layer(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "periscope", Mode: 0o755, Size: int64(len(data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = w.Write(data)
	}
	return buf.Bytes(), errors.Join(err, w.Close())
}

// pack writes the layout folder as one tar.
func pack(dir, out string) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(rel), Mode: 0o644, Size: int64(len(data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	return errors.Join(err, w.Close())
}
