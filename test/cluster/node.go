package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Node is a machine of the bed: process 1 in network, mount, UTS, IPC, PID and cgroup namespaces of its own, a root file
// system of its own (a folder, and an ext4 image for /var/log), containerd, kubelet and kube-proxy.
// Its methods may be called from several goroutines, but PowerOff and PowerOn of one node only in turn.
type Node struct {
	Name    string
	Index   int // from 1
	IP      string
	PodCIDR string
	Labels  string // as kubelet's --node-labels takes them
	Tainted bool   // CriticalAddonsOnly=true:NoSchedule
	Link    string // its network link on the machine's side: down cuts the node off
	Disk    string // folder of the root file system, without what is mounted inside
	LogDisk string // ext4 image mounted at /var/log; empty: a part of Disk
	Logs    string // folder with the output of its units: containerd.log, kubelet.log, kube-proxy.log, node.log
}

func newNode(i int, logDisk bool) *Node {
	name := nodeName(i)
	mode, pool := "user", "userpool"
	if i == taintedIndex {
		mode, pool = "system", "systempool"
	}
	n := &Node{Name: name, Index: i, IP: nodeIP(i), PodCIDR: nodePods(i), Link: nodeLink(i), Tainted: i == taintedIndex,
		Labels: "agentpool=" + pool + ",kubernetes.azure.com/agentpool=" + pool + ",kubernetes.azure.com/mode=" + mode,
		Disk:   statePath("nodes", name, "disk"), Logs: statePath("log", name)}
	if logDisk {
		n.LogDisk = statePath("nodes", name, "log.img")
	}
	return n
}

func (n *Node) cgroup() string  { return cgroupBase + "/" + n.Name }
func (n *Node) pidFile() string { return statePath("pids", n.Name) }

// PID returns the id of the node's process 1 as the machine sees it, or 0 when the node is off.
func (n *Node) PID() int {
	pid := readPID(n.pidFile())
	g, err := machineCgroups()
	if err != nil || pid == 0 || !slices.Contains(g.pids(n.cgroup()), pid) {
		return 0
	}
	return pid
}

// Command prepares a command on the node, as root, in all its namespaces and in its cgroup. The caller runs it; it ends with ctx
// and with the node.
func (n *Node) Command(ctx context.Context, args ...string) *exec.Cmd {
	const enter = `for c in $1; do echo $$ >"$c" || exit; done; shift; exec nsenter "$@"`
	g, _ := machineCgroups() // none: enter names the mistake
	return exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", enter, "sh", strings.Join(g.procsFiles(n.cgroup()), " "),
		"--target", strconv.Itoa(n.PID()), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--wd",
		"--", "/usr/bin/env", "-i", nodePath, "HOME=/root", "LANG=C.UTF-8"}, args...)...)
}

// Exec runs a command on the node and returns its standard output. The error of a command that fails holds the end of its
// standard error.
func (n *Node) Exec(ctx context.Context, args ...string) ([]byte, error) {
	if n.PID() == 0 {
		return nil, fmt.Errorf("%s is off", n.Name)
	}
	return output(n.Command(ctx, args...), n.Name+": "+strings.Join(args, " "))
}

// output runs cmd for its standard output; what names it in errors.
func output(cmd *exec.Cmd, what string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", what, err, tail(stderr.Bytes(), 3))
	}
	return out, nil
}

// Import gives the images of a tar (of `docker save`, or an OCI layout) to the node's containerd. Pods that use them need
// imagePullPolicy Never.
func (n *Node) Import(ctx context.Context, tar string) error {
	f, err := os.Open(tar)
	if err != nil {
		return fmt.Errorf("import image: %w", err)
	}
	defer f.Close()
	cmd := n.Command(ctx, "ctr", "--namespace", "k8s.io", "images", "import", "-")
	cmd.Stdin = f
	_, err = output(cmd, "import "+tar+" on "+n.Name)
	return err
}

// UnitPID returns the process id, inside the node, of containerd, kubelet or kube-proxy; 0 when it does not run.
func (n *Node) UnitPID(ctx context.Context, unit string) int {
	out, err := n.Exec(ctx, "cat", filepath.Join(unitDir, unit+".pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	return pid
}

// StopUnit stops a unit by SIGTERM and keeps it down until StartUnit, also over a SIGKILL of the caller, but not over a power cycle.
func (n *Node) StopUnit(ctx context.Context, unit string) error {
	if _, err := n.Exec(ctx, "touch", filepath.Join(unitDir, unit+".stopped")); err != nil {
		return err
	}
	if pid := n.UnitPID(ctx, unit); pid != 0 {
		if _, err := n.Exec(ctx, "kill", strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	for n.UnitPID(ctx, unit) != 0 {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("stop %s on %s: %w", unit, n.Name, err)
		}
	}
	return nil
}

// StartUnit undoes StopUnit. The unit starts within a second.
func (n *Node) StartUnit(ctx context.Context, unit string) error {
	_, err := n.Exec(ctx, "rm", "-f", filepath.Join(unitDir, unit+".stopped"))
	return err
}

// SignalUnit sends a signal to a unit. The node starts a unit again a second after its end.
func (n *Node) SignalUnit(ctx context.Context, unit string, s syscall.Signal) error {
	pid := n.UnitPID(ctx, unit)
	if pid == 0 {
		return fmt.Errorf("signal %s on %s: it does not run", unit, n.Name)
	}
	_, err := n.Exec(ctx, "kill", "-"+strconv.Itoa(int(s)), strconv.Itoa(pid))
	return err
}

// PowerOff pulls the plug: every process of the node dies by SIGKILL, its network link vanishes. The disk stays as it is.
func (n *Node) PowerOff(ctx context.Context) error {
	g, err := machineCgroups()
	if err != nil {
		return err
	}
	// With process 1 the kernel kills all of its namespace, also what Exec brought in.
	if pid := n.PID(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err := g.kill(ctx, n.cgroup()); err != nil {
		return fmt.Errorf("power off %s: %w", n.Name, err)
	}
	_ = deleteLink(ctx, n.Link)
	if err := g.remove(ctx, n.cgroup()); err != nil {
		return fmt.Errorf("power off %s: %w", n.Name, err)
	}
	if err := os.Remove(n.pidFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// PowerOn boots the node from its disk, with a new boot id. It returns when process 1 runs; Bed.WaitReady waits for the rest.
func (n *Node) PowerOn(ctx context.Context) error {
	if n.PID() != 0 {
		return fmt.Errorf("power on %s: it is on", n.Name)
	}
	b, err := Attach()
	if err != nil {
		return err
	}
	return n.boot(ctx, b)
}

func (n *Node) boot(ctx context.Context, b *Bed) error {
	g, err := machineCgroups()
	if err != nil {
		return err
	}
	if err := g.create(n.cgroup()); err != nil {
		return fmt.Errorf("boot %s: %w", n.Name, err)
	}
	spec, err := n.writeSpec(g, b)
	if err != nil {
		return fmt.Errorf("boot %s: %w", n.Name, err)
	}
	attr := &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET}
	network := func(pid int) error { return n.connect(ctx, pid, b.Nodes) }
	// unshare comes last: the cgroup namespace begins where the process is.
	return spawnInto(n.cgroup(), n.pidFile(), filepath.Join(n.Logs, "node.log"), attr, network,
		"/usr/bin/unshare", "--cgroup", statePath("bed"), "node-init", spec)
}

// writeSpec writes what process 1 is told.
func (n *Node) writeSpec(g cgroups, b *Bed) (string, error) {
	machineID, err := os.ReadFile(filepath.Join(n.Disk, "etc/machine-id"))
	if err != nil {
		return "", err
	}
	bootID := uuid(randomID())
	var mounts []string
	if !g.Unified {
		for _, h := range g.Hierarchies {
			mounts = append(mounts, filepath.Base(h.Mount)+" "+h.Options)
		}
	}
	s := bootSpec{Name: n.Name, MachineID: strings.TrimSpace(string(machineID)), BootID: bootID, LogFolder: n.Logs,
		Mounts: []string{"DISK=" + n.Disk, "LOGDISK=" + n.LogDisk, "RELEASE=" + b.Release, "HOSTNAME=" + n.Name, "BOOT_ID=" + bootID, "CGROUPS=" + strings.Join(mounts, "\n")},
		Units: []unit{
			{Name: "containerd", Description: "containerd container runtime", Journal: true, Args: []string{"/usr/bin/containerd"}, Ready: "/run/containerd/containerd.sock"},
			{Name: "kubelet", Description: "Kubelet", Journal: true, Args: []string{"/opt/bin/kubelet", "--config=/etc/default/kubeletconfig.json", "--kubeconfig=/var/lib/kubelet/kubeconfig",
				"--hostname-override=" + n.Name, "--node-ip=" + n.IP, "--root-dir=/var/lib/kubelet", "--v=2", "--node-labels=" + n.Labels}},
			{Name: "kube-proxy", Description: "Kubernetes network proxy", Args: []string{"/opt/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.yaml", "--v=2"}},
		}}
	for _, name := range []string{"pause", "busybox", "coredns", "metrics-server"} {
		s.Images = append(s.Images, "/opt/testbed/images/"+name+".tar")
	}
	data, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	path := statePath("nodes", n.Name, "boot.json")
	return path, os.WriteFile(path, data, 0o600)
}

// connect gives the network namespace of pid its link to the bridge. There is no default route: nothing leaves the bed.
func (n *Node) connect(ctx context.Context, pid int, nodes []*Node) error {
	// The old link of a node that was off dies with its namespace, in its own time.
	_ = deleteLink(ctx, n.Link)
	target := strconv.Itoa(pid)
	if _, err := output(exec.CommandContext(ctx, "ip", "link", "add", n.Link, "type", "veth", "peer", "name", "eth0", "netns", target), "create link"); err != nil {
		return err
	}
	if _, err := output(exec.CommandContext(ctx, "ip", "link", "set", n.Link, "master", bridge, "up"), "attach link"); err != nil {
		return err
	}
	var batch bytes.Buffer
	fmt.Fprintf(&batch, "link set lo up\naddress add %s/24 dev eth0\nlink set eth0 up\nroute add %s via %s\n", n.IP, serviceNet, gateway)
	for _, other := range nodes {
		if other.Index != n.Index {
			fmt.Fprintf(&batch, "route add %s via %s\n", other.PodCIDR, other.IP)
		}
	}
	cmd := exec.CommandContext(ctx, "nsenter", "--target", target, "--net", "ip", "-batch", "-")
	cmd.Stdin = &batch
	_, err := output(cmd, "configure network")
	return err
}

// install makes the node's disk: its files, its certificates, its log disk.
func (n *Node) install(ctx context.Context, b *Bed, ca *keyPair, logDisk int64) error {
	values := nodeValues{Node: n, Nodes: b.Nodes, MachineID: randomID(), Time: time.Now().UTC().Format(time.RFC3339), Version: KubernetesVersion,
		Gateway: gateway, ServiceNet: serviceNet, PodNet: podNet, ClusterDNS: clusterDNS, PlatformDNS: platformDNS, APIServer: apiServer}
	if err := furnish(n.Disk, values); err != nil {
		return err
	}
	if err := os.MkdirAll(n.Logs, 0o755); err != nil {
		return err
	}
	server, err := ca.issue(identity{user: n.Name, dns: []string{n.Name}, ips: []string{n.IP}})
	if err != nil {
		return err
	}
	certs := filepath.Join(n.Disk, "etc/kubernetes/certs")
	if err := errors.Join(server.write(certs, "kubeletserver"), os.WriteFile(filepath.Join(certs, "ca.crt"), ca.certPEM, 0o644),
		writeKubeconfig(filepath.Join(n.Disk, "var/lib/kubelet/kubeconfig"), ca, identity{user: "system:node:" + n.Name, group: "system:nodes"}),
		writeKubeconfig(filepath.Join(n.Disk, "var/lib/kube-proxy/kubeconfig"), ca, identity{user: "system:kube-proxy"})); err != nil {
		return err
	}
	if n.LogDisk == "" {
		return nil
	}
	_, err = output(exec.CommandContext(ctx, "mkfs.ext4", "-q", "-m", "0", "-L", "log", "-d", filepath.Join(n.Disk, "var/log"), n.LogDisk, strconv.FormatInt(logDisk>>10, 10)+"k"), "make the log disk")
	return err
}

func deleteLink(ctx context.Context, name string) error {
	if !exists("/sys/class/net/" + name) {
		return nil
	}
	_, err := output(exec.CommandContext(ctx, "ip", "link", "delete", name), "delete link "+name)
	return err
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func uuid(hex string) string {
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:]
}
