package internal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// links returns the relative links of a Markdown file, without their anchors.
func links(t *testing.T, path string) (found []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range markdownLink.FindAllStringSubmatch(string(data), -1) {
		link, _, _ := strings.Cut(m[1], "#")
		if link != "" && !strings.Contains(link, "://") {
			found = append(found, link)
		}
	}
	return found
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
