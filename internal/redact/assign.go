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
	return a.before && !a.keyQuoted && (a.key.spaced || a.key.password && (c.peek() == '\'' || c.peek() == '"'))
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
		if !quotes[p.peekAt(backslash.run(p.rest(), 16))] {
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

// emptyBlock reports whether there is nothing but the sign of a block on the rest of a line.
func emptyBlock(b []byte) bool {
	c := cursor{b: b, i: 1}
	c.skip(blockDetail, 2)
	_, newline := c.newline()
	return blockSign[b[0]] && (newline || len(c.rest()) == 0)
}

var (
	blockSign   = setOf("|>")
	blockDetail = digit.with("+-")
)

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

var schemes = []string{"bearer", "basic", "token", "negotiate", "ntlm", "apikey"}

func isScheme(v []byte) bool {
	for _, s := range schemes {
		if len(v) == len(s) && hasFold(v, s) {
			return true
		}
	}
	return false
}

// keep reports whether the value is no secret.
func (a *assign) keep(h hit) bool {
	keyword := a.place.after[:a.place.lit]
	v, whole := a.place.value(h)
	v = a.withCloser(h.from, v)
	switch {
	case a.key.valid != nil:
		return !a.key.valid(v)
	case !whole:
		return false
	case len(v) == 0:
		return true
	case a.by == byColon && emptyBlock(a.place.after[h.from:]):
		return true
	case a.key.header && isScheme(v):
		return true
	case harmless(v), !a.key.password && isPath(v):
		return true
	case len(a.name.text) == 0 && hasFold(keyword, "secret") && isObjectName(v):
		return true
	case string(keyword) == "PWD" && (len(a.name.text) == 0 || string(a.name.text) == "OLD"):
		return len(v) > 0 && v[0] == '/'
	case string(keyword) == "PASS" && len(a.name.text) == 0 && a.by == byColon:
		return true // the result of a test
	case a.quoted || a.line && a.key.password && a.name.prev != '/':
		return false
	}
	return (a.by == byBlank || a.by == byColon && a.after) && isProse(v)
}

// withCloser adds the bracket after an unquoted value that begins with one: <nil>, $(NAME).
func (a *assign) withCloser(from int, v []byte) []byte {
	till := from + len(v)
	if a.quoted || len(v) < 2 || till >= len(a.place.after) {
		return v
	}
	switch closer := a.place.after[till]; {
	case closer == '>' && v[0] == '<', closer == ')' && (v[0] == '(' || v[1] == '('), closer == '}' && v[1] == '{':
		return a.place.after[from : till+1]
	}
	return v
}
