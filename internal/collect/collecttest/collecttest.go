// Package collecttest runs collectors over recorded hosts: one txtar archive a case, a
// host tree and recorded commands in, the collected files and the Result out.
//
// Archive files: host/PATH (the tree; "host/PATH -> TARGET" is a symbolic link),
// exec/COMMAND LINE (its standard output), exit/COMMAND LINE (exit code, then standard
// error), window (two lines: since and until, either may be empty), out/NAME (what must be
// collected) and result (state, reason and notes). go test -update rewrites the last two.
package collecttest

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host/hosttest"
)

var update = flag.Bool("update", false, "rewrite the out/ and result files of txtar cases")

// Run runs c over every archive that matches glob, a subtest each.
func Run(t *testing.T, glob string, c collect.Collector) {
	t.Helper()
	cases, err := filepath.Glob(glob)
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases match %s (%v)", glob, err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { runCase(t, path, c) })
	}
}

func runCase(t *testing.T, path string, c collect.Collector) {
	ar, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env := &collect.Env{Host: hosttest.FromTxtar(t, ar), Exec: hosttest.Exec(t, ar), Node: "node-1", Window: window(t, ar)}
	res, files := Collect(t, env, c)
	got := slices.DeleteFunc(slices.Clone(ar.Files), func(f txtar.File) bool {
		return f.Name == "result" || strings.HasPrefix(f.Name, "out/")
	})
	for _, name := range sortedKeys(files) {
		got = append(got, txtar.File{Name: "out/" + name, Data: endLine(files[name])})
	}
	got = append(got, txtar.File{Name: "result", Data: []byte(Summary(res))})
	out := txtar.Format(&txtar.Archive{Comment: ar.Comment, Files: got})
	if *update {
		if err := os.WriteFile(path, out, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := txtar.Format(ar); !bytes.Equal(out, want) {
		t.Errorf("%s: got, from the first line that differs:\n%s", path, differ(string(out), string(want)))
	}
}

// Collect runs one collector and returns its Result and files by name, without the
// collector's folder.
func Collect(t testing.TB, env *collect.Env, c collect.Collector) (collect.Result, map[string][]byte) {
	t.Helper()
	out := &memory{files: map[string][]byte{}}
	res := collect.Run(t.Context(), env, out, collect.Options{Collectors: []collect.Collector{c}})[0]
	files := map[string][]byte{}
	for name, data := range out.files {
		files[strings.TrimPrefix(name, c.Name+"/")] = data
	}
	return res, files
}

// Summary is a Result as text that does not change from run to run.
func Summary(r collect.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "state: %s\n", r.State)
	if r.Reason != "" {
		fmt.Fprintf(&b, "reason: %s\n", r.Reason)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, c := range r.Commands {
		fmt.Fprintf(&b, "command: %s: exit %d %s %s\n", c.Line, c.Exit, strings.TrimSpace(c.Stderr), c.Error)
	}
	return b.String()
}

func window(t *testing.T, ar *txtar.Archive) (w collect.Window) {
	i := slices.IndexFunc(ar.Files, func(f txtar.File) bool { return f.Name == "window" })
	if i < 0 {
		return w
	}
	since, until, _ := strings.Cut(strings.TrimSuffix(string(ar.Files[i].Data), "\n"), "\n")
	for _, b := range []struct {
		text string
		to   *time.Time
	}{{since, &w.Since}, {until, &w.Until}} {
		if b.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, b.text)
		if err != nil {
			t.Fatal(err)
		}
		*b.to = at
	}
	return w
}

func differ(got, want string) string {
	g, w := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	i := 0
	for i < len(g) && i < len(w) && g[i] == w[i] {
		i++
	}
	return fmt.Sprintf("got:\n%swant:\n%s", strings.Join(g[i:min(i+15, len(g))], ""), strings.Join(w[i:min(i+15, len(w))], ""))
}

func endLine(data []byte) []byte {
	if n := len(data); n > 0 && data[n-1] != '\n' {
		return append(data[:n:n], '\n')
	}
	return data
}

func sortedKeys(m map[string][]byte) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// A memory is an Output that keeps files in memory.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

type memoryFile struct {
	bytes.Buffer
	name string
	to   *memory
}

func (m *memory) Create(name string) (io.WriteCloser, error) {
	return &memoryFile{name: name, to: m}, nil
}

func (f *memoryFile) Close() error {
	f.to.mu.Lock()
	defer f.to.mu.Unlock()
	f.to.files[f.name] = f.Bytes()
	return nil
}
