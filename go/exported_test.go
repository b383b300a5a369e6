package bytefd_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// parsedPackage is this package as package go/doc needs it.
func parsedPackage(t *testing.T) (files *token.FileSet, parsed []*ast.File, path string) {
	t.Helper()
	files = token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	return files, parsed, "github.com/bytefd/bytefd/go"
}

func TestEveryExportedItemIsDocumentedAndShownInAnExample(t *testing.T) {
	pkg, err := doc.NewFromFiles(parsedPackage(t))
	if err != nil {
		t.Fatal(err)
	}

	var examples []*doc.Example
	collect := func(functions []*doc.Func) {
		for _, function := range functions {
			examples = append(examples, function.Examples...)
		}
	}
	collect(pkg.Funcs)
	for _, typ := range pkg.Types {
		examples = append(examples, typ.Examples...)
		collect(typ.Funcs)
		collect(typ.Methods)
	}
	for _, example := range examples {
		if example.Output == "" {
			t.Errorf("Example%s is never run, it has no output", example.Name)
		}
	}

	check := func(name, text string, own []*doc.Example) {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no doc comment", name)
		}
		if len(own) == 0 && !uses(examples, name) {
			t.Errorf("%s is in no example", name)
		}
	}
	functions := func(functions []*doc.Func) {
		for _, function := range functions {
			check(function.Name, function.Doc, function.Examples)
		}
	}
	values := func(values []*doc.Value) {
		for _, value := range values {
			for _, spec := range value.Decl.Specs {
				spec := spec.(*ast.ValueSpec)
				for _, name := range spec.Names {
					if name.IsExported() {
						check(name.Name, spec.Doc.Text(), nil)
					}
				}
			}
		}
	}
	functions(pkg.Funcs)
	values(pkg.Consts)
	values(pkg.Vars)
	for _, typ := range pkg.Types {
		check(typ.Name, typ.Doc, typ.Examples)
		functions(typ.Funcs)
		functions(typ.Methods)
		values(typ.Consts)
		values(typ.Vars)
	}
}

// uses reports whether an example's code names an identifier.
func uses(examples []*doc.Example, name string) (found bool) {
	for _, example := range examples {
		ast.Inspect(example.Code, func(node ast.Node) bool {
			if identifier, ok := node.(*ast.Ident); ok && identifier.Name == name {
				found = true
			}
			return !found
		})
	}
	return found
}
