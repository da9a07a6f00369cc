package hosttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// SmallDisk mounts a fresh ext4 file system of 8 MiB from a loop device, for tests of full
// and broken disks, and unmounts it at the end of the test. Without root the test is
// skipped.
func SmallDisk(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a loop device needs root")
	}
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "disk"), filepath.Join(dir, "mnt")
	for _, err := range []error{os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20), os.Mkdir(mount, 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	run(t, "mkfs.ext4", "-q", "-m", "0", image)
	run(t, "mount", "-o", "loop", image, mount)
	t.Cleanup(func() { run(t, "umount", "-l", mount) })
	return mount
}

// Remount mounts a SmallDisk read-only.
func Remount(t testing.TB, mount string) {
	t.Helper()
	run(t, "mount", "-o", "remount,ro", mount)
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
