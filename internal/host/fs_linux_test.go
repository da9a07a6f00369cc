package host

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestSpecialFiles(t *testing.T) {
	tree := newTree(t, map[string]string{"log/": "", "log/link -> /log/fifo": ""})
	if err := unix.Mkfifo(filepath.Join(tree.Root(), "log/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(tree.Root(), "log/socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	machine, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		tree FS
		name string
		kind string
		mode fs.FileMode
	}{
		{tree, "/log/fifo", "FIFO", fs.ModeNamedPipe},
		{tree, "/log/link", "FIFO", fs.ModeNamedPipe},
		{tree, "/log/socket", "socket", fs.ModeSocket},
		{tree, "/log", "directory", fs.ModeDir},
		{machine, "/dev/null", "device", fs.ModeDevice | fs.ModeCharDevice},
	} {
		_, err := test.tree.Open(test.name)
		if !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), test.kind) {
			t.Errorf("Open(%s) = %v, want a %s", test.name, err, test.kind)
		}
		info, err := test.tree.Stat(test.name)
		if err != nil || info.Mode().Type() != test.mode {
			t.Errorf("Stat(%s) = %v, %v", test.name, info, err)
		}
	}
}

func TestHostileNames(t *testing.T) {
	files := []string{"new\nline", "\xff\xfe", "[", "*", " ", "x (deleted)", "\x1b[31m", strings.Repeat("n", 255)}
	content := map[string]string{"gone.key (deleted)": "SECRET"}
	for _, name := range files {
		content["log/"+name] = name
	}
	tree := newTree(t, content)
	for _, name := range files {
		if got, err := tree.ReadFile("/log/"+name, 1000); string(got) != name || err != nil {
			t.Errorf("ReadFile(%q) = %q, %v", name, got, err)
		}
	}
	if entries, err := tree.ReadDir("/log", 0); len(entries) != len(files) || err != nil {
		t.Errorf("ReadDir = %v, %v", entries, err)
	}
	if found, err := tree.Glob("/log/*"); len(found) != len(files) || err != nil {
		t.Errorf("Glob = %q, %v", found, err)
	}
	for _, name := range []string{"/" + strings.Repeat("n", 256), strings.Repeat("/n", 5000)} {
		if _, err := tree.Open(name); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("Open of a name of %d bytes = %v", len(name), err)
		}
	}
	// It cannot be told from a key that was removed after it was opened.
	if _, err := tree.Open("/gone.key (deleted)"); !errors.Is(err, ErrDenied) {
		t.Errorf("Open = %v", err)
	}
}

func TestProc(t *testing.T) {
	machine, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := machine.ReadFile("/proc/self/status", 1<<16); !bytes.Contains(got, []byte("\nPid:")) || err != nil {
		t.Errorf("ReadFile(status) = %q, %v", got, err)
	}
	if got, err := machine.ReadFile("/proc/sys/kernel/ostype", 100); string(got) != "Linux\n" || err != nil {
		t.Errorf("ReadFile(ostype) = %q, %v", got, err)
	}
	if got, err := machine.ReadFile("/sys/class/net/lo/mtu", 100); len(got) == 0 || err != nil {
		t.Errorf("ReadFile(mtu) = %q, %v", got, err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := machine.ReadLink("/proc/self/exe"); got != self || err != nil {
		t.Errorf("ReadLink(exe) = %q, %v", got, err)
	}
	for _, name := range []string{"/proc/self/environ", "/proc/self/mem", "/proc/self/root/proc/version", "/proc/self/cwd/fs.go"} {
		if file, err := machine.Open(name); !errors.Is(err, ErrDenied) {
			t.Errorf("Open(%s) = %v, %v", name, file, err)
		}
	}
}

func TestMagicLinks(t *testing.T) {
	folder := t.TempDir()
	link := filepath.Join(folder, "link")
	if err := os.Symlink("/proc/self/root/proc/version", link); err != nil {
		t.Fatal(err)
	}
	machine, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	if machine.tree.plain {
		t.Skip("no openat2")
	}
	if file, err := machine.Open(link); err == nil {
		t.Errorf("Open through /proc/self/root = %v", file)
	}
}

// A read that has no data must fail and not wait in the runtime's poller.
func TestReadDoesNotWait(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	file := blocking(fds[0], "pipe")
	defer file.Close()
	if _, err := file.Read(make([]byte, 1)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("Read = %v, want EAGAIN", err)
	}
}

func TestStatfs(t *testing.T) {
	machine, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	got, err := machine.Statfs("/proc")
	if err != nil || got.Type != unix.PROC_SUPER_MAGIC {
		t.Errorf("Statfs(/proc) = %+v, %v", got, err)
	}
	folder := t.TempDir()
	got, err = machine.Statfs(folder)
	var want unix.Statfs_t
	if err := unix.Statfs(folder, &want); err != nil {
		t.Fatal(err)
	}
	if err != nil || got.Bytes.Total != want.Blocks*uint64(want.Bsize) || got.Inodes.Total != want.Files ||
		got.Bytes.Available > got.Bytes.Free || got.Bytes.Free > got.Bytes.Total || got.ReadOnly {
		t.Errorf("Statfs(%s) = %+v, %v, want %+v", folder, got, err, want)
	}
	if _, err := machine.Statfs("/missing-folder"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Statfs of nothing = %v", err)
	}
}

func TestWithoutProc(t *testing.T) {
	tree := newTree(t, map[string]string{"file": "content", "folder/key -> ../file": "", "link -> folder": "", "a.key": ""})
	tree.tree.proc = false
	if got, err := tree.ReadFile("/file", 100); string(got) != "content" || err != nil {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
	for _, name := range []string{"/folder/key", "/link/key", "/a.key"} {
		if _, err := tree.Open(name); !errors.Is(err, ErrDenied) {
			t.Errorf("Open(%s) = %v, want ErrDenied", name, err)
		}
	}
	if entries, err := tree.ReadDir("/link", 0); len(entries) != 1 || err != nil {
		t.Errorf("ReadDir = %v, %v", entries, err)
	}
}

// TestWithoutOpenat2 runs itself in a process in which openat2 is not implemented.
func TestWithoutOpenat2(t *testing.T) {
	if os.Getenv("PERISCOPE_TEST_NO_OPENAT2") == "" {
		test := exec.Command(os.Args[0], "-test.run=^TestWithoutOpenat2$", "-test.v")
		test.Env = append(os.Environ(), "PERISCOPE_TEST_NO_OPENAT2=1")
		out, err := test.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestWithoutOpenat2")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	forbidOpenat2(t)
	folder := t.TempDir()
	if _, err := Open(folder); !errors.Is(err, unix.ENOSYS) {
		t.Errorf("Open(%s) = %v, want ENOSYS", folder, err)
	}
	machine, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"file": "content", "a.key": "SECRET"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"good": filepath.Join(folder, "file"), "key": "a.key", "magic": "/proc/self/root" + folder + "/a.key",
	} {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := machine.ReadFile(folder+"/good", 100); string(got) != "content" || err != nil {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
	if got, err := machine.ReadFile("/proc/self/status", 1<<16); len(got) == 0 || err != nil {
		t.Errorf("ReadFile(status) = %q, %v", got, err)
	}
	for _, name := range []string{"/key", "/a.key", "/magic"} {
		if _, err := machine.Open(folder + name); !errors.Is(err, ErrDenied) {
			t.Errorf("Open(%s) = %v, want ErrDenied", name, err)
		}
	}
	if _, err := machine.Glob(folder + "/*"); err != nil {
		t.Errorf("Glob = %v", err)
	}
}

// forbidOpenat2 makes openat2 fail with ENOSYS in this process, as an old kernel or seccomp profile does.
func forbidOpenat2(t *testing.T) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT2, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		t.Fatal(errno)
	}
}
