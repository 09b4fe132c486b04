package template

import (
	"cmp"
	"fmt"
	"strings"
)

// identity says what `Ref` of a resource gives, and its ARN. NAME stands for
// its physical name, and the words in braces for the stack's own.
type identity struct {
	ref, arn string
}

// identities has the types of our template; sources: the pages "Return values"
// of each type in the CloudFormation reference.
func identities() map[string]identity {
	return map[string]identity{
		"AWS::SQS::Queue": {
			"https://sqs.{region}.amazonaws.com/{account}/NAME", "arn:{partition}:sqs:{region}:{account}:NAME"},
		"AWS::DynamoDB::Table":            {"NAME", "arn:{partition}:dynamodb:{region}:{account}:table/NAME"},
		"AWS::S3::Bucket":                 {"NAME", "arn:{partition}:s3:::NAME"},
		"AWS::S3::BucketPolicy":           {"NAME", ""},
		"AWS::IAM::Role":                  {"NAME", "arn:{partition}:iam::{account}:role/NAME"},
		"AWS::Lambda::Function":           {"NAME", "arn:{partition}:lambda:{region}:{account}:function:NAME"},
		"AWS::Serverless::Function":       {"NAME", "arn:{partition}:lambda:{region}:{account}:function:NAME"},
		"AWS::Lambda::EventSourceMapping": {"NAME", "arn:{partition}:lambda:{region}:{account}:event-source-mapping:NAME"},
		"AWS::Lambda::EventInvokeConfig":  {"NAME", ""},
		"AWS::Logs::LogGroup":             {"NAME", "arn:{partition}:logs:{region}:{account}:log-group:NAME:*"},
		"AWS::Scheduler::Schedule":        {"NAME", "arn:{partition}:scheduler:{region}:{account}:schedule/default/NAME"},
		"AWS::CloudWatch::Alarm":          {"NAME", "arn:{partition}:cloudwatch:{region}:{account}:alarm:NAME"},
		"AWS::CloudWatch::Dashboard":      {"NAME", ""},
		"AWS::SNS::Topic":                 {"arn:{partition}:sns:{region}:{account}:NAME", "arn:{partition}:sns:{region}:{account}:NAME"},
		"AWS::SNS::TopicPolicy":           {"NAME", ""},
		"AWS::SNS::Subscription":          {"arn:{partition}:sns:{region}:{account}:NAME", ""},
	}
}

func (s *Stack) fill(pattern, name string) string {
	return strings.NewReplacer("{region}", s.Region, "{account}", s.Account, "{partition}", s.Partition, "NAME", name).Replace(pattern)
}

// name returns the physical name of a resource: the last part of what is known
// of it, or an invented one.
func (s *Stack) name(id string) string {
	if known := s.physical[id]; known != "" {
		return known[strings.LastIndexAny(known, "/:")+1:]
	}
	name := fmt.Sprintf("%s-%s-INVENTED", s.Name, id)
	if s.types[id] == "AWS::S3::Bucket" {
		name = strings.ToLower(name)
	}
	return name
}

// ref returns what `Ref` of a resource gives.
func (s *Stack) ref(id string) (string, error) {
	kind, ok := s.kinds[s.types[id]]
	if !ok {
		return "", fmt.Errorf("ref of %s: nothing is known of type %s", id, cmp.Or(s.types[id], "(none)"))
	}
	if known := s.physical[id]; known != "" {
		return known, nil
	}
	return s.fill(kind.ref, s.name(id)), nil
}

// attribute returns what `GetAtt` of a resource gives.
func (s *Stack) attribute(id, attribute string) (string, error) {
	kind, ok := s.kinds[s.types[id]]
	if !ok {
		return "", fmt.Errorf("%s of %s: nothing is known of type %s", attribute, id, cmp.Or(s.types[id], "(none)"))
	}
	arn := s.fill(kind.arn, s.name(id))
	switch attribute {
	case "Arn", "TopicArn":
		if arn != "" {
			return arn, nil
		}
	case "StreamArn":
		return arn + "/stream/2031-03-04T09:00:00.000", nil
	case "QueueName", "TopicName":
		return s.name(id), nil
	case "QueueUrl":
		return s.ref(id)
	}
	return "", fmt.Errorf("%s of %s: nothing is known of it", attribute, id)
}

// ARN returns the ARN of a resource by its logical id; "" if there is none.
func (s *Stack) ARN(id string) string {
	arn, err := s.attribute(id, "Arn")
	if err != nil {
		return ""
	}
	return arn
}
