package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// A Command is a program of the host, run without a shell.
type Command struct {
	Name string   // looked up in the host's PATH: no slash
	Args []string // without the name
	// Stdout gets the standard output, from one goroutine; nil discards it. If it returns an error or panics, the
	// command is killed.
	Stdout    io.Writer
	Timeout   time.Duration // 0 means DefaultTimeout
	MaxOutput int64         // most bytes that Stdout gets; 0 means no limit. At the first byte more the command is killed.
}

// DefaultTimeout is how long a command may run that sets no Timeout.
const DefaultTimeout = 30 * time.Second

// An Exit tells how a command ended.
type Exit struct {
	Code      int    // its exit code; -1 if it has none: it was killed or did not run
	Signal    string // the signal that ended it, like "SIGKILL"; "" if none did
	Stderr    string // the end of its standard error, at most 4 KiB
	Duration  time.Duration
	Truncated bool // MaxOutput was reached
	TimedOut  bool // Timeout, or the deadline of the context, was reached
}

// Errors of Run, for errors.Is, besides those of the context.
var (
	// ErrNoCommand: the host has no such command.
	ErrNoCommand = errors.New("not found on the host")
	// ErrOutputLimit: the command was killed because it wrote more than MaxOutput.
	ErrOutputLimit = errors.New("output limit reached")
	// ErrAbandoned: the command could not be started, killed or emptied in time and was left to itself. Its Stdout
	// may still be written to, so it must not be used again.
	ErrAbandoned = errors.New("abandoned, it does not end")
)

// A Runner runs commands of the host. It keeps no state between them and may be used by many goroutines.
type Runner struct {
	fs  FS
	err error // of opening the root

	grace   time.Duration // between SIGTERM and SIGKILL
	idle    time.Duration // how long output is waited for after the command has ended
	abandon time.Duration // between the end of the context and giving up on the command
}

// NewRunner returns a Runner for the host whose file tree is below root, as for Open. If root is not "/", commands
// run by chroot into it, which takes the capability SYS_CHROOT. A root that cannot be opened is an error of Run.
//
// Outside Linux commands run on this machine, found by its own PATH, and any other root is an error of Run. A
// command is then killed without its children, and one that holds its output open holds up Run until its time ends.
func NewRunner(root string) *Runner {
	fs, err := Open(root)
	return &Runner{fs, err, 2 * time.Second, time.Second, 4 * time.Second}
}

// Run runs a command to its end. Its standard input is empty, its folder "/", its environment fixed and in the C
// locale, its CPU and I/O priority the lowest.
//
// The error is nil whenever the command ended by itself and Stdout has got all of its output. A non-zero exit code
// is no error, nor is a signal from elsewhere: see Exit. Otherwise the error says why there is no (full) output:
// ErrNoCommand, ErrOutputLimit, context.DeadlineExceeded (also for Timeout), context.Canceled, ErrAbandoned, what
// Stdout returned, or what kept the command from starting.
//
// The command has a process group of its own. To kill it the group gets SIGTERM and after 2 seconds SIGKILL; when
// the command ends by itself, what remains of the group is killed at once. A process that has left the group
// (setsid) cannot be caught and lives on; if it holds the output open, that is waited for one second. Run returns at
// most 4 seconds after the end of ctx or Timeout, even if a process hangs in the kernel or Stdout blocks: then
// with ErrAbandoned and the context's error. A program that hangs while it is being started, for instance because its
// disk does, holds up the start of others: Go starts one process at a time. They end as ErrAbandoned, too.
func (r *Runner) Run(ctx context.Context, c Command) (Exit, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, DefaultTimeout))
	defer cancel()
	start := time.Now()
	exit, err := r.runOrAbandon(ctx, c)
	exit.Duration = time.Since(start)
	exit.Truncated = errors.Is(err, ErrOutputLimit)
	exit.TimedOut = errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil
	if err != nil {
		err = fmt.Errorf("run %s: %w", c.Name, err)
	}
	return exit, err
}

func (r *Runner) runOrAbandon(ctx context.Context, c Command) (Exit, error) {
	type result struct {
		exit Exit
		err  error
	}
	done := make(chan result, 1)
	go func() {
		exit, err := r.run(ctx, c)
		done <- result{exit, err}
	}()
	select {
	case res := <-done:
		return res.exit, res.err
	case <-ctx.Done():
	}
	select {
	case res := <-done:
		return res.exit, res.err
	case <-time.After(r.abandon):
		return Exit{Code: -1}, fmt.Errorf("%w: %w", ErrAbandoned, ctx.Err())
	}
}

func (r *Runner) run(ctx context.Context, c Command) (Exit, error) {
	p, err := r.start(ctx, c)
	if err != nil {
		return Exit{Code: -1}, err
	}
	defer p.closePipes()
	copying, fail := context.WithCancel(ctx)
	defer fail()

	var stderr tail
	var failure error
	var copies sync.WaitGroup
	copies.Go(func() {
		if failure = copyOutput(limitOutput(c), p.stdout); failure != nil {
			fail()
		}
	})
	copies.Go(func() { _ = copyOutput(&stderr, p.stderr) })

	ended := p.await(copying, r.grace)
	p.kill()
	p.hurry(r.idle)
	copies.Wait()

	exit, err := p.reap()
	exit.Stderr = string(stderr)
	switch {
	case failure != nil:
		return exit, failure
	case !ended:
		return exit, fmt.Errorf("killed: %w", ctx.Err())
	}
	return exit, err
}

func (r *Runner) start(ctx context.Context, c Command) (*process, error) {
	if r.err != nil {
		return nil, r.err
	}
	if c.Name == "" || strings.ContainsAny(c.Name, "/\\\x00") {
		return nil, fmt.Errorf("%w: a command is a name, not a path", os.ErrInvalid)
	}
	program, err := r.lookup(c.Name)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	p, err := startProcess(program, c, r.fs.Root())
	if err != nil {
		return nil, fmt.Errorf("start %s below %s: %w", program, r.fs.Root(), cause(err))
	}
	return p, nil
}
