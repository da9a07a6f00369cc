package redact

import "bytes"

// bare is a value without quotes, in a string of the level str or, for -1, in none. It ends at white space, and at
// punctuation after which the text goes on as text does; so "a,b" is one value and "a, b" or "a,user=b" begin with one.
func bare(str int) body {
	return body{stops: bareStops, ends: endBare, str: str}
}

const closers = "\"'`,;&)]}>.:"

var (
	punctuation = setOf(closers)
	bareStops   = space.with(`<\` + closers)
)

func endBare(s *body, b []byte) int {
	switch {
	case space[b[0]]:
		return 0
	case b[0] == '\\':
		return endEscape(s, b)
	case b[0] == '<':
		if len(b) > 1 && b[1] == '/' {
			return 0
		}
		return 1
	case b[0] == '"' && s.str >= 0, textAfter(b, s.str >= 0):
		return 0
	}
	return 1
}

// endEscape judges a backslash: within a string it may be the escape of a character that ends the value.
func endEscape(s *body, b []byte) int {
	run := backslash.run(b, len(b))
	if run == len(b) {
		return run
	}
	c := b[run]
	switch {
	case c == ' ':
		return run + 1 // escaped for a shell
	case c == '"' && s.str >= 0:
		if n, _ := quoteAt(b, '"', s.str); n <= run {
			return n
		}
		if !textAfter(b, true) {
			return run + 1
		}
		return 0
	case quotes[c] && textAfter(b[run:], s.str >= 0):
		return 0
	case s.str < 0:
	case bytes.IndexByte([]byte("nrt"), c) >= 0:
		return 0
	case c == 'u':
		return endUnicode(b, run)
	}
	return run
}

// endUnicode judges an escape like \u0026, which is how JSON encoders write & < and >.
func endUnicode(b []byte, run int) int {
	esc := b[run:]
	switch {
	case hasFold(esc, "u0026"):
		if !assignment(esc[5:]) {
			return run + 5
		}
		return 0
	case hasFold(esc, "u003c"), hasFold(esc, "u003e"), hasFold(esc, "u0022"), hasFold(esc, "u0027"), hasFold(esc, "u000"), hasFold(esc, "u001"):
		return 0
	}
	return run
}

// textAfter reports whether the punctuation at the start of b is not part of a value: white space follows it, or the end, or
// an assignment, or it closes more than one thing.
func textAfter(b []byte, inString bool) bool {
	n, count, quote := 0, 0, false
	for n < len(b) && n < 16 {
		q := n
		if inString {
			q += backslash.run(b[n:], 16)
		}
		if q == len(b) || !punctuation[b[q]] || q > n && !quotes[b[q]] {
			break
		}
		quote = quote || quotes[b[q]]
		n = q + 1
		count++
	}
	if n == len(b) || space[b[n]] || quote && count > 1 || b[n] == '<' || b[n] == '\\' && inString {
		return true
	}
	return bytes.IndexByte([]byte(",;&)]}"), b[n-1]) >= 0 && assignment(b[n:])
}

// assignment reports whether b begins like "name=" or "name:".
func assignment(b []byte) bool {
	if hasFold(b, "amp;") {
		b = b[4:]
	}
	n := fieldName.run(b, 64)
	if n == 0 || n+1 >= len(b) {
		return false
	}
	return b[n] == ':' || b[n] == '=' && b[n+1] != '='
}

var fieldName = nameByte.with("$@[]")

// line is a value up to the end of its line, or of the string around it, or up to a closing byte when close is not 0.
func line(str int, end byte) body {
	return body{stops: lineStops, ends: endLine, str: str, quote: end}
}

var lineStops = setOf("\x00\t\n\r \\\"'`]")

func endLine(s *body, b []byte) int {
	switch {
	case b[0] == s.quote || bytes.IndexByte([]byte("\x00\n\r"), b[0]) >= 0:
		return 0
	case blank[b[0]]:
		return endBlank(b)
	case b[0] == '"' && s.str >= 0:
		return 0
	case b[0] != '\\' || s.str < 0:
		return 1
	}
	run := backslash.run(b, len(b))
	if run == len(b) {
		return run
	}
	if b[run] == '"' {
		n, _ := quoteAt(b, '"', s.str)
		return n
	}
	if b[run] == 'n' || b[run] == 'r' {
		return 0
	}
	return run
}

// endBlank leaves blanks at the end of the line out of the value.
func endBlank(b []byte) int {
	n := blank.run(b, len(b))
	if n == len(b) || bytes.IndexByte([]byte("\x00\n\r"), b[n]) >= 0 {
		return 0
	}
	return n
}

// argument is one of several texts with a zero byte between.
func argument(str int) body {
	return body{stops: setOf("\x00\n\"\\"), str: str, ends: func(s *body, b []byte) int {
		c := cursor{b: b}
		switch {
		case c.zero() || b[0] == '\n':
			return 0
		case s.str < 0:
			return 1
		}
		n, found := quoteAt(b, '"', s.str)
		if found {
			return n
		}
		return max(n, 1)
	}}
}

// settings is a value that is itself a list of settings, like a connection string, with one of the bytes in joints between them.
func settings(str int, joints string) body {
	s := bare(str)
	s.stops = bareStops.without(joints)
	return s
}

// element is the text of an XML element.
func element() body {
	return body{stops: setOf("<&"), ends: func(_ *body, b []byte) int {
		if b[0] == '<' || hasFold(b, "&lt;") {
			return 0
		}
		return 1
	}}
}

// cdata is the text of an XML element after <![CDATA[.
func cdata() body {
	return body{stops: setOf("]"), ends: func(_ *body, b []byte) int {
		if hasFold(b, "]]>") {
			return 0
		}
		return 1
	}}
}

// percent is a value in percent-encoded text.
func percent() body {
	return body{stops: space.with("\"'`&<>\\%"), ends: func(_ *body, b []byte) int {
		if b[0] != '%' {
			return 0
		}
		for _, code := range []string{"%26", "%22", "%27", "%20", "%2c", "%3b", "%0a", "%0d", "%7d", "%2526", "%2522", "%252c", "%257d"} {
			if hasFold(b, code) {
				return 0
			}
		}
		return 1
	}}
}
