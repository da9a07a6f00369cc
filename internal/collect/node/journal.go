package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// journalUnits are the services whose journals are collected, the most important first.
var journalUnits = []string{
	"kubelet", "containerd", "docker", "localdns", "aks-localdns-hosts-setup", "node-problem-detector", "walinuxagent",
}

const (
	journalSize       = 256 << 20
	journalTime       = 3 * time.Minute
	journalLeast      = 10 * time.Second // that one call of journalctl may take
	journalNewest     = "5000"           // lines
	journalNewestTime = 20 * time.Second
)

func journalCollector() collect.Collector {
	return collect.Collector{
		Name: "journal",
		Doc:  "journals of kubelet, container runtime, LocalDNS, node problem detector and VM agent, by the host's journalctl",
		Time: journalTime,
		Size: journalSize,
		Run:  collectJournal,
	}
}

// A journalUnit is what journal.json says of one unit.
type journalUnit struct {
	Unit  string    `json:"unit"`
	State string    `json:"state"`
	Lines int64     `json:"lines"` // that journalctl printed; a limit may have left out the first of them
	Bytes int64     `json:"bytes"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// States of a journalUnit.
const (
	journalCollected = "collected"
	journalEmpty     = "no entries"
	journalFailed    = "failed"     // the manifest has journalctl's exit code and standard error
	journalCutShort  = "incomplete" // journalctl was killed, for taking too long in most cases
)

// collectJournal reads one unit after the other. Each may have half of the room and time
// that those before it left, so that a noisy unit does not push out the others.
func collectJournal(ctx context.Context, env *collect.Env, out collect.Output) error {
	if files, err := journalFiles(env.Host); err == nil && files == 0 {
		return collect.Skip("no journal files in /var/log/journal or /run/log/journal")
	}
	j := journal{env, out}
	units := make([]journalUnit, 0, len(journalUnits))
	room, failed := int64(journalSize), 0
	var last error
	for _, name := range journalUnits {
		if err := context.Cause(ctx); err != nil {
			return errors.Join(err, writeJournalIndex(out, units))
		}
		u, err := j.unit(ctx, name, room/2)
		if errors.Is(err, host.ErrNoCommand) && len(units) == 0 {
			return collect.Skip("journalctl is not installed on this host")
		}
		if u.State == journalFailed {
			failed, last = failed+1, err
		}
		room -= min(u.Bytes, room/2)
		units = append(units, u)
	}
	_, _, _ = j.print(ctx, "boots.txt", 0, 30*time.Second, "--no-pager", "--utc", "--list-boots")
	if err := writeJournalIndex(out, units); err != nil {
		return err
	}
	if failed == len(units) {
		return fmt.Errorf("journalctl failed for every unit: %w", last)
	}
	return nil
}

func writeJournalIndex(out collect.Output, units []journalUnit) error {
	return writeJSON(out, "journal.json", struct {
		Units []journalUnit `json:"units"`
	}{units})
}

// journalFiles counts the files that journalctl would read.
func journalFiles(fs host.FS) (n int, err error) {
	for _, pattern := range []string{"/var/log/journal/*/*.journal", "/run/log/journal/*/*.journal"} {
		files, e := fs.Glob(pattern)
		n, err = n+len(files), errors.Join(err, e)
	}
	return n, err
}

type journal struct {
	env *collect.Env
	out collect.Output
}

// unit copies the entries of one unit into a file of its name. If that takes too long, the
// newest entries, which are missing then, go into a second file.
func (j journal) unit(ctx context.Context, name string, room int64) (journalUnit, error) {
	args := []string{"--no-pager", "-o", "short-iso-precise", "--utc", "-u", name}
	w, exit, err := j.print(ctx, name, room, journalShare(ctx), append(args, journalBounds(j.env.Window)...)...)
	u := journalUnit{Unit: name, State: journalCollected, Lines: w.lines, Bytes: w.bytes}
	u.First, u.Last = parseJournalTime(w.first), parseJournalTime(w.last)
	switch {
	case err != nil && u.Lines > 0:
		u.State = journalCutShort
	case err != nil:
		u.State = journalFailed
	case exit.Code != 0 && u.Lines == 0:
		u.State, err = journalFailed, fmt.Errorf("exit code %d: %s", exit.Code, exit.Stderr)
	case u.Lines == 0:
		u.State = journalEmpty
	}
	if exit.TimedOut && ctx.Err() == nil && j.env.Window.Until.IsZero() {
		j.env.Log.Warn("reading the journal took too long, the newest entries are in a file of their own", "unit", name, "lines", journalNewest)
		_, _, _ = j.print(ctx, name+".newest", room, journalNewestTime, append(args, "-n", journalNewest)...)
	}
	return u, err
}

// journalShare is half of the time that is left.
func journalShare(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return journalTime / 2
	}
	return max(journalLeast, time.Until(deadline)/2)
}

// journalBounds are journalctl's arguments for a window, exact to the microsecond, as the
// journal is.
func journalBounds(w collect.Window) (args []string) {
	at := func(t time.Time) string { return fmt.Sprintf("@%d.%06d", t.Unix(), t.Nanosecond()/1000) }
	if !w.Since.IsZero() {
		args = append(args, "--since="+at(w.Since))
	}
	if !w.Until.IsZero() {
		args = append(args, "--until="+at(w.Until))
	}
	return args
}

// print runs journalctl with its output into a file, of which the newest room bytes stay;
// 0 means all for which the collector has room. Without output there is no file. Errors are
// in the collector's Result already.
func (j journal) print(ctx context.Context, file string, room int64, limit time.Duration, args ...string) (*journalWriter, host.Exit, error) {
	c := host.Command{Name: "journalctl", Args: args, Timeout: limit}
	w := &journalWriter{create: func() (io.WriteCloser, error) {
		w, err := collect.CreateLog(j.out, file, room)
		if err == nil {
			collect.Describe(w, manifest.Source{Path: journalLine(c)})
		}
		return w, err
	}}
	c.Stdout = w
	exit, err := j.env.Exec(ctx, c)
	return w, exit, errors.Join(err, w.Close())
}

func journalLine(c host.Command) string {
	line := c.Name
	for _, a := range c.Args {
		line += " " + a
	}
	return line
}
