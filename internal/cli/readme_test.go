package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/periscope-k8s/periscope/internal/collect/node"
)

var docs = []string{"../../README.md", "../../docs/redaction.md", "../../SECURITY.md"}

var (
	docFlag    = regexp.MustCompile("`[^`\n]*`|(?m)^    .*$")
	longFlag   = regexp.MustCompile(`(?:^|\s)--([a-z][a-z-]+)`)
	docCommand = regexp.MustCompile(`(?:^|[\s/'(])periscope ([a-z]+)\b`)
)

// TestDocsNameWhatExists checks every command and flag of the pages against the real ones.
func TestDocsNameWhatExists(t *testing.T) {
	root := newRootCmd(&Streams{})
	root.InitDefaultCompletionCmd()
	for _, page := range docs {
		text := readDoc(t, page)
		for _, code := range docFlag.FindAllString(text, -1) {
			for _, m := range docCommand.FindAllStringSubmatch(code, -1) {
				if cmd, _, err := root.Find([]string{m[1]}); err != nil || cmd == root {
					t.Errorf("%s: %q: there is no command %s", page, code, m[1])
				}
			}
			for _, m := range longFlag.FindAllStringSubmatch(code, -1) {
				if !hasFlag(root, m[1]) {
					t.Errorf("%s: %q: no command has a flag --%s", page, code, m[1])
				}
			}
		}
	}
}

func hasFlag(cmd *cobra.Command, name string) bool {
	if cmd.Flags().Lookup(name) != nil {
		return true
	}
	for _, sub := range cmd.Commands() {
		if hasFlag(sub, name) {
			return true
		}
	}
	return false
}

// TestReadmeListsTheCollectors compares the table of the README with the code.
func TestReadmeListsTheCollectors(t *testing.T) {
	text := readDoc(t, docs[0])
	var want strings.Builder
	want.WriteString("| collector | what |\n|---|---|\n")
	for _, c := range nodeCollectors(node.Settings{}) {
		want.WriteString("| `" + c.Name + "` | " + c.Doc + " |\n")
	}
	if !strings.Contains(text, want.String()+"\n") {
		t.Errorf("the README should hold this table:\n%s", want.String())
	}
}

func readDoc(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
