package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// A progress shows how the collectors get on: one live line each on a terminal, a plain
// line for each that ends elsewhere, nothing when quiet.
type progress struct {
	out     io.Writer
	verbose bool
	mask    func(string) string // for what collectors warn about
	live    *mpb.Progress       // nil: plain lines
	bars    []*mpb.Bar

	mu    sync.Mutex
	state []collect.Status
	since []time.Time // when each was started
}

func newProgress(s *Streams, o *collectOptions, mask func(string) string, collectors []collect.Collector) *progress {
	p := &progress{out: &lockedWriter{w: s.Err}, verbose: o.verbose, mask: mask, state: make([]collect.Status, len(collectors)), since: make([]time.Time, len(collectors))}
	if o.quiet {
		p.out = io.Discard
		return p
	}
	if isTerminal(s.Err) && os.Getenv("TERM") != "dumb" && len(collectors) < height(s.Err) {
		p.live = mpb.New(mpb.WithOutput(s.Err))
		for i, c := range collectors {
			p.state[i] = collect.Status{Collector: c.Name, State: manifest.Pending}
			p.bars = append(p.bars, p.bar(i))
		}
	}
	return p
}

func (p *progress) bar(i int) *mpb.Bar {
	return p.live.New(0, mpb.NopStyle(), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
		p.mu.Lock()
		defer p.mu.Unlock()
		s := p.state[i]
		if s.State == manifest.Running {
			s.Elapsed = time.Since(p.since[i])
		}
		return statusLine(s)
	})))
}

// observe takes the news of one collector.
func (p *progress) observe(s collect.Status) {
	over := s.State != manifest.Running && s.State != manifest.Pending
	if p.live == nil {
		if over || (p.verbose && s.Elapsed == 0) {
			fmt.Fprintln(p.out, statusLine(s))
		}
		return
	}
	p.mu.Lock()
	if p.since[s.Index].IsZero() {
		p.since[s.Index] = time.Now()
	}
	p.state[s.Index] = s
	p.mu.Unlock()
	if over {
		p.bars[s.Index].SetTotal(-1, true)
	}
}

func statusLine(s collect.Status) string {
	line := fmt.Sprintf("%-11s %-9s", s.Collector, s.State)
	if s.State == manifest.Pending || (s.State == manifest.Running && s.Elapsed == 0) {
		return line
	}
	return fmt.Sprintf("%s %5d files %10s %7s", line, s.Files, formatBytes(s.Bytes), formatSeconds(s.Elapsed.Seconds()))
}

// logger logs what collectors warn about when the user asked for it.
func (p *progress) logger() *slog.Logger {
	if !p.verbose {
		return slog.New(slog.DiscardHandler)
	}
	to := p.out
	if p.live != nil {
		to = p.live
	}
	return slog.New(slog.NewTextHandler(&maskedWriter{to, p.mask}, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: dropTime}))
}

func dropTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return a
}

// end leaves the last state on the screen.
func (p *progress) end() {
	if p.live == nil {
		return
	}
	for _, b := range p.bars {
		b.SetTotal(-1, true)
	}
	p.live.Wait()
}

// A lockedWriter lets several goroutines write whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// A maskedWriter masks secrets in each write, one log record.
type maskedWriter struct {
	w    io.Writer
	mask func(string) string
}

func (m *maskedWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(m.w, m.mask(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func height(w io.Writer) int {
	_, rows, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		return 0
	}
	return rows
}
