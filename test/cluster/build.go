package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// KubernetesVersion is what the nodes report. components/update.sh raises it; TestVersions holds the two together.
const KubernetesVersion = "v1.36.3"

//go:embed components
var components embed.FS

// imageFormat is raised when the content of an image changes without a change of components/.
const imageFormat = "1"

// debianPackages are what the bed takes from Debian, each with a file by which it is recognised on any distribution.
var debianPackages = [...]struct{ name, file string }{
	{"containerd", "/usr/bin/containerd"},
	{"runc", "/usr/sbin/runc"},
	{"containernetworking-plugins", "/usr/lib/cni/bridge"},
	{"iproute2", "/usr/sbin/ip"},
	{"nftables", "/usr/sbin/nft"},
	{"iptables", "/usr/sbin/iptables"},
	{"conntrack", "/usr/sbin/conntrack"},
	{"socat", "/usr/bin/socat"},
	{"ethtool", "/usr/sbin/ethtool"},
	{"systemd-journal-remote", "/usr/lib/systemd/systemd-journal-remote"},
	{"e2fsprogs", "/usr/sbin/mkfs.ext4"},
	{"busybox-static", "/usr/bin/busybox"},
	{"util-linux", "/usr/bin/nsenter"},
	{"procps", "/usr/sbin/sysctl"},
}

// A Release is a folder with everything that a bed needs and that is built once: bin/ and images/.
type Release struct{ Dir string }

func (r Release) bin(name string) string   { return filepath.Join(r.Dir, "bin", name) }
func (r Release) image(name string) string { return filepath.Join(r.Dir, "images", name+".tar") }

// Build returns the release of the versions in components/, from the user's cache folder when it is there. Otherwise it
// installs the Debian packages that are missing (needs root) and builds the rest from the Go module proxy: about ten minutes on
// two idle cores. Two builds at once wait for each other. Progress lines go to out.
func Build(ctx context.Context, out io.Writer) (Release, error) {
	if err := installPackages(ctx, out); err != nil {
		return Release{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Release{}, fmt.Errorf("find the cache folder: %w (set HOME)", err)
	}
	version, err := releaseVersion()
	if err != nil {
		return Release{}, err
	}
	top := filepath.Join(cache, "periscope", "testbed")
	r := Release{filepath.Join(top, version)}
	if _, err := os.Stat(r.Dir); err == nil {
		return r, nil
	}
	if err := os.MkdirAll(top, 0o755); err != nil {
		return Release{}, err
	}
	unlock, err := lock(ctx, filepath.Join(top, "lock"), func() { fmt.Fprintln(out, "another build is running: waiting for it") })
	if err != nil {
		return Release{}, err
	}
	defer unlock()
	if _, err := os.Stat(r.Dir); err == nil {
		return r, nil
	}
	return r, r.build(ctx, out)
}

// build fills a folder beside the release and moves it into place when it is complete.
func (r Release) build(ctx context.Context, out io.Writer) error {
	partial := Release{r.Dir + ".partial"}
	for _, dir := range []string{"bin", "images", "src/coredns"} {
		if err := os.MkdirAll(filepath.Join(partial.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{"components.mod": "go.mod", "components.sum": "go.sum", "coredns.go.txt": "coredns/main.go"} {
		data, err := components.ReadFile("components/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(partial.Dir, "src", to), data, 0o644); err != nil {
			return err
		}
	}
	start := time.Now()
	fmt.Fprintf(out, "building Kubernetes %s and the rest once, into %s (about ten minutes on two idle cores)\n", KubernetesVersion, r.Dir)
	for _, args := range goBuilds() {
		if err := partial.goBuild(ctx, args); err != nil {
			return err
		}
	}
	if err := partial.images(); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(partial.Dir, "src")); err != nil {
		return err
	}
	fmt.Fprintf(out, "built in %s\n", time.Since(start).Round(time.Second))
	return os.Rename(partial.Dir, r.Dir)
}

// goBuilds lists the arguments after `go build`: one call for each set of linker flags.
func goBuilds() [][]string {
	minor, _, _ := strings.Cut(strings.TrimPrefix(KubernetesVersion, "v1."), ".")
	stamp := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, v := range []string{"gitVersion=" + KubernetesVersion, "gitMajor=1", "gitMinor=" + minor, "gitTreeState=clean",
			"gitCommit=" + strings.Repeat("0", 40), "buildDate=2026-01-01T00:00:00Z"} {
			stamp += " -X " + pkg + "." + v
		}
	}
	const k = "k8s.io/kubernetes/cmd/"
	return [][]string{
		{"-ldflags", stamp, "-o", "../bin/", k + "kube-apiserver", k + "kube-controller-manager", k + "kube-scheduler", k + "kubelet", k + "kube-proxy", k + "kubectl"},
		{"-ldflags", "-s -w", "-o", "../bin/etcd", "go.etcd.io/etcd/server/v3"},
		{"-ldflags", "-s -w", "-o", "../bin/", "sigs.k8s.io/metrics-server/cmd/metrics-server", "sigs.k8s.io/kwok/cmd/kwok"},
		{"-ldflags", "-s -w", "-o", "../bin/coredns", "./coredns"},
	}
}

// goBuild runs two compilers at a time: more need more than 8 GB of memory.
func (r Release) goBuild(ctx context.Context, args []string) error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("go is not in PATH: install Go, or keep the PATH over sudo (sudo env PATH=$PATH)")
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-p", "2", "-trimpath"}, args...)...)
	cmd.Dir = filepath.Join(r.Dir, "src")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=mod -buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", args[len(args)-1], err, tail(out, 20))
	}
	return nil
}

// images writes the image tars that every node is started with.
func (r Release) images() error {
	const busybox = "/usr/bin/busybox"
	shell := []ImageFile{{Path: "/bin/busybox", From: busybox}}
	for _, applet := range []string{"sh", "cat", "dd", "echo", "env", "false", "find", "grep", "head", "httpd", "id", "ls", "mkdir", "nc", "nslookup",
		"ping", "ps", "rm", "seq", "sha256sum", "sleep", "tail", "tar", "touch", "true", "wget", "yes"} {
		shell = append(shell, ImageFile{Path: "/bin/" + applet, Link: "busybox"})
	}
	for _, i := range []struct {
		name    string
		command []string
		files   []ImageFile
	}{
		{"pause", []string{"/busybox", "sleep", "infinity"}, []ImageFile{{Path: "/busybox", From: busybox}}},
		{"busybox", []string{"/bin/sh"}, shell},
		{"coredns", []string{"/coredns"}, []ImageFile{{Path: "/coredns", From: r.bin("coredns")}}},
		{"metrics-server", []string{"/metrics-server"}, []ImageFile{{Path: "/metrics-server", From: r.bin("metrics-server")}}},
	} {
		if err := WriteImage(r.image(i.name), "local/"+i.name+":1", i.command, i.files...); err != nil {
			return err
		}
	}
	return nil
}

// releaseVersion names the content of a release: the Kubernetes version and a hash of all that goes into the build.
func releaseVersion() (string, error) {
	h := sha256.New()
	for _, name := range []string{"components.mod", "components.sum", "coredns.go.txt"} {
		data, err := components.ReadFile("components/" + name)
		if err != nil {
			return "", err
		}
		h.Write(data)
	}
	fmt.Fprint(h, goBuilds(), imageFormat)
	return fmt.Sprintf("%s-%x", KubernetesVersion, h.Sum(nil)[:6]), nil
}

// installPackages installs what is missing by apt-get, and says so. containerd must not run as a service of the machine.
func installPackages(ctx context.Context, out io.Writer) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	list := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing: %s; install what holds these Debian packages' programs, then run it again", list)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing Debian packages: %s; run as root, or: sudo apt-get install %s", list, list)
	}
	fmt.Fprintf(out, "installing Debian packages: %s\n", list)
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w; install by hand: %s\n%s", args[0], err, list, tail(text, 5))
		}
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil && slices.Contains(missing, "containerd") {
		if text, err := exec.CommandContext(ctx, "systemctl", "disable", "--now", "containerd").CombinedOutput(); err != nil {
			return fmt.Errorf("stop the containerd service that its package started: %w: %s", err, tail(text, 2))
		}
	}
	if missing = missingPackages(); len(missing) > 0 {
		return fmt.Errorf("apt-get installed the packages, but not their programs: %s", strings.Join(missing, " "))
	}
	return nil
}

func missingPackages() []string {
	var missing []string
	for _, p := range debianPackages {
		if _, err := os.Stat(p.file); err != nil {
			missing = append(missing, p.name)
		}
	}
	return missing
}

// lock takes the lock file at path; waiting is called once when another process holds it.
func lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: held by another process: %w", path, err)
		}
	}
}

// tail returns the last n lines of text.
func tail(text []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
