package redact

import "bytes"

// A cursor reads b from i on. Past the end it sees zero bytes.
type cursor struct {
	b []byte
	i int
}

func (c *cursor) rest() []byte { return c.b[min(c.i, len(c.b)):] }

func (c *cursor) peek() byte { return c.peekAt(0) }

func (c *cursor) peekAt(n int) byte {
	if c.i+n < len(c.b) {
		return c.b[c.i+n]
	}
	return 0
}

func (c *cursor) take(s string) bool {
	if !bytes.HasPrefix(c.rest(), []byte(s)) {
		return false
	}
	c.i += len(s)
	return true
}

func (c *cursor) takeFold(s string) bool {
	if !hasFold(c.rest(), s) {
		return false
	}
	c.i += len(s)
	return true
}

func (c *cursor) skip(set *byteSet, limit int) int {
	n := set.run(c.rest(), limit)
	c.i += n
	return n
}

// blanks skips spaces, tabs and terminal colours.
func (c *cursor) blanks() {
	for c.skip(blank, maxGap) > 0 || c.colour() {
	}
}

func (c *cursor) colour() bool {
	p := *c
	if !p.take("\x1b[") && (p.skip(backslash, 16) == 0 || !p.takeFold("u001b[") && !p.takeFold("x1b[") && !p.take("033[")) {
		return false
	}
	p.skip(colour, 16)
	if !p.take("m") {
		return false
	}
	*c = p
	return true
}

// zero skips a zero byte, or the escape of one.
func (c *cursor) zero() bool {
	p := *c
	if c.i >= len(c.b) || !p.take("\x00") && (p.skip(backslash, 16) == 0 || !p.take("u0000") && !p.take("x00")) {
		return false
	}
	*c = p
	return true
}

// nextLine skips the end of a line, and the head of the next when it is that of a container log.
func (c *cursor) nextLine() bool {
	if _, ok := c.newline(); !ok {
		return false
	}
	n, _ := criHead(c.rest())
	c.i += n
	return true
}

// newline skips the end of a line: a real one, or the escape \n.
func (c *cursor) newline() (slashes int, ok bool) {
	if c.peek() == '\r' && c.peekAt(1) == '\n' || c.peek() == '\n' {
		c.i += 1 + int(c.peek()&4>>2) // \r has this bit, \n has not
		return 0, true
	}
	if n := backslash.run(c.rest(), 16); n > 0 && c.peekAt(n) == 'n' {
		c.i += n + 1
		return n, true
	}
	return 0, false
}

// quoteAhead reports whether a quote lies at the cursor, perhaps escaped.
func (c *cursor) quoteAhead() bool {
	return quotes[c.peekAt(backslash.run(c.rest(), 16))]
}

// open skips a quote with the backslashes before it.
func (c *cursor) open() (quote byte, level int, ok bool) {
	n := backslash.run(c.rest(), 16)
	q := c.peekAt(n)
	if !quotes[q] {
		return 0, 0, false
	}
	c.i += n + 1
	return q, levelOf(n), true
}
