package redact

// A byteSet holds one flag for each byte value.
type byteSet [256]bool

// setOf returns the set of the bytes in s, where a-z stands for a range.
func setOf(s string) *byteSet {
	var t byteSet
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i+1] == '-' {
			for c := int(s[i]); c <= int(s[i+2]); c++ {
				t[c] = true
			}
			i += 2
			continue
		}
		t[s[i]] = true
	}
	return &t
}

func (t *byteSet) with(s string) *byteSet {
	u := *t
	for c, in := range setOf(s) {
		u[c] = u[c] || in
	}
	return &u
}

func (t *byteSet) without(s string) *byteSet {
	u := *t
	for _, c := range []byte(s) {
		u[c] = false
	}
	return &u
}

func (t *byteSet) not() *byteSet {
	var u byteSet
	for c, in := range t {
		u[c] = !in
	}
	return &u
}

// run returns how many bytes at the start of b, at most limit, are in the set.
func (t *byteSet) run(b []byte, limit int) int {
	n := 0
	for n < len(b) && n < limit && t[b[n]] {
		n++
	}
	return n
}

// runBack returns how many bytes at the end of b, at most limit, are in the set.
func (t *byteSet) runBack(b []byte, limit int) int {
	n := 0
	for n < len(b) && n < limit && t[b[len(b)-1-n]] {
		n++
	}
	return n
}

// These tables do not change.
var (
	digit     = setOf("0-9")
	hexLower  = setOf("0-9a-f")
	hexDigit  = setOf("0-9a-fA-F")
	letters   = setOf("a-z")
	lowerNum  = setOf("0-9a-z")
	upperNum  = setOf("0-9A-Z")
	alnum     = setOf("0-9A-Za-z")
	word      = alnum.with("_")
	base64url = alnum.with("_-")
	base64std = alnum.with("+/=")
	base64any = base64std.with("_-")
	nameByte  = alnum.with("_.-")
	blank     = setOf(" \t")
	space     = setOf("\x00-\x20\x7f")
	quotes    = setOf("\"'`")
	lower     = lowerTable()
)

func lowerTable() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] += 'a' - 'A'
	}
	return t
}

// hasFold reports whether b begins with the lower-case text s, in any case.
func hasFold(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range len(s) {
		if lower[b[i]] != s[i] {
			return false
		}
	}
	return true
}
