package redact

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestNewRejects(t *testing.T) {
	good := regexp.MustCompile(`x(y)`)
	for _, c := range []struct {
		name string
		key  string
		rule Rule
		want string
	}{
		{"short key", "short", Rule{Name: "a", Regexp: good}, "5 bytes"},
		{"name", "0123456789abcdef", Rule{Name: "Not Kebab", Regexp: good}, "lower-case words"},
		{"long name", "0123456789abcdef", Rule{Name: strings.Repeat("a", 41), Regexp: good}, "at most 40"},
		{"built-in name", "0123456789abcdef", Rule{Name: "jwt", Regexp: good}, "taken"},
		{"no pattern", "0123456789abcdef", Rule{Name: "a"}, "no pattern"},
		{"empty match", "0123456789abcdef", Rule{Name: "a", Regexp: regexp.MustCompile(`x*`)}, "empty string"},
		{"empty match inside", "0123456789abcdef", Rule{Name: "a", Regexp: regexp.MustCompile(`\b`)}, "empty string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New([]byte(c.key), c.rule)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := New([]byte("0123456789abcdef"), Rule{Name: "a", Regexp: good}, Rule{Name: "a", Regexp: good}); err == nil {
		t.Error("two rules of one name are accepted")
	}
}

func TestPseudonymIsStable(t *testing.T) {
	a, b := newTestRedactor(t), newTestRedactor(t)
	other, err := New([]byte("another key, as long"))
	if err != nil {
		t.Fatal(err)
	}
	digitsOf := func(r *Redactor, s string) string {
		got := r.String(s)
		return got[len(got)-digits:]
	}
	plain := digitsOf(a, "password=fakeHunter2")
	for _, s := range []string{"token=fakeHunter2", "  apiKey: fakeHunter2", "postgres://u:fakeHunter2"} {
		if got := digitsOf(b, s); strings.HasPrefix(s, "postgres") == (got == plain) {
			t.Errorf("digits of %q are %s, those of the same secret elsewhere %s", s, got, plain)
		}
	}
	if got := digitsOf(other, "password=fakeHunter2"); got == plain {
		t.Error("digits do not depend on the key")
	}
	if got := digitsOf(a, "password=fakeHunter3"); got == plain {
		t.Error("digits do not depend on the secret")
	}
}

func TestPseudonymShape(t *testing.T) {
	r := newTestRedactor(t)
	shape := regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	for _, name := range r.RuleNames() {
		p := pseudonym(name, r.newMAC())
		if !shape.MatchString(p) || r.pseudonymLen([]byte(p)) != len(p) {
			t.Errorf("pseudonym %q is not recognised", p)
		}
		for _, s := range []string{p, "password=" + p, `{"token":"` + p + `"}`, "Cookie: " + p, "https://u:" + p + "@h/", "?sig=" + p + "&x=1"} {
			if got := r.String(s); got != s {
				t.Errorf("%q is redacted again: %q", s, got)
			}
		}
	}
	for _, s := range []string{"REDACTED-token", "REDACTED-token-", "REDACTED-token-012345678", "REDACTED-token-012345678G",
		"REDACTED-fakefake-0123456789", "REDACTED-TOKEN-0123456789", "redacted-token-0123456789", "REDACTED-token-0123456789-fake"} {
		if got := r.String("password=" + s + " x"); strings.Contains(got, s) {
			t.Errorf("%q passes as a pseudonym: %q", s, got)
		}
	}
}

func TestRuleNames(t *testing.T) {
	r := newTestRedactor(t, Rule{Name: "zz-mine", Regexp: regexp.MustCompile("x+")})
	names := r.RuleNames()
	if !slices.IsSorted(names) || !slices.Contains(names, "jwt") || !slices.Contains(names, "zz-mine") {
		t.Errorf("names are %q", names)
	}
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("a name is there twice: %q", names)
	}
	for _, n := range names {
		if !ruleName.MatchString(n) || len(n) > maxName {
			t.Errorf("name %q is not in kebab-case or too long", n)
		}
	}
}

// Every rule has a case: a rule without one cannot be trusted.
func TestEveryRuleHasASample(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range readSamples(t, "mask.txt") {
		name, _, _ := strings.Cut(s.name, " ")
		seen[name] = true
	}
	for _, n := range newTestRedactor(t).RuleNames() {
		if !seen[n] {
			t.Errorf("testdata/mask.txt has no case for %s", n)
		}
	}
}

func TestTableKeepsItsContracts(t *testing.T) {
	for _, r := range builtin() {
		for _, a := range r.anchors {
			if a != "." && len(a) < 3 {
				t.Errorf("%s: anchor %q is shorter than three bytes", r.name, a)
			}
			if !r.exact && a != strings.ToLower(a) {
				t.Errorf("%s: anchor %q is not lower case and never matches", r.name, a)
			}
		}
	}
}

func TestStringOfNothing(t *testing.T) {
	if got := newTestRedactor(t).String(""); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestStringOfLongText(t *testing.T) {
	text := strings.Repeat("plain text ", 50_000)
	if got := newTestRedactor(t).String(text + "password=fakeHunter2"); !strings.HasPrefix(got, text+"password=REDACTED-") {
		t.Errorf("long text is changed")
	}
}
