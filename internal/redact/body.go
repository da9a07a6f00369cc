package redact

import "bytes"

// A body knows where a secret ends. It is a value: a copy goes on from where the original was.
type body struct {
	stops *byteSet // the bytes at which ends is asked; all others belong to the secret
	// ends returns how many bytes at the start of b, which begins with a stop byte, belong to the secret; 0 means that it ends here.
	// b holds bodyAhead bytes, or fewer where the stream ends.
	ends func(s *body, b []byte) int

	quote  byte // closes the value; 0 when it is not quoted
	level  int  // how often the quote is escaped: it has 2^level-1 backslashes
	str    int  // level of the string around the value, -1 for none
	list   bool // the value is the first of a list of strings
	left   int  // bytes still to come
	block  block
	pem    pem
	closed bool // the end mark has been taken
}

// next returns how many bytes at the start of b belong to the secret, and whether it ends after them. When it is not done
// it is called again with the rest of b and what follows.
func (s *body) next(b []byte, end bool) (n int, done bool) {
	limit := len(b)
	if !end {
		limit -= bodyAhead
	}
	for n < limit {
		if !s.stops[b[n]] {
			n++
			continue
		}
		step := s.ends(s, b[n:min(n+bodyAhead, len(b))])
		if step == 0 {
			return n, true
		}
		n += step
	}
	return n, end
}

var everyByte = new(byteSet).not()

// fixed is a secret of n bytes.
func fixed(n int) body {
	return body{stops: everyByte, left: n, ends: func(s *body, b []byte) int {
		n := min(s.left, len(b))
		s.left -= n
		return n
	}}
}

// of is a secret of bytes in a set.
func of(set *byteSet) body {
	return body{stops: set.not(), ends: func(*body, []byte) int { return 0 }}
}

// dotted is a secret of bytes in a set and dots between them.
func dotted(set *byteSet) body {
	return body{stops: set.not(), ends: func(_ *body, b []byte) int {
		if b[0] == '.' && len(b) > 1 && set[b[1]] {
			return 1
		}
		return 0
	}}
}

// encoded is base64 in a URL, where + / = may be percent-encoded, once or twice.
func encoded() body {
	return body{stops: base64any.not(), ends: func(_ *body, b []byte) int {
		for _, code := range []string{"%2b", "%2f", "%3d", "%252b", "%252f", "%253d"} {
			if hasFold(b, code) {
				return len(code)
			}
		}
		return 0
	}}
}

// quoteAt reads a run of backslashes and the quote after it at the start of b. It returns the bytes that belong to a value of
// the level, 0 when the quote closes it, and whether there is a quote at all.
//
// In a string escaped so often, a backslash of the value is doubled level+1 times: a quote belongs to the value when the
// number of backslashes before it, modulo 2^(level+1), is 2^(level+1)-1. Any other quote ends the value or a string around it.
func quoteAt(b []byte, quote byte, level int) (n int, found bool) {
	run := backslash.run(b, len(b))
	if run == len(b) || b[run] != quote {
		return run, false
	}
	full := 1<<(level+1) - 1
	if run&full == full {
		return run + 1, true
	}
	mark := full >> 1
	for run&mark != mark {
		mark >>= 1
	}
	return run - mark, true
}

// quoted is a value up to its closing quote. A newline ends it too, unless the next line is indented or the closing quote is
// near: a string that was cut must not hide the rest of a log.
func quoted(quote byte, level, str int, list bool) body {
	return body{stops: quotedStops, ends: endQuoted, quote: quote, level: level, str: str, list: list}
}

var quotedStops = setOf("\"'`\\\n")

func endQuoted(s *body, b []byte) int {
	if b[0] == '\n' {
		if len(b) > 1 && (blank[b[1]] || b[1] == '\n' || b[1] == '\r') || closesSoon(b, s.quote) {
			return 1
		}
		return 0
	}
	if s.quote != '"' && s.str >= 0 {
		if n, found := quoteAt(b, '"', s.str); found && n == 0 {
			return 0
		}
	}
	n, found := quoteAt(b, s.quote, s.level)
	switch {
	case !found:
		return max(n, 1)
	case n > 0:
		return n
	}
	after := b[backslash.run(b, len(b))+1:]
	if len(after) > 0 && (alnum[after[0]] || after[0] == s.quote && s.level == 0) {
		return len(b) - len(after) // 'it''s', or a stray quote: nothing follows a closing quote so closely
	}
	if s.list && nextInList(after, s.quote) {
		return len(b) - len(after) + bytes.IndexByte(after, s.quote) + 1
	}
	return 0
}

// closesSoon reports whether the next quote in b is where one closes a string.
func closesSoon(b []byte, quote byte) bool {
	i := bytes.IndexByte(b, quote)
	if i < 2 || opening[b[i-1]] || space[b[i-1]] {
		return false
	}
	return i+1 == len(b) || space[b[i+1]] || bytes.IndexByte([]byte(",;)}]"), b[i+1]) >= 0
}

// nextInList reports whether b, which follows a string, goes on with a comma and another string.
func nextInList(b []byte, quote byte) bool {
	c := cursor{b: b}
	c.skip(space, 64)
	if !c.take(",") {
		return false
	}
	c.skip(space, 64)
	c.skip(backslash, 16)
	return c.peek() == quote
}
