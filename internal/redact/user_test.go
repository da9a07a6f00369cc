package redact

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestParseRules(t *testing.T) {
	got, err := ParseRules(strings.NewReader(`# ours
rules:
  - name: acme-license
    pattern: 'license=(\w{8,})'
    literal: license=
  - name: acme-id
    pattern: 'id (?P<kind>\w) (?P<secret>\d+)'
`), "rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "acme-license" || got[0].Literal != "license=" || got[0].Line != 3 || got[1].Line != 6 {
		t.Fatalf("rules are %+v", got)
	}
	if a, b := got[0].group(), got[1].group(); a != 1 || b != 2 {
		t.Errorf("secrets are in groups %d and %d, want 1 and 2", a, b)
	}
	r := newTestRedactor(t, got...)
	if got := r.String("license=fake12345 id x 4711 id"); !regexp.MustCompile(`^license=REDACTED-acme-license-\w{10} id x REDACTED-acme-id-\w{10} id$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
}

func TestParseRulesOfNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "rules: []\n"} {
		if got, err := ParseRules(strings.NewReader(text), "f"); err != nil || len(got) != 0 {
			t.Errorf("%q: rules %v, error %v", text, got, err)
		}
	}
}

func TestParseRulesErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"syntax", "rules: [", "parse f: "},
		{"no rules", "other: 1\n", `f:1: unknown field "other"`},
		{"not a mapping", "- a\n", "f:1: want fields"},
		{"not a list", "rules: a\n", "f:1: want a list"},
		{"rule is a string", "rules:\n- a\n", "f:2: want fields"},
		{"unknown field", "rules:\n- name: a\n  pattern: b\n  patern: c\n", `f:4: unknown field "patern"`},
		{"field twice", "rules:\n- name: a\n  name: b\n  pattern: c\n", `f:3: field "name" is there twice`},
		{"no name", "rules:\n- pattern: b\n", "f:2: rule without name"},
		{"no pattern", "rules:\n- name: b\n", "f:2: rule without pattern"},
		{"bad name", "rules:\n- name: A_b\n  pattern: b\n", "f:2: rule name"},
		{"duplicate", "rules:\n- name: a\n  pattern: b\n- name: a\n  pattern: c\n", `f:4: rule name "a" is taken`},
		{"built-in", "rules:\n- name: password\n  pattern: b\n", "f:2: rule name"},
		{"bad expression", "rules:\n- name: a\n  pattern: '('\n", "f:3: pattern: error parsing regexp"},
		{"empty match", "rules:\n- name: a\n  pattern: 'x*'\n", "f:2: rule a: pattern x* matches the empty string"},
		{"pattern is a list", "rules:\n- name: a\n  pattern: [b]\n", "f:3: pattern: want a string"},
		{"two documents", "rules: []\n---\nrules: []\n", "more than one document"},
		{"too long", strings.Repeat("#", maxRules+1), "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseRules(strings.NewReader(c.text), "f")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	broken := errors.New("broken")
	if _, err := ParseRules(iotest.ErrReader(broken), "f"); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestUserRules(t *testing.T) {
	for _, c := range []struct {
		name    string
		rules   []Rule
		in, out string // N stands for the digits
	}{
		{"whole match", []Rule{{Name: "a", Regexp: regexp.MustCompile(`key-\d+`)}}, "x key-12 y", "x REDACTED-a-N y"},
		{"group", []Rule{{Name: "a", Regexp: regexp.MustCompile(`key=(\d+)`)}}, "x key=12 y", "x key=REDACTED-a-N y"},
		{"group that is not there", []Rule{{Name: "a", Regexp: regexp.MustCompile(`key(=\d+)?!`)}}, "x key! y", "x key! y"},
		{"more than one", []Rule{{Name: "a", Regexp: regexp.MustCompile(`key=(\d+)`)}}, "key=1 key=2\nkey=3", "key=REDACTED-a-N key=REDACTED-a-N\nkey=REDACTED-a-N"},
		{"per line", []Rule{{Name: "a", Regexp: regexp.MustCompile(`^key (.+)$`)}}, "x\nkey a b\ny", "x\nkey REDACTED-a-N\ny"},
		{"not over lines", []Rule{{Name: "a", Regexp: regexp.MustCompile(`key\s+\d+`)}}, "key\n12", "key\n12"},
		{"literal", []Rule{{Name: "a", Regexp: regexp.MustCompile(`\d+`), Literal: "key"}}, "12\nkey 13\n14", "12\nkey REDACTED-a-N\n14"},
		{"overlap", []Rule{{Name: "a", Regexp: regexp.MustCompile(`bcd`)}, {Name: "b", Regexp: regexp.MustCompile(`abc|def`)}}, "xabcdefx", "xREDACTED-b-Nx"},
		{"with built-in", []Rule{{Name: "a", Regexp: regexp.MustCompile(`key=(\d+)`)}}, "key=12 password=fake", "key=REDACTED-a-N password=REDACTED-password-N"},
		{"value of a built-in", []Rule{{Name: "a", Regexp: regexp.MustCompile(`password=(\w+)`)}}, "password=fake x", "password=REDACTED-a-N x"},
		{"in a pseudonym", []Rule{{Name: "abc-1", Regexp: regexp.MustCompile(`abc-\d`)}}, "x abc-1 y", "x REDACTED-abc-1-N y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newTestRedactor(t, c.rules...)
			got := r.String(c.in)
			want := strings.ReplaceAll(regexp.QuoteMeta(c.out), "N", "[0-9a-f]{10}")
			if !regexp.MustCompile("^" + want + "$").MatchString(got) {
				t.Errorf("got %q, want %q", got, c.out)
			}
			if again := r.String(got); again != got {
				t.Errorf("redacted again: %q", again)
			}
		})
	}
}

func TestUserRulesOnLongLines(t *testing.T) {
	r := newTestRedactor(t, Rule{Name: "mine", Regexp: regexp.MustCompile(`mine-(\w+)`)})
	filler := strings.Repeat("plain text ", 8_000)
	for at := lineWindow - lineOverlap - 50; at < lineWindow+50; at += 97 {
		got := string(redactAll(t, r, []byte(filler[:at]+" mine-fakeHunter2 "+filler[at:])))
		if leaks([]byte(got)) >= 0 {
			t.Fatalf("the secret at %d comes through", at)
		}
		if len(got) != len(filler)+len(" mine-REDACTED-mine-0123456789 ") {
			t.Fatalf("the text around the secret at %d is changed", at)
		}
	}
	for _, size := range []int{lineOverlap - 100, 5 * lineWindow} {
		secret := strings.Repeat("fake", size/4)
		got := redactAll(t, r, []byte(filler[:lineWindow-2000]+" mine-"+secret+" after\n"))
		if leaks(got) >= 0 || !bytes.HasSuffix(got, []byte(" after\n")) {
			t.Errorf("a secret of %d bytes comes through, or the text after it is gone", size)
		}
	}
}

func TestRedactorIsSafeForConcurrentUse(t *testing.T) {
	r := newTestRedactor(t, Rule{Name: "mine", Regexp: regexp.MustCompile(`mine-(\w+)`)})
	want := r.String("password=fake mine-fake")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if got := r.String("password=fake mine-fake"); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte("rules:\n- name: a\n  pattern: b\n  literal: c\n"))
	f.Add([]byte("rules: [{name: a, pattern: '(?P<secret>x)'}]"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("rules:\n- <<: {name: a}\n  pattern: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := ParseRules(bytes.NewReader(data), "f")
		if err != nil {
			if !strings.Contains(err.Error(), "f") {
				t.Errorf("error %q does not name the file", err)
			}
			return
		}
		if _, err := New([]byte("0123456789abcdef"), rules...); err != nil {
			t.Errorf("rules that were parsed are not accepted: %v", err)
		}
	})
}

func ExampleRedactor_String() {
	r, err := New([]byte("a key of the run, kept secret"))
	if err != nil {
		panic(err)
	}
	fmt.Println(r.String(`{"user":"app","password":"hunter2"}`))
	// Output: {"user":"app","password":"REDACTED-password-fa93b66f44"}
}
