package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

// A nodelogsFile is a file to collect.
type nodelogsFile struct {
	Path         string `json:"path"`
	SizeBytes    int64  `json:"sizeBytes"` // on the host
	Compression  string `json:"compression,omitempty"`
	ContentBytes int64  `json:"decompressedBytes,omitempty"`

	kind *nodelogsKind // nil: not compressed
}

// content is the length of what could be collected.
func (f *nodelogsFile) content() int64 {
	if f.kind != nil {
		return f.ContentBytes
	}
	return f.SizeBytes
}

// name is the file's name in the bundle: its path with "_" for "/".
func (f *nodelogsFile) name() string {
	p := f.Path
	if f.kind != nil {
		p = strings.TrimSuffix(p, f.kind.extension)
	}
	return strings.ReplaceAll(strings.TrimPrefix(p, "/"), "/", "_")
}

// A nodelogsSearch finds files by patterns, each once.
type nodelogsSearch struct {
	env   *collect.Env
	index *nodelogsIndex
	seen  map[any]bool // by what tells files apart: see nodelogsIdentity
}

// pattern adds the files that match p. One that the user asks for by its very path is
// collected even if it is not text.
func (s *nodelogsSearch) pattern(ctx context.Context, p string, asked bool) {
	paths, err := s.env.Host.Glob(p)
	if err != nil {
		s.env.Log.Warn("find logs", "err", err)
	}
	if len(paths) == 0 {
		s.index.Unmatched = append(s.index.Unmatched, p)
		if asked && err == nil {
			s.env.Log.Warn("no file matches", "pattern", p)
		}
	}
	byPath := asked && !strings.ContainsAny(p, `*?[\`)
	for _, path := range paths {
		if ctx.Err() != nil {
			return
		}
		if len(s.index.Files)+len(s.index.LeftOut) >= nodelogsMaxFiles {
			s.env.Log.Warn("more files than are collected", "limit", nodelogsMaxFiles, "pattern", p)
			return
		}
		if err := s.look(ctx, path, asked, byPath); err != nil {
			s.leave(path, err, asked)
		}
	}
}

// leave notes a file that is not collected, and warns when it was asked for, or could be
// collected if the host were well.
func (s *nodelogsSearch) leave(path string, err error, asked bool) {
	var p *fs.PathError
	fault := errors.As(err, &p)
	if fault {
		err = p.Err
	}
	s.index.LeftOut = append(s.index.LeftOut, nodelogsLeft{path, err.Error()})
	if asked || (fault && !isNotExist(err) && !errors.Is(err, host.ErrDenied)) {
		s.env.Log.Warn("log left out", "path", path, "err", err)
	}
}

// look adds the file to the index, or tells why it is left out.
func (s *nodelogsSearch) look(ctx context.Context, path string, asked, byPath bool) error {
	info, err := s.env.Host.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if asked {
			return errors.New("a folder; its files are asked for by " + path + "/*")
		}
		return nil // in the listing
	}
	if id := nodelogsIdentity(path, info); s.seen[id] {
		return nil
	} else {
		s.seen[id] = true
	}
	switch {
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.ModTime().Before(s.env.Window.Since):
		s.index.Unchanged++
		return nil
	case strings.HasPrefix(path, "/var/log/azure/aks/pods/") && nodelogsLinks(info) > 1:
		return errors.New("a hard link to a log in " + podlogsRoot)
	}
	f := &nodelogsFile{Path: path, SizeBytes: info.Size()}
	if err := f.examine(ctx, s.env, byPath); err != nil {
		return err
	}
	s.index.Files = append(s.index.Files, f)
	return nil
}

const nodelogsHead = 4 << 10 // bytes by which a file is judged

// examine finds out whether the file is compressed, how much there is in it, and whether
// it can be collected: redaction does not see into what is compressed or encoded.
func (f *nodelogsFile) examine(ctx context.Context, env *collect.Env, binary bool) error {
	file, err := env.Host.Open(f.Path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	head, err := nodelogsPeek(file, f.Path, 0)
	if err != nil {
		return err
	}
	var end []byte
	if f.kind = nodelogsKindOf(head); f.kind != nil {
		f.Compression = f.kind.name
		if head, f.ContentBytes, err = f.kind.measure(contextReader{ctx, file}); err != nil {
			return err
		}
		end = head
	} else if end, err = nodelogsPeek(file, f.Path, f.SizeBytes-nodelogsHead); err != nil {
		return err
	}
	if what := nodelogsOpaque(head); what != "" {
		return errors.New(what + ": secrets in it could not be found")
	}
	// A log has zeros where it was truncated while it was open, and where the node crashed.
	if !binary && !nodelogsText(head) && !nodelogsText(end) {
		return errors.New("not text; it is collected when asked for by its path, without wildcards")
	}
	return nil
}

// nodelogsPeek returns what a file holds at offset.
func nodelogsPeek(r io.ReaderAt, path string, offset int64) ([]byte, error) {
	p := make([]byte, nodelogsHead)
	n, err := r.ReadAt(p, max(0, offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return p[:n], nil
}

// nodelogsText reports whether p is text, but for zeros in a few runs: a tenth of the rest at
// most are control characters, and zeros do not stand between all the others as in UTF-16.
func nodelogsText(p []byte) bool {
	var text, control, runs int
	zero := false
	for _, c := range p {
		switch {
		case c == 0:
			if !zero {
				runs++
			}
		case c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != 0x1b, c == 0x7f:
			control++
		default:
			text++
		}
		zero = c == 0
	}
	return runs == 0 || (text > 0 && control <= text/10 && runs <= 1+text/100)
}

// nodelogsOpaque tells of content whose secrets redaction could not find, by its magic.
func nodelogsOpaque(head []byte) string {
	for _, k := range []struct{ magic, what string }{
		{"\xfd7zXZ\x00", "compressed by xz"},
		{"\x04\x22\x4d\x18", "compressed by lz4"},
		{"\x1f\x8b", "compressed twice"},
		{"\x28\xb5\x2f\xfd", "compressed twice"},
		{"BZh", "compressed twice"},
		{"PK\x03\x04", "a zip archive"},
		{"LPKSHHRH", "a systemd journal"},
	} {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return k.what
		}
	}
	return ""
}
