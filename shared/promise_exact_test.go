package shared_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"stovasync/shared/template"
)

// exactPromises hold for every resource alike: what nobody has thought of, such
// as a property too many, breaks one of them.
func exactPromises() []promise {
	return []promise{
		{"every parameter changes what it is for, and nothing else", parametersTakeEffect},
		{"resources have the properties that somebody has thought about, and no others", shapesAreExact},
		{"nothing waits for what waits for it", nothingWaitsForItself},
		{"the template knows no region, partition, account or stack of its own", worksEverywhere},
		{"the ledger's index of failed pages has all of a page", func(s subject) (p problems) {
			p.want("the indexes", properties(s.plain, "LedgerTable", "GlobalSecondaryIndexes"), []any{map[string]any{
				"IndexName": "failed", "Projection": map[string]any{"ProjectionType": "ALL"},
				"KeySchema": []any{map[string]any{"AttributeName": "failed", "KeyType": "HASH"}, map[string]any{"AttributeName": "pk", "KeyType": "RANGE"}},
			}})
			return p
		}},
	}
}

// effect is another value of a parameter, and the properties that it changes.
// A resource's id may begin with a star: then the property of each of them changes.
type effect struct {
	value string
	on    []string
}

func effects() map[string]effect {
	keyed := []string{
		"*Queue.KmsMasterKeyId", "*Queue.SqsManagedSseEnabled", "*DeadLetters.KmsMasterKeyId", "*DeadLetters.SqsManagedSseEnabled",
		"*Table.SSESpecification", "Bucket.BucketEncryption", "*Logs.KmsKeyId", "*Role.Policies", "Outputs.KmsKeyArn",
	}
	return map[string]effect{
		"ScheduleState":    {"DISABLED", []string{"FullRun.State", "RegularRun.State", "NoRunAlarm"}},
		"RegularEvery":     {"2h", []string{"RegularRun.ScheduleExpression", "NoRunAlarm.Metrics"}},
		"RegularSchedule":  {"rate(3 hours)", []string{"RegularRun.ScheduleExpression"}},
		"FullSchedule":     {"rate(7 days)", []string{"FullRun.ScheduleExpression"}},
		"ScheduleTimezone": {"Europe/Zurich", []string{"FullRun.ScheduleExpressionTimezone", "RegularRun.ScheduleExpressionTimezone"}},
		"NoRunPeriods":     {"3", []string{"NoRunAlarm.EvaluationPeriods"}},

		"WorkerConcurrency": {"7", []string{"WorkerTasks.ScalingConfig"}},
		"PhotoConcurrency":  {"7", []string{"PhotoTasks.ScalingConfig"}},
		"WorkerMemory":      {"1024", []string{"WorkerFunction.MemorySize"}},
		"PhotoMemory":       {"1024", []string{"PhotoFunction.MemorySize"}},

		"RawRetentionDays":    {"3", []string{"Bucket.LifecycleConfiguration"}},
		"ReportRetentionDays": {"30", []string{"Bucket.LifecycleConfiguration"}},
		"LogRetentionDays":    {"90", []string{"*Logs.RetentionInDays"}},
		"LogLevel":            {"WARN", []string{"*Function.Environment"}},
		"BucketVersioning":    {"Enabled", []string{"Bucket.VersioningConfiguration"}},
		"KmsKeyArn":           {ownKey, keyed},
		"OldKmsKeyArns":       {oldKey, []string{"*Role.Policies"}},

		"AlarmTopicArn":   {topic, []string{"*Alarm.AlarmActions", "*Alarm.OKActions"}},
		"DeadLetterAlarm": {"2", []string{"*DeadLettersAlarm.Threshold"}},
		"OldestTaskAlarm": {"3600", []string{"*AgeAlarm.Threshold"}},
		"ErrorAlarm":      {"2", []string{"*ErrorsAlarm.Threshold"}},
		"ThrottleAlarm":   {"2", []string{"*ThrottlesAlarm.Threshold"}},
		"Dashboard":       {"false", []string{"StackDashboard", "Outputs.DashboardName"}},
		"MetricDetail":    {"type", []string{"*Function.Environment", "StackDashboard.DashboardBody"}},
		"PriceFactor":     {"1.15", []string{"*Function.Environment"}},
	}
}

func parametersTakeEffect(s subject) (p problems) {
	at := func(parameter, value string) map[string]string {
		given := map[string]string{"ScheduleState": "ENABLED"}
		if parameter != "" {
			given[parameter] = value
		}
		st, err := s.tt.Deploy(template.Deployment{Parameters: given})
		if err != nil {
			p.add("%s=%s: %v", parameter, value, err)
			return nil
		}
		return flat(st)
	}
	before, known := at("", ""), effects()
	for _, name := range slices.Sorted(maps.Keys(s.tt.Section("Parameters"))) {
		e, ok := known[name]
		if !ok {
			p.add("nobody has said what %s changes", name)
			continue
		}
		var changed []string
		after := at(name, e.value)
		for _, place := range slices.Sorted(maps.Keys(maps.Collect(both(before, after)))) {
			if before[place] != after[place] {
				changed = append(changed, place)
			}
		}
		p.want("what "+name+" changes", gathered(changed), expand(e.on, maps.Collect(both(before, after))))
	}
	for name := range known {
		if s.tt.Section("Parameters")[name] == nil {
			p.add("there is no parameter %s", name)
		}
	}
	return p
}

// flat is every property of a stack, by "ID.Property", as JSON. A resource is
// there by its id alone, too.
func flat(s *template.Stack) map[string]string {
	all := map[string]string{}
	add := func(id string, body map[string]any) {
		all[id] = ""
		for name, value := range body {
			text, err := json.Marshal(value)
			if err != nil {
				text = []byte(err.Error())
			}
			all[id+"."+name] = string(text)
		}
	}
	for id, r := range s.Resources {
		add(id, r.Properties)
		all[id] = "there"
	}
	for _, f := range s.Functions() {
		add(f.ID, f.Properties)
		all[f.ID] = "there"
	}
	for name, value := range s.Outputs {
		all["Outputs."+name] = value
	}
	return all
}

// gathered leaves out the properties of resources that come or go whole.
func gathered(changed []string) (all []string) {
	for _, place := range changed {
		id, _, dotted := strings.Cut(place, ".")
		if !dotted || !slices.Contains(changed, id) {
			all = append(all, place)
		}
	}
	return all
}

func expand(patterns []string, places map[string]string) (all []string) {
	ids := map[string]bool{}
	for place := range places {
		id, _, _ := strings.Cut(place, ".")
		ids[id] = true
	}
	for _, pattern := range patterns {
		id, property, _ := strings.Cut(pattern, ".")
		suffix, family := strings.CutPrefix(id, "*")
		if !family {
			all = append(all, pattern)
			continue
		}
		for each := range ids {
			if strings.HasSuffix(each, suffix) {
				all = append(all, each+"."+property)
			}
		}
	}
	slices.Sort(all)
	return all
}

// shape names the properties of a resource, those within others with dots; what
// other promises look at as a whole is not taken apart.
func shape(properties map[string]any) []string {
	whole := []string{"Variables", "Policies", "AssumeRolePolicyDocument", "PolicyDocument", "RedrivePolicy", "LifecycleConfiguration", "GlobalSecondaryIndexes", "Metrics"}
	var all []string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		name := path[strings.LastIndex(path, ".")+1:]
		if m, is := v.(map[string]any); is && !slices.Contains(whole, name) {
			for key, value := range m {
				walk(strings.TrimPrefix(path+"."+key, "."), value)
			}
			return
		}
		all = append(all, path)
	}
	walk("", properties)
	slices.Sort(all)
	return slices.Compact(all)
}

// shapes has the properties of each type of resource, in a stack with schedules
// and a topic. A name with a mark in front is of those resources only that are
// told in its parentheses.
func shapes() map[string][]string {
	return map[string][]string{
		"AWS::Scheduler::Schedule": {
			"Description", "State", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow.Mode", "FlexibleTimeWindow.MaximumWindowInMinutes",
			"Target.Arn", "Target.RoleArn", "Target.Input", "Target.RetryPolicy.MaximumRetryAttempts", "Target.RetryPolicy.MaximumEventAgeInSeconds", "Target.DeadLetterConfig.Arn",
		},
		// Without Enabled they are; without FilterCriteria they take everything.
		"AWS::Lambda::EventSourceMapping": {"FunctionName", "EventSourceArn", "BatchSize", "FunctionResponseTypes", "ScalingConfig.MaximumConcurrency"},
		"AWS::Lambda::Function": {
			"Handler", "Runtime", "Architectures", "Timeout", "MemorySize", "Description", "Role", "Environment.Variables",
			"LoggingConfig.LogFormat", "LoggingConfig.ApplicationLogLevel", "LoggingConfig.SystemLogLevel", "LoggingConfig.LogGroup",
			"RecursiveLoop (WorkerFunction PhotoFunction)",
		},
		// No DelaySeconds: a task would wait for it. No FIFO: neither order nor its limits are wanted.
		"AWS::SQS::Queue": {"MessageRetentionPeriod", "SqsManagedSseEnabled", "VisibilityTimeout (TasksQueue PhotosQueue)", "RedrivePolicy (TasksQueue PhotosQueue)"},
		"AWS::DynamoDB::Table": {
			"BillingMode", "AttributeDefinitions", "KeySchema", "TimeToLiveSpecification.AttributeName", "TimeToLiveSpecification.Enabled",
			"PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", "GlobalSecondaryIndexes (LedgerTable)", "StreamSpecification.StreamViewType (RecordsTable)",
		},
		"AWS::S3::Bucket": {
			"OwnershipControls.Rules", "PublicAccessBlockConfiguration.BlockPublicAcls", "PublicAccessBlockConfiguration.BlockPublicPolicy",
			"PublicAccessBlockConfiguration.IgnorePublicAcls", "PublicAccessBlockConfiguration.RestrictPublicBuckets",
			"BucketEncryption.ServerSideEncryptionConfiguration", "VersioningConfiguration.Status", "LifecycleConfiguration",
		},
		"AWS::S3::BucketPolicy": {"Bucket", "PolicyDocument"},
		"AWS::IAM::Role":        {"AssumeRolePolicyDocument", "Policies"},
		"AWS::Logs::LogGroup":   {"RetentionInDays"},
		// No ActionsEnabled, no Unit that nobody sends, no DatapointsToAlarm.
		"AWS::CloudWatch::Alarm": {
			"AlarmDescription", "EvaluationPeriods", "ComparisonOperator", "Threshold", "TreatMissingData", "AlarmActions", "OKActions",
			"Namespace (!NoRunAlarm)", "MetricName (!NoRunAlarm)", "Dimensions (!NoRunAlarm)", "Statistic (!NoRunAlarm)", "Period (!NoRunAlarm)", "Metrics (NoRunAlarm)",
		},
		"AWS::CloudWatch::Dashboard": {"DashboardBody"},
		"AWS::Lambda::EventInvokeConfig": {
			"MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig.OnFailure.Destination (FanoutFunctionEventInvokeConfig)",
		},
	}
}

// ofResource picks from a shape what a resource has of it.
func ofResource(names []string, id string) (all []string) {
	for _, name := range names {
		name, only, limited := strings.Cut(strings.TrimSuffix(name, ")"), " (")
		not, inverted := strings.CutPrefix(only, "!")
		switch {
		case !limited, inverted && id != not, !inverted && slices.Contains(strings.Fields(only), id):
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func shapesAreExact(s subject) (p problems) {
	resources := map[string]template.Resource{}
	maps.Copy(resources, s.live.Resources)
	for _, f := range s.live.Functions() {
		// What SAM makes of a function: its code is built, its tags are SAM's.
		own := maps.Clone(f.Properties)
		for _, name := range []string{"CodeUri", "Code", "Tags", "EventInvokeConfig"} {
			delete(own, name)
		}
		resources[f.ID] = template.Resource{ID: f.ID, Type: "AWS::Lambda::Function", Properties: own}
		if config := invokeConfig(s.live, f.ID); config != nil {
			config = maps.Clone(config)
			delete(config, "FunctionName")
			delete(config, "Qualifier")
			id := f.ID + "EventInvokeConfig"
			resources[id] = template.Resource{ID: id, Type: "AWS::Lambda::EventInvokeConfig", Properties: withoutType(config)}
		}
	}
	known := shapes()
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		r := resources[id]
		if known[r.Type] == nil {
			p.add("%s is a %s, of which nobody has said what it has", id, r.Type)
			continue
		}
		p.want("what "+id+" has", shape(r.Properties), ofResource(known[r.Type], id))
	}
	return p
}

// withoutType leaves out what SAM takes for itself.
func withoutType(config map[string]any) map[string]any {
	destination, is := property(config, "DestinationConfig", "OnFailure", "Destination").(string)
	if is {
		config["DestinationConfig"] = map[string]any{"OnFailure": map[string]any{"Destination": destination}}
	}
	return config
}

// nothingWaitsForItself follows references and DependsOn, which CloudFormation
// orders resources by.
func nothingWaitsForItself(s subject) (p problems) {
	all := s.tt.Section("Resources")
	waits := map[string][]string{}
	for id, body := range all {
		waits[id] = references(body, all)
		if property(body, "Type") == "AWS::Serverless::Function" {
			waits[id] = append(waits[id], references(s.tt.Root["Globals"], all)...)
		}
	}
	done := map[string]bool{}
	var visit func(path []string, id string)
	visit = func(path []string, id string) {
		if i := slices.Index(path, id); i >= 0 {
			p.add("%s", strings.Join(append(path[i:], id), " waits for "))
			return
		}
		if done[id] {
			return
		}
		for _, next := range waits[id] {
			visit(append(slices.Clone(path), id), next)
		}
		done[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		visit(nil, id)
	}
	return p
}

// references lists the resources that a tree names.
func references(tree any, resources map[string]any) []string {
	found := map[string]bool{}
	name := regexp.MustCompile(`\$\{(\w+)`)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				switch text, is := value.(string); {
				case key == "Ref" && is, key == "DependsOn" && is:
					found[text] = true
				}
				if list, is := value.([]any); is && (key == "Fn::GetAtt" || key == "DependsOn") {
					for _, each := range list {
						found[fmt.Sprint(each)] = true
					}
				}
				walk(value)
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		case string:
			for _, m := range name.FindAllStringSubmatch(v, -1) {
				found[m[1]] = true
			}
		}
	}
	walk(tree)
	maps.DeleteFunc(found, func(id string, _ bool) bool { return resources[id] == nil })
	return slices.Sorted(maps.Keys(found))
}

// worksEverywhere deploys into another region, partition, account and name, and
// looks whether anything is still as it was.
func worksEverywhere(s subject) (p problems) {
	const there = "arn:aws-us-gov:kms:us-gov-west-1:210987654321:key/"
	given := map[string]string{
		"ScheduleState": "ENABLED", "KmsKeyArn": there + "a", "OldKmsKeyArns": there + "b", "MetricDetail": "type",
		"AlarmTopicArn": "arn:aws-us-gov:sns:us-gov-west-1:210987654321:alarms",
	}
	st, err := s.tt.Deploy(template.Deployment{Parameters: given, Stack: "elsewhere", Region: "us-gov-west-1", Account: "210987654321", Partition: "aws-us-gov"})
	if err != nil {
		return problems{err.Error()}
	}
	here := regexp.MustCompile(`arn:aws:|\b[a-z]{2}-[a-z]+-[0-9]\b|\b[0-9]{12}\b|\bsummit\b|\bstovasync-`)
	for place, text := range flat(st) {
		text = strings.ReplaceAll(text, "210987654321", "")
		if found := here.FindString(text); found != "" {
			p.add("%s has %s", place, found)
		}
	}
	slices.Sort(p)
	return p
}
