package template

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// resolver replaces intrinsic functions by what they give.
type resolver struct {
	stack      *Stack
	conditions map[string]any
	busy       map[string]bool // conditions under way
}

// noValue is what Ref AWS::NoValue gives: the property or entry is left out.
type noValue struct{}

// holds reports whether a resource or an output exists.
func (r resolver) holds(body map[string]any) (bool, error) {
	name, ok := body["Condition"].(string)
	if !ok {
		return true, nil
	}
	return r.condition(name)
}

func (r resolver) condition(name string) (bool, error) {
	if known, ok := r.stack.Conditions[name]; ok {
		return known, nil
	}
	body, ok := r.conditions[name]
	if !ok {
		return false, fmt.Errorf("there is no condition %s", name)
	}
	if r.busy[name] {
		return false, fmt.Errorf("condition %s asks for itself", name)
	}
	r.busy[name] = true
	v, err := r.truth(body)
	if err != nil {
		return false, err
	}
	r.stack.Conditions[name] = v
	return v, nil
}

// truth evaluates what may stand in the section Conditions.
func (r resolver) truth(v any) (bool, error) {
	name, argument, ok := intrinsic(v)
	if !ok {
		return false, fmt.Errorf("%v is no condition", v)
	}
	if name == "Condition" {
		return r.condition(text(argument))
	}
	list, _ := argument.([]any)
	switch name {
	case "Fn::Equals":
		resolved, err := r.resolve(list)
		if err != nil {
			return false, err
		}
		if pair := resolved.([]any); len(pair) == 2 {
			return text(pair[0]) == text(pair[1]), nil
		}
	case "Fn::Not":
		if len(list) == 1 {
			v, err := r.truth(list[0])
			return !v, err
		}
	case "Fn::And", "Fn::Or":
		result := name == "Fn::And"
		for _, each := range list {
			v, err := r.truth(each)
			if err != nil {
				return false, err
			}
			if v != (name == "Fn::And") {
				result = v
			}
		}
		return result, nil
	}
	return false, fmt.Errorf("%s of %v is no condition", name, argument)
}

// intrinsic takes a function apart.
func intrinsic(v any) (name string, argument any, ok bool) {
	m, is := v.(map[string]any)
	if !is || len(m) != 1 {
		return "", nil, false
	}
	for name, argument = range m {
	}
	return name, argument, name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::")
}

// resolve returns v with every function replaced.
func (r resolver) resolve(v any) (any, error) {
	if name, argument, ok := intrinsic(v); ok && !isPolicyCondition(name, argument) {
		return r.call(name, argument)
	}
	switch v := v.(type) {
	case map[string]any:
		resolved := make(map[string]any, len(v))
		for key, value := range v {
			each, err := r.resolve(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if !isNoValue(each) {
				resolved[key] = each
			}
		}
		return resolved, nil
	case []any:
		resolved := make([]any, 0, len(v))
		for _, value := range v {
			each, err := r.resolve(value)
			if err != nil {
				return nil, err
			}
			if !isNoValue(each) {
				resolved = append(resolved, each)
			}
		}
		return resolved, nil
	}
	return v, nil
}

// isPolicyCondition tells the Condition of a statement from the function.
func isPolicyCondition(name string, argument any) bool {
	_, is := argument.(map[string]any)
	return name == "Condition" && is
}

func isNoValue(v any) bool {
	_, is := v.(noValue)
	return is
}

func (r resolver) call(name string, argument any) (any, error) {
	switch name {
	case "Ref":
		return r.ref(text(argument))
	case "Fn::GetAtt":
		return r.getAtt(argument)
	case "Fn::Sub":
		return r.sub(argument)
	case "Fn::If":
		list, ok := argument.([]any)
		if !ok || len(list) != 3 {
			return nil, fmt.Errorf("%s without three arguments", name)
		}
		holds, err := r.condition(text(list[0]))
		if err != nil {
			return nil, err
		}
		if holds {
			return r.resolve(list[1])
		}
		return r.resolve(list[2])
	case "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or", "Condition":
		return r.truth(map[string]any{name: argument})
	}
	resolved, err := r.resolve(argument)
	if err != nil {
		return nil, err
	}
	list, _ := resolved.([]any)
	switch name {
	case "Fn::FindInMap":
		return r.find(list)
	case "Fn::Join":
		if len(list) == 2 {
			parts, _ := list[1].([]any)
			return strings.Join(texts(parts), text(list[0])), nil
		}
	case "Fn::Select":
		if len(list) == 2 {
			index, _ := list[0].(int)
			if all, _ := list[1].([]any); index >= 0 && index < len(all) {
				return all[index], nil
			}
		}
	case "Fn::Split":
		if len(list) == 2 {
			var parts []any
			for part := range strings.SplitSeq(text(list[1]), text(list[0])) {
				parts = append(parts, part)
			}
			return parts, nil
		}
	}
	return nil, fmt.Errorf("%s of %v cannot be resolved", name, argument)
}

func texts(list []any) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = text(v)
	}
	return all
}

func (r resolver) ref(name string) (any, error) {
	switch name {
	case "AWS::NoValue":
		return noValue{}, nil
	case "AWS::StackName":
		return r.stack.Name, nil
	case "AWS::Region":
		return r.stack.Region, nil
	case "AWS::AccountId":
		return r.stack.Account, nil
	case "AWS::Partition":
		return r.stack.Partition, nil
	case "AWS::URLSuffix":
		return "amazonaws.com", nil
	}
	if value, ok := r.stack.Parameters[name]; ok {
		return value, nil
	}
	if _, ok := r.stack.types[name]; ok {
		return r.stack.ref(name)
	}
	return nil, fmt.Errorf("ref of %s, which is neither a parameter nor a resource that exists", name)
}

func (r resolver) getAtt(argument any) (any, error) {
	var id, attribute string
	switch argument := argument.(type) {
	case string:
		id, attribute, _ = strings.Cut(argument, ".")
	case []any:
		if len(argument) == 2 {
			id, attribute = text(argument[0]), text(argument[1])
		}
	}
	if _, ok := r.stack.types[id]; !ok {
		return nil, fmt.Errorf("%s of %s, which is no resource that exists", attribute, id)
	}
	return r.stack.attribute(id, attribute)
}

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}`)

// sub fills the placeholders of a text. ${!NAME} stays, less its mark.
func (r resolver) sub(argument any) (any, error) {
	pattern, ok := argument.(string)
	own := map[string]any{}
	if list, is := argument.([]any); is && len(list) == 2 {
		pattern, ok = list[0].(string)
		own, _ = list[1].(map[string]any)
	}
	if !ok {
		return nil, fmt.Errorf("no text to fill in: %v", argument)
	}
	var problems []error
	filled := placeholder.ReplaceAllStringFunc(pattern, func(found string) string {
		name := found[2 : len(found)-1]
		if literal, is := strings.CutPrefix(name, "!"); is {
			return "${" + literal + "}"
		}
		var value any
		var err error
		if given, is := own[name]; is {
			value, err = r.resolve(given)
		} else if id, attribute, dotted := strings.Cut(name, "."); dotted {
			value, err = r.getAtt([]any{id, attribute})
		} else {
			value, err = r.ref(name)
		}
		problems = append(problems, err)
		return text(value)
	})
	return filled, errors.Join(problems...)
}

func (r resolver) find(list []any) (any, error) {
	if len(list) != 3 {
		return nil, errors.New("a mapping is found by three names")
	}
	first, _ := r.stack.mappings[text(list[0])].(map[string]any)
	second, _ := first[text(list[1])].(map[string]any)
	value, ok := second[text(list[2])]
	if !ok {
		return nil, fmt.Errorf("mapping %v has no %v.%v", list[0], list[1], list[2])
	}
	return value, nil
}
