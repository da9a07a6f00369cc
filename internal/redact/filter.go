package redact

import (
	"bytes"
	"hash"
	"io"
)

const (
	window     = 32 << 10 // unexamined bytes gathered before they are examined
	flushSize  = 32 << 10 // examined bytes gathered before they are written
	lookAhead  = 4 << 10  // bytes from an anchor on that a finder may see
	lookBehind = 1 << 10  // examined bytes before an anchor that a finder may see
	bodyAhead  = 256      // bytes from a stop byte on that a body may see
	maxBack    = 128      // most bytes a secret may begin before its anchor
	lineBehind = 20 << 10 // examined bytes kept to find the start of a line that the container runtime cut at 16 KiB
)

// A filter applies the built-in rules. Text moves from in (not examined) to out (examined) and from there to w. Finders
// look ahead into in and back into out: behind them they see what a reader will see, so that redacting again finds the same.
type filter struct {
	r      *Redactor
	w      io.Writer
	in     []byte
	out    []byte // out[:sent] is written and kept as context
	sent   int
	floor  int // where the last pseudonym in out ends; no secret begins before it
	counts map[string]int64

	mac    hash.Hash
	secret *rule // the rule whose secret the stream is inside of, or nil
	body   body
	line   cutLine
}

func newFilter(r *Redactor, w io.Writer, size int) *filter {
	f := &filter{r: r, w: w, in: make([]byte, 0, size+lookAhead), counts: map[string]int64{}}
	if size == window {
		f.out = make([]byte, 0, lineBehind+flushSize+window+lookAhead)
	}
	return f
}

func (f *filter) write(p []byte) error {
	for len(p) > 0 {
		n := copy(f.in[len(f.in):cap(f.in)], p)
		f.in, p = f.in[:len(f.in)+n], p[n:]
		if len(f.in) < cap(f.in) {
			break
		}
		if err := f.examine(false); err != nil {
			return err
		}
	}
	return nil
}

func (f *filter) close() error {
	if err := f.examine(true); err != nil {
		return err
	}
	return f.flush(0, 0)
}

// examine moves text from in to out as far as enough text follows to decide on it; at the end of the stream, all.
func (f *filter) examine(end bool) error {
	pos := 0
	for more := true; more; {
		var n int
		if f.secret != nil {
			n, more = f.inside(f.in[pos:], end)
		} else {
			n, more = f.outside(f.in[pos:], end)
		}
		pos += n
		if err := f.flush(flushSize, maxBack); err != nil {
			return err
		}
	}
	f.in = f.in[:copy(f.in, f.in[pos:])]
	return nil
}

// outside passes on plain text, at most up to the start of a secret. It returns how many bytes it took, and whether
// there may be more to do.
func (f *filter) outside(b []byte, end bool) (n int, more bool) {
	limit := len(b)
	if !end {
		limit -= lookAhead
	}
	for n < limit {
		at, anchors := f.r.index.next(b, n, limit)
		f.out = append(f.out, b[n:at]...)
		n = at
		if anchors == nil {
			break
		}
		p := f.place(b[n:], end)
		if r, h := f.match(p, anchors); r != nil {
			f.skip(b[n : n+max(h.from, 0)])
			f.begin(r, h)
			return n + max(h.from, 0), true
		}
		keep := max(f.r.pseudonymLen(p.after), 1)
		f.out = append(f.out, b[n:n+keep]...)
		n += keep
	}
	return n, false
}

// place is what a finder may see at b[0]. It holds the same bytes however the stream was split.
func (f *filter) place(b []byte, end bool) place {
	p := place{r: f.r, before: f.out[max(len(f.out)-lookBehind, 0):], after: b, end: end}
	if len(b) > lookAhead {
		p.after, p.end = b[:lookAhead], false
	}
	return p
}

// match returns the rule and the place of the secret at p; nil when there is none.
func (f *filter) match(p place, anchors []anchor) (*rule, hit) {
	for _, a := range anchors {
		if !a.at(p.after) {
			continue
		}
		p.lit = len(a.text)
		h, ok := a.rule.find(p)
		if !ok || h.from < 0 && len(f.out)+h.from < f.floor {
			continue
		}
		if v, whole := p.value(h); whole && (len(v) == 0 || p.isPseudonym(v)) {
			continue
		}
		return a.rule, h
	}
	return nil, hit{}
}

// skip passes on the text between an anchor and its secret. There may be secrets in it too: in the user name of a URL, in
// the attributes of an XML element.
func (f *filter) skip(b []byte) {
	for pos := 0; pos < len(b); {
		n := 1 // the anchor is not to be found again
		switch {
		case f.secret != nil:
			n, _ = f.inside(b[pos:], true)
		case pos > 0:
			n, _ = f.outside(b[pos:], true)
		default:
			f.out = append(f.out, b[0])
		}
		pos += n
	}
	if f.secret != nil {
		f.inside(nil, true)
	}
}

// begin starts a secret. When it began before its anchor, that part is taken back.
func (f *filter) begin(r *rule, h hit) {
	f.secret, f.body, f.line = r, h.body, cutLine{}
	if f.mac == nil {
		f.mac = f.r.newMAC()
	}
	f.mac.Reset()
	if h.from < 0 {
		cut := len(f.out) + h.from
		f.mac.Write(f.out[cut:])
		f.out = f.out[:cut]
	}
}

// inside takes the bytes of the current secret and puts the pseudonym in their place when it ends.
func (f *filter) inside(b []byte, end bool) (n int, more bool) {
	n, done := f.body.next(b, end)
	f.mac.Write(b[:n])
	if !done {
		return n, false
	}
	if skip := f.line.goesOn(f.out[max(len(f.out)-lineBehind, 0):], b[n:]); skip > 0 {
		return n + skip, true
	}
	f.out = append(f.out, pseudonym(f.secret.name, f.mac)...)
	f.floor = len(f.out)
	f.counts[f.secret.name]++
	f.secret = nil
	return n, true
}

// flush writes out, but for its last hold bytes, once there are more than size, and drops what is no longer needed as context.
func (f *filter) flush(size, hold int) error {
	if len(f.out)-f.sent <= size {
		return nil
	}
	till := max(len(f.out)-hold, f.sent)
	if _, err := f.w.Write(f.out[f.sent:till]); err != nil {
		return err
	}
	f.sent = till
	drop := min(f.sent, max(len(f.out)-lineBehind, 0))
	f.out = f.out[:copy(f.out, f.out[drop:])]
	f.sent -= drop
	f.floor = max(f.floor-drop, 0)
	return nil
}

// A cutLine follows a secret over the end of a container log line that the runtime cut ("P" for partial).
type cutLine struct {
	known, partial bool // of the line that the secret has come to
}

// goesOn returns how many bytes lie between the two parts of the secret, 0 when it ends. before is the text up to the
// secret, rest what follows it.
func (l *cutLine) goesOn(before, rest []byte) int {
	if len(rest) == 0 || rest[0] != '\n' {
		return 0
	}
	n, partial := criHead(rest[1:])
	if n == 0 {
		return 0
	}
	if !l.known {
		_, l.partial = criHead(before[bytes.LastIndexByte(before, '\n')+1:])
	}
	if !l.partial {
		return 0
	}
	l.known, l.partial = true, partial
	return 1 + n
}
