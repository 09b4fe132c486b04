package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"stovasync/shared/emulator"
	"stovasync/shared/stova/stovatest"
)

// TestAWSOperationsPage runs the commands of docs/operations.md, all of them in
// one shell, as an operator would who does everything the page tells of: on
// the built functions, with the AWS CLI and the SAM CLI.
func TestAWSOperationsPage(t *testing.T) {
	t.Parallel() // it mostly waits, as the stories do
	c := newCloud(t)
	night := newNight(t, c)
	all := readPage(t, "operations.md")
	sh := all.blocks("sh")
	before, told := night.before(), map[string]int{}
	var script strings.Builder
	for i, b := range sh {
		told[b.heading]++
		fmt.Fprintf(&script, "hook %d\n%s", i, night.runnable(all, b))
	}
	fmt.Fprintf(&script, "hook %d\n", len(sh))
	for at := range before {
		if told[at.heading] < at.n {
			t.Errorf("the page has no block %d under %q", at.n, at.heading)
		}
	}
	clear(told)
	night.run(script.String(), func(i int, output string) {
		if i > 0 {
			at := place{sh[i-1].heading, told[sh[i-1].heading]}
			night.check(at, before[at].want, output)
		}
		if i < len(sh) {
			told[sh[i].heading]++
			if do := before[place{sh[i].heading, told[sh[i].heading]}].do; do != nil {
				do()
			}
		}
	})
	night.checkPolicies(all)
}

// TestAWSOperationsPageSettings reads the page's line of settings as SAM reads
// it, which cuts a value without quotes at its first blank.
func TestAWSOperationsPageSettings(t *testing.T) {
	tools := os.Getenv("STOVASYNC_TEST_TOOLS")
	if tools == "" {
		t.Skip("STOVASYNC_TEST_TOOLS is not set")
	}
	config, err := os.ReadFile(filepath.Join("..", "..", "samconfig.toml"))
	if err != nil {
		t.Fatal(err)
	}
	dir, line := t.TempDir(), readPage(t, "operations.md").blocks("toml")[0].text
	edited := strings.Replace(string(config), "[default.deploy.parameters]\n", "[default.deploy.parameters]\n"+line, 1)
	if err := os.WriteFile(filepath.Join(dir, "samconfig.toml"), []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	const read = `import json, sys
from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig
value = SamConfig(sys.argv[1]).get_all(["deploy"], "parameters", "default")["parameter_overrides"]
json.dump(CfnParameterOverridesType().convert(value, None, None), sys.stdout)`
	var failure bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(tools, "python"), "-c", read, dir)
	cmd.Env, cmd.Stderr = append(os.Environ(), "SAM_CLI_TELEMETRY=0"), &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, failure.String())
	}
	got := map[string]string{}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ScheduleState": "ENABLED", "RegularEvery": "12h", "RegularSchedule": "cron(0/30 6-22 * * ? *)"}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("settings as SAM reads them (-want +got):\n%s", diff)
	}
}

// place is the nth block under a heading, counting from 1.
type place struct {
	heading string
	n       int
}

// step is what a test does before a block, and what the block must print.
type step struct {
	do   func()
	want string // a regular expression; "" for nothing in particular
}

// night is an operator at work: a shell, a stack and a vendor.
type night struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // ends in time to say what hung
	cloud cloud
	dir   string // where the shell is
	stack *emulator.Stack
	names map[string]string // the stack's outputs
	twin  *stovatest.Running
	desk  *desk
	env   []string
	// kept is what was stored before something is restored.
	kept string
	// built says that the functions were built once; the same again shows nothing more.
	built bool
}

// theStack is the name that the page uses.
const theStack = "stovasync"

func newNight(t *testing.T, c cloud) *night {
	t.Helper()
	ctx := t.Context()
	if end, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-time.Minute))
		t.Cleanup(cancel)
	}
	n := &night{t: t, ctx: ctx, cloud: c, dir: t.TempDir(), desk: &desk{asked: map[string]bool{}, page: map[string]bool{}}}
	var err error
	if n.stack, err = c.deploy(t.Context(), emulator.Options{
		Name: theStack, TempDir: n.dir, Parameters: map[string]string{"BucketVersioning": "Enabled"},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.leave)
	n.names = n.stack.Outputs()
	n.desk.lead(n.stack.Endpoint)
	server := httptest.NewServer(n.desk)
	t.Cleanup(server.Close)
	n.serve()
	n.copyTree()
	n.env = n.environ(build(t), server.URL)
	// The stand-in's CloudFormation passes this over.
	n.do("aws", "s3api", "put-bucket-versioning", "--bucket", n.output("Bucket"), "--versioning-configuration", "Status=Enabled")
	return n
}

// leave ends the functions, so that what they work on can go. They may only
// have done what their roles permit.
func (n *night) leave() {
	if n.stack == nil {
		return
	}
	n.desk.lead(n.cloud.upstream)
	n.desk.forget()
	if err := n.stack.Close(); err != nil {
		n.t.Error(err)
	}
	if err := unpermitted(n.stack); err != nil {
		n.t.Error(err)
	}
	n.stack = nil
}

// serve serves a small event and writes the operator's files for it.
func (n *night) serve() {
	e := stovatest.Generate(stovatest.Options{Attendees: 4, Sessions: 2, Speakers: 1, Sponsors: 1, Levels: 1, PhotoShare: 1, Seed: 9})
	n.twin = stovatest.NewServer(e, stovatest.ServerOptions{}).Start(n.t)
	file := strings.ReplaceAll(twinConnection("summit", n.twin, e), "key: "+e.Key+"\n", "")
	file = strings.ReplaceAll(file, "retryBaseSeconds: "+twinRetryBase, "retryBaseSeconds: 0.005")
	for name, text := range map[string]string{
		"summit.yaml": file, "summit.key": e.Key + "\n", "new.key": e.Key + "\n",
		// What the operator does in the editor.
		"editor": "#!/bin/sh\nsed -i 's/^mapping:/mapping:\\n  presenters:\\n    company: null/' \"$1\"\n",
	} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o700); err != nil {
			n.t.Fatal(err)
		}
	}
}

// copyTree makes the clone in which the operator builds.
func (n *night) copyTree() {
	n.t.Helper()
	archive := exec.CommandContext(n.t.Context(), "sh", "-c", `cd "$0" && git ls-files -z | xargs -0 tar cf - | tar xf - -C "$1"`, filepath.Join("..", ".."), n.dir)
	if out, err := archive.CombinedOutput(); err != nil {
		n.t.Fatalf("copy the tree: %v\n%s", err, out)
	}
}

func (n *night) environ(programs, endpoint string) []string {
	env := operatorEnv(n.stack, n.dir)
	env["AWS_ENDPOINT_URL"] = endpoint
	n.wrapCLI(programs)
	env["PATH"] = strings.Join([]string{programs, os.Getenv("STOVASYNC_TEST_TOOLS"), os.Getenv("PATH")}, string(filepath.ListSeparator))
	env["EDITOR"], env["AWS_PAGER"], env["SAM_CLI_TELEMETRY"] = "./editor", "", "0"
	all := os.Environ()
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	return all
}

// wrapCLI makes an aws that takes its calls where the others go: for SQS the
// CLI looks at the flag only.
func (n *night) wrapCLI(dir string) {
	n.t.Helper()
	text := fmt.Sprintf("#!/bin/sh\nexec %q --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"\n", filepath.Join(os.Getenv("STOVASYNC_TEST_AWSCLI"), "aws"))
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(text), 0o700); err != nil {
		n.t.Fatal(err)
	}
}

// runnable is a block without the lines that only AWS can run. Of those it
// holds the flags against the program's own help.
func (n *night) runnable(p page, b block) string {
	lines := strings.Split(b.text, "\n")
	for i, line := range lines {
		for _, command := range p.skipped() {
			if runs, rest, found := strings.Cut(line, command); found && (runs == "" || strings.HasSuffix(runs, " && ")) {
				n.checkFlags(command, command+rest)
				lines[i] = cmp.Or(strings.TrimSuffix(runs, " && "), ":")
			}
		}
		if lines[i] == "sam build" {
			if n.built {
				lines[i] = ":"
			}
			n.built = true
		}
	}
	return strings.Join(lines, "\n")
}

func (n *night) checkFlags(command, line string) {
	n.t.Helper()
	switch words := strings.Fields(command); words[0] {
	case "aws":
		n.do("sh", "-c", line+" --generate-cli-skeleton") // reads all flags and asks nobody
	case "sam":
		help := n.do(append(words, "--help")...)
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(line, -1) {
			if !strings.Contains(help, flag) {
				n.t.Errorf("%s has no flag %s", command, flag)
			}
		}
	}
}

// run runs a script in one shell. At each `hook N` the shell waits while at
// is told N and what was printed since the hook before.
func (n *night) run(script string, at func(i int, output string)) {
	n.t.Helper()
	asked, ask, err := os.Pipe()
	if err != nil {
		n.t.Fatal(err)
	}
	answered, answer, err := os.Pipe()
	if err != nil {
		n.t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(n.t.TempDir(), "output"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	shell := exec.CommandContext(n.ctx, "bash", "-euo", "pipefail", "-c", "hook() { echo $1 >&3; read -r <&4; }\n"+script)
	shell.Dir, shell.Env, shell.Stdout, shell.Stderr, shell.ExtraFiles = n.dir, append(slices.Clone(n.env), "AWS_EXECUTION_ENV="+ofThePage), output, output, []*os.File{ask, answered}
	// What it has started goes with it: it would hold the pipe.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	if err := shell.Start(); err != nil {
		n.t.Fatal(err)
	}
	_, _ = ask.Close(), answered.Close()
	var printed int64
	since := func() string {
		text, err := os.ReadFile(output.Name())
		if err != nil {
			n.t.Fatal(err)
		}
		from := printed
		printed = int64(len(text))
		return string(text[from:])
	}
	i, began := -1, time.Now()
	for lines := bufio.NewScanner(asked); lines.Scan(); {
		_, _ = fmt.Sscan(lines.Text(), &i)
		if i > 0 {
			n.t.Logf("block %d took %s", i, time.Since(began).Round(time.Millisecond))
		}
		at(i, since())
		began = time.Now()
		_, _ = io.WriteString(answer, "\n")
	}
	if err := shell.Wait(); err != nil {
		n.t.Fatalf("the commands after hook %d: %v\n%s", i, err, since())
	}
}

func (n *night) check(at place, want, output string) {
	n.t.Helper()
	if !regexp.MustCompile(`(?s)` + want).MatchString(output) {
		n.t.Errorf("%s, block %d: want %s in\n%s", at.heading, at.n, want, output)
	}
}

// do runs a command outside of the page and returns what it prints. Its exit
// code may be 2.
func (n *night) do(words ...string) string {
	n.t.Helper()
	cmd := exec.CommandContext(n.ctx, "sh", "-c", `"$@"; code=$?; [ $code = 2 ] || exit $code`, "sh")
	cmd.Args = append(cmd.Args, words...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = n.dir, append(slices.Clone(n.env), "STOVASYNC_TARGET=aws:"+theStack), time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		n.t.Fatalf("%q: %v\n%s%s", words, err, out.String(), errs.String())
	}
	return out.String()
}

func (n *night) output(name string) string {
	n.t.Helper()
	value := n.names[name]
	if value == "" {
		n.t.Fatalf("the stack has no output %s", name)
	}
	return value
}

// alarm makes an alarm of the stack go off, and one of a stack whose name begins
// alike. The stand-in makes none from the template.
func (n *night) alarm() {
	n.t.Helper()
	for _, stack := range []string{theStack, theStack + "-prod"} {
		name := stack + "-TasksDeadLettersAlarm-1AB2CD3EF4GH"
		n.do("aws", "cloudwatch", "put-metric-alarm", "--alarm-name", name, "--namespace", "test", "--metric-name", "test", "--statistic", "Sum",
			"--period", "60", "--evaluation-periods", "1", "--threshold", "1", "--comparison-operator", "GreaterThanThreshold")
		n.do("aws", "cloudwatch", "set-alarm-state", "--alarm-name", name, "--state-value", "ALARM", "--state-reason", "of the test")
	}
}

// undelivered puts an event among the dead letters as a schedule does.
func (n *night) undelivered() {
	n.t.Helper()
	n.do("aws", "sqs", "send-message", "--queue-url", n.output("SchedulesDlqUrl"), "--message-body", `{"mode":"full"}`,
		"--message-attributes", `{"ERROR_CODE":{"DataType":"String","StringValue":"AccessDenied"}}`)
}

// fail makes a run in which the page of users fails, and mends the vendor.
func (n *night) fail() {
	n.t.Helper()
	fault, err := stovatest.ParseFault("500:endpoint=getAttendee")
	if err != nil {
		n.t.Fatal(err)
	}
	n.twin.Fault(fault)
	n.do("stovasync", "sync", "summit", "--full", "--type", "users")
	n.twin.ClearFaults()
}

// bury puts a letter into a queue of dead letters.
func (n *night) bury(output, body string) {
	n.t.Helper()
	n.do("aws", "sqs", "send-message", "--queue-url", n.output(output), "--message-body", body)
}

// records are the stored users, without when and by which run they were written.
func (n *night) records() string {
	n.t.Helper()
	text := n.do("stovasync", "export", "summit", "users")
	return regexp.MustCompile(`"(updated_at|run)":"[^"]*"`).ReplaceAllString(text, "")
}

// before is what happens to the operator, and what the page's commands must
// come to. A block that is not in it has to succeed.
func (n *night) before() map[place]step {
	return map[place]step{
		{"Deploying", 1}:               {nil, `Build Succeeded`},
		{"The first run", 1}:           {nil, `Connection summit is saved.*All is well.*would be stored.*Run \S+ is complete.*Connection summit, started`},
		{"Every day", 1}:               {n.alarm, `summit +complete.*Nothing has failed[^\n]*\nstovasync-TasksDeadLettersAlarm-\S+\sof the test\n$`},
		{"Reading a run", 1}:           {nil, `\n  users +1 \+\n.*all in the cells.*Written: run.html`},
		{"Why somebody is missing", 1}: {nil, `users 800000003 of summit.*\nR4 `},
		{"TasksDeadLettersAlarm, PhotosDeadLettersAlarm", 1}: {n.fail, `STOVA_SERVER.*summit +\S+ +users +1 `},
		{"TasksDeadLettersAlarm, PhotosDeadLettersAlarm", 2}: {func() { n.bury("TasksDlqUrl", "no task of ours") }, ` sent +done.*no task of ours`},
		{"ScheduleDeadLettersAlarm", 1}:                      {n.undelivered, `mode\S+:\S+full.*ERROR_CODE.*AccessDenied`},
		{"ScheduleDeadLettersAlarm", 2}:                      {nil, `is complete`},
		{"TasksAgeAlarm, PhotosAgeAlarm", 1}:                 {nil, `is complete`},
		{"WorkerRecursionAlarm, PhotoRecursionAlarm", 1}:     {nil, `summit +complete`},
		{"NoRunAlarm", 1}:                                    {nil, `summit +complete.*All is well`},
		{"Re-running what failed", 1}:                        {n.fail, `STOVA_SERVER.*Nothing was re-run: --dry-run.* sent +done`},
		{"Re-running what failed", 2}:                        {nil, `Nothing to re-run.*Nothing to re-run.*Nothing to re-run`},
		{"A new key", 1}:                                     {nil, `Connection summit is saved.*All is well`},
		{"A changed mapping or setting", 1}:                  {nil, `Written: presenters.html.*Connection summit is saved.*presenters +1 +0 +1 .*is complete`},
		{"A person asks to be forgotten", 1}:                 {func() { n.kept = n.records() }, `The person is erased from summit.*old versions of objects +[1-9].*\n[-0-9]+ [:0-9]+ erased `},
		{"A person asks to be forgotten", 2}:                 {n.checkErased, `1 entry lifted.*is complete`},
		{"Restoring a table", 1}:                             {nil, `is complete: full`},
		{"Restoring a table", 3}:                             {nil, `complete`},
		{"Restoring a table", 4}:                             {func() { n.kept = n.records() }, `\n([1-9][0-9]*)\n[1-9][0-9]*\n$`},
		{"Restoring a table", 5}:                             {nil, `^"AVAILABLE"\n$`},
		{"Restoring a table", 6}:                             {nil, `\n[1-9][0-9]*\n[1-9][0-9]*\n$`},
		{"Restoring a table", 7}:                             {nil, `is complete: full.*\n[1-9][0-9]*\n[1-9][0-9]*\n$`},
		{"Restoring a table", 10}:                            {n.checkRestored, theStack + `-RecordsTable-\S+-restored\s+arn:`},
		{"Pictures that were deleted", 1}:                    {n.deletePictures, ``},
		{"A new version", 1}:                                 {n.checkPictures, ``},
		{"Removing the stack", 1}:                            {n.leave, `Connection summit and its key are gone`},
		{"Removing the stack", 3}:                            {n.checkKept, `remove_bucket`},
	}
}

// checkErased sees that one user is gone and every other is there.
func (n *night) checkErased() {
	left := n.records()
	if strings.Contains(left, "800000002") || strings.Count(left, "\n") != strings.Count(n.kept, "\n")-1 {
		n.t.Errorf("users before the erasure:\n%s\nafter:\n%s", n.kept, left)
	}
}

// checkRestored holds what is stored after the restore against what was before.
func (n *night) checkRestored() {
	if diff := gocmp.Diff(n.kept, n.records()); diff != "" {
		n.t.Errorf("users after the restore (-before +after):\n%s", diff)
	}
	table := n.output("RecordsTable")
	for _, want := range []struct{ command, query, value string }{
		{"describe-time-to-live", "TimeToLiveDescription.TimeToLiveStatus", "ENABLED"},
		{"describe-continuous-backups", "ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus", "ENABLED"},
		{"describe-table", "Table.StreamSpecification.StreamViewType", "NEW_AND_OLD_IMAGES"},
	} {
		if got := strings.TrimSpace(n.do("aws", "dynamodb", want.command, "--table-name", table, "--query", want.query, "--output", "text")); got != want.value {
			n.t.Errorf("%s of the restored table: %s, want %s", want.command, got, want.value)
		}
	}
}

// pictures are the keys of the event's pictures.
func (n *night) pictures() []string {
	text := n.do("aws", "s3api", "list-objects-v2", "--bucket", n.output("Bucket"), "--prefix", "900100001/", "--query", "Contents[].Key", "--output", "text")
	return slices.DeleteFunc(strings.Fields(text), func(key string) bool { return key == "None" })
}

func (n *night) deletePictures() {
	all := n.pictures()
	if len(all) == 0 {
		n.t.Fatal("no picture is stored")
	}
	n.kept = strings.Join(all, " ")
	n.do("aws", "s3", "rm", "--recursive", "s3://"+n.output("Bucket")+"/900100001/")
	if left := n.pictures(); len(left) > 0 {
		n.t.Fatalf("%d pictures are still there", len(left))
	}
}

func (n *night) checkPictures() {
	if got := strings.Join(n.pictures(), " "); got != n.kept {
		n.t.Errorf("pictures: %s, want %s", got, n.kept)
	}
}

// checkKept sees that what holds data outlived the stack.
func (n *night) checkKept() {
	for _, table := range []string{"LedgerTable", "RecordsTable"} {
		n.do("aws", "dynamodb", "describe-table", "--table-name", n.output(table))
	}
	n.checkPictures()
}

// ofThePage marks the calls of the AWS CLI that the page's commands make.
const ofThePage = "operations-page"

// desk is where the operator's calls leave: it notes what the command line and
// the page's commands of the AWS CLI ask for, and passes everything on.
type desk struct {
	mu       sync.Mutex
	upstream *url.URL
	asked    map[string]bool // actions of the command line
	page     map[string]bool // actions of the AWS CLI
	operated map[string]bool // what page was before the stack was removed
}

// lead says where calls go from now on.
func (d *desk) lead(address string) {
	to, err := url.Parse(address)
	if err != nil {
		panic(err) // our own address
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.upstream = to
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch agent := r.UserAgent(); {
	case strings.Contains(agent, "aws-sdk-go-v2/"):
		d.note(d.asked, r, body)
	case strings.Contains(agent, ofThePage):
		d.note(d.page, r, body)
	}
	d.mu.Lock()
	to := d.upstream
	d.mu.Unlock()
	(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = p.In.Host
	}}).ServeHTTP(w, r)
}

// note keeps the actions that IAM asks for a call.
func (d *desk) note(asked map[string]bool, r *http.Request, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range actions(r, body) {
		asked[a] = true
	}
}

// forget gives what the AWS CLI asks for from now on no more place among what
// operators need: removing a stack takes the rights of whoever deploys.
func (d *desk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.page, d.operated = map[string]bool{}, d.page
}

func actions(r *http.Request, body []byte) []string {
	service := regexp.MustCompile(`/([a-z0-9]+)/aws4_request`).FindStringSubmatch(r.Header.Get("Authorization"))[1]
	op := path.Ext(r.Header.Get("X-Amz-Target"))
	switch {
	case service == "cloudformation":
		form, _ := url.ParseQuery(string(body))
		return []string{service + ":" + form.Get("Action")}
	case service == "monitoring":
		form, _ := url.ParseQuery(string(body))
		return []string{"cloudwatch:" + cmp.Or(strings.TrimPrefix(op, "."), form.Get("Action"), path.Base(r.URL.Path))}
	case service == "lambda":
		return []string{"lambda:InvokeFunction"}
	case service == "s3" && r.URL.Query().Has("versions"):
		return []string{"s3:ListBucketVersions"}
	case service == "s3" && r.URL.Query().Has("versionId"):
		return []string{"s3:GetObjectVersion"}
	case service == "s3" && bytes.Contains(body, []byte("<VersionId>")):
		return []string{"s3:DeleteObjectVersion"}
	case service == "s3" && r.URL.Query().Has("list-type"):
		return []string{"s3:ListBucket"}
	case service == "s3":
		return []string{map[string]string{http.MethodGet: "s3:GetObject", http.MethodPost: "s3:DeleteObject", http.MethodDelete: "s3:DeleteObject", http.MethodPut: "s3:PutObject"}[r.Method]}
	case op == ".TransactWriteItems":
		var all []string
		for word, action := range map[string]string{"Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem", "Put": "PutItem"} {
			if bytes.Contains(body, []byte(`"`+word+`":`)) {
				all = append(all, "dynamodb:"+action)
			}
		}
		return all
	default:
		return []string{service + ":" + strings.TrimSuffix(strings.TrimPrefix(op, "."), "Batch")}
	}
}

// repairs are the actions that only a run needs that has come to rest, which
// no operator of this test meets; shared/app tests what they are for.
func repairs() []string {
	return []string{"sqs:SendMessage", "s3:ListBucket", "s3:DeleteObject", "dynamodb:ConditionCheckItem"}
}

// restores are the actions on a table that a restore into it takes, in the name
// of whoever asks for it: DynamoDB's developer guide, "Using IAM with DynamoDB
// backup and restore".
func restores() []string {
	return []string{"dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
}

// checkPolicies holds the policies that the page gives operators against what
// the command line, and what the page's commands of the AWS CLI asked for:
// nothing less, and nothing more.
func (n *night) checkPolicies(p page) {
	n.t.Helper()
	policies := p.blocks("json")
	if len(policies) != 2 {
		n.t.Fatalf("the page has %d policies, want 2", len(policies))
	}
	for i, want := range []map[string]bool{
		with(n.desk.asked, repairs()),
		with(n.desk.operated, restores(), p.unasked()),
	} {
		if diff := gocmp.Diff(want, granted(n.t, policies[i])); diff != "" {
			n.t.Errorf("actions of policy %d (-called +granted by the page):\n%s", i+1, diff)
		}
	}
}

func with(asked map[string]bool, more ...[]string) map[string]bool {
	all := maps.Clone(asked)
	for _, a := range slices.Concat(more...) {
		all[a] = true
	}
	return all
}

// unasked are the actions of the commands that only AWS can run.
func (p page) unasked() []string {
	var all []string
	for _, command := range p.skipped() {
		words := strings.Fields(command)
		if words[0] != "aws" {
			continue
		}
		action := words[1] + ":"
		for part := range strings.SplitSeq(words[2], "-") {
			action += strings.ToUpper(part[:1]) + part[1:]
		}
		all = append(all, action)
	}
	return all
}

// granted are the actions that a policy allows.
func granted(t *testing.T, b block) map[string]bool {
	t.Helper()
	var policy struct {
		Statement []struct{ Action any }
	}
	if err := json.Unmarshal([]byte(b.text), &policy); err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, s := range policy.Statement {
		if one, ok := s.Action.(string); ok {
			s.Action = []any{one}
		}
		for _, a := range s.Action.([]any) {
			all[a.(string)] = true
		}
	}
	return all
}
