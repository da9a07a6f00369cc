package cli

import (
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
)

// Exit codes, the same for every command.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitIncomplete = 3
	exitFindings   = 4
)

// exitStatus ends the help text of every command.
const exitStatus = `

EXIT STATUS
  0  done
  1  failed: there is no result
  2  wrong usage
  3  done, but incomplete: what is missing is named
  4  a finding is as severe as analyze --fail-on asks`

// An exitError ends a command with a code. A nil err says that the message is out already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exitWith(code int, err error) error { return &exitError{code: code, err: err} }

func usageError(format string, args ...any) error {
	return exitWith(exitUsage, fmt.Errorf(format, args...))
}

// quietPipe makes a command whose reader went away, as in `periscope cat ... | head`, end
// as done: writes fail instead of the signal that would kill the process.
func quietPipe(run func() error) error {
	signal.Ignore(syscall.SIGPIPE)
	err := run()
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
