package cluster

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed assets/node-mounts.sh
var nodeMounts string

// A bootSpec is all that process 1 of a node is told; it travels as a file.
type bootSpec struct {
	Name, MachineID, BootID string
	LogFolder               string // of the machine: the units' output, one file for each unit
	Mounts                  []string
	Images                  []string
	Units                   []unit
}

// A unit is a process that the node keeps running, as systemd does with Restart=always.
type unit struct {
	Name, Description string
	Args              []string
	Journal           bool   // its output goes to the node's journal too
	Ready             string // file whose appearance lets the next unit start
}

const nodePath = "PATH=/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// unitDir holds NAME.pid for each running unit; NAME.stopped keeps a unit down.
const unitDir = "/run/testbed"

// RunNode is process 1 of a node. It expects to be alone in fresh namespaces, takes its orders from the file at spec, and
// returns only when the node cannot boot. It never forks but by way of spawn: it reaps everything.
func RunNode(spec string) error {
	data, err := os.ReadFile(spec)
	if err != nil {
		return err
	}
	var s bootSpec
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read %s: %w", spec, err)
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	n := &nodeInit{spec: s, waiting: map[int]chan syscall.WaitStatus{}}
	go n.reap()
	logs, err := n.openLogs()
	if err != nil {
		return err
	}
	if err := n.run(s.Mounts, "/bin/bash", "-c", nodeMounts); err != nil {
		return fmt.Errorf("mount the node's file systems: %w", err)
	}
	n.journal = startJournal(n, s)
	for i, u := range s.Units {
		go n.keep(u, logs[i])
		if err := awaitFile(u.Ready); err != nil {
			return fmt.Errorf("unit %s: %w", u.Name, err)
		}
		if u.Name == "containerd" {
			if err := n.importImages(); err != nil {
				return err
			}
		}
	}
	select {}
}

type nodeInit struct {
	spec    bootSpec
	journal *journal

	mu      sync.Mutex // held while a child is born, so that reap cannot miss it
	waiting map[int]chan syscall.WaitStatus
}

func (n *nodeInit) openLogs() ([]*os.File, error) {
	var logs []*os.File
	for _, u := range n.spec.Units {
		f, err := os.OpenFile(filepath.Join(n.spec.LogFolder, u.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		logs = append(logs, f)
	}
	return logs, nil
}

// reap waits for every child of process 1, also for orphans such as containerd's shims.
func (n *nodeInit) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil {
			time.Sleep(20 * time.Millisecond) // no child at the moment
			continue
		}
		n.mu.Lock()
		if done := n.waiting[pid]; done != nil {
			done <- status
			delete(n.waiting, pid)
		}
		n.mu.Unlock()
	}
}

// spawn starts a process; its end arrives on the channel.
func (n *nodeInit) spawn(stdin, output uintptr, env []string, args ...string) (int, <-chan syscall.WaitStatus, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{
		Dir: "/", Env: append([]string{nodePath}, env...), Files: []uintptr{stdin, output, output}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	done := make(chan syscall.WaitStatus, 1)
	n.waiting[pid] = done
	return pid, done, nil
}

// run runs a command to its end; its output goes to the node's own log.
func (n *nodeInit) run(env []string, args ...string) error {
	_, done, err := n.spawn(0, 2, env, args...)
	if err != nil {
		return err
	}
	if status := <-done; status != 0 {
		return fmt.Errorf("%s: %s", args[0], describe(status))
	}
	return nil
}

// importImages imports what the node's containerd has not yet from an earlier boot.
func (n *nodeInit) importImages() error {
	mark := "/var/lib/containerd/testbed-images"
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	for _, image := range n.spec.Images {
		if err := n.run(nil, "/usr/bin/ctr", "--namespace", "k8s.io", "images", "import", image); err != nil {
			return fmt.Errorf("import %s: %w", image, err)
		}
	}
	return os.WriteFile(mark, nil, 0o644)
}

// keep runs a unit for ever, a second after each end. Its output passes through one pipe to log and journal.
func (n *nodeInit) keep(u unit, log io.Writer) {
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Fprintf(os.Stderr, "unit %s: %v\n", u.Name, err)
		return
	}
	out := &unitOutput{unit: u, log: log, journal: n.journal}
	go out.copy(r)
	stopped := filepath.Join(unitDir, u.Name+".stopped")
	for {
		for exists(stopped) {
			time.Sleep(100 * time.Millisecond)
		}
		pid, done, err := n.spawn(0, w.Fd(), nil, u.Args...)
		if err != nil {
			out.manager(3, err.Error())
			time.Sleep(time.Second)
			continue
		}
		out.pid.Store(int64(pid))
		out.manager(6, fmt.Sprintf("Started %s.service - %s.", u.Name, u.Description))
		_ = os.WriteFile(filepath.Join(unitDir, u.Name+".pid"), []byte(strconv.Itoa(pid)+"\n"), 0o644)
		status := <-done
		_ = os.Remove(filepath.Join(unitDir, u.Name+".pid"))
		out.manager(5, fmt.Sprintf("%s.service: Main process exited, %s", u.Name, describe(status)))
		time.Sleep(time.Second)
		if !exists(stopped) {
			out.manager(6, fmt.Sprintf("%s.service: Scheduled restart job.", u.Name))
		}
	}
}

// describe tells the end of a process in systemd's words.
func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("code=killed, status=%d/%s", s.Signal(), strings.TrimPrefix(unix.SignalName(s.Signal()), "SIG"))
	}
	return fmt.Sprintf("code=exited, status=%d", s.ExitStatus())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func awaitFile(path string) error {
	if path == "" {
		return nil
	}
	for range 600 {
		if exists(path) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s does not appear", path)
}
