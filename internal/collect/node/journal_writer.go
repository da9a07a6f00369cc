package node

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"
)

// A journalWriter passes journalctl's output on to a file that it creates with the first
// line that is an entry, and notes how many lines there are and of what time.
type journalWriter struct {
	create func() (io.WriteCloser, error)

	mu          sync.Mutex // a command that was given up may go on to write
	closed      bool
	w           io.WriteCloser
	held        []byte // what came before there was a file
	head        []byte // start of the current line
	lines       int64
	bytes       int64
	first, last []byte // starts of the first and last line with a time
}

const (
	journalHeld = 256 // bytes: longer than any remark
	journalHead = len("2006-01-02T15:04:05.000000+00:00 ")
)

var errJournalClosed = errors.New("closed")

// Write implements io.Writer.
func (w *journalWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, errJournalClosed
	}
	n := len(p)
	if w.w == nil {
		w.held = dropJournalRemarks(append(w.held, p...))
		if len(w.held) < journalHeld && bytes.IndexByte(w.held, '\n') < 0 {
			return n, nil
		}
		p, w.held = w.held, nil
	}
	return n, w.pass(p)
}

func (w *journalWriter) pass(p []byte) (err error) {
	if w.w == nil {
		if w.w, err = w.create(); err != nil {
			w.w = nil
			return err
		}
	}
	w.count(p)
	_, err = w.w.Write(p)
	return err
}

// dropJournalRemarks drops the complete lines at the start of p by which journalctl speaks
// of its search rather than prints an entry. Separators of boots are no such lines.
func dropJournalRemarks(p []byte) []byte {
	for {
		line, rest, ok := bytes.Cut(p, []byte("\n"))
		if !ok || !isJournalRemark(line) {
			return p
		}
		p = rest
	}
}

func isJournalRemark(line []byte) bool {
	if len(line) >= journalHeld {
		return false
	}
	for _, start := range []string{"-- No entries", "-- Logs begin at ", "-- Journal begins at "} {
		if bytes.HasPrefix(line, []byte(start)) {
			return true
		}
	}
	return false
}

// count looks at the start of every line, which may come in pieces.
func (w *journalWriter) count(p []byte) {
	w.bytes += int64(len(p))
	for len(p) > 0 {
		line, rest, complete := bytes.Cut(p, []byte("\n"))
		w.head = append(w.head, line[:min(len(line), journalHead-len(w.head))]...)
		if complete {
			w.endLine()
		}
		p = rest
	}
}

func (w *journalWriter) endLine() {
	w.lines++
	if len(w.head) > 0 && w.head[0] >= '0' && w.head[0] <= '9' {
		if w.first == nil {
			w.first = bytes.Clone(w.head)
		}
		w.last = append(w.last[:0], w.head...)
	}
	w.head = w.head[:0]
}

// Close ends the file, if there is one. Later writes are errors.
func (w *journalWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	var err error
	if len(w.held) > 0 && !isJournalRemark(w.held) {
		err = w.pass(w.held)
	}
	if len(w.head) > 0 {
		w.endLine()
	}
	if w.w != nil {
		err = errors.Join(err, w.w.Close())
	}
	return err
}

// parseJournalTime reads the time at the start of a line that journalctl printed by
// short-iso-precise; it is zero if there is none. Before version 255 its zone had no colon.
func parseJournalTime(line []byte) time.Time {
	word, _, _ := bytes.Cut(line, []byte(" "))
	for _, layout := range []string{"2006-01-02T15:04:05.000000-0700", time.RFC3339} {
		if t, err := time.Parse(layout, string(word)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
