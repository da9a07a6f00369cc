package redact

import "bytes"

// findUserinfo takes the password of scheme://user:password@host. A user name that could be a token itself is taken too.
func findUserinfo(p place) (hit, bool) {
	b := p.after[p.lit:]
	n := authority.run(b, len(b))
	if n == len(b) && !p.end {
		return hit{from: p.lit, body: of(authority.with("@/?#"))}, true // too long to judge
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
	case tokenLike(user):
		return hit{from: p.lit, body: fixed(at)}, true
	case !found || harmless(password) || at == len(user)+1:
		return hit{}, false
	}
	return hit{from: p.lit + len(user) + 1, body: fixed(at - len(user) - 1)}, true
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
	if i := bytes.IndexByte(b[n:end], '@'); i >= 0 {
		return n + i
	}
	return -1
}

// tokenLike reports whether the name of a user is long and mixed enough to be a secret.
func tokenLike(user []byte) bool {
	return len(user) >= 16 && bytes.ContainsAny(user, "0123456789") && bytes.IndexByte(user, '%') < 0 && bytes.IndexByte(user, '$') < 0
}

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
