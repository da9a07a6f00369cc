package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// newTree makes a host with these files. A name that ends with a slash is a folder, one with " -> " a symlink.
func newTree(t testing.TB, files map[string]string) FS {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		name, target, isLink := strings.Cut(name, " -> ")
		local := filepath.Join(root, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(local), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, local)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(local, 0o755)
		default:
			err = os.WriteFile(local, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// linked puts the symlink /link to target into the tree, in the place of an older one.
func linked(t *testing.T, tree FS, target string) FS {
	t.Helper()
	link := filepath.Join(tree.Root(), "link")
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	_ = os.Symlink(target, link) // an impossible target is no link
	return tree
}

func TestOpenRoot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, file + "-missing"} {
		if _, err := Open(root); err == nil {
			t.Errorf("Open(%q) succeeded", root)
		}
	}
}

func TestNames(t *testing.T) {
	tree := newTree(t, map[string]string{"var/log/syslog": "line\n"})
	for _, test := range []struct {
		name string
		want error
	}{
		{"/var/log/syslog", nil},
		{"//var/./log//syslog", nil},
		{"/../../var/log/x/../syslog", nil},
		{"/var/log/syslog/", nil}, // cleaned
		{"var/log/syslog", fs.ErrInvalid},
		{"", fs.ErrInvalid},
		{"/var/log/sys\x00log", fs.ErrInvalid},
		{"/var/log/missing", fs.ErrNotExist},
	} {
		_, err := tree.Stat(test.name)
		if !errors.Is(err, test.want) {
			t.Errorf("Stat(%q) = %v, want %v", test.name, err, test.want)
		}
		var pathError *fs.PathError
		if err != nil && (!errors.As(err, &pathError) || strings.Contains(err.Error(), tree.Root())) {
			t.Errorf("Stat(%q) = %v, want an fs.PathError with the host's path", test.name, err)
		}
	}
}

func TestSymlinks(t *testing.T) {
	tree := newTree(t, map[string]string{
		"data/file":                            "content",
		"log/absolute -> /data/file":           "",
		"log/relative -> ../data/file":         "",
		"log/up -> ../../../../../data/file":   "",
		"log/chain -> /log/absolute":           "",
		"log/folder -> /data":                  "",
		"log/loop -> loop":                     "",
		"log/ping -> pong":                     "",
		"log/pong -> /log/ping":                "",
		"log/dangling -> /data/missing":        "",
		"log/outside -> " + os.TempDir() + "/": "",
		"log/deep -> folder/../log/relative":   "",
	})
	for _, name := range []string{"absolute", "relative", "up", "chain", "folder/file", "deep"} {
		got, err := tree.ReadFile("/log/"+name, 100)
		if err != nil || string(got) != "content" {
			t.Errorf("ReadFile(%s) = %q, %v", name, got, err)
		}
		if info, err := tree.Stat("/log/" + name); err != nil || info.Size() != 7 || info.Name() != path.Base(name) {
			t.Errorf("Stat(%s) = %v, %v", name, info, err)
		}
	}
	for _, name := range []string{"dangling", "outside"} {
		if _, err := tree.Stat("/log/" + name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat(%s) = %v, want not exist", name, err)
		}
	}
	for _, name := range []string{"loop", "ping", "pong"} {
		if _, err := tree.Open("/log/" + name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s) = %v, want too many links", name, err)
		}
		if info, err := tree.Lstat("/log/" + name); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("Lstat(%s) = %v, %v, want a symlink", name, info, err)
		}
	}
	if got, err := tree.ReadLink("/log/up"); got != "../../../../../data/file" || err != nil {
		t.Errorf("ReadLink(up) = %q, %v", got, err)
	}
	if got, err := tree.ReadLink("/data/file"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadLink of a file = %q, %v, want an error that does not say it is missing", got, err)
	}
	entries, err := tree.ReadDir("/log/folder", 0)
	if err != nil || len(entries) != 1 || entries[0].Name() != "file" {
		t.Errorf("ReadDir(folder) = %v, %v", entries, err)
	}
}

func TestReadFile(t *testing.T) {
	tree := newTree(t, map[string]string{"five": "12345", "empty": "", "folder/": ""})
	for _, test := range []struct {
		name  string
		limit int64
		want  string
		err   error
	}{
		{"/five", 5, "12345", nil},
		{"/five", 1 << 62, "12345", nil},
		{"/five", 9223372036854775807, "12345", nil},
		{"/five", 4, "1234", ErrTooLarge},
		{"/five", 0, "", ErrTooLarge},
		{"/five", -1, "", ErrTooLarge},
		{"/empty", 0, "", nil},
		{"/folder", 9, "", ErrNotRegular},
		{"/missing", 9, "", fs.ErrNotExist},
	} {
		got, err := tree.ReadFile(test.name, test.limit)
		if string(got) != test.want || !errors.Is(err, test.err) {
			t.Errorf("ReadFile(%s, %d) = %q, %v, want %q, %v", test.name, test.limit, got, err, test.want, test.err)
		}
	}
}

func TestFileThatChanges(t *testing.T) {
	tree := newTree(t, map[string]string{"log": "0123456789"})
	local := filepath.Join(tree.Root(), "log")
	open := func() *File {
		file, err := tree.Open("/log")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	read := func(file *File, want string) {
		t.Helper()
		if got, err := io.ReadAll(file); string(got) != want || err != nil {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	}

	first := open()
	if _, err := io.ReadFull(first, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(local, 6); err != nil {
		t.Fatal(err)
	}
	read(first, "45")

	if err := os.Remove(local); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Open("/log"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a removed file = %v", err)
	}
	if err := os.WriteFile(local, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Seek(-2, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	read(first, "45")
	second := open()
	a, errA := first.Stat()
	b, errB := second.Stat()
	if errA != nil || errB != nil || os.SameFile(a, b) {
		t.Errorf("Stat of the removed and the new file: %v %v %v %v", a, errA, b, errB)
	}
	read(second, "new")
	if got := second.Name(); got != "/log" {
		t.Errorf("Name() = %q", got)
	}
}

func TestSparseFile(t *testing.T) {
	tree := newTree(t, map[string]string{"lastlog": ""})
	const size = 10 << 30
	if err := os.Truncate(filepath.Join(tree.Root(), "lastlog"), size); err != nil {
		t.Skip(err)
	}
	info, err := tree.Stat("/lastlog")
	if err != nil || info.Size() != size {
		t.Fatalf("Stat = %v, %v", info, err)
	}
	file, err := tree.Open("/lastlog")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got, err := file.Seek(-3, io.SeekEnd); got != size-3 || err != nil {
		t.Errorf("Seek = %d, %v", got, err)
	}
	if got, err := io.ReadAll(file); string(got) != "\x00\x00\x00" || err != nil {
		t.Errorf("read the end: %q, %v", got, err)
	}
	if n, err := file.ReadAt(make([]byte, 8), size-4); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
	if got, err := tree.ReadFile("/lastlog", 10); len(got) != 10 || !errors.Is(err, ErrTooLarge) {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
}

func names(entries []fs.DirEntry) []string {
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestReadDir(t *testing.T) {
	tree := newTree(t, map[string]string{"d/b": "12", "d/a/": "", "d/c -> b": "", "file": ""})
	entries, err := tree.ReadDir("/d", 3)
	if got := names(entries); !slices.Equal(got, []string{"a", "b", "c"}) || err != nil {
		t.Fatalf("ReadDir = %v, %v", got, err)
	}
	if !entries[0].IsDir() || entries[1].Type() != 0 || entries[2].Type() != fs.ModeSymlink {
		t.Errorf("types of %v", entries)
	}
	if info, err := entries[1].Info(); err != nil || info.Size() != 2 {
		t.Errorf("Info(b) = %v, %v", info, err)
	}
	if info, err := entries[2].Info(); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("Info(c) = %v, %v", info, err)
	}
	if entries, err := tree.ReadDir("/d", 2); len(entries) != 2 || !errors.Is(err, ErrTooMany) {
		t.Errorf("ReadDir with limit 2 = %v, %v", entries, err)
	}
	if err := os.Remove(filepath.Join(tree.Root(), "d/b")); err != nil {
		t.Fatal(err)
	}
	if _, err := entries[1].Info(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info of a removed file = %v", err)
	}
	if entries, err := tree.ReadDir("/file", 0); len(entries) != 0 || err == nil {
		t.Errorf("ReadDir of a file = %v, %v", entries, err)
	}
}

func TestGlob(t *testing.T) {
	tree := newTree(t, map[string]string{
		"var/log/a.log":           "",
		"var/log/b.log":           "",
		"var/log/b.log.1":         "",
		"var/log/[x].log":         "",
		"var/log/link.log -> /no": "",
		"var/log/sub/c.log":       "",
		"var/log/out -> ../../..": "",
		"var/log/loop -> loop":    "",
		"var/file":                "",
	})
	for _, test := range []struct {
		pattern string
		want    string
	}{
		{"/var/log/?.log", "/var/log/a.log /var/log/b.log"},
		{"/var/log/b*", "/var/log/b.log /var/log/b.log.1"},
		{"/var/log/[a-b].log", "/var/log/a.log /var/log/b.log"},
		{`/var/log/\[x].log`, "/var/log/[x].log"},
		{"/var/log/l*.log", "/var/log/link.log"},
		{"/var/*/a.log", "/var/log/a.log"},
		{"/*/*/*/c.log", "/var/log/sub/c.log"},
		{"/var/log/out/var/f*", "/var/log/out/var/file"},
		{"/var/log/a.log", "/var/log/a.log"},
		{"/var/file/*", ""},
		{"/var/missing", ""},
		{"/missing/*", ""},
		{"/", "/"},
	} {
		got, err := tree.Glob(test.pattern)
		if strings.Join(got, " ") != test.want || err != nil && test.pattern != "/*/*/*/c.log" {
			t.Errorf("Glob(%s) = %q, %v, want %q", test.pattern, got, err, test.want)
		}
	}
	for _, pattern := range []string{"/var/**/x", "/var/[", `/var/\`, "/var/[z-"} {
		if _, err := tree.Glob(pattern); !errors.Is(err, path.ErrBadPattern) {
			t.Errorf("Glob(%s) = %v, want a bad pattern", pattern, err)
		}
	}
	if _, err := tree.Glob("var/*"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Glob of a relative pattern = %v", err)
	}
}

func TestTooMany(t *testing.T) {
	tree := newTree(t, map[string]string{"many/": "", "one/file": ""})
	for i := range MaxEntries + 1 {
		if err := os.Mkdir(filepath.Join(tree.Root(), "many", fmt.Sprint(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := tree.Glob("/many/*"); len(got) != MaxEntries || !slices.IsSorted(got) || !errors.Is(err, ErrTooMany) {
		t.Errorf("Glob = %d names, %v", len(got), err)
	}
	if got, err := tree.Glob("/many/77[7]"); len(got) != 1 || err != nil {
		t.Errorf("Glob of one among many = %v, %v", got, err)
	}
	if got, err := tree.ReadDir("/many", 0); len(got) != MaxEntries || !errors.Is(err, ErrTooMany) {
		t.Errorf("ReadDir = %d names, %v", len(got), err)
	}
	visited, errs := 0, 0
	err := tree.Walk("/", 2, func(name string, info fs.FileInfo, err error) error {
		visited++
		if errors.Is(err, ErrTooMany) && name == "/many" {
			errs++
		}
		return nil
	})
	// root, many (twice), its first entries, one, one/file
	if want := 1 + 2 + MaxEntries + 2; visited != want || errs != 1 || err != nil {
		t.Errorf("Walk visited %d, want %d, with %d errors, want 1: %v", visited, want, errs, err)
	}
}

func TestWalk(t *testing.T) {
	tree := newTree(t, map[string]string{
		"log/a":                  "",
		"log/b/c/d":              "",
		"log/b/up -> ..":         "",
		"log/b/z":                "",
		"log/e":                  "",
		"link -> log":            "",
		"outside/secret/content": "",
	})
	walk := func(name string, depth int, stop map[string]error) (visited []string, err error) {
		err = tree.Walk(name, depth, func(name string, info fs.FileInfo, err error) error {
			if err != nil {
				name += "!"
			}
			visited = append(visited, name)
			return stop[name]
		})
		return visited, err
	}
	failure := errors.New("enough")
	for _, test := range []struct {
		name  string
		depth int
		stop  map[string]error
		want  string
		err   error
	}{
		{name: "/log", depth: 0, want: "/log"},
		{name: "/log", depth: 1, want: "/log /log/a /log/b /log/e"},
		{name: "/log/", depth: 2, want: "/log /log/a /log/b /log/b/c /log/b/up /log/b/z /log/e"},
		{name: "/log/b", depth: 99, want: "/log/b /log/b/c /log/b/c/d /log/b/up /log/b/z"},
		{name: "/link", depth: 1, want: "/link /link/a /link/b /link/e"},
		{name: "/link/b/up", depth: 1, want: "/link/b/up /link/b/up/a /link/b/up/b /link/b/up/e"},
		{name: "/log/a", depth: 1, want: "/log/a"},
		{name: "/missing", depth: 1, want: "/missing!"},
		{name: "/missing", depth: 1, stop: map[string]error{"/missing!": failure}, want: "/missing!", err: failure},
		{name: "/log", depth: 2, stop: map[string]error{"/log/b": fs.SkipDir}, want: "/log /log/a /log/b /log/e"},
		{name: "/log", depth: 2, stop: map[string]error{"/log/b/c": fs.SkipDir, "/log/b/up": fs.SkipDir},
			want: "/log /log/a /log/b /log/b/c /log/b/up /log/e"},
		{name: "/log", depth: 2, stop: map[string]error{"/log/a": fs.SkipAll}, want: "/log /log/a"},
		{name: "/log", depth: 2, stop: map[string]error{"/log/a": failure}, want: "/log /log/a", err: failure},
	} {
		got, err := walk(test.name, test.depth, test.stop)
		if strings.Join(got, " ") != test.want || !errors.Is(err, test.err) {
			t.Errorf("Walk(%s, %d, %v) = %v, %v, want %v, %v",
				test.name, test.depth, test.stop, got, err, test.want, test.err)
		}
	}
	if err := tree.Walk("log", 1, nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Walk of a relative name = %v", err)
	}
}

func TestWalkWhatVanishes(t *testing.T) {
	tree := newTree(t, map[string]string{"log/a": "", "log/b": "", "log/c/d": ""})
	var got []string
	err := tree.Walk("/log", 5, func(name string, info fs.FileInfo, err error) error {
		switch {
		case name == "/log/a":
			os.Remove(filepath.Join(tree.Root(), "log/b"))
		case name == "/log/c" && err == nil:
			os.RemoveAll(filepath.Join(tree.Root(), "log/c"))
		}
		got = append(got, fmt.Sprint(name, " ", info != nil, " ", errors.Is(err, fs.ErrNotExist)))
		return nil
	})
	want := []string{"/log true false", "/log/a true false", "/log/b false true", "/log/c true false", "/log/c true true"}
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("Walk = %q, %v, want %q", got, err, want)
	}
}
