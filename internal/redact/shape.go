package redact

import (
	"bytes"
	"encoding/base64"
)

// shaped is a rule for secrets that are known by how they begin: after the anchor come at least min bytes of the set.
func shaped(name string, set *byteSet, min int, anchors ...string) *rule {
	return &rule{name: name, exact: true, anchors: anchors, next: set, find: func(p place) (hit, bool) {
		if !bounded(p.before) || set.run(p.after[p.lit:], min) < min {
			return hit{}, false
		}
		return hit{body: skipFirst(p.lit, of(set))}, true
	}}
}

// following is a rule for secrets that follow the anchor, which stays.
func following(name string, set *byteSet, min int, anchors ...string) *rule {
	return &rule{name: name, anchors: anchors, find: func(p place) (hit, bool) {
		if set.run(p.after[p.lit:], min) < min {
			return hit{}, false
		}
		return hit{from: p.lit, body: of(set)}, true
	}}
}

// skipFirst is a secret that begins with n bytes of any kind and goes on as b.
func skipFirst(n int, b body) body {
	set, ends := *b.stops, b.ends
	return body{stops: everyByte, left: n, ends: func(s *body, text []byte) int {
		if s.left > 0 {
			n := min(s.left, len(text))
			s.left -= n
			return n
		}
		if !set[text[0]] {
			return set.not().run(text, len(text))
		}
		return ends(s, text)
	}}
}

// exactly is a rule for secrets of n bytes of the set after the anchor, no fewer and no more.
func exactly(name string, set *byteSet, n int, anchors ...string) *rule {
	return &rule{name: name, exact: true, anchors: anchors, find: func(p place) (hit, bool) {
		ok := bounded(p.before) && set.run(p.after[p.lit:], n+1) == n
		return hit{body: fixed(p.lit + n)}, ok
	}}
}

// findJWT takes three parts of base64url, of which the first begins with the anchor. The first part of an encrypted
// token is followed by an empty one. A header too long to see its end is taken for one.
func findJWT(p place) (hit, bool) {
	n := base64url.runBack(p.before, lookBehind)
	if n > 0 && !bounded(p.before) && bytes.Contains(p.before[len(p.before)-n:], p.after[:p.lit]) {
		return hit{}, false // the anchor before has been judged by the same end
	}
	h := hit{body: dotted(base64url)}
	head := base64url.run(p.after, len(p.after))
	if head == len(p.after) && !p.end {
		return h, true
	}
	c := cursor{b: p.after, i: head}
	if head < 10 || !c.take(".") {
		return hit{}, false
	}
	if c.peek() == '.' {
		h.body = emptyPart()
		return h, base64url.run(p.after[c.i+1:], 4) == 4
	}
	payload := c.skip(base64url, lookAhead)
	return h, payload >= 4 && (hasFold(p.after[head+1:], "eyj") || c.peek() == '.' || payload > 256)
}

// emptyPart is a token in which a part may be empty.
func emptyPart() body {
	return body{stops: base64url.not(), ends: func(_ *body, b []byte) int {
		if n := dotByte.run(b, 2); n > 0 && n < len(b) && base64url[b[n]] {
			return n
		}
		return 0
	}}
}

var dotByte = setOf(".")

// findBearer takes the token after the word Bearer, unless it is a word itself.
func findBearer(p place) (hit, bool) {
	c := cursor{b: p.after, i: p.lit}
	c.skip(blank, 8)
	n := bearerByte.run(c.rest(), 64)
	v := c.rest()[:n]
	if !bounded(p.before) || n < 12 || wordLike.run(v, n) == n || hasFold(v, "realm=") {
		return hit{}, false
	}
	return hit{from: c.i, body: dotted(base64any.with("~"))}, true
}

var (
	bearerByte = base64any.with(".~")
	wordLike   = letters.with("-_./")
)

// findBasic takes base64 that holds a colon.
func findBasic(p place) (hit, bool) {
	return hit{from: p.lit, body: of(base64any)}, bounded(p.before) && isUserPassword(p.after[p.lit:])
}

// isUserPassword reports whether b begins with user:password in base64.
func isUserPassword(b []byte) bool {
	n := base64any.run(b, 256) &^ 3
	text := make([]byte, 192)
	n, _ = base64.StdEncoding.Decode(text, b[:n])
	return n >= 3 && bytes.IndexByte(text[:n], ':') >= 0
}

// findSignature takes the signature of a shared access signature: 16 bytes of base64 or more, so that the number of a signal stays.
func findSignature(p place) (hit, bool) {
	return hit{from: p.lit, body: encoded()}, bounded(p.before) && isSignature(p.after[p.lit:])
}

func isSignature(b []byte) bool {
	return base64any.with("%").run(b, 16) == 16
}

// findWebhook takes the path of a web hook.
func findWebhook(p place) (hit, bool) {
	set := alnum.with("/_@-")
	return hit{from: p.lit, body: of(set)}, set.run(p.after[p.lit:], 16) == 16
}

// around is a rule for secrets with the anchor inside: before bytes of the set come before it and at least after bytes follow it.
func around(name string, set *byteSet, before, after int, anchors ...string) *rule {
	return &rule{name: name, exact: true, anchors: anchors, next: set, find: func(p place) (hit, bool) {
		n := len(p.before) - before
		if set.runBack(p.before, before) < before || set.run(p.after[p.lit:], after) < after || !bounded(p.before[:n]) {
			return hit{}, false
		}
		return hit{from: -before, body: skipFirst(p.lit, of(set))}, true
	}}
}

// bootstrapTail reports whether b, which follows a dot, begins with the second part of a bootstrap token: 16 characters.
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
func bootstrapTail(b []byte) bool {
	if len(b) < 16 || !lowerNum[b[15]] || !lowerNum[b[9]] {
		return false // nearly always, and soon
	}
	return lowerNum.run(b, 17) == 16 && (len(b) == 16 || !nameByte[b[16]] || b[16] == '.')
}

// findBootstrap takes abcdef.0123456789abcdef. The names of events look much the same, a name and a number in hexadecimal digits, so
// those are taken only behind the word token.
func findBootstrap(p place) (hit, bool) {
	id := lowerNum.runBack(p.before, 7)
	if id > 6 && p.before[len(p.before)-7] == 'n' && len(p.before) > 7 && p.before[len(p.before)-8] == '\\' {
		id = 6
	}
	if id != 6 {
		return hit{}, false
	}
	head, tail := p.before[:len(p.before)-6], p.after[1:17]
	h := hit{from: -6, body: fixed(17)}
	if len(head) > 0 && nameByte[head[len(head)-1]] && !bounded(head) {
		return hit{}, false
	}
	if i := len(head) - 1; i >= 0 && (head[i] == '-' || head[i] == '.' || head[i] == '_') {
		return hit{}, false
	}
	digits := 0
	for _, c := range tail {
		if digit[c] {
			digits++
		}
	}
	random := digits > 0 && digits < 16 && hexLower.run(tail, 16) < 16
	return h, random || afterToken(head)
}

// afterToken reports whether the word token, and at most a word and punctuation, stands at the end of b.
func afterToken(b []byte) bool {
	b = bytes.ToLower(b[max(len(b)-24, 0):])
	i := bytes.LastIndex(b, []byte("token"))
	return i >= 0 && bytes.IndexByte(b[i:], '\n') < 0
}
