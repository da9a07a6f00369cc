// Package cluster runs a real Kubernetes cluster on one Linux machine, for tests: etcd, API server, controller manager and
// scheduler on the machine itself, and nodes that each have namespaces, a root file system, containerd, kubelet and kube-proxy
// of their own, furnished as an AKS node. No registry, no virtual machine, no systemd, no way out of the bed.
//
// A [Bed] outlives the process that started it with [Up]; any process finds it by [Attach]. There is one bed on a machine. All
// of it lies in fixed places: a folder of state, a cgroup, a bridge, an nftables table; so [Down] cleans up after any end of
// whoever started it. Everything here needs root.
//
// Limits: all nodes share the machine's kernel, and with it the kernel log, the clock, CPU and memory figures.
package cluster

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

//go:embed assets/manifests
var manifests embed.FS

// Options say how a bed is made. The zero value is good.
type Options struct {
	Nodes    int           // real nodes; 0 means 3, at most 9
	Timeout  time.Duration // for the start, without Build; 0 means 2 minutes
	LogDisk  int64         // bytes of each node's own file system at /var/log; 0 means 512 MiB, negative none
	NoAddons bool          // leave CoreDNS and metrics-server out
	Keep     bool          // leave a bed that did not become ready as it is, for a look inside
	Progress io.Writer     // one line a step; nil: silent
}

// A Bed is a running cluster.
type Bed struct {
	Kubeconfig string // of a cluster admin
	Release    string // folder of the binaries and images
	Nodes      []*Node
	Components []*Component
	Ready      bool // Up has come to its end
}

// ErrDown is returned by Attach when no bed runs.
var ErrDown = errors.New("no bed is up; start one with: bed up")

// Attach finds the bed that runs on this machine. It returns ErrDown when there is none, or only what is left of one.
func Attach() (*Bed, error) {
	b, err := loadBed()
	if err != nil {
		return nil, err
	}
	if !b.Ready || b.Component("etcd").PID() == 0 {
		return nil, ErrDown
	}
	return b, nil
}

func loadBed() (*Bed, error) {
	data, err := os.ReadFile(statePath("bed.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrDown
	}
	if err != nil {
		return nil, fmt.Errorf("find the bed: %w", err)
	}
	b := &Bed{}
	if err := json.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("read %s: %w; clean up with: bed down", statePath("bed.json"), err)
	}
	return b, nil
}

func (b *Bed) save() error {
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(statePath("bed.json"), data, 0o644)
}

// Up returns the bed of this machine, and starts it when it is not up: it builds the release on first use, cleans away what an
// earlier bed left behind, and waits until nodes and add-ons are ready. After an error nothing is left (but see Options.Keep).
func Up(ctx context.Context, o Options) (*Bed, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.LogDisk == 0 {
		o.LogDisk = 512 << 20
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Nodes < 1 || o.Nodes > maxNodes {
		return nil, fmt.Errorf("%d nodes: the bed has 1 to %d", o.Nodes, maxNodes)
	}
	if err := requireRoot(); err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, lockFile, func() { fmt.Fprintln(o.Progress, "another process works on the bed: waiting for it") })
	if err != nil {
		return nil, err
	}
	defer unlock()
	if b, err := Attach(); err == nil {
		return b, nil
	}
	r, err := Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	if err := cleanUp(ctx); err != nil {
		return nil, err
	}
	if err := checkMachine(); err != nil {
		return nil, err
	}
	b, err := start(ctx, r, o)
	if err != nil && !o.Keep {
		err = errors.Join(err, cleanUp(context.WithoutCancel(ctx)))
	}
	return b, err
}

// start brings up everything. On an error it leaves what it has done.
func start(ctx context.Context, r Release, o Options) (*Bed, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	begin := time.Now()
	step := func(format string, args ...any) {
		fmt.Fprintf(o.Progress, "%5.1fs  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
	b := &Bed{Kubeconfig: statePath("pki", "admin.kubeconfig"), Release: r.Dir, Components: controlPlane(r)}
	for i := range o.Nodes {
		b.Nodes = append(b.Nodes, newNode(i+1, o.LogDisk > 0))
	}
	if err := b.prepare(ctx, o); err != nil {
		return nil, err
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if err := b.Component(name).Start(ctx); err != nil {
			return nil, err
		}
	}
	for _, n := range b.Nodes { // their kubelets ask until the API server answers
		if err := n.boot(ctx, b); err != nil {
			return nil, err
		}
	}
	if err := b.waitAPIServer(ctx); err != nil {
		return nil, err
	}
	step("API server answers")
	// Not earlier: both give up when the API server has not made its first roles.
	for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
		if err := b.Component(name).Start(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.apply(ctx, "rbac"); err != nil {
		return nil, err
	}
	if err := b.WaitReady(ctx); err != nil {
		return nil, err
	}
	step("%d nodes are Ready", len(b.Nodes))
	if !o.NoAddons {
		if err := b.apply(ctx, "coredns", "metrics-server"); err != nil {
			return nil, err
		}
		if err := b.waitAddons(ctx); err != nil {
			return nil, err
		}
		step("CoreDNS and metrics-server are ready")
	}
	b.Ready = true
	return b, b.save()
}

// prepare makes folders, program, certificates, network, cgroups and the nodes' disks.
func (b *Bed) prepare(ctx context.Context, o Options) error {
	for _, dir := range []string{"pki", "pids", "log", "nodes"} {
		if err := os.MkdirAll(statePath(dir), 0o755); err != nil {
			return err
		}
	}
	if err := b.save(); err != nil {
		return err
	}
	if err := installProgram(ctx); err != nil {
		return err
	}
	if err := writePKI(statePath("pki")); err != nil {
		return fmt.Errorf("write certificates: %w", err)
	}
	g, err := machineCgroups()
	if err != nil {
		return err
	}
	if err := g.create(controlCgroup); err != nil {
		return err
	}
	if err := b.createNetwork(ctx); err != nil {
		return err
	}
	ca, err := loadKeyPair(statePath("pki"), "ca")
	if err != nil {
		return err
	}
	for _, n := range b.Nodes {
		if err := n.install(ctx, b, ca, o.LogDisk); err != nil {
			return fmt.Errorf("furnish %s: %w", n.Name, err)
		}
	}
	return nil
}

// installProgram puts the bed program, which is process 1 of the nodes, into the state folder: this very program, or, when
// that is a test, a build of cmd/bed.
func installProgram(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	to := statePath("bed")
	if filepath.Base(self) != "bed" {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "github.com/periscope-k8s/periscope/test/cluster/cmd/bed")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		_, err = output(cmd, "build cmd/bed")
		return err
	}
	data, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// firewall keeps the bed to itself: nothing is forwarded between the bridge and the machine's other links, and from the bridge
// only the API server can be called. It keeps no state: answers pass because they are no first packets.
const firewall = `table inet %[1]s {
	chain forward {
		type filter hook forward priority -10; policy accept;
		iifname "%[2]s" oifname != "%[2]s" drop
		oifname "%[2]s" iifname != "%[2]s" drop
	}
	chain input {
		type filter hook input priority -10; policy accept;
		iifname "%[2]s" tcp dport != 6443 tcp flags & (syn | ack) == syn drop
		iifname "%[2]s" meta l4proto udp drop
	}
}
`

// createNetwork makes the bridge of the nodes, the routes to their pods, and the firewall.
func (b *Bed) createNetwork(ctx context.Context) error {
	var batch bytes.Buffer
	fmt.Fprintf(&batch, "link add %s type bridge\naddress add %s/24 dev %s\nlink set %s up\n", bridge, gateway, bridge, bridge)
	for _, n := range b.Nodes {
		fmt.Fprintf(&batch, "route add %s via %s\n", n.PodCIDR, n.IP)
	}
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = &batch
	if _, err := output(cmd, "create bridge "+bridge); err != nil {
		return err
	}
	cmd = exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(firewall, nftTable, bridge))
	_, err := output(cmd, "create nftables table")
	return err
}

// Node returns the node of that name, or nil.
func (b *Bed) Node(name string) *Node {
	for _, n := range b.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Component returns the component of the control plane of that name, or nil.
func (b *Bed) Component(name string) *Component {
	for _, c := range b.Components {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Kubectl runs kubectl as the cluster's admin and returns its standard output.
func (b *Bed) Kubectl(ctx context.Context, args ...string) ([]byte, error) {
	return b.kubectl(ctx, nil, args...)
}

func (b *Bed) kubectl(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, Release{b.Release}.bin("kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.Kubeconfig)
	cmd.Stdin = stdin
	return output(cmd, "kubectl "+strings.Join(args, " "))
}

// Apply applies a manifest in YAML or JSON.
func (b *Bed) Apply(ctx context.Context, manifest io.Reader) error {
	_, err := b.kubectl(ctx, manifest, "apply", "-f", "-")
	return err
}

func (b *Bed) apply(ctx context.Context, names ...string) error {
	for _, name := range names {
		f, err := manifests.Open("assets/manifests/" + name + ".yaml")
		if err != nil {
			return err
		}
		if err := b.Apply(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// ImportImage gives the images of a tar to every node, see Node.Import.
func (b *Bed) ImportImage(ctx context.Context, tar string) error {
	errs := make([]error, len(b.Nodes))
	var wg sync.WaitGroup
	for i, n := range b.Nodes {
		wg.Go(func() { errs[i] = n.Import(ctx, tar) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
