package bundle

import (
	"errors"
	"syscall"
)

// Of https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499-
const (
	errWriteProtect   = syscall.Errno(19)
	errCRC            = syscall.Errno(23)
	errHandleDiskFull = syscall.Errno(39)
	errDiskFull       = syscall.Errno(112)
	errIODevice       = syscall.Errno(1117)
)

var diskFailures = [...]error{errWriteProtect, errCRC, errHandleDiskFull, errDiskFull, errIODevice}

func isFull(err error) bool {
	return errors.Is(err, errHandleDiskFull) || errors.Is(err, errDiskFull)
}
