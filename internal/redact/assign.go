package redact

import "bytes"

// How a value is joined to its name.
const (
	byEqual   = '='
	byColon   = ':'
	byBlank   = ' ' // the next argument of a command line
	byItem    = '-' // the next item of a YAML list, which is a command line
	byZero    = 0   // the next argument in /proc/PID/cmdline
	byTag     = '<' // the text of an XML element
	byPercent = '%' // as = or :, percent-encoded
)

// An assign reads what follows a name: the separator and the start of the value.
type assign struct {
	key   key
	place place
	name  keyName

	by        byte
	keyQuoted bool
	attribute bool // the name is the value of an XML attribute
	before    bool // blanks before the separator
	after     bool // blanks after the separator
	start     lineStart
	str       int  // level of the string around the assignment
	quoted    bool // the value is in quotes
	line      bool // the value is the rest of the line
}

// separator moves c over the separator and the blanks after it. It reports false when no value belongs to the name.
func (a *assign) separator(c *cursor) bool {
	_, _, a.keyQuoted = c.open()
	if a.keyQuoted {
		c.take("]")
	}
	c.index()
	gap := c.i
	c.blanks()
	a.before = c.i > gap
	if letters[lower[c.peek()]] && !valueWord[c.peek()] && !a.name.flag() && !a.key.spaced {
		return false // nearly always, and soon
	}
	a.look()
	switch {
	case a.equal(c):
		return !(a.by == byColon && !a.after && a.name.prev == '/') // a volume, or the tag of an image
	case a.key.colon:
		return false
	case a.percent(c), a.tag(c), a.pair(c), a.flag(c):
		return true
	}
	a.by = byBlank
	return a.before && !a.keyQuoted && (a.key.spaced || a.key.sql && c.quoteAhead())
}

// index skips the index of a field: password[0].
func (c *cursor) index() {
	p := *c
	if p.take("[") && p.skip(digit, 8) > 0 && p.take("]") {
		*c = p
	}
}

var valueWord = setOf("sSvV") // value, stringValue

// look judges the text before the name.
func (a *assign) look() {
	text := a.place.before[:a.name.start]
	if a.keyQuoted && quotes[a.name.prev] {
		text = text[:len(text)-1]
		text = text[:len(text)-backslash.runBack(text, 16)]
		a.attribute = bytes.HasSuffix(text, []byte("="))
	}
	a.str = stringLevel(text)
	a.start = lineStartOf(text)
}

func (a *assign) equal(c *cursor) bool {
	a.by = byEqual
	switch {
	case c.take("==="), c.take("=="), c.take("=>"), c.take(":="), c.take("="), c.takeFold(`\u003d`):
		if a.key.colon {
			return false
		}
	case c.peek() == ':':
		a.by = byColon
		c.i++
		if c.take(":") && !blank[c.peek()] || c.peek() == '/' && c.peekAt(1) == '/' {
			return false // a qualified name, a URL
		}
	default:
		return false
	}
	i := c.i
	c.blanks()
	a.after = c.i > i
	return true
}

func (a *assign) percent(c *cursor) bool {
	a.by = byPercent
	p := *c
	if !p.takeFold("%22") {
		p.takeFold("%2522")
	}
	if !p.takeFold("%3d") && !p.takeFold("%3a") && !p.takeFold("%253d") && !p.takeFold("%253a") {
		return false
	}
	p.takeFold("%20")
	if !p.takeFold("%22") && !p.takeFold("%2522") {
		p.takeFold("%27")
	}
	*c = p
	return true
}

// tag skips the rest of an XML start tag, and one more tag around the value. The name is that of the element, or an attribute or
// element of its own: <a name="password">x</a>, <key>password</key><string>x</string>.
func (a *assign) tag(c *cursor) bool {
	a.by = byTag
	switch p := *c; {
	case c.take("&gt;"), a.attribute && c.take(">"):
		return true
	case p.takeFold("</"):
		if !p.toTagEnd() {
			return false
		}
		p.skip(blank, maxGap)
		if p.nextLine() {
			p.skip(blank, maxGap)
		}
		*c = p
		return c.peek() == '<' && c.peekAt(1) != '/' && c.toTagEnd()
	case !a.place.element(a.name) || !c.toTagEnd():
		return false
	case c.peek() == '<' && alnum[c.peekAt(1)]:
		c.toTagEnd()
	}
	return true
}

func (c *cursor) toTagEnd() bool {
	n := bytes.IndexByte(c.rest()[:min(len(c.rest()), maxGap)], '>')
	if n < 0 || n > 0 && c.peekAt(n-1) == '/' || bytes.IndexByte(c.rest()[1:max(n, 1)], '<') >= 0 {
		return false
	}
	c.i += n + 1
	return true
}

// pair reads a value in a field of its own: name: DB_PASSWORD, value: abc.
func (a *assign) pair(c *cursor) bool {
	p := *c
	p.skip(pairGap, maxGap)
	indent, ownLine := 0, p.nextLine()
	if ownLine {
		indent = p.skip(blank, maxGap)
	}
	p.open()
	if !p.takeFold("value") && !p.takeFold("stringvalue") {
		return false
	}
	p.open()
	p.blanks()
	if !a.equal(&p) {
		return false
	}
	if ownLine {
		a.line = true
		a.start.ok, a.start.indent = true, indent
	}
	*c = p
	return true
}

var pairGap = setOf(" \t,;")

// flag reads the argument after a flag.
func (a *assign) flag(c *cursor) bool {
	if !a.name.flag() || len(c.rest()) == 0 {
		return false
	}
	p := *c
	switch {
	case p.nextLine():
		a.by = byItem
		p.skip(blank, maxGap)
		if !p.take("- ") {
			return false
		}
		p.blanks()
	case a.keyQuoted:
		a.by = byBlank
		p.take(",")
		p.skip(space, maxGap)
		if !p.quoteAhead() {
			return false
		}
	case p.zero():
		a.by = byZero
	case a.before:
		a.by = byBlank
	default:
		return false
	}
	*c = p
	return a.by == byZero || c.peek() != '-'
}
