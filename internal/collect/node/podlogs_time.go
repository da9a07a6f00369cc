package node

import (
	"bytes"
	"io"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

const (
	// podlogsSlack is by how much the times of a log may go back from line to line:
	// standard output and standard error meet unsorted.
	podlogsSlack = 10 * time.Second

	podlogsSmall  = 1 << 20   // files up to here are read from their start
	podlogsMargin = 256 << 10 // how exact, in bytes, the search for a time is, and how much is added
	podlogsProbe  = 32 << 10  // bytes read at one place of the search
)

// podlogsStamp returns the time of a log line as it is written, in RFC 3339: the first
// word in the CRI's format, the last member in Docker's json-file format. Lines
// of another shape have none.
// https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
func podlogsStamp(line []byte) []byte {
	const longest = len("2006-01-02T15:04:05.000000000+00:00")
	if len(line) > 0 && line[0] == '{' {
		return podlogsDockerStamp(line)
	}
	if i := bytes.IndexByte(line[:min(len(line), longest+1)], ' '); i >= 0 && isPodlogsStamp(line[:i]) {
		return line[:i]
	}
	return nil
}

func podlogsDockerStamp(line []byte) []byte {
	line, ok := bytes.CutSuffix(bytes.TrimRight(line, "\r\n"), []byte(`"}`))
	if !ok {
		return nil
	}
	key := []byte(`"time":"`)
	end := line[max(0, len(line)-64):]
	if i := bytes.LastIndex(end, key); i >= 0 && isPodlogsStamp(end[i+len(key):]) {
		return end[i+len(key):]
	}
	return nil
}

const podlogsSeconds = "2006-01-02T15:04:05"

// isPodlogsStamp tells by its shape whether s begins like a time.
func isPodlogsStamp(s []byte) bool {
	if len(s) <= len(podlogsSeconds) {
		return false
	}
	for i, c := range []byte(podlogsSeconds) {
		if digit := c >= '0' && c <= '9'; digit != (s[i] >= '0' && s[i] <= '9') || (!digit && c != s[i]) {
			return false
		}
	}
	return true
}

// podlogsTime returns the time of a log line.
func podlogsTime(line []byte) (t time.Time, ok bool) {
	stamp := podlogsStamp(line)
	if stamp == nil || t.UnmarshalText(stamp) != nil {
		return time.Time{}, false
	}
	return t, true
}

// podlogsSpan returns the part of a log of size bytes in which all lines of the window
// lie. It searches by bisection, taking for granted that times go back by podlogsSlack at
// most; where lines have no times it returns more. buf is for its use.
func podlogsSpan(r io.ReaderAt, size int64, w collect.Window, buf []byte) (from, to int64) {
	from, to = 0, size
	if !w.Since.IsZero() {
		from, _ = podlogsBisect(r, from, to, w.Since.Add(-podlogsSlack), buf)
		from = max(0, from-podlogsMargin)
	}
	if !w.Until.IsZero() {
		_, to = podlogsBisect(r, from, to, w.Until.Add(podlogsSlack), buf)
		to = min(size, to+podlogsMargin)
	}
	return from, to
}

// podlogsBisect narrows lo and hi down around the first line that is not before t.
func podlogsBisect(r io.ReaderAt, lo, hi int64, t time.Time, buf []byte) (int64, int64) {
	for hi-lo > podlogsMargin {
		mid := lo + (hi-lo)/2
		at, ok := podlogsTimeAt(r, mid, buf)
		if !ok {
			break
		}
		if at.Before(t) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, hi
}

// podlogsTimeAt returns the time of the first line that starts after offset and has one.
func podlogsTimeAt(r io.ReaderAt, offset int64, buf []byte) (time.Time, bool) {
	n, _ := r.ReadAt(buf, offset)
	p := buf[:n]
	for first := true; ; first = false {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return time.Time{}, false
		}
		if t, ok := podlogsTime(p[:i]); ok && !first {
			return t, true
		}
		p = p[i+1:]
	}
}

// A podlogsWindow decides line by line what of a log lies in a window. A line without a
// time belongs to the line before.
type podlogsWindow struct {
	window collect.Window
	// Bounds in whole seconds of UTC, to be compared as text; empty: open.
	since, until, sinceSlack, untilSlack string

	keep   bool // the line before was in the window
	inLine bool // its end is still to come
	rest   bool // all that follows is in the window
	done   bool // nothing that follows is in the window
}

// newPodlogsWindow makes a window for a log that is read from its start, or from a place
// before the window.
func newPodlogsWindow(w collect.Window, fromStart bool) *podlogsWindow {
	p := &podlogsWindow{window: w, keep: fromStart}
	if !w.Since.IsZero() {
		p.since = w.Since.UTC().Format(podlogsSeconds)
		p.sinceSlack = w.Since.Add(podlogsSlack).UTC().Format(podlogsSeconds)
	}
	if !w.Until.IsZero() {
		p.until = w.Until.UTC().Format(podlogsSeconds)
		p.untilSlack = w.Until.Add(podlogsSlack).UTC().Format(podlogsSeconds)
	}
	return p
}

// filter calls emit with the runs of lines of p that are in the window, and returns how
// much of p it has dealt with: its complete lines, or everything when all is set. After a
// line that is in the window by more than podlogsSlack lines are no longer looked at.
func (w *podlogsWindow) filter(p []byte, all bool, emit func([]byte)) int {
	run, at := 0, 0 // what is between is wanted and not yet emitted
	for at < len(p) && !w.rest && !w.done {
		n := bytes.IndexByte(p[at:], '\n') + 1
		if n == 0 && !all {
			break
		}
		if n == 0 {
			n = len(p) - at
		}
		line := p[at : at+n]
		if !w.inLine {
			w.decide(line)
		}
		w.inLine = line[n-1] != '\n'
		if !w.keep {
			emit(p[run:at])
			run = at + n
		}
		at += n
	}
	if w.rest {
		at = len(p)
	}
	emit(p[run:at])
	return at
}

// decide sets keep for a line. Comparing the seconds as text decides nearly all lines.
func (w *podlogsWindow) decide(line []byte) {
	stamp := podlogsStamp(line)
	if stamp == nil {
		return
	}
	seconds := stamp[:len(podlogsSeconds)]
	if stamp[len(stamp)-1] != 'Z' || string(seconds) == w.since || string(seconds) == w.until {
		w.decideExactly(stamp)
		return
	}
	early := w.since != "" && string(seconds) < w.since
	late := w.until != "" && string(seconds) > w.until
	w.keep = !early && !late
	w.rest = w.until == "" && string(seconds) > w.sinceSlack
	w.done = late && string(seconds) > w.untilSlack
}

func (w *podlogsWindow) decideExactly(stamp []byte) {
	var t time.Time
	if t.UnmarshalText(stamp) != nil {
		return
	}
	w.keep = w.window.Contains(t)
	w.rest = w.window.Until.IsZero() && t.After(w.window.Since.Add(podlogsSlack))
	w.done = !w.window.Until.IsZero() && t.After(w.window.Until.Add(podlogsSlack))
}
