package manifest

import (
	"slices"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name   string
		result Result
		want   Outcome
	}{
		{"ok", Result{State: OK}, Succeeded},
		{"skipped", Result{State: Skipped, Reason: "no docker"}, Succeeded},
		{"cut by its own limit", Result{State: Cut, Cut: 5}, Succeeded},
		{"cut by the limit of the run", Result{State: Cut, Cut: 5, SizeHit: true}, Incomplete},
		{"failed", Result{State: Failed}, Incomplete},
		{"timed out", Result{State: TimedOut}, Incomplete},
		{"cancelled", Result{State: Cancelled}, Incomplete},
		{"interrupted", Result{State: Interrupted}, Incomplete},
	} {
		m := Manifest{Collectors: []Result{{Collector: "fine", State: OK}, tt.result}}
		m.Judge()
		if m.Outcome != tt.want || (len(m.Problems) > 0) != (tt.want == Incomplete) {
			t.Errorf("%s: got %s, %q", tt.name, m.Outcome, m.Problems)
		}
	}
	m := Manifest{Problems: []string{"the disk broke"}}
	if m.Judge(); m.Outcome != Incomplete {
		t.Errorf("with a problem of its own: %s", m.Outcome)
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"this format, unknown fields", `{"format":1,"runID":"r","later":{}}`, ""},
		{"a newer format", `{"format":2}`, "use a newer periscope"},
		{"no format", `{"kind":"other"}`, "not a bundle's manifest"},
		{"garbage", `{"format":`, "read manifest.json"},
	} {
		_, err := Parse([]byte(tt.text))
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestMaskReachesEveryText(t *testing.T) {
	before := []Result{{Reason: "s", Notes: []string{"s"}, Commands: []Command{{Line: "s", Stderr: "s", Error: "s"}}}}
	m := Manifest{Problems: []string{"s"}, Notes: []string{"s"}, Collectors: before, Files: []File{{Source: "s"}}}
	m.Mask(func(s string) string { return strings.ReplaceAll(s, "s", "*") })
	r := m.Collectors[0]
	got := []string{m.Problems[0], m.Notes[0], r.Reason, r.Notes[0], r.Commands[0].Line, r.Commands[0].Stderr, r.Commands[0].Error, m.Files[0].Source}
	if slices.ContainsFunc(got, func(s string) bool { return s != "*" }) {
		t.Errorf("got %q", got)
	}
	if before[0].Reason != "s" || before[0].Commands[0].Line != "s" {
		t.Error("the Results before were changed, too")
	}
}
