package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/periscope-k8s/periscope/"

// A rule forbids imports to packages. Paths are relative to the module; a trailing /...
// means the folder and all below it.
type rule struct {
	why   string
	from  []string // packages the rule is for
	not   []string // packages below from that it is not for
	never []string // import paths (of the module, or whole ones) they must not have
}

const (
	kubernetes = "k8s.io/..."
	sigs       = "sigs.k8s.io/..."
	azureSDK   = "github.com/Azure/..."
)

// rules are the import rules of the design. Rules for packages that do not exist yet are
// here already: they hold from the first file on.
var rules = []rule{
	{"nothing imports cli but main", []string{"internal/..."}, nil, []string{module + "internal/cli"}},
	{"only cli imports agent", []string{"internal/..."}, []string{"internal/cli"}, []string{module + "internal/agent"}},
	{
		"the core knows no Kubernetes and no cloud",
		[]string{"internal/bundle", "internal/host/...", "internal/redact", "internal/journal", "internal/forward", "internal/manifest"}, nil,
		[]string{kubernetes, sigs, azureSDK},
	},
	{"collect does not know the bundle", []string{"internal/collect/..."}, nil, []string{module + "internal/bundle"}},
	{
		"analyzers only read",
		[]string{"internal/analyze/..."}, nil,
		[]string{module + "internal/export/...", module + "internal/kube", "net/http", "os/exec", "k8s.io/client-go/..."},
	},
	{"only host runs commands", []string{"cmd/...", "internal/..."}, []string{"internal/host", "internal/host/hosttest"}, []string{"os/exec"}},
	{
		"client-go stays in a few places",
		[]string{"cmd/...", "internal/..."},
		[]string{"internal/kube", "internal/collect", "internal/collect/cluster", "internal/nodeexec", "internal/agent"},
		[]string{"k8s.io/client-go/..."},
	},
	{"ARM clients only in azure", []string{"cmd/...", "internal/..."}, []string{"internal/azure"}, []string{"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/..."}},
	{"azure only in cli", []string{"internal/..."}, []string{"internal/cli"}, []string{module + "internal/azure"}},
	{
		"exporters and sinks are named in wire.go alone",
		[]string{"internal/..."},
		[]string{"internal/cli"},
		[]string{module + "internal/export/dir", module + "internal/export/azblob", module + "internal/forward/..."},
	},
	{"the manifest depends on no other part", []string{"internal/manifest"}, nil, []string{module + "..."}},
}

func TestImports(t *testing.T) {
	for file, imports := range parse(t, "..", parser.ImportsOnly) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		for _, r := range rules {
			if !matchAny(r.from, pkg) || slices.Contains(r.not, pkg) {
				continue
			}
			for _, path := range imports {
				if matchAny(r.never, path) && !below(path, pkg) {
					t.Errorf("%s imports %s: %s", file, path, r.why)
				}
			}
		}
	}
}

// TestWire checks that concrete exporters and sinks are named only in wire.go.
func TestWire(t *testing.T) {
	for file, imports := range parse(t, "..", parser.ImportsOnly) {
		if filepath.ToSlash(filepath.Dir(file)) != "internal/cli" {
			continue
		}
		for _, path := range imports {
			concrete := strings.HasPrefix(path, module+"internal/export/") || strings.HasPrefix(path, module+"internal/forward/")
			if concrete && filepath.Base(file) != "wire.go" && !strings.HasSuffix(file, "_test.go") {
				t.Errorf("%s imports %s: concrete exporters and sinks are named in wire.go alone", file, path)
			}
		}
	}
}

// TestNames checks that no folder has a name that says nothing.
func TestNames(t *testing.T) {
	never := []string{"pkg", "utils", "util", "common", "helpers", "types", "interfaces", "models", "manager"}
	for file := range parse(t, "..", parser.PackageClauseOnly) {
		for _, part := range strings.Split(filepath.ToSlash(filepath.Dir(file)), "/") {
			if slices.Contains(never, part) {
				t.Errorf("%s: a folder is named for what it provides, not %q", file, part)
			}
		}
	}
}

// parse returns the imports of every Go file of the module below root, by path relative to
// the module.
func parse(t *testing.T, root string, mode parser.Mode) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || (strings.HasPrefix(d.Name(), ".") && d.Name() != "..")) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, mode)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		files[rel] = []string{}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			files[rel] = append(files[rel], p)
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("parse %s: %d files, %v", root, len(files), err)
	}
	return files
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		folder, all := strings.CutSuffix(p, "/...")
		return path == folder || path == p || (all && strings.HasPrefix(path, folder+"/"))
	})
}

// below reports whether an import is of the package's own folder: a package may use what
// lies below it.
func below(path, pkg string) bool { return strings.HasPrefix(path, module+pkg+"/") }
