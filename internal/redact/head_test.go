package redact

import (
	"bytes"
	"strings"
	"testing"
)

func TestStreamBeginsInAKey(t *testing.T) {
	body := strings.Repeat("MIIEpAIBAAKCAQEA7LEAKabcd1234LEAKefgh5678LEAKijkl9012LEAKmnop345\n", 3) + "LEAKab+8aB==\n"
	end := "-----END RSA PRIVATE KEY-----\n"
	cri := func(text string) string {
		return "2026-01-01T00:00:00Z stdout F " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n2026-01-01T00:00:00Z stdout F ") + "\n"
	}
	docker := func(text string) string {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		return `{"log":"` + strings.Join(lines, `\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}`+"\n"+`{"log":"`) + `\n","stream":"stdout"}` + "\n"
	}
	for _, tt := range []struct {
		name, text string
		masked     int64
	}{
		{"plain", body + end + "next line\n", 4},
		{"in a container's log", cri(body+end) + "next line\n", 4},
		{"in a Docker log", docker(body+end) + "next line\n", 4},
		{"to the end of the stream", body[:len(body)-1], 4},
		{"Windows line ends", strings.ReplaceAll(body+end, "\n", "\r\n"), 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 7, 1 << 20} {
				var out bytes.Buffer
				w := newTestRedactor(t).NewWriter(&out)
				for p := []byte(tt.text); len(p) > 0; {
					n := min(size, len(p))
					if _, err := w.Write(p[:n]); err != nil {
						t.Fatal(err)
					}
					p = p[n:]
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if got := out.String(); strings.Contains(got, "LEAK") || strings.Count(got, "\n") != strings.Count(tt.text, "\n") || strings.Contains(tt.text, "next") != strings.Contains(got, "next line") {
					t.Errorf("size %d: got %q", size, got)
				}
				if got := w.Counts()[privateKeyRule]; got != tt.masked {
					t.Errorf("counted %d, want %d", got, tt.masked)
				}
			}
		})
	}
}

func TestStreamThatBeginsLikeAKey(t *testing.T) {
	for _, text := range []string{
		"sha256sum:\n", "3f2504e04f8941d39a0c0305e82c3301aabbccddeeff00112233445566778899\n", "\n", "word\n",
		strings.Repeat("x", 10_000), strings.Repeat("x", 10_000) + "\nAbc1\n", "I0101 Kubelet started\nMIIEpAIBAAKCAQEA7\n",
	} {
		var out bytes.Buffer
		w := newTestRedactor(t).NewWriter(&out)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != text {
			t.Errorf("%.40q became %.60q", text, out.String())
		}
	}
}
