//go:build !linux

package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

func environment() []string { return []string{"PATH=" + os.Getenv("PATH")} }

func (r *Runner) lookup(name string) (string, error) {
	if root := r.fs.Root(); root != filepath.VolumeName(root)+string(filepath.Separator) {
		return "", fmt.Errorf("commands below %s: %w", root, errors.ErrUnsupported)
	}
	program, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		err = ErrNoCommand
	}
	return program, err
}

func confine(cmd *exec.Cmd, root string) { cmd.Dir = root }

func lowerPriority(int) {}

func (p *process) watch() {
	p.cmd.ProcessState, _ = p.cmd.Process.Wait()
	close(p.exited)
}

// hurry sets no deadline: pipes take none on Windows.
func (p *process) hurry(time.Duration) {}

func buffered(*os.File) int64 { return 0 }

func (p *process) terminate() { p.kill() }
func (p *process) kill()      { _ = p.cmd.Process.Kill() }

func (p *process) wait() (*os.ProcessState, error) {
	if p.cmd.ProcessState == nil {
		return nil, os.ErrProcessDone
	}
	return p.cmd.ProcessState, nil
}

func signalName(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal().String()
	}
	return ""
}
