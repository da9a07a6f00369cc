//go:build !linux

package bundle

import "os"

func spoolFile(dir string) (*os.File, error) { return namedSpoolFile(dir) }
