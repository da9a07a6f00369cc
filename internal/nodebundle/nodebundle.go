// Package nodebundle makes the bundle of one node: it runs the node's collectors into a
// bundle.Writer, completes the manifest and closes the archive. The CLI does it on the
// host it runs on, the agent on its node.
//
// Whatever happens on the way (a collector that hangs, the user's Ctrl-C, a full disk) the
// archive is closed with what there is; Make fails only when there is no bundle at all.
package nodebundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/periscope-k8s/periscope/internal/bundle"
	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/manifest"
	"github.com/periscope-k8s/periscope/internal/redact"
)

// RunIDLayout is how a run ID is made of a time in UTC.
const RunIDLayout = "2006-01-02T15-04-05Z"

// A Layout says in which form a finished bundle lies in its folder.
type Layout string

// The layouts: the zip, its files unpacked, or both.
const (
	Zip   Layout = "zip"
	Files Layout = "files"
	Both  Layout = "both"
)

// A Request says what to collect and where the bundle goes.
type Request struct {
	RunID, Node string
	Version     string // of Periscope
	Dir         string // exists; gets NODE.zip and manifest.json
	Layout      Layout
	Redactor    *redact.Redactor // nil: nothing is masked
	Host        host.FS
	Exec        collect.ExecFunc
	Window      collect.Window
	Timeout     time.Duration // of all collectors together; 0: none
	Options     collect.Options
	Notes       []string    // for the manifest
	Relieve     func() bool // see bundle.Options
	Log         *slog.Logger
}

// A Bundle is what was made.
type Bundle struct {
	bundle.Finished
	Dir       string // of the unpacked files; "" when the layout is Zip
	Manifest  manifest.Manifest
	LayoutErr error // why the files could not be unpacked; the zip is kept then
}

// Make collects, and returns the finished bundle. When ctx ends it closes the bundle with
// what there is by then.
func Make(ctx context.Context, r Request) (*Bundle, error) {
	m := manifest.Manifest{
		Version: r.Version, RunID: r.RunID, Node: r.Node, Started: time.Now().UTC(),
		Since: r.Window.Since, Until: r.Window.Until, Notes: r.Notes,
	}
	w, err := bundle.NewWriter(bundle.Options{Path: r.path(), Redactor: r.Redactor, Order: order(r.Options.Collectors), Relieve: r.Relieve})
	if err != nil {
		return nil, fmt.Errorf("start the bundle: %w", err)
	}
	defer w.Abort()
	m.Collectors = r.collect(ctx, w)
	m.Ended = time.Now().UTC()
	finished, err := w.Close(&m)
	if err != nil {
		return nil, fmt.Errorf("close the bundle: %w", err)
	}
	made := &Bundle{Finished: finished, Manifest: m}
	if finished.Path != "" {
		// What was collected before Ctrl-C is unpacked all the same.
		made.LayoutErr = r.lay(context.WithoutCancel(ctx), made)
	}
	return made, nil
}

func (r *Request) path() string { return filepath.Join(r.Dir, r.Node+".zip") }

func order(collectors []collect.Collector) []string {
	names := make([]string, len(collectors))
	for i, c := range collectors {
		names[i] = c.Name
	}
	return names
}

func (r *Request) collect(ctx context.Context, w *bundle.Writer) []collect.Result {
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("%w (%v)", collect.ErrTimeLimit, r.Timeout))
		defer cancel()
	}
	env := &collect.Env{Host: r.Host, Exec: r.Exec, Node: r.Node, Window: r.Window, Log: r.Log}
	return collect.Run(ctx, env, w, r.Options)
}

// lay brings the bundle into its layout, and puts a copy of the manifest beside the zip.
func (r *Request) lay(ctx context.Context, made *Bundle) error {
	f, err := os.Open(made.Path)
	if err != nil {
		return err
	}
	err = r.unpack(ctx, f, made)
	f.Close()
	if err == nil && r.Layout == Files {
		if err = os.Remove(made.Path); err == nil {
			made.Path = ""
		}
	}
	return err
}

func (r *Request) unpack(ctx context.Context, f *os.File, made *Bundle) error {
	b, err := bundle.Open(f, made.Size)
	if err != nil {
		return err
	}
	if r.Layout == Zip || r.Layout == "" {
		return copyManifest(b, r.Dir)
	}
	if err := bundle.Extract(ctx, b, r.Dir, unpackLimit(&made.Manifest)); err != nil {
		return fmt.Errorf("unpack %s: %w", made.Path, err)
	}
	made.Dir = r.Dir
	return nil
}

// unpackLimit is the size of all files, and some room for the manifest.
func unpackLimit(m *manifest.Manifest) int64 {
	n := int64(64 << 20)
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

func copyManifest(b *bundle.Bundle, dir string) error {
	in, err := b.Open(manifest.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, manifest.Name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Save writes a bundle that is in memory to the first of dirs that takes it, and returns
// the path.
func Save(f bundle.Finished, name string, dirs ...string) (string, error) {
	var errs []error
	for _, dir := range dirs {
		out, err := os.CreateTemp(dir, name+"-*.zip")
		if err == nil {
			_, err = io.Copy(out, bytes.NewReader(f.Memory))
			if err = errors.Join(err, out.Close()); err == nil {
				return out.Name(), nil
			}
			os.Remove(out.Name())
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}
