package redact

import "bytes"

// A block tells the lines of a YAML block from those after it.
type block struct {
	indent  int  // of the key; the lines of the block have more
	slashes int  // backslashes of a newline: 0 for real ones, 1 for \n in a string
	cri     bool // each line has the head of a container log line
}

// scalar is a YAML block: the lines that are indented more than their key. Its text begins in the first of them.
func scalar(b block) body {
	s := body{stops: setOf("\n"), ends: endBlock, block: b}
	if b.slashes > 0 {
		s.stops = setOf("\\\"\n")
	}
	return s
}

func endBlock(s *body, b []byte) int {
	c := cursor{b: b}
	slashes, ok := c.newline()
	switch {
	case b[0] == '"' || ok && slashes < s.block.slashes:
		return 0
	case !ok || slashes != s.block.slashes:
		return max(backslash.run(b, len(b)), 1)
	case s.block.inside(&c):
		return c.i
	}
	return 0
}

// inside reports whether the line at c belongs to the block, and skips its indentation.
func (k block) inside(c *cursor) bool {
	if k.cri {
		n, _ := criHead(c.rest())
		c.i += n
	}
	n := c.skip(blank, bodyAhead)
	if len(c.rest()) == 0 || n > k.indent {
		return true
	}
	rest := *c
	slashes, blankLine := rest.newline()
	return blankLine && slashes == k.slashes
}

// blockAt reads the rest of a key's line and returns the block below it. The cursor comes to the block's text.
func blockAt(c *cursor, start lineStart) (block, bool) {
	c.skip(blank, maxGap)
	slashes, ok := c.newline()
	k := block{indent: start.indent, slashes: slashes, cri: start.cri}
	if !start.ok {
		k.indent = 0 // of a key within a line nothing is known: every indented line may be of its block
	}
	if !ok || k.indent > maxIndent {
		return k, false
	}
	for range maxGap {
		if !k.inside(c) {
			return k, false
		}
		if _, blankLine := c.newline(); !blankLine {
			return k, len(c.rest()) > 0
		}
	}
	return k, false
}

const (
	maxGap    = 256 // blanks and the like between a key and its value
	maxIndent = 128
)

// pem is the state of a search for the end of a PEM block.
type pem struct {
	gap                 int // bytes since the last text that looks like the body of a key
	run                 int // base64 characters in a row, and which kinds there were
	upper, lower, digit bool
}

const (
	pemGap  = 16 << 10
	pemLine = 32
	pemEnd  = "-----END"
)

// privateKey is a PEM block up to its END line, whatever stands before the lines in between. Text in which nothing looks like
// base64 for 16 KiB ends it too: a key that was cut, or a line that only looks like the start of one, must not hide all that follows.
func privateKey() body { return body{stops: everyByte, ends: endPEM} }

func endPEM(s *body, b []byte) int {
	if s.closed || s.pem.gap > pemGap {
		return 0
	}
	if b[0] == '-' && bytes.HasPrefix(b, []byte(pemEnd)) {
		if n := pemLabel(b[len(pemEnd):]); n > 0 {
			s.closed = true
			return len(pemEnd) + n
		}
	}
	s.pem.see(b[0])
	return 1
}

func (p *pem) see(c byte) {
	p.gap++
	if !base64std[c] {
		*p = pem{gap: p.gap}
		return
	}
	p.run++
	p.upper = p.upper || c >= 'A' && c <= 'Z'
	p.lower = p.lower || c >= 'a' && c <= 'z'
	p.digit = p.digit || digit[c]
	if p.run >= pemLine && p.upper && p.lower && p.digit {
		p.gap = 0
	}
}

// pemLabel returns the length of the label of a private key with the dashes after it.
func pemLabel(b []byte) int {
	label, _, ok := bytes.Cut(b[:min(len(b), 80)], []byte("-----"))
	if !ok || !bytes.Contains(label, []byte("PRIVATE")) {
		return 0
	}
	return len(label) + 5
}

// findPEM takes a BEGIN line that text follows directly, as in a message about it, for no key.
func findPEM(p place) (hit, bool) {
	dashes := dash.runBack(p.before, 4)
	n := pemLabel(p.after[p.lit:])
	if dashes < 4 || n == 0 {
		return hit{}, false
	}
	c := cursor{b: p.after, i: p.lit + n}
	if bytes.IndexByte([]byte(".,;:)"), c.peek()) >= 0 {
		return hit{}, false
	}
	if quotes[c.peekAt(backslash.run(c.rest(), 16))] {
		return hit{}, false
	}
	if c.peek() == ' ' && wordsFollow(c.rest()) {
		return hit{}, false
	}
	return hit{from: -4, body: privateKey()}, true
}

var dash = setOf("-")

// wordsFollow reports whether b begins with two words of lower-case letters.
func wordsFollow(b []byte) bool {
	for range 2 {
		n := letters.run(b[min(1, len(b)):], 16)
		if len(b) < 2+n || n == 0 || b[0] != ' ' || b[1+n] != ' ' && b[1+n] != '\n' {
			return false
		}
		b = b[1+n:]
	}
	return true
}

var letters = setOf("a-z")
