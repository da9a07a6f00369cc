package redact

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestZZ(t *testing.T) {
	d, _ := os.ReadFile("/tmp/adv.txt")
	r := newTestRedactor(t)
	for _, s := range strings.Split(strings.TrimSpace(string(d)), "\n") {
		s = strings.NewReplacer(`<NL>`, "\n", `<NUL>`, "\x00").Replace(s)
		fmt.Printf("%q\n  -> %q\n", s, r.String(s))
	}
}
