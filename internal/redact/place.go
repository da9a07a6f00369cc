package redact

import (
	"bytes"
	"math/bits"
)

// A place is the text around an anchor that a finder may look at. The text before it has been redacted.
type place struct {
	r      *Redactor
	before []byte // ends where the anchor begins
	after  []byte // begins with the anchor
	lit    int    // length of the anchor
	end    bool   // after ends where the stream ends
}

// A hit says that a secret begins at after[from], or, when from is negative, so many bytes before the anchor. The text between
// the anchor and the secret stays, but for secrets in it.
type hit struct {
	from int
	body body
}

// A finder decides whether a secret lies at an anchor.
type finder func(place) (hit, bool)

// value returns as much of the secret as after holds, and whether that is all of it.
func (p place) value(h hit) (v []byte, whole bool) {
	if h.from >= 0 {
		n, done := h.body.next(p.after[h.from:], p.end)
		return p.after[h.from : h.from+n], done
	}
	n, done := h.body.next(p.after, p.end)
	return append(bytes.Clone(p.before[len(p.before)+h.from:]), p.after[:n]...), done
}

// isPseudonym reports whether v is a pseudonym and nothing else.
func (p place) isPseudonym(v []byte) bool { return len(v) > 0 && p.r.pseudonymLen(v) == len(v) }

// hasPseudonym reports whether a secret in v has been masked already.
func (p place) hasPseudonym(v []byte) bool {
	for {
		i := bytes.Index(v, []byte(marker))
		if i < 0 {
			return false
		}
		if v = v[i:]; p.r.pseudonymLen(v) > 0 {
			return true
		}
		v = v[1:]
	}
}

// bounded reports whether the end of b is the end of a word, so that a new one may begin after it. The last letter of an
// escape (\n, %3D, \u0026) or of a terminal colour (ESC[32m) is not part of a word.
func bounded(b []byte) bool {
	n := len(b)
	if n == 0 || !alnum[b[n-1]] {
		return true
	}
	switch {
	case n >= 2 && b[n-2] == '\\',
		n >= 3 && b[n-3] == '%' && hexDigit[b[n-2]] && hexDigit[b[n-1]],
		n >= 6 && b[n-6] == '\\' && b[n-5] == 'u' && hexDigit.runBack(b, 4) == 4:
		return true
	}
	return b[n-1] == 'm' && colour.runBack(b[:n-1], 16) > 0 && colourEnd(b[:n-1])
}

var colour = digit.with(";[")

func colourEnd(b []byte) bool {
	b = b[:len(b)-colour.runBack(b, 16)]
	return bytes.HasSuffix(b, []byte("\x1b")) || bytes.HasSuffix(b, []byte(`u001b`)) || bytes.HasSuffix(b, []byte(`x1b`))
}

// A keyName is the name that ends with a keyword.
type keyName struct {
	text  []byte // up to the keyword
	start int    // of the name in before
	prev  byte   // the byte before the name; 0 at the start of the stream
}

func (p place) name() keyName {
	n := nameByte.runBack(p.before, 64)
	k := keyName{start: len(p.before) - n}
	if k.start > 0 {
		k.prev = p.before[k.start-1]
	}
	if k.prev == '\\' {
		n, c := escapeLen(p.before[k.start:])
		k.start, k.prev = k.start+n, c
	}
	k.text = p.before[k.start:]
	return k
}

// escapeLen returns the length of an escape at the start of b, behind its backslash, and the character, or a blank for all
// but those that separate.
func escapeLen(b []byte) (n int, c byte) {
	switch {
	case hasFold(b, "u0000"):
		return 5, 0
	case hasFold(b, "x00"):
		return 3, 0
	case len(b) > 4 && b[0] == 'u' && hexDigit.run(b[1:], 4) == 4:
		return 5, ' '
	case len(b) > 0 && b[0] == 'n':
		return 1, '\n'
	}
	return min(len(b), 1), ' '
}

// flag reports whether the name is that of a command line flag.
func (k keyName) flag() bool {
	return len(k.text) > 0 && k.text[0] == '-' && (space[k.prev] || quotes[k.prev] || bytes.IndexByte([]byte(",[(=;|&"), k.prev) >= 0)
}

// whole reports whether the keyword, which is capital or not, is a word of its own within the name: pass in DB_PASS and dbPass.
func (k keyName) whole(capital bool) bool {
	if len(k.text) == 0 {
		return true
	}
	last := k.text[len(k.text)-1]
	return !alnum[last] || capital && last >= 'a' && last <= 'z'
}

// element reports whether the name is that of an XML element, perhaps with a namespace.
func (p place) element(k keyName) bool {
	if k.prev == ':' {
		n := nameByte.runBack(p.before[:k.start-1], 64)
		i := k.start - 1 - n
		return i > 0 && p.before[i-1] == '<'
	}
	return k.prev == '<'
}

// stringLevel returns how often the text at the end of b is escaped: 0 in a string, 1 in a string within a string, and so
// on; -1 outside of strings. It judges by the nearest double quote on the line.
func stringLevel(b []byte) int {
	q := bytes.LastIndexByte(b, '"')
	if q < 0 || bytes.IndexByte(b[q:], '\n') >= 0 {
		return -1
	}
	slashes := backslash.runBack(b[:q], maxBack)
	level := levelOf(slashes)
	if i := q - slashes; i == 0 || space[b[i-1]] || opening[b[i-1]] {
		return level
	}
	return level - 1
}

var (
	backslash = setOf(`\`)
	opening   = setOf("=:,[{(`'>")
)

// levelOf returns the level of a quote by the number of backslashes before it: 0, 1, 3, 7 for level 0, 1, 2, 3.
func levelOf(slashes int) int { return bits.Len(uint(slashes+1)) - 1 }

// A lineStart tells where the line of a key begins.
type lineStart struct {
	ok     bool // nothing but indentation and list dashes lies between the start of the line and the key
	indent int
	cri    bool // the line has the head of a container log line
}

// lineStartOf judges b, the text up to a key. A line begins also after an escaped newline, with a string, and after the
// head of a container log or syslog line.
func lineStartOf(b []byte) lineStart {
	i := len(b) - indentByte.runBack(b, lookBehind)
	l := lineStart{indent: len(b) - i}
	switch {
	case i == 0:
		l.ok = len(b) < lookBehind
	case b[i-1] == '\n' || b[i-1] == '\r', bytes.HasSuffix(b[:i], []byte(`\n`)):
		l.ok = true
	case b[i-1] == '"' && stringLevel(b[:i]) >= 0:
		l.ok = true
	case bytes.HasSuffix(b, []byte("]: ")):
		l.ok, l.indent = true, 0
	default:
		head := b[bytes.LastIndexByte(b[:i], '\n')+1:]
		n, _ := criHead(head)
		l.cri = n > 0 && n >= len(head)-l.indent
		l.ok, l.indent = l.cri, len(head)-n
	}
	return l
}

var indentByte = blank.with("-")

// criHead returns the length of the head of a container log line, "2006-01-02T15:04:05.999999999Z stdout F ", and
// whether the runtime cut the line (tag P); 0 when there is none.
// https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
func criHead(b []byte) (n int, partial bool) {
	if len(b) < 20 || b[4] != '-' || b[10] != 'T' || b[13] != ':' {
		return 0, false
	}
	n = bytes.IndexByte(b[:min(len(b), 40)], ' ')
	if n < 0 || !digit[b[0]] {
		return 0, false
	}
	rest := b[n:]
	if !bytes.HasPrefix(rest, []byte(" stdout ")) && !bytes.HasPrefix(rest, []byte(" stderr ")) || len(rest) < 10 {
		return 0, false
	}
	if tag := rest[8]; rest[9] == ' ' && (tag == 'P' || tag == 'F') {
		return n + 10, tag == 'P'
	}
	return 0, false
}
