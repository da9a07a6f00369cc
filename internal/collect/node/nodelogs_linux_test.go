package node

import (
	"bufio"
	"bytes"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

func TestNodelogsOddFiles(t *testing.T) {
	l := newLogTree(t)
	l.write("var/log/syslog", []byte("text\n"))
	l.write("var/log/pods/kube-system_a_1/c/0.log", []byte("of a pod that runs\n"))
	l.write("var/log/azure/aks/pods/b.log", []byte("of a pod that is gone\n"))
	if err := errors.Join(
		syscall.Mkfifo(l.path("var/log/messages"), 0o600),
		os.Symlink("kern.log", l.path("var/log/kern.log")),
		os.Link(l.path("var/log/syslog"), l.path("var/log/syslog.1")),
		os.Symlink("/var/log/syslog", l.path("var/log/syslog.2")),
		os.Link(l.path("var/log/pods/kube-system_a_1/c/0.log"), l.path("var/log/azure/aks/pods/a.log")),
	); err != nil {
		t.Fatal(err)
	}
	_, files := collecttest.Collect(t, l.env(collect.Window{}), nodelogsCollector([]string{"/var/log/messages"}))
	want := []string{"listing.txt", "nodelogs.json", "var_log_azure_aks_pods_b.log", "var_log_syslog"}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, want := range []string{"not a regular file", "too many levels of symbolic links", "a hard link to a log in /var/log/pods"} {
		if !bytes.Contains(files["nodelogs.json"], []byte(want)) {
			t.Errorf("no reason %q in %s", want, files["nodelogs.json"])
		}
	}
	if !strings.Contains(string(files["listing.txt"]), "\nprw------- ") {
		t.Errorf("the FIFO is not listed:\n%s", files["listing.txt"])
	}
}

func TestNodelogsListingLimit(t *testing.T) {
	l := newLogTree(t)
	l.write("x", nil)
	env := l.env(collect.Window{})
	info, err := env.Host.Stat("/x")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	lister := nodelogsLister{env: env, w: bufio.NewWriter(&b), entries: nodelogsListLines - 1}
	for range 3 {
		lister.add("/x", info, nil)
	}
	if err := lister.w.Flush(); err != nil || bytes.Count(b.Bytes(), []byte("\n")) != 1 || lister.entries != nodelogsListLines+2 {
		t.Errorf("got %d entries, %v:\n%s", lister.entries, err, b.Bytes())
	}
}
