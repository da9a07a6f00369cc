package node

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

func TestUnits(t *testing.T) {
	collecttest.Run(t, "testdata/units/*.txtar", unitsCollector())
}

func TestParseSystemctlShow(t *testing.T) {
	const text = "before any property\n" +
		"Id=a.service\nExecStart={ path=/bin/a ; argv[]=/bin/a --x=1 }\nExecStart={ path=/bin/b }\nlower=continues the value\n\n\n" +
		"Id=b.service\nMemoryCurrent=[not set]\nMemoryMax=infinity\nMemoryLimit=18446744073709551615\nTasksMax=9223372036854775807\nNRestarts=3\r\n"
	units, malformed := parseSystemctlShow([]byte(text))
	if len(units) != 2 || malformed != 1 {
		t.Fatalf("got %d units, %d malformed lines", len(units), malformed)
	}
	want := "{ path=/bin/a ; argv[]=/bin/a --x=1 }\n{ path=/bin/b }\nlower=continues the value"
	if got := units[0].Properties["ExecStart"]; got != want {
		t.Errorf("ExecStart: got %q, want %q", got, want)
	}
	b := units[1]
	if b.MemoryCurrentBytes != nil || b.MemoryMaxBytes != nil || b.TasksMax != nil || b.Restarts == nil || *b.Restarts != 3 {
		t.Errorf("got %+v", b)
	}
}

func TestSystemdTime(t *testing.T) {
	tests := []struct {
		in   string
		want time.Time
	}{
		{"Fri 2026-11-20 08:00:00 UTC", time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)},
		{"Fri 2026-11-20 08:00:00 CET", time.Time{}},
		{"", time.Time{}},
		{"n/a", time.Time{}},
	}
	for _, tt := range tests {
		if got := systemdTime(tt.in); !got.Equal(tt.want) {
			t.Errorf("%q: got %v, want %v", tt.in, got, tt.want)
		}
	}
}

func FuzzParseSystemctlShow(f *testing.F) {
	f.Add([]byte("Id=a.service\nNRestarts=3\n\nId=b.service\n"))
	f.Add([]byte("=\n\n=x\nA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		units, malformed := parseSystemctlShow(data)
		if n := len(units) + malformed; n > 1+strings.Count(string(data), "\n") {
			t.Errorf("%d units and malformed lines", n)
		}
		for _, u := range units {
			for k, v := range u.Properties {
				if !isSystemdProperty(k) || !utf8.ValidString(v) {
					t.Errorf("property %q=%q", k, v)
				}
			}
		}
	})
}

func FuzzParseSystemctlFailed(f *testing.F) {
	f.Add([]byte("● a.service loaded failed failed A thing\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, u := range parseSystemctlFailed(data) {
			if u.Name == "" || u.SubState == "" {
				t.Errorf("got %+v", u)
			}
		}
	})
}
