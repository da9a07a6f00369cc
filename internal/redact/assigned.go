package redact

import "bytes"

// value moves c to the secret and returns its body.
func (a *assign) value(c *cursor) (body, bool) {
	switch {
	case a.by == byPercent:
		return percent(), true
	case a.by == byTag && c.take("<![CDATA["):
		return cdata(), true
	case a.by == byTag:
		return element(), c.peek() != '<'
	case a.zeroSeparated():
		return argument(a.str), true
	}
	if a.by == byColon {
		c.yamlTag()
	}
	list := c.take("[]string{") || c.take("[")
	if list {
		c.skip(space, maxGap)
	}
	if bytes.IndexByte([]byte("bBuUrR@$"), c.peek()) >= 0 && (c.peekAt(1) == '"' || c.peekAt(1) == '\'') {
		c.i++
	}
	if q, level, ok := c.open(); ok {
		a.quoted = true
		if a.key.header {
			c.scheme()
		}
		return quoted(q, level, a.str, list), true
	}
	return a.unquoted(c, list)
}

// yamlTag skips one of the tags that a string may have; any other word with ! may be the value.
func (c *cursor) yamlTag() {
	for _, tag := range []string{"!!str ", "!!binary ", "!vault ", "!unsafe "} {
		if c.take(tag) {
			c.blanks()
			return
		}
	}
}

func (a *assign) unquoted(c *cursor, list bool) (body, bool) {
	end := byte(0)
	if list {
		end = ']'
	} else if a.name.prev == '\'' || a.name.prev == '`' {
		end = a.name.prev
	}
	rest := *c
	switch _, newline := rest.newline(); {
	case newline || len(c.rest()) == 0:
		return a.below(c)
	case a.by == byColon && blockSign[c.peek()] && a.scalar(c):
		k, _ := blockAt(c, a.start)
		return scalar(k), true
	case c.peek() == '{' && structured(c.rest()):
		return body{}, false
	case a.key.header && !c.scheme() && a.by == byColon && (a.after || a.key.colon), list:
		a.line = true
	case a.key.joints != "":
		return settings(a.str, a.key.joints), true
	case a.wholeLine():
		a.line = true
	}
	if a.line {
		return line(a.str, end), true
	}
	return bare(a.str), true
}

// wholeLine reports whether the rest of the line, or of a string, is the value: key: value and key = value at the start, and "KEY=value".
func (a *assign) wholeLine() bool {
	if a.by == byEqual && quotes[a.name.prev] && upperName.run(a.name.text, 64) == len(a.name.text) && upperName[a.place.after[0]] {
		return true
	}
	return a.by == byItem || a.start.ok && !a.keyQuoted && a.after && (a.by == byColon || a.before)
}

var upperName = upperNum.with("_")

// zeroSeparated reports whether zero bytes separate the arguments or variables around.
func (a *assign) zeroSeparated() bool {
	if a.by == byZero || a.by == byEqual && a.name.start > 0 && a.name.prev == 0 {
		return true
	}
	if a.name.start > 0 || a.by != byEqual {
		return false
	}
	zero := bytes.IndexAny(a.place.after, "\x00\n")
	return zero >= 0 && a.place.after[zero] == 0
}

// below reads a value in the next line, which has more indentation: a string, a single word or, for some keys, anything.
func (a *assign) below(c *cursor) (body, bool) {
	if a.key.nested {
		k, ok := blockAt(c, a.start)
		return scalar(k), ok
	}
	p := *c
	if a.by != byColon || !a.start.ok || !p.nextLine() || p.skip(blank, maxGap) <= a.start.indent {
		return body{}, false
	}
	*c = p
	if q, level, ok := c.open(); ok {
		a.quoted = true
		return quoted(q, level, a.str, false), true
	}
	n := space.with(":\\{").not().run(c.rest(), lookAhead)
	_, newline := (&cursor{b: c.rest(), i: n}).newline()
	return bare(a.str), c.peek() != '-' && (newline || n == len(c.rest()))
}

// scalar reports whether a YAML block begins at c, and skips its sign.
func (a *assign) scalar(c *cursor) bool {
	p := *c
	p.i++
	p.skip(blockDetail, 2)
	rest := p
	if _, ok := blockAt(&rest, a.start); !ok {
		return false
	}
	*c = p
	return true
}

// structured reports whether the brace at the start of b opens an object or a template rather than being part of a value.
func structured(b []byte) bool {
	c := cursor{b: b, i: 1}
	if c.skip(space, maxGap); c.i > 1 {
		return true
	}
	return bytes.IndexByte([]byte("\"'`{}\\."), c.peek()) >= 0 || assignment(c.rest())
}

// scheme skips the name of an authentication scheme, and reports whether a single token follows it.
func (c *cursor) scheme() bool {
	for _, s := range schemes {
		p := *c
		if p.takeFold(s) && (p.skip(blank, 8) > 0 || p.takeFold("%20")) {
			*c = p
			return true
		}
	}
	return false
}
