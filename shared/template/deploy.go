package template

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Deployment says where and with which values a template is deployed. What is
// empty has a default.
type Deployment struct {
	Stack      string            // "summit"
	Region     string            // "eu-central-1"
	Account    string            // "123456789012", which is moto's too
	Partition  string            // "aws"
	Parameters map[string]string // those that are not left at their defaults
	// Physical has what Ref gives for resources of a stack that exists, by logical
	// id, as DescribeStackResources calls their physical id. Names of others are
	// invented.
	Physical map[string]string
}

// Resource is a resource of a stack, its properties resolved.
type Resource struct {
	ID         string // logical
	Type       string
	Properties map[string]any

	DeletionPolicy, UpdateReplacePolicy string
	// Metadata and whatever else stands beside the properties, unresolved.
	Rest map[string]any
}

// Stack is a template with every reference resolved, and without the resources
// whose condition does not hold.
type Stack struct {
	Name, Region, Account, Partition string

	Parameters map[string]any // string, int or float64 of a Number, []any of a CommaDelimitedList
	Conditions map[string]bool
	Resources  map[string]Resource
	Outputs    map[string]string

	kinds    map[string]identity
	types    map[string]string
	physical map[string]string
	mappings map[string]any
	globals  map[string]any
}

// Deploy resolves t. Errors are what CloudFormation would refuse: a parameter
// that t has not or whose value it does not allow, a reference to nothing or to
// a resource whose condition does not hold, a loop of conditions. All of them are
// told at once.
func (t *Template) Deploy(d Deployment) (*Stack, error) {
	s := &Stack{
		Name: cmp.Or(d.Stack, "summit"), Region: cmp.Or(d.Region, "eu-central-1"),
		Account: cmp.Or(d.Account, "123456789012"), Partition: cmp.Or(d.Partition, "aws"),
		Parameters: map[string]any{}, Conditions: map[string]bool{}, Resources: map[string]Resource{}, Outputs: map[string]string{},
		kinds: identities(), types: map[string]string{}, physical: d.Physical, mappings: t.Section("Mappings"),
	}
	problems := s.takeParameters(t.Section("Parameters"), d.Parameters)
	r := resolver{stack: s, conditions: t.Section("Conditions"), busy: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(r.conditions)) {
		if _, err := r.condition(name); err != nil {
			problems = append(problems, fmt.Errorf("condition %s: %w", name, err))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	problems = append(problems, s.takeResources(t, r)...)
	problems = append(problems, s.takeOutputs(t, r)...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return s, nil
}

func (s *Stack) takeResources(t *Template, r resolver) []error {
	var problems []error
	all := t.Section("Resources")
	for id, body := range all {
		body, _ := body.(map[string]any)
		if there, err := r.holds(body); err != nil {
			problems = append(problems, fmt.Errorf("resource %s: %w", id, err))
		} else if there {
			s.types[id], _ = body["Type"].(string)
		}
	}
	if globals, ok := t.Root["Globals"]; ok {
		resolved, err := r.resolve(globals)
		if err != nil {
			problems = append(problems, fmt.Errorf("globals: %w", err))
		}
		s.globals, _ = resolved.(map[string]any)
	}
	for _, id := range slices.Sorted(maps.Keys(s.types)) {
		body := all[id].(map[string]any)
		properties, err := r.resolve(body["Properties"])
		if err != nil {
			problems = append(problems, fmt.Errorf("resource %s: %w", id, err))
			continue
		}
		resource := Resource{ID: id, Type: s.types[id], Rest: map[string]any{}}
		resource.Properties, _ = properties.(map[string]any)
		resource.DeletionPolicy, _ = body["DeletionPolicy"].(string)
		resource.UpdateReplacePolicy, _ = body["UpdateReplacePolicy"].(string)
		for key, value := range body {
			if key != "Type" && key != "Properties" && key != "DeletionPolicy" && key != "UpdateReplacePolicy" {
				resource.Rest[key] = value
			}
		}
		s.Resources[id] = resource
	}
	return problems
}

func (s *Stack) takeOutputs(t *Template, r resolver) []error {
	var problems []error
	for id, body := range t.Section("Outputs") {
		body, _ := body.(map[string]any)
		there, err := r.holds(body)
		if err == nil && !there {
			continue
		}
		var value any
		if err == nil {
			value, err = r.resolve(body["Value"])
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("output %s: %w", id, err))
			continue
		}
		s.Outputs[id] = text(value)
	}
	return problems
}

// takeParameters gives each parameter its value, as CloudFormation checks it.
func (s *Stack) takeParameters(declared map[string]any, given map[string]string) []error {
	var problems []error
	for name := range given {
		if _, ok := declared[name]; !ok {
			problems = append(problems, fmt.Errorf("parameter %s: the template has none of that name", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		body, _ := declared[name].(map[string]any)
		value, ok := given[name]
		if !ok {
			if body["Default"] == nil {
				problems = append(problems, fmt.Errorf("parameter %s: it has no value", name))
				continue
			}
			value = text(body["Default"])
		}
		typed, err := check(body, value)
		if err != nil {
			problems = append(problems, fmt.Errorf("parameter %s: %q %w", name, value, err))
			continue
		}
		s.Parameters[name] = typed
	}
	return problems
}

// check compares a value with the constraints of its parameter.
func check(declared map[string]any, value string) (any, error) {
	var typed any = value
	switch kind := declared["Type"]; kind {
	case "Number":
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, errors.New("is no number")
		}
		if low, ok := number(declared["MinValue"]); ok && n < low {
			return nil, fmt.Errorf("is below %v", low)
		}
		if high, ok := number(declared["MaxValue"]); ok && n > high {
			return nil, fmt.Errorf("is above %v", high)
		}
		typed = plain(n)
	case "String":
		if err := checkPattern(declared, value); err != nil {
			return nil, err
		}
	case "CommaDelimitedList":
		var entries []any
		for entry := range strings.SplitSeq(value, ",") {
			entry = strings.TrimSpace(entry)
			if err := checkPattern(declared, entry); err != nil {
				return nil, err
			}
			entries = append(entries, entry)
		}
		typed = entries
	default:
		return nil, fmt.Errorf("is of a type that nobody here knows: %v", kind)
	}
	if allowed, ok := declared["AllowedValues"].([]any); ok {
		if !slices.ContainsFunc(allowed, func(v any) bool { return text(v) == value }) {
			return nil, fmt.Errorf("is none of %v", allowed)
		}
	}
	return typed, nil
}

// checkPattern compares a text, or one entry of a list, with AllowedPattern.
func checkPattern(declared map[string]any, value string) error {
	pattern, ok := declared["AllowedPattern"].(string)
	if !ok {
		return nil
	}
	whole, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return err
	}
	if !whole.MatchString(value) {
		return fmt.Errorf("does not match %s", pattern)
	}
	return nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// text is a scalar as CloudFormation writes it into a string.
func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
