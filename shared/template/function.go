package template

// Function is a Lambda function as it is configured.
type Function struct {
	ID          string // logical, such as WorkerFunction
	Role        string // logical id of its role; "" if it has none of its own
	LogGroup    string // logical id; "" if it has none of its own
	Timeout     int    // seconds
	MemorySize  int    // MB
	Environment map[string]string
	// Properties are those of the resource, with what SAM's globals add to them.
	Properties map[string]any
}

// Functions returns the functions of either form of the template, in the order
// of their logical ids.
func (s *Stack) Functions() []Function {
	var all []Function
	for _, r := range s.OfType("AWS::Serverless::Function", "AWS::Lambda::Function") {
		properties := r.Properties
		if r.Type == "AWS::Serverless::Function" {
			globals, _ := s.globals["Function"].(map[string]any)
			properties, _ = merge(globals, r.Properties).(map[string]any)
		}
		f := Function{ID: r.ID, Properties: properties, Environment: map[string]string{}}
		f.Timeout, _ = properties["Timeout"].(int)
		f.MemorySize, _ = properties["MemorySize"].(int)
		f.Role = s.Logical(text(properties["Role"]))
		logging, _ := properties["LoggingConfig"].(map[string]any)
		f.LogGroup = s.Logical(text(logging["LogGroup"]))
		environment, _ := properties["Environment"].(map[string]any)
		variables, _ := environment["Variables"].(map[string]any)
		for name, value := range variables {
			f.Environment[name] = text(value)
		}
		all = append(all, f)
	}
	return all
}

// merge lays own over globals as SAM does: mappings are joined, lists are put
// one after the other, anything else is replaced.
func merge(globals, own any) any {
	switch g := globals.(type) {
	case map[string]any:
		o, ok := own.(map[string]any)
		if own != nil && !ok {
			return own
		}
		joined := make(map[string]any, len(g)+len(o))
		for key, value := range g {
			joined[key] = merge(value, o[key])
		}
		for key, value := range o {
			if _, ok := g[key]; !ok {
				joined[key] = value
			}
		}
		return joined
	case []any:
		if o, ok := own.([]any); ok {
			return append(append([]any{}, g...), o...)
		}
	}
	if own == nil {
		return globals
	}
	return own
}
