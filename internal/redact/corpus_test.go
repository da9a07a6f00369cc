package redact

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A sample is a case of testdata/mask.txt or keep.txt: a line "== name" and the text below it. In mask.txt ⟦x⟧ marks a secret,
// which has "fake" in it, and the name begins with the rule that finds it. \0 and \e stand for those control characters.
type sample struct {
	name    string
	text    string // as read by the filter
	want    string // an expression for the result
	secrets []string
}

var secretMark = regexp.MustCompile(`(?s)⟦(.*?)⟧`)

func readSamples(t testing.TB, file string) []sample {
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for _, part := range strings.Split("\n"+string(data), "\n== ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		text = strings.NewReplacer(`\0`, "\x00", `\e`, "\x1b").Replace(strings.TrimSuffix(text, "\n"))
		rule, _, _ := strings.Cut(name, " ")
		s := sample{name: name}
		pos := 0
		var in, want strings.Builder
		for _, m := range secretMark.FindAllStringSubmatchIndex(text, -1) {
			in.WriteString(text[pos:m[0]] + text[m[2]:m[3]])
			want.WriteString(regexp.QuoteMeta(text[pos:m[0]]) + marker + rule + "-[0-9a-f]{10}")
			s.secrets = append(s.secrets, text[m[2]:m[3]])
			pos = m[1]
		}
		in.WriteString(text[pos:])
		want.WriteString(regexp.QuoteMeta(text[pos:]))
		s.text, s.want = in.String(), "^"+want.String()+"$"
		all = append(all, s)
	}
	return all
}

func newTestRedactor(t testing.TB, rules ...Rule) *Redactor {
	r, err := New([]byte("0123456789abcdef"), rules...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func redactAll(t testing.TB, r *Redactor, pieces ...[]byte) []byte {
	var out bytes.Buffer
	w := r.NewWriter(&out)
	for _, p := range pieces {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestMask(t *testing.T) {
	r := newTestRedactor(t)
	for _, s := range readSamples(t, "mask.txt") {
		t.Run(s.name, func(t *testing.T) {
			if len(s.secrets) == 0 {
				t.Fatal("no secret is marked")
			}
			got := r.String(s.text)
			if !regexp.MustCompile(s.want).MatchString(got) {
				t.Errorf("text %q\n got %q\nwant %s", s.text, got, s.want)
			}
			if again := r.String(got); again != got {
				t.Errorf("redacted again\n got %q\nwant %q", again, got)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	r := newTestRedactor(t)
	for _, s := range readSamples(t, "keep.txt") {
		t.Run(s.name, func(t *testing.T) {
			if got := r.String(s.text); got != s.text {
				t.Errorf(" got %q\nwant %q", got, s.text)
			}
		})
	}
}
