package shared_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/go/ssa"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/template"
)

// grant is one action on one resource, by its ARN. Via is set for the use of a
// key: the service on whose behalf alone it may be used.
type grant struct{ Action, Resource, Via string }

func (g grant) String() string { return strings.TrimSpace(g.Action + " " + g.Resource + " " + g.Via) }

// deployed is a function, by its folder, in a stack.
type deployed struct {
	stack    *template.Stack
	function template.Function
	folder   string
}

// arn returns the ARN of a resource, and of what is within it.
func (d deployed) arn(id, within string) string { return d.stack.ARN(id) + within }

// own is what the function's queue is called, and its dead letters.
func (d deployed) own() (queue, dead string) {
	name := map[string]string{"worker": "Tasks", "photo": "Photos"}[d.folder]
	return name + "Queue", name + "DeadLetters"
}

// unreachable says what a function's code can get to, but its tasks cannot:
// which queue a task goes to depends on its kind and type (see
// TestOnlyPagesOfPicturesGoToThePhotosQueue).
func unreachable() map[string][]entry {
	return map[string][]entry{
		"worker": {"pipeline.Steps.photoPage"},
		"photo": {
			"pipeline.Steps.sync", "pipeline.Steps.finish", "pipeline.Steps.failType", "pipeline.Steps.rows", "pipeline.Steps.store",
			"app.rekeyed.replaced", // pictures are asked for without a key, so none is refused
		},
	}
}

// unasked says which operations an adapter's method can do, but not for what a
// function asks of it.
func unasked() map[string]map[entry][]string {
	return map[string]map[entry][]string{
		// The names of columns and the leases of the calls' budget are one item
		// each, which is only ever updated.
		"preview": {"store.Items.Write": {"dynamodb.DeleteItem", "dynamodb.TransactWriteItems/ConditionCheck", "dynamodb.TransactWriteItems/Delete"}},
	}
}

// resources says on what an adapter's method does its operations. Objects are
// told by who calls for them: see objects.
func (d deployed) resources(e entry, operation string) []string {
	queue, dead := d.own()
	switch {
	case e == "store.Items.Failed":
		return []string{d.arn("LedgerTable", "/index/failed")}
	case strings.HasPrefix(string(e), "store.Items."):
		return []string{d.arn("LedgerTable", "")}
	case strings.HasPrefix(string(e), "store.Records."):
		return []string{d.arn("RecordsTable", "")}
	case e == "queue.SQS.Send":
		return []string{d.arn("TasksQueue", ""), d.arn("PhotosQueue", "")}
	case e == "queue.SQS.Dead", e == "queue.SQS.Delete":
		return []string{d.arn("TasksDeadLetters", ""), d.arn("PhotosDeadLetters", "")}
	case e == "queue.Handler" && operation == "sqs.ChangeMessageVisibility":
		return []string{d.arn(queue, "")}
	case e == "queue.Handler" && operation == "sqs.SendMessage":
		return []string{d.arn(dead, "")}
	}
	return nil
}

// secrets says which secrets are asked for, by who asks: the keys of all
// connections, or the one by which erased people are known.
func (d deployed) secrets(askers []entry) []string {
	name := "*"
	if len(askers) == 1 && askers[0] == "pipeline.EraseKey" {
		name = pipeline.EraseSecret
	}
	return []string{fmt.Sprintf("arn:%s:ssm:%s:%s:parameter/stovasync/%s/%s", d.stack.Partition, d.stack.Region, d.stack.Account, d.stack.Name, name)}
}

// actions says what an operation needs to be allowed, where that is not called
// like it. Source: the pages "Actions, resources, and condition keys" of each
// service.
func actions(operation string) []string {
	special := map[string][]string{
		"dynamodb.TransactWriteItems":                {}, // the actions of its parts
		"dynamodb.TransactWriteItems/Update":         {"dynamodb:UpdateItem"},
		"dynamodb.TransactWriteItems/Put":            {"dynamodb:PutItem"},
		"dynamodb.TransactWriteItems/Delete":         {"dynamodb:DeleteItem"},
		"dynamodb.TransactWriteItems/ConditionCheck": {"dynamodb:ConditionCheckItem"},
		"sqs.SendMessageBatch":                       {"sqs:SendMessage"},
		"sqs.DeleteMessageBatch":                     {"sqs:DeleteMessage"},
		"sqs.ChangeMessageVisibilityBatch":           {"sqs:ChangeMessageVisibility"},
		"s3.ListObjectsV2":                           {"s3:ListBucket"},
		"s3.DeleteObjects":                           {"s3:DeleteObject"},
	}
	if all, ok := special[operation]; ok {
		return all
	}
	return []string{strings.Replace(operation, ".", ":", 1)}
}

// objects says below which prefixes of the bucket a function of the pipeline
// puts and gets what, by the keys that it makes or is given.
func objects() map[entry][]string {
	pictures := []string{"/*/person/*", "/*/presenter/*", "/*/sponsor/*"}
	return map[entry][]string{
		"pipeline.Steps.plan":          {"/plans/*"},
		"pipeline.Steps.describeEvent": {"/plans/*"},
		"pipeline.Steps.askEvent":      {"/plans/*"},
		"pipeline.Steps.moveCursor":    {"/plans/*"}, // the retry list
		"pipeline.Steps.readPlan":      {"/plans/*"},
		"pipeline.Steps.retries":       {"/plans/*"},
		"pipeline.Steps.idsOf":         {"/plans/*"}, // of a rest
		"pipeline.Steps.passOn":        {"/plans/*"}, // a rest
		"pipeline.Steps.rows":          {"/raw/*"},
		"pipeline.Steps.rawChain":      {"/raw/*"},
		"pipeline.Steps.dropRaw":       {"/raw/*"},
		"pipeline.Steps.putReport":     {"/reports/*"},
		"pipeline.Steps.report":        {"/reports/*"},
		"pipeline.Steps.holds":         pictures,
		"pipeline.gallery.keep":        pictures,
	}
}

// prefixOf is the prefix of the bucket that a user of objects has to do with.
func prefixOf(user entry) string {
	return strings.TrimSuffix(strings.TrimPrefix(objects()[user][0], "/"), "*")
}

// needs derives what a function must be allowed from its code, and from what
// the template lets Lambda do in its name.
func (d deployed) needs(c code) (need map[grant]bool, problems []string) {
	need = map[grant]bool{}
	for e, operations := range c.entries {
		for _, operation := range operations {
			if slices.Contains(unasked()[d.folder][e], operation) {
				continue
			}
			on := d.resources(e, operation)
			if e == "secret.Secrets.Get" {
				on = d.secrets(c.askers)
			}
			if len(on) == 0 {
				problems = append(problems, fmt.Sprintf("%s: nobody has said on what %s does %s", d.folder, e, operation))
			}
			for _, action := range actions(operation) {
				for _, resource := range on {
					need[grant{Action: action, Resource: resource}] = true
				}
			}
		}
	}
	for user, operations := range c.users {
		prefixes, known := objects()[user]
		if !known {
			problems = append(problems, fmt.Sprintf("%s: nobody has said which objects %s has to do with", d.folder, user))
		}
		for _, operation := range operations {
			for _, g := range d.object(operation, prefixes) {
				need[g] = true
			}
		}
	}
	maps.Copy(need, d.lambdas())
	return need, problems
}

// object says what an operation on objects below prefixes needs.
func (d deployed) object(operation string, prefixes []string) []grant {
	bucket := grant{Action: "s3:ListBucket", Resource: d.arn("Bucket", "")}
	var all []grant
	switch operation {
	case "s3.ListObjectsV2":
		return []grant{bucket}
	case "s3.GetObject":
		all = append(all, bucket) // without it S3 says "forbidden" of a key that holds nothing
	}
	for _, prefix := range prefixes {
		all = append(all, grant{Action: actions(operation)[0], Resource: d.arn("Bucket", prefix)})
	}
	return all
}

// lambdas is what Lambda does with the function's role: write its logs, poll
// its queue, and keep events that it failed on.
func (d deployed) lambdas() map[grant]bool {
	need := map[grant]bool{}
	add := func(resource string, actions ...string) {
		for _, action := range actions {
			need[grant{Action: action, Resource: resource}] = true
		}
	}
	add(d.arn(d.function.LogGroup, ""), "logs:CreateLogStream", "logs:PutLogEvents")
	for _, m := range d.stack.OfType("AWS::Lambda::EventSourceMapping") {
		if d.stack.Logical(fmt.Sprint(m.Properties["FunctionName"])) == d.function.ID {
			add(fmt.Sprint(m.Properties["EventSourceArn"]), "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
		}
	}
	if destination := failureDestination(d.stack, d.function); destination != "" {
		add(destination, "sqs:SendMessage")
	}
	return need
}

// failureDestination is where events go that a function failed on, by ARN.
func failureDestination(s *template.Stack, f template.Function) string {
	config := property(f.Properties, "EventInvokeConfig")
	for _, r := range s.OfType("AWS::Lambda::EventInvokeConfig") {
		if s.Logical(fmt.Sprint(r.Properties["FunctionName"])) == f.ID {
			config = r.Properties
		}
	}
	destination, _ := property(config, "DestinationConfig", "OnFailure", "Destination").(string)
	return destination
}

// keyUse is what of a key of one's own each action needs besides. DynamoDB and
// the Systems Manager only decrypt what they hold; S3 and SQS make a data key to
// write, and SQS reads it back.
func keyUse(g grant) []string {
	service, name, _ := strings.Cut(g.Action, ":")
	switch {
	case service == "dynamodb", g.Action == "ssm:GetParameter", g.Action == "s3:GetObject", g.Action == "sqs:ReceiveMessage":
		return []string{"kms:Decrypt"}
	case g.Action == "s3:PutObject":
		return []string{"kms:GenerateDataKey"}
	case service == "sqs" && name == "SendMessage":
		return []string{"kms:Decrypt", "kms:GenerateDataKey"}
	}
	return nil
}

const (
	ownKey   = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
	oldKey   = "arn:aws:kms:eu-central-1:123456789012:key/11111111-0000-0000-0000-000000000000"
	olderKey = "arn:aws:kms:eu-central-1:123456789012:key/22222222-0000-0000-0000-000000000000"
)

// withKeys adds what keys of one's own need: the first is the one in use, ""
// where there is none; the others were in use before, and only decrypt.
func withKeys(s *template.Stack, need map[grant]bool, keys ...string) {
	for g := range maps.Clone(need) {
		service, _, _ := strings.Cut(g.Action, ":")
		for _, action := range keyUse(g) {
			for i, key := range keys {
				if key != "" && (i == 0 || action == "kms:Decrypt") {
					need[grant{action, key, fmt.Sprintf("%s.%s.amazonaws.com", service, s.Region)}] = true
				}
			}
		}
	}
}

// grants lists what a role is allowed, and everything about it that cannot be
// listed so.
func grants(s *template.Stack, role string) (have map[grant]bool, problems []string) {
	have = map[grant]bool{}
	policy, err := s.Policy(role)
	if err != nil {
		return have, []string{err.Error()}
	}
	for _, arn := range policy.Managed {
		problems = append(problems, "managed policy "+arn)
	}
	for _, statement := range policy.Statements {
		via := []string{""}
		for operator, keys := range statement.Conditions {
			for key, values := range keys {
				if operator != "StringEquals" || key != "kms:ViaService" {
					problems = append(problems, fmt.Sprintf("%s: a condition on %s that nobody here knows", statement.Sid, key))
				}
				via = values
			}
		}
		if statement.Effect != "Allow" || len(statement.NotActions)+len(statement.NotResources) > 0 {
			problems = append(problems, statement.Sid+": it does more than allow actions on resources")
		}
		for _, action := range statement.Actions {
			for _, resource := range statement.Resources {
				for _, service := range via {
					have[grant{action, resource, service}] = true
				}
			}
		}
	}
	return have, problems
}

// users returns who calls for objects, each with the
// operations that this comes to. A function that is handed the port only helps:
// its callers count.
func (r *reached) users() map[entry][]string {
	all := map[entry]map[string]bool{}
	for fn := range r.funcs {
		if packageOf(fn) == "object" || takesObjects(fn) {
			continue
		}
		outer := fn
		for outer.Parent() != nil {
			outer = outer.Parent()
		}
		for operation := range r.objectCalls(fn, map[*ssa.Function]bool{}) {
			if all[entryOf(outer)] == nil {
				all[entryOf(outer)] = map[string]bool{}
			}
			all[entryOf(outer)][operation] = true
		}
	}
	out := map[entry][]string{}
	for user, operations := range all {
		out[user] = slices.Sorted(maps.Keys(operations))
	}
	return out
}

func isObjects(typeName string) bool { return typeName == module+"/shared/pipeline.Objects" }

func takesObjects(fn *ssa.Function) bool {
	return slices.ContainsFunc(fn.Params, func(p *ssa.Parameter) bool { return isObjects(p.Type().String()) })
}

func (r *reached) objectCalls(fn *ssa.Function, seen map[*ssa.Function]bool) map[string]bool {
	operations := map[string]bool{}
	if seen[fn] {
		return operations
	}
	seen[fn] = true
	names := map[string]string{"Put": "s3.PutObject", "Get": "s3.GetObject", "List": "s3.ListObjectsV2", "Delete": "s3.DeleteObjects"}
	for _, block := range fn.Blocks {
		for _, instruction := range block.Instrs {
			call, is := instruction.(ssa.CallInstruction)
			if !is {
				continue
			}
			common := call.Common()
			switch {
			case common.IsInvoke() && isObjects(common.Value.Type().String()):
				operations[cmp.Or(names[common.Method.Name()], common.Method.Name())] = true
			case common.StaticCallee() != nil && takesObjects(common.StaticCallee()):
				maps.Copy(operations, r.objectCalls(common.StaticCallee(), seen))
			}
		}
	}
	return operations
}

// property walks down a tree.
func property(tree any, path ...string) any {
	for _, name := range path {
		m, _ := tree.(map[string]any)
		tree = m[name]
	}
	return tree
}

func parsed(t *testing.T, path string) *template.Template {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := template.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestOnlyPagesOfPicturesGoToThePhotosQueue(t *testing.T) {
	t.Parallel()
	for _, kind := range []run.Kind{run.SyncTask, run.PageTask, run.FinishTask} {
		for _, dataType := range run.AllTypes() {
			task := run.Task{Kind: kind, Type: dataType}
			want := run.TasksQueue
			if kind == run.PageTask && (dataType == run.UserPhotos || dataType == run.PresenterPhotos) {
				want = run.PhotosQueue
			}
			if got := task.Queue(); got != want {
				t.Errorf("a %s task of %s goes to the queue %s, not %s", kind, dataType, got, want)
			}
		}
	}
}

// code is what a function's main gets to.
type code struct {
	entries map[entry][]string // adapters' methods
	users   map[entry][]string // of objects
	askers  []entry            // for secrets
	strays  []string           // what is asked of AWS outside of the adapters
}

// functionCode reads the code of every function once.
var functionCode = sync.OnceValues(func() (map[string]code, error) {
	p, err := loadProgram()
	if err != nil {
		return nil, err
	}
	all := map[string]code{}
	for folder, main := range p.mains {
		r := p.from(main, unreachable()[folder]...)
		all[folder] = code{r.entries("store", "queue", "secret"), r.users(), r.callers("secret.Secrets.Get"), r.strays()}
	}
	return all, nil
})

func TestNothingIsSaidOfCodeThatIsGone(t *testing.T) {
	t.Parallel()
	p, err := loadProgram()
	if err != nil {
		t.Fatal(err)
	}
	used, there := map[entry]bool{}, map[entry]bool{}
	for _, main := range p.mains {
		r := p.from(main)
		for user := range r.users() {
			used[user] = true
		}
		for fn := range r.funcs {
			there[entryOf(fn)] = true
		}
	}
	for folder, methods := range unasked() {
		for e, operations := range methods {
			can := p.from(p.mains[folder], unreachable()[folder]...).entries("store", "queue")[e]
			for _, operation := range operations {
				if !slices.Contains(can, operation) {
					t.Errorf("%s: %s cannot do %s anyway", folder, e, operation)
				}
			}
		}
	}
	for user := range objects() {
		if !used[user] {
			t.Errorf("%s has to do with no objects", user)
		}
	}
	for folder, cuts := range unreachable() {
		for _, cut := range cuts {
			if !there[cut] {
				t.Errorf("%s: %s, which it cannot reach, does not exist", folder, cut)
			}
		}
	}
}

// transformed is the path of the template as CloudFormation gets it.
func transformed(t *testing.T) string {
	t.Helper()
	path := os.Getenv("STOVASYNC_TEST_TEMPLATE")
	if path == "" {
		t.Skip("needs STOVASYNC_TEST_TEMPLATE: make test-aws sets it")
	}
	return path
}

// permissionProblems compares each function's role with its code.
func permissionProblems(s *template.Stack, keys ...string) []string {
	all, err := functionCode()
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	for _, f := range s.Functions() {
		d := deployed{stack: s, function: f, folder: strings.ToLower(strings.TrimSuffix(f.ID, "Function"))}
		need, unsaid := d.needs(all[d.folder])
		for _, stray := range all[d.folder].strays {
			unsaid = append(unsaid, fmt.Sprintf("%s: %s outside of the adapters", d.folder, stray))
		}
		withKeys(s, need, keys...)
		have, odd := grants(s, f.Role)
		problems = append(append(problems, unsaid...), odd...)
		problems = append(problems, difference(f.Role, need, have)...)
	}
	return problems
}

func difference(role string, need, have map[grant]bool) []string {
	var problems []string
	for g := range need {
		if !have[g] {
			problems = append(problems, fmt.Sprintf("%s lacks %s", role, g))
		}
	}
	for g := range have {
		if !need[g] {
			problems = append(problems, fmt.Sprintf("%s needs no %s", role, g))
		}
	}
	slices.Sort(problems)
	return problems
}
