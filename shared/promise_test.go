package shared_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stovasync/shared/config"
	"stovasync/shared/metric"
	"stovasync/shared/template"
)

// subject is a template, deployed in the ways that make a difference.
type subject struct {
	tt *template.Template
	// plain is as it ships, live with running schedules and a topic, manual
	// without schedules, keyed with a key of one's own, rekeyed with another one
	// after that, cleared with none after that, detailed with metrics of each type.
	plain, live, manual, keyed, rekeyed, cleared, detailed *template.Stack
	refused                                                []string // what CloudFormation would not deploy, with its reason
}

const topic = "arn:aws:sns:eu-central-1:123456789012:alarms"

func subjectOf(tt *template.Template) subject {
	s := subject{tt: tt}
	for into, parameters := range map[**template.Stack]map[string]string{
		&s.plain:    nil,
		&s.live:     {"ScheduleState": "ENABLED", "AlarmTopicArn": topic, "RegularSchedule": "cron(0/30 6-22 * * ? *)"},
		&s.manual:   {"ScheduleState": "NONE", "Dashboard": "false"},
		&s.keyed:    {"KmsKeyArn": ownKey, "ScheduleState": "ENABLED", "BucketVersioning": "Enabled"},
		&s.rekeyed:  {"KmsKeyArn": ownKey, "OldKmsKeyArns": oldKey + "," + olderKey, "ScheduleState": "ENABLED"},
		&s.cleared:  {"OldKmsKeyArns": oldKey, "ScheduleState": "ENABLED"},
		&s.detailed: {"MetricDetail": "type"},
	} {
		stack, err := tt.Deploy(template.Deployment{Parameters: parameters})
		if err != nil {
			s.refused = append(s.refused, err.Error())
		}
		*into = stack
	}
	return s
}

// problems collects what is wrong.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// want compares by what a value prints as, since a number of a parameter and
// one of the text are the same to CloudFormation.
func (p *problems) want(what string, got, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		p.add("%s is %v, not %v", what, got, want)
	}
}

// properties walks down the properties of a resource.
func properties(s *template.Stack, id string, path ...string) any {
	return property(s.Resources[id].Properties, path...)
}

// promise is one thing that the template promises.
type promise struct {
	says  string
	check func(subject) problems
}

func promises() []promise {
	return slices.Concat(deployPromises(), schedulePromises(), eventPromises(), queuePromises(), taskPromises(), functionPromises(), storePromises(),
		keyPromises(), rolePromises(), alarmPromises(), parameterPromises(), exactPromises())
}

func deployPromises() []promise {
	return []promise{
		{"every choice of parameters gives a stack", everyChoice},
		{"no resource has a name that a second stack would collide with", func(s subject) (p problems) {
			fixed := regexp.MustCompile(`^(Table|Queue|Bucket|Function|Role|LogGroup|Alarm|Dashboard|Policy)?Name$`)
			for id, r := range s.live.Resources {
				for name := range r.Properties {
					if fixed.MatchString(name) && r.Type != "AWS::Lambda::EventSourceMapping" && r.Type != "AWS::Lambda::EventInvokeConfig" {
						p.add("%s has a %s", id, name)
					}
				}
			}
			return p
		}},
		{"outputs name everything an operator needs, and lock nothing", outputsTell},
	}
}

// everyChoice deploys with each combination of what conditions ask for.
func everyChoice(s subject) (p problems) {
	p = append(p, s.refused...)
	for _, state := range []string{"ENABLED", "DISABLED", "NONE"} {
		for _, dashboard := range []string{"true", "false"} {
			for _, key := range []string{"", ownKey} {
				for _, detail := range []string{"stack", "type"} {
					given := map[string]string{"ScheduleState": state, "Dashboard": dashboard, "OldKmsKeyArns": key, "MetricDetail": detail}
					if _, err := s.tt.Deploy(template.Deployment{Parameters: given}); err != nil {
						p.add("%v: %v", given, err)
					}
				}
				for _, to := range []string{"", topic} {
					given := map[string]string{"ScheduleState": state, "Dashboard": dashboard, "KmsKeyArn": key, "AlarmTopicArn": to}
					if _, err := s.tt.Deploy(template.Deployment{Parameters: given}); err != nil {
						p.add("%v: %v", given, err)
					}
				}
			}
		}
	}
	return p
}

func outputsTell(s subject) (p problems) {
	for _, name := range []string{
		"RecordsStreamArn", "SchedulesDlqUrl", "WorkerFunction", "PhotoFunction", "RegularScheduleName", "FullScheduleName",
		"FanoutLogGroup", "WorkerLogGroup", "PhotoLogGroup", "PreviewLogGroup", "RedriveLogGroup", "DashboardName",
	} {
		if s.plain.Outputs[name] == "" {
			p.add("there is no output %s", name)
		}
	}
	for name, body := range s.tt.Section("Outputs") {
		if property(body, "Export") != nil {
			p.add("output %s is exported", name)
		}
		if text, _ := property(body, "Description").(string); text == "" {
			p.add("output %s has no description", name)
		}
	}
	for _, st := range []*template.Stack{s.plain, s.keyed} {
		d, err := config.ParseOutputs(st.Name, st.Outputs)
		if err != nil {
			p.add("the command line cannot read the outputs: %v", err)
			continue
		}
		tables := map[string]string{"LedgerTable": d.LedgerTable, "RecordsTable": d.RecordsTable, "Bucket": d.Bucket,
			"TasksQueue": d.TasksQueueURL, "PhotosQueue": d.PhotosQueueURL, "TasksDeadLetters": d.TasksDLQURL,
			"PhotosDeadLetters": d.PhotosDLQURL, "FanoutFunction": d.FanoutFunction, "PreviewFunction": d.PreviewFunction,
			"RedriveFunction": d.RedriveFunction}
		for id, value := range tables {
			if st.Logical(value) != id {
				p.add("the output for %s names %q", id, value)
			}
		}
	}
	return p
}

const schedule = "AWS::Scheduler::Schedule"

func schedulePromises() []promise {
	return []promise{
		{"a regular schedule syncs what changed, a weekly one reads everything", func(s subject) (p problems) {
			modes := map[string]string{}
			for _, r := range s.plain.OfType(schedule) {
				var input struct{ Mode string }
				if err := json.Unmarshal([]byte(fmt.Sprint(property(r.Properties, "Target", "Input"))), &input); err != nil {
					p.add("%s: %v", r.ID, err)
				}
				modes[input.Mode] = fmt.Sprint(r.Properties["ScheduleExpression"])
				p.want(r.ID+"'s target", property(r.Properties, "Target", "Arn"), s.plain.ARN("FanoutFunction"))
				p.want(r.ID+"'s time zone", r.Properties["ScheduleExpressionTimezone"], "UTC")
			}
			p.want("what is scheduled", modes, map[string]string{"incremental": "rate(30 minutes)", "full": "cron(0 3 ? * SUN *)"})
			return p
		}},
		{"schedules ship switched off, and one parameter switches both on", func(s subject) (p problems) {
			for state, st := range map[string]*template.Stack{"DISABLED": s.plain, "ENABLED": s.live} {
				for _, r := range st.OfType(schedule) {
					p.want(r.ID+"'s state", r.Properties["State"], state)
				}
			}
			return p
		}},
		{"an event's scheduled time comes with it, for the run's id", func(s subject) (p problems) {
			for _, r := range s.plain.OfType(schedule) {
				var input struct{ Time string }
				err := json.Unmarshal([]byte(fmt.Sprint(property(r.Properties, "Target", "Input"))), &input)
				if err != nil || input.Time != "<aws.scheduler.scheduled-time>" {
					p.add("%s sends the time %q (%v)", r.ID, input.Time, err)
				}
			}
			return p
		}},
		{"schedules are delivered within a window of minutes, tried again, and kept when that fails", func(s subject) (p problems) {
			for _, r := range s.plain.OfType(schedule) {
				p.want(r.ID+"'s window", property(r.Properties, "FlexibleTimeWindow", "Mode"), "FLEXIBLE")
				if minutes, _ := property(r.Properties, "FlexibleTimeWindow", "MaximumWindowInMinutes").(int); minutes < 1 || minutes > 15 {
					p.add("%s has a window of %d minutes", r.ID, minutes)
				}
				if n, _ := property(r.Properties, "Target", "RetryPolicy", "MaximumRetryAttempts").(int); n < 1 {
					p.add("%s is tried again %d times", r.ID, n)
				}
				// Longer than most disturbances, shorter than it takes until the next run
				// is of more use.
				p.want(r.ID+"'s patience", property(r.Properties, "Target", "RetryPolicy", "MaximumEventAgeInSeconds"), 3600)
				p.want(r.ID+"'s role", property(r.Properties, "Target", "RoleArn"), s.plain.ARN("SchedulerRole"))
				p.want(r.ID+"'s dead letters", property(r.Properties, "Target", "DeadLetterConfig", "Arn"), s.plain.ARN("ScheduleDeadLetters"))
			}
			return p
		}},
	}
}

// eventPromises is about what becomes of events, and who may do without them.
func eventPromises() []promise {
	return []promise{
		{"events that fan-out failed on are tried again and kept", func(s subject) (p problems) {
			config := invokeConfig(s.plain, "FanoutFunction")
			p.want("fan-out's destination of failures", property(config, "DestinationConfig", "OnFailure", "Destination"), s.plain.ARN("ScheduleDeadLetters"))
			p.want("fan-out's repetitions", config["MaximumRetryAttempts"], 2)
			p.want("fan-out's patience", config["MaximumEventAgeInSeconds"], 3600)
			// SAM takes the type for its policy and leaves it out.
			if kind := property(config, "DestinationConfig", "OnFailure", "Type"); kind != nil {
				p.want("the type of it", kind, "SQS")
			}
			return p
		}},
		{"Lambda does not repeat what people start", func(s subject) (p problems) {
			for _, id := range []string{"PreviewFunction", "RedriveFunction"} {
				p.want(id+"'s repetitions", invokeConfig(s.plain, id)["MaximumRetryAttempts"], 0)
			}
			return p
		}},
		{"teams that start runs themselves have no schedule, nobody who may start runs, and no alarm that none did", func(s subject) (p problems) {
			for id, r := range s.manual.Resources {
				if r.Type == schedule || id == "SchedulerRole" || strings.HasPrefix(id, "NoRun") {
					p.add("there is a %s", id)
				}
			}
			return p
		}},
	}
}

// invokeConfig is how Lambda treats events of a function, in either form.
func invokeConfig(s *template.Stack, id string) map[string]any {
	for _, r := range s.OfType("AWS::Lambda::EventInvokeConfig") {
		if s.Logical(fmt.Sprint(r.Properties["FunctionName"])) == id {
			return r.Properties
		}
	}
	config, _ := properties(s, id, "EventInvokeConfig").(map[string]any)
	return config
}

const mapping = "AWS::Lambda::EventSourceMapping"

// feeds says which queue each function takes its tasks from.
func feeds() map[string]string {
	return map[string]string{"WorkerFunction": "TasksQueue", "PhotoFunction": "PhotosQueue"}
}

func queuePromises() []promise {
	return []promise{
		{"each queue of tasks feeds its function, a task at a time, and each failure counts for itself", func(s subject) (p problems) {
			fed := map[string]string{}
			for _, r := range s.plain.OfType(mapping) {
				fed[s.plain.Logical(fmt.Sprint(r.Properties["FunctionName"]))] = s.plain.Logical(fmt.Sprint(r.Properties["EventSourceArn"]))
				p.want(r.ID+"'s batch", r.Properties["BatchSize"], 1)
				p.want(r.ID+"'s responses", r.Properties["FunctionResponseTypes"], []string{"ReportBatchItemFailures"})
				if r.Properties["Enabled"] == false {
					p.add("%s is switched off", r.ID)
				}
			}
			p.want("what feeds whom", fed, feeds())
			return p
		}},
		{"mappings are bounded by parameters, and no function keeps concurrency for itself", func(s subject) (p problems) {
			given := map[string]string{"WorkerConcurrency": "7", "PhotoConcurrency": "9"}
			st, err := s.tt.Deploy(template.Deployment{Parameters: given})
			if err != nil {
				return problems{err.Error()}
			}
			for id, n := range map[string]int{"WorkerTasks": 7, "PhotoTasks": 9} {
				p.want(id+"'s concurrency", properties(st, id, "ScalingConfig", "MaximumConcurrency"), n)
			}
			for _, f := range s.plain.Functions() {
				if f.Properties["ReservedConcurrentExecutions"] != nil || f.Properties["ProvisionedConcurrencyConfig"] != nil {
					p.add("%s has concurrency of its own", f.ID)
				}
			}
			return p
		}},
	}
}

// taskPromises is about what becomes of a task.
func taskPromises() []promise {
	return []promise{
		{"functions have five minutes, and a task is hidden for six times as long", func(s subject) (p problems) {
			for _, f := range s.plain.Functions() {
				p.want(f.ID+"'s time limit", f.Timeout, 300)
				if queue, ok := feeds()[f.ID]; ok {
					p.want(queue+"'s visibility", properties(s.plain, queue, "VisibilityTimeout"), 6*f.Timeout)
				}
				p.want(f.ID+"'s idea of it", f.Environment["VISIBILITY_SECONDS"], 6*f.Timeout)
			}
			return p
		}},
		{"a task that was delivered five times is a dead letter of its queue", func(s subject) (p problems) {
			for queue, dead := range map[string]string{"TasksQueue": "TasksDeadLetters", "PhotosQueue": "PhotosDeadLetters"} {
				p.want(queue+"'s deliveries", properties(s.plain, queue, "RedrivePolicy", "maxReceiveCount"), 5)
				p.want(queue+"'s dead letters", properties(s.plain, queue, "RedrivePolicy", "deadLetterTargetArn"), s.plain.ARN(dead))
			}
			for _, f := range s.plain.Functions() {
				p.want(f.ID+"'s idea of deliveries", f.Environment["MAX_RECEIVES"], 5)
			}
			return p
		}},
		{"dead letters are kept for 14 days, tasks for less", func(s subject) (p problems) {
			for _, r := range s.plain.OfType("AWS::SQS::Queue") {
				kept, _ := r.Properties["MessageRetentionPeriod"].(int)
				switch dead := strings.HasSuffix(r.ID, "DeadLetters"); {
				case dead && kept != 1209600:
					p.add("%s keeps them for %d seconds", r.ID, kept)
				case !dead && (kept < 86400 || kept >= 1209600):
					p.add("%s keeps tasks for %d seconds", r.ID, kept)
				}
			}
			return p
		}},
		{"the worker and the photo worker may be started by what they send, the others need not", func(s subject) (p problems) {
			for _, f := range s.plain.Functions() {
				want := any(nil)
				if feeds()[f.ID] != "" {
					want = "Allow"
				}
				p.want(f.ID+"'s recursion", f.Properties["RecursiveLoop"], want)
			}
			return p
		}},
	}
}

func functionPromises() []promise {
	return []promise{
		{"functions are bootstraps for arm64 on provided.al2023, built by make", func(s subject) (p problems) {
			for _, f := range s.plain.Functions() {
				p.want(f.ID+"'s runtime", f.Properties["Runtime"], "provided.al2023")
				p.want(f.ID+"'s architectures", f.Properties["Architectures"], []string{"arm64"})
				p.want(f.ID+"'s handler", f.Properties["Handler"], "bootstrap")
				p.want(f.ID+"'s build", property(s.plain.Resources[f.ID].Rest, "Metadata", "BuildMethod"), "makefile")
			}
			p.want("the number of functions", len(s.plain.Functions()), 5)
			return p
		}},
		{"functions are told the names of their own stack, what parameters say, and nothing else", environmentTells},
		{"each function logs in JSON, at a level and for as long as parameters say, into a group of its own, and no level drops metrics", func(s subject) (p problems) {
			st, err := s.tt.Deploy(template.Deployment{Parameters: map[string]string{"LogLevel": "WARN", "LogRetentionDays": "90"}})
			if err != nil {
				return problems{err.Error()}
			}
			owners := map[string]string{}
			for _, f := range st.Functions() {
				p.want(f.ID+"'s format of logs", property(f.Properties, "LoggingConfig", "LogFormat"), "JSON")
				p.want(f.ID+"'s own level", f.Environment["LOG_LEVEL"], "WARN")
				// For Lambda a line of metrics is one of INFO.
				p.want(f.ID+"'s level at Lambda", property(f.Properties, "LoggingConfig", "ApplicationLogLevel"), "DEBUG")
				p.want(f.ID+"'s level of Lambda's own lines", property(f.Properties, "LoggingConfig", "SystemLogLevel"), "WARN")
				if owners[f.LogGroup] != "" || f.LogGroup == "" {
					p.add("%s shares its log group %q with %q", f.ID, f.LogGroup, owners[f.LogGroup])
				}
				owners[f.LogGroup] = f.ID
				p.want(f.LogGroup+"'s retention", properties(st, f.LogGroup, "RetentionInDays"), 90)
			}
			return p
		}},
		{"the memory of worker and photo worker is a parameter", func(s subject) (p problems) {
			st, err := s.tt.Deploy(template.Deployment{Parameters: map[string]string{"WorkerMemory": "1024", "PhotoMemory": "768"}})
			if err != nil {
				return problems{err.Error()}
			}
			want := map[string]int{"FanoutFunction": 256, "WorkerFunction": 1024, "PhotoFunction": 768, "PreviewFunction": 512, "RedriveFunction": 256}
			for _, f := range st.Functions() {
				p.want(f.ID+"'s memory", f.MemorySize, want[f.ID])
			}
			return p
		}},
	}
}

func environmentTells(s subject) (p problems) {
	given := map[string]string{"LogLevel": "ERROR", "MetricDetail": "type", "PriceFactor": "1.15"}
	st, err := s.tt.Deploy(template.Deployment{Parameters: given})
	if err != nil {
		return problems{err.Error()}
	}
	ref := func(id string) string {
		for name, value := range st.Outputs {
			if st.Logical(value) == id && !strings.HasSuffix(name, "Arn") {
				return value
			}
		}
		return "a name of " + id
	}
	// All there is: no variable holds a secret.
	want := map[string]string{
		"STACK": st.Name, "SECRET_PREFIX": "/stovasync/" + st.Name + "/", "VISIBILITY_SECONDS": "1800", "MAX_RECEIVES": "5",
		"LEDGER_TABLE": ref("LedgerTable"), "RECORDS_TABLE": ref("RecordsTable"), "BUCKET": ref("Bucket"),
		"TASKS_QUEUE_URL": ref("TasksQueue"), "PHOTOS_QUEUE_URL": ref("PhotosQueue"),
		"TASKS_DLQ_URL": ref("TasksDeadLetters"), "PHOTOS_DLQ_URL": ref("PhotosDeadLetters"),
		"LOG_LEVEL": "ERROR", "METRIC_DETAIL": "type", "PRICE_FACTOR": "1.15",
	}
	for _, f := range st.Functions() {
		for _, name := range slices.Sorted(maps.Keys(maps.Collect(both(want, f.Environment)))) {
			p.want(f.ID+"'s "+name, f.Environment[name], want[name])
		}
		c, err := config.Load(func(name string) (string, bool) { v, ok := f.Environment[name]; return v, ok })
		if err != nil || c.Resources == nil {
			p.add("%s cannot start: %v", f.ID, err)
		}
	}
	return p
}

// both yields the entries of two maps.
func both(a, b map[string]string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		joined := maps.Clone(a)
		maps.Copy(joined, b)
		maps.All(joined)(yield)
	}
}

// outlives is the policy for what is kept when the stack goes or needs another
// one, but not when the stack was never made.
const outlives = "RetainExceptOnCreate Retain"

func storePromises() []promise {
	return []promise{
		{"tables are paid by use, can be restored, and outlive the stack", func(s subject) (p problems) {
			for _, id := range []string{"LedgerTable", "RecordsTable"} {
				r := s.plain.Resources[id]
				p.want(id+"'s billing", r.Properties["BillingMode"], "PAY_PER_REQUEST")
				p.want(id+"'s recovery", property(r.Properties, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"), true)
				p.want(id+"'s end", r.DeletionPolicy+" "+r.UpdateReplacePolicy, outlives)
			}
			return p
		}},
		{"tables forget what has expired", func(s subject) (p problems) {
			for _, id := range []string{"LedgerTable", "RecordsTable"} {
				p.want(id+"'s time to live", properties(s.plain, id, "TimeToLiveSpecification"), map[string]any{"AttributeName": "expires", "Enabled": true})
			}
			return p
		}},
		{"a stream tells of each record what it was and is", func(s subject) (p problems) {
			p.want("the records' stream", properties(s.plain, "RecordsTable", "StreamSpecification", "StreamViewType"), "NEW_AND_OLD_IMAGES")
			return p
		}},
		{"the bucket is closed to the public", func(s subject) (p problems) {
			for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
				p.want(block, properties(s.plain, "Bucket", "PublicAccessBlockConfiguration", block), true)
			}
			p.want("the bucket's owner", properties(s.plain, "Bucket", "OwnershipControls", "Rules"), []any{map[string]any{"ObjectOwnership": "BucketOwnerEnforced"}})
			return p
		}},
		{"the bucket speaks TLS only", bucketSpeaksTLS},
		{"the bucket and its policy outlive the stack", func(s subject) (p problems) {
			for _, id := range []string{"Bucket", "BucketPolicy"} {
				r := s.plain.Resources[id]
				p.want(id+"'s end", r.DeletionPolicy+" "+r.UpdateReplacePolicy, outlives)
			}
			return p
		}},
		{"raw pages and reports expire when parameters say, and nothing else does", bucketForgets},
		{"unfinished uploads and old versions go by themselves", func(s subject) (p problems) {
			var uploads, versions bool
			for _, rule := range rules(s.plain) {
				everywhere := rule["Prefix"] == nil && rule["Filter"] == nil && rule["Status"] == "Enabled"
				uploads = uploads || everywhere && property(rule, "AbortIncompleteMultipartUpload", "DaysAfterInitiation") == 1
				days, _ := property(rule, "NoncurrentVersionExpiration", "NoncurrentDays").(int)
				versions = versions || everywhere && days > 0 && days <= 30
			}
			p.want("uploads go, versions go", []bool{uploads, versions}, []bool{true, true})
			return p
		}},
		{"the bucket keeps versions when a parameter says so", func(s subject) (p problems) {
			for want, st := range map[string]*template.Stack{"Suspended": s.plain, "Enabled": s.keyed} {
				p.want("versioning", properties(st, "Bucket", "VersioningConfiguration", "Status"), want)
			}
			return p
		}},
	}
}

func rules(s *template.Stack) (all []map[string]any) {
	list, _ := properties(s, "Bucket", "LifecycleConfiguration", "Rules").([]any)
	for _, rule := range list {
		rule, _ := rule.(map[string]any)
		all = append(all, rule)
	}
	return all
}

// bucketForgets: plans are as old as the newest run of their type, which no
// rule can know, and records link pictures.
func bucketForgets(s subject) (p problems) {
	st, err := s.tt.Deploy(template.Deployment{Parameters: map[string]string{"RawRetentionDays": "3", "ReportRetentionDays": "40"}})
	if err != nil {
		return problems{err.Error()}
	}
	expire := map[string]string{}
	for _, rule := range rules(st) {
		for key := range rule {
			if strings.HasPrefix(key, "Expiration") || strings.HasPrefix(key, "Transition") {
				expire[fmt.Sprint(rule["Prefix"])] = fmt.Sprintf("%v %v %v", key, rule[key], rule["Status"])
			}
		}
	}
	raw, reports := prefixOf("pipeline.Steps.dropRaw"), prefixOf("pipeline.Steps.putReport")
	p.want("what expires", expire, map[string]string{raw: "ExpirationInDays 3 Enabled", reports: "ExpirationInDays 40 Enabled"})
	for _, rule := range rules(st) {
		// Personal data that was to go does not stay as an old version.
		if rule["Prefix"] == raw || rule["Prefix"] == reports {
			p.want(fmt.Sprint(rule["Prefix"], "'s old versions"), property(rule, "NoncurrentVersionExpiration", "NoncurrentDays"), 1)
		}
	}
	return p
}

func bucketSpeaksTLS(s subject) (p problems) {
	p.want("the policy's bucket", s.plain.Logical(fmt.Sprint(properties(s.plain, "BucketPolicy", "Bucket"))), "Bucket")
	statements := template.Statements(properties(s.plain, "BucketPolicy", "PolicyDocument"))
	p.want("the policy's statements", len(statements), 1)
	for _, st := range statements {
		p.want("whom "+st.Sid+" is for", st.Principal, "*")
		p.want("what "+st.Sid+" does", st.Effect, "Deny") // with a principal like this one, Allow would be for everybody
	}
	// Somebody who is allowed everything else.
	policy := template.Policy{Statements: append(statements, template.Statement{Effect: "Allow", Actions: []string{"*"}, Resources: []string{"*"}})}
	for _, resource := range []string{s.plain.ARN("Bucket"), s.plain.ARN("Bucket") + "/raw/summit/1.json.gz"} {
		for _, action := range []string{"s3:GetObject", "s3:PutObject", "s3:ListBucket"} {
			for _, secure := range []string{"true", "false"} {
				call := template.Call{Action: action, Resource: resource, Context: map[string]string{"aws:SecureTransport": secure}}
				if allowed := policy.Allows(call); fmt.Sprint(allowed) != secure {
					p.add("%s on %s with TLS %s: allowed %v", action, resource, secure, allowed)
				}
			}
		}
	}
	return p
}

func keyPromises() []promise {
	return []promise{
		{"queues, tables and bucket are encrypted with keys that AWS manages", func(s subject) (p problems) {
			for _, r := range s.plain.OfType("AWS::SQS::Queue") {
				p.want(r.ID+"'s encryption", fmt.Sprint(r.Properties["SqsManagedSseEnabled"], r.Properties["KmsMasterKeyId"]), fmt.Sprint(true, nil))
			}
			for _, r := range s.plain.OfType("AWS::DynamoDB::Table") {
				p.want(r.ID+"'s key", r.Properties["SSESpecification"], any(nil))
			}
			p.want("the bucket's encryption", property(bucketKey(s.plain), "ServerSideEncryptionByDefault", "SSEAlgorithm"), "AES256")
			return p
		}},
		{"with a key of one's own, queues, tables, bucket and logs are encrypted with it", func(s subject) (p problems) {
			for _, r := range s.keyed.OfType("AWS::SQS::Queue") {
				p.want(r.ID+"'s key", fmt.Sprint(r.Properties["KmsMasterKeyId"], r.Properties["SqsManagedSseEnabled"]), fmt.Sprint(ownKey, nil))
			}
			for _, r := range s.keyed.OfType("AWS::DynamoDB::Table") {
				p.want(r.ID+"'s key", r.Properties["SSESpecification"], map[string]any{"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": ownKey})
			}
			for _, r := range s.keyed.OfType("AWS::Logs::LogGroup") {
				p.want(r.ID+"'s key", r.Properties["KmsKeyId"], ownKey)
			}
			p.want("the bucket's key", property(bucketKey(s.keyed), "ServerSideEncryptionByDefault"), map[string]any{"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": ownKey})
			p.want("the bucket's own key", property(bucketKey(s.keyed), "BucketKeyEnabled"), true)
			p.want("the command line's key", s.keyed.Outputs["KmsKeyArn"], ownKey)
			return p
		}},
	}
}

func bucketKey(s *template.Stack) any {
	list, _ := properties(s, "Bucket", "BucketEncryption", "ServerSideEncryptionConfiguration").([]any)
	if len(list) != 1 {
		return nil
	}
	return list[0]
}

func rolePromises() []promise {
	return []promise{
		{"functions may do what their code does, and nothing else", func(s subject) (p problems) {
			p = append(append(p, permissionProblems(s.plain)...), permissionProblems(s.keyed, ownKey)...)
			return p
		}},
		{"after a change of the key, roles may still decrypt with those before, and nothing else", func(s subject) (p problems) {
			p = append(permissionProblems(s.rekeyed, ownKey, oldKey, olderKey), permissionProblems(s.cleared, "", oldKey)...)
			for st, keys := range map[*template.Stack][]string{s.rekeyed: {ownKey, oldKey, olderKey}, s.cleared: {"", oldKey}} {
				p = append(p, schedulerProblems(st, keys...)...)
			}
			return p
		}},
		{"schedules may start the fan-out and keep what they cannot deliver, and nothing else", func(s subject) (p problems) {
			return append(schedulerProblems(s.live), schedulerProblems(s.keyed, ownKey)...)
		}},
		{"no policy is wide, borrowed, or about what nobody here does", policiesAreNarrow},
		{"each role is for one function, or for the schedules of this account", rolesTrust},
	}
}

func schedulerProblems(s *template.Stack, keys ...string) problems {
	need := map[grant]bool{
		{Action: "lambda:InvokeFunction", Resource: s.ARN("FanoutFunction")}: true,
		{Action: "sqs:SendMessage", Resource: s.ARN("ScheduleDeadLetters")}:  true,
	}
	withKeys(s, need, keys...)
	have, odd := grants(s, "SchedulerRole")
	return append(odd, difference("SchedulerRole", need, have)...)
}

func policiesAreNarrow(s subject) (p problems) {
	never := regexp.MustCompile(`(?i)\*|\?|PurgeQueue|Acl|Lifecycle|^iam:|^sts:|:DeleteTable|:DeleteBucket|:DeleteQueue|:CreateGrant`)
	for _, st := range []*template.Stack{s.live, s.keyed} {
		for _, r := range st.OfType("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::SQS::QueuePolicy", "AWS::Lambda::Permission") {
			p.add("%s is a %s", r.ID, r.Type)
		}
		for _, role := range st.OfType("AWS::IAM::Role") {
			policy, err := st.Policy(role.ID)
			if err != nil {
				return append(p, err.Error())
			}
			p.want(role.ID+"'s managed policies", len(policy.Managed), 0)
			for _, statement := range policy.Statements {
				if len(statement.NotActions)+len(statement.NotResources) > 0 || statement.Effect != "Allow" {
					p.add("%s: %s says what it does not mean", role.ID, statement.Sid)
				}
				for _, action := range statement.Actions {
					if never.MatchString(action) {
						p.add("%s may %s", role.ID, action)
					}
				}
				for _, resource := range statement.Resources {
					if !strings.HasPrefix(resource, "arn:aws:") || strings.HasSuffix(resource, ":*") && !strings.Contains(resource, ":log-group:"+st.Name+"-") {
						p.add("%s: %s is for %s", role.ID, statement.Sid, resource)
					}
				}
			}
		}
	}
	return p
}

func rolesTrust(s subject) (p problems) {
	users := map[string]int{}
	for _, f := range s.live.Functions() {
		users[f.Role]++
	}
	for _, role := range s.live.OfType("AWS::IAM::Role") {
		service := "lambda.amazonaws.com"
		if role.ID == "SchedulerRole" {
			service = "scheduler.amazonaws.com"
		} else {
			p.want("functions of "+role.ID, users[role.ID], 1)
		}
		for _, statement := range template.Statements(role.Properties["AssumeRolePolicyDocument"]) {
			p.want("whom "+role.ID+" trusts", statement.Principal, map[string]any{"Service": service})
			p.want("what "+role.ID+" lets them do", statement.Actions, []string{"sts:AssumeRole"})
			if role.ID == "SchedulerRole" {
				p.want("whose schedules", statement.Conditions["StringEquals"]["aws:SourceAccount"], []string{s.live.Account})
			}
		}
	}
	return p
}

// alarm is what an alarm watches.
type alarm struct {
	id, metric, on string // on is the logical id of the queue or function
	r              template.Resource
}

func alarms(s *template.Stack) (all []alarm) {
	for _, r := range s.OfType("AWS::CloudWatch::Alarm") {
		of := r.Properties
		if stat, is := property(measured(r), "MetricStat", "Metric").(map[string]any); is {
			of = stat
		}
		a := alarm{id: r.ID, metric: fmt.Sprintf("%v/%v", of["Namespace"], of["MetricName"]), r: r}
		dimensions, _ := of["Dimensions"].([]any)
		for _, d := range dimensions {
			value := fmt.Sprint(property(d, "Value"))
			for id := range s.Resources {
				if name, ok := s.Resources[id]; ok && (strings.HasSuffix(s.ARN(id), ":"+value) || value == s.Name) && name.Type != "AWS::CloudWatch::Alarm" {
					a.on = fmt.Sprint(property(d, "Name"), " ", id)
				}
			}
			if value == s.Name {
				a.on = fmt.Sprint(property(d, "Name"))
			}
		}
		all = append(all, a)
	}
	return all
}

// measured is the metric that an alarm on an expression reads; nil of others.
func measured(r template.Resource) any {
	queries, _ := r.Properties["Metrics"].([]any)
	for _, q := range queries {
		if property(q, "MetricStat") != nil {
			return q
		}
	}
	return nil
}

// watched returns the problems of the alarms that must watch a metric on each
// of some resources: whether they are there, go off from the threshold of a
// parameter on (the first one, where that is ""), and stay silent without data.
// Without a resource the dimension is all there is.
func watched(s *template.Stack, metricName, parameter, dimension, statistic string, on ...string) (p problems) {
	var found []string
	threshold := any(1)
	if parameter != "" {
		threshold = s.Parameters[parameter]
	}
	for _, a := range alarms(s) {
		if a.metric != metricName {
			continue
		}
		found = append(found, a.on)
		p.want(a.id+"'s threshold", a.r.Properties["Threshold"], threshold)
		p.want(a.id+"'s comparison", a.r.Properties["ComparisonOperator"], "GreaterThanOrEqualToThreshold")
		p.want(a.id+"'s statistic", a.r.Properties["Statistic"], statistic)
		p.want(a.id+" without data", a.r.Properties["TreatMissingData"], "notBreaching")
		p.want(a.id+"'s period", a.r.Properties["Period"], 300)
		p.want(a.id+"'s periods", a.r.Properties["EvaluationPeriods"], 1)
	}
	for i := range on {
		on[i] = strings.TrimSpace(dimension + " " + on[i])
	}
	slices.Sort(found)
	slices.Sort(on)
	p.want("what "+metricName+" is watched on", found, on)
	return p
}

func alarmPromises() []promise {
	functions := []string{"FanoutFunction", "WorkerFunction", "PhotoFunction", "PreviewFunction", "RedriveFunction"}
	return []promise{
		{"every queue of dead letters has an alarm on its depth", func(s subject) problems {
			return watched(s.plain, "AWS/SQS/ApproximateNumberOfMessagesVisible", "DeadLetterAlarm", "QueueName", "Maximum",
				"TasksDeadLetters", "PhotosDeadLetters", "ScheduleDeadLetters")
		}},
		{"an alarm goes off when the oldest task is too old", func(s subject) problems {
			return watched(s.plain, "AWS/SQS/ApproximateAgeOfOldestMessage", "OldestTaskAlarm", "QueueName", "Maximum", "TasksQueue", "PhotosQueue")
		}},
		{"every function has an alarm on its errors", func(s subject) problems {
			return watched(s.plain, "AWS/Lambda/Errors", "ErrorAlarm", "FunctionName", "Sum", slices.Clone(functions)...)
		}},
		{"every function has an alarm on refused starts", func(s subject) problems {
			return watched(s.plain, "AWS/Lambda/Throttles", "ThrottleAlarm", "FunctionName", "Sum", slices.Clone(functions)...)
		}},
		{"an alarm goes off when Lambda drops a task for a loop", func(s subject) problems {
			return watched(s.plain, "AWS/Lambda/RecursiveInvocationsDropped", "", "FunctionName", "Sum", "PhotoFunction", "WorkerFunction")
		}},
		{"an alarm goes off when an event that fan-out failed on is not kept", func(s subject) problems {
			return watched(s.plain, "AWS/Lambda/DestinationDeliveryFailures", "", "FunctionName", "Sum", "FanoutFunction")
		}},
		{"an alarm goes off when a run has failed, also where nobody schedules any", func(s subject) problems {
			of := func(st *template.Stack) problems {
				return watched(st, metric.Namespace+"/"+metric.RunsFailed, "", metric.StackDimension, "Sum", "")
			}
			return append(of(s.live), of(s.manual)...)
		}},
		{"an alarm goes off after two periods without a complete run, but only while schedules run", missingRuns},
		{"the alarm for missing runs waits for as many of the schedule's periods as a parameter says, which CloudWatch can", periodsFollow},
		{"alarms tell the topic of their start and end, if there is one", func(s subject) (p problems) {
			for _, r := range s.live.OfType("AWS::CloudWatch::Alarm") {
				p.want(r.ID+"'s actions", fmt.Sprint(r.Properties["AlarmActions"], r.Properties["OKActions"]), fmt.Sprint([]string{topic}, []string{topic}))
				if text, _ := r.Properties["AlarmDescription"].(string); len(text) < 40 {
					p.add("%s does not say what to do: %q", r.ID, text)
				}
			}
			for _, r := range s.plain.OfType("AWS::CloudWatch::Alarm") {
				p.want(r.ID+"'s actions", fmt.Sprint(r.Properties["AlarmActions"], r.Properties["OKActions"]), "<nil> <nil>")
			}
			return p
		}},
		{"a dashboard shows all our numbers, of this stack, unless nobody wants it", dashboardShows},
	}
}

func missingRuns(s subject) (p problems) {
	for _, st := range []*template.Stack{s.plain, s.manual} {
		for _, a := range alarms(st) {
			if a.metric == metric.Namespace+"/"+metric.RunsCompleted {
				p.add("%s is there although no schedule runs", a.id)
			}
		}
	}
	n := 0
	for _, a := range alarms(s.live) {
		if a.metric != metric.Namespace+"/"+metric.RunsCompleted {
			continue
		}
		n++
		p.want("the dimension", a.on, metric.StackDimension)
		p.want("the comparison", a.r.Properties["ComparisonOperator"], "LessThanThreshold")
		p.want("the threshold", a.r.Properties["Threshold"], 1)
		p.want("the statistic", property(measured(a.r), "MetricStat", "Stat"), "Sum")
		p.want("missing data", a.r.Properties["TreatMissingData"], "breaching")
		p.want("the periods", a.r.Properties["EvaluationPeriods"], 2)
		// Gaps are zeros: else CloudWatch looks further back for data that is there.
		name := property(measured(a.r), "Id")
		queries, _ := a.r.Properties["Metrics"].([]any)
		told := map[any]any{}
		for _, q := range queries {
			told[property(q, "Expression")] = property(q, "ReturnData")
		}
		p.want("what is compared", told, map[any]any{nil: false, fmt.Sprintf("FILL(%v, 0)", name): true})
	}
	p.want("alarms for missing runs", n, 1)
	return p
}

var rate = regexp.MustCompile(`^rate\((\d+) (minute|hour)s?\)$`)

func periodsFollow(s subject) (p problems) {
	choices, _ := property(s.tt.Section("Parameters"), "RegularEvery", "AllowedValues").([]any)
	counts, _ := property(s.tt.Section("Parameters"), "NoRunPeriods", "AllowedValues").([]any)
	if len(choices) < 5 || len(counts) < 2 {
		return problems{fmt.Sprintf("there are %d spans and %d counts of them", len(choices), len(counts))}
	}
	most := 0
	for _, n := range counts {
		n, _ := n.(int)
		most = max(most, n)
	}
	for _, every := range choices {
		st, err := s.tt.Deploy(template.Deployment{Parameters: map[string]string{"ScheduleState": "ENABLED", "RegularEvery": fmt.Sprint(every), "NoRunPeriods": fmt.Sprint(most)}})
		if err != nil {
			p.add("every %v: %v", every, err)
			continue
		}
		m := rate.FindStringSubmatch(fmt.Sprint(properties(st, "RegularRun", "ScheduleExpression")))
		if m == nil {
			p.add("every %v is %v", every, properties(st, "RegularRun", "ScheduleExpression"))
			continue
		}
		n, _ := strconv.Atoi(m[1])
		seconds := n * map[string]int{"minute": 60, "hour": 3600}[m[2]]
		p.want(fmt.Sprintf("the period of %v", every), property(measured(st.Resources["NoRunAlarm"]), "MetricStat", "Period"), seconds)
		p.want("the periods", properties(st, "NoRunAlarm", "EvaluationPeriods"), most)
		// PutMetricAlarm: what it looks back on is a day at most, or a week if
		// periods have an hour or more.
		if limit := map[bool]int{true: 86400, false: 604800}[seconds < 3600]; most*seconds > limit {
			p.add("%d periods of %v are longer than CloudWatch looks back", most, every)
		}
	}
	return p
}

func dashboardShows(s subject) (p problems) {
	for _, r := range s.manual.OfType("AWS::CloudWatch::Dashboard") {
		p.add("%s is there although nobody wants it", r.ID)
	}
	want := slices.Sorted(slices.Values(append(metric.OfTypes(), metric.OfRuns()...)))
	for st, types := range map[*template.Stack]bool{s.plain: false, s.detailed: true} {
		ofStack, ofTypes, odd := shown(st)
		p = append(p, odd...)
		p.want("what is shown of the stack", slices.Sorted(maps.Keys(ofStack)), want)
		if types != (len(ofTypes) > 0) {
			p.add("with metrics of each type %v these are shown: %v", types, ofTypes)
		}
		for name := range ofTypes {
			if !slices.Contains(metric.OfTypes(), name) {
				p.add("nobody writes %s of a type", name)
			}
		}
	}
	return p
}

// shown reads which of our metrics the dashboard has, of the stack and of types.
func shown(s *template.Stack) (ofStack, ofTypes map[string]bool, p problems) {
	ofStack, ofTypes = map[string]bool{}, map[string]bool{}
	body := fmt.Sprint(properties(s, "StackDashboard", "DashboardBody"))
	var board struct {
		Widgets []struct {
			Properties struct {
				Region  string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &board); err != nil {
		return ofStack, ofTypes, problems{"its text is no JSON: " + err.Error()}
	}
	search := regexp.MustCompile(`\{` + metric.Namespace + `,` + metric.StackDimension + `,` + metric.TypeDimension + `\} ` + metric.StackDimension + `="` + s.Name + `" MetricName="(\w+)"`)
	for _, w := range board.Widgets {
		p.want("a widget's region", w.Properties.Region, s.Region)
		for _, m := range w.Properties.Metrics {
			text := fmt.Sprint(m...)
			if found := search.FindStringSubmatch(text); found != nil {
				ofTypes[found[1]] = true
			} else if len(m) == 4 && m[0] == metric.Namespace && m[2] == metric.StackDimension && m[3] == s.Name {
				ofStack[fmt.Sprint(m[1])] = true
			} else if strings.Contains(text, metric.Namespace) {
				p.add("a metric that nobody writes: %s", text)
			}
			for _, name := range m {
				if id, ours := strings.CutPrefix(fmt.Sprint(name), s.Name+"-"); ours && s.Resources[strings.TrimSuffix(id, "-INVENTED")].ID == "" {
					p.add("there is no %v", name)
				}
			}
		}
	}
	return ofStack, ofTypes, p
}

func parameterPromises() []promise {
	return []promise{
		{"every parameter can stay as it is, says what it is for, and refuses with a reason", func(s subject) (p problems) {
			grouped := fmt.Sprint(property(s.tt.Root, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups"))
			for name, body := range s.tt.Section("Parameters") {
				for _, key := range []string{"Description", "ConstraintDescription"} {
					if text, _ := property(body, key).(string); len(text) < 15 {
						p.add("%s has no %s", name, key)
					}
				}
				if property(body, "Default") == nil {
					p.add("%s has no default", name)
				}
				if property(body, "AllowedValues") == nil && property(body, "AllowedPattern") == nil && property(body, "MinValue") == nil {
					p.add("%s takes anything", name)
				}
				if !regexp.MustCompile(`[\[ ]` + name + `[\] ]`).MatchString(grouped) {
					p.add("%s is in no group", name)
				}
			}
			return p
		}},
		{"values that would break a deployed stack are refused", wrongValues},
	}
}

func wrongValues(s subject) (p problems) {
	for parameter, values := range map[string]struct{ right, wrong []string }{
		"ScheduleState":       {[]string{"NONE"}, []string{"", "enabled"}},
		"RegularEvery":        {[]string{"5min", "24h"}, []string{"", "7min"}},
		"RegularSchedule":     {[]string{"", "rate(2 hours)", "cron(0/15 8-18 ? * MON-FRI *)"}, []string{"every hour", "rate()", "0 3 * * *"}},
		"FullSchedule":        {[]string{"cron(0 3 ? * SUN *)", "cron(0 3 ? * 6#3 *)"}, []string{"", "weekly"}},
		"ScheduleTimezone":    {[]string{"Europe/Zurich", "America/Argentina/Buenos_Aires", "Etc/GMT+1"}, []string{"", "+01:00"}},
		"WorkerConcurrency":   {[]string{"2", "100"}, []string{"1", "101", "many"}},
		"PhotoConcurrency":    {[]string{"2"}, []string{"1", "1001"}},
		"WorkerMemory":        {[]string{"256", "3008"}, []string{"128", "10240"}},
		"PhotoMemory":         {[]string{"512"}, []string{"64"}},
		"RawRetentionDays":    {[]string{"1"}, []string{"0"}},
		"ReportRetentionDays": {[]string{"14"}, []string{"13"}},
		"LogRetentionDays":    {[]string{"365"}, []string{"31"}},
		"LogLevel":            {[]string{"DEBUG"}, []string{"TRACE"}},
		"BucketVersioning":    {[]string{"Enabled"}, []string{"true"}},
		"KmsKeyArn":           {[]string{"", ownKey}, []string{"alias/mine", "arn:aws:kms:eu-central-1:123456789012:alias/mine"}},
		"AlarmTopicArn":       {[]string{"", topic}, []string{"alarms", "arn:aws:sqs:eu-central-1:123456789012:alarms"}},
		"DeadLetterAlarm":     {[]string{"1"}, []string{"0"}},
		"OldestTaskAlarm":     {[]string{"600"}, []string{"60", "345601"}},
		"ErrorAlarm":          {[]string{"10"}, []string{"0"}},
		"ThrottleAlarm":       {[]string{"10"}, []string{"0"}},
		"Dashboard":           {[]string{"false"}, []string{"no"}},
		"NoRunPeriods":        {[]string{"2", "7"}, []string{"1", "8", "2.5"}},
		"OldKmsKeyArns":       {[]string{"", oldKey, oldKey + "," + olderKey}, []string{"alias/mine", oldKey + ",alias/mine"}},
		"MetricDetail":        {[]string{"type"}, []string{"", "none"}},
		"PriceFactor":         {[]string{"0.01", "0.95", "1.15", "10", "99.9", "100"}, []string{"", "0", "0.00", "0.001", "-1", "1,15", "1.", "101", "1e2", "x"}},
	} {
		for _, value := range values.right {
			if _, err := s.tt.Deploy(template.Deployment{Parameters: map[string]string{parameter: value}}); err != nil {
				p.add("%s=%q: %v", parameter, value, err)
			}
		}
		for _, value := range values.wrong {
			if _, err := s.tt.Deploy(template.Deployment{Parameters: map[string]string{parameter: value}}); err == nil {
				p.add("%s=%q is accepted", parameter, value)
			}
		}
	}
	return p
}

func TestTheTemplateKeepsItsPromises(t *testing.T) {
	t.Parallel()
	keepsPromises(t, "../template.yaml")
}

func TestAWSTheTransformedTemplateKeepsItsPromises(t *testing.T) {
	t.Parallel()
	keepsPromises(t, transformed(t))
}

func keepsPromises(t *testing.T, path string) {
	t.Helper()
	s := subjectOf(parsed(t, path))
	if len(s.refused) > 0 {
		t.Fatal(s.refused)
	}
	for _, promise := range promises() {
		t.Run(promise.says, func(t *testing.T) {
			t.Parallel()
			for _, problem := range promise.check(s) {
				t.Error(problem)
			}
		})
	}
}
