package template

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ForMoto returns the transformed template as moto's CloudFormation can create
// it, in JSON. What was found with moto 5.2.1:
//
//   - Functions are made without Docker if their code stands in the template:
//     from a bucket, it would want to read it. So it is a few invented bytes.
//   - Event source mappings are left out: with one, moto itself delivers each
//     message that is sent, by starting the function in Docker.
//   - Schedules, bucket policies and settings of asynchronous calls (types
//     Scheduler::Schedule, S3::BucketPolicy, Lambda::EventInvokeConfig) are passed
//     over with a line in its log. DescribeStackResources has an entry with a type
//     but without names for each of them; DescribeStacks has all outputs.
//   - RetainExceptOnCreate is unknown and would delete with the stack: it becomes
//     Retain, which is the same for a stack that was made.
//   - The addresses of queues are those of AWS. The SDK sends them in the body,
//     so that its end point decides who is asked.
func (t *Template) ForMoto() ([]byte, error) {
	if t.Root["Transform"] != nil {
		return nil, errors.New("template for moto: it has not been transformed")
	}
	copied := t.Clone()
	resources := copied.Section("Resources")
	for id, body := range resources {
		body, _ := body.(map[string]any)
		if body["DeletionPolicy"] == "RetainExceptOnCreate" {
			body["DeletionPolicy"] = "Retain"
		}
		switch properties, _ := body["Properties"].(map[string]any); body["Type"] {
		case "AWS::Lambda::EventSourceMapping":
			delete(resources, id)
		case "AWS::Lambda::Function":
			properties["Code"] = map[string]any{"ZipFile": "bootstrap"}
		}
	}
	text, err := json.Marshal(copied.Root)
	if err != nil {
		return nil, fmt.Errorf("template for moto: %w", err)
	}
	return text, nil
}
