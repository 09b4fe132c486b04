package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stovasync/shared/fault"
)

// sources reads the code of the product, folder by folder.
func sources(t *testing.T) map[string][]*ast.File {
	t.Helper()
	all := map[string][]*ast.File{}
	err := filepath.WalkDir(filepath.Join("..", "..", "shared"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		all[filepath.Dir(path)] = append(all[filepath.Dir(path)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// constants are the texts that files name.
func constants(files []*ast.File) map[string]string {
	texts := map[string]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
				if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					texts[v.Names[0].Name], _ = strconv.Unquote(lit.Value)
				}
			}
			return true
		})
	}
	return texts
}

// warningCodes finds, in the code of a folder, what stands for Code wherever a
// run.Warning is made: a constant, or a parameter, of which every call counts.
func warningCodes(t *testing.T, all map[string][]*ast.File, folder string) []string {
	t.Helper()
	files, texts := all[folder], constants(all[folder])
	var found []string
	each := func(visit func(ast.Node)) {
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool { visit(n); return true })
		}
	}
	each(func(n ast.Node) {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			return
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch code := warningCode(n).(type) {
			case nil:
			case *ast.CallExpr: // string(fault.X), or of a variable: any of the codes of errors
				if x, ok := code.Args[0].(*ast.SelectorExpr); ok {
					found = append(found, faultCode(t, x.Sel.Name))
				}
			case *ast.Ident:
				if text, ok := texts[code.Name]; ok {
					found = append(found, text)
					break
				}
				i := parameter(f, code.Name)
				if i < 0 {
					t.Errorf("%s: a warning's code is %s, which this test cannot follow", f.Name.Name, code.Name)
					break
				}
				each(func(n ast.Node) { found = append(found, argument(t, n, f.Name.Name, i)...) })
			case *ast.SelectorExpr: // a constant of another package
				text, ok := constants(all[filepath.Join("..", "..", "shared", fmt.Sprint(code.X))])[code.Sel.Name]
				if !ok {
					t.Errorf("%s: a warning's code is %s.%s, which this test cannot find", f.Name.Name, code.X, code.Sel.Name)
				}
				found = append(found, text)
			default:
				t.Errorf("%s: a warning's code is a %T, which this test cannot follow", f.Name.Name, code)
			}
			return true
		})
	})
	return found
}

// warningCode is the Code of a literal run.Warning, or nil.
func warningCode(n ast.Node) ast.Expr {
	lit, ok := n.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	typ := lit.Type
	if list, ok := typ.(*ast.ArrayType); ok { // []run.Warning{{…}}
		typ = list.Elt
		if len(lit.Elts) == 1 {
			lit, _ = lit.Elts[0].(*ast.CompositeLit)
		}
	}
	if sel, ok := typ.(*ast.SelectorExpr); !ok || sel.Sel.Name != "Warning" || lit == nil {
		return nil
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "Code" {
			return kv.Value
		}
	}
	return nil
}

// parameter is the place of a function's parameter, or -1.
func parameter(f *ast.FuncDecl, name string) int {
	i := 0
	for _, group := range f.Type.Params.List {
		for _, p := range group.Names {
			if p.Name == name {
				return i
			}
			i++
		}
	}
	return -1
}

// argument is the text that a call of a method has at a place.
func argument(t *testing.T, n ast.Node, method string, i int) []string {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return nil
	}
	if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || sel.Sel.Name != method {
		return nil
	}
	lit, ok := call.Args[i].(*ast.BasicLit)
	if !ok {
		t.Errorf("a call of %s gives a code that this test cannot follow", method)
		return nil
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		t.Error(err)
	}
	return []string{text}
}

// faultCode is the text of a constant of package fault.
func faultCode(t *testing.T, name string) string {
	t.Helper()
	for _, c := range fault.Codes() {
		if strings.EqualFold(strings.ReplaceAll(string(c), "_", ""), name) {
			return string(c)
		}
	}
	t.Errorf("fault.%s is no code", name)
	return ""
}

func TestEveryWarningCodeIsExplained(t *testing.T) {
	t.Parallel()
	codes := map[string]bool{}
	all := sources(t)
	for folder := range all {
		for _, c := range warningCodes(t, all, folder) {
			codes[c] = true
		}
	}
	if len(codes) < 10 {
		t.Fatalf("found only %q", slices.Sorted(maps.Keys(codes)))
	}
	p := readPage(t, "errors.md")
	_, table, _ := strings.Cut(p.text, "\n| Warning | Means |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for code := range codes {
		switch isError := slices.Contains(fault.Codes(), fault.Code(code)); {
		case isError && !strings.Contains(table, "| `"+code+"` |"):
			t.Errorf("docs/errors.md does not say what %s means as a warning", code)
		case !isError && (!slices.Contains(p.headings, code) || !strings.Contains(p.text, "["+code+"](#"+strings.ToLower(code)+")")):
			t.Errorf("docs/errors.md has no section %s with its link", code)
		}
	}
	// What is told of was found: a code that nobody gives is not told.
	for _, h := range p.headings[1:] {
		if !codes[h] && !slices.Contains(fault.Codes(), fault.Code(h)) {
			t.Errorf("docs/errors.md has a section %s, which nothing gives", h)
		}
	}
}
