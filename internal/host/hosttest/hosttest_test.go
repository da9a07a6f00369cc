package hosttest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/host/hosttest"
)

const archive = `
-- host/run/resolv.conf --
nameserver 10.0.0.10
-- host/etc/resolv.conf -> ../run/resolv.conf --
-- host/etc/absolute -> /run/resolv.conf --
-- host/var/log/pods/ --
-- exec/systemctl --failed --no-legend --
unit failed
-- exec/systemctl show kubelet --
Restarts=3
-- exit/systemctl show kubelet --
4
no such unit
-- exit/false --
1
-- out/ignored --
text
`

func TestFromTxtar(t *testing.T) {
	tree := hosttest.FromTxtar(t, txtar.Parse([]byte(archive)))
	for _, name := range []string{"/run/resolv.conf", "/etc/resolv.conf", "/etc/absolute"} {
		if got, err := tree.ReadFile(name, 100); string(got) != "nameserver 10.0.0.10\n" || err != nil {
			t.Errorf("ReadFile(%s) = %q, %v", name, got, err)
		}
	}
	if got, err := tree.ReadLink("/etc/resolv.conf"); got != "../run/resolv.conf" || err != nil {
		t.Errorf("ReadLink = %q, %v", got, err)
	}
	if got, err := tree.ReadDir("/var/log/pods", 0); len(got) != 0 || err != nil {
		t.Errorf("ReadDir = %v, %v", got, err)
	}
	if got, err := tree.ReadDir("/", 0); len(got) != 3 || err != nil {
		t.Errorf("ReadDir(/) = %v, %v", got, err)
	}
}

func TestExec(t *testing.T) {
	run := hosttest.Exec(t, txtar.Parse([]byte(archive)))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		ctx    context.Context
		line   []string
		limit  int64
		stdout string
		exit   host.Exit
		err    error
	}{
		{line: []string{"systemctl", "--failed", "--no-legend"}, stdout: "unit failed\n"},
		{line: []string{"systemctl", "show", "kubelet"}, stdout: "Restarts=3\n", exit: host.Exit{Code: 4, Stderr: "no such unit\n"}},
		{line: []string{"systemctl", "show", "kubelet"}, limit: 8, stdout: "Restarts",
			exit: host.Exit{Code: -1, Truncated: true, Stderr: "no such unit\n"}, err: host.ErrOutputLimit},
		{line: []string{"systemctl", "--failed"}, exit: host.Exit{Code: -1}, err: host.ErrNoCommand},
		{line: []string{"false"}, exit: host.Exit{Code: 1}},
		{line: []string{"false"}, ctx: ended, exit: host.Exit{Code: -1}, err: context.Canceled},
	} {
		if test.ctx == nil {
			test.ctx = context.Background()
		}
		var stdout bytes.Buffer
		exit, err := run(test.ctx, host.Command{Name: test.line[0], Args: test.line[1:], Stdout: &stdout, MaxOutput: test.limit})
		if exit != test.exit || !errors.Is(err, test.err) || stdout.String() != test.stdout {
			t.Errorf("%q = %+v, %v, %q, want %+v, %v, %q", test.line, exit, err, stdout.String(), test.exit, test.err, test.stdout)
		}
	}
}
