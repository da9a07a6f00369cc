// Package hosttest makes a host out of a txtar archive, for tests of what reads a host.
//
//	-- host/var/log/syslog --                      a file
//	-- host/etc/resolv.conf -> ../run/resolv.conf --  a symlink; no content
//	-- host/var/log/pods/ --                       an empty folder; no content
//	-- exec/systemctl --failed --                  the standard output of a command
//	-- exit/systemctl --failed --                  its exit code, then its standard error on further lines
//
// Files of other names are left alone. Content is text that ends with a newline, as everything in a txtar archive.
package hosttest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/periscope-k8s/periscope/internal/host"
)

// FromTxtar writes the host tree of the archive to a folder that lasts as long as the test, and opens it.
func FromTxtar(t testing.TB, archive *txtar.Archive) host.FS {
	t.Helper()
	folder := t.TempDir()
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	for _, file := range archive.Files {
		name, ok := strings.CutPrefix(file.Name, "host/")
		if !ok {
			continue
		}
		if err := write(root, name, file.Data); err != nil {
			t.Fatalf("write %s: %v", file.Name, err)
		}
	}
	tree, err := host.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func write(root *os.Root, name string, data []byte) error {
	link, target, isLink := strings.Cut(name, " -> ")
	isFolder := strings.HasSuffix(name, "/")
	if (isLink || isFolder) && len(data) > 0 {
		return fmt.Errorf("a symlink or folder with content")
	}
	local := filepath.FromSlash(path.Clean(link))
	if isFolder {
		return root.MkdirAll(local, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(local), 0o755); err != nil {
		return err
	}
	if isLink {
		return root.Symlink(target, local)
	}
	return root.WriteFile(local, data, 0o644)
}

// Exec returns a stand-in for host.Runner's Run that plays the archive's commands. A command line is the name and the
// arguments joined by single spaces. One that is in the archive neither as exec/ nor as exit/ is host.ErrNoCommand.
// Stdout, MaxOutput and the end of the context have the effects they have in Run.
func Exec(t testing.TB, archive *txtar.Archive) func(context.Context, host.Command) (host.Exit, error) {
	t.Helper()
	commands := map[string]recording{}
	for _, file := range archive.Files {
		kind, line, _ := strings.Cut(file.Name, "/")
		recorded := commands[line]
		switch kind {
		case "exec":
			recorded.stdout = string(file.Data)
		case "exit":
			code, stderr, _ := strings.Cut(string(file.Data), "\n")
			var err error
			if recorded.exit.Code, err = strconv.Atoi(strings.TrimSpace(code)); err != nil {
				t.Fatalf("%s: exit code: %v", file.Name, err)
			}
			recorded.exit.Stderr = stderr
		default:
			continue
		}
		commands[line] = recorded
	}
	return func(ctx context.Context, c host.Command) (host.Exit, error) {
		recorded, ok := commands[strings.Join(append([]string{c.Name}, c.Args...), " ")]
		exit, err := recorded.exit, ctx.Err()
		switch {
		case err != nil:
		case !ok:
			err = host.ErrNoCommand
		default:
			exit.Truncated, err = recorded.play(c)
		}
		if err != nil {
			exit.Code = -1
			err = fmt.Errorf("run %s: %w", c.Name, err)
		}
		return exit, err
	}
}

type recording struct {
	stdout string
	exit   host.Exit
}

func (r recording) play(c host.Command) (truncated bool, err error) {
	stdout := r.stdout
	if c.MaxOutput > 0 && int64(len(stdout)) > c.MaxOutput {
		stdout, truncated = stdout[:c.MaxOutput], true
	}
	if c.Stdout != nil {
		if _, err := io.WriteString(c.Stdout, stdout); err != nil {
			return truncated, fmt.Errorf("write output: %w", err)
		}
	}
	if truncated {
		return true, host.ErrOutputLimit
	}
	return false, nil
}
