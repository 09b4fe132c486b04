package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"stovasync/shared/fault"
)

// kind is what a YAML value is, as far as settings tell values apart.
type kind int

const (
	null   kind = iota
	text        // quoted, block or plain text
	number      // digits and the like without quotes; its text is kept as written
	flag        // true or false without quotes
	list
	table
	refused // a part of YAML that settings do not use; reported when read
)

// String names the kind for messages.
func (k kind) String() string {
	return [...]string{"null", "text", "a number", "true or false", "a list", "a table of names", "not a plain value"}[k]
}

// node is one YAML value with its place. Scalars keep their text as written, so
// that no digit of an id passes through a float.
type node struct {
	kind  kind
	at    Position
	style style
	text  string
	items []node
	pairs []pair
}

// blank reports whether there is nothing to read: no value, or text of blanks.
func (n node) blank() bool {
	return n.kind == null || n.kind == text && strings.TrimSpace(n.text) == ""
}

// pair is one entry of a table.
type pair struct {
	key   string
	at    Position
	value node
}

// The limits of a connection file. A hand-written file has a few kilobytes;
// the parser's time grows with the square of lines and nesting.
const (
	maxFileBytes = 1 << 20
	maxLines     = 20_000
	maxNesting   = 32
	maxOpen      = 2000 // of [, {, "- " or "? " on one line
)

var utf8BOM = []byte("\xef\xbb\xbf")

// document reads one YAML document whose top is a table. A UTF-8 byte order
// mark and CRLF line ends, as Windows editors write them, are accepted.
func document(data []byte) (node, *source, []error) {
	data = bytes.TrimPrefix(data, utf8BOM)
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	src := newSource(data)
	if err := checkBytes(data); err != nil {
		return node{}, src, []error{err}
	}
	body, err := parseYAML(data)
	if err != nil {
		return node{}, src, []error{err}
	}
	c := converter{}
	top := c.node(body, 0)
	if top.kind != table && top.kind != refused {
		c.problem(top.at, "the file holds "+top.kind.String()+" instead of settings", `write one setting a line, as in "name: summit", with a blank after the colon`)
	}
	return top, src, c.problems
}

// checkBytes refuses what the parser would misread, or take very long over.
func checkBytes(data []byte) error {
	if len(data) > maxFileBytes {
		return invalid(0, fmt.Sprintf("the file has %d bytes", len(data)), "a connection file has at most 1 MiB")
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return wrong(Position{Line: 1}, "the file is UTF-16", "save it as UTF-8")
	}
	if n := bytes.Count(data, []byte("\n")); n > maxLines {
		return invalid(0, fmt.Sprintf("the file has %d lines", n), fmt.Sprintf("a connection file has at most %d", maxLines))
	}
	depth := 0
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			return wrong(Position{Line: i + 1}, "bytes that are not UTF-8", "save the file as UTF-8")
		}
		rest := bytes.TrimLeft(line, " ")
		if bytes.HasPrefix(rest, []byte("\t")) && len(bytes.TrimSpace(rest)) > 0 {
			return wrong(Position{i + 1, len(line) - len(rest) + 1}, "a tab at the start of the line", "indent with blanks")
		}
		for n, c := range line {
			if c < ' ' && c != '\t' || c == 0x7f {
				return wrong(Position{i + 1, utf8.RuneCount(line[:n]) + 1}, "a control character", "remove it")
			}
		}
		depth = max(0, depth+nesting(line))
		if depth > maxNesting || slices.ContainsFunc([]string{"[", "{", "- ", "? "}, func(s string) bool {
			return bytes.Count(line, []byte(s)) > maxOpen
		}) {
			return wrong(Position{Line: i + 1}, "brackets nested too deeply", "close every [ and {")
		}
	}
	return nil
}

// nesting is by how much a line deepens flow brackets. It does not know quotes,
// which is near enough for a limit that no real file comes near.
func nesting(line []byte) int {
	open := bytes.Count(line, []byte("[")) + bytes.Count(line, []byte("{"))
	return open - bytes.Count(line, []byte("]")) - bytes.Count(line, []byte("}"))
}

// quotedPattern finds what a message of the parser quotes from the file, but for
// single characters.
var quotedPattern = regexp.MustCompile(`"(\\.|[^"\\]){2,}"`)

// parseYAML returns the body of the only document, or an error without any of
// the file's text: the parser's own would quote the line, and with it the key.
func parseYAML(data []byte) (ast.Node, error) {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
			return nil, wrong(position(e.GetToken()), "not YAML: "+quotedPattern.ReplaceAllString(e.GetMessage(), "…"), "put text with special characters in quotes")
		}
		return nil, invalid(0, "not YAML", "put text with special characters in quotes")
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if body != nil {
			return nil, wrong(position(doc.Body.GetToken()), "a second document", "one file holds one connection")
		}
		body = doc.Body
	}
	if body == nil {
		return nil, fault.Wrap(fault.ConfigInvalid, errEmpty, "the file is empty", "write at least name, endPoint, accountid and eventid")
	}
	return body, nil
}

var errEmpty = errors.New("no document")

// converter turns the parser's tree into nodes and notes what settings do not use.
type converter struct{ problems []error }

func (c *converter) problem(at Position, msg, next string) {
	c.problems = append(c.problems, wrong(at, msg, next))
}

func (c *converter) node(n ast.Node, depth int) node {
	out := node{at: position(n.GetToken())}
	if depth > maxNesting {
		c.problem(out.at, "values nested too deeply", "no setting has more than four levels")
		out.kind = refused
		return out
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		out.kind, out.text, out.style = text, n.Value, styleOf(n.GetToken())
	case *ast.LiteralNode:
		out.kind, out.text, out.style = text, n.Value.Value, block
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = number, n.GetToken().Value
	case *ast.BoolNode:
		out.kind, out.text = flag, n.GetToken().Value
	case *ast.SequenceNode:
		out.kind = list
		for _, v := range n.Values {
			out.items = append(out.items, c.node(v, depth+1))
		}
	case *ast.MappingNode:
		out.kind = table
		if !n.IsFlowStyle && len(n.Values) > 0 {
			out.at = position(n.Values[0].Key.GetToken()) // not the colon after it
		}
		out.pairs = c.pairs(n.Values, depth)
	case *ast.MappingValueNode:
		out.kind, out.at = table, position(n.Key.GetToken())
		out.pairs = c.pairs([]*ast.MappingValueNode{n}, depth)
	default:
		out.kind = refused
		c.problem(out.at, "anchors, aliases and tags are not used here", "write the value itself, in quotes if it starts with & * or !")
	}
	return out
}

// pairs reads the entries of a table; of a name written twice the first counts.
func (c *converter) pairs(values []*ast.MappingValueNode, depth int) []pair {
	seen := map[string]int{}
	var out []pair
	for _, v := range values {
		tk := v.Key.GetToken()
		switch v.Key.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		default:
			c.problem(position(tk), "a name that is not plain text", `write it as in "name: summit"`)
			continue
		}
		p := pair{key: tk.Value, at: position(tk), value: c.node(v.Value, depth+1)}
		if p.value.kind == null {
			p.value.at = p.at
		}
		if first, ok := seen[p.key]; ok {
			c.problem(p.at, fmt.Sprintf("%s is written twice, first on line %d", shown(p.key), first), "keep one of them")
			continue
		}
		seen[p.key] = p.at.Line
		out = append(out, p)
	}
	return out
}

// invalid is one CONFIG_INVALID problem; line 0 means no line.
func invalid(line int, msg, next string) *fault.Error {
	return wrong(Position{Line: line}, msg, next)
}

// secretPattern is what keys of the vendor look like.
var secretPattern = regexp.MustCompile(`[0-9A-Fa-f]{32,}`)

// shown quotes what a person wrote, at most 40 characters of it, and nothing
// that could be a key in a wrong place.
func shown(s string) string {
	s = secretPattern.ReplaceAllString(s, "…")
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
