package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A hierarchy is one mounted cgroup file system: one for each group of controllers with cgroup v1, a single one with v2.
type hierarchy struct {
	Mount   string // where the machine has it mounted
	Options string // what mount -o needs to get the same one again; empty for v2
}

// cgroups is where the processes of the bed are accounted and found again.
type cgroups struct {
	Unified     bool // cgroup v2
	Hierarchies []hierarchy
}

// v2Controllers are those that kubelet wants below a node's cgroup.
const v2Controllers = "+cpuset +cpu +io +memory +pids"

// initScope is where node-mounts.sh puts the processes of a node with cgroup v2.
const initScope = "init.scope"

func machineCgroups() (cgroups, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return cgroups{}, err
	}
	defer f.Close()
	g, err := parseCgroups(f)
	if err != nil {
		return cgroups{}, err
	}
	if len(g.Hierarchies) == 0 {
		return cgroups{}, errors.New("no cgroup file system is mounted; mount one at /sys/fs/cgroup")
	}
	return g, nil
}

// parseCgroups reads the cgroup mounts out of proc_pid_mountinfo(5). A machine that has v1 controllers is a v1 machine, even
// when the v2 tree is mounted beside them (systemd calls that hybrid).
func parseCgroups(mountinfo io.Reader) (cgroups, error) {
	var v1, v2 []hierarchy
	seen := map[string]bool{}
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		mount, super, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(mount), strings.Fields(super)
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		switch right[0] {
		case "cgroup":
			options := v1Options(right[2])
			if options != "" && !seen[options] {
				seen[options] = true
				v1 = append(v1, hierarchy{left[4], options})
			}
		case "cgroup2":
			v2 = append(v2, hierarchy{Mount: left[4]})
		}
	}
	if err := lines.Err(); err != nil {
		return cgroups{}, fmt.Errorf("read mountinfo: %w", err)
	}
	if len(v1) > 0 {
		return cgroups{Hierarchies: v1}, nil
	}
	return cgroups{Unified: len(v2) > 0, Hierarchies: v2[:min(1, len(v2))]}, nil
}

// v1Options keeps the controllers and the name of a v1 hierarchy and drops what is the kernel's report only.
func v1Options(super string) string {
	var keep []string
	for o := range strings.SplitSeq(super, ",") {
		switch {
		case o == "rw" || o == "ro" || o == "xattr" || o == "noprefix" || o == "clone_children" || strings.HasPrefix(o, "release_agent="):
		case strings.HasPrefix(o, "name="):
			keep = append(keep, "none", o)
		default:
			keep = append(keep, o)
		}
	}
	return strings.Join(keep, ",")
}

// create makes the cgroup path (relative, slash separated) in every hierarchy, usable by processes and by kubelet.
func (g cgroups) create(path string) error {
	for _, h := range g.Hierarchies {
		dir := h.Mount
		for part := range strings.SplitSeq(path, "/") {
			if g.Unified {
				if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(v2Controllers), 0); err != nil {
					return fmt.Errorf("enable cgroup controllers: %w", err)
				}
			}
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("create cgroup: %w", err)
			}
			if err := inheritCpuset(parent, dir); err != nil {
				return fmt.Errorf("create cgroup: %w", err)
			}
		}
	}
	return nil
}

// inheritCpuset fills the two files without which a v1 cpuset takes no process. Elsewhere it does nothing.
func inheritCpuset(parent, dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) || (err == nil && len(bytes.TrimSpace(have)) > 0) {
			continue
		}
		want, err := os.ReadFile(filepath.Join(parent, name))
		if errors.Is(err, fs.ErrNotExist) { // v2: the root has none, and empty means all
			continue
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(want)) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), want, 0); err != nil {
			return err
		}
	}
	return nil
}

// procsFiles lists the files into which a process id is written to move it to a node's or the control plane's cgroup. A booted
// node with cgroup v2 takes processes only below its own cgroup.
func (g cgroups) procsFiles(path string) []string {
	var files []string
	for _, h := range g.Hierarchies {
		file := filepath.Join(h.Mount, path, "cgroup.procs")
		if inner := filepath.Join(h.Mount, path, initScope, "cgroup.procs"); g.Unified && exists(inner) {
			file = inner
		}
		files = append(files, file)
	}
	return files
}

func (g cgroups) add(path string, pid int) error {
	for _, file := range g.procsFiles(path) {
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// pids lists the processes at and below path, each once, in order.
func (g cgroups) pids(path string) []int {
	var pids []int
	for _, h := range g.Hierarchies {
		_ = filepath.WalkDir(filepath.Join(h.Mount, path), func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil //nolint:nilerr // cgroups vanish while we look
			}
			procs, _ := os.ReadFile(filepath.Join(p, "cgroup.procs"))
			for _, f := range strings.Fields(string(procs)) {
				if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// kill ends every process at and below path, and returns when none is left.
func (g cgroups) kill(ctx context.Context, path string) error {
	for {
		pids := g.pids(path)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%d processes do not end: %v: %w", len(pids), pids, err)
		}
	}
}

// remove deletes path and all cgroups below it, which must hold no process.
func (g cgroups) remove(ctx context.Context, path string) error {
	for _, h := range g.Hierarchies {
		top := filepath.Join(h.Mount, path)
		for {
			err := removeTree(top)
			if err == nil {
				break
			}
			// A killed process leaves its cgroup a moment after it has gone from cgroup.procs.
			if pause(ctx, 20*time.Millisecond) != nil {
				return fmt.Errorf("remove cgroup: %w", err)
			}
		}
	}
	return nil
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// pause waits for d, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
