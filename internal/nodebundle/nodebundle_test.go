package nodebundle

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/periscope-k8s/periscope/internal/bundle"
	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/manifest"
	"github.com/periscope-k8s/periscope/internal/redact"
)

func runInto(t *testing.T, r *redact.Redactor, opts collect.Options) (map[string]string, *manifest.Manifest) {
	t.Helper()
	w, err := bundle.NewWriter(bundle.Options{Path: filepath.Join(t.TempDir(), "n.zip"), Redactor: r})
	if err != nil {
		t.Fatal(err)
	}
	m := &manifest.Manifest{}
	m.Collectors = collect.Run(t.Context(), &collect.Env{}, w, opts)
	f, err := w.Close(m)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b, err := bundle.Open(file, f.Size)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, mf := range m.Files {
		data, err := fs.ReadFile(b, mf.Name)
		if err != nil {
			t.Fatal(err)
		}
		files[mf.Name] = string(data)
	}
	return files, m
}

func redactor(t *testing.T) *redact.Redactor {
	r, err := redact.New(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A log whose lines get shorter by masking must still keep about its limit.
func TestKeepEndWithMaskedSecrets(t *testing.T) {
	jwt := "eyJhbGciOiJSUzI1NiIsImtpZCI6IkxFQUsifQ.eyJpc3MiOiJMRUFLTEVBS0xFQUsifQ." + strings.Repeat("AbCd1234", 40)
	const limit = 1 << 20
	for _, every := range []int{0, 10, 1} {
		for _, own := range []int64{limit, 0} {
			t.Run(fmt.Sprint("every", every, "limit", own), func(t *testing.T) {
				var wrote int64
				files, m := runInto(t, redactor(t), collect.Options{Collectors: []collect.Collector{{Name: "c", Size: limit, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
					w, err := collect.CreateLog(out, "log", own)
					if err != nil {
						return err
					}
					var buf bytes.Buffer
					for i := 0; wrote < 20*limit; i++ {
						s := strings.Repeat("x", 300)
						if every > 0 && i%every == 0 {
							s = jwt
						}
						fmt.Fprintf(&buf, "%09d %s\n", i, s)
						if buf.Len() > 32<<10 {
							n, err := w.Write(buf.Bytes())
							wrote += int64(n)
							if err != nil {
								return err
							}
							buf.Reset()
						}
					}
					return w.Close()
				}}}})
				got := files["c/log"]
				t.Logf("kept %d of %d; manifest %+v; result %d bytes %d cut", len(got), wrote, m.Files[0], m.Collectors[0].Bytes, m.Collectors[0].Cut)
				if m.Collectors[0].Bytes < limit/2 || (every != 1 && len(got) < limit/2) {
					t.Errorf("kept only %d bytes of a log with a limit of %d", len(got), limit)
				}
				if m.Files[0].CutEnd != 0 {
					t.Errorf("a log that keeps its end lost %d bytes at its end", m.Files[0].CutEnd)
				}
			})
		}
	}
}

// One Write greater than the limit.
func TestOneBigWrite(t *testing.T) {
	var all strings.Builder
	for i := 0; all.Len() < 100_000; i++ {
		fmt.Fprintf(&all, "%09d\n", i)
	}
	for _, tt := range []struct{ size, limit int64 }{{10_000, 0}, {1 << 20, 10_000}} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			files, m := runInto(t, nil, collect.Options{Collectors: []collect.Collector{{Name: "c", Size: tt.size, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
				w, err := collect.CreateLog(out, "log", tt.limit)
				if err != nil {
					return err
				}
				if _, err := w.Write([]byte(all.String())); err != nil {
					return err
				}
				return w.Close()
			}}}})
			got := files["c/log"]
			if !strings.HasSuffix(all.String(), got) || len(got) > 10_000 {
				t.Errorf("kept %d bytes, first %.10q last %.10q; %+v", len(got), got, got[max(0, len(got)-10):], m.Files[0])
			}
		})
	}
}

// A log that finds little room left by the collector's other files.
func TestLogWithLittleRoom(t *testing.T) {
	for _, room := range []int{0, 5_000, 20_000, 40_000, 100_000} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			var all strings.Builder
			files, m := runInto(t, nil, collect.Options{Collectors: []collect.Collector{{Name: "c", Size: 1 << 20, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
				if err := collect.WriteFile(out, "other", make([]byte, 1<<20-room)); err != nil {
					return err
				}
				w, err := collect.CreateLog(out, "log", 500_000)
				if err != nil {
					return err
				}
				for i := 0; all.Len() < 1_000_000; {
					var b strings.Builder
					for b.Len() < 32<<10 {
						fmt.Fprintf(&b, "%09d\n", i)
						i++
					}
					all.WriteString(b.String())
					if _, err := w.Write([]byte(b.String())); err != nil {
						return err
					}
				}
				return w.Close()
			}}}})
			got := files["c/log"]
			if !strings.HasSuffix(all.String(), got) {
				t.Errorf("room %d: kept %d bytes, first %.10q last %.10q, of lines to %s; %+v", room, len(got), got, got[max(0, len(got)-10):], all.String()[all.Len()-10:], m.Files[len(m.Files)-1])
			}
		})
	}
}

// A plain file that was cut must not go on after the hole.
func TestHoleLeaksSecret(t *testing.T) {
	files, m := runInto(t, redactor(t), collect.Options{Collectors: []collect.Collector{{Name: "c", Size: 100_000, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
		log, err := collect.CreateLog(out, "log", 90_000)
		if err != nil {
			return err
		}
		for range 9_000 {
			fmt.Fprintf(log, "%09d\n", 1)
		}
		w, err := out.Create("plain")
		if err != nil {
			return err
		}
		w.Write([]byte(strings.Repeat("123456789\n", 999)))
		w.Write([]byte("some text password=SUPER")) // 10 bytes fit
		for range 10 {
			fmt.Fprintf(log, "%09d\n", 2) // drops 1/16
		}
		w.Write([]byte("SECRETVALUE\nafter\n"))
		return w.Close()
	}}}})
	for _, f := range m.Files {
		if f.Name == "c/plain" {
			t.Logf("%+v", f)
			if strings.Contains(files[f.Name], "SECRETVALUE") {
				t.Errorf("leak after a hole: %q", files[f.Name][len(files[f.Name])-60:])
			}
		}
	}
}

// Logs against a model: whatever is written, what stays is the end of what the same text
// without limits gives, it begins with a line, and it is most of what the limit allows.
func TestLogModel(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 5))
		size := int64(200_000 + r.IntN(1_000_000))
		limit := int64(0)
		if r.IntN(2) == 0 {
			limit = size/4 + r.Int64N(size)
		}
		other := r.Int64N(size / 2)
		var red *redact.Redactor
		if r.IntN(2) == 0 {
			red = redactor(t)
		}
		var all strings.Builder
		files, m := runInto(t, red, collect.Options{Collectors: []collect.Collector{{Name: "c", Size: size, Run: func(_ context.Context, _ *collect.Env, out collect.Output) error {
			if err := collect.WriteFile(out, "other", make([]byte, other)); err != nil {
				return err
			}
			w, err := collect.CreateLog(out, "log", limit)
			if err != nil {
				return err
			}
			for i := 0; int64(all.Len()) < 4*size; i++ {
				var b strings.Builder
				for n := r.IntN(64 << 10); b.Len() < n; i++ {
					fmt.Fprintf(&b, "%09d %s", i, strings.Repeat("abcdefgh ", r.IntN(20)))
					if r.IntN(20) == 0 {
						fmt.Fprintf(&b, "password=%016x%016x", r.Uint64(), r.Uint64())
					}
					b.WriteString("\n")
				}
				all.WriteString(b.String())
				if _, err := w.Write([]byte(b.String())); err != nil {
					return err
				}
			}
			return w.Close()
		}}}})
		want := all.String()
		if red != nil {
			want = red.String(want)
		}
		got, c := files["c/log"], m.Collectors[0]
		allowed := size - other
		if limit > 0 {
			allowed = min(allowed, limit)
		}
		if !strings.HasSuffix(want, got) || !strings.HasSuffix(want[:len(want)-len(got)], "\n") {
			t.Errorf("seed %d: not the end, from a line start", seed)
		}
		if d := int64(len(got)); d < allowed*3/4-70_000 || d > allowed*5/4+130_000 {
			t.Errorf("seed %d: kept %d of %d allowed (redact %v)", seed, d, allowed, red != nil)
		}
		if c.Bytes+c.Cut != other+int64(all.Len()) {
			t.Errorf("seed %d: %d bytes + %d cut, of %d", seed, c.Bytes, c.Cut, other+int64(all.Len()))
		}
	}
}
