package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const controlCgroup = cgroupBase + "/control"

// A Component is a process of the control plane, in the machine's own namespaces.
type Component struct {
	Name string
	Args []string
	Log  string // file of its output
}

// PID returns the component's process id, or 0 when it does not run.
func (c *Component) PID() int {
	pid := readPID(statePath("pids", c.Name))
	g, err := machineCgroups()
	if err != nil || pid == 0 || !slices.Contains(g.pids(controlCgroup), pid) {
		return 0
	}
	return pid
}

// Signal sends a signal to the component. SIGKILL returns when it is gone.
func (c *Component) Signal(ctx context.Context, s syscall.Signal) error {
	pid := c.PID()
	if pid == 0 {
		return fmt.Errorf("signal %s: it does not run", c.Name)
	}
	if err := syscall.Kill(pid, s); err != nil {
		return fmt.Errorf("signal %s: %w", c.Name, err)
	}
	for s == syscall.SIGKILL && c.PID() == pid {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the component, which must not run. It lives on when this process ends.
func (c *Component) Start(ctx context.Context) error {
	if c.PID() != 0 {
		return fmt.Errorf("start %s: it runs already", c.Name)
	}
	return spawnInto(controlCgroup, statePath("pids", c.Name), c.Log, &syscall.SysProcAttr{Setsid: true}, nil, c.Args...)
}

// spawnInto starts args detached, in the cgroup path, with its output appended to a log. The new process waits until its pid
// is recorded, it is in the cgroup and prepare has run; it ends when this one dies before that.
func spawnInto(cgroup, pidFile, logFile string, attr *syscall.SysProcAttr, prepare func(pid int) error, args ...string) error {
	g, err := machineCgroups()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	// It has to outlive every context of the caller.
	cmd := exec.CommandContext(context.Background(), "/bin/sh", append([]string{"-c", `read -r go && exec "$0" "$@"`}, args...)...)
	cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = attr, log, log
	cmd.Dir = "/"
	gate, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	go func() { _ = cmd.Wait() }() // or it stays a zombie when it ends before this process
	err = errors.Join(
		os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o644),
		g.add(cgroup, cmd.Process.Pid))
	if err == nil && prepare != nil {
		err = prepare(cmd.Process.Pid)
	}
	if err == nil {
		_, err = gate.Write([]byte("go\n"))
	}
	gate.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	return nil
}

func readPID(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// controlPlane lists the components in the order of their start.
func controlPlane(r Release) []*Component {
	pki := func(name string) string { return statePath("pki", name) }
	kube := func(name string) []string {
		config := pki(name + ".kubeconfig")
		return []string{"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
			"--bind-address=127.0.0.1", "--leader-elect=false"}
	}
	args := map[string][]string{
		"etcd": {"--name=testbed", "--data-dir=" + statePath("etcd"), "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=http://127.0.0.1:23790", "--advertise-client-urls=http://127.0.0.1:23790",
			"--listen-peer-urls=http://127.0.0.1:23800", "--initial-advertise-peer-urls=http://127.0.0.1:23800",
			"--initial-cluster=testbed=http://127.0.0.1:23800", "--quota-backend-bytes=8589934592",
			"--auto-compaction-mode=revision", "--auto-compaction-retention=10000"},
		"kube-apiserver": {"--etcd-servers=http://127.0.0.1:23790", "--bind-address=" + gateway, "--advertise-address=" + gateway, "--secure-port=6443",
			"--service-cluster-ip-range=" + serviceNet, "--client-ca-file=" + pki("ca.crt"),
			"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
			"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			// It refuses a PKCS 8 private key here, and takes the certificate.
			"--service-account-key-file=" + pki("sa.crt"), "--service-account-signing-key-file=" + pki("sa.key"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local", "--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
			"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
			"--proxy-client-cert-file=" + pki("front-proxy-client.crt"), "--proxy-client-key-file=" + pki("front-proxy-client.key"),
			"--enable-aggregator-routing=true", "--endpoint-reconciler-type=lease", "--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000"},
		"kube-controller-manager": append(kube("controller-manager"),
			"--service-account-private-key-file="+pki("sa.key"), "--root-ca-file="+pki("ca.crt"),
			"--cluster-signing-cert-file="+pki("ca.crt"), "--cluster-signing-key-file="+pki("ca.key"), "--use-service-account-credentials=true",
			// Longer than kwok's lease renewal, or simulated nodes flap.
			"--node-monitor-grace-period=20s", "--node-monitor-period=2s", "--allocate-node-cidrs=false",
			"--controllers=*,-cloud-node-lifecycle-controller", "--kube-api-qps=200", "--kube-api-burst=400"),
		"kube-scheduler": append(kube("scheduler"), "--kube-api-qps=500", "--kube-api-burst=1000"),
	}
	var all []*Component
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		all = append(all, &Component{Name: name, Args: append([]string{r.bin(name)}, args[name]...), Log: statePath("log", name+".log")})
	}
	return all
}
