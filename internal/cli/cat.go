package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/spf13/cobra"

	"github.com/periscope-k8s/periscope/internal/bundle"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

const catHelp = `Write files of a bundle to standard output, one after the other.

BUNDLE is what 'periscope ls' takes; PATH is as it lists it. A file that was too long for
one entry goes on in PATH.001, PATH.002 and so on; PATH alone writes all of them.

On a terminal, control characters are shown as escapes such as \x1b, so that a log cannot
take the terminal over; a file or pipe gets the bytes as they are, and with --raw a
terminal too.

A file that the cut of a bundle goes through is written as far as it is there; the exit
status is 3 then.`

type catOptions struct {
	raw      bool
	terminal bool // standard output is one
}

func newCatCmd(s *Streams) *cobra.Command {
	o := &catOptions{terminal: isTerminal(s.Out)}
	cmd := &cobra.Command{
		Use:   "cat BUNDLE PATH...",
		Short: "Write files of a bundle to standard output",
		Long:  catHelp + exitStatus,
		Example: `  periscope cat node-1.zip manifest.json
  periscope cat https://example.com/node-1.zip journal/kubelet.log | less`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return quietPipe(func() error { return o.run(cmd.Context(), s, args[0], args[1:]) })
		},
	}
	cmd.Flags().BoolVar(&o.raw, "raw", false, "write control characters to a terminal as they are")
	return cmd
}

func (o *catOptions) run(ctx context.Context, s *Streams, arg string, paths []string) error {
	b, closer, err := openBundle(ctx, arg)
	if b == nil {
		return err
	}
	defer closer.Close()
	m, err := b.Manifest()
	if err != nil {
		m = &manifest.Manifest{} // files can be read without it
	}
	code := exitDone
	for _, p := range paths {
		for _, part := range parts(m, path.Clean(p)) {
			readErr, err := o.write(ctx, s.Out, b, part)
			if err != nil {
				return err
			}
			if readErr != nil {
				warn(s, explain(b, part, readErr))
				code = worse(code, readErr)
			}
		}
	}
	if code != exitDone {
		return exitWith(code, nil)
	}
	return nil
}

func worse(code int, err error) int {
	if errors.Is(err, bundle.ErrTruncated) && code != exitFailed {
		return exitIncomplete
	}
	return exitFailed
}

// parts returns the entries that hold a file: its own, and those that continue it.
func parts(m *manifest.Manifest, name string) []string {
	sources := map[string]string{}
	for _, f := range m.Files {
		sources[f.Name] = f.Source
	}
	all := []string{name}
	source, ok := sources[name]
	for n := 1; ok; n++ {
		part := partName(sources, fmt.Sprintf("%s.%03d", name, n), source)
		if part == "" {
			break
		}
		all = append(all, part)
	}
	return all
}

// partName returns the name of a part that comes from source. Where another file has that
// name, the part has tildes behind it.
func partName(sources map[string]string, name, source string) string {
	for {
		s, ok := sources[name]
		if !ok {
			return ""
		}
		if s == source {
			return name
		}
		name += "~"
	}
}

// write writes one entry, and tells a failure to read it from one to write or the end of
// ctx.
func (o *catOptions) write(ctx context.Context, w io.Writer, b *bundle.Bundle, name string) (readErr, writeErr error) {
	f, err := b.Open(name)
	if err != nil {
		return err, nil
	}
	defer f.Close()
	out := &writeErrors{ctx: ctx, w: w}
	if o.terminal && !o.raw {
		escaped := &escapeWriter{w: out}
		_, err = io.Copy(escaped, f)
		err = errors.Join(err, escaped.Close())
	} else {
		_, err = io.Copy(out, f)
	}
	if out.err != nil {
		return nil, out.err
	}
	return err, nil
}

// writeErrors writes until ctx ends, and remembers why it could not go on.
type writeErrors struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (e *writeErrors) Write(p []byte) (n int, err error) {
	if e.err == nil {
		e.err = e.ctx.Err()
	}
	if e.err == nil {
		n, e.err = e.w.Write(p)
	}
	return n, e.err
}

// explain says why a file could not be read, and what may have been meant.
func explain(b *bundle.Bundle, name string, err error) string {
	if info, statErr := b.Stat(name); statErr == nil && info.IsDir() {
		return name + " is a folder: see what is in it with periscope ls"
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
		return err.Error()
	}
	text := fmt.Sprintf("%s: no such file in the bundle%s", name, didYouMean(similar(b, name)...))
	if _, err := b.Manifest(); err != nil {
		text += "; the bundle is not whole, so it may have been lost"
	}
	return text
}

// similar returns at most three files of the same base name, else the most similar path.
func similar(b *bundle.Bundle, name string) (same []string) {
	const longest = 200 // comparing takes the product of the lengths
	var near []string
	_ = fs.WalkDir(b, ".", func(n string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case path.Base(n) == path.Base(name):
			same = append(same, n)
		case len(n) < longest && len(name) < longest:
			near = append(near, n)
		}
		if len(same) == 3 {
			return fs.SkipAll
		}
		return nil
	})
	if len(same) > 0 {
		return same
	}
	return []string{nearest(name, near)}
}
