package redact

import "bytes"

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
	n := pemLabel(p.after[p.lit:])
	if n == 0 || dash.runBack(p.before, 4) < 4 {
		return hit{}, false
	}
	c := cursor{b: p.after, i: p.lit + n}
	prose := afterPhrase[c.peek()] || c.quoteAhead() || wordsFollow(c.rest())
	return hit{from: -4, body: privateKey()}, !prose
}

var (
	dash        = setOf("-")
	afterPhrase = setOf(".,;:)")
)

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

// encodedPEM is "-----BEGIN" in base64, without the last bits.
const encodedPEM = "LS0tLS1CRUdJTi"

// findEncodedPEM takes PEM in base64 unless it begins with a certificate or a public key.
func findEncodedPEM(p place) (hit, bool) {
	label := p.after[p.lit:]
	public := bytes.HasPrefix(label, []byte("BDRVJUSUZJQ0FUR")) || bytes.HasPrefix(label, []byte("BQVUJMSUMg"))
	return hit{body: of(base64any)}, !public && base64std.run(label, 32) == 32
}
