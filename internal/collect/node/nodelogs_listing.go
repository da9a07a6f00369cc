package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/periscope-k8s/periscope/internal/collect"
)

const (
	nodelogsListRoot  = "/var/log"
	nodelogsListDepth = 3
	nodelogsListLines = 20_000
)

// nodelogsListing writes listing.txt: all files below /var/log, three levels deep, with
// mode, owner, size, modification time and path. It reports whether there is a /var/log.
func nodelogsListing(ctx context.Context, env *collect.Env, out collect.Output) (bool, error) {
	if _, err := env.Host.Stat(nodelogsListRoot); isNotExist(err) {
		return false, nil
	}
	w, err := out.Create("listing.txt")
	if err != nil {
		return true, err
	}
	l := &nodelogsLister{env: env, w: bufio.NewWriter(w), users: nodelogsNames(env, "/etc/passwd"), groups: nodelogsNames(env, "/etc/group")}
	err = env.Host.Walk(nodelogsListRoot, nodelogsListDepth, func(path string, info fs.FileInfo, err error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		l.add(path, info, err)
		return nil
	})
	if more := l.entries - nodelogsListLines; more > 0 {
		fmt.Fprintf(l.w, "... and %d more\n", more)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(l.w, "... and more: the time was over")
	}
	return true, errors.Join(err, l.w.Flush(), w.Close())
}

type nodelogsLister struct {
	env           *collect.Env
	w             *bufio.Writer // keeps its first error for Flush
	users, groups map[uint32]string
	entries       int
}

// add writes the line of one file, or of what kept it from being described.
func (l *nodelogsLister) add(path string, info fs.FileInfo, err error) {
	l.entries++
	if l.entries > nodelogsListLines {
		return
	}
	if err != nil {
		fmt.Fprintf(l.w, "?????????? %s: %s\n", nodelogsQuote(path), nodelogsQuote(podlogsWhy(err)))
		return
	}
	owner := "? ?"
	if uid, gid, ok := nodelogsOwner(info); ok {
		owner = nodelogsName(l.users, uid) + " " + nodelogsName(l.groups, gid)
	}
	fmt.Fprintf(l.w, "%s %-15s %12d %s %s", nodelogsMode(info.Mode()), owner, info.Size(), info.ModTime().UTC().Format(time.RFC3339), nodelogsQuote(path))
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := l.env.Host.ReadLink(path)
		if err != nil {
			target = "?"
		}
		fmt.Fprintf(l.w, " -> %s", nodelogsQuote(target))
	}
	_ = l.w.WriteByte('\n')
}

// nodelogsMode is a mode as ls prints it.
func nodelogsMode(m fs.FileMode) string {
	b := []byte("-" + m.Perm().String()[1:])
	for _, t := range []struct {
		mode fs.FileMode
		c    byte
	}{{fs.ModeDir, 'd'}, {fs.ModeSymlink, 'l'}, {fs.ModeNamedPipe, 'p'}, {fs.ModeSocket, 's'}, {fs.ModeDevice, 'b'}, {fs.ModeCharDevice, 'c'}} {
		if m&t.mode != 0 {
			b[0] = t.c
		}
	}
	for _, s := range []struct {
		mode    fs.FileMode
		at      int
		with, x byte
	}{{fs.ModeSetuid, 3, 'S', 's'}, {fs.ModeSetgid, 6, 'S', 's'}, {fs.ModeSticky, 9, 'T', 't'}} {
		if m&s.mode == 0 {
			continue
		}
		if b[s.at] == 'x' {
			b[s.at] = s.x
		} else {
			b[s.at] = s.with
		}
	}
	return string(b)
}

// nodelogsQuote makes a name that stays on its line and does nothing to a terminal: in
// double quotes, as in Go, when it holds more than printable characters.
func nodelogsQuote(name string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || r == '"' || r == '\\' }
	if !utf8.ValidString(name) || strings.ContainsFunc(name, odd) || strings.Contains(name, " -> ") {
		return strconv.Quote(name)
	}
	return name
}

const nodelogsMaxNames = 256 << 10 // bytes of passwd and group that are read

func nodelogsNames(env *collect.Env, path string) map[uint32]string {
	data, _ := env.Host.ReadFile(path, nodelogsMaxNames) // what is missing is shown as a number
	return parseNodelogsNames(data)
}

// parseNodelogsNames reads the names by number of a passwd(5) or group(5) file. Malformed
// lines are skipped; of two names for a number the first counts.
func parseNodelogsNames(data []byte) map[uint32]string {
	names := map[uint32]string{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(line, ":")
		if len(fields) < 3 || fields[0] == "" {
			continue
		}
		id, err := strconv.ParseUint(strings.TrimSpace(fields[2]), 10, 32)
		if _, taken := names[uint32(id)]; err == nil && !taken {
			names[uint32(id)] = fields[0]
		}
	}
	return names
}

func nodelogsName(names map[uint32]string, id uint32) string {
	if name, ok := names[id]; ok {
		return nodelogsQuote(name)
	}
	return strconv.FormatUint(uint64(id), 10)
}
