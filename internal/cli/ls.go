package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/periscope-k8s/periscope/internal/bundle"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

const lsHelp = `List the files of a bundle.

BUNDLE is a zip file, also one that a killed run left behind (.zip.partial), an unpacked
folder, a folder that holds one zip, or the http(s) URL of a zip; of a remote zip only
the parts that are needed are fetched.

PATTERN is a path or a shell pattern (* ? [a-z], where * ends at a slash). One that fits a
folder stands for all that is in it.

CUT counts the bytes that limits left out when the file was collected, MASKED the secrets
that were masked in it.`

func newLsCmd(s *Streams) *cobra.Command {
	output := choice{options: []string{"json", "yaml", "wide"}}
	cmd := &cobra.Command{
		Use:   "ls BUNDLE [PATTERN...]",
		Short: "List the files of a bundle",
		Long:  lsHelp + exitStatus,
		Example: `  periscope ls node-1.zip
  periscope ls node-1.zip 'podlogs/kube-system/*' journal`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return quietPipe(func() error { return runLs(cmd.Context(), s, output.value, args[0], args[1:]) })
		},
	}
	cmd.Flags().VarP(&output, "output", "o", "format: json, yaml or wide")
	complete(cmd, "output", output.options)
	return cmd
}

func runLs(ctx context.Context, s *Streams, format, arg string, patterns []string) error {
	b, closer, err := openBundle(ctx, arg)
	if b == nil {
		return err
	}
	defer closer.Close()
	for i, p := range patterns {
		patterns[i] = path.Clean(p)
		_, statErr := fs.Stat(b, patterns[i])
		if _, err := path.Match(patterns[i], ""); err != nil && statErr != nil {
			return usageError("%q is not a pattern: %v", p, err)
		}
	}
	l, unmatched := list(b, patterns)
	l.Truncated = err != nil
	if err := l.print(s.Out, format); err != nil {
		return err
	}
	if err != nil {
		warn(s, err.Error())
	}
	for _, p := range l.Problems {
		warn(s, p)
	}
	switch {
	case len(unmatched) > 0:
		return fmt.Errorf("no file fits %q", unmatched)
	case l.Truncated || len(l.Problems) > 0:
		return exitWith(exitIncomplete, nil)
	}
	return nil
}

// openBundle opens a bundle. Together with a bundle, the error is bundle.ErrTruncated.
func openBundle(ctx context.Context, arg string) (*bundle.Bundle, io.Closer, error) {
	b, closer, err := bundle.OpenPath(ctx, arg)
	if b == nil {
		err = errors.New(escape(err.Error() + didYouMean(newestBundle(arg))))
	}
	return b, closer, err
}

// newestBundle returns the bundle of the newest run below a folder such as ./periscope, or "".
func newestBundle(dir string) string {
	found, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.zip")) // sorted, and run IDs sort by time
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

func warn(s *Streams, text string) { fmt.Fprintf(s.Err, "periscope: %s\n", escape(text)) }

// A listing is what ls shows.
type listing struct {
	RunID     string           `json:"runID,omitempty"`
	Node      string           `json:"node,omitempty"`
	Outcome   manifest.Outcome `json:"outcome,omitempty"`
	Truncated bool             `json:"truncated"` // the archive is cut; what is listed lies before the cut
	Problems  []string         `json:"problems,omitempty"`
	Files     []listedFile     `json:"files"`
}

type listedFile struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified,omitzero"`
	CutFront int64     `json:"cutFront,omitempty"` // bytes left out before the first one
	CutEnd   int64     `json:"cutEnd,omitempty"`   // and after the last one
	Masked   int64     `json:"masked,omitempty"`   // secrets
	Partial  bool      `json:"partial,omitempty"`  // the collector ended before it closed the file
	SHA256   string    `json:"sha256,omitempty"`
	Source   string    `json:"source,omitempty"` // path on the host, or command line
}

// list lists the files that fit the patterns, and the patterns that fit none.
func list(b *bundle.Bundle, patterns []string) (l *listing, unmatched []string) {
	l = &listing{Problems: b.Problems(), Files: []listedFile{}}
	known := map[string]manifest.File{}
	if m, err := b.Manifest(); err == nil {
		l.RunID, l.Node, l.Outcome = m.RunID, m.Node, m.Outcome
		for _, f := range m.Files {
			known[f.Name] = f
		}
	}
	used := make([]bool, len(patterns))
	_ = fs.WalkDir(b, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.Problems = append(l.Problems, fmt.Sprintf("%q cannot be read: %q", name, err))
		case !d.IsDir() && fits(name, patterns, used):
			l.add(name, d, known[name])
		}
		return nil
	})
	for i, p := range patterns {
		if !used[i] {
			unmatched = append(unmatched, p)
		}
	}
	return l, unmatched
}

func (l *listing) add(name string, d fs.DirEntry, f manifest.File) {
	info, err := d.Info()
	if err != nil {
		l.Problems = append(l.Problems, fmt.Sprintf("%q cannot be read: %q", name, err))
		return
	}
	file := listedFile{
		Name: name, Size: info.Size(), Modified: f.ModTime.UTC(),
		CutFront: f.CutFront, CutEnd: f.CutEnd, Masked: total(f.Redactions), Partial: f.Partial, SHA256: f.SHA256, Source: f.Source,
	}
	if f.ModTime.IsZero() {
		file.Modified = info.ModTime().UTC()
	}
	l.Files = append(l.Files, file)
}

func total(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// fits reports whether name, or a folder above it, fits a pattern, and marks those that do.
func fits(name string, patterns []string, used []bool) bool {
	found := len(patterns) == 0
	for i, p := range patterns {
		for n := name; n != "."; n = path.Dir(n) {
			if ok, _ := path.Match(p, n); ok || n == p || p == "." {
				used[i], found = true, true
				break
			}
		}
	}
	return found
}

func (l *listing) print(w io.Writer, format string) error {
	if format == "json" || format == "yaml" {
		return printObject(w, format, l)
	}
	if l.RunID != "" {
		if _, err := fmt.Fprintf(w, "Run %s, node %s: %s\n\n", escape(l.RunID), escape(l.Node), escape(string(l.Outcome))); err != nil {
			return err
		}
	}
	wide := format == "wide"
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := "SIZE\tMODIFIED\tCUT\tMASKED\tNAME"
	if wide {
		header += "\tSHA256\tSOURCE"
	}
	fmt.Fprintln(t, header)
	for _, f := range l.Files {
		fmt.Fprintln(t, strings.Join(f.columns(wide), "\t"))
	}
	return t.Flush()
}

func (f *listedFile) columns(wide bool) []string {
	size, cut, masked, modified := formatBytes(f.Size), "-", "-", "-"
	if n := f.CutFront + f.CutEnd; n > 0 {
		cut = formatBytes(n)
	}
	if f.Masked > 0 {
		masked = fmt.Sprint(f.Masked)
	}
	if !f.Modified.IsZero() {
		modified = f.Modified.Format(time.RFC3339)
	}
	columns := []string{size, modified, cut, masked, escape(f.Name)}
	if wide {
		columns = append(columns, orDash(escape(f.SHA256)), orDash(escape(f.Source)))
	}
	return columns
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
