package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newRunner returns a Runner for this machine that is quick to kill, and slow to give up on a command.
func newRunner() *Runner {
	r := NewRunner("/")
	r.grace, r.idle, r.abandon = 20*time.Millisecond, 20*time.Millisecond, time.Minute
	return r
}

func shell(script string) Command { return Command{Name: "sh", Args: []string{"-c", script}} }

func TestRun(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name   string
		script string
		stdout string
		want   Exit
	}{
		{"output", "echo out; echo err >&2", "out\n", Exit{Stderr: "err\n"}},
		{"exit code", "echo out; echo 'no such unit' >&2; exit 4", "out\n", Exit{Code: 4, Stderr: "no such unit\n"}},
		{"signal", "kill -SEGV $$", "", Exit{Code: -1, Signal: "SIGSEGV"}},
		{"end of stderr", "printf %05000d 0 >&2; echo end >&2", "", Exit{Stderr: strings.Repeat("0", 4092) + "end\n"}},
		{"empty input", "cat; echo $?", "0\n", Exit{}},
		{"folder", "pwd", "/\n", Exit{}},
		{"environment", "unset PWD OLDPWD SHLVL _; env | sort", `HOME=/
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin
SYSTEMD_COLORS=0
SYSTEMD_IGNORE_CHROOT=1
SYSTEMD_PAGER=
TERM=dumb
TZ=UTC
`, Exit{}},
		{"closed output", "exec >&- 2>&-; exit 3", "", Exit{Code: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout bytes.Buffer
			c := shell(test.script)
			c.Stdout = &stdout
			got, err := newRunner().Run(ctx, c)
			if err != nil || got.Duration <= 0 {
				t.Errorf("Run = %+v, %v", got, err)
			}
			got.Duration = 0
			if got != test.want || stdout.String() != test.stdout {
				t.Errorf("Run = %+v, %q, want %+v, %q", got, stdout.String(), test.want, test.stdout)
			}
		})
	}
}

func TestRunLowPriority(t *testing.T) {
	// Field 19 of stat is the nice value, which is set last. The command waits until it is.
	c := shell(`while read -r stat </proc/$$/stat; set -- ${stat##*) }; [ "${17}" != 19 ]; do :; done; echo $$; exec sleep 1000`)
	var class uintptr
	seen := errors.New("seen")
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		pid, err := strconv.Atoi(strings.TrimSpace(string(p)))
		const whoProcess = 1
		class, _, _ = unix.Syscall(unix.SYS_IOPRIO_GET, whoProcess, uintptr(pid), 0)
		return len(p), errors.Join(seen, err)
	})
	const idle = 3 << 13
	if exit, err := newRunner().Run(context.Background(), c); !errors.Is(err, seen) || class != idle {
		t.Errorf("Run = %+v, %v, I/O class %#x, want %#x", exit, err, class, idle)
	}
}

func TestRunNoCommand(t *testing.T) {
	tree := newTree(t, map[string]string{"usr/bin/not-executable": "", "bin/folder/": "", "bin/dangling -> /nothing": ""})
	for _, test := range []struct {
		root, name string
		want       error
	}{
		{"/", "periscope-no-such-command", ErrNoCommand},
		{tree.Root(), "sh", ErrNoCommand},
		{tree.Root(), "not-executable", ErrNoCommand},
		{tree.Root(), "folder", ErrNoCommand},
		{tree.Root(), "dangling", ErrNoCommand},
		{"/", "../bin/sh", os.ErrInvalid},
		{"/", "/bin/sh", os.ErrInvalid},
		{"/", "", os.ErrInvalid},
		{"/periscope-no-such-root", "sh", os.ErrNotExist},
	} {
		exit, err := NewRunner(test.root).Run(context.Background(), Command{Name: test.name})
		if !errors.Is(err, test.want) || exit.Code != -1 {
			t.Errorf("Run(%q) below %s = %+v, %v, want %v", test.name, test.root, exit, err, test.want)
		}
	}
}

func TestRunCannotStart(t *testing.T) {
	tree := newTree(t, map[string]string{"bin/broken": "not a program"})
	if err := os.Chmod(filepath.Join(tree.Root(), "bin/broken"), 0o755); err != nil {
		t.Fatal(err)
	}
	// As root the format is what keeps it from starting, otherwise chroot.
	exit, err := NewRunner(tree.Root()).Run(context.Background(), Command{Name: "broken"})
	if exit.Code != -1 || !errors.Is(err, unix.ENOEXEC) && !errors.Is(err, unix.EPERM) {
		t.Errorf("Run = %+v, %v", exit, err)
	}
	exit, err = NewRunner("/").Run(context.Background(), Command{Name: "echo", Args: []string{"a\x00b"}})
	if exit.Code != -1 || err == nil {
		t.Errorf("Run with a NUL = %+v, %v", exit, err)
	}
}

func TestRunTimeout(t *testing.T) {
	for name, script := range map[string]string{
		"sleeps":          "echo before; exec sleep 1000",
		"ignores SIGTERM": `trap "" TERM; echo before; sleep 1000; sleep 1000`,
		"spams stderr":    "echo before; while :; do echo x >&2; done",
		"is stopped":      "echo before; kill -STOP $$",
		"child remains":   `echo before; (trap "" TERM; sleep 1000) & wait`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started := &signalWriter{written: make(chan struct{}, 1)}
			c := shell(script)
			c.Stdout = started
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				<-started.written
				cancel()
			}()
			exit, err := newRunner().Run(ctx, c)
			if !errors.Is(err, context.Canceled) || exit.TimedOut || exit.Code != -1 || exit.Signal == "" {
				t.Errorf("Run with cancelled context = %+v, %v", exit, err)
			}

			c.Stdout, c.Timeout = nil, 50*time.Millisecond
			exit, err = newRunner().Run(context.Background(), c)
			if !errors.Is(err, context.DeadlineExceeded) || !exit.TimedOut || exit.Code != -1 || exit.Signal == "" {
				t.Errorf("Run with Timeout = %+v, %v", exit, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if exit, err := newRunner().Run(ctx, shell("exit")); !errors.Is(err, context.Canceled) {
		t.Errorf("Run with an ended context = %+v, %v", exit, err)
	}
}

// A signalWriter tells of its first Write.
type signalWriter struct{ written chan struct{} }

func (w *signalWriter) Write(p []byte) (int, error) {
	select {
	case w.written <- struct{}{}:
	default:
	}
	return len(p), nil
}

// The output that a killed command wrote before is not lost.
func TestRunTimeoutKeepsOutput(t *testing.T) {
	var stdout bytes.Buffer
	ready := &signalWriter{written: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-ready.written
		cancel()
	}()
	c := shell(`trap "echo last words; exit 1" TERM; echo before; while :; do sleep 0.01; done`)
	c.Stdout = io.MultiWriter(&stdout, ready)
	r := newRunner()
	r.grace = time.Minute
	exit, err := r.Run(ctx, c)
	if !errors.Is(err, context.Canceled) || stdout.String() != "before\nlast words\n" || exit.Code != 1 {
		t.Errorf("Run = %+v, %v, %q", exit, err, stdout.String())
	}
}

func TestRunChildrenHoldOutput(t *testing.T) {
	for name, script := range map[string]string{
		"in the group":     "sleep 1000 & echo $!",
		"ignoring SIGTERM": `trap "" TERM; sleep 1000 & echo $!`,
	} {
		var stdout bytes.Buffer
		c := shell(script)
		c.Stdout, c.Timeout = &stdout, time.Hour
		exit, err := newRunner().Run(context.Background(), c)
		if err != nil || exit.Code != 0 {
			t.Errorf("%s: Run = %+v, %v", name, exit, err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(stdout.String()))
		if err != nil || !ends(t, pid) {
			t.Errorf("%s: child %q lives on (%v)", name, stdout.String(), err)
		}
	}
}

// ends waits, if need be, for the end of a process that is to end soon.
func ends(t *testing.T, pid int) bool {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return true
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 60_000)
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

// A process that left the group is not caught, but does not hold up Run.
func TestRunEscapedChild(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	var stdout bytes.Buffer
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := Command{Name: "sh", Args: []string{"-c",
		`setsid sh -c 'echo $$; echo >"$0"; exec sleep 1000' "$0" & read line <"$0"; echo done`, fifo}}
	c.Stdout, c.Timeout = &stdout, time.Hour
	exit, err := newRunner().Run(context.Background(), c)
	pid, rest, _ := strings.Cut(stdout.String(), "\n")
	if n, err := strconv.Atoi(pid); err == nil {
		defer unix.Kill(n, unix.SIGKILL)
	}
	if err != nil || exit.Code != 0 || rest != "done\n" {
		t.Errorf("Run = %+v, %v, %q", exit, err, stdout.String())
	}
}

func TestRunMaxOutput(t *testing.T) {
	for _, test := range []struct {
		script    string
		limit     int64
		want      int
		truncated bool
	}{
		{"printf 12345", 5, 5, false},
		{"printf 12345", 4, 4, true},
		{"printf 12345", 0, 5, false},
		{"head -c 3000000 /dev/zero", 3000000, 3000000, false},
		{`trap "" TERM PIPE; while :; do echo yyyyyyyyyyyyyyyy; done`, 100000, 100000, true},
	} {
		var stdout bytes.Buffer
		c := shell(test.script)
		c.Stdout, c.MaxOutput, c.Timeout = &stdout, test.limit, time.Hour
		exit, err := newRunner().Run(context.Background(), c)
		if exit.Truncated != test.truncated || errors.Is(err, ErrOutputLimit) != test.truncated || (err != nil) != test.truncated {
			t.Errorf("%s: Run = %+v, %v", test.script, exit, err)
		}
		if stdout.Len() != test.want {
			t.Errorf("%s: %d bytes, want %d", test.script, stdout.Len(), test.want)
		}
		c.Stdout = nil
		if exit, err := newRunner().Run(context.Background(), c); exit.Truncated != test.truncated || (err != nil) != test.truncated {
			t.Errorf("%s: discarded: Run = %+v, %v", test.script, exit, err)
		}
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRunBrokenWriter(t *testing.T) {
	full := errors.New("disk full")
	for name, stdout := range map[string]writerFunc{
		"disk full":   func([]byte) (int, error) { return 0, full },
		"short write": func(p []byte) (int, error) { return len(p) - 1, nil },
		"out of mind": func([]byte) (int, error) { panic("out of mind") },
	} {
		c := shell("while :; do echo line; done")
		c.Stdout, c.Timeout = stdout, time.Hour
		exit, err := newRunner().Run(context.Background(), c)
		if err == nil || !strings.Contains(err.Error(), name) || errors.Is(err, full) != (name == "disk full") || exit.Truncated {
			t.Errorf("%s: Run = %+v, %v", name, exit, err)
		}
	}
}

// A writer that is slower than a command that has long ended gets all of its output.
func TestRunSlowWriter(t *testing.T) {
	var stdout bytes.Buffer
	c := shell("echo $$; exec head -c 50000 /dev/zero")
	c.Timeout = time.Hour
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		if stdout.Len() == 0 {
			line, _, _ := strings.Cut(string(p), "\n")
			if pid, err := strconv.Atoi(line); err != nil || !ends(t, pid) {
				t.Errorf("output starts with %q (%v)", line, err)
			}
		}
		return stdout.Write(p)
	})
	r := newRunner()
	r.idle = 0
	exit, err := r.Run(context.Background(), c)
	if _, zeros, _ := strings.Cut(stdout.String(), "\n"); err != nil || len(zeros) != 50000 {
		t.Errorf("Run = %+v, %v, %d bytes", exit, err, len(zeros))
	}
}

// What a pipe holds is copied even if the deadline passed before the first read, and the pipe stays open.
func TestCopyOutputAfterDeadline(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.Write(make([]byte, 50000)); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	if err := copyOutput(&stdout, r); err != nil || stdout.Len() != 50000 {
		t.Errorf("copyOutput = %v, %d bytes", err, stdout.Len())
	}
}

func TestRunBlockedWriter(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan struct{})
	defer close(release)
	r := newRunner()
	r.abandon = 0
	c := shell("echo line")
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		cancel()
		<-release
		return len(p), nil
	})
	exit, err := r.Run(ctx, c)
	if !errors.Is(err, ErrAbandoned) || !errors.Is(err, context.Canceled) || exit.Code != -1 {
		t.Errorf("Run = %+v, %v, want ErrAbandoned", exit, err)
	}
}

// TestRunChroot runs a static program below a root of its own.
func TestRunChroot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	tree := newTree(t, map[string]string{"etc/hostname": "inside\n", "bin -> usr/bin": "", "usr/bin/": ""})
	source := filepath.Join(t.TempDir(), "main.go")
	program := `package main

import "os"

func main() {
	hostname, _ := os.ReadFile("/etc/hostname")
	folder, _ := os.Getwd()
	os.Stdout.WriteString(folder + " " + os.Args[1] + " " + string(hostname))
	os.Exit(7)
}
`
	if err := os.WriteFile(source, []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(tree.Root(), "usr/bin/inside"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var stdout bytes.Buffer
	exit, err := NewRunner(tree.Root()).Run(context.Background(),
		Command{Name: "inside", Args: []string{"argument"}, Stdout: &stdout})
	if err != nil || exit.Code != 7 || stdout.String() != "/ argument inside\n" {
		t.Errorf("Run = %+v, %v, %q", exit, err, stdout.String())
	}
}
