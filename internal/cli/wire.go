package cli

import (
	"crypto/rand"
	"fmt"
	"os"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/node"
	"github.com/periscope-k8s/periscope/internal/redact"
)

// nodeCollectors are the collectors of this version, in order of priority.
func nodeCollectors(s node.Settings) []collect.Collector { return node.All(s) }

// legacyCollectors maps the collector names of AKS Periscope to ours.
var legacyCollectors = map[string]string{
	"containerlogs": "podlogs",
	"systemlogs":    "journal",
}

// newRedactor makes the filter of one run: built-in rules and those of the files, with a
// key that nobody keeps.
func newRedactor(ruleFiles []string) (*redact.Redactor, error) {
	var rules []redact.Rule
	for _, path := range ruleFiles {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read redaction rules: %w", err)
		}
		more, err := redact.ParseRules(f, path)
		f.Close()
		if err != nil {
			return nil, err
		}
		rules = append(rules, more...)
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: it ends the process instead
	return redact.New(key, rules...)
}
