package host

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin"

func environment() []string { return []string{"PATH=" + hostPath} }

// lookup returns the path, below the root, of the program that name is.
func (r *Runner) lookup(name string) (string, error) {
	for dir := range strings.SplitSeq(hostPath, ":") {
		program := path.Join(dir, name)
		info, err := r.fs.Stat(program)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return program, nil
		}
	}
	return "", ErrNoCommand
}

// confine has no Pdeathsig: it comes when the thread that started the command ends, not the process.
func confine(cmd *exec.Cmd, root string) {
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if root != "/" {
		cmd.SysProcAttr.Chroot = root
	}
}

// lowerPriority makes a process group the last to get CPU and disk. It is best effort.
func lowerPriority(group int) {
	// From linux/ioprio.h, which x/sys does not have.
	const whoGroup, classIdle, classShift = 2, 3, 13
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoGroup, uintptr(group), classIdle<<classShift)
	_ = unix.Setpriority(unix.PRIO_PGRP, group, 19)
}

// watch closes exited when the command has ended, but does not reap it: so the number of its group stays its own
// and kill meets nobody else.
func (p *process) watch() {
	_ = ignoreEINTR(func() error {
		return unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	})
	close(p.exited)
}

// hurry sets how long copyOutput may wait, once the command and its group have ended: only a process that left the
// group can hold the pipes open then, and all that the command has written is in them.
func (p *process) hurry(idle time.Duration) {
	deadline := time.Now().Add(idle)
	_ = p.stdout.SetReadDeadline(deadline)
	_ = p.stderr.SetReadDeadline(deadline)
}

// buffered returns how many bytes can be read of a pipe at once.
func buffered(r *os.File) (n int64) {
	conn, err := r.SyscallConn()
	if err != nil {
		return 0
	}
	_ = conn.Control(func(fd uintptr) {
		if held, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil { // FIONREAD's other name
			n = int64(held)
		}
	})
	return n
}

func (p *process) terminate() { _ = unix.Kill(-p.cmd.Process.Pid, unix.SIGTERM) }
func (p *process) kill()      { _ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) }

func (p *process) wait() (*os.ProcessState, error) { return p.cmd.Process.Wait() }

func signalName(state *os.ProcessState) string {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return ""
	}
	if name := unix.SignalName(status.Signal()); name != "" {
		return name
	}
	return fmt.Sprint("signal ", int(status.Signal()))
}
