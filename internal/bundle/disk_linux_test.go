package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/periscope-k8s/periscope/internal/host/hosttest"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// noise is n bytes of lines that do not compress, so that the disk fills.
func noise(n int, seed uint64) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	for i := range b {
		b[i] = '0' + b[i]&0x3f
		if i%100 == 99 || i == n-1 {
			b[i] = '\n'
		}
	}
	return string(b)
}

func TestFullDisk(t *testing.T) {
	dir := hosttest.SmallDisk(t)
	w := newTestWriter(t, Options{Path: filepath.Join(dir, "node-1.zip"), Order: []string{"first", "last"}})
	put(t, w, "first/small", "whole\n")
	put(t, w, "first/medium", noise(2<<20, 1))
	huge := noise(16<<20, 2)
	put(t, w, "last/huge", huge)
	late := noise(1<<20, 3)
	put(t, w, "first/late", late)

	done, m := finish(t, w)
	if done.Memory != nil {
		t.Error("the archive on the disk was given up although it could be finished")
	}
	files, read := readFinished(t, done)
	if files["first/small"] != "whole\n" || len(files["first/medium"]) < 2<<20 {
		t.Error("files that were complete before the disk was full are not whole")
	}
	for name, all := range map[string]string{"last/huge": huge, "first/late": late} {
		got, f := files[name], fileOf(t, read, name)
		if !strings.HasSuffix(all, got) || len(got) < MaxTail/2 || f.CutFront+f.Size != int64(len(all)) {
			t.Errorf("%s: %d bytes kept, %d cut, of %d", name, f.Size, f.CutFront, len(all))
		}
	}
	if m.Outcome != manifest.Incomplete || !strings.Contains(strings.Join(m.Problems, "\n"), "no space left") {
		t.Errorf("outcome %s, problems %q", m.Outcome, m.Problems)
	}
}

func TestFullDiskIsRelieved(t *testing.T) {
	dir := hosttest.SmallDisk(t)
	old := filepath.Join(dir, "old-bundle")
	if err := os.WriteFile(old, []byte(noise(5<<20, 9)), 0o600); err != nil {
		t.Fatal(err)
	}
	calls := 0
	w := newTestWriter(t, Options{Path: filepath.Join(dir, "node-1.zip"), Relieve: func() bool {
		calls++
		return os.Remove(old) == nil
	}})
	want := noise(3<<19, 4)
	put(t, w, "a/log", want)
	put(t, w, "a/log2", want)
	done, m := finish(t, w)
	files, _ := readFinished(t, done)
	if files["a/log"] != want || files["a/log2"] != want || m.Outcome != manifest.Succeeded || calls == 0 {
		t.Errorf("%d and %d bytes, %s, %d calls", len(files["a/log"]), len(files["a/log2"]), m.Outcome, calls)
	}
}

func TestDiskFullFromTheStart(t *testing.T) {
	dir := hosttest.SmallDisk(t)
	fill(t, dir)
	w := newTestWriter(t, Options{Path: filepath.Join(dir, "node-1.zip")})
	put(t, w, "a/log", "some evidence\n")
	done, m := finish(t, w)
	files, _ := readFinished(t, done)
	if files["a/log"] != "some evidence\n" || m.Outcome != manifest.Incomplete {
		t.Errorf("got %q, %s", files, m.Outcome)
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 512} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func TestBrokenDisk(t *testing.T) {
	dir := hosttest.SmallDisk(t)
	w := newTestWriter(t, Options{Path: filepath.Join(dir, "node-1.zip"), Order: []string{"first", "last"}})
	before := noise(1<<20, 5)
	put(t, w, "last/before", before)
	open := create(t, w, "first/open")
	if _, err := open.Write([]byte("begun\n")); err != nil {
		t.Fatal(err)
	}
	shutdown(t, dir)

	if _, err := open.Write([]byte(noise(300<<10, 6))); err != nil {
		t.Errorf("a write on a broken disk: %v", err)
	}
	if err := open.Close(); err != nil {
		t.Errorf("close on a broken disk: %v", err)
	}
	put(t, w, "first/after", "after\n")
	done, m := finish(t, w)
	if done.Memory == nil || done.Size > MaxRescue {
		t.Fatalf("no archive in memory, or too large: %d bytes", done.Size)
	}
	files, read := readZip(t, bytes.NewReader(done.Memory), done.Size)
	if files["first/after"] != "after\n" {
		t.Errorf("after: %q", files["first/after"])
	}
	if f := fileOf(t, read, "first/open"); f.Size+f.CutFront < 300<<10 || f.CutFront == 0 {
		t.Errorf("open: %+v", f)
	}
	// What was written before may be readable from the page cache or not; it must be there or
	// be named as lost.
	if got, ok := files["last/before"]; ok && !strings.HasSuffix(before, got) {
		t.Errorf("before: %d bytes that are not its end", len(got))
	} else if !ok && !strings.Contains(strings.Join(m.Problems, "\n"), "last/before: lost") {
		t.Errorf("last/before is missing without a word: %q", m.Problems)
	}
	if m.Outcome != manifest.Incomplete {
		t.Errorf("outcome %s", m.Outcome)
	}
}

// shutdown makes the file system fail as a broken disk does: ext4's shutdown ioctl
// (EXT4_IOC_SHUTDOWN without flushing), after which it answers EIO or EROFS.
func shutdown(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flags := uint32(2)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), 0x8004587d, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		t.Fatalf("shut the file system down: %v", errno)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := hosttest.SmallDisk(t)
	hosttest.Remount(t, dir)
	w := newTestWriter(t, Options{Path: filepath.Join(dir, "node-1.zip")})
	put(t, w, "a/log", "some evidence\n")
	done, m := finish(t, w)
	files, _ := readFinished(t, done)
	if done.Memory == nil || files["a/log"] != "some evidence\n" || !strings.Contains(m.Problems[0], "read-only") {
		t.Errorf("got %q, %q", files, m.Problems)
	}
}

// TestRescueSparesPriority fills the memory with more than it holds.
func TestRescueSparesPriority(t *testing.T) {
	w := newTestWriter(t, Options{Order: []string{"first", "last"}})
	w.broken = syscall.EIO
	w.file.Close()
	w.file = nil
	text := noise(MaxTail, 7)
	for i := range 40 {
		put(t, w, fmt.Sprintf("last/%d", i), text)
		put(t, w, fmt.Sprintf("first/%d", i), text)
	}
	done, m := finish(t, w)
	files, _ := readFinished(t, done)
	var first, last int
	for name := range files {
		if strings.HasPrefix(name, "first/") {
			first++
		} else {
			last++
		}
	}
	if done.Size > MaxRescue || first != 40 || last == 0 || last == 40 {
		t.Errorf("%d bytes, %d of the first and %d of the last collector", done.Size, first, last)
	}
	if lost := strings.Count(strings.Join(m.Problems, "\n"), ": lost"); lost != 40-last {
		t.Errorf("%d files are missing, %d are named as lost", 40-last, lost)
	}
}

// On a broken disk a log must go on to give its old bytes back: only the tail is held.
func TestDropFrontOnABrokenDisk(t *testing.T) {
	w := newTestWriter(t, Options{})
	w.broken = syscall.EIO
	e := create(t, w, "a/log")
	e.KeepEnd(1 << 20)
	fmt.Fprint(e, noise(1<<20, 1))
	if n := e.DropFront(100_000); n < 100_000 {
		t.Errorf("dropped %d although only %d bytes of 1 MiB are held", n, MaxTail)
	}
}

// spools counts the spool files below dir that are open.
func spools(t *testing.T, dir string) (n int, size int64) {
	t.Helper()
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		link, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		if strings.HasPrefix(link, dir) && strings.Contains(link, "/#") {
			n++
			if info, err := os.Stat("/proc/self/fd/" + fd.Name()); err == nil {
				size += info.Size()
			}
		}
	}
	return n, size
}

// ENOSPC while the spool is appended to the archive: the spool must be freed.
func TestFullDiskFreesTheSpool(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	dir := hosttest.SmallDisk(t)
	w := newTestWriter(t, Options{Path: filepath.Join(dir, "n.zip"), Order: []string{"big", "late"}})
	put(t, w, "big/log", noise(5<<20, 1))
	n, size := spools(t, dir)
	if n > 1 {
		t.Errorf("%d spool files with %d bytes are still open", n, size)
	}
	for i := range 16 {
		put(t, w, fmt.Sprintf("late/%d", i), noise(250<<10, uint64(i)))
	}
	done, m := finish(t, w)
	files, _ := readFinished(t, done)
	lost := strings.Count(strings.Join(m.Problems, "\n"), ": lost")
	if lost > 0 || len(files) != 17 {
		t.Errorf("%d files lost although the spool's %d bytes could have been freed", lost, size)
	}
}
