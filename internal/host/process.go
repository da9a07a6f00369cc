package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"time"
)

// maxStderr is how much of the end of a standard error is kept.
const maxStderr = 4 << 10

// A process is a started command. Its methods are for one goroutine.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *os.File      // read ends of its output
	exited         chan struct{} // closed when the command has ended
}

func startProcess(program string, c Command, root string) (*process, error) {
	p := &process{
		cmd: &exec.Cmd{
			Path: program,
			Args: append([]string{c.Name}, c.Args...),
			Env: append(environment(),
				"LC_ALL=C", "TZ=UTC", "HOME=/", "TERM=dumb", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0", "SYSTEMD_IGNORE_CHROOT=1"),
		},
		exited: make(chan struct{}),
	}
	confine(p.cmd, root)
	stdout, err := p.pipe(&p.stdout, &p.cmd.Stdout)
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := p.pipe(&p.stderr, &p.cmd.Stderr)
	if err != nil {
		p.closePipes()
		return nil, err
	}
	defer stderr.Close()
	if err := p.cmd.Start(); err != nil {
		p.closePipes()
		return nil, err
	}
	lowerPriority(p.cmd.Process.Pid)
	go p.watch()
	return p, nil
}

// pipe makes a pipe of our own: those of exec.Cmd would make its Wait depend on who else holds them.
func (p *process) pipe(read **os.File, output *io.Writer) (write *os.File, err error) {
	*read, write, err = os.Pipe()
	*output = write
	return write, err
}

func (p *process) closePipes() {
	p.stdout.Close()
	p.stderr.Close()
}

// await waits for the end of the command, or of ctx and then kills it. It reports whether it ended by itself.
func (p *process) await(ctx context.Context, grace time.Duration) bool {
	select {
	case <-p.exited:
		return true
	case <-ctx.Done():
	}
	p.terminate()
	select {
	case <-p.exited:
	case <-time.After(grace):
		p.kill()
		<-p.exited
	}
	return false
}

// copyOutput copies what r yields to w until its end or, once its read deadline has passed, what it holds then. It
// returns the first error of w.
func copyOutput(w io.Writer, r *os.File) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("write output: panic: %v", v)
		}
	}()
	buf := make([]byte, 32<<10)
	for held := int64(math.MaxInt64); held > 0; {
		n, err := r.Read(buf[:min(held, int64(len(buf)))])
		held -= int64(n)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			held = buffered(r)
			_ = r.SetReadDeadline(time.Time{})
		default:
			return nil
		}
	}
	return nil
}

// limitOutput returns what gets the command's standard output: Stdout up to MaxOutput, then ErrOutputLimit.
func limitOutput(c Command) io.Writer {
	w := &limitWriter{io.Discard, math.MaxInt64}
	if c.Stdout != nil {
		w.Writer = c.Stdout
	}
	if c.MaxOutput > 0 {
		w.left = c.MaxOutput
	}
	return w
}

type limitWriter struct {
	io.Writer
	left int64
}

func (w *limitWriter) Write(p []byte) (int, error) {
	fit := int(min(int64(len(p)), w.left))
	n, err := w.Writer.Write(p[:fit])
	w.left -= int64(n)
	switch {
	case err != nil:
		return n, err
	case n < fit:
		return n, io.ErrShortWrite
	case fit < len(p):
		return n, ErrOutputLimit
	}
	return n, nil
}

// A tail keeps the last maxStderr bytes written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	kept := append(*t, p[max(0, len(p)-maxStderr):]...)
	*t = append((*t)[:0], kept[max(0, len(kept)-maxStderr):]...)
	return len(p), nil
}

// reap frees the process and tells how it ended.
func (p *process) reap() (Exit, error) {
	state, err := p.wait()
	if err != nil {
		return Exit{Code: -1}, fmt.Errorf("its exit code is lost: %w", err)
	}
	return Exit{Code: state.ExitCode(), Signal: signalName(state)}, nil
}
