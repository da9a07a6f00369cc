package node

import (
	"errors"
	"maps"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

func TestPodlogsOddFiles(t *testing.T) {
	l := newLogTree(t)
	l.write(testPod+"c/0.log", []byte("text\n"))
	l.write("etc/secret", []byte("outside\n"))
	if err := errors.Join(
		syscall.Mkfifo(l.path(testPod+"c/1.log"), 0o600),
		os.Symlink("2.log", l.path(testPod+"c/2.log")),
		os.Mkdir(l.path(testPod+"c/3.log"), 0o755),
		os.WriteFile(l.path(testPod+"c/0.log.\n\xff\x1b[31m"), []byte("odd name\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	res, files := collecttest.Collect(t, l.env(collect.Window{}), podlogsCollector(nil))
	if res.State != "ok" || res.Files != 3 {
		t.Errorf("got %s, %v", collecttest.Summary(res), slices.Sorted(maps.Keys(files)))
	}
}
