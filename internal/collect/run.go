package collect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

// Options are the limits of a run.
type Options struct {
	Collectors []Collector // in order of priority
	Parallel   int         // most that run at once; 0 means DefaultParallel
	MaxSize    int64       // most bytes of all collectors together, before compression; 0 means no limit
	Grace      time.Duration

	// Observe, when set, is told of every change of state, and of progress several times
	// a second. It is called from several goroutines and must be quick.
	Observe func(Status)
}

// DefaultParallel is how many collectors run at once. Most of them wait for the kernel or
// for a sampling interval, so it is more than the cores of a small node.
const DefaultParallel = 4

// DefaultGrace is how long a collector may take to return after its time is over, before
// it is abandoned.
const DefaultGrace = 3 * time.Second

// A Status is the progress of one collector.
type Status struct {
	Index     int // in Options.Collectors
	Collector string
	State     manifest.State
	Files     int
	Bytes     int64
	Elapsed   time.Duration
	Reason    string
}

// ErrTimeLimit is the cause of a context that ended because the run's time was over; a
// caller that sets a deadline on Run's context uses it as the cause. Any other cause
// counts as the user's wish.
var ErrTimeLimit = errors.New("the time limit of the run was reached")

var errOwnTime = errors.New("own time limit")

// Run runs the collectors, Options.Parallel at a time, started in order, and returns one
// Result for each, in the same order. An error, a panic or a hang of one never touches
// another. When ctx ends, running collectors are cancelled and, after Options.Grace,
// abandoned: their files are closed with what they hold, and later writes are refused.
// Nothing writes to out after Run has returned.
func Run(ctx context.Context, env *Env, out Output, opts Options) []Result {
	r := newRun(env, out, opts)
	slots := make(chan struct{}, max(1, r.opts.Parallel))
	var wg sync.WaitGroup
	for i := range opts.Collectors {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			r.notStarted(ctx, i)
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			r.one(ctx, i)
		})
	}
	wg.Wait()
	return r.results
}

type run struct {
	env     *Env
	out     Output
	opts    Options
	budget  *budget
	results []Result
}

func newRun(env *Env, out Output, opts Options) *run {
	if opts.Parallel == 0 {
		opts.Parallel = DefaultParallel
	}
	if opts.Grace == 0 {
		opts.Grace = DefaultGrace
	}
	limit := opts.MaxSize
	if limit == 0 {
		limit = math.MaxInt64
	}
	sizes := make([]int64, len(opts.Collectors))
	for i, c := range opts.Collectors {
		sizes[i] = orDefault(c.Size, DefaultSize)
	}
	return &run{env: env, out: out, opts: opts, budget: newBudget(limit, sizes), results: make([]Result, len(sizes))}
}

func orDefault[T int64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

func (r *run) notStarted(ctx context.Context, i int) {
	r.budget.finish(i)
	state, reason := ended(ctx)
	r.finish(i, Result{Collector: r.opts.Collectors[i].Name, State: state, Reason: "not started: " + reason}, 0)
}

// ended translates why the run's context ended.
func ended(ctx context.Context) (manifest.State, string) {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrTimeLimit) || errors.Is(cause, context.DeadlineExceeded) {
		return manifest.TimedOut, cause.Error()
	}
	return manifest.Cancelled, cause.Error()
}

// one runs collector i to its Result.
func (r *run) one(ctx context.Context, i int) {
	c := r.opts.Collectors[i]
	start := time.Now()
	limit := orDefault(c.Time, DefaultTime)
	own := newClock(ctx, limit)
	defer own.stop()

	rec := &recorder{}
	out := r.output(own, i, start)
	r.observe(Status{Index: i, Collector: c.Name, State: manifest.Running})
	err, abandoned := r.call(own, c, rec.env(r.env, c.Name), out)
	out.seal()

	res := Result{Collector: c.Name, Started: start.UTC(), Seconds: time.Since(start).Seconds()}
	res.State, res.Reason = judge(own, err, limit)
	if abandoned {
		res.Reason += fmt.Sprintf("; it did not stop within %v and was abandoned", r.opts.Grace)
	}
	if p := (*panicError)(nil); errors.As(err, &p) {
		rec.note(p.frames(), maxStack)
	}
	rec.fill(&res)
	out.fill(&res)
	r.finish(i, res, time.Since(start))
}

func (r *run) output(c *clock, i int, start time.Time) *output {
	name := r.opts.Collectors[i].Name
	var mu sync.Mutex
	var last time.Time
	return &output{
		clock: c, index: i, folder: name, to: r.out, budget: r.budget, open: map[*file]bool{}, names: map[string]bool{},
		report: func(files int, bytes int64) {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now(); now.Sub(last) >= 100*time.Millisecond {
				last = now
				r.observe(Status{Index: i, Collector: name, State: manifest.Running, Files: files, Bytes: bytes, Elapsed: now.Sub(start)})
			}
		},
	}
}

// call runs c in a goroutine of its own, so that one that never returns can be left.
func (r *run) call(ctx context.Context, c Collector, env *Env, out Output) (err error, abandoned bool) {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- &panicError{p, string(debug.Stack())}
			}
		}()
		done <- c.Run(ctx, env, out)
	}()
	select {
	case err := <-done:
		return err, false
	case <-ctx.Done():
	}
	t := time.NewTimer(r.opts.Grace)
	defer t.Stop()
	select {
	case err := <-done:
		return err, false
	case <-t.C:
		return context.Cause(ctx), true
	}
}

type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// frames are those next to the panic.
func (e *panicError) frames() string {
	_, after, ok := strings.Cut(e.stack, "\npanic(")
	if !ok {
		return e.stack
	}
	return "panic(" + after
}

// judge decides the state. A collector that returned nil is done, even when its time ran
// out while it did.
func judge(ctx context.Context, err error, limit time.Duration) (manifest.State, string) {
	switch {
	case err == nil:
		return manifest.OK, ""
	case errors.Is(err, ErrSkip):
		return manifest.Skipped, oneLine(err.Error())
	case ctx.Err() == nil:
		return manifest.Failed, oneLine(err.Error())
	case errors.Is(context.Cause(ctx), errOwnTime):
		return manifest.TimedOut, fmt.Sprintf("its time limit of %v was reached", limit)
	}
	return ended(ctx)
}

const (
	maxReason = 1000
	maxStack  = 4000
)

func oneLine(s string) string { return line(s, maxReason) }

// line is s on one line, cut to limit bytes.
func line(s string, limit int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// fill completes a Result by what was written.
func (o *output) fill(res *Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	res.Files, res.Bytes, res.Cut, res.SizeHit = o.files, o.bytes, o.cut, o.sizeHit && o.cut > 0
	if err := errors.Join(o.errs...); err != nil && (res.State.Whole() || res.Reason == "") {
		res.State, res.Reason = manifest.Failed, oneLine(err.Error())
	}
	if res.State == manifest.OK && o.cut > 0 {
		res.State, res.Reason = manifest.Cut, "its size limit was reached"
		if res.SizeHit {
			res.Reason = "the size limit of the run was reached"
		}
	}
}

func (r *run) finish(i int, res Result, elapsed time.Duration) {
	r.results[i] = res
	r.observe(Status{Index: i, Collector: res.Collector, State: res.State, Files: res.Files, Bytes: res.Bytes, Elapsed: elapsed, Reason: res.Reason})
}

func (r *run) observe(s Status) {
	if r.opts.Observe != nil {
		r.opts.Observe(s)
	}
}
