package shared_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stovasync/shared/template"
)

// mistake is one that a person could make in the template, and the promise
// that it breaks.
type mistake struct {
	says string
	// at is a path of keys in the template; in a list an index, or KEY=VALUE of
	// the entry that is meant. Where the two forms of the template differ, there
	// is a path for each, with a bar between them.
	at     string
	edit   edit
	breaks string
}

// edit changes a value and reports whether it stays.
type edit func(old any) (changed any, stays bool)

func to(v any) edit { return func(any) (any, bool) { return v, true } }

func gone(any) (any, bool) { return nil, false }

func replaced(old, with string) edit {
	return func(v any) (any, bool) {
		text, _ := v.(string)
		return strings.Replace(text, old, with, 1), true
	}
}

func plus(more any) edit {
	return func(v any) (any, bool) {
		list, is := v.([]any)
		if !is {
			list = []any{v}
		}
		return append(slices.Clone(list), more), true
	}
}

func less(one any) edit {
	return func(v any) (any, bool) {
		list, _ := v.([]any)
		return slices.DeleteFunc(slices.Clone(list), func(each any) bool { return fmt.Sprint(each) == fmt.Sprint(one) }), true
	}
}

func att(id string) any { return map[string]any{"Fn::GetAtt": []any{id, "Arn"}} }

func ref(id string) any { return map[string]any{"Ref": id} }

func statement(role, sid, key string) string {
	return "Resources/" + role + "/Properties/Policies/0/PolicyDocument/Statement/Sid=" + sid + "/" + key
}

func mistakes() []mistake {
	return slices.Concat(scheduleMistakes(), queueMistakes(), functionMistakes(), storeMistakes(), roleMistakes(), alarmMistakes(), parameterMistakes(), exactMistakes(), placeMistakes())
}

func scheduleMistakes() []mistake {
	const (
		input  = "an event's scheduled time comes with it, for the run's id"
		sure   = "schedules are delivered within a window of minutes, tried again, and kept when that fails"
		manual = "teams that start runs themselves have no schedule, nobody who may start runs, and no alarm that none did"
		target = "Resources/FullRun/Properties/Target/"
	)
	return []mistake{
		{"a schedule that is always on", "Resources/RegularRun/Properties/State", to("ENABLED"), "schedules ship switched off, and one parameter switches both on"},
		{"the scheduled time swapped for the execution's id", target + "Input", replaced("scheduled-time", "execution-id"), input},
		{"two schedules of one mode", target + "Input", replaced(`"full"`, `"incremental"`), "a regular schedule syncs what changed, a weekly one reads everything"},
		{"a schedule without dead letters", target + "DeadLetterConfig", gone, sure},
		{"a schedule that is not tried again", target + "RetryPolicy/MaximumRetryAttempts", to(0), sure},
		{"a flexible window without its length", "Resources/RegularRun/Properties/FlexibleTimeWindow/MaximumWindowInMinutes", gone, sure},
		{"no destination for events that fan-out failed on", "Resources/FanoutFunction/Properties/EventInvokeConfig/DestinationConfig|Resources/FanoutFunctionEventInvokeConfig/Properties/DestinationConfig", gone, "events that fan-out failed on are tried again and kept"},
		{"a redrive that Lambda repeats", "Resources/RedriveFunction/Properties/EventInvokeConfig/MaximumRetryAttempts|Resources/RedriveFunctionEventInvokeConfig/Properties/MaximumRetryAttempts", to(2), "Lambda does not repeat what people start"},
		{"a preview that Lambda repeats", "Resources/PreviewFunction/Properties/EventInvokeConfig/MaximumRetryAttempts|Resources/PreviewFunctionEventInvokeConfig/Properties/MaximumRetryAttempts", gone, "Lambda does not repeat what people start"},
		{"a schedule for teams that want none", "Resources/FullRun/Condition", gone, "every choice of parameters gives a stack"},
		{"a scheduler's role for teams without schedules", "Resources/SchedulerRole/Condition", gone, manual},
		{"an alarm for missing runs where nobody schedules them", "Resources/NoRunAlarm/Condition", gone, manual},
	}
}

func queueMistakes() []mistake {
	const (
		time   = "functions have five minutes, and a task is hidden for six times as long"
		feeds  = "each queue of tasks feeds its function, a task at a time, and each failure counts for itself"
		five   = "a task that was delivered five times is a dead letter of its queue"
		bounds = "mappings are bounded by parameters, and no function keeps concurrency for itself"
	)
	return []mistake{
		{"a visibility like the time limit", "Resources/TasksQueue/Properties/VisibilityTimeout", to(300), time},
		{"a longer time limit of one function", "Resources/WorkerFunction/Properties/Timeout", to(900), time},
		{"many deliveries", "Mappings/Queue/Tasks/MaxReceives", to(50), five},
		{"the other queue's dead letters", "Resources/PhotosQueue/Properties/RedrivePolicy/deadLetterTargetArn", to(att("TasksDeadLetters")), five},
		{"dead letters that are kept as long as tasks", "Resources/TasksDeadLetters/Properties/MessageRetentionPeriod", gone, "dead letters are kept for 14 days, tasks for less"},
		{"failures that count for the whole batch", "Resources/PhotoTasks/Properties/FunctionResponseTypes", gone, feeds},
		{"batches of ten", "Resources/WorkerTasks/Properties/BatchSize", to(10), feeds},
		{"photos that come from the tasks queue", "Resources/PhotoTasks/Properties/EventSourceArn", to(att("TasksQueue")), feeds},
		{"a concurrency that no parameter changes", "Resources/WorkerTasks/Properties/ScalingConfig/MaximumConcurrency", to(5), bounds},
		{"concurrency of its own for redrive", "Resources/RedriveFunction/Properties/ReservedConcurrentExecutions", to(1), bounds},
		{"loop detection that drops tasks", "Resources/WorkerFunction/Properties/RecursiveLoop", gone, "the worker and the photo worker may be started by what they send, the others need not"},
	}
}

func functionMistakes() []mistake {
	const (
		build = "functions are bootstraps for arm64 on provided.al2023, built by make"
		names = "functions are told the names of their own stack, what parameters say, and nothing else"
		logs  = "each function logs in JSON, at a level and for as long as parameters say, into a group of its own, and no level drops metrics"
	)
	variable := func(name string) string {
		return "Globals/Function/Environment/Variables/" + name + "|Resources/WorkerFunction/Properties/Environment/Variables/" + name
	}
	return []mistake{
		{"the runtime that is no more", "Globals/Function/Runtime|Resources/WorkerFunction/Properties/Runtime", to("provided.al2"), build},
		{"another processor", "Globals/Function/Architectures|Resources/PhotoFunction/Properties/Architectures", to([]any{"x86_64"}), build},
		{"a build that takes no flags", "Resources/FanoutFunction/Metadata/BuildMethod", to("go1.x"), build},
		{"the wrong queue's address", variable("PHOTOS_QUEUE_URL"), to(ref("TasksQueue")), names},
		{"the name of one deployment", variable("STACK"), to("stovasync-test"), names},
		{"a variable that is missing", variable("BUCKET"), gone, names},
		{"a key in the environment", variable("SECRET_PREFIX"), to("{{resolve:ssm-secure:/stovasync/key}}"), names},
		{"a key in a variable that nobody reads", variable("STOVA_KEY"), to("0123456789abcdef"), names},
		{"a level that drops metrics", "Globals/Function/LoggingConfig/ApplicationLogLevel|Resources/WorkerFunction/Properties/LoggingConfig/ApplicationLogLevel", to(ref("LogLevel")), logs},
		{"a level that no parameter changes", variable("LOG_LEVEL"), to("INFO"), logs},
		{"every line that Lambda has to say", "Globals/Function/LoggingConfig/SystemLogLevel|Resources/PhotoFunction/Properties/LoggingConfig/SystemLogLevel", to("DEBUG"), logs},
		{"one log group for two", "Resources/PhotoFunction/Properties/LoggingConfig/LogGroup", to(ref("WorkerLogs")), logs},
		{"logs that are kept for ever", "Resources/RedriveLogs/Properties/RetentionInDays", gone, logs},
		{"logs as text", "Resources/WorkerFunction/Properties/LoggingConfig/LogFormat", to("Text"), logs},
		{"a memory that no parameter changes", "Resources/WorkerFunction/Properties/MemorySize", to(512), "the memory of worker and photo worker is a parameter"},
	}
}

func storeMistakes() []mistake {
	const (
		tables  = "tables are paid by use, can be restored, and outlive the stack"
		private = "the bucket is closed to the public"
		expire  = "raw pages and reports expire when parameters say, and nothing else does"
		plain   = "queues, tables and bucket are encrypted with keys that AWS manages"
		key     = "with a key of one's own, queues, tables, bucket and logs are encrypted with it"
		tls     = "the bucket speaks TLS only"
		bucket  = "Resources/Bucket/Properties/"
		policy  = "Resources/BucketPolicy/Properties/PolicyDocument/Statement/0/"
	)
	return []mistake{
		{"a table that goes with the stack", "Resources/LedgerTable/DeletionPolicy", gone, tables},
		{"a table that stays of a stack that was never made", "Resources/LedgerTable/DeletionPolicy", to("Retain"), tables},
		{"a table that goes when it is replaced", "Resources/RecordsTable/UpdateReplacePolicy", to("Delete"), tables},
		{"no recovery of a table", "Resources/RecordsTable/Properties/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled", to(false), tables},
		{"a table with a fixed throughput", "Resources/LedgerTable/Properties/BillingMode", to("PROVISIONED"), tables},
		{"another attribute that expires", "Resources/RecordsTable/Properties/TimeToLiveSpecification/AttributeName", to("ttl"), "tables forget what has expired"},
		{"a stream of keys", "Resources/RecordsTable/Properties/StreamSpecification/StreamViewType", to("KEYS_ONLY"), "a stream tells of each record what it was and is"},
		{"public policies", bucket + "PublicAccessBlockConfiguration/BlockPublicPolicy", to(false), private},
		{"owners of single objects", bucket + "OwnershipControls/Rules/0/ObjectOwnership", to("ObjectWriter"), private},
		{"TLS for objects only", policy + "Resource", less(att("Bucket")), tls},
		{"a statement that lets somebody in", "Resources/BucketPolicy/Properties/PolicyDocument/Statement", plus(map[string]any{"Sid": "Read", "Effect": "Allow", "Principal": "*",
			"Action": "s3:GetObjectVersion", "Resource": map[string]any{"Fn::Sub": "${Bucket.Arn}/*"}}), tls},
		{"no statement but another bucket's", policy + "Effect", to("Allow"), tls},
		{"TLS refused", policy + "Condition/Bool/aws:SecureTransport", to(true), tls},
		{"a bucket whose policy goes with the stack", "Resources/BucketPolicy/DeletionPolicy", gone, "the bucket and its policy outlive the stack"},
		{"everything expires with the raw pages", bucket + "LifecycleConfiguration/Rules/Id=raw-pages/Prefix", gone, expire},
		{"raw pages that stay as old versions", bucket + "LifecycleConfiguration/Rules/Id=raw-pages/NoncurrentVersionExpiration", gone, expire},
		{"reports that stay as old versions for a month", bucket + "LifecycleConfiguration/Rules/Id=reports/NoncurrentVersionExpiration/NoncurrentDays", to(30), expire},
		{"plans expire with the reports", bucket + "LifecycleConfiguration/Rules/Id=reports/Prefix", to("plans/"), expire},
		{"plans expire by a rule of their own", bucket + "LifecycleConfiguration/Rules", plus(map[string]any{"Id": "plans", "Status": "Enabled", "Prefix": "plans/", "ExpirationInDays": 30}), expire},
		{"unfinished uploads that stay", bucket + "LifecycleConfiguration/Rules/Id=unfinished-uploads/Status", to("Disabled"), "unfinished uploads and old versions go by themselves"},
		{"versions that nobody can switch on", bucket + "VersioningConfiguration/Status", to("Suspended"), "the bucket keeps versions when a parameter says so"},
		{"a queue in the clear", "Resources/ScheduleDeadLetters/Properties/SqsManagedSseEnabled", gone, plain},
		{"a table without one's own key", "Resources/RecordsTable/Properties/SSESpecification", gone, key},
		{"logs without one's own key", "Resources/PhotoLogs/Properties/KmsKeyId", gone, key},
		{"a call to KMS for each object", bucket + "BucketEncryption/ServerSideEncryptionConfiguration/0/BucketKeyEnabled", gone, key},
	}
}

func roleMistakes() []mistake {
	const (
		exact  = "functions may do what their code does, and nothing else"
		narrow = "no policy is wide, borrowed, or about what nobody here does"
		trust  = "each role is for one function, or for the schedules of this account"
		starts = "schedules may start the fan-out and keep what they cannot deliver, and nothing else"
	)
	policies := func(role string) string {
		return "Resources/" + role + "/Properties/Policies/0/PolicyDocument/Statement"
	}
	return []mistake{
		{"a right that transactions need left out", statement("WorkerRole", "Ledger", "Action"), less("dynamodb:ConditionCheckItem"), exact},
		{"a right that nothing uses", statement("RedriveRole", "Ledger", "Action"), plus("dynamodb:PutItem"), exact},
		{"records that a preview could write", statement("PreviewRole", "Records", "Action"), to([]any{"dynamodb:BatchGetItem", "dynamodb:UpdateItem"}), exact},
		{"pictures and pages for a preview", policies("PreviewRole"), plus(map[string]any{"Sid": "Objects", "Effect": "Allow", "Action": "s3:GetObject", "Resource": map[string]any{"Fn::Sub": "${Bucket.Arn}/raw/*"}}), exact},
		{"a preview without the vendor's key", statement("PreviewRole", "ReadKeys", "Resource"), to(att("LedgerTable")), exact},
		{"a photo worker that cannot tell who was erased", statement("PhotoRole", "ReadErasures", "Resource"), to(att("Bucket")), exact},
		{"a preview that starts runs", statement("PreviewRole", "Ledger", "Action"), plus("dynamodb:PutItem"), exact},
		{"a right on the other table", statement("FanoutRole", "Ledger", "Resource"), plus(att("RecordsTable")), exact},
		{"no right to keep events that fan-out failed on", statement("FanoutRole", "SendTasks", "Resource"), less(att("ScheduleDeadLetters")), exact},
		{"keys for the photo worker", policies("PhotoRole"), plus(map[string]any{"Sid": "ReadKeys", "Effect": "Allow", "Action": "ssm:GetParameter",
			"Resource": map[string]any{"Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/stovasync/${AWS::StackName}/*"}}), exact},
		{"keys of every stack", statement("WorkerRole", "ReadKeys", "Resource"), to(map[string]any{"Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/stovasync/*"}), exact},
		{"the poller without its rights", statement("PhotoRole", "ReceiveTasks", "Action"), less("sqs:GetQueueAttributes"), exact},
		{"logs of another function", statement("WorkerRole", "Log", "Resource"), to(att("PhotoLogs")), exact},
		{"every resource", statement("PhotoRole", "Records", "Resource"), to("*"), narrow},
		{"every action", statement("RedriveRole", "SendTasks", "Action"), to("sqs:*"), narrow},
		{"purging of queues", statement("RedriveRole", "VisitDeadLetters", "Action"), plus("sqs:PurgeQueue"), narrow},
		{"rights of single objects", statement("PhotoRole", "Pictures", "Action"), plus("s3:PutObjectAcl"), narrow},
		{"a managed policy", "Resources/WorkerRole/Properties/ManagedPolicyArns", to([]any{"arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"}), narrow},
		{"everything but", statement("FanoutRole", "ListObjects", "NotAction"), to("s3:DeleteBucket"), narrow},
		{"a preview with the worker's rights", "Resources/PreviewFunction/Properties/Role", to(att("WorkerRole")), trust},
		{"two functions in one role", "Resources/WorkerFunction/Properties/Role", to(att("FanoutRole")), trust},
		{"schedules of other accounts", "Resources/SchedulerRole/Properties/AssumeRolePolicyDocument/Statement/0/Condition", gone, trust},
		{"schedules that start any function", statement("SchedulerRole", "StartRuns", "Resource"), plus(att("RedriveFunction")), starts},
		{"schedules that cannot keep what they cannot deliver", statement("SchedulerRole", "KeepUndelivered", "Resource"), to(att("TasksDeadLetters")), starts},
	}
}

func alarmMistakes() []mistake {
	const (
		depth    = "every queue of dead letters has an alarm on its depth"
		missing  = "an alarm goes off after two periods without a complete run, but only while schedules run"
		periods  = "the alarm for missing runs waits for as many of the schedule's periods as a parameter says, which CloudWatch can"
		query    = "Resources/NoRunAlarm/Properties/Metrics/Id=m1/MetricStat/"
		loop     = "an alarm goes off when Lambda drops a task for a loop"
		failed   = "an alarm goes off when a run has failed, also where nobody schedules any"
		kept     = "an alarm goes off when an event that fan-out failed on is not kept"
		shows    = "a dashboard shows all our numbers, of this stack, unless nobody wants it"
		noRun    = "Resources/NoRunAlarm/Properties/"
		body     = "Resources/StackDashboard/Properties/DashboardBody/Fn::Sub/0"
		byType   = "Resources/StackDashboard/Properties/DashboardBody/Fn::Sub/1/TypeWidgets"
		tellsAll = "alarms tell the topic of their start and end, if there is one"
	)
	return []mistake{
		{"no alarm on the schedules' dead letters", "Resources/ScheduleDeadLettersAlarm", gone, depth},
		{"two alarms on one queue", "Resources/PhotosDeadLettersAlarm/Properties/Dimensions/0/Value", to(map[string]any{"Fn::GetAtt": []any{"TasksDeadLetters", "QueueName"}}), depth},
		{"an alarm that waits for more than it is told", "Resources/TasksDeadLettersAlarm/Properties/ComparisonOperator", to("GreaterThanThreshold"), depth},
		{"the age of the average task", "Resources/TasksAgeAlarm/Properties/Statistic", to("Average"), "an alarm goes off when the oldest task is too old"},
		{"an alarm on a function that rests", "Resources/FanoutErrorsAlarm/Properties/TreatMissingData", to("breaching"), "every function has an alarm on its errors"},
		{"a threshold that no parameter changes", "Resources/PhotoErrorsAlarm/Properties/Threshold", to(10), "every function has an alarm on its errors"},
		{"a preview whose errors nobody sees", "Resources/PreviewErrorsAlarm", gone, "every function has an alarm on its errors"},
		{"a function whose refused starts nobody sees", "Resources/RedriveThrottlesAlarm", gone, "every function has an alarm on refused starts"},
		{"a hundred dropped tasks", "Resources/WorkerRecursionAlarm/Properties/Threshold", to(100), loop},
		{"an alarm while nothing is dropped", "Resources/PhotoRecursionAlarm/Properties/ComparisonOperator", to("LessThanThreshold"), loop},
		{"no alarm on events that are lost", "Resources/FanoutUndeliveredAlarm", gone, kept},
		{"lost events of another function", "Resources/FanoutUndeliveredAlarm/Properties/Dimensions/0/Value", to(ref("RedriveFunction")), kept},
		{"failed runs that only show with schedules", "Resources/RunsFailedAlarm/Condition", to("SchedulesRun"), failed},
		{"failed runs by a name that nobody writes", "Resources/RunsFailedAlarm/Properties/MetricName", to("RunFailed"), failed},
		{"no data is no alarm", noRun + "TreatMissingData", to("notBreaching"), missing},
		{"a metric that nobody writes", query + "Metric/MetricName", to("RunsComplete"), missing},
		{"a dimension that nobody writes", query + "Metric/Dimensions/0/Name", to("Stack"), missing},
		{"one period", noRun + "EvaluationPeriods", to(1), missing},
		{"an alarm although schedules are off", "Resources/NoRunAlarm/Condition", to("HasSchedules"), missing},
		{"a period that no parameter changes", query + "Period", to(1800), periods},
		{"gaps that are no zeros", noRun + "Metrics/Id=ended/Expression", to("m1"), missing},
		{"gaps that are runs", noRun + "Metrics/Id=ended/Expression", to("FILL(m1, 1)"), missing},
		{"periods that no parameter changes", noRun + "EvaluationPeriods", to(2), periods},
		{"more periods than CloudWatch looks back", "Parameters/NoRunPeriods/AllowedValues", plus(8), periods},
		{"minutes for seconds", "Mappings/Every/2h/Seconds", to(120), periods},
		{"an alarm whose end nobody hears of", "Resources/TasksAgeAlarm/Properties/OKActions", gone, tellsAll},
		{"a misspelt number", body, replaced(`"RowsRejected"`, `"RowsReject"`), shows},
		{"a picture of types that nobody pays for", byType, to(map[string]any{"Fn::Sub": `, {"properties": {"region": "${AWS::Region}", "metrics": [[{"expression": "SEARCH('{Stovasync,stack,type} stack=\"${AWS::StackName}\" MetricName=\"CostUSD\"', 'Sum', 300)"}]]}}`}), shows},
		{"no picture of types for those who pay", byType, to(""), shows},
		{"a comma too many", body, replaced("]}},\n", "]},},\n"), shows},
		{"numbers of all stacks", byType + "/Fn::If/1/Fn::Sub", replaced(`stack=\"${AWS::StackName}\" `, ""), shows},
		{"numbers of another stack", body, replaced(`"CostUSD", "stack", "${AWS::StackName}"`, `"CostUSD", "stack", "stovasync"`), shows},
		{"a dashboard for those who want none", "Resources/StackDashboard/Condition", gone, shows},
	}
}

func parameterMistakes() []mistake {
	const (
		says   = "every parameter can stay as it is, says what it is for, and refuses with a reason"
		refuse = "values that would break a deployed stack are refused"
		tell   = "outputs name everything an operator needs, and lock nothing"
		choice = "every choice of parameters gives a stack"
	)
	return []mistake{
		{"a parameter without a word", "Parameters/ThrottleAlarm/Description", gone, says},
		{"a parameter that must be given", "Parameters/FullSchedule/Default", gone, choice},
		{"a parameter that takes anything", "Parameters/ErrorAlarm/MinValue", gone, says},
		{"a concurrency that Lambda refuses", "Parameters/PhotoConcurrency/MinValue", to(1), refuse},
		{"an alias for a key", "Parameters/KmsKeyArn/AllowedPattern", replaced("key/", "(?:key|alias)/"), refuse},
		{"any text for a schedule", "Parameters/RegularSchedule/AllowedPattern", to(".*"), refuse},
		{"an output that the command line reads", "Outputs/PhotosDlqUrl", gone, tell},
		{"no output of the preview", "Outputs/PreviewFunction", gone, tell},
		{"an output that names another resource", "Outputs/PhotosQueueUrl/Value", to(ref("TasksQueue")), tell},
		{"an output that locks updates", "Outputs/RecordsStreamArn/Export", to(map[string]any{"Name": "records"}), tell},
		{"an output of what may not be there", "Outputs/DashboardName/Condition", gone, choice},
		{"a table that a second stack cannot have", "Resources/LedgerTable/Properties/TableName", to("stovasync-ledger"), "no resource has a name that a second stack would collide with"},
		{"a misspelt reference", "Resources/WorkerLogs/Properties/RetentionInDays", to(ref("LogRetentionDay")), choice},
	}
}

// exactMistakes are small ones: nothing that a check of a single value looks at.
func exactMistakes() []mistake {
	const (
		exact   = "resources have the properties that somebody has thought about, and no others"
		effects = "every parameter changes what it is for, and nothing else"
		waits   = "nothing waits for what waits for it"
		sure    = "schedules are delivered within a window of minutes, tried again, and kept when that fails"
		kept    = "events that fan-out failed on are tried again and kept"
		old     = "after a change of the key, roles may still decrypt with those before, and nothing else"
		tasks   = "Resources/WorkerTasks/Properties/"
	)
	decryptOld := func(role string, i int) string {
		return fmt.Sprintf("Resources/%s/Properties/Policies/0/PolicyDocument/Statement/%d/Fn::If", role, i)
	}
	return []mistake{
		{"a full schedule that no parameter changes", "Resources/FullRun/Properties/ScheduleExpression", to("cron(0 3 ? * SUN *)"), effects},
		{"one of two time zones that no parameter changes", "Resources/FullRun/Properties/ScheduleExpressionTimezone", to("UTC"), effects},
		{"a regular schedule of one's own that is not asked", "Resources/RegularRun/Properties/ScheduleExpression/Fn::If/1", to("rate(30 minutes)"), effects},
		{"one log group's retention that no parameter changes", "Resources/PhotoLogs/Properties/RetentionInDays", to(30), effects},
		{"one threshold with another parameter's value", "Resources/PhotosAgeAlarm/Properties/Threshold", to(ref("ErrorAlarm")), effects},
		{"a factor that does not come to a function", "Globals/Function/Environment/Variables/PRICE_FACTOR|Resources/WorkerFunction/Properties/Environment/Variables/PRICE_FACTOR", to("1"), effects},
		{"a parameter that nobody has a use for", "Parameters/Other", to(map[string]any{"Type": "String", "Default": "", "AllowedValues": []any{""}}), effects},

		{"an alarm that does nothing", "Resources/WorkerErrorsAlarm/Properties/ActionsEnabled", to(false), exact},
		{"a unit that nobody sends", "Resources/RunsFailedAlarm/Properties/Unit", to("Percent"), exact},
		{"one of two points", "Resources/NoRunAlarm/Properties/DatapointsToAlarm", to(1), exact},
		{"a queue that feeds nobody", tasks + "Enabled", to(false), exact},
		{"a queue that feeds nobody, as a text", tasks + "Enabled", to("false"), exact},
		{"a queue of which only some tasks are fed", tasks + "FilterCriteria", to(map[string]any{"Filters": []any{map[string]any{"Pattern": `{"body":{"kind":["page"]}}`}}}), exact},
		{"a wait for a batch", tasks + "MaximumBatchingWindowInSeconds", to(60), exact},
		{"a queue whose tasks wait", "Resources/TasksQueue/Properties/DelaySeconds", to(900), exact},
		{"a queue in order", "Resources/PhotosQueue/Properties/FifoQueue", to(true), exact},
		{"a schedule that ends", "Resources/RegularRun/Properties/EndDate", to("2031-03-04T09:00:00Z"), exact},
		{"a function in a network of its own", "Resources/WorkerFunction/Properties/VpcConfig", to(map[string]any{"SubnetIds": []any{"subnet-1"}, "SecurityGroupIds": []any{"sg-1"}}), exact},
		{"a second way to dead letters", "Resources/FanoutFunction/Properties/DeadLetterConfig", to(map[string]any{"TargetArn": att("TasksDeadLetters")}), exact},
		{"a bucket that tells nobody here", "Resources/Bucket/Properties/WebsiteConfiguration", to(map[string]any{"IndexDocument": "index.html"}), exact},
		{"a resource that nobody has thought about", "Resources/Topic", to(map[string]any{"Type": "AWS::SNS::Topic", "Properties": map[string]any{"DisplayName": "x"}}), exact},

		{"a queue that waits for its mapping", "Resources/TasksQueue/DependsOn", to("WorkerTasks"), waits},
		{"a role that waits for its function", "Resources/PhotoRole/DependsOn", to([]any{"PhotoFunction"}), waits},
		{"letters that wait for their queue", "Resources/TasksDeadLetters/Properties/RedriveAllowPolicy", to(map[string]any{"sourceQueueArns": []any{att("TasksQueue")}}), waits},

		{"another's role for a schedule", "Resources/FullRun/Properties/Target/RoleArn", to(att("FanoutRole")), sure},
		{"a schedule that is tried for a minute", "Resources/RegularRun/Properties/Target/RetryPolicy/MaximumEventAgeInSeconds", to(60), sure},
		{"an event that fan-out gives up at once", "Resources/FanoutFunction/Properties/EventInvokeConfig/MaximumEventAgeInSeconds|Resources/FanoutFunctionEventInvokeConfig/Properties/MaximumEventAgeInSeconds", to(60), kept},
		{"a topic's type with a queue's address", "Resources/FanoutFunction/Properties/EventInvokeConfig/DestinationConfig/OnFailure|Resources/FanoutFunctionEventInvokeConfig/Properties/DestinationConfig/OnFailure",
			to(map[string]any{"Type": "SNS", "Destination": att("ScheduleDeadLetters")}), kept},
		{"an index of keys", "Resources/LedgerTable/Properties/GlobalSecondaryIndexes/0/Projection/ProjectionType", to("KEYS_ONLY"), "the ledger's index of failed pages has all of a page"},

		{"nothing to read old plans with", decryptOld("WorkerRole", 10) + "/1", to(ref("AWS::NoValue")), old},
		{"old keys to encrypt with", decryptOld("PhotoRole", 11) + "/1/Action", to([]any{"kms:Decrypt", "kms:GenerateDataKey"}), old},
		{"old keys for any service", decryptOld("FanoutRole", 6) + "/1/Condition", gone, old},
		{"old keys only while there is a new one", decryptOld("RedriveRole", 6) + "/0", to("OwnKey"), old},
	}
}

// placeMistakes are what holds in one place alone.
func placeMistakes() []mistake {
	const places = "the template knows no region, partition, account or stack of its own"
	return []mistake{
		{"one partition", statement("WorkerRole", "ReadKeys", "Resource"), replacedSub("${AWS::Partition}", "aws"), places},
		{"one region", statement("WorkerRole", "ReadKeys", "Resource"), replacedSub("${AWS::Region}", "eu-central-1"), places},
		{"one account", statement("WorkerRole", "ReadKeys", "Resource"), replacedSub("${AWS::AccountId}", "123456789012"), places},
		{"one region's widgets", "Resources/StackDashboard/Properties/DashboardBody/Fn::Sub/0", replaced("${AWS::Region}", "eu-central-1"), places},
		{"schedules of one account", "Resources/SchedulerRole/Properties/AssumeRolePolicyDocument/Statement/0/Condition/StringEquals/aws:SourceAccount", to("123456789012"), places},
		{"one stack's prefix of keys", "Globals/Function/Environment/Variables/SECRET_PREFIX|Resources/WorkerFunction/Properties/Environment/Variables/SECRET_PREFIX", to("/stovasync/summit/"), places},
	}
}

// replacedSub edits the text of a Fn::Sub.
func replacedSub(old, with string) edit {
	return func(v any) (any, bool) {
		text, _ := property(v, "Fn::Sub").(string)
		return map[string]any{"Fn::Sub": strings.Replace(text, old, with, 1)}, true
	}
}

// make changes a copy of the template; an error says that there is no such
// place, or that nothing would change.
func (m mistake) make(tt *template.Template) (*template.Template, error) {
	changed := tt.Clone()
	for path := range strings.SplitSeq(m.at, "|") {
		if err := change(changed.Root, strings.Split(path, "/"), m.edit); err == nil {
			if fmt.Sprint(changed.Root) == fmt.Sprint(tt.Root) {
				return nil, fmt.Errorf("%s: nothing changes", m.at)
			}
			return changed, nil
		}
	}
	return nil, fmt.Errorf("the template has no %s", m.at)
}

// change applies an edit at a path below a mapping or a list. Only the last key
// of the path may be missing: it may be a new one.
func change(tree any, path []string, e edit) error {
	switch tree := tree.(type) {
	case map[string]any:
		key := joined(tree, path)
		rest := path[strings.Count(key, "/")+1:]
		if len(rest) > 0 {
			return change(tree[key], rest, e)
		}
		if v, stays := e(tree[key]); stays {
			tree[key] = v
		} else {
			delete(tree, key)
		}
		return nil
	case []any:
		i, err := strconv.Atoi(path[0])
		if key, value, named := strings.Cut(path[0], "="); named {
			i = slices.IndexFunc(tree, func(each any) bool { return property(each, key) == value })
			err = nil
		}
		if err != nil || i < 0 || i >= len(tree) {
			return fmt.Errorf("no entry %s", path[0])
		}
		if len(path) == 1 {
			v, stays := e(tree[i])
			if !stays {
				return fmt.Errorf("entry %s of a list cannot go", path[0])
			}
			tree[i] = v
			return nil
		}
		return change(tree[i], path[1:], e)
	}
	return fmt.Errorf("no %s", path[0])
}

// joined is the key at the head of a path; keys may have slashes themselves.
func joined(tree map[string]any, path []string) string {
	for n := len(path); n > 1; n-- {
		if _, ok := tree[strings.Join(path[:n], "/")]; ok {
			return strings.Join(path[:n], "/")
		}
	}
	return path[0]
}

func TestEveryMistakeIsSeen(t *testing.T) {
	t.Parallel()
	seesMistakes(t, "../template.yaml")
}

func TestAWSEveryMistakeIsSeenInTheTransformedTemplate(t *testing.T) {
	t.Parallel()
	seesMistakes(t, transformed(t))
}

func seesMistakes(t *testing.T, path string) {
	t.Helper()
	tt := parsed(t, path)
	bitten := map[string]bool{}
	for _, m := range mistakes() {
		bitten[m.breaks] = true
		t.Run(m.says, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(promises(), func(p promise) bool { return p.says == m.breaks })
			if i < 0 {
				t.Fatalf("there is no promise %q", m.breaks)
			}
			changed, err := m.make(tt)
			if err != nil {
				t.Fatal(err)
			}
			s := subjectOf(changed)
			found := problems(s.refused)
			if len(found) == 0 || m.breaks != promises()[0].says {
				if len(s.refused) > 0 {
					t.Fatalf("it is refused before that: %s", s.refused)
				}
				found = promises()[i].check(s)
			}
			if len(found) == 0 {
				t.Errorf("nobody saw it break the promise that %s", m.breaks)
			}
		})
	}
	for _, p := range promises() {
		if !bitten[p.says] {
			t.Errorf("no mistake shows that somebody looks whether %s", p.says)
		}
	}
}

func TestNoMistakeIsMadeTwice(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range mistakes() {
		if seen[m.says] {
			t.Errorf("%s: twice", m.says)
		}
		seen[m.says] = true
	}
	if len(seen) < 25 {
		t.Errorf("there are only %d mistakes", len(seen))
	}
}
