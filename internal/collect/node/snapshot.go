package node

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// Most bytes read of one source. A longer one is cut at its end and noted.
const (
	snapshotFile  = 2 << 20
	snapshotValue = 4 << 10
)

// A snapshot reads the small sources of one collector and keeps copies of them. What
// cannot be read becomes a note in the Result and never stops the rest.
type snapshot struct {
	ctx   context.Context
	env   *collect.Env
	out   collect.Output
	found int   // sources that were read
	err   error // first error of out
}

// read returns a source that every host has, and copies it to raw/PATH.
func (s *snapshot) read(path string) []byte {
	data, err := s.load(path, snapshotFile)
	s.missing(path, err)
	s.keep("raw"+path, path, data)
	return data
}

// optional is read for a source that many hosts do not have: that it is not there, or not
// supported by the kernel, is not noted.
func (s *snapshot) optional(path string) []byte {
	data, err := s.load(path, snapshotFile)
	if !snapshotAbsent(err) {
		s.missing(path, err)
	}
	s.keep("raw"+path, path, data)
	return data
}

// value returns the text of a file of one value, without white space around it, and
// whether there is such a file. No copy is kept and nothing is noted if there is none.
func (s *snapshot) value(path string) (string, bool) {
	data, err := s.load(path, snapshotValue)
	if !snapshotAbsent(err) {
		s.missing(path, err)
	}
	return snapshotText(string(data)), err == nil
}

// number is value for a file of one number; what is no number counts as 0.
func (s *snapshot) number(path string) uint64 {
	text, _ := s.value(path)
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// snapshotParse is read, then parse; lines that parse refused are noted. Of a source that
// is not there it returns what parse makes of no data.
func snapshotParse[T any](s *snapshot, path string, parse func([]byte) (T, int)) T {
	facts, bad := parse(s.read(path))
	s.malformed(path, bad)
	return facts
}

// snapshotParseOptional is optional, then parse, as snapshotParse.
func snapshotParseOptional[T any](s *snapshot, path string, parse func([]byte) (T, int)) T {
	facts, bad := parse(s.optional(path))
	s.malformed(path, bad)
	return facts
}

// glob returns the names that match pattern; what of them cannot be listed is noted.
func (s *snapshot) glob(pattern string) []string {
	names, err := s.env.Host.Glob(pattern)
	s.missing(pattern, err)
	return names
}

func (s *snapshot) load(path string, limit int64) ([]byte, error) {
	if err := context.Cause(s.ctx); err != nil {
		return nil, err
	}
	data, err := s.env.Host.ReadFile(path, limit)
	if err == nil {
		s.found++
	}
	return data, err
}

func (s *snapshot) missing(path string, err error) {
	if err != nil && s.ctx.Err() == nil {
		s.env.Log.Warn("read source", "path", path, "err", err)
	}
}

// malformed notes lines that a parser of path did not understand.
func (s *snapshot) malformed(path string, lines int) {
	if lines > 0 {
		s.env.Log.Warn("skipped malformed lines", "path", path, "lines", lines)
	}
}

// keep writes data, which was read from path, as the file name.
func (s *snapshot) keep(name, path string, data []byte) {
	if len(data) == 0 || s.err != nil || s.ctx.Err() != nil {
		return
	}
	w, err := s.out.Create(name)
	if err == nil {
		collect.Describe(w, manifest.Source{Path: path})
		_, err = w.Write(data)
		err = errors.Join(err, w.Close())
	}
	s.err = err
}

// json writes v as one file, unless there was nothing to read, writing has failed before,
// or time is over.
func (s *snapshot) json(name string, v any) {
	if s.err == nil {
		s.err = context.Cause(s.ctx)
	}
	if s.err == nil && s.found > 0 {
		s.err = writeJSON(s.out, name, v)
	}
}

// end is what the collector returns: the first error of writing, or a skip for the given
// reason if there was nothing to read.
func (s *snapshot) end(nothing string) error {
	if err := errors.Join(s.err, context.Cause(s.ctx)); err != nil {
		return err
	}
	if s.found == 0 {
		return collect.Skip("%s", nothing)
	}
	return nil
}

// snapshotAbsent reports whether err only says that the host has no such thing.
func snapshotAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported)
}

// snapshotText makes a value fit for JSON: valid UTF-8 without white space around it, and
// without the NULs that end strings of the device tree.
func snapshotText(value string) string {
	return strings.ToValidUTF8(strings.Trim(value, " \t\r\n\x00"), "\uFFFD")
}

// snapshotLines calls parse with the fields of each line that has any, and returns how
// many lines it refused.
func snapshotLines(data []byte, parse func(fields []string) bool) (malformed int) {
	for line := range bytes.Lines(data) {
		fields := strings.Fields(snapshotText(string(line)))
		if len(fields) > 0 && !parse(fields) {
			malformed++
		}
	}
	return malformed
}

// snapshotPairs calls set with key and value of each line that has the separator once or
// more, without white space around them, and returns how many other lines there were.
// Blank lines and those that begin with # or ; are comments.
func snapshotPairs(data []byte, separator string, set func(key, value string)) (malformed int) {
	for line := range bytes.Lines(data) {
		text := snapshotText(string(line))
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		key, value, ok := strings.Cut(text, separator)
		if !ok {
			malformed++
			continue
		}
		set(strings.TrimSpace(key), strings.TrimSpace(value))
	}
	return malformed
}

// snapshotNumbers parses all of fields as decimal numbers.
func snapshotNumbers(fields []string) ([]uint64, bool) {
	numbers := make([]uint64, len(fields))
	for i, field := range fields {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return nil, false
		}
		numbers[i] = n
	}
	return numbers, true
}
