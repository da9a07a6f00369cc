package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// printObject writes v as json or yaml, with the names of its JSON form. Characters that a
// terminal does not simply show are escaped, in the way of the format.
func printObject(w io.Writer, format string, v any) error {
	data, err := encodeJSON(v)
	if err == nil && format == "yaml" {
		data, err = jsonToYAML(escapeStrings(data, format))
	}
	if err != nil {
		return fmt.Errorf("print as %s: %w", format, err)
	}
	_, err = w.Write(escapeStrings(data, format))
	return err
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// jsonToYAML keeps the order of the fields. YAML allows no hidden characters in data.
func jsonToYAML(data []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	plain(&doc)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	err := enc.Close()
	return b.Bytes(), err
}

// plain drops the braces and quotes of JSON, but not the quotes that escapes need.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && bytes.ContainsFunc([]byte(n.Value), hidden) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		plain(c)
	}
}

// hidden reports whether a terminal may do something else with r than show it.
func hidden(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// escapeStrings escapes hidden characters. Both formats have them only within double
// quotes, where \u and a number stands for a character.
func escapeStrings(data []byte, format string) []byte {
	if !bytes.ContainsFunc(data, hidden) {
		return data
	}
	out := make([]byte, 0, len(data)+64)
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case !hidden(r):
			out = append(out, data[:n]...)
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, r)
		case format == "yaml":
			out = fmt.Appendf(out, `\U%08x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		}
		data = data[n:]
	}
	return out
}
