package fault_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stovasync/shared/fault"
)

// codes reads the Code constants from the source, so that a new one cannot be
// forgotten here.
func codes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Code" {
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, code)
		}
		return true
	})
	if len(out) < 21 {
		t.Fatalf("%d codes found, want at least the 21 of the interface", len(out))
	}
	return out
}

// Each code has a section of docs/errors.md with cause and next step, and a
// line in its table of contents.
func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	contents, _, _ := strings.Cut(string(page), "\n## ")
	for _, code := range codes(t) {
		section := regexp.MustCompile(`(?s)\n## ` + code + `\n\n\*\*Cause\.\*\* [^#]+?\n\n\*\*Next step\.\*\* [^#]+`)
		if n := len(section.FindAllString(string(page), -1)); n != 1 {
			t.Errorf("docs/errors.md has %d sections with cause and next step for %s, want 1", n, code)
		}
		if link := fmt.Sprintf("[%s](#%s)", code, strings.ToLower(code)); !strings.Contains(contents, link) {
			t.Errorf("the contents of docs/errors.md do not hold %s", link)
		}
	}
}

func TestEveryCodeIsListed(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, c := range fault.Codes() {
		listed = append(listed, string(c))
	}
	if want := codes(t); !slices.Equal(want, listed) {
		t.Errorf("Codes() = %q, want the constants in their order: %q", listed, want)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  *fault.Error
		want string
	}{
		"code, message and next step":        {fault.New(fault.StovaAuth, "the account or key was refused", "check accountid and key"), "STOVA_AUTH: the account or key was refused; check accountid and key"},
		"no next step":                       {fault.New(fault.TaskLost, "page 3", ""), "TASK_LOST: page 3"},
		"the text of a cause is not printed": {fault.Wrap(fault.StovaServer, errors.New("INVENTED"), "page 3", ""), "STOVA_SERVER: page 3"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestCodesAndPermanenceAreFoundThroughWraps(t *testing.T) {
	t.Parallel()
	coded := fault.Wrap(fault.StovaBody, io.ErrUnexpectedEOF, "page 3", "")
	err := fmt.Errorf("run 1: %w", errors.Join(errors.New("other"), fault.Permanent(coded)))
	if fault.CodeOf(err) != fault.StovaBody || !fault.IsPermanent(err) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v: code %q, permanent %v; want STOVA_BODY, permanent, with its cause", err, fault.CodeOf(err), fault.IsPermanent(err))
	}
	if plain := errors.New("other"); fault.CodeOf(plain) != "" || fault.IsPermanent(plain) || fault.IsPermanent(coded) {
		t.Error("an error that was not marked has a code or is permanent")
	}
	if fault.Permanent(nil) != nil {
		t.Error("no error became one")
	}
}
