package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// Most notes and commands that one Result holds; what is over is counted in a last note.
const (
	maxNotes    = 200
	maxCommands = 50
)

// A recorder gathers what a collector should tell in its Result although it does not
// return it: warnings it logs, and host commands that did not end well.
type recorder struct {
	mu       sync.Mutex
	ended    bool
	notes    []string
	lost     int
	commands []manifest.Command
}

// env is e with logging and commands recorded.
func (r *recorder) env(e *Env, collector string) *Env {
	own := *e
	log := e.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	own.Log = slog.New(&noteHandler{Handler: log.Handler(), r: r}).With("collector", collector)
	if e.Exec != nil {
		own.Exec = func(ctx context.Context, c host.Command) (host.Exit, error) {
			exit, err := e.Exec(ctx, c)
			r.command(c, exit, err)
			return exit, err
		}
	}
	return &own
}

func (r *recorder) command(c host.Command, exit host.Exit, err error) {
	if (err == nil && exit.Code == 0 && exit.Stderr == "") || errors.Is(err, host.ErrNoCommand) {
		return
	}
	rec := manifest.Command{
		Line: strings.Join(append([]string{c.Name}, c.Args...), " "), Exit: exit.Code,
		Stderr: strings.ToValidUTF8(exit.Stderr, "\uFFFD"), Seconds: exit.Duration.Seconds(),
	}
	if err != nil {
		rec.Error = oneLine(err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	if len(r.commands) == maxCommands {
		r.lost++
		return
	}
	r.commands = append(r.commands, rec)
}

func (r *recorder) note(text string, limit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	if len(r.notes) == maxNotes {
		r.lost++
		return
	}
	r.notes = append(r.notes, line(text, limit))
}

// fill moves what was recorded into res; what an abandoned collector says later is dropped.
func (r *recorder) fill(res *Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	res.Notes, res.Commands = r.notes, r.commands
	if r.lost > 0 {
		res.Notes = append(res.Notes, fmt.Sprintf("%d more notes or commands are not listed", r.lost))
	}
}

// A noteHandler records warnings before it passes them on.
type noteHandler struct {
	slog.Handler
	r     *recorder
	attrs []slog.Attr
}

func (h *noteHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn || h.Handler.Enabled(ctx, l)
}

func (h *noteHandler) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelWarn {
		h.r.note(noteText(h.attrs, rec), maxReason)
	}
	if !h.Handler.Enabled(ctx, rec.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, rec)
}

func noteText(attrs []slog.Attr, rec slog.Record) string {
	var b strings.Builder
	b.WriteString(rec.Message)
	add := func(a slog.Attr) bool {
		if a.Key != "collector" {
			b.WriteString(" " + a.Key + "=" + a.Value.String())
		}
		return true
	}
	for _, a := range attrs {
		add(a)
	}
	rec.Attrs(add)
	return b.String()
}

func (h *noteHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &noteHandler{h.Handler.WithAttrs(attrs), h.r, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h *noteHandler) WithGroup(name string) slog.Handler {
	return &noteHandler{h.Handler.WithGroup(name), h.r, h.attrs}
}
