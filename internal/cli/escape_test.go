package cli

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "kubelet/kubelet.log", "kubelet/kubelet.log"},
		{"other scripts", "журнал/日志/é", "журнал/日志/é"},
		{"escape sequence", "a\x1b[2Jb", `a\x1b[2Jb`},
		{"line ends and tabs", "a\nb\tc\r", `a\nb\tc\r`},
		{"nul and delete", "\x00\x7f", `\x00\x7f`},
		{"C1 control", "a\u009b31m", `a\u009b31m`},
		{"right-to-left override", "log\u202etxt.exe", `log\u202etxt.exe`},
		{"isolates and zero width", "\u2066a\u200b\ufeff", `\u2066a\u200b\ufeff`},
		{"tag characters", "\U000e0041", `\U000e0041`},
		{"invalid UTF-8", "a\xff\xc3", `a\xff\xc3`},
		{"replacement character itself", "\ufffd", "\ufffd"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := escape(tt.in); got != tt.want {
				t.Errorf("escape(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestEscapeWriter(t *testing.T) {
	const in = "one\ttwo\n\x1b]0;title\a日本\u202e\xe6\x97\r\nend\xf0\x9f"
	const want = "one\ttwo\n" + `\x1b]0;title\a日本\u202e\xe6\x97\r` + "\n" + `end\xf0\x9f`
	for size := 1; size <= len(in); size++ {
		var got strings.Builder
		w := &escapeWriter{w: &got}
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			if k, err := w.Write([]byte(rest[:n])); k != n || err != nil {
				t.Fatalf("Write = %d, %v; want %d, nil", k, err, n)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got.String() != want {
			t.Fatalf("in pieces of %d bytes: %q, want %q", size, got.String(), want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x1b[0m\n", 3)
	f.Add("\xf0\x9f\x98\x80\xf0", 2)
	f.Fuzz(func(t *testing.T, in string, cut int) {
		whole := escape(in)
		if strings.ContainsFunc(whole, func(r rune) bool { return r != '\ufffd' && hidden(r) || r == '\n' }) {
			t.Fatalf("escape(%q) = %q holds a character that is not shown", in, whole)
		}
		if cut < 0 || cut > len(in) {
			return
		}
		var split, once strings.Builder
		for _, w := range []struct {
			to    *strings.Builder
			parts []string
		}{{&split, []string{in[:cut], in[cut:]}}, {&once, []string{in}}} {
			e := &escapeWriter{w: w.to}
			for _, p := range w.parts {
				e.Write([]byte(p))
			}
			e.Close()
		}
		if split.String() != once.String() {
			t.Fatalf("split at %d: %q, at once: %q", cut, split.String(), once.String())
		}
	})
}
