package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfn "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"stovasync/shared/template"
)

// resolved is what a deployed template says, in the parts that the emulator
// plays itself. Keys are logical ids.
type resolved struct {
	stack     *template.Stack
	policies  map[string]template.Policy // by role
	functions map[string]function
	mappings  map[string]eventSource
	asyncs    map[string]invokeConfig // by function
	schedules map[string]schedule
}

type function struct {
	template.Function
	name    string
	handler string
	logging struct{ LogGroup, LogFormat, ApplicationLogLevel string }
}

// Properties of resources under CloudFormation's names.
type (
	eventSource struct {
		FunctionName, EventSourceArn string
		BatchSize                    int
		FunctionResponseTypes        []string
		ScalingConfig                struct{ MaximumConcurrency int }
	}
	invokeConfig struct {
		FunctionName         string
		MaximumRetryAttempts *int
		DestinationConfig    struct{ OnFailure struct{ Destination string } }
	}
	schedule struct {
		Target struct{ Arn, RoleArn, Input string }
	}
)

// create makes the template's resources by the stand-in's CloudFormation and
// resolves the template by their names.
func create(ctx context.Context, o Options) (resolved, error) {
	body, err := o.Template.ForMoto()
	if err != nil {
		return resolved{}, err
	}
	client := cloudformation.NewFromConfig(configOf(o.Upstream, operatorKey))
	in := &cloudformation.CreateStackInput{StackName: &o.Name, TemplateBody: new(string(body)), Capabilities: []cfn.Capability{cfn.CapabilityCapabilityIam}}
	for name, value := range o.Parameters {
		in.Parameters = append(in.Parameters, cfn.Parameter{ParameterKey: &name, ParameterValue: &value})
	}
	if _, err := client.CreateStack(ctx, in); err != nil {
		return resolved{}, err
	}
	made, err := client.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &o.Name})
	if err != nil {
		return resolved{}, err
	}
	physical := map[string]string{}
	for _, r := range made.StackResources {
		if id := aws.ToString(r.LogicalResourceId); id != "" {
			physical[id] = aws.ToString(r.PhysicalResourceId)
		}
	}
	stack, err := o.Template.Deploy(template.Deployment{Stack: o.Name, Region: region, Parameters: o.Parameters, Physical: physical})
	if err != nil {
		return resolved{}, err
	}
	return read(stack)
}

// read takes out of a stack what the emulator plays.
func read(stack *template.Stack) (resolved, error) {
	r := resolved{
		stack: stack, policies: map[string]template.Policy{}, functions: map[string]function{},
		mappings: map[string]eventSource{}, asyncs: map[string]invokeConfig{}, schedules: map[string]schedule{},
	}
	for _, role := range stack.OfType("AWS::IAM::Role") {
		p, err := stack.Policy(role.ID)
		if err != nil {
			return r, err
		}
		r.policies[role.ID] = p
	}
	for _, f := range stack.Functions() {
		own := function{Function: f, name: afterLast(stack.ARN(f.ID), ":")}
		own.handler, _ = f.Properties["Handler"].(string)
		if err := recode(f.Properties["LoggingConfig"], &own.logging); err != nil {
			return r, err
		}
		r.functions[f.ID] = own
	}
	for _, res := range stack.OfType("AWS::Lambda::EventSourceMapping", "AWS::Lambda::EventInvokeConfig", "AWS::Scheduler::Schedule") {
		if err := r.take(res); err != nil {
			return r, fmt.Errorf("resource %s: %w", res.ID, err)
		}
	}
	return r, nil
}

func (r resolved) take(res template.Resource) error {
	var err error
	switch res.Type {
	case "AWS::Lambda::EventSourceMapping":
		var m eventSource
		err = recode(res.Properties, &m)
		r.mappings[res.ID] = m
	case "AWS::Lambda::EventInvokeConfig":
		var c invokeConfig
		err = recode(res.Properties, &c)
		r.asyncs[r.stack.Logical(c.FunctionName)] = c
	default:
		var s schedule
		err = recode(res.Properties, &s)
		r.schedules[res.ID] = s
	}
	return err
}

// recode reads a tree into a struct.
func recode(tree, into any) error {
	doc, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return json.Unmarshal(doc, into)
}

// permits reports whether a function's role lets it.
func (r resolved) permits(function string, a Access) bool {
	return r.roleMay(r.functions[function].Role, a)
}

func (r resolved) roleMay(role string, a Access) bool {
	return r.policies[role].Allows(template.Call{Action: a.Action, Resource: a.Resource})
}

// queueURL is the address of one of the stack's queues.
func (r resolved) queueURL(arn string) string {
	return "https://sqs." + r.stack.Region + ".amazonaws.com/" + r.stack.Account + "/" + afterLast(arn, ":")
}

func afterLast(s, separator string) string { return s[strings.LastIndex(s, separator)+1:] }
