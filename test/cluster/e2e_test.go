//go:build e2e

package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain refuses to run beside a bed that somebody uses, and without root.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests need root")
		os.Exit(1)
	}
	if _, err := Attach(); err == nil {
		fmt.Fprintln(os.Stderr, "a bed is up; these tests start and end their own: bed down")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// machine is what a bed must leave as it found it, as sorted lines.
func machine(t *testing.T) []string {
	t.Helper()
	var lines []string
	for _, command := range []string{
		"ip netns", "ip -br link | awk '{print $1}'", "ip -4 route", "nft list ruleset", "iptables-save | grep -v '^[#:]'",
		"cut -d' ' -f5- /proc/self/mountinfo", "losetup -a", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic",
		"find /sys/fs/cgroup -type d -path '*" + cgroupBase + "*'", "ls -d " + stateDir,
		"ps -eo args --no-headers | grep -E '" + stateDir + "|kube|etcd|/containerd|journal-remote|nsenter|unshare' | grep -vE 'grep|<defunct>'", // whoever adopts an orphan reaps it in its own time
	} {
		out, _ := exec.Command("/bin/sh", "-c", command+" 2>/dev/null").Output()
		for line := range strings.Lines(string(out)) {
			lines = append(lines, command[:5]+": "+line)
		}
	}
	slices.Sort(lines)
	return lines
}

func compare(t *testing.T, before []string) {
	t.Helper()
	after := machine(t)
	for _, line := range after {
		if !slices.Contains(before, line) {
			t.Errorf("left behind: %s", line)
		}
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			t.Errorf("lost: %s", line)
		}
	}
}

func buildBed(t *testing.T) string {
	t.Helper()
	bed := filepath.Join(t.TempDir(), "bed")
	if out, err := exec.Command("go", "build", "-o", bed, "./cmd/bed").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bed
}

func TestUpAndDown(t *testing.T) {
	ctx := t.Context()
	before := machine(t)
	t.Cleanup(func() { _ = Down(context.Background()) })
	b, err := Up(ctx, Options{Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	states, err := b.NodeStates(ctx)
	if err != nil || len(states) != 3 {
		t.Fatalf("nodes: %v, %v", states, err)
	}
	var total int64
	processes, err := b.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		total += p.RSS
	}
	if total == 0 || total > 2<<30 {
		t.Errorf("memory is %d MiB, want at most 2048", total>>20)
	}
	t.Run("second up", func(t *testing.T) { secondUp(t, b) })
	t.Run("node", func(t *testing.T) { nodeIsItsOwn(t, b) })
	t.Run("journal", func(t *testing.T) { journalGrows(t, b.Nodes[0]) })
	t.Run("taint", func(t *testing.T) { oneTaint(t, b) })
	t.Run("units", func(t *testing.T) { units(t, b.Nodes[0]) })
	t.Run("power", func(t *testing.T) { powerCycle(t, b, b.Nodes[1]) })
	if err := b.Down(ctx); err != nil {
		t.Fatal(err)
	}
	compare(t, before)
	if _, err := Attach(); !errors.Is(err, ErrDown) {
		t.Errorf("after down: %v", err)
	}
	if err := Down(ctx); err != nil {
		t.Errorf("second down: %v", err)
	}
}

func secondUp(t *testing.T, b *Bed) {
	out, err := exec.Command(buildBed(t), "up").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "is up") || !strings.Contains(string(out), b.Kubeconfig) {
		t.Errorf("%v: %s", err, out)
	}
}

// run runs a shell command on a node.
func run(t *testing.T, n *Node, command string) string {
	t.Helper()
	out, err := n.Exec(t.Context(), "sh", "-c", command)
	if err != nil {
		t.Errorf("%s: %v", command, err)
	}
	return strings.TrimSpace(string(out))
}

func nodeIsItsOwn(t *testing.T, b *Bed) {
	seen := map[string]string{}
	for _, n := range b.Nodes {
		if got := run(t, n, "hostname"); got != n.Name {
			t.Errorf("%s: hostname %s", n.Name, got)
		}
		for _, command := range []string{"cat /etc/machine-id", "cat /proc/sys/kernel/random/boot_id", "cat /etc/hostname", "readlink /proc/self/ns/net"} {
			got := run(t, n, command)
			if other := seen[command+got]; other != "" {
				t.Errorf("%s and %s share %s", n.Name, other, command)
			}
			seen[command+got] = n.Name
		}
		if got := run(t, n, "ip route show default; ip -6 route show default"); got != "" {
			t.Errorf("%s has a way out: %s", n.Name, got)
		}
		if got := run(t, n, "cat /proc/self/cgroup | grep -vc ':/$' || true"); got != "0" {
			t.Errorf("%s: a command is outside the node's cgroup: %s", n.Name, run(t, n, "cat /proc/self/cgroup"))
		}
		if got := run(t, n, "timeout 1 bash -c 'echo >/dev/tcp/"+listenOnMachine(t)+"' 2>/dev/null && echo yes || echo no"); got != "no" {
			t.Errorf("%s reaches a service of the machine", n.Name)
		}
		for _, path := range []string{"/var/log/azure/cluster-provision.log", "/var/log/azure/aks/provision.json", "/etc/kubernetes/azure.json",
			"/etc/default/kubelet", "/run/containerd/containerd.sock", "/var/log/pods"} {
			run(t, n, "test -e "+path)
		}
	}
	if err := b.ImportImage(t.Context(), Release{b.Release}.image("busybox")); err != nil {
		t.Error(err)
	}
}

// listenOnMachine opens a port on every address of the machine, and names it as the nodes would.
func listenOnMachine(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return fmt.Sprintf("%s/%d", gateway, l.Addr().(*net.TCPAddr).Port)
}

func journalGrows(t *testing.T, n *Node) {
	for _, unit := range []string{"kubelet", "containerd"} {
		if run(t, n, "journalctl -u "+unit+" -o cat -n 1") == "" {
			t.Errorf("no journal of %s", unit)
		}
	}
	if run(t, n, "ls /var/log/journal/$(cat /etc/machine-id)/system@*.journal") == "" {
		t.Error("no archived journal file")
	}
	run(t, n, "journalctl --verify")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	follow := n.Command(ctx, "journalctl", "-f", "-n", "0", "-u", "kubelet")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.SignalUnit(ctx, "kubelet", 9); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "code=killed, status=9/KILL") {
			cancel()
			_ = follow.Wait()
			return
		}
	}
	t.Errorf("journalctl -f did not show the kubelet's end: %v", lines.Err())
}

func oneTaint(t *testing.T, b *Bed) {
	out, err := b.Kubectl(t.Context(), "get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name}={.spec.taints[?(@.key=="CriticalAddonsOnly")].value};{end}`)
	if got, want := string(out), "node-1=;node-2=;node-3=true;"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func units(t *testing.T, n *Node) {
	ctx := t.Context()
	if err := n.StopUnit(ctx, "kubelet"); err != nil {
		t.Fatal(err)
	}
	if pid := n.UnitPID(ctx, "kubelet"); pid != 0 {
		t.Errorf("kubelet runs: %d", pid)
	}
	if err := n.StartUnit(ctx, "kubelet"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return n.UnitPID(ctx, "kubelet") != 0 })
}

func powerCycle(t *testing.T, b *Bed, n *Node) {
	ctx := t.Context()
	boot := run(t, n, "cat /proc/sys/kernel/random/boot_id")
	if err := n.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		states, err := b.NodeStates(ctx)
		return err == nil && slices.ContainsFunc(states, func(s NodeState) bool { return s.Name == n.Name && !s.Ready })
	})
	short, cancel := context.WithTimeout(ctx, time.Second)
	err := b.WaitReady(short)
	cancel()
	if err == nil || !strings.Contains(err.Error(), n.Name+" is not Ready") || !strings.Contains(err.Error(), "last errors of its kubelet:\nE") {
		t.Errorf("WaitReady of a node that is off: %v", err)
	}
	if err := n.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := b.WaitReady(limit); err != nil {
		t.Fatal(err)
	}
	if run(t, n, "cat /proc/sys/kernel/random/boot_id") == boot {
		t.Error("the boot id is the old one")
	}
	eventually(t, func() bool {
		out, _ := n.Exec(ctx, "sh", "-c", "journalctl --list-boots -q | wc -l")
		return strings.TrimSpace(string(out)) == "2"
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !ok() {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			t.Fatal("waited for a minute")
		}
	}
}

// TestDownAfterKill kills the program at each of its steps.
func TestDownAfterKill(t *testing.T) {
	before := machine(t)
	bed := buildBed(t)
	for _, step := range []string{"API server answers", "nodes are Ready", "KUBECONFIG"} {
		cmd := exec.Command(bed, "up")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.Contains(lines.Text(), step) {
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b, err := loadBed(); err != nil || b.Component("etcd").PID() == 0 {
			t.Errorf("%s: killed, and nothing runs: %v", step, err)
		}
		if err := Down(t.Context()); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		compare(t, before)
	}
}

func TestRefusals(t *testing.T) {
	before := machine(t)
	l, err := net.Listen("tcp", "127.0.0.1:23790")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Up(t.Context(), Options{})
	l.Close()
	if err == nil || !strings.Contains(err.Error(), "port 23790 is taken") || strings.Contains(err.Error(), "\n") {
		t.Errorf("port taken: %v", err)
	}
	if _, err := Up(t.Context(), Options{Nodes: maxNodes + 1}); err == nil {
		t.Error("too many nodes: no error")
	}
	// Long enough for kubelet to start and say something, too short for it to become Ready.
	_, err = Up(t.Context(), Options{Nodes: 1, LogDisk: -1, Timeout: 5 * time.Second})
	if err == nil {
		t.Log("the machine is so fast that the bed was up in time")
		_ = Down(t.Context())
	} else if text := err.Error(); !strings.Contains(text, "not Ready") && !strings.Contains(text, "not ready") {
		t.Errorf("too short a deadline: %v", err)
	}
	compare(t, before)
}
