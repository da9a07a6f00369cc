package redact

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

const (
	maxName  = 40
	maxRules = 1 << 20 // bytes of a rules file
)

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// A Rule is a pattern of the user for secrets, applied to one line at a time.
type Rule struct {
	Name    string         // kebab-case, at most 40 bytes, not that of a built-in rule
	Regexp  *regexp.Regexp // masks its group "secret", else its first group, else all it matches
	Literal string         // when set, only text that has it, in this case, is searched
	Line    int            // in the rules file; 0 when the rule is not from one
}

// ParseRules reads the user's rules; file names the source in errors, which tell the line too.
//
//	rules:
//	  - name: acme-license
//	    pattern: 'license=(\w{8,})'
//	    literal: license=          # optional, makes the rule fast
//
// The pattern is an RE2 expression that does not match the empty string.
func ParseRules(r io.Reader, file string) ([]Rule, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRules+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(data) > maxRules {
		return nil, fmt.Errorf("read %s: longer than %d bytes", file, maxRules)
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("parse %s: %w", file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("parse %s: more than one document", file)
	}
	rules, err := parseDocument(&doc)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	return rules, nil
}

// lineError is completed with the name of the file before it.
func lineError(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%d: "+format, append([]any{n.Line}, args...)...)
}

func parseDocument(doc *yaml.Node) ([]Rule, error) {
	if doc.Kind == 0 {
		return nil, nil
	}
	root, err := fields(doc.Content[0], "rules")
	if err != nil {
		return nil, err
	}
	list := root["rules"]
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil, lineError(doc.Content[0], "want a list of rules below the key rules")
	}
	var rules []Rule
	names := namesOf(builtin())
	for _, n := range list.Content {
		rule, err := parseRule(n)
		if err != nil {
			return nil, err
		}
		if err := rule.check(names); err != nil {
			return nil, lineError(n, "%w", err)
		}
		names[rule.Name] = true
		rules = append(rules, rule)
	}
	return rules, nil
}

func parseRule(n *yaml.Node) (Rule, error) {
	f, err := fields(n, "name", "pattern", "literal")
	if err != nil {
		return Rule{}, err
	}
	rule := Rule{Line: n.Line}
	for _, s := range []struct {
		name string
		to   func(string) error
	}{
		{"name", func(v string) error { rule.Name = v; return nil }},
		{"literal", func(v string) error { rule.Literal = v; return nil }},
		{"pattern", func(v string) (err error) { rule.Regexp, err = regexp.Compile(v); return err }},
	} {
		v := f[s.name]
		if v == nil && s.name == "literal" {
			continue
		}
		if v == nil {
			return Rule{}, lineError(n, "rule without %s", s.name)
		}
		if v.Kind != yaml.ScalarNode {
			return Rule{}, lineError(v, "%s: want a string", s.name)
		}
		if err := s.to(v.Value); err != nil {
			return Rule{}, lineError(v, "%s: %w", s.name, err)
		}
	}
	return rule, nil
}

// fields returns the values of a mapping that has no other keys than those known.
func fields(n *yaml.Node, known ...string) (map[string]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, lineError(n, "want fields: %q", known)
	}
	m := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if !slices.Contains(known, k.Value) {
			return nil, lineError(k, "unknown field %q: want one of %q", k.Value, known)
		}
		if m[k.Value] != nil {
			return nil, lineError(k, "field %q is there twice", k.Value)
		}
		m[k.Value] = n.Content[i+1]
	}
	return m, nil
}

// check reports what is wrong with a rule. used holds the names that are taken.
func (u Rule) check(used map[string]bool) error {
	switch {
	case !ruleName.MatchString(u.Name) || len(u.Name) > maxName:
		return fmt.Errorf("rule name %q: want lower-case words joined by dashes, at most %d bytes", u.Name, maxName)
	case used[u.Name]:
		return fmt.Errorf("rule name %q is taken", u.Name)
	case u.Regexp == nil:
		return fmt.Errorf("rule %s has no pattern", u.Name)
	}
	for _, text := range []string{"", "a", " a-1 "} {
		if at := u.Regexp.FindStringIndex(text); at != nil && at[0] == at[1] {
			return fmt.Errorf("rule %s: pattern %s matches the empty string", u.Name, u.Regexp)
		}
	}
	return nil
}

// group returns the number of the group that holds the secret; 0 is the whole match.
func (u Rule) group() int {
	if i := u.Regexp.SubexpIndex("secret"); i > 0 {
		return i
	}
	return min(u.Regexp.NumSubexp(), 1)
}
