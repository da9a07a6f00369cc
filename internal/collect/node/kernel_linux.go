package node

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/periscope-k8s/periscope/internal/collect"
)

// kernelMostRing bounds what is read of the ring buffer: its newest end.
const kernelMostRing = 4 << 20

// kernelRing reads the ring buffer of the running kernel, which containers share, by
// syslog(2): /dev/kmsg is denied to containers that are not privileged.
func kernelRing(*collect.Env) ([]byte, error) {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	if err != nil {
		return nil, fmt.Errorf("size of the ring buffer: %w", err)
	}
	// The buffer holds lines without the prefixes that reading adds.
	buf := make([]byte, min(max(2*size, 64<<10), kernelMostRing))
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return nil, fmt.Errorf("read the ring buffer: %w", err)
	}
	return buf[:n], nil
}

func kernelNow() (wall time.Time, monotonic time.Duration) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Time{}, 0
	}
	return time.Now(), time.Duration(ts.Nano())
}
