package bundle

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestLogModel drops from logs of random lines: what stays is the exact end, and begins with
// a line when no line is longer than a segment.
func TestLogModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newTestWriter(t, Options{})
		e := create(t, w, "a/log")
		limit := int64(1000 + r.IntN(200_000))
		e.KeepEnd(limit)
		var all strings.Builder
		var size int64
		long := r.IntN(3) == 0
		for all.Len() < int(limit)*3 {
			n := r.IntN(200)
			if long && r.IntN(4) == 0 {
				n = r.IntN(30_000)
			}
			p := strings.Repeat("x", n) + "\n"
			if r.IntN(3) == 0 {
				p = p[:len(p)-1] // line goes on with the next write
			}
			if over := size + int64(len(p)) - limit; over > 0 {
				size -= e.DropFront(over)
			}
			all.WriteString(p)
			size += int64(len(p))
			fmt.Fprint(e, p)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		done, _ := finish(t, w)
		files, m := readFinished(t, done)
		got := files["a/log"]
		if !strings.HasSuffix(all.String(), got) || fileOf(t, m, "a/log").CutFront+int64(len(got)) != int64(all.Len()) {
			t.Fatalf("seed %d: wrong content or count", seed)
		}
		if before := all.String()[:all.Len()-len(got)]; !long && before != "" && !strings.HasSuffix(before, "\n") {
			t.Errorf("seed %d limit %d: the log begins in the middle of a line (%d kept)", seed, limit, len(got))
		}
	}
}

// TestPartsEndWithLines writes in pieces of random lengths.
func TestPartsEndWithLines(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newTestWriter(t, Options{})
		e := create(t, w, "a/log")
		e.limit = int64(1600 + r.IntN(3000))
		var all strings.Builder
		for range 300 {
			p := strings.Repeat("x", r.IntN(90)) + "\n"
			all.WriteString(p)
		}
		for s := all.String(); s != ""; {
			n := min(len(s), 1+r.IntN(60))
			fmt.Fprint(e, s[:n])
			s = s[n:]
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		done, _ := finish(t, w)
		files, m := readFinished(t, done)
		got, mid := "", 0
		for _, f := range m.Files {
			got += files[f.Name]
			if f.Size > e.limit || f.Size == 0 {
				t.Errorf("part of %d bytes", f.Size)
			}
			if !strings.HasSuffix(files[f.Name], "\n") {
				mid++
			}
		}
		if got != all.String() {
			t.Fatalf("seed %d: content differs", seed)
		}
		if mid > 0 {
			t.Errorf("seed %d limit %d: %d of %d parts end in the middle of a line, no line is longer than 91", seed, e.limit, mid, len(m.Files))
		}
	}
}

// TestLogOfOneLine keeps the end of a line that is longer than the limit.
func TestLogOfOneLine(t *testing.T) {
	w := newTestWriter(t, Options{})
	e := create(t, w, "a/log")
	e.KeepEnd(1 << 20)
	var size int64
	for range 80 {
		p := strings.Repeat("x", 128<<10)
		if over := size + int64(len(p)) - 1<<20; over > 0 {
			size -= e.DropFront(over)
		}
		fmt.Fprint(e, p)
		size += int64(len(p))
	}
	e.DropFront(1)
	e.Close()
	done, _ := finish(t, w)
	files, _ := readFinished(t, done)
	if len(files["a/log"]) < 512<<10 {
		t.Errorf("of one long line %d bytes are kept with a limit of 1 MiB", len(files["a/log"]))
	}
}
