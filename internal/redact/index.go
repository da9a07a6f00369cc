package redact

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

const (
	slotBits  = 15 // the table of 32 KiB stays in a core's first level cache
	maxGroups = 255
	foldGram  = 0x20202020
	foldCase  = 0x2020202020202020 // makes letters lower case, and a few other bytes equal, which at() sorts out
)

// An anchor is a literal that announces a secret of a rule.
type anchor struct {
	text string // lower case, unless exact
	rule *rule
}

func (a anchor) at(b []byte) bool {
	if len(b) < len(a.text) {
		return false
	}
	if a.rule.exact {
		return string(b[:len(a.text)]) == a.text
	}
	for i := range len(a.text) {
		if lower[b[i]] != a.text[i] {
			return false
		}
	}
	return true
}

// An index finds all anchors in one pass: the first four bytes at every position are hashed into a table that says
// which anchors, if any, may lie there. Only a dot is looked for by itself: a bootstrap token has no other literal.
type index struct {
	slots  [1 << slotBits]uint8 // 0, or the group of anchors
	groups [maxGroups + 1][]entry
	dot    []anchor
}

// An entry holds the anchors that begin with four bytes.
type entry struct {
	gram    uint32
	anchors []anchor
}

func newIndex(rules []*rule) *index {
	x := &index{}
	// A filter passes over pseudonyms; their anchor keeps those of the names within them from being looked at.
	x.add(anchor{marker, &rule{exact: true, find: func(place) (hit, bool) { return hit{}, false }}})
	for _, r := range rules {
		for _, text := range r.anchors {
			x.add(anchor{text, r})
		}
	}
	return x
}

func (x *index) add(a anchor) {
	if a.text == "." {
		x.dot = append(x.dot, a)
		return
	}
	var g [4]byte
	if copy(g[:], a.text) == len(g) {
		x.addGram(g, a)
		return
	}
	for c := range 128 {
		if a.rule.next == nil || a.rule.next[c] {
			g[3] = byte(c)
			x.addGram(g, a)
		}
	}
}

func (x *index) addGram(g [4]byte, a anchor) {
	gram := binary.LittleEndian.Uint32(g[:]) | foldGram
	s := slot(uint64(gram))
	if x.slots[s] == 0 {
		x.slots[s] = uint8(1 + s%maxGroups)
	}
	group := &x.groups[x.slots[s]]
	for i := range *group {
		e := &(*group)[i]
		if e.gram == gram {
			if !slices.Contains(e.anchors, a) {
				e.anchors = append(e.anchors, a)
			}
			return
		}
	}
	*group = append(*group, entry{gram, []anchor{a}})
}

func slot(w uint64) uint32 {
	return uint32(w) * 0x9E3779B1 >> (32 - slotBits)
}

// next returns the first position in b[i:limit] where an anchor lies, and the anchors that may be it; or limit and nil.
func (x *index) next(b []byte, i, limit int) (int, []anchor) {
	t := &x.slots
	for ; i < limit && i+12 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		v := binary.LittleEndian.Uint64(b[i+4:]) | foldCase
		dots := w ^ 0x2e2e2e2e2e2e2e2e
		dots = (dots - 0x0101010101010101) & ^dots & 0x8080808080808080
		w |= foldCase
		hits := dots |
			uint64(t[slot(w)]) | uint64(t[slot(w>>8)])<<8 | uint64(t[slot(w>>16)])<<16 | uint64(t[slot(w>>24)])<<24 |
			uint64(t[slot(v)])<<32 | uint64(t[slot(v>>8)])<<40 | uint64(t[slot(v>>16)])<<48 | uint64(t[slot(v>>24)])<<56
		for hits != 0 {
			k := bits.TrailingZeros64(hits) / 8
			if i+k >= limit {
				return limit, nil
			}
			if a := x.at(b[i+k:]); a != nil {
				return i + k, a
			}
			hits &^= 0xff << (8 * k)
		}
	}
	for ; i < limit; i++ {
		if a := x.at(b[i:]); a != nil {
			return i, a
		}
	}
	return limit, nil
}

// at returns the anchors that may lie at the start of b, nil when none does.
func (x *index) at(b []byte) []anchor {
	if b[0] == '.' {
		if bootstrapTail(b[1:]) {
			return x.dot
		}
		return nil
	}
	if len(b) < 4 {
		return nil
	}
	gram := binary.LittleEndian.Uint32(b) | foldGram
	for _, e := range x.groups[x.slots[slot(uint64(gram))]] {
		if e.gram == gram {
			return e.anchors
		}
	}
	return nil
}

// expand returns the spellings of a word in which ~ is the joint between two words: api~key is apikey, api_key,
// api-key, api.key and "api key".
func expand(word string) []string {
	if !strings.Contains(word, "~") {
		return []string{word}
	}
	var all []string
	for _, joint := range []string{"", "_", "-", ".", " "} {
		all = append(all, strings.ReplaceAll(word, "~", joint))
	}
	return all
}
