package redact

// A block tells the lines of a YAML block from those after it.
type block struct {
	indent  int  // of the key; the lines of the block have more
	slashes int  // backslashes of a newline: 0 for real ones, 1 for \n in a string
	cri     bool // each line has the head of a container log line
}

// scalar is a YAML block: the lines that are indented more than their key. Its text begins in the first of them.
func scalar(b block) body {
	s := body{stops: setOf("\n"), ends: endBlock, block: b}
	if b.slashes > 0 {
		s.stops = setOf("\\\"\n")
	}
	return s
}

func endBlock(s *body, b []byte) int {
	c := cursor{b: b}
	slashes, ok := c.newline()
	switch {
	case b[0] == '"' || ok && slashes < s.block.slashes:
		return 0
	case !ok || slashes != s.block.slashes:
		return max(backslash.run(b, len(b)), 1)
	case s.block.inside(&c):
		return c.i
	}
	return 0
}

// inside reports whether the line at c belongs to the block, and skips its indentation.
func (k block) inside(c *cursor) bool {
	if k.cri {
		n, _ := criHead(c.rest())
		c.i += n
	}
	n := c.skip(blank, bodyAhead)
	if len(c.rest()) == 0 || n > k.indent {
		return true
	}
	rest := *c
	slashes, blankLine := rest.newline()
	return blankLine && slashes == k.slashes
}

// blockAt reads the rest of a key's line and returns the block below it. The cursor comes to the block's text.
func blockAt(c *cursor, start lineStart) (block, bool) {
	c.skip(blank, maxGap)
	slashes, ok := c.newline()
	k := block{indent: start.indent, slashes: slashes, cri: start.cri}
	if !start.ok {
		k.indent = 0 // of a key within a line nothing is known: every indented line may be of its block
	}
	if !ok || k.indent > maxIndent {
		return k, false
	}
	for range maxGap {
		if !k.inside(c) {
			return k, false
		}
		if _, blankLine := c.newline(); !blankLine {
			return k, len(c.rest()) > 0
		}
	}
	return k, false
}

// emptyBlock reports whether there is nothing but the sign of a block on the rest of a line.
func emptyBlock(b []byte) bool {
	c := cursor{b: b, i: 1}
	c.skip(blockDetail, 2)
	_, newline := c.newline()
	return blockSign[b[0]] && (newline || len(c.rest()) == 0)
}

var (
	blockSign   = setOf("|>")
	blockDetail = digit.with("+-")
)

const (
	maxGap    = 256 // blanks and the like between a key and its value
	maxIndent = 128
)
