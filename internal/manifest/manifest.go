// Package manifest defines manifest.json, the last entry of every bundle: what was
// collected, how each collector ended, what was cut, masked and lost. It is the record
// that the collecting engine fills, the bundle stores and the analyzers read, and it
// depends on none of them.
//
// Times are UTC. Sizes are bytes before compression. Unknown fields are ignored on
// reading, so that an older Periscope reads newer bundles of the same format.
package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Name is the manifest's entry in a bundle.
const Name = "manifest.json"

// Format is the version of the bundle layout that this package writes. A reader refuses
// a greater one.
const Format = 1

// A State tells how a collector ended.
type State string

// The states. Pending and Running appear only in progress reports, never in a bundle.
const (
	Pending     State = "pending"
	Running     State = "running"
	OK          State = "ok"
	Skipped     State = "skipped"     // nothing here to collect, or not asked for; Reason says why
	Cut         State = "cut"         // done, but a limit left bytes out
	Failed      State = "failed"      // an error or a panic; what was written before it is in the bundle
	TimedOut    State = "timed-out"   // its own time limit or the run's ended it
	Cancelled   State = "cancelled"   // the user ended the run before it was done
	Interrupted State = "interrupted" // the process died while it ran
)

// Whole reports whether a collector that ended so leaves the run complete.
func (s State) Whole() bool { return s == OK || s == Skipped || s == Cut }

// An Outcome tells how a run ended on one node.
type Outcome string

// The outcomes. There is no bundle to hold a failed run's.
const (
	Succeeded  Outcome = "Succeeded"
	Incomplete Outcome = "Incomplete"
)

// A Manifest describes one bundle.
type Manifest struct {
	Format     int       `json:"format"`
	Version    string    `json:"version"` // of the Periscope that wrote the bundle
	RunID      string    `json:"runID"`
	Node       string    `json:"node"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended"`
	Since      time.Time `json:"since,omitzero"` // window; zero means open
	Until      time.Time `json:"until,omitzero"`
	Outcome    Outcome   `json:"outcome"`
	Problems   []string  `json:"problems,omitempty"` // why the run is Incomplete; losses that no collector owns
	Notes      []string  `json:"notes,omitempty"`    // what a reader should know, such as missing privileges
	Redaction  Redaction `json:"redaction"`
	Collectors []Result  `json:"collectors"`
	Files      []File    `json:"files"`
}

// Redaction says whether secrets were masked, and how many by rule.
type Redaction struct {
	Enabled bool             `json:"enabled"`
	Counts  map[string]int64 `json:"counts,omitempty"`
}

// A Result is how one collector ended.
type Result struct {
	Collector string    `json:"collector"`
	State     State     `json:"state"`
	Reason    string    `json:"reason,omitempty"` // one line for a person
	Started   time.Time `json:"started,omitzero"` // zero: never started
	Seconds   float64   `json:"seconds"`
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"`              // written, before compression and redaction
	Cut       int64     `json:"cut,omitempty"`      // bytes that limits left out
	SizeHit   bool      `json:"sizeHit,omitempty"`  // the run's size limit, not the collector's own, cut it
	Notes     []string  `json:"notes,omitempty"`    // warnings, in order; at most 200
	Commands  []Command `json:"commands,omitempty"` // host commands that did not end well; at most 50
}

// A Command is a host command that exited non-zero, wrote to standard error or had to be
// killed.
type Command struct {
	Line    string  `json:"line"`
	Exit    int     `json:"exit"`
	Stderr  string  `json:"stderr,omitempty"`
	Error   string  `json:"error,omitempty"` // why it was killed or could not run
	Seconds float64 `json:"seconds"`
}

// A File is one entry of the bundle.
type File struct {
	Name       string           `json:"name"`
	Size       int64            `json:"size"`
	SHA256     string           `json:"sha256"` // hexadecimal, of the content as stored
	Redactions map[string]int64 `json:"redactions,omitempty"`
	CutFront   int64            `json:"cutFront,omitempty"` // bytes left out before the first one stored
	CutEnd     int64            `json:"cutEnd,omitempty"`   // bytes left out after the last one stored
	Source     string           `json:"source,omitempty"`   // path on the host, or command line
	ModTime    time.Time        `json:"modTime,omitzero"`   // of the source
	Written    time.Time        `json:"written"`
	Partial    bool             `json:"partial,omitempty"` // the collector ended before it closed the file
}

// A Source says where a file's content comes from, and what of it was left out before it
// reached the file.
type Source struct {
	Path     string // on the host, or a command line
	ModTime  time.Time
	CutFront int64
	CutEnd   int64
	Partial  bool
}

// Judge sets Outcome, and adds to Problems what the Results say is missing.
func (m *Manifest) Judge() {
	for _, r := range m.Collectors {
		switch {
		case !r.State.Whole():
			m.Problems = append(m.Problems, fmt.Sprintf("collector %s: %s: %s", r.Collector, r.State, r.Reason))
		case r.SizeHit:
			m.Problems = append(m.Problems, fmt.Sprintf("collector %s: %d bytes left out: the size limit of the run was reached", r.Collector, r.Cut))
		}
	}
	m.Outcome = Succeeded
	if len(m.Problems) > 0 {
		m.Outcome = Incomplete
	}
}

// Mask replaces, by mask, every text that may hold what a host said: reasons, notes,
// command lines, their errors and sources. Slices are not shared with the manifest before.
func (m *Manifest) Mask(mask func(string) string) {
	m.Problems, m.Notes = masked(m.Problems, mask), masked(m.Notes, mask)
	m.Collectors = slices.Clone(m.Collectors)
	for i := range m.Collectors {
		r := &m.Collectors[i]
		r.Reason, r.Notes = mask(r.Reason), masked(r.Notes, mask)
		r.Commands = slices.Clone(r.Commands)
		for k := range r.Commands {
			c := &r.Commands[k]
			c.Line, c.Stderr, c.Error = mask(c.Line), mask(c.Stderr), mask(c.Error)
		}
	}
	for i := range m.Files {
		m.Files[i].Source = mask(m.Files[i].Source)
	}
}

func masked(texts []string, mask func(string) string) []string {
	out := slices.Clone(texts)
	for i := range out {
		out[i] = mask(out[i])
	}
	return out
}

// Parse reads a manifest. It refuses a format newer than Format.
func Parse(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read %s: %w", Name, err)
	}
	if m.Format > Format {
		return nil, fmt.Errorf("read %s: bundle format %d is newer than this periscope reads (%d): use a newer periscope", Name, m.Format, Format)
	}
	if m.Format < 1 {
		return nil, fmt.Errorf("read %s: not a bundle's manifest: no format number", Name)
	}
	return &m, nil
}
