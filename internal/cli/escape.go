package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape makes text of unknown origin fit for one line of a terminal: what a terminal does
// not simply show (control characters, escape sequences, invalid UTF-8, marks that turn the
// direction of text or have no width) becomes \n, \x1b, \u202e and the like.
func escape(s string) string {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return string(appendEscaped(nil, []byte(s), ""))
		}
	}
	return s
}

// appendEscaped appends text to b. Bytes of keep stay as they are.
func appendEscaped(b, text []byte, keep string) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, text[0])
		case unicode.IsPrint(r) || (r < utf8.RuneSelf && strings.IndexByte(keep, text[0]) >= 0):
			b = append(b, text[:n]...)
		default:
			quoted := strconv.AppendQuoteRuneToASCII(nil, r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		text = text[n:]
	}
	return b
}

// An escapeWriter writes text to a terminal with all but printable characters, line ends
// and tabs escaped. Close writes what a broken character at the end held back; it does not
// close the terminal.
type escapeWriter struct {
	w    io.Writer
	held []byte // an unfinished character
	buf  []byte
}

func (e *escapeWriter) Write(p []byte) (int, error) {
	text := slices.Concat(e.held, p)
	whole := len(text) - unfinished(text)
	e.buf = appendEscaped(e.buf[:0], text[:whole], "\n\t")
	e.held = text[whole:]
	if _, err := e.w.Write(e.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (e *escapeWriter) Close() error {
	_, err := e.w.Write(appendEscaped(nil, e.held, "\n\t"))
	e.held = nil
	return err
}

// unfinished is the number of bytes at the end of text that may begin a character.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
