package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/periscope-k8s/periscope/internal/manifest"
	"github.com/periscope-k8s/periscope/internal/nodebundle"
)

// A summary is the end of a run, for people and, as JSON, for machines.
type summary struct {
	RunID      string            `json:"runID"`
	Node       string            `json:"node"`
	Outcome    manifest.Outcome  `json:"outcome"`
	Bundle     string            `json:"bundle,omitempty"` // path of the zip
	Dir        string            `json:"dir,omitempty"`    // of the unpacked files
	Bytes      int64             `json:"bytes"`            // of the zip
	Seconds    float64           `json:"seconds"`
	Redacted   bool              `json:"redacted"`
	Masked     int64             `json:"masked"` // secrets
	Problems   []string          `json:"problems,omitempty"`
	Notes      []string          `json:"notes,omitempty"`
	Collectors []manifest.Result `json:"collectors"`
}

func newSummary(made *nodebundle.Bundle) *summary {
	m := &made.Manifest
	s := &summary{
		RunID: m.RunID, Node: m.Node, Outcome: m.Outcome, Bundle: absolute(made.Path), Dir: absolute(made.Dir), Bytes: made.Size,
		Seconds: m.Ended.Sub(m.Started).Round(time.Millisecond).Seconds(), Redacted: m.Redaction.Enabled,
		Problems: m.Problems, Notes: m.Notes, Collectors: m.Collectors,
	}
	for _, n := range m.Redaction.Counts {
		s.Masked += n
	}
	return s
}

func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// fail makes the outcome Incomplete for what went wrong after the bundle was closed.
func (s *summary) fail(err error) {
	s.Outcome = manifest.Incomplete
	s.Problems = append(s.Problems, err.Error())
}

var trailingBlanks = regexp.MustCompile(`(?m) +$`)

// print writes the table of collectors, and below it what a person must know.
func (s *summary) print(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "COLLECTOR\tSTATE\tFILES\tBYTES\tTIME\tWHY")
	for _, r := range s.Collectors {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", r.Collector, r.State, r.Files, formatBytes(r.Bytes), formatSeconds(r.Seconds), why(r))
	}
	t.Flush()
	table := trailingBlanks.ReplaceAllString(b.String(), "")
	b.Reset()
	b.WriteString(table + "\n")
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "Note: %s\n", escape(n))
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "Missing: %s\n", escape(p))
	}
	fmt.Fprintf(&b, "%s in %s", s.Outcome, formatSeconds(s.Seconds))
	if s.Redacted {
		fmt.Fprintf(&b, "; %s masked", count(s.Masked, "secret"))
	}
	b.WriteString(".\n")
	if s.noted() {
		b.WriteString("The notes are in manifest.json.\n")
	}
	if s.Bundle != "" {
		fmt.Fprintf(&b, "Bundle: %s (%s)\n", escape(s.Bundle), formatBytes(s.Bytes))
	}
	if s.Dir != "" {
		fmt.Fprintf(&b, "Files: %s\n", escape(s.Dir))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *summary) noted() bool {
	return slices.ContainsFunc(s.Collectors, func(r manifest.Result) bool { return len(r.Notes)+len(r.Commands) > 0 })
}

// why is a Result's reason, and how many notes the manifest has beside it.
func why(r manifest.Result) string {
	text := escape(r.Reason)
	if r.Cut > 0 {
		text = join(text, formatBytes(r.Cut)+" left out")
	}
	if n := len(r.Notes) + len(r.Commands); n > 0 {
		text = join(text, count(int64(n), "note"))
	}
	return text
}

// count is "1 note" or "2 notes".
func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
