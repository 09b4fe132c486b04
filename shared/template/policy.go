package template

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Statement is one of a policy.
type Statement struct {
	Sid, Effect              string
	Actions, Resources       []string
	NotActions, NotResources []string
	Principal                any
	// Conditions is operator, then key, then the values of which one must match.
	Conditions map[string]map[string][]string
}

// Policy is what a role, or a resource, says about who may do what.
type Policy struct {
	Statements []Statement
	Managed    []string // the ARNs of policies that live elsewhere
}

// Call is one request to AWS.
type Call struct {
	Action   string            // "sqs:SendMessage"
	Resource string            // its ARN
	Context  map[string]string // keys of conditions: "kms:ViaService"
}

// Policy returns what a role may do, by its logical id: its own policies and
// those that are attached to it in the same stack.
func (s *Stack) Policy(role string) (Policy, error) {
	resource, ok := s.Resources[role]
	if !ok || resource.Type != "AWS::IAM::Role" {
		return Policy{}, fmt.Errorf("%s is no role", role)
	}
	var p Policy
	p.Managed = list(resource.Properties["ManagedPolicyArns"])
	documents := []any{}
	for _, policy := range anyList(resource.Properties["Policies"]) {
		policy, _ := policy.(map[string]any)
		documents = append(documents, policy["PolicyDocument"])
	}
	name, err := s.ref(role)
	if err != nil {
		return Policy{}, err
	}
	for _, other := range s.Resources {
		attached := slices.Contains(list(other.Properties["Roles"]), name)
		if attached && (other.Type == "AWS::IAM::Policy" || other.Type == "AWS::IAM::ManagedPolicy") {
			documents = append(documents, other.Properties["PolicyDocument"])
		}
	}
	for _, document := range documents {
		p.Statements = append(p.Statements, Statements(document)...)
	}
	return p, nil
}

// Statements takes the statements out of a resolved policy document.
func Statements(document any) []Statement {
	body, _ := document.(map[string]any)
	var all []Statement
	for _, each := range anyList(body["Statement"]) {
		each, _ := each.(map[string]any)
		s := Statement{
			Actions: list(each["Action"]), Resources: list(each["Resource"]), Principal: each["Principal"],
			NotActions: list(each["NotAction"]), NotResources: list(each["NotResource"]),
			Conditions: map[string]map[string][]string{},
		}
		s.Sid, _ = each["Sid"].(string)
		s.Effect, _ = each["Effect"].(string)
		operators, _ := each["Condition"].(map[string]any)
		for operator, keys := range operators {
			s.Conditions[operator] = map[string][]string{}
			keys, _ := keys.(map[string]any)
			for key, values := range keys {
				s.Conditions[operator][key] = list(values)
			}
		}
		all = append(all, s)
	}
	return all
}

// Allows reports whether a call is allowed: some statement allows it, and none
// denies it. Managed policies are not known here and allow nothing.
func (p Policy) Allows(c Call) bool {
	allowed := false
	for _, s := range p.Statements {
		if !s.covers(c) {
			continue
		}
		matches, known := s.matches(c.Context)
		switch {
		case s.Effect == "Deny" && (matches || !known):
			return false
		case s.Effect == "Allow" && matches && known:
			allowed = true
		}
	}
	return allowed
}

// covers reports whether s speaks of the call's action and resource.
func (s Statement) covers(c Call) bool {
	action := func(pattern string) bool { return like(strings.ToLower(pattern), strings.ToLower(c.Action)) }
	resource := func(pattern string) bool { return likeARN(pattern, c.Resource) }
	if len(s.NotActions) > 0 && slices.ContainsFunc(s.NotActions, action) || len(s.NotResources) > 0 && slices.ContainsFunc(s.NotResources, resource) {
		return false
	}
	return (len(s.NotActions) > 0 || slices.ContainsFunc(s.Actions, action)) &&
		(len(s.NotResources) > 0 || slices.ContainsFunc(s.Resources, resource))
}

// matches reports whether all conditions hold, and whether all are of operators
// that are known here.
func (s Statement) matches(context map[string]string) (holds, known bool) {
	holds, known = true, true
	for operator, keys := range s.Conditions {
		for key, values := range keys {
			given, present := context[key]
			var match func(string) bool
			switch operator {
			case "StringEquals":
				match = func(v string) bool { return v == given }
			case "StringLike":
				match = func(v string) bool { return like(v, given) }
			case "ArnEquals", "ArnLike":
				match = func(v string) bool { return likeARN(v, given) }
			case "Bool":
				match = func(v string) bool { return strings.EqualFold(v, given) }
			default:
				known = false
				continue
			}
			if !present || !slices.ContainsFunc(values, match) {
				holds = false
			}
		}
	}
	return holds, known
}

// likeARN matches the six parts of an ARN each for itself, as IAM does: a star
// does not reach over a colon, except in the last.
func likeARN(pattern, arn string) bool {
	if pattern == "*" {
		return true
	}
	patterns, parts := strings.SplitN(pattern, ":", 6), strings.SplitN(arn, ":", 6)
	if len(patterns) != 6 || len(parts) != 6 {
		return false
	}
	for i := range patterns {
		if !like(patterns[i], parts[i]) {
			return false
		}
	}
	return true
}

// like matches with IAM's wildcards: * for any text, ? for one character.
func like(pattern, s string) bool {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, `.*`), `\?`, `.`)
	return regexp.MustCompile(`(?s)^` + quoted + `$`).MatchString(s)
}

// list returns a text, or a list of texts, as a list.
func list(v any) []string {
	all := anyList(v)
	if all == nil {
		return nil
	}
	return texts(all)
}

// anyList returns a value, or a list of values, as a list.
func anyList(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// OfType returns the resources of a type, by logical id, in order.
func (s *Stack) OfType(kinds ...string) []Resource {
	var all []Resource
	for _, id := range slices.Sorted(maps.Keys(s.Resources)) {
		if slices.Contains(kinds, s.Resources[id].Type) {
			all = append(all, s.Resources[id])
		}
	}
	return all
}

// Logical returns the logical id of the resource that a resolved reference or
// ARN names; "" if it is none of the stack's.
func (s *Stack) Logical(reference string) string {
	for id := range s.Resources {
		ref, err := s.ref(id)
		if reference != "" && err == nil && ref == reference {
			return id
		}
	}
	for id := range s.Resources {
		if reference != "" && s.ARN(id) == reference {
			return id
		}
	}
	return ""
}
