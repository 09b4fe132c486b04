package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// program is a compiled expression. Columns, literals and calls of the
// package's own functions are evaluated directly; anything else runs on the
// expression library's machine.
type program struct {
	text    string
	native  func(m *Mapper, d *doc) value // nil when machine is set
	machine *vm.Program
	slots   []int // the machine's columns: indexes into Set.columns, -1 for unused
	columns []int // every column named, as indexes into Set.columns
	bare    bool  // the text is one column and nothing else
}

// mistake is what is wrong with an expression, where, and what would be right.
type mistake struct {
	column      int // of the text, counted in characters from 1
	what, right string
}

func (m *mistake) Error() string { return m.what }

const maxExpression = 4000 // characters; longer texts are slips, and deep ones cost stack

// builtins are the library's own functions that may be used: those that are
// pure and cannot blow up. The package's own functions come on top.
var builtins = []string{"all", "none", "any", "one", "filter", "map", "count", "len", "int", "float", "string",
	"abs", "ceil", "floor", "round", "min", "max", "split", "replace", "trimPrefix", "trimSuffix", "hasPrefix",
	"hasSuffix", "indexOf", "last"}

// view is what the rows of a data type offer beside their own keys.
type view struct{ picks, slots bool }

// compiler turns texts into programs that share one table of columns.
type compiler struct {
	options []expr.Option
	columns []column
	index   map[string]int  // by root and spelling
	dashed  map[string]bool // columns that look like a subtraction
}

func newCompiler() *compiler {
	c := &compiler{index: map[string]int{}}
	c.options = []expr.Option{expr.Env(env{}), expr.DisableAllBuiltins(), expr.MaxNodes(1000)}
	for _, name := range builtins {
		c.options = append(c.options, expr.EnableBuiltin(name))
	}
	for name, h := range helpers() {
		c.options = append(c.options, expr.Function(name, h.call))
	}
	return c
}

// env is what programs on the machine see: their columns by number, since the
// names were resolved when they were compiled.
type env struct {
	Columns []any `expr:"columns"`
}

// add returns the number of a column in the table.
func (c *compiler) add(v view, parts []string) int {
	col := newColumn(v, parts)
	key := fmt.Sprint(col.root, col.text)
	i, ok := c.index[key]
	if !ok {
		i = len(c.columns)
		c.columns = append(c.columns, col)
		c.index[key] = i
	}
	return i
}

// compile reads one expression. The error is a *mistake.
func (c *compiler) compile(v view, text string, filter bool) (*program, error) {
	if strings.TrimSpace(text) == "" {
		return nil, &mistake{1, "the expression is empty", "name a column, or write null to leave the field out"}
	}
	if len(text) > maxExpression {
		return nil, &mistake{1, fmt.Sprintf("the expression is longer than %d bytes", maxExpression), "shorten it"}
	}
	tree, err := parseText(c.options, text)
	if err != nil {
		return nil, err
	}
	in := c.inspect(tree.Node)
	if in.wrong != nil {
		return nil, in.wrong
	}
	p := &program{text: text}
	if _, ok := pathOf(tree.Node); ok {
		p.bare = true
	}
	if p.native = c.native(v, tree.Node, p); p.native != nil {
		if filter && !yesNo(tree.Node) {
			return nil, &mistake{1, "a filter must be true or false", `compare with a text, as in category.name != "Guest"`}
		}
		return p, nil
	}
	return p, c.machine(v, p, in, filter)
}

// yesNo reports whether a directly evaluated node gives true or false.
func yesNo(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BoolNode:
		return true
	case *ast.CallNode:
		return calleeName(n) == "has"
	default:
		return false
	}
}

func parseText(options []expr.Option, text string) (*parser.Tree, error) {
	config := conf.CreateNew()
	for _, o := range options {
		o(config)
	}
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		return nil, mistakeOf(err)
	}
	return tree, nil
}

// machine compiles p for the library's machine, its columns replaced by numbers.
func (c *compiler) machine(v view, p *program, in *inspection, filter bool) error {
	patch := &patcher{c: c, v: v, in: in, paths: map[ast.Node]patched{}}
	options := append(slices.Clone(c.options), expr.Patch(patch))
	if filter {
		options = append(options, expr.AsBool())
	}
	machine, err := expr.Compile(p.text, options...)
	if err != nil {
		return mistakeOf(err)
	}
	p.machine, p.slots, p.columns = machine, patch.slots, nil
	for _, i := range patch.slots {
		if i >= 0 && !slices.Contains(p.columns, i) {
			p.columns = append(p.columns, i)
		}
	}
	return nil
}

// run evaluates the program on a row. An error says that the expression does
// not fit the row's values; it holds none of them.
func (p *program) run(m *Mapper, d *doc) (value, error) {
	if p.native != nil {
		return p.native(m, d), nil
	}
	e := env{Columns: make([]any, len(p.slots))}
	for i, n := range p.slots {
		if n >= 0 {
			e.Columns[i] = m.columns[n].get(m, d).seen()
		}
	}
	out, err := expr.Run(p.machine, e)
	if err != nil {
		at := 1
		if f, ok := errors.AsType[*file.Error](err); ok {
			at = f.From + 1
		}
		return value{}, &mistake{at, fmt.Sprintf("column %d of the expression does not fit the row's values", at), ""}
	}
	v, ok := valueOf(out)
	if !ok {
		return value{}, &mistake{1, "the expression gives neither text, number, true or false, nor a list of them", ""}
	}
	return v, nil
}

// pathOf returns the path of a node that is a column and nothing else.
func pathOf(n ast.Node) ([]string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return []string{n.Value}, true
	case *ast.ChainNode:
		return pathOf(n.Node)
	case *ast.MemberNode:
		base, ok := pathOf(n.Node)
		if !ok {
			return nil, false
		}
		key, ok := keyOf(n)
		return append(base, key), ok
	default:
		return nil, false
	}
}

// keyOf returns the key of a member: .name, ["name"] or [0].
func keyOf(n *ast.MemberNode) (string, bool) {
	switch k := n.Property.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode:
		return strconv.Itoa(k.Value), k.Value >= 0
	default:
		return "", false
	}
}

// parseColumn reads a text that is one column.
func parseColumn(v view, text string) (column, bool) {
	if len(text) > maxExpression {
		return column{}, false
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return column{}, false
	}
	parts, ok := pathOf(tree.Node)
	if !ok {
		return column{}, false
	}
	return newColumn(v, parts), true
}

// native builds the direct evaluation of a node, or nil where it holds anything
// but columns, literals, lists and the package's own functions.
func (c *compiler) native(v view, n ast.Node, p *program) func(*Mapper, *doc) value {
	if parts, ok := pathOf(n); ok {
		i := c.add(v, parts)
		if !slices.Contains(p.columns, i) {
			p.columns = append(p.columns, i)
		}
		return func(m *Mapper, d *doc) value { return m.columns[i].get(m, d) }
	}
	switch n := n.(type) {
	case *ast.StringNode:
		return constant(textValue(n.Value))
	case *ast.IntegerNode:
		return constant(value{other: int64(n.Value)})
	case *ast.FloatNode:
		return constant(value{other: n.Value})
	case *ast.BoolNode:
		return constant(value{other: n.Value})
	case *ast.ArrayNode:
		parts, ok := c.natives(v, n.Nodes, p)
		if !ok {
			return nil
		}
		return func(m *Mapper, d *doc) value {
			var out value
			for _, part := range parts {
				out = gather(out, part(m, d))
			}
			return out
		}
	case *ast.CallNode:
		return c.nativeCall(v, n, p)
	default:
		return nil
	}
}

func constant(v value) func(*Mapper, *doc) value {
	return func(*Mapper, *doc) value { return v }
}

func (c *compiler) natives(v view, nodes []ast.Node, p *program) ([]func(*Mapper, *doc) value, bool) {
	var out []func(*Mapper, *doc) value
	for _, n := range nodes {
		f := c.native(v, n, p)
		if f == nil {
			return nil, false
		}
		out = append(out, f)
	}
	return out, true
}

func (c *compiler) nativeCall(v view, n *ast.CallNode, p *program) func(*Mapper, *doc) value {
	h, ok := helpers()[calleeName(n)]
	if !ok {
		return nil
	}
	args, ok := c.natives(v, n.Arguments, p)
	if !ok {
		return nil
	}
	if calleeName(n) == "first" {
		// The commonest function stops at the first column that is filled.
		return func(m *Mapper, d *doc) value {
			for _, arg := range args {
				if got := arg(m, d); !got.blank() {
					return got
				}
			}
			return value{}
		}
	}
	return func(m *Mapper, d *doc) value {
		var few [4]value
		vals := few[:0]
		for _, arg := range args {
			vals = append(vals, arg(m, d))
		}
		return h.do(vals)
	}
}

func calleeName(n *ast.CallNode) string {
	if id, ok := n.Callee.(*ast.IdentifierNode); ok {
		return id.Value
	}
	return ""
}

// patcher replaces columns by their numbers in the tree that is compiled. It
// walks from the leaves up: a member of what it has replaced is a longer column.
type patcher struct {
	c     *compiler
	v     view
	in    *inspection
	paths map[ast.Node]patched
	slots []int
}

type patched struct {
	parts []string
	slot  int
}

// Visit implements ast.Visitor.
func (p *patcher) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if p.in.callees[n.Location().From] || p.in.lets[n.Value] {
			return
		}
		p.put(node, []string{n.Value})
	case *ast.MemberNode:
		base, ok := p.paths[n.Node]
		if !ok {
			return
		}
		if key, ok := keyOf(n); ok {
			p.slots[base.slot] = -1
			p.put(node, append(slices.Clone(base.parts), key))
		}
	case *ast.ChainNode:
		if base, ok := p.paths[n.Node]; ok {
			ast.Patch(node, n.Node)
			p.paths[*node] = base
		}
	}
}

func (p *patcher) put(node *ast.Node, parts []string) {
	slot := len(p.slots)
	p.slots = append(p.slots, p.c.add(p.v, parts))
	ast.Patch(node, &ast.MemberNode{Node: &ast.IdentifierNode{Value: "columns"}, Property: &ast.IntegerNode{Value: slot}})
	p.paths[*node] = patched{parts, slot}
}

// inspection is what a first look at a tree finds.
type inspection struct {
	callees map[int]bool    // where function names stand: they are no columns
	lets    map[string]bool // names that the expression itself declares
	dashed  map[string]bool
	wrong   *mistake // the first mistake
}

// inspect looks for what the library would let pass, or would tell badly.
func (c *compiler) inspect(n ast.Node) *inspection {
	in := &inspection{callees: map[int]bool{}, lets: map[string]bool{}, dashed: c.dashed}
	ast.Walk(&n, in)
	return in
}

// Visit implements ast.Visitor.
func (in *inspection) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.CallNode:
		in.call(n)
	case *ast.VariableDeclaratorNode:
		in.lets[n.Name] = true
	case *ast.NilNode:
		in.mark(n, "nil is never in a row", `an absent column is the empty text: compare with ""`)
	case *ast.BinaryNode:
		in.operator(n)
	case *ast.MapNode:
		in.mark(n, "no field holds a map", "give a text, a number, true or false, or a list")
	}
}

func (in *inspection) operator(n *ast.BinaryNode) {
	switch n.Operator {
	case "??":
		in.mark(n, "?? never takes its right side, since an absent column is the empty text", "write first(a, b)")
	case "-":
		left, _ := pathOf(n.Left)
		right, _ := pathOf(n.Right)
		if name := strings.Join(left, ".") + "-" + strings.Join(right, "."); in.dashed[name] {
			in.mark(n.Left, name+" is read as a subtraction", fmt.Sprintf("write row[%q]", name))
		}
	}
}

func (in *inspection) call(n *ast.CallNode) {
	in.callees[n.Callee.Location().From] = true
	name := calleeName(n)
	h, known := helpers()[name]
	switch {
	case name == "":
		in.mark(n, "a column cannot be called", "call a function such as first(a, b)")
	case !known:
		in.mark(n.Callee, fmt.Sprintf("%s is no function", name), rightFunction(name))
	case len(n.Arguments) < h.least || len(n.Arguments) > h.most:
		in.mark(n.Callee, fmt.Sprintf("%s does not take %d arguments", name, len(n.Arguments)), "write "+h.usage)
	}
}

func rightFunction(name string) string {
	names := append(slices.Sorted(maps.Keys(helpers())), builtins...)
	if near := nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	return "the functions are " + strings.Join(slices.Sorted(maps.Keys(helpers())), ", ")
}

func (in *inspection) mark(n ast.Node, what, right string) {
	at := n.Location().From + 1
	if in.wrong == nil || at < in.wrong.column {
		in.wrong = &mistake{at, what, right}
	}
}

// mistakeOf reads the library's error: its place, and its own words for it.
func mistakeOf(err error) *mistake {
	f, ok := errors.AsType[*file.Error](err)
	if !ok {
		return &mistake{1, "the expression does not compile", "name a column such as fname, or call first(a, b)"}
	}
	what, _, _ := strings.Cut(f.Message, "\n")
	return &mistake{f.From + 1, what, rightSyntax(what)}
}

// rightSyntax maps what the library says of a text to what people meant.
func rightSyntax(what string) string {
	for _, hint := range []struct{ part, right string }{
		{`Operator("=")`, "compare with =="},
		{"Number(", `write a name that begins with a digit in brackets: responses["7060"]`},
		{"EOF", "the text ends too early: close what is open"},
		{"not terminated", "close the quotes"},
		{"expected bool", `a filter must be true or false: compare with a text, as in category.name != "Guest"`},
		{"invalid operation", "columns are texts: write int(column) to compare numbers"},
	} {
		if strings.Contains(what, hint.part) {
			return hint.right
		}
	}
	return `name a column such as fname, category.name or responses["7060"], or call a function such as first(a, b)`
}
