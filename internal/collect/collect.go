// Package collect provides the collecting engine: the contract that every collector
// follows, and Run, which runs them under limits and turns every ending (done, skipped,
// failed, panicked, hung, cut) into one Result.
//
// A collector is a value of type Collector. It reads the node only through its Env and
// writes only through its Output; what it returns is data about itself and never ends
// the run. Memory is bounded by what is in flight: nothing here holds a file.
//
// The engine stores nothing itself: it writes through the Output that the caller gives
// it, a bundle.Writer in practice.
package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// Limits of a collector that sets none of its own.
const (
	DefaultTime = 60 * time.Second
	DefaultSize = 100 << 20
)

// A Collector gathers one kind of evidence. Collectors are stateless values and run at
// most once at a time.
type Collector struct {
	Name string        // lower-case word; the folder of its files in the bundle
	Doc  string        // one line: what it collects and from where
	Time time.Duration // longest run; 0 means DefaultTime
	Size int64         // most bytes over all its files; 0 means DefaultSize. What is over is left out and counted in the manifest.

	// Run collects. It returns soon after ctx ends, nil when done, an error made by
	// Skip when there is nothing here, and any other error when it failed; what it wrote
	// before that stays. Files it leaves open are closed by the engine and marked partial.
	Run func(ctx context.Context, env *Env, out Output) error
}

// An Env is all that a collector may touch.
type Env struct {
	Host   host.FS
	Exec   ExecFunc
	Node   string       // the node's name
	Window Window       // for logs and events; snapshots ignore it
	Log    *slog.Logger // Warn and above become notes in the collector's Result
}

// An ExecFunc runs a command on the host. Exit codes, standard error and kills are
// recorded in the collector's Result by the engine; the collector need not.
type ExecFunc func(ctx context.Context, c host.Command) (host.Exit, error)

// An Output takes a collector's files. Create starts a file; names are slash-separated,
// relative to the collector's folder, and made safe and unique by the engine. Files may be
// written in parallel, each by one goroutine, and are closed by the collector.
//
// Writes never fail for a limit: bytes over it are left out and counted.
type Output interface {
	Create(name string) (io.WriteCloser, error)
}

// A Window is a span of time; a zero bound is open.
type Window struct{ Since, Until time.Time }

// Contains reports whether t lies in the window, bounds included.
func (w Window) Contains(t time.Time) bool {
	return (w.Since.IsZero() || !t.Before(w.Since)) && (w.Until.IsZero() || !t.After(w.Until))
}

// Open reports whether the window has no bounds.
func (w Window) Open() bool { return w.Since.IsZero() && w.Until.IsZero() }

// A Result is how one collector ended.
type Result = manifest.Result

// ErrSkip marks the error of a collector that found nothing to collect here.
var ErrSkip = errors.New("skipped")

// Skip makes the error by which a collector says that there is nothing for it on this
// host; the text is the reason that people read.
func Skip(format string, args ...any) error {
	return &skipError{fmt.Sprintf(format, args...)}
}

type skipError struct{ reason string }

func (e *skipError) Error() string        { return e.reason }
func (e *skipError) Is(target error) bool { return target == ErrSkip }

// Describe records in the manifest where the content of w, a file made by an Output,
// comes from. It may be called until w is closed; cut bytes add up, other fields replace.
func Describe(w io.Writer, s manifest.Source) {
	if d, ok := w.(interface{ Describe(manifest.Source) }); ok {
		d.Describe(s)
	}
}

// CreateLog is Create for a stream of lines whose length is not known beforehand: when a
// limit is reached the oldest lines go, and the newest end stays. limit is the most bytes
// of this log; 0 means all that the collector has room for.
func CreateLog(out Output, name string, limit int64) (io.WriteCloser, error) {
	w, err := out.Create(name)
	if k, ok := w.(interface{ KeepEnd(limit int64) }); ok && err == nil {
		k.KeepEnd(limit)
	}
	return w, err
}

// Reserve asks for room for want bytes of the collector's limit and the run's, and returns
// how many it may still write, at most want. It waits while a collector of higher priority
// may still need the room. A collector that knows the sizes of its sources plans with it
// what to leave out at their front.
//
// An error says that the collector's time ended meanwhile.
func Reserve(out Output, want int64) (int64, error) {
	if r, ok := out.(interface{ Reserve(int64) (int64, error) }); ok {
		return r.Reserve(want)
	}
	return want, nil
}
