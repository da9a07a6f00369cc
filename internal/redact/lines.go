package redact

import (
	"bytes"
	"cmp"
	"hash"
	"slices"
)

const (
	lineBuffer  = 64 << 10 // lines gathered before rules are applied to them
	lineWindow  = 32 << 10 // longest text that an expression sees
	lineOverlap = 4 << 10  // text that two windows of one line share
)

// lines applies the user's rules to lines, and passes them on to the filter.
type lines struct {
	r   *Redactor
	to  *filter
	buf []byte
	mac hash.Hash

	secret *Rule // whose secret came to the end of a window and goes on, or nil
}

func newLines(r *Redactor, to *filter, size int) *lines {
	return &lines{r: r, to: to, buf: make([]byte, 0, size), mac: r.newMAC()}
}

func (l *lines) write(p []byte) error {
	for len(p) > 0 {
		n := copy(l.buf[len(l.buf):cap(l.buf)], p)
		l.buf, p = l.buf[:len(l.buf)+n], p[n:]
		if len(l.buf) < cap(l.buf) {
			break
		}
		if err := l.examine(false); err != nil {
			return err
		}
	}
	return nil
}

func (l *lines) close() error {
	if err := l.examine(true); err != nil {
		return err
	}
	if err := l.endSecret(); err != nil {
		return err
	}
	return l.to.close()
}

// examine passes on whole lines, and windows of those that are too long; at the end of the stream, all.
func (l *lines) examine(end bool) error {
	pos := l.plain()
	err := l.to.write(l.buf[:pos])
	for n := 1; n > 0 && pos < len(l.buf) && err == nil; pos += n {
		n, err = l.step(l.buf[pos:], end)
	}
	l.buf = l.buf[:copy(l.buf, l.buf[pos:])]
	return err
}

// plain returns the length of the lines at the start of buf when no rule has its literal in them.
func (l *lines) plain() int {
	b := l.buf[:bytes.LastIndexByte(l.buf, '\n')+1]
	if l.secret != nil {
		return 0
	}
	for i := range l.r.user {
		if l.r.user[i].applies(b) {
			return 0
		}
	}
	return len(b)
}

func (u *Rule) applies(b []byte) bool {
	return u.Literal == "" || bytes.Contains(b, []byte(u.Literal))
}

// step passes on the start of b and returns its length, 0 when more is needed.
func (l *lines) step(b []byte, end bool) (int, error) {
	if l.secret != nil {
		if n, err := l.goOn(b); n > 0 || err != nil {
			return n, err
		}
	}
	nl := bytes.IndexByte(b[:min(len(b), lineWindow+1)], '\n')
	switch {
	case nl >= 0:
		_, err := l.apply(b[:nl], true)
		if err == nil {
			err = l.to.write(b[nl : nl+1])
		}
		return nl + 1, err
	case len(b) > lineWindow:
		return l.apply(b[:lineWindow], false)
	case end:
		return l.apply(b, true)
	}
	return 0, nil
}

// A span is a secret in a text, and where the match begins that it was found by.
type span struct {
	match, start, end int
	rule              *Rule
}

// apply masks the secrets in text, a line or, when whole is false, a window of one. It returns how much of it is done.
func (l *lines) apply(text []byte, whole bool) (int, error) {
	found := l.find(text)
	till := len(text)
	if !whole {
		till = reach(found, till-lineOverlap)
	}
	pos := 0
	for _, s := range found {
		if s.match >= till {
			continue
		}
		if err := l.to.write(text[pos:s.start]); err != nil {
			return pos, err
		}
		pos = s.end
		l.secret = s.rule
		l.mac.Reset()
		l.mac.Write(text[s.start:s.end])
		if s.end == len(text) && !whole {
			return pos, nil
		}
		if err := l.endSecret(); err != nil {
			return pos, err
		}
	}
	return till, l.to.write(text[pos:till])
}

// reach returns the end of the secrets whose match begins before till, and of those that begin before that.
func reach(found []span, till int) int {
	byMatch := slices.SortedFunc(slices.Values(found), func(a, b span) int { return cmp.Compare(a.match, b.match) })
	for _, s := range byMatch {
		if s.match < till {
			till = max(till, s.end)
		}
	}
	return till
}

// find returns the secrets in text in their order; those that overlap are joined.
func (l *lines) find(text []byte) []span {
	var all []span
	for i := range l.r.user {
		u := &l.r.user[i]
		if !u.applies(text) {
			continue
		}
		g := 2 * u.group()
		for _, m := range u.Regexp.FindAllSubmatchIndex(text, -1) {
			if m[g] < m[g+1] && !l.r.inPseudonym(text, m[g], m[g+1]) {
				all = append(all, span{m[0], m[g], m[g+1], u})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	joined := all[:0]
	for _, s := range all {
		if n := len(joined); n > 0 && s.start < joined[n-1].end {
			joined[n-1].end = max(joined[n-1].end, s.end)
			joined[n-1].match = min(joined[n-1].match, s.match)
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// inPseudonym reports whether text[start:end] lies within a pseudonym.
func (r *Redactor) inPseudonym(text []byte, start, end int) bool {
	from := max(end-len(marker)-maxName-1-digits, 0)
	for i := from; i <= start; i++ {
		if text[i] == marker[0] && i+r.pseudonymLen(text[i:]) >= end {
			return true
		}
	}
	return false
}

// goOn takes the rest of a secret: all up to a blank or a quote.
func (l *lines) goOn(b []byte) (int, error) {
	n := tokenEnd.not().run(b, len(b))
	l.mac.Write(b[:n])
	if n == len(b) {
		return n, nil
	}
	return n, l.endSecret()
}

var tokenEnd = space.with("\"'`")

func (l *lines) endSecret() error {
	if l.secret == nil {
		return nil
	}
	name := l.secret.Name
	l.secret = nil
	l.to.counts[name]++
	return l.to.write([]byte(pseudonym(name, l.mac)))
}
