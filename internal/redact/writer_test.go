package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// frames are the ways in which a text comes to lie in a log.
var frames = []struct {
	name string
	wrap func(string) string
}{
	{"plain", func(s string) string { return "before\n" + s + "\nafter\n" }},
	{"cri", func(s string) string {
		head := "2026-09-21T12:00:00.123456789Z stdout F "
		return head + strings.ReplaceAll(s, "\n", "\n"+head) + "\n" + head + "after\n"
	}},
	{"docker", func(s string) string {
		return `{"log":` + quoteJSON(s+"\n") + `,"stream":"stdout","time":"2026-09-21T12:00:00.123456789Z"}` + "\nafter\n"
	}},
	{"journal", func(s string) string {
		return `{"_PID":"1","MESSAGE":` + quoteJSON(s) + `,"PRIORITY":"6"}` + "\n" + `{"MESSAGE":"after"}` + "\n"
	}},
	{"docker of json", func(s string) string {
		return `{"log":` + quoteJSON(`{"msg":`+quoteJSON(s)+`,"level":"info"}`+"\n") + `,"stream":"stdout"}` + "\nafter\n"
	}},
	{"yaml", func(s string) string {
		return "data:\n  config: |\n    " + strings.ReplaceAll(s, "\n", "\n    ") + "\n  after: true\n"
	}},
	{"long line", func(s string) string {
		filler := strings.Repeat("lorem ipsum 0123 ", 2500) // longer than a window
		return filler + " " + s + " \n" + filler + "\nafter\n"
	}},
}

func quoteJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// leaks returns where a part of a secret is in b, -1 if nowhere.
func leaks(b []byte) int { return bytes.Index(bytes.ToLower(b), []byte("fake")) }

// fits reports whether a sample can lie in a frame: a container log line is nothing within other lines.
func (s sample) fits(frame string) bool {
	return frame == "plain" || !strings.Contains(s.name, " cri")
}

func TestMaskInFrames(t *testing.T) {
	r := newTestRedactor(t)
	for _, f := range frames {
		for _, s := range readSamples(t, "mask.txt") {
			if !s.fits(f.name) {
				continue
			}
			t.Run(f.name+"/"+s.name, func(t *testing.T) {
				text := f.wrap(s.text)
				got := string(redactAll(t, r, []byte(text)))
				for _, secret := range s.secrets {
					if strings.Contains(got, secret) {
						t.Errorf("%q comes through", secret)
					}
				}
				if at := leaks([]byte(got)); at >= 0 {
					t.Errorf("part of a secret comes through: %q", got[max(0, at-200):min(len(got), at+100)])
				}
				if !strings.HasSuffix(text, got[len(got)-6:]) && !strings.Contains(s.name, "cut") {
					t.Errorf("the text after it is gone: %q", got[max(0, len(got)-100):])
				}
			})
		}
	}
}

func TestKeepInFrames(t *testing.T) {
	r := newTestRedactor(t)
	for _, f := range frames {
		for _, s := range readSamples(t, "keep.txt") {
			t.Run(f.name+"/"+s.name, func(t *testing.T) {
				text := f.wrap(s.text)
				got := string(redactAll(t, r, []byte(text)))
				if got != text {
					i := 0
					for got[i] == text[i] {
						i++
					}
					t.Errorf("changed to %q", got[max(0, i-80):min(len(got), i+80)])
				}
			})
		}
	}
}

// One line of a megabyte with every secret that does not take all the rest of its line.
func TestMaskInTheMiddleOfALine(t *testing.T) {
	r := newTestRedactor(t)
	var line bytes.Buffer
	for _, s := range readSamples(t, "mask.txt") {
		toTheEnd := !strings.HasSuffix(r.String(s.text+" after"), " after")
		if !strings.Contains(s.text, "\n") && s.fits("long line") && !toTheEnd {
			fmt.Fprintf(&line, "%s %s ", strings.Repeat("lorem ipsum 0123 ", 450), s.text)
		}
	}
	if line.Len() < 1<<20 {
		t.Fatalf("the line has only %d bytes", line.Len())
	}
	got := redactAll(t, r, line.Bytes())
	if at := leaks(got); at >= 0 {
		t.Errorf("part of a secret comes through: %q", got[max(0, at-200):min(len(got), at+100)])
	}
	if lost := line.Len() - len(got); lost > line.Len()/100 {
		t.Errorf("%d bytes of %d are gone", lost, line.Len())
	}
}

// corpus returns all samples in all frames as one stream.
func corpus(t testing.TB) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		for _, file := range []string{"mask.txt", "keep.txt"} {
			for _, s := range readSamples(t, file) {
				if f.name != "long line" && !strings.Contains(s.name, "cut") {
					b.WriteString(f.wrap(s.text))
				}
			}
		}
	}
	return b.Bytes()
}

func TestSplitsDoNotMatter(t *testing.T) {
	rules := []Rule{{Name: "word", Regexp: regexp.MustCompile(`lorem (\w+)`)}, {Name: "lit", Regexp: regexp.MustCompile(`kube\S+`), Literal: "kube"}}
	for _, r := range []*Redactor{newTestRedactor(t), newTestRedactor(t, rules...)} {
		text := corpus(t)
		text = append(text, bytes.Repeat([]byte("lorem ipsum kubelet password=fakeHunter2 "), 1200)...)
		want := redactAll(t, r, text)
		bytewise := make([][]byte, len(text))
		for i := range text {
			bytewise[i] = text[i : i+1]
		}
		if got := redactAll(t, r, bytewise...); !bytes.Equal(got, want) {
			t.Errorf("one byte at a time: %s", firstDifference(got, want))
		}
		for seed := range uint64(3) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var pieces [][]byte
			for rest := text; len(rest) > 0; {
				n := min(1+rnd.IntN(1<<rnd.IntN(18)), len(rest))
				pieces = append(pieces, rest[:n])
				rest = rest[n:]
			}
			if got := redactAll(t, r, pieces...); !bytes.Equal(got, want) {
				t.Errorf("split %d: %s", seed, firstDifference(got, want))
			}
		}
	}
}

// The size of the window must not matter either.
func TestWindowsDoNotMatter(t *testing.T) {
	r := newTestRedactor(t)
	text := corpus(t)
	want := redactAll(t, r, text)
	for _, size := range []int{1, 7, 64, 1000} {
		if got := redactInWindows(t, r, text, size); !bytes.Equal(got, want) {
			t.Errorf("window of %d: %s", size, firstDifference(got, want))
		}
	}
}

func redactInWindows(t testing.TB, r *Redactor, text []byte, size int) []byte {
	var out bytes.Buffer
	f := newFilter(r, &out, size)
	h := &head{r: r, next: f, counts: f.counts}
	if err := errors.Join(h.write(text), h.close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func firstDifference(got, want []byte) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("at %d\n got %q\nwant %q", i, got[max(0, i-100):min(len(got), i+100)], want[max(0, i-100):min(len(want), i+100)])
}

// A secret must be found wherever it lies with regard to the window.
func TestEveryPosition(t *testing.T) {
	r := newTestRedactor(t)
	secrets := []string{" password=fakeHunter2 ", `{"token":"fakeHunter2"}`, " ghp_fakeAAAABBBBCCCCDDDDEEEEFFFF ", " https://u:fakeHunter2@h/ ",
		" ab38Q~fakeAAAABBBBCCCCDDDDEEEEFFFFGGGGHH ", "\n-----BEGIN PRIVATE KEY-----\nfake\n-----END PRIVATE KEY-----\n"}
	filler := strings.Repeat("0123456789 abcdef\n", 4<<10)
	for _, s := range secrets {
		for _, edge := range []int{window, window + lookAhead, 0} {
			for i := max(edge-150, 0); i < edge+150; i += 17 {
				got := redactAll(t, r, []byte(filler[:i]+s+filler[i:]))
				if leaks(got) >= 0 {
					t.Fatalf("%q comes through at %d", s, i)
				}
				if !bytes.HasPrefix(got, []byte(filler[:i])) || !bytes.HasSuffix(got, []byte(filler[i:])) {
					t.Fatalf("%q at %d changes the text around", s, i)
				}
			}
		}
	}
}

func TestLongSecrets(t *testing.T) {
	r := newTestRedactor(t)
	long := strings.Repeat("fake0123456789AB", 1<<16) // 1 MiB
	for _, c := range []struct{ name, before, after string }{
		{"bare", "a password=", " after"},
		{"quoted", `{"password":"`, `","after":1}`},
		{"line", "\npassword: ", "\nafter"},
		{"jwt", "x eyJhbGciOiJSUzI1NiJ9.", " after"},
		{"jwt with a long header", "x eyJ", " after"},
		{"bearer", "Authorization: Bearer ", "\nafter"},
		{"shape", "ghp_", " after"},
		{"sas", "?sig=", "&after=1"},
		{"url", "https://user:", "@after/"},
		{"pem", "-----BEGIN PRIVATE KEY-----\n", "\n-----END PRIVATE KEY-----\nafter"},
		{"xml", "<Password>", "</Password>after"},
		{"cookie", "Cookie: a=", "\nafter"},
		{"flag", "--token ", " after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(redactAll(t, r, []byte(c.before+long+c.after)))
			if leaks([]byte(got)) >= 0 || len(got) > 200 {
				t.Errorf("got %d bytes: %.300q", len(got), got)
			}
			if !strings.Contains(got, "after") {
				t.Errorf("the text after it is gone: %q", got)
			}
			short := string(redactAll(t, r, []byte(c.before+long[:32]+"x"+c.after)))
			if short == got {
				t.Error("the pseudonym does not depend on the whole secret")
			}
		})
	}
}

func TestUnterminatedSecretIsMaskedToTheEnd(t *testing.T) {
	r := newTestRedactor(t)
	key := strings.Repeat("fakefakefakeFAKEFAKEFAKE0123456789fakefakefakeFAKEFAKEFAKE01234\n", 5000)
	for _, text := range []string{"-----BEGIN RSA PRIVATE KEY-----\n" + key, `{"password":"fakefake`, "password: |\n  fake\n  fake", "token=fake"} {
		got := redactAll(t, r, []byte(text))
		if leaks(got) >= 0 {
			t.Errorf("%.40q comes through: %.200q", text, got)
		}
	}
}

// A line that looks like the start of a key must not hide the rest of a log.
func TestPrivateKeyCutShort(t *testing.T) {
	text := "-----BEGIN PRIVATE KEY-----\nfakefakefakefakefakefake\n" + strings.Repeat("a plain line of a log\n", 2000) + "the end\n"
	got := newTestRedactor(t).String(text)
	if leaks([]byte(got)) >= 0 || !strings.HasSuffix(got, "the end\n") {
		t.Errorf("got %.100q ... %q", got, got[max(0, len(got)-100):])
	}
}

func TestMemoryIsBounded(t *testing.T) {
	r := newTestRedactor(t, Rule{Name: "mine", Regexp: regexp.MustCompile(`mine-\w+`)})
	w := r.NewWriter(io.Discard)
	piece := bytes.Repeat([]byte("x pwd=ab https://a:bc@d "), 1<<12)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 4 { // half a megabyte in one line
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 300<<10 {
		t.Errorf("the writer holds %d bytes", grown)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCounts(t *testing.T) {
	w := newTestRedactor(t).NewWriter(io.Discard)
	if _, err := io.WriteString(w, "password=fake1 token=fake2 password=fake3 password=REDACTED-token-0123456789"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := w.Counts(); got["password"] != 2 || got["token"] != 1 || len(got) != 2 {
		t.Errorf("counts are %v", got)
	}
}

type failing struct {
	left int
	got  bytes.Buffer
}

var errDisk = errors.New("disk")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errDisk
	}
	return f.got.Write(p)
}

func TestErrorIsSticky(t *testing.T) {
	for _, rules := range [][]Rule{nil, {{Name: "mine", Regexp: regexp.MustCompile(`mine-\w+`)}}} {
		to := &failing{left: 100_000}
		w := newTestRedactor(t, rules...).NewWriter(to)
		piece := bytes.Repeat([]byte("plain text "), 10_000)
		var err error
		for i := 0; i < 10 && err == nil; i++ {
			_, err = w.Write(piece)
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("error %v, want %v", err, errDisk)
		}
		to.left = 1 << 30
		if _, err := w.Write([]byte("x")); !errors.Is(err, errDisk) {
			t.Errorf("write after the error: %v", err)
		}
		if err := w.Close(); !errors.Is(err, errDisk) {
			t.Errorf("close after the error: %v", err)
		}
		if to.got.Len() > 100_000 {
			t.Errorf("%d bytes written after the error", to.got.Len())
		}
	}
}

func TestErrorOfTheLastWrite(t *testing.T) {
	w := newTestRedactor(t).NewWriter(&failing{})
	if _, err := w.Write([]byte("short")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, errDisk) {
		t.Errorf("error %v, want %v", err, errDisk)
	}
}

func TestClosedWriter(t *testing.T) {
	var out bytes.Buffer
	w := newTestRedactor(t).NewWriter(&out)
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Errorf("close twice: %v", err)
	}
	if _, err := w.Write([]byte("x")); err == nil || out.Len() > 0 {
		t.Errorf("write after close: error %v, output %q", err, out.String())
	}
}

type panicking struct{ bytes.Buffer }

func (p *panicking) Write(b []byte) (int, error) { panic("broken") }

func TestPanicStopsTheWriter(t *testing.T) {
	to := &panicking{}
	w := newTestRedactor(t).NewWriter(to)
	func() {
		defer func() {
			if recover() == nil {
				t.Fatal("no panic")
			}
		}()
		_, _ = w.Write(bytes.Repeat([]byte("plain "), 100_000))
	}()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("write after a panic is accepted")
	}
	if err := w.Close(); err == nil {
		t.Error("close after a panic is accepted")
	}
}

var plainTail = bytes.Repeat([]byte("a plain line of text\n"), (lookAhead+1000)/21)

// plants are lines with the secret X that must be masked whatever comes before and after them.
var plants = []string{"password=X", "password=<X>", `{"a":1,"token":"X"}`, "DB_PASSWORD: X", "https://user:X@host/", "Authorization: Bearer X", "x ghp_X y",
	`{"log":"{\"secret\":\"X\"}\n"}`, "-----BEGIN PRIVATE KEY-----\nX\n-----END PRIVATE KEY-----", "?sig=X&sp=r", "AccountKey=X;a=b", "<Password>X</Password>"}

func FuzzWriter(f *testing.F) {
	for _, file := range []string{"mask.txt", "keep.txt"} {
		for i, s := range readSamples(f, file) {
			f.Add([]byte(s.text), uint64(i), i)
		}
	}
	r := newTestRedactor(f)
	f.Fuzz(func(t *testing.T, text []byte, seed uint64, at int) {
		lines := bytes.SplitAfter(text, []byte("\n"))
		i := 0
		if len(lines) > 0 && at > 0 {
			i = at % len(lines)
		}
		planted := "\n" + strings.ReplaceAll(plants[seed%uint64(len(plants))], "X", "MARKERfakeHunter0123456789") + "\n"
		stream := bytes.Join(lines[:i], nil)
		stream = append(stream, planted...)
		stream = append(stream, bytes.Join(lines[i:], nil)...)
		want := redactAll(t, r, stream)
		if bytes.Contains(want, []byte("MARKER")) && !bytes.Contains(text, []byte("MARKER")) {
			t.Errorf("the planted secret comes through\ntext %q\n got %q", stream, want)
		}
		// Behind long plain text the stream does not end within what a finder sees, and small windows split it anywhere.
		stream = append(stream, plainTail...)
		long := redactAll(t, r, stream)
		if got := redactInWindows(t, r, stream, 1+int(seed%300)); !bytes.Equal(got, long) {
			t.Errorf("windows: %s", firstDifference(got, long))
		}
		if again := redactAll(t, r, want); !bytes.Equal(again, want) {
			t.Errorf("twice: %s\ntext %q", firstDifference(again, want), stream)
		}
	})
}
