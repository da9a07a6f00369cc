package cli

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/periscope-k8s/periscope/internal/host/hosttest"
)

// TestCollectOnAFullDisk runs the command into a file system of 8 MiB, with more logs than
// fit.
func TestCollectOnAFullDisk(t *testing.T) {
	dir := hosttest.SmallDisk(t)
	host := t.TempDir()
	hostFile(t, host, "proc/sys/kernel/hostname", "node-1\n")
	hostFile(t, host, "etc/resolv.conf", "nameserver 192.0.2.1\n")
	r := rand.New(rand.NewPCG(1, 2))
	var log strings.Builder
	for log.Len() < 12<<20 {
		fmt.Fprintf(&log, "%016x %016x %016x\n", r.Uint64(), r.Uint64(), r.Uint64())
	}
	for i := range 3 {
		hostFile(t, host, fmt.Sprintf("var/log/pods/ns_pod_uid/app-%d/0.log", i), log.String())
	}
	code, out := collectInto(t, host, filepath.Join(dir, "out"))
	if code != exitIncomplete || !strings.Contains(out, "no space left on device") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	zips, err := filepath.Glob(filepath.Join(dir, "out/*/node-1/node-1.zip"))
	if err != nil || len(zips) != 1 {
		t.Fatal(zips, err)
	}
	if text, err := exec.Command("unzip", "-t", zips[0]).CombinedOutput(); err != nil && !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("unzip -t: %v\n%s", err, text)
	}
}

func TestCollectOnAReadOnlyDisk(t *testing.T) {
	dir := hosttest.SmallDisk(t)
	hosttest.Remount(t, dir)
	code, out := collectInto(t, t.TempDir(), filepath.Join(dir, "out"))
	if code != exitFailed || !strings.Contains(out, "read-only file system (choose another folder with --dir)") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func collectInto(t *testing.T, host, dir string) (code int, out string) {
	t.Helper()
	var buf bytes.Buffer
	code = Main(t.Context(), []string{"periscope", "collect", "--local", "--host-root", host, "--dir", dir, "--collectors", "dns,podlogs"}, Streams{nil, &buf, &buf})
	return code, buf.String()
}
