package cli

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type printed struct {
	Zeta  string         `json:"zeta"`
	Alpha map[string]any `json:"alpha,omitempty"`
	Size  int64          `json:"size"`
	List  []string       `json:"list"`
}

func TestPrintObject(t *testing.T) {
	v := printed{
		Zeta: "true", Size: 12345678901234, Alpha: map[string]any{"k": "1e3", "n": nil},
		List: []string{"a<b>&c", "two\nlines", "esc\x1b[0m", "bidi\u202e", "del\x7f\u009b", "tag\U000e0041", "tab\t", "- dash", "", "日本"},
	}
	const wantJSON = `{
  "zeta": "true",
  "alpha": {
    "k": "1e3",
    "n": null
  },
  "size": 12345678901234,
  "list": [
    "a<b>&c",
    "two\nlines",
    "esc\u001b[0m",
    "bidi\u202e",
    "del\u007f\u009b",
    "tag\udb40\udc41",
    "tab\t",
    "- dash",
    "",
    "日本"
  ]
}
`
	const wantYAML = `zeta: "true"
alpha:
  k: "1e3"
  n: null
size: 12345678901234
list:
  - a<b>&c
  - |-
    two
    lines
  - "esc\e[0m"
  - "bidi\u202e"
  - "del\x7F\x9B"
  - "tag\U000E0041"
  - "tab\t"
  - '- dash'
  - ""
  - 日本
`
	for format, want := range map[string]string{"json": wantJSON, "yaml": wantYAML} {
		t.Run(format, func(t *testing.T) {
			var b bytes.Buffer
			if err := printObject(&b, format, v); err != nil {
				t.Fatal(err)
			}
			if b.String() != want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), want)
			}
			var back printed
			if format == "json" {
				if err := json.Unmarshal(b.Bytes(), &back); err != nil {
					t.Fatal(err)
				}
			} else {
				var generic any
				if err := yaml.Unmarshal(b.Bytes(), &generic); err != nil {
					t.Fatal(err)
				}
				data, err := json.Marshal(generic)
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(data, &back); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(back, v) {
				t.Errorf("read back %+v, want %+v", back, v)
			}
		})
	}
}

func TestPrintObjectFailure(t *testing.T) {
	err := printObject(&bytes.Buffer{}, "json", func() {})
	if err == nil || !strings.HasPrefix(err.Error(), "print as json: ") {
		t.Errorf("got %v, want an error that names the format", err)
	}
}
