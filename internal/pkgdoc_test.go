package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageDocs checks that every package has one comment, which says more than its
// name, and that every exported name has one.
func TestPackageDocs(t *testing.T) {
	docs := map[string][]string{}
	for file := range parse(t, "..", parser.PackageClauseOnly) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(file)
		docs[dir] = append(docs[dir], packageDoc(f)...)
		for _, name := range undocumented(f) {
			t.Errorf("%s: %s has no doc comment", file, name)
		}
	}
	for dir, found := range docs {
		if len(found) != 1 {
			t.Errorf("%s: %d package comments, want 1", dir, len(found))
		} else if len(strings.Fields(found[0])) < 12 {
			t.Errorf("%s: the package comment says too little: %q", dir, found[0])
		}
	}
}

func packageDoc(f *ast.File) []string {
	if f.Doc == nil {
		return nil
	}
	return []string{f.Doc.Text()}
}

// undocumented returns the exported top-level names and methods of exported types without
// a comment.
func undocumented(f *ast.File) (names []string) {
	if f.Name.Name == "main" {
		return nil
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Doc == nil && d.Doc == nil {
					names = append(names, ts.Name.Name)
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// TestDocLinks checks that relative links in the Markdown files lead somewhere.
func TestDocLinks(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		for _, link := range links(t, path) {
			if target := filepath.Join(filepath.Dir(path), link); !exists(target) {
				t.Errorf("%s: the link to %s leads nowhere", path, link)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
