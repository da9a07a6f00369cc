//go:build !linux

package node

import (
	"errors"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

func kernelRing(*collect.Env) ([]byte, error) { return nil, errors.ErrUnsupported }

func kernelNow() (wall time.Time, monotonic time.Duration) { return time.Now(), 0 }
