package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Template is a template as it is written. Its trees are made of
// map[string]any, []any, string, int, float64, bool and nil; intrinsic
// functions are in their long form, such as {"Fn::Sub": "…"}.
type Template struct {
	Root map[string]any
}

// Parse reads a template in JSON, if its first character is a brace, or in YAML
// with CloudFormation's tags, anchors and aliases. Keys that come twice are an
// error in YAML.
func Parse(text []byte) (*Template, error) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		var root map[string]any
		if err := json.Unmarshal(trimmed, &root); err != nil {
			return nil, fmt.Errorf("parse template: %w", err)
		}
		return &Template{Root: plain(root).(map[string]any)}, nil
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fmt.Errorf("parse template: %d documents instead of one", len(file.Docs))
	}
	r := reader{anchors: map[string]any{}}
	tree, err := r.value(file.Docs[0].Body)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	root, ok := tree.(map[string]any)
	if !ok {
		return nil, errors.New("parse template: it is no mapping")
	}
	return &Template{Root: root}, nil
}

// Clone returns a copy that shares nothing with t.
func (t *Template) Clone() *Template { return &Template{Root: plain(t.Root).(map[string]any)} }

// Section returns a top-level section, such as Resources; nil if it is absent.
func (t *Template) Section(name string) map[string]any {
	section, _ := t.Root[name].(map[string]any)
	return section
}

// plain copies a tree; whole numbers become int, as YAML has them.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		copied := make(map[string]any, len(v))
		for key, value := range v {
			copied[key] = plain(value)
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, value := range v {
			copied[i] = plain(value)
		}
		return copied
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v)
		}
	}
	return v
}

// reader turns nodes of YAML into a tree.
type reader struct {
	anchors map[string]any
}

func (r reader) value(n ast.Node) (any, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.mapping(n.Values)
	case *ast.MappingValueNode:
		return r.mapping([]*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		list := make([]any, len(n.Values))
		for i, node := range n.Values {
			var err error
			if list[i], err = r.value(node); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *ast.TagNode:
		return r.tagged(n)
	case *ast.AnchorNode:
		v, err := r.value(n.Value)
		r.anchors[n.Name.String()] = v
		return v, err
	case *ast.AliasNode:
		v, ok := r.anchors[n.Value.String()]
		if !ok {
			return nil, r.fault(n, "alias of nothing")
		}
		return plain(v), nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode:
		switch v := n.Value.(type) {
		case int64:
			return int(v), nil
		case uint64:
			return int(v), nil
		}
	case ast.ScalarNode:
		return n.GetValue(), nil
	}
	return nil, r.fault(n, "unknown kind of node")
}

func (r reader) mapping(values []*ast.MappingValueNode) (any, error) {
	all := make(map[string]any, len(values))
	for _, pair := range values {
		key := pair.Key.String()
		if s, ok := pair.Key.(*ast.StringNode); ok {
			key = s.Value
		}
		if _, ok := all[key]; ok {
			return nil, r.fault(pair, "a key that comes twice")
		}
		if key == "<<" {
			return nil, r.fault(pair, "merge keys, which CloudFormation refuses")
		}
		v, err := r.value(pair.Value)
		if err != nil {
			return nil, err
		}
		all[key] = v
	}
	return all, nil
}

// tagged gives a short tag its long form.
func (r reader) tagged(n *ast.TagNode) (any, error) {
	name := strings.TrimPrefix(n.Start.Value, "!")
	v, err := r.value(n.Value)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Ref", "Condition":
		return map[string]any{name: v}, nil
	case "GetAtt":
		if dotted, ok := v.(string); ok {
			resource, attribute, _ := strings.Cut(dotted, ".")
			v = []any{resource, attribute}
		}
	}
	return map[string]any{"Fn::" + name: v}, nil
}

func (r reader) fault(n ast.Node, what string) error {
	line := 0
	if token := n.GetToken(); token != nil && token.Position != nil {
		line = token.Position.Line
	}
	return fmt.Errorf("line %d: %s (%T)", line, what, n)
}
