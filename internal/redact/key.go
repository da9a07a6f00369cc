package redact

import "bytes"

// A key finds the value that belongs to a name, in the notations of configuration files, JSON, headers, logs and command lines.
type key struct {
	whole    bool              // the keyword is a word of its own in the name: pass in db_pass, not in bypass
	header   bool              // an HTTP header: the value has blanks, and may begin with the name of a scheme
	colon    bool              // only a colon comes before the value
	spaced   bool              // a blank is enough before the value
	sql      bool              // a blank is enough before a value in quotes
	joints   string            // the value is a list of settings with these bytes between
	nested   bool              // the value may be the nested lines below
	password bool              // paths and words of prose are values
	valid    func([]byte) bool // when set, decides about values
}

// keys is a rule for the values of names that end with one of the words; see expand.
func keys(name string, k key, words ...string) *rule {
	r := &rule{name: name, find: k.find}
	for _, w := range words {
		r.anchors = append(r.anchors, expand(w)...)
	}
	return r
}

// before limits what may follow the words.
func (r *rule) before(next *byteSet) *rule {
	r.next = next
	return r
}

func (k key) find(p place) (hit, bool) {
	name := p.name()
	c := cursor{b: p.after, i: p.lit}
	if k.whole && !name.whole(p.after[0] <= 'Z') || !endOfName(&c) || p.notSecret(name) {
		return hit{}, false
	}
	a := assign{key: k, place: p, name: name}
	if !a.separator(&c) {
		return hit{}, false
	}
	b, ok := a.value(&c)
	h := hit{from: c.i, body: b}
	if !ok || a.keep(h) {
		return hit{}, false
	}
	return h, true
}

// endOfName skips what may follow the keyword within a name, and reports whether the name ends there: the value of
// secretName or token-ttl is no secret, that of PASSWORD_2 or tokenValue is.
func endOfName(c *cursor) bool {
	c.skip(digit, 3)
	if !nameByte[c.peek()] {
		return true
	}
	for _, t := range tails {
		longer := *c
		longer.skip(joint, 1)
		if longer.takeFold(t) && longer.nameEnds() {
			*c = longer
			return true
		}
	}
	return c.nameEnds()
}

func (c *cursor) nameEnds() bool {
	if next := c.peek(); next == '-' || next == '.' {
		return !nameByte[c.peekAt(1)]
	}
	return !word[c.peek()]
}

var joint = setOf("_.-")

var tails = []string{"value", "data", "string", "text", "plaintext", "plain", "base64", "b64", "encoded", "raw", "base", "prod", "dev", "test",
	"staging", "old", "new", "current", "previous", "primary", "secondary", "1", "2"}

// notSecret knows the names that end in a keyword and hold no secret.
func (p place) notSecret(name keyName) bool {
	full := append(bytes.ToLower(name.text), bytes.ToLower(p.after[:p.lit])...)
	full = bytes.Map(func(r rune) rune {
		if r < 0x80 && joint[r] {
			return -1
		}
		return r
	}, full)
	for _, n := range notSecrets {
		if bytes.HasSuffix(full, []byte(n)) {
			return true
		}
	}
	return len(name.text) == 0 && (bytes.HasSuffix(p.before, []byte("nexpected ")) || bytes.HasSuffix(p.before, []byte("checksum/")))
}

var notSecrets = []string{"pagetoken", "nexttoken", "continuetoken", "continuationtoken", "cancellationtoken", "imagepullsecret", "existingsecret"}
