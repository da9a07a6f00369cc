//go:build unix

package bundle

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

// TestPipe has no writer, so opening it the ordinary way would wait for ever.
func TestPipe(t *testing.T) {
	dir := makeFiles(t, map[string]string{manifest.Name: smallManifest})
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := openPath(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open("pipe"); err == nil || !strings.Contains(err.Error(), "neither a file nor a folder") {
		t.Errorf("Open: %v", err)
	}
	if _, err := openPath(t, pipe); err == nil || !strings.Contains(err.Error(), "neither a file nor a folder") {
		t.Errorf("OpenPath: %v", err)
	}
}
