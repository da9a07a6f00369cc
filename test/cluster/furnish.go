package cluster

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"
)

// nodeFiles is the tree of files that a node is furnished with, as templates over nodeValues. Names that an embedded tree
// cannot have are avoided.
//
//go:embed all:assets/node
var nodeFiles embed.FS

// nodeValues is what the templates know.
type nodeValues struct {
	*Node
	Nodes                                                           []*Node
	MachineID, Time, Version                                        string
	Gateway, ServiceNet, PodNet, ClusterDNS, PlatformDNS, APIServer string
}

// nodeFolders are empty in a new node. What is shared with the machine is mounted there at boot.
var nodeFolders = [...]string{"dev", "etc/alternatives", "etc/cni/net.d", "etc/kubernetes/certs", "etc/kubernetes/manifests", "etc/kubernetes/volumeplugins",
	"etc/ssl", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var/cache", "var/lib/cni", "var/lib/containerd",
	"var/lib/kubelet", "var/log/containers", "var/log/pods", "var/tmp"}

// machineFiles are copied from the machine when it has them.
var machineFiles = [...]string{"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/debian_version", "/etc/protocols", "/etc/services", "/etc/ethertypes",
	"/etc/localtime", "/etc/timezone", "/etc/mke2fs.conf", "/etc/bindresvport.blacklist", "/etc/gai.conf", "/etc/host.conf"}

// furnish makes a node's disk: everything of its root file system that is not mounted at boot.
func furnish(disk string, v nodeValues) error {
	for _, dir := range nodeFolders {
		if err := os.MkdirAll(filepath.Join(disk, dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{"tmp", "var/tmp"} {
		if err := os.Chmod(filepath.Join(disk, dir), 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	if err := copyMachineLinks(disk); err != nil {
		return err
	}
	for _, path := range machineFiles {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if err := writeFile(filepath.Join(disk, path), data, 0o644); err != nil {
			return err
		}
	}
	return renderNodeFiles(disk, v)
}

// copyMachineLinks makes /bin, /lib and so on, which lead into /usr.
func copyMachineLinks(disk string) error {
	links := map[string]string{"var/run": "/run", "var/lock": "/run/lock"}
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		target, err := os.Readlink("/" + name)
		if err == nil {
			links[name] = target
		} else if exists("/" + name) {
			return fmt.Errorf("/%s is no link into /usr: the bed needs a distribution with a merged /usr (Debian 12 or newer)", name)
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(disk, name)); err != nil {
			return err
		}
	}
	return nil
}

func renderNodeFiles(disk string, v nodeValues) error {
	const top = "assets/node"
	return fs.WalkDir(nodeFiles, top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := nodeFiles.ReadFile(path)
		if err != nil {
			return err
		}
		t, err := template.New(path).Option("missingkey=error").Parse(string(data))
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, v); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if d.Name() == "azure.json" {
			mode = 0o600
		}
		return writeFile(filepath.Join(disk, path[len(top):]), out.Bytes(), mode)
	})
}

func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}
