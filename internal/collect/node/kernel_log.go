package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

// A kernelLog writes kernel.log and gathers what kernel.json tells about it.
type kernelLog struct {
	window collect.Window
	create func() (io.WriteCloser, error) // called at the first line, so that there is no empty file
	file   io.WriteCloser
	w      *bufio.Writer
	buf    []byte // of write
	facts  kernelFacts
	last   kernelLine
	any    bool // a line with a time stamp was seen
}

// add writes a line if it lies in the window. One that could not be parsed, or has no time,
// goes with the line before it.
func (l *kernelLog) add(line kernelLine, parsed bool) error {
	if !parsed {
		l.facts.Malformed++
		line.priority = l.last.priority
	}
	if !line.stamped && line.wall.IsZero() {
		line.stamped, line.stamp, line.wall = l.last.stamped, l.last.stamp, l.last.wall
	}
	l.last = line
	l.span(line)
	if !line.wall.IsZero() && !l.window.Contains(line.wall) {
		l.facts.Outside++
		return nil
	}
	return l.write(line)
}

// span widens what kernel.json tells about first and last line.
func (l *kernelLog) span(line kernelLine) {
	if !line.stamped {
		return
	}
	if !l.any {
		// The first lines of a boot have the stamp 0.
		l.facts.First, l.facts.FirstSecs, l.facts.Wrapped = line.wall, line.stamp.Seconds(), line.stamp > time.Second
	}
	l.any = true
	l.facts.Last, l.facts.LastSecs = line.wall, line.stamp.Seconds()
}

func (l *kernelLog) write(line kernelLine) error {
	if l.w == nil {
		file, err := l.create()
		if err != nil {
			return err
		}
		l.file, l.w = file, bufio.NewWriterSize(file, 64<<10)
	}
	l.facts.Lines++
	l.buf = line.append(l.buf[:0])
	_, err := l.w.Write(l.buf)
	return err
}

func (l *kernelLog) close() error {
	if l.w == nil {
		return nil
	}
	return errors.Join(l.w.Flush(), l.file.Close())
}

// append appends the line as kernel.log has it.
func (line kernelLine) append(b []byte) []byte {
	if line.wall.IsZero() {
		b = append(b, '-')
	} else {
		b = line.wall.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	}
	b = append(append(b, ' '), kernelPriority(line.priority)...)
	if line.stamped {
		b = fmt.Appendf(b, " [%5d.%06d] ", line.stamp/time.Second, line.stamp%time.Second/time.Microsecond)
	} else {
		b = append(b, " [-] "...)
	}
	return append(append(b, line.text...), '\n')
}

// Names of levels and facilities: https://man7.org/linux/man-pages/man3/syslog.3.html
var (
	kernelLevels     = [8]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	kernelFacilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"}
)

func kernelPriority(priority int) string {
	level, facility := kernelLevels[priority&7], priority>>3
	switch {
	case facility == 0:
		return level
	case facility < len(kernelFacilities):
		return kernelFacilities[facility] + "." + level
	}
	return "facility" + strconv.Itoa(facility) + "." + level
}
