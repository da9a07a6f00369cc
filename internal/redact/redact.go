package redact

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
)

const (
	marker    = "REDACTED-"
	digits    = 10 // hexadecimal digits of a pseudonym
	minKeyLen = 16
)

// A Redactor holds the rules and the key of one run. It does not change and may be used by several goroutines.
type Redactor struct {
	key   []byte
	index *index
	user  []Rule
	names map[string]bool // of all rules, to know a pseudonym
}

// New returns a Redactor with the built-in rules and those given. The key, at least 16 bytes, makes the pseudonyms;
// a secret has the same pseudonym in all Redactors with the same key. New copies the key. A rule that [ParseRules]
// would not accept, or that has the name of a built-in rule, is an error.
func New(key []byte, rules ...Rule) (*Redactor, error) {
	if len(key) < minKeyLen {
		return nil, fmt.Errorf("redaction key has %d bytes: at least %d are needed", len(key), minKeyLen)
	}
	table := builtin()
	r := &Redactor{key: bytes.Clone(key), index: newIndex(table), user: slices.Clone(rules), names: namesOf(table)}
	for _, u := range rules {
		if err := u.check(r.names); err != nil {
			return nil, err
		}
		r.names[u.Name] = true
	}
	return r, nil
}

// RuleNames returns the names of all rules, built-in and user, sorted.
func (r *Redactor) RuleNames() []string {
	return slices.Sorted(maps.Keys(r.names))
}

// NewWriter returns a Writer that writes the redacted text to w. It is for one stream: the start of the stream is the
// start of a line, though perhaps of one in the middle of a private key.
func (r *Redactor) NewWriter(w io.Writer) *Writer {
	f := newFilter(r, w, window)
	var in stage = f
	if len(r.user) > 0 {
		in = newLines(r, f, lineBuffer)
	}
	return &Writer{in: &head{r: r, next: in, counts: f.counts}, counts: f.counts}
}

// String returns s redacted, as a stream of its own. It is meant for short texts: it holds s in memory.
func (r *Redactor) String(s string) string {
	var b bytes.Buffer
	f := newFilter(r, &b, min(len(s), window))
	var in stage = f
	if len(r.user) > 0 {
		in = newLines(r, f, min(len(s), lineBuffer))
	}
	w := Writer{in: in, counts: f.counts}
	_, err := io.WriteString(&w, s)
	if err = errors.Join(err, w.Close()); err != nil {
		return "" // a bytes.Buffer does not fail; were it to, nothing is safer than something
	}
	return b.String()
}

func (r *Redactor) newMAC() hash.Hash { return hmac.New(sha256.New, r.key) }

func pseudonym(name string, mac hash.Hash) string {
	return marker + name + "-" + hex.EncodeToString(mac.Sum(nil))[:digits]
}

// pseudonymLen returns the length of the pseudonym at the start of b, 0 when there is none.
func (r *Redactor) pseudonymLen(b []byte) int {
	if !bytes.HasPrefix(b, []byte(marker)) {
		return 0
	}
	for i := len(marker); i < len(b) && i < len(marker)+maxName+1; i++ {
		if b[i] == '-' && isDigits(b[i+1:]) && r.names[string(b[len(marker):i])] {
			return i + 1 + digits
		}
	}
	return 0
}

func isDigits(b []byte) bool {
	if len(b) < digits {
		return false
	}
	for _, c := range b[:digits] {
		if !hexLower[c] {
			return false
		}
	}
	return true
}
