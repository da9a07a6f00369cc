package bundle

import (
	"os"

	"golang.org/x/sys/unix"
)

// spoolFile makes a file that never has a name, where the file system can: nothing is left
// of it, however the process ends.
func spoolFile(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	switch err {
	case nil:
		return os.NewFile(uintptr(fd), dir+"/spool"), nil
	case unix.EOPNOTSUPP, unix.EISDIR, unix.ENOENT:
		return namedSpoolFile(dir)
	}
	return nil, &os.PathError{Op: "open", Path: dir, Err: err}
}
