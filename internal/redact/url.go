package redact

import "bytes"

// findUserinfo takes the password of scheme://user:password@host. A user name that could be a token itself is taken too.
func findUserinfo(p place) (hit, bool) {
	c := cursor{b: p.after, i: p.lit}
	if !bytes.HasSuffix(p.after[:p.lit], []byte("://")) && !c.escapedSlashes() {
		return hit{}, false
	}
	p.lit = c.i
	b := c.rest()
	n := authority.run(b, len(b))
	if n == len(b) && !p.end {
		return hit{from: p.lit, body: userinfo()}, true // too long to judge
	}
	at := bytes.LastIndexByte(b[:n], '@')
	if at < 0 {
		at = lateAt(b, n)
	}
	if at < 0 {
		return hit{}, false
	}
	user, password, found := bytes.Cut(b[:at], []byte(":"))
	switch {
	case tokenLike(user) && !p.hasPseudonym(user):
		return hit{from: p.lit, body: fixed(at)}, true
	case !found || harmless(password) || at == len(user)+1:
		return hit{}, false
	}
	return hit{from: p.lit + len(user) + 1, body: fixed(at - len(user) - 1)}, true
}

// escapedSlashes skips the rest of :\/\/, however often it is escaped.
func (c *cursor) escapedSlashes() bool {
	c.i = 1
	for range 2 {
		if c.skip(backslash, 16) == 0 || !c.take("/") {
			return false
		}
	}
	return true
}

// userinfo is all before the last @ of an authority.
func userinfo() body {
	return body{stops: authority.with("/?#").without("@").not(), ends: func(_ *body, b []byte) int {
		if b[0] != '@' {
			return 0
		}
		n := authority.run(b, len(b))
		return bytes.LastIndexByte(b[:n], '@')
	}}
}

var authority = space.with("\"'`<>\\/?#").not()

// lateAt finds the @ behind a password in which a slash or the like is not encoded. n is where the authority ends.
func lateAt(b []byte, n int) int {
	colon := bytes.IndexByte(b[:n], ':')
	if colon < 0 || n >= len(b) || b[0] == '[' || bytes.IndexByte([]byte("/?#"), b[n]) < 0 {
		return -1
	}
	port := b[colon+1 : n]
	if digit.run(port, n) == len(port) {
		return -1
	}
	end := authority.with("/?#").run(b, 256+n)
	i := bytes.IndexByte(b[n:end], '@')
	if i < 0 {
		return -1
	}
	host := b[n+i:]
	return n + i + bytes.LastIndexByte(host[:authority.run(host, len(host))], '@')
}

// tokenLike reports whether the name of a user is long and mixed enough to be a secret.
func tokenLike(user []byte) bool {
	return len(user) >= 16 && bytes.ContainsAny(user, "0123456789") && bytes.IndexByte(user, '%') < 0 && bytes.IndexByte(user, '$') < 0
}

// findUserFlag takes the password of -u user:password in a command line of curl.
func findUserFlag(p place) (hit, bool) {
	line := p.before[bytes.LastIndexByte(p.before, '\n')+1:]
	c := cursor{b: p.after, i: p.lit}
	if !bytes.HasSuffix(p.after[:p.lit], []byte(" ")) && !c.zero() && !c.take(" ") && !c.take("=") {
		return hit{}, false
	}
	c.open()
	user := userByte.run(c.rest(), 64)
	c.i += user
	if !bytes.Contains(line, []byte("curl")) || !c.take(":") {
		return hit{}, false
	}
	h := hit{from: c.i, body: bare(stringLevel(line))}
	v, _ := p.value(h)
	return h, !harmless(v)
}

var userByte = nameByte.with("@\\")

// findDSN takes the password of user:password@tcp(host).
func findDSN(p place) (hit, bool) {
	b := p.before[max(len(p.before)-maxBack, 0):]
	n := space.with("\"'`/").not().runBack(b, len(b))
	user, password, found := bytes.Cut(b[len(b)-n:], []byte(":"))
	if i := bytes.LastIndexByte(user, '='); i >= 0 {
		user = user[i+1:]
	}
	if !found || len(user) == 0 || len(password) == 0 || harmless(password) {
		return hit{}, false
	}
	return hit{from: -len(password), body: fixed(0)}, true
}
