package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

// An unlisted output drops listing.txt, in which times and owners change from run to run.
type unlisted struct{ collect.Output }

func (u unlisted) Create(name string) (io.WriteCloser, error) {
	if name == "listing.txt" {
		return discarded{io.Discard}, nil
	}
	return u.Output.Create(name)
}

func TestNodelogs(t *testing.T) {
	c := nodelogsCollector(nil)
	run := c.Run
	c.Run = func(ctx context.Context, env *collect.Env, out collect.Output) error {
		return run(ctx, env, unlisted{out})
	}
	collecttest.Run(t, "testdata/nodelogs/*.txtar", c)
}

func TestNodelogsPatterns(t *testing.T) {
	l := newLogTree(t)
	l.write("var/log/auth.log", []byte("session opened\n"))
	l.write("var/log/btmp", []byte("\x06\x00\x00\x00tty"))
	l.write("var/log/wtmp", []byte("\x06\x00\x00\x00tty"))
	l.write("var/log/syslog", []byte("line\n"))
	l.write("var/log/app/a.log", []byte("a\n"))
	l.write("var/log/app/node.journal", []byte("LPKSHHRH\x00"))
	l.write("opt/b_c.log", []byte("b\n"))
	l.write("opt/b/c.log", []byte("c\n"))
	l.write("etc/ssh/ssh_host_rsa_key", []byte("key\n"))
	patterns := []string{
		"/var/log/auth.log", "/var/log/btmp", "/var/log/?tmp", "/var/log/app", "/var/log/app/*", "/opt/*.log", "/opt/b/*",
		"/var/log/syslog", "/none", "relative", "/a[", "/etc/ssh/ssh_host_rsa_key",
	}
	res, files := collecttest.Collect(t, l.env(collect.Window{}), nodelogsCollector(patterns))
	want := []string{"listing.txt", "nodelogs.json", "opt_b_c.log", "opt_b_c.log~2", "var_log_app_a.log", "var_log_auth.log", "var_log_btmp", "var_log_syslog"}
	if got := slices.Sorted(maps.Keys(files)); res.State != "ok" || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, want := range []string{
		`log left out path=/var/log/wtmp err=not text`, `log left out path=/var/log/app err=a folder`,
		`log left out path=/var/log/app/node.journal err=a systemd journal`, `no file matches pattern=/none`,
		`find logs err=glob relative`, `find logs err=glob /a[`, `log left out path=/etc/ssh/ssh_host_rsa_key err=denied`,
	} {
		if !slices.ContainsFunc(res.Notes, func(n string) bool { return strings.HasPrefix(n, want) }) {
			t.Errorf("no note %q in:\n%s", want, strings.Join(res.Notes, "\n"))
		}
	}
}

// bzip2Hello is "hello\n" as bzip2 compresses it.
const bzip2Hello = "BZh91AY&SY\xc1\xc0\x80\xe2\x00\x00\x01\x41\x00\x00\x10\x02\x44\xa0\x00\x30\xcd\x00\xc3\x46\x29\x97\x17\x72\x45\x38\x50\x90\xc1\xc0\x80\xe2"

func zstdCompressed(t testing.TB, data string, opts ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNodelogsCompressed(t *testing.T) {
	l := newLogTree(t)
	text := criLines(5000)
	l.write("var/log/syslog.1", []byte("syslog.1\n"))
	l.write("var/log/syslog.2.gz", gzipped(t, text))
	l.write("var/log/syslog.3.zst", zstdCompressed(t, text))
	l.write("var/log/syslog.4.bz2", []byte(bzip2Hello))
	l.write("var/log/syslog.5.xz", []byte("\xfd7zXZ\x00\x00\x04"))
	l.write("var/log/syslog.6.gz", []byte("plain all the same\n"))
	l.write("var/log/syslog.7.gz", append(gzipped(t, "one\n"), gzipped(t, "two\n")...))
	l.write("var/log/syslog.8.gz", gzipped(t, "\x01\x00\x02\x00"))
	l.write("var/log/syslog.9.gz", gzipped(t, string(gzipped(t, "twice"))))
	l.write("var/log/messages.1.gz", gzipped(t, text)[:3000])
	l.write("var/log/messages.2.gz", []byte("\x1f\x8b"))
	l.write("var/log/messages.3.zst", zstdCompressed(t, strings.Repeat(text, 40), zstd.WithWindowSize(16<<20)))
	res, files := collecttest.Collect(t, l.env(collect.Window{}), nodelogsCollector(nil))
	want := map[string]string{
		"var_log_syslog.1": "syslog.1\n", "var_log_syslog.2": text, "var_log_syslog.3": text, "var_log_syslog.4": "hello\n",
		"var_log_syslog.6.gz": "plain all the same\n", "var_log_syslog.7": "one\ntwo\n",
	}
	for name, want := range want {
		if got := string(files[name]); got != want {
			t.Errorf("%s: got %d bytes %.50q, want %d", name, len(got), got, len(want))
		}
	}
	if got := string(files["var_log_messages.1"]); len(got) < 1000 || !strings.HasPrefix(text, got) {
		t.Errorf("of a damaged file: got %d bytes %.50q", len(got), got)
	}
	if len(files) != len(want)+3 { // and listing.txt, nodelogs.json, messages.1
		t.Errorf("got %v\n%s\n%s", slices.Sorted(maps.Keys(files)), files["nodelogs.json"], collecttest.Summary(res))
	}
}

func TestNodelogsKeepsTheEnd(t *testing.T) {
	l := newLogTree(t)
	text := criLines(2000)
	l.write("var/log/syslog", []byte(text))
	l.write("var/log/syslog.1.gz", gzipped(t, text))
	l.write("var/log/waagent.log", []byte("small\n"))
	half := int64(len(text)) / 2
	c := nodelogsCollector(nil)
	run := c.Run
	c.Run = func(ctx context.Context, env *collect.Env, out collect.Output) error {
		return run(ctx, env, room{out, 2*half + 6 + 4*nodelogsIndexBytes})
	}
	_, files := collecttest.Collect(t, l.env(collect.Window{}), c)
	for _, name := range []string{"var_log_syslog", "var_log_syslog.1"} {
		got := string(files[name])
		if !strings.HasSuffix(text, "\n"+got) || int64(len(got)) > half || int64(len(got)) < half-200 {
			t.Errorf("%s: got %d bytes of %d: %.50q", name, len(got), len(text), got)
		}
	}
	if got := string(files["var_log_waagent.log"]); got != "small\n" {
		t.Errorf("waagent.log: got %q", got)
	}
}

func TestNodelogsSparse(t *testing.T) {
	l := newLogTree(t)
	l.write("var/log/syslog", []byte("start\n"))
	f, err := os.OpenFile(l.path("var/log/syslog"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("\nthe end\n"), 10<<30)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	_, files := collecttest.Collect(t, l.env(collect.Window{}), nodelogsCollector(nil))
	got := files["var_log_syslog"]
	if len(got) > nodelogsFileSize || !bytes.HasSuffix(got, []byte("the end\n")) {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestNodelogsWindow(t *testing.T) {
	l := newLogTree(t)
	l.write("var/log/syslog", []byte("new\n"))
	l.write("var/log/syslog.1", []byte("old\n"))
	now := time.Now()
	if err := os.Chtimes(l.path("var/log/syslog.1"), now, now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	res, files := collecttest.Collect(t, l.env(collect.Window{Since: now.Add(-time.Minute)}), nodelogsCollector(nil))
	if _, ok := files["var_log_syslog.1"]; ok || files["var_log_syslog"] == nil || len(res.Notes) != 1 {
		t.Errorf("got %v\n%s", slices.Sorted(maps.Keys(files)), collecttest.Summary(res))
	}
}

func TestNodelogsListing(t *testing.T) {
	l := newLogTree(t)
	l.write("etc/passwd", fmt.Appendf(nil, "broken\nroot:x:0:0:root:/root:/bin/bash\nme:x:%d:0::/:/bin/sh\n", os.Getuid()))
	l.write("etc/group", fmt.Appendf(nil, "grp:x:%d:\n", os.Getgid()))
	l.write("var/log/a/b/c/too-deep", nil)
	l.write("var/log/syslog", []byte("12345"))
	if err := errors.Join(
		os.Symlink("/etc/pass\nwd", l.path("var/log/link")),
		os.WriteFile(l.path("var/log/new\nline\xff\x1b[31m"), nil, 0o600),
		os.Chtimes(l.path("var/log/syslog"), testStart, testStart),
		os.Chmod(l.path("var/log/a"), 0o755|fs.ModeSticky|fs.ModeSetgid),
	); err != nil {
		t.Fatal(err)
	}
	_, files := collecttest.Collect(t, l.env(collect.Window{}), nodelogsCollector(nil))
	got := string(files["listing.txt"])
	for _, want := range []string{
		`(?m)^drwxr-xr-x \w+ grp +\d+ \S+ /var/log$`,
		`(?m)^drwxr-sr-t \w+ grp +\d+ \S+ /var/log/a$`,
		`(?m)^-rw-r--r-- \w+ grp +5 2016-11-20T08:00:00Z /var/log/syslog$`,
		`(?m)^lrwxrwxrwx \w+ grp +\d+ \S+ /var/log/link -> "/etc/pass\\nwd"$`,
		`(?m)^-rw------- \w+ grp +0 \S+ "/var/log/new\\nline\\xff\\x1b\[31m"$`,
		`(?m) /var/log/a/b/c$`,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("no line matches %s in:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 7 {
		t.Errorf("got %d lines:\n%s", n, got)
	}
}

func TestNodelogsMode(t *testing.T) {
	tests := []struct {
		mode fs.FileMode
		want string
	}{
		{0o644, "-rw-r--r--"},
		{fs.ModeDir | 0o755, "drwxr-xr-x"},
		{fs.ModeSymlink | 0o777, "lrwxrwxrwx"},
		{fs.ModeDevice | fs.ModeCharDevice | 0o660, "crw-rw----"},
		{fs.ModeDevice | 0o660, "brw-rw----"},
		{fs.ModeNamedPipe | 0o600, "prw-------"},
		{fs.ModeSocket | 0o755, "srwxr-xr-x"},
		{fs.ModeSetuid | 0o755, "-rwsr-xr-x"},
		{fs.ModeSetgid | 0o745, "-rwxr-Sr-x"},
		{fs.ModeDir | fs.ModeSticky | 0o776, "drwxrwxrwT"},
	}
	for _, tt := range tests {
		if got := nodelogsMode(tt.mode); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.mode, got, tt.want)
		}
	}
}

func FuzzParseNodelogsNames(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:\n:x:2\nx\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for id, name := range parseNodelogsNames(data) {
			if name == "" || strings.Contains(nodelogsName(map[uint32]string{id: name}, id), "\n") {
				t.Errorf("%d: %q", id, name)
			}
		}
	})
}

func FuzzNodelogsUnpack(f *testing.F) {
	f.Add(gzipped(f, "text\n"))
	f.Add(zstdCompressed(f, "text\n"))
	f.Add([]byte(bzip2Hello))
	f.Fuzz(func(t *testing.T, data []byte) {
		k := nodelogsKindOf(data)
		if k == nil {
			return
		}
		head, size, err := k.measure(bytes.NewReader(data))
		if int64(len(head)) > size || (err != nil && size != 0) {
			t.Errorf("head of %d, size %d, %v", len(head), size, err)
		}
	})
}
