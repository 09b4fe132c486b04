package template_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/template"
)

const small = `
Parameters:
  Size: {Type: Number, Default: 5, MinValue: 2, MaxValue: 9}
  Name: {Type: String, Default: "", AllowedPattern: "[a-z]*"}
  Mode: {Type: String, Default: "on", AllowedValues: ["on", "off"]}
Mappings:
  Times: {Long: {Seconds: 1800}}
Conditions:
  On: !Equals [!Ref Mode, "on"]
  Named: !Not [!Equals [!Ref Name, ""]]
  Both: !And [!Condition On, !Condition Named]
  Either: !Or [!Condition On, !Condition Named]
Resources:
  Dead:
    Type: AWS::SQS::Queue
  Tasks:
    Type: AWS::SQS::Queue
    DeletionPolicy: Retain
    Properties:
      VisibilityTimeout: !FindInMap [Times, Long, Seconds]
      KmsMasterKeyId: !If [Named, !Ref Name, !Ref AWS::NoValue]
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: !Ref Size}
      Tags: [!If [On, {Key: a, Value: b}, !Ref "AWS::NoValue"]]
  Pictures:
    Type: AWS::S3::Bucket
    Condition: On
Outputs:
  Url: {Value: !Ref Tasks}
  Below: {Value: !Sub "${Tasks.Arn}/${!literal}/${AWS::Region}"}
  Parts: {Value: !Join ["-", [!Select [1, !Split [",", "a,b"]], !Sub ["${x}", {x: !Ref Size}]]]}
  Pictures: {Condition: On, Value: !GetAtt Pictures.Arn}
`

func parse(t *testing.T, text string) *template.Template {
	t.Helper()
	tt, err := template.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tt
}

func TestAStackHasEveryReferenceResolved(t *testing.T) {
	t.Parallel()
	s, err := parse(t, small).Deploy(template.Deployment{Parameters: map[string]string{"Size": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	const dead = "arn:aws:sqs:eu-central-1:123456789012:summit-Dead-INVENTED"
	want := map[string]any{
		"VisibilityTimeout": 1800,
		"RedrivePolicy":     map[string]any{"deadLetterTargetArn": dead, "maxReceiveCount": 7},
		"Tags":              []any{map[string]any{"Key": "a", "Value": "b"}},
	}
	if diff := cmp.Diff(want, s.Resources["Tasks"].Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	outputs := map[string]string{
		"Url":      "https://sqs.eu-central-1.amazonaws.com/123456789012/summit-Tasks-INVENTED",
		"Below":    "arn:aws:sqs:eu-central-1:123456789012:summit-Tasks-INVENTED/${literal}/eu-central-1",
		"Parts":    "b-7",
		"Pictures": "arn:aws:s3:::summit-pictures-invented",
	}
	if diff := cmp.Diff(outputs, s.Outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]bool{"On": true, "Named": false, "Both": false, "Either": true}, s.Conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	for reference, id := range map[string]string{dead: "Dead", outputs["Url"]: "Tasks", "arn:aws:sqs:eu-central-1:1:other": "", "": ""} {
		if got := s.Logical(reference); got != id {
			t.Errorf("Logical(%q) = %q, want %q", reference, got, id)
		}
	}
}

func TestWhatTheConditionDeniesIsNotThere(t *testing.T) {
	t.Parallel()
	s, err := parse(t, small).Deploy(template.Deployment{Parameters: map[string]string{"Mode": "off", "Name": "own"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, there := s.Resources["Pictures"]; there {
		t.Error("the bucket is there")
	}
	if _, there := s.Outputs["Pictures"]; there {
		t.Error("its output is there")
	}
	if got := s.Resources["Tasks"].Properties["KmsMasterKeyId"]; got != "own" {
		t.Errorf("key = %v", got)
	}
}

func TestAStackThatExistsKeepsItsNames(t *testing.T) {
	t.Parallel()
	url := "http://127.0.0.1:5000/123456789012/real-tasks"
	s, err := parse(t, small).Deploy(template.Deployment{Physical: map[string]string{"Tasks": url, "Pictures": "real-bucket"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Outputs["Url"] != url || s.ARN("Tasks") != "arn:aws:sqs:eu-central-1:123456789012:real-tasks" || s.ARN("Pictures") != "arn:aws:s3:::real-bucket" {
		t.Errorf("outputs %v, %s, %s", s.Outputs, s.ARN("Tasks"), s.ARN("Pictures"))
	}
}

func TestWhatCloudFormationRefusesIsAnError(t *testing.T) {
	t.Parallel()
	for says, tt := range map[string]struct {
		old, with  string
		parameters map[string]string
		want       string
	}{
		"a number below its least":            {parameters: map[string]string{"Size": "1"}, want: "below 2"},
		"a number above its most":             {parameters: map[string]string{"Size": "10"}, want: "above 9"},
		"a number that is none":               {parameters: map[string]string{"Size": "five"}, want: "no number"},
		"a text against its pattern":          {parameters: map[string]string{"Name": "a1"}, want: "does not match"},
		"a value that is not offered":         {parameters: map[string]string{"Mode": "maybe"}, want: "none of"},
		"a parameter of another template":     {parameters: map[string]string{"Colour": "red"}, want: "Colour"},
		"a parameter without a value":         {old: ", Default: 5", with: "", want: "no value"},
		"a reference to nothing":              {old: "!Ref Size}", with: "!Ref Length}", want: "Length"},
		"an attribute of nothing":             {old: "Dead.Arn", with: "Gone.Arn", want: "Gone"},
		"an attribute that nobody knows":      {old: "Dead.Arn", with: "Dead.Colour", want: "Colour"},
		"a reference to what is not there":    {old: "{Condition: On, Value", with: "{Value", parameters: map[string]string{"Mode": "off"}, want: "Pictures"},
		"a condition that nobody defined":     {old: "Condition: On\n", with: "Condition: Off\n", want: "Off"},
		"a condition that asks for itself":    {old: "!And [!Condition On,", with: "!And [!Condition Both,", want: "itself"},
		"an entry that a mapping has not":     {old: "[Times, Long,", with: "[Times, Short,", want: "Short"},
		"a type that nobody here knows":       {old: "AWS::S3::Bucket", with: "AWS::S3::Pail", want: "AWS::S3::Pail"},
		"a placeholder of nothing":            {old: "${Tasks.Arn}", with: "${Tasks}${Task}", want: "Task"},
		"a function that nobody here can do":  {old: "!Select [1,", with: "!Cidr [1,", want: "Fn::Cidr"},
		"a condition where there is a number": {old: "On: !Equals [!Ref Mode, \"on\"]", with: "On: 1", want: "no condition"},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(small, tt.old, tt.with, 1)
			if tt.old != "" && text == small {
				t.Fatal("nothing changed")
			}
			_, err := parse(t, text).Deploy(template.Deployment{Parameters: tt.parameters})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want one about %q", err, tt.want)
			}
		})
	}
}

func TestTextThatIsNoTemplateIsAnError(t *testing.T) {
	t.Parallel()
	for says, text := range map[string]string{
		"nothing":              "",
		"a list":               "- a\n- b\n",
		"two documents":        "a: 1\n---\nb: 2\n",
		"a key that is there":  "a: 1\na: 2\n",
		"a merge":              "a: &x {b: 1}\nc:\n  <<: *x\n",
		"an alias of nothing":  "a: *x\n",
		"JSON that is cut off": `{"Resources": {`,
		"a tab":                "a:\n\tb: 1\n",
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			if tt, err := template.Parse([]byte(text)); err == nil {
				t.Errorf("Parse = %v", tt.Root)
			}
		})
	}
}

func TestBothFormsOfATextAreOneTemplate(t *testing.T) {
	t.Parallel()
	yaml := parse(t, small)
	text, err := json.Marshal(yaml.Root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(yaml.Root, parse(t, string(text)).Root); diff != "" {
		t.Errorf("(-YAML +JSON):\n%s", diff)
	}
	copied := yaml.Clone()
	copied.Section("Resources")["Dead"].(map[string]any)["Type"] = "AWS::SNS::Topic"
	if got := yaml.Section("Resources")["Dead"].(map[string]any)["Type"]; got != "AWS::SQS::Queue" {
		t.Errorf("a change of the copy made the original's type %v", got)
	}
}

const roles = `
Globals:
  Function:
    Timeout: 300
    MemorySize: 256
    Environment: {Variables: {A: "1", B: !Ref Table}}
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Logs: {Type: AWS::Logs::LogGroup}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Role: !GetAtt Role.Arn
      MemorySize: 512
      LoggingConfig: {LogGroup: !Ref Logs}
      Environment: {Variables: {A: "2"}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      Policies:
        - PolicyName: worker
          PolicyDocument:
            Statement:
              - {Sid: Read, Effect: Allow, Action: ["dynamodb:Get*", "dynamodb:Query"], Resource: !GetAtt Table.Arn}
              - {Sid: Index, Effect: Allow, Action: dynamodb:Query, Resource: !Sub "${Table.Arn}/index/*"}
              - {Sid: Objects, Effect: Allow, Action: "s3:*", Resource: "arn:aws:s3:::pail/plans/*"}
              - {Sid: NotThese, Effect: Deny, Action: s3:DeleteObject, Resource: "arn:aws:s3:::pail/plans/kept/?"}
              - Sid: Key
                Effect: Allow
                Action: kms:Decrypt
                Resource: "*"
                Condition: {StringEquals: {"kms:ViaService": [sqs.eu-central-1.amazonaws.com, s3.eu-central-1.amazonaws.com]}}
              - {Sid: Odd, Effect: Allow, Action: ssm:GetParameter, Resource: "*", Condition: {NumericLessThan: {"aws:x": 1}}}
              - {Sid: But, Effect: Allow, NotAction: ["sns:Publish"], Resource: "arn:aws:sns:*:*:news"}
`

func TestAPolicyAllowsWhatItSays(t *testing.T) {
	t.Parallel()
	s, err := parse(t, roles).Deploy(template.Deployment{})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := s.Policy("Role")
	if err != nil {
		t.Fatal(err)
	}
	table := s.ARN("Table")
	via := func(service string) map[string]string { return map[string]string{"kms:ViaService": service} }
	for says, tt := range map[string]struct {
		call template.Call
		want bool
	}{
		"an action by its name":                        {template.Call{Action: "dynamodb:Query", Resource: table}, true},
		"an action whatever its capitals":              {template.Call{Action: "DynamoDB:query", Resource: table}, true},
		"an action by the star":                        {template.Call{Action: "dynamodb:GetItem", Resource: table}, true},
		"no other action":                              {template.Call{Action: "dynamodb:PutItem", Resource: table}, false},
		"no other resource":                            {template.Call{Action: "dynamodb:GetItem", Resource: table + "2"}, false},
		"nothing of what is below it":                  {template.Call{Action: "dynamodb:GetItem", Resource: table + "/index/failed"}, false},
		"what is below it where the statement says so": {template.Call{Action: "dynamodb:Query", Resource: table + "/index/failed"}, true},
		"an object at any depth":                       {template.Call{Action: "s3:GetObject", Resource: "arn:aws:s3:::pail/plans/a/b"}, true},
		"no object beside":                             {template.Call{Action: "s3:GetObject", Resource: "arn:aws:s3:::pail/raw/a"}, false},
		"nothing that is denied":                       {template.Call{Action: "s3:DeleteObject", Resource: "arn:aws:s3:::pail/plans/kept/1"}, false},
		"what the question mark does not reach":        {template.Call{Action: "s3:DeleteObject", Resource: "arn:aws:s3:::pail/plans/kept/12"}, true},
		"a key for a service that is named":            {template.Call{Action: "kms:Decrypt", Resource: "arn:aws:kms:x:1:key/a", Context: via("s3.eu-central-1.amazonaws.com")}, true},
		"no key for another service":                   {template.Call{Action: "kms:Decrypt", Resource: "arn:aws:kms:x:1:key/a", Context: via("ssm.eu-central-1.amazonaws.com")}, false},
		"no key for nobody":                            {template.Call{Action: "kms:Decrypt", Resource: "arn:aws:kms:x:1:key/a"}, false},
		"nothing under a condition that is unknown":    {template.Call{Action: "ssm:GetParameter", Resource: "arn:aws:ssm:x:1:parameter/a"}, false},
		"all but what is named":                        {template.Call{Action: "sns:Subscribe", Resource: "arn:aws:sns:x:1:news"}, true},
		"not what is named":                            {template.Call{Action: "sns:Publish", Resource: "arn:aws:sns:x:1:news"}, false},
		"no star over a colon":                         {template.Call{Action: "sns:Subscribe", Resource: "arn:aws:sns:x:1:2:news"}, false},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			if got := policy.Allows(tt.call); got != tt.want {
				t.Errorf("Allows(%v) = %v", tt.call, got)
			}
		})
	}
	if _, err := s.Policy("Table"); err == nil {
		t.Error("a table has a policy of a role")
	}
}

func TestAFunctionHasWhatTheGlobalsGiveIt(t *testing.T) {
	t.Parallel()
	s, err := parse(t, roles).Deploy(template.Deployment{Stack: "live"})
	if err != nil {
		t.Fatal(err)
	}
	all := s.Functions()
	if len(all) != 1 {
		t.Fatalf("%d functions", len(all))
	}
	f := all[0]
	want := template.Function{ID: "Worker", Role: "Role", LogGroup: "Logs", Timeout: 300, MemorySize: 512,
		Environment: map[string]string{"A": "2", "B": "live-Table-INVENTED"}, Properties: f.Properties}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMotoGetsNothingItWouldRun(t *testing.T) {
	t.Parallel()
	tt := parse(t, `{"Resources": {
		"Map": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"BatchSize": 1}},
		"Worker": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Bucket": "b", "S3Key": "k"}}}}}`)
	text, err := tt.ForMoto()
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, string(text)).Section("Resources")
	want := map[string]any{"Worker": map[string]any{"Type": "AWS::Lambda::Function", "Properties": map[string]any{"Code": map[string]any{"ZipFile": "bootstrap"}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(tt.Section("Resources")) != 2 {
		t.Error("the template itself changed")
	}
	if _, err := parse(t, "Transform: AWS::Serverless-2016-10-31\nResources: {}\n").ForMoto(); err == nil {
		t.Error("a template that is still to be transformed was taken")
	}
}

func TestResourcesComeByTypeAndInOrder(t *testing.T) {
	t.Parallel()
	s, err := parse(t, small).Deploy(template.Deployment{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range s.OfType("AWS::SQS::Queue", "AWS::S3::Bucket") {
		ids = append(ids, r.ID)
	}
	if !slices.Equal(ids, []string{"Dead", "Pictures", "Tasks"}) {
		t.Errorf("ids = %v", ids)
	}
	if got := s.Resources["Tasks"].DeletionPolicy; got != "Retain" {
		t.Errorf("deletion policy = %q", got)
	}
}

func TestAListIsCheckedEntryByEntry(t *testing.T) {
	t.Parallel()
	tt := &template.Template{Root: map[string]any{
		"Parameters": map[string]any{"Keys": map[string]any{"Type": "CommaDelimitedList", "Default": "", "AllowedPattern": "k*"}},
		"Outputs":    map[string]any{"Joined": map[string]any{"Value": map[string]any{"Fn::Join": []any{"+", map[string]any{"Ref": "Keys"}}}}},
	}}
	for given, want := range map[string]string{"": "", "k": "k", "k,kk, k": "k+kk+k"} {
		s, err := tt.Deploy(template.Deployment{Parameters: map[string]string{"Keys": given}})
		if err != nil || s.Outputs["Joined"] != want {
			t.Errorf("%q: %v (%v), want %q", given, s, err, want)
		}
	}
	if _, err := tt.Deploy(template.Deployment{Parameters: map[string]string{"Keys": "k,x"}}); err == nil {
		t.Error("a wrong entry is taken")
	}
}

func TestForMotoKeepsWhatOutlivesTheStack(t *testing.T) {
	t.Parallel()
	tt := &template.Template{Root: map[string]any{"Resources": map[string]any{
		"Table": map[string]any{"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "RetainExceptOnCreate"},
	}}}
	text, err := tt.ForMoto()
	if err != nil || !strings.Contains(string(text), `"DeletionPolicy":"Retain"`) {
		t.Errorf("%s (%v)", text, err)
	}
}
