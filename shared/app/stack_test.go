package app_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"stovasync/shared/app"
	"stovasync/shared/awscall"
	"stovasync/shared/awscall/awstest"
	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// cloud plays CloudFormation and Lambda to a Stack: what they answer is the
// test's to say, and what they were asked is kept.
type cloud struct {
	mu     sync.Mutex
	stacks map[string]described
	refuse string        // an error code for every call of CloudFormation
	ahead  time.Duration // of its clock
	answer string        // of any function
	failed bool          // the answer is a function's error
	events map[string]string
	others http.Handler // of all other services; nil: none
}

type described struct {
	status  string
	outputs map[string]string
}

// outputs are those of a stack of template.yaml.
func outputs() map[string]string {
	return map[string]string{
		"LedgerTable": "ledger", "RecordsTable": "records", "Bucket": "bucket",
		"TasksQueueUrl": "https://sqs.example.test/tasks", "TasksDlqUrl": "https://sqs.example.test/tasks-dead",
		"PhotosQueueUrl": "https://sqs.example.test/photos", "PhotosDlqUrl": "https://sqs.example.test/photos-dead",
		"SecretPrefix": "/stovasync/live/", "VisibilitySeconds": "1800", "MaxReceives": "5",
		"FanoutFunction": "live-fanout", "RedriveFunction": "live-redrive",
	}
}

func without(names ...string) map[string]string {
	all := outputs()
	for _, n := range names {
		delete(all, n)
	}
	return all
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
	if name, ok := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/"); ok {
		c.events[strings.TrimSuffix(name, "/invocations")] = string(body)
		if c.failed {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
		}
		_, _ = io.WriteString(w, c.answer)
		return
	}
	form, _ := url.ParseQuery(string(body))
	if form.Get("Action") != "DescribeStacks" {
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.others.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	switch name := form.Get("StackName"); {
	case c.refuse != "":
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, refusal, c.refuse, "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: cloudformation:DescribeStacks on resource: x")
	case name == "":
		c.describe(w, c.stacks)
	case c.stacks[name].status == "":
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, refusal, "ValidationError", "Stack with id "+name+" does not exist")
	default:
		c.describe(w, map[string]described{name: c.stacks[name]})
	}
}

const refusal = `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>1</RequestId></ErrorResponse>`

func (c *cloud) describe(w io.Writer, stacks map[string]described) {
	type output struct{ OutputKey, OutputValue string }
	type member struct {
		StackName, StackStatus, CreationTime string
		Outputs                              []output `xml:"Outputs>member"`
	}
	var doc struct {
		XMLName xml.Name `xml:"DescribeStacksResponse"`
		Stacks  []member `xml:"DescribeStacksResult>Stacks>member"`
	}
	for name, s := range stacks {
		m := member{StackName: name, StackStatus: s.status, CreationTime: "2031-03-04T09:00:00Z"}
		for k, v := range s.outputs {
			m.Outputs = append(m.Outputs, output{k, v})
		}
		doc.Stacks = append(doc.Stacks, m)
	}
	_ = xml.NewEncoder(w).Encode(doc)
}

// asked returns the event that a function got.
func (c *cloud) asked(t *testing.T, function string) (event map[string]any) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := json.Unmarshal([]byte(c.events[function]), &event); err != nil {
		t.Fatalf("event of %s: %v", function, err)
	}
	return event
}

// operate makes the AWS environment of an operator whose calls c answers.
// What this machine has of its own does not count.
func operate(t *testing.T, c *cloud) {
	t.Helper()
	c.events = map[string]string{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDINVENTED", "AWS_SECRET_ACCESS_KEY": "invented",
		"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_SESSION_TOKEN": "", "AWS_DEFAULT_REGION": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "",
	} {
		t.Setenv(name, value)
	}
}

func TestOpeningAStackSaysWhatIsWrong(t *testing.T) {
	live := map[string]described{"live": {"UPDATE_COMPLETE", outputs()}}
	tests := map[string]struct {
		cloud *cloud
		env   map[string]string
		stack string
		want  string
	}{
		"no region":            {&cloud{stacks: live}, map[string]string{"AWS_REGION": ""}, "live", "CONFIG_INVALID: no AWS region is set; set AWS_REGION"},
		"no credentials":       {&cloud{stacks: live}, map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "live", "CONFIG_INVALID: no AWS credentials were found; set AWS_PROFILE"},
		"an unknown profile":   {&cloud{stacks: live}, map[string]string{"AWS_PROFILE": "nobody"}, "live", `CONFIG_INVALID: there is no AWS profile "nobody"; see aws configure list-profiles`},
		"expired credentials":  {&cloud{refuse: "ExpiredToken"}, nil, "live", "STORE_UNAVAILABLE: cloudformation DescribeStacks: ExpiredToken"},
		"a right is missing":   {&cloud{refuse: "AccessDenied"}, nil, "live", "STORE_UNAVAILABLE: cloudformation DescribeStacks: AccessDenied; allow cloudformation:DescribeStacks"},
		"a slip in the name":   {&cloud{stacks: live}, nil, "lvie", "CONFIG_INVALID: there is no stack lvie in eu-central-1; stovasync's there: live"},
		"another region":       {&cloud{}, nil, "live", "CONFIG_INVALID: there is no stack live in eu-central-1; no other stack there is stovasync's either: check the name, AWS_REGION"},
		"somebody else's":      {&cloud{stacks: map[string]described{"live": {"CREATE_COMPLETE", map[string]string{"Site": "x"}}}}, nil, "live", "CONFIG_INVALID: stack live is none of stovasync's"},
		"an older stack":       {&cloud{stacks: map[string]described{"live": {"CREATE_COMPLETE", without("RedriveFunction")}}}, nil, "live", "CONFIG_INVALID: stack live has no output RedriveFunction; deploy it again"},
		"still being deployed": {&cloud{stacks: map[string]described{"live": {"CREATE_IN_PROGRESS", nil}}}, nil, "live", "CONFIG_INVALID: stack live is not deployed yet: it is CREATE_IN_PROGRESS"},
		"never deployed":       {&cloud{stacks: map[string]described{"live": {"ROLLBACK_COMPLETE", nil}}}, nil, "live", "CONFIG_INVALID: stack live is not deployed: it is ROLLBACK_COMPLETE"},
		"being updated":        {&cloud{stacks: map[string]described{"live": {"UPDATE_IN_PROGRESS", outputs()}}}, nil, "live", ""},
		"complete":             {&cloud{stacks: live}, nil, "live", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			operate(t, tt.cloud)
			for name, value := range tt.env {
				t.Setenv(name, value)
				if value == "" {
					_ = os.Unsetenv(name) // t.Setenv brings it back
				}
			}
			s, err := app.OpenStack(t.Context(), tt.stack, app.StackOptions{})
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want == "":
				_ = s.Close()
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("error = %v, want %s…", err, tt.want)
			}
		})
	}
}

func open(t *testing.T, c *cloud) *app.Stack {
	t.Helper()
	c.stacks = map[string]described{"live": {"CREATE_COMPLETE", outputs()}}
	operate(t, c)
	s, err := app.OpenStack(t.Context(), "live", app.StackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStartingARunOnAStackThatRefusesOrFails(t *testing.T) {
	tests := map[string]struct {
		answer string
		failed bool
		code   fault.Code
		want   string
	}{
		"a run is under way": {`{"started":[],"skipped":{"summit":"RUN_ACTIVE: run 20310304T090000Z-3f2a is under way; wait for it to end"}}`, false,
			fault.RunActive, "RUN_ACTIVE: run 20310304T090000Z-3f2a is under way; wait for it to end; runs summit shows"},
		"a newer run exists":         {`{"started":[],"skipped":{"summit":"older than run x"}}`, false, fault.RunActive, "check this machine's clock"},
		"the function's own error":   {`{"errorType":"joinError","errorMessage":"connection summit: CONFIG_INVALID: data type users is not enabled for summit; add it to dataTypes"}`, true, fault.ConfigInvalid, "CONFIG_INVALID: data type users is not enabled for summit; add it to dataTypes"},
		"a crash tells its kind":     {`{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 ann@example.test"}`, true, fault.StoreUnavailable, "function live-fanout ended with Runtime.ExitError; see its log: sam logs --stack-name live"},
		"an answer that is none":     {`[]`, false, fault.StoreUnavailable, "an answer of another version"},
		"an answer without a result": {`{}`, false, fault.StoreUnavailable, "started 0 runs instead of one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cloud{answer: tt.answer, failed: tt.failed}
			err := open(t, c).Sync(t.Context(), pipeline.Start{Connection: "summit"}, func(pipeline.Started) { t.Error("a run is told to have started") })
			if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "ann@") {
				t.Errorf("error = %v, want %s with %s", err, tt.code, tt.want)
			}
		})
	}
}

func TestTheFanOutIsToldWhatWasAskedForByAWSsClock(t *testing.T) {
	c := &cloud{answer: `{"started":[],"skipped":{"summit":"RUN_ACTIVE: no"}}`, ahead: 3 * time.Hour}
	err := open(t, c).Sync(t.Context(), pipeline.Start{
		Connection: "summit", Mode: run.Full, Types: []run.DataType{run.Users, run.Sessions}, ApprovedRemovals: 7, Nonce: "n",
	}, nil)
	if fault.CodeOf(err) != fault.RunActive {
		t.Fatal(err)
	}
	e := c.asked(t, "live-fanout")
	at, err := time.Parse(time.RFC3339, fmt.Sprint(e["time"]))
	if err != nil || time.Until(at) < 2*time.Hour {
		t.Errorf("time = %v (%v), want AWS's, three hours from now", e["time"], err)
	}
	delete(e, "time")
	got, _ := json.Marshal(e)
	if want := `{"approve_removals":7,"connection":"summit","mode":"full","nonce":"n","types":["users","sessions"]}`; string(got) != want {
		t.Errorf("event = %s, want %s", got, want)
	}
}

func TestTheRateBudgetGoesByAWSsClock(t *testing.T) {
	s := open(t, &cloud{ahead: 3 * time.Hour})
	if at := s.ConnectorNow(); time.Until(at) < 2*time.Hour {
		t.Errorf("now = %s, want AWS's, three hours from now", at)
	}
}

func TestADryRedriveAsksTheFunctionAndFollowsNothing(t *testing.T) {
	c := &cloud{answer: `{"redriven":[{"connection":"summit","run":"r","type":"users","page":"3","code":"STOVA_SERVER","error":"x","at":"2031-03-04T09:00:00Z","rows":12,"verdict":"sent"}],"dry_run":true}`}
	out, err := open(t, c).Redrive(t.Context(), pipeline.Filter{Connection: "summit", Cause: "STOVA_SERVER"}, true)
	if err != nil || len(out) != 1 || out[0].Page != "3" || out[0].Rows != 12 || out[0].Verdict != pipeline.Sent {
		t.Fatalf("Redrive = %+v, %v", out, err)
	}
	got, _ := json.Marshal(c.asked(t, "live-redrive"))
	if want := `{"all":true,"cause":"STOVA_SERVER","connection":"summit","dry_run":true}`; string(got) != want {
		t.Errorf("event = %s, want %s", got, want)
	}
}

func TestWhatThePermissionsRefuseIsToldFromWhatFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code string
		want bool
	}{
		"a right is missing":   {"AccessDeniedException", true},
		"S3 spells it shorter": {"AccessDenied", true},
		"a table is throttled": {"ThrottlingException", false},
		"the key is too old":   {"ExpiredTokenException", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := fmt.Errorf("key: %w", awscall.Error("ssm GetParameter", &smithy.GenericAPIError{Code: tt.code}))
			if got := app.IsDenied(err); got != tt.want {
				t.Errorf("IsDenied(%v) = %v", err, got)
			}
		})
	}
}

// openAWS opens a stack whose tables, queues and bucket are the stand-in's,
// with a connection in it. Its functions answer what c says and do nothing.
func openAWS(t *testing.T, c *cloud) (*app.Stack, *queue.SQS) {
	t.Helper()
	queues, env := deployment(t)
	upstream, err := url.Parse(os.Getenv(awstest.Endpoint))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.Out.Host = r.In.Host
	}}
	all := outputs()
	for output, name := range map[string]string{
		"LedgerTable": "LEDGER_TABLE", "RecordsTable": "RECORDS_TABLE", "Bucket": "BUCKET", "SecretPrefix": "SECRET_PREFIX",
		"TasksQueueUrl": "TASKS_QUEUE_URL", "TasksDlqUrl": "TASKS_DLQ_URL", "PhotosQueueUrl": "PHOTOS_QUEUE_URL", "PhotosDlqUrl": "PHOTOS_DLQ_URL",
	} {
		all[output] = env[name]
	}
	c.stacks, c.others = map[string]described{"live": {"CREATE_COMPLETE", all}}, proxy
	operate(t, c)
	t.Setenv("AWS_REGION", "us-east-1") // of what the stand-in made
	s, err := app.OpenStack(t.Context(), "live", app.StackOptions{Poll: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	parsed, err := config.ParseConnection([]byte("name: summit\nendPoint: https://api-emea.eventscloud.com/api/v2\naccountid: 7700\neventid: 900100001\ndataTypes: [users, sessions]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Steps.Ledger.PutConnection(t.Context(), parsed.Connection, time.Now()); err != nil {
		t.Fatal(err)
	}
	return s, queues
}

// lose takes all waiting tasks away, as somebody does who purges a queue, and
// returns how many there were.
func lose(t *testing.T, queues *queue.SQS) (n int) {
	t.Helper()
	for {
		messages, err := queues.Receive(t.Context(), run.TasksQueue, 10, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) == 0 {
			return n
		}
		for _, m := range messages {
			if err := queues.DeleteMessage(t.Context(), run.TasksQueue, m.Receipt); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
}

func TestAWSARunThatHasComeToRestIsWokenAndInTheEndGivenUp(t *testing.T) {
	s, queues := openAWS(t, &cloud{})
	ctx := t.Context()
	answer, err := s.Fanout(ctx, app.FanoutEvent{Connection: "summit"})
	if err != nil || len(answer.Started) != 1 {
		t.Fatalf("Fanout = %+v, %v", answer, err)
	}
	begun := time.Now()
	for _, step := range []struct {
		after time.Duration
		woken bool
		tasks int // that wait afterwards
		what  string
	}{
		{time.Second, false, 2, "a run that has just begun is left alone"},
		{2 * time.Minute, true, 0, "after a minute it is looked at, but its tasks may still come"},
		{61 * time.Minute, true, 2, "after two visibility periods its tasks are sent again"},
		{90 * time.Minute, true, 0, "once"},
		{150 * time.Minute, true, 0, "after two more it is given up"},
		{151 * time.Minute, false, 0, "and has ended"},
	} {
		s.Steps.Now = func() time.Time { return begun.Add(step.after) }
		if err := s.Idle(ctx, "summit"); (fault.CodeOf(err) == fault.RunActive) != (step.after < 151*time.Minute) {
			t.Errorf("after %s: Idle = %v", step.after, err)
		}
		woken, err := s.Wake(ctx, "summit")
		if err != nil || woken != step.woken {
			t.Errorf("%s: Wake after %s = %v, %v", step.what, step.after, woken, err)
		}
		if n := lose(t, queues); n != step.tasks {
			t.Errorf("%s: %d tasks wait after %s, want %d", step.what, n, step.after, step.tasks)
		}
	}
	v, err := s.Steps.View(ctx, answer.Started[0])
	if err != nil || v.State != run.Failed || v.Types[run.Users].Code != string(fault.TaskLost) {
		t.Errorf("the run is %s, users %s (%v); want failed for a lost task", v.State, v.Types[run.Users].Code, err)
	}
}

func TestAWSARunThatIsFollowedIsRepaired(t *testing.T) {
	c := &cloud{}
	s, queues := openAWS(t, c)
	started, err := s.Fanout(t.Context(), app.FanoutEvent{Connection: "summit"})
	if err != nil {
		t.Fatal(err)
	}
	lose(t, queues)
	c.answer = fmt.Sprintf(`{"started":[%q]}`, started.Started[0])
	var looks atomic.Int64 // each look at the clock is ten minutes later
	s.Steps.Now = func() time.Time { return time.Now().Add(time.Duration(looks.Add(1)) * 10 * time.Minute) }
	var told string
	if err := s.Sync(t.Context(), pipeline.Start{Connection: "summit"}, func(st pipeline.Started) { told = st.Run.ID }); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Steps.Ledger.Run(t.Context(), told)
	if err != nil || told != started.Started[0] || r.Ended.IsZero() {
		t.Errorf("followed %s, which ended at %s (%v); want the end of %s", told, r.Ended, err, started.Started[0])
	}
}
