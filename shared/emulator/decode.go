package emulator

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Access is one right that a call needs: an IAM action on a resource.
type Access struct {
	Action   string // such as dynamodb:PutItem
	Resource string // an ARN
}

// names are what ARNs are made of.
type names struct{ partition, region, account string }

func (n names) arn(service, rest string) string {
	return "arn:" + n.partition + ":" + service + ":" + n.region + ":" + n.account + ":" + rest
}

// request is a call as it came.
type request struct {
	service, key string // from its signature: the service and the access key
	op           string // PutItem, or the HTTP method of S3
	*http.Request
	body []byte
}

// scope finds key and service in a signature's scope: key/date/region/service/aws4_request.
var scope = regexp.MustCompile(`Credential=([^/]*)/[^/]*/[^/]*/([a-z0-9-]+)/aws4_request`)

// parse reads who calls which service.
func parse(r *http.Request, body []byte) request {
	req := request{Request: r, body: body, op: r.Method}
	if m := scope.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		req.key, req.service = m[1], m[2]
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		req.op = target[strings.LastIndexByte(target, '.')+1:]
	}
	return req
}

// needs returns the rights that a call needs, by the Service Authorization
// Reference. A call it does not know is an error: nobody could say what it asks.
func needs(r request, n names) ([]Access, error) {
	switch r.service {
	case "dynamodb":
		return tableNeeds(r, n)
	case "sqs":
		return queueNeeds(r, n)
	case "s3":
		return bucketNeeds(r, n)
	case "ssm":
		return parameterNeeds(r, n)
	default:
		return nil, fmt.Errorf("calls of the service %q are not known", r.service)
	}
}

// tableNeeds: a transaction and a batch need the rights of their parts.
func tableNeeds(r request, n names) ([]Access, error) {
	type part struct{ TableName string }
	var in struct {
		TableName, IndexName string
		TransactItems        []map[string]part
		RequestItems         map[string]json.RawMessage
	}
	if err := json.Unmarshal(r.body, &in); err != nil {
		return nil, fmt.Errorf("dynamodb %s: %w", r.op, err)
	}
	table := func(name string) string { return n.arn("dynamodb", "table/"+name) }
	var all []Access
	switch r.op {
	case "TransactWriteItems":
		actions := map[string]string{"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
		for _, item := range in.TransactItems {
			for kind, p := range item {
				if actions[kind] == "" {
					return nil, fmt.Errorf("dynamodb %s: part %q is not known", r.op, kind)
				}
				all = append(all, Access{"dynamodb:" + actions[kind], table(p.TableName)})
			}
		}
	case "BatchGetItem", "BatchWriteItem":
		for name := range in.RequestItems {
			all = append(all, Access{"dynamodb:" + r.op, table(name)})
		}
	default:
		resource := table(in.TableName)
		if in.IndexName != "" {
			resource += "/index/" + in.IndexName
		}
		all = []Access{{"dynamodb:" + r.op, resource}}
	}
	if len(all) == 0 || in.TableName == "" && in.TransactItems == nil && in.RequestItems == nil {
		return nil, fmt.Errorf("dynamodb %s names no table", r.op)
	}
	return all, nil
}

// queueNeeds: the batch calls of SQS have no actions of their own.
func queueNeeds(r request, n names) ([]Access, error) {
	url, err := queueURL(r.body)
	if err != nil {
		return nil, fmt.Errorf("sqs %s: %w", r.op, err)
	}
	return []Access{{"sqs:" + strings.TrimSuffix(r.op, "Batch"), n.arn("sqs", url[strings.LastIndexByte(url, '/')+1:])}}, nil
}

func queueURL(body []byte) (string, error) {
	var in struct{ QueueUrl string } //nolint:revive // AWS's own spelling
	if err := json.Unmarshal(body, &in); err != nil {
		return "", err
	}
	if in.QueueUrl == "" {
		return "", errors.New("no queue is named")
	}
	return in.QueueUrl, nil
}

// objectCalls are the calls of S3 on one object that need a single right. A
// query that picks a sub-resource makes another call of it.
func objectCalls() map[string]string {
	return map[string]string{
		http.MethodGet: "s3:GetObject", http.MethodHead: "s3:GetObject", http.MethodPut: "s3:PutObject", http.MethodDelete: "s3:DeleteObject",
	}
}

func bucketNeeds(r request, n names) ([]Access, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	query.Del("x-id") // the SDK's name of the call, for its logs
	arn := "arn:" + n.partition + ":s3:::" + bucket
	switch {
	case bucket == "":
		return nil, fmt.Errorf("s3 %s names no bucket", r.Method)
	case key == "" && r.Method == http.MethodGet && query.Get("list-type") == "2":
		return []Access{{"s3:ListBucket", arn}}, nil
	case key == "" && r.Method == http.MethodPost && query.Has("delete"):
		var in struct {
			Objects []struct{ Key string } `xml:"Object"`
		}
		if err := xml.Unmarshal(r.body, &in); err != nil {
			return nil, fmt.Errorf("s3 DeleteObjects: %w", err)
		}
		var all []Access
		for _, o := range in.Objects {
			all = append(all, Access{"s3:DeleteObject", arn + "/" + o.Key})
		}
		return all, nil
	case key != "" && len(query) == 0 && r.Header.Get("X-Amz-Copy-Source") == "" && objectCalls()[r.Method] != "":
		return []Access{{objectCalls()[r.Method], arn + "/" + key}}, nil
	default:
		return nil, fmt.Errorf("s3 %s with the query %v is not known", r.Method, query)
	}
}

func parameterNeeds(r request, n names) ([]Access, error) {
	var in struct{ Name string }
	if err := json.Unmarshal(r.body, &in); err != nil || in.Name == "" {
		return nil, fmt.Errorf("ssm %s names no parameter", r.op)
	}
	return []Access{{"ssm:" + r.op, n.arn("ssm", "parameter/"+strings.TrimPrefix(in.Name, "/"))}}, nil
}
