package shared_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stovasync/shared/template"
)

// tool returns the path of one of the tools that make test-aws installs.
func tool(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("STOVASYNC_TEST_TOOLS")
	if folder == "" {
		t.Skip("needs STOVASYNC_TEST_TOOLS: make test-aws sets it")
	}
	return filepath.Join(folder, name)
}

// runTool runs a command at the root of the module, without any credentials
// and without a word to anybody, and returns what it printed.
func runTool(t *testing.T, folder string, command ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "SAM_CLI_TELEMETRY=0", "AWS_DEFAULT_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func root(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestAWSTheLinterFindsNothingInEitherForm(t *testing.T) {
	t.Parallel()
	lint := tool(t, "cfn-lint")
	if out, err := runTool(t, root(t), lint, "--", "template.yaml", transformed(t)); err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

// What is neither a promise of ours nor a reference, the linter knows.
func TestAWSTheLinterSeesWhatTheSchemasOfAWSForbid(t *testing.T) {
	t.Parallel()
	lint := tool(t, "cfn-lint")
	text, err := os.ReadFile("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for says, edit := range map[string]struct{ old, with, code string }{
		"a property that does not exist":        {"RecursiveLoop: Allow #", "RecursionLoop: Allow #", "E3002"},
		"an alarm's period between two minutes": {"Period: 300\n", "Period: 45\n", "E"},
		"a key attribute without a definition":  {"{AttributeName: failed, KeyType: HASH}", "{AttributeName: fail, KeyType: HASH}", "E3039"},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "template.yaml")
			broken := strings.Replace(string(text), edit.old, edit.with, 1)
			if broken == string(text) {
				t.Fatalf("the template has no %q", edit.old)
			}
			if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := runTool(t, root(t), lint, "--", path); err == nil || !strings.Contains(out, edit.code) {
				t.Errorf("cfn-lint said %v, not %s:\n%s", err, edit.code, out)
			}
		})
	}
}

func TestAWSSAMTakesTheTemplateForValid(t *testing.T) {
	t.Parallel()
	sam := tool(t, "sam")
	for _, env := range []string{"default", "prod"} {
		out, err := runTool(t, root(t), sam, "validate", "--config-env", env)
		if err != nil || !strings.Contains(out, "is a valid SAM Template") {
			t.Errorf("sam validate --config-env %s: %v\n%s", env, err, out)
		}
		if strings.Contains(out, "without lint") {
			t.Errorf("samconfig.toml does not let %s lint", env)
		}
	}
}

// TestAWSSAMBuildsWhatMakeBuilds builds without Docker, as a team would before
// it deploys, from a copy of the source under names that say nothing.
func TestAWSSAMBuildsWhatMakeBuilds(t *testing.T) {
	t.Parallel()
	sam := tool(t, "sam")
	source := copySource(t, filepath.Join(t.TempDir(), "source"))
	for _, name := range []string{"template.yaml", "samconfig.toml"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(source, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := runTool(t, source, sam, "build"); err != nil {
		t.Fatalf("sam build: %v\n%s", err, out)
	}
	if out, err := runTool(t, source, "make", "functions"); err != nil {
		t.Fatalf("make functions: %v\n%s", err, out)
	}
	for _, name := range []string{"Fanout", "Worker", "Photo", "Preview", "Redrive"} {
		folder := filepath.Join(source, ".aws-sam", "build", name+"Function")
		files, err := os.ReadDir(folder)
		if err != nil || len(files) != 2 {
			t.Fatalf("sam build made %v of %s: %v", files, name, err)
		}
		for _, file := range []string{"bootstrap", "zoneinfo.zip"} {
			bySAM, byMake := sumOf(t, filepath.Join(folder, file)), sumOf(t, filepath.Join(source, "dist", name, file))
			if bySAM != byMake {
				t.Errorf("%s: sam build and make functions differ in %s: %x, %x", name, file, bySAM, byMake)
			}
		}
	}
	deployedForm(t, filepath.Join(source, ".aws-sam", "build", "template.yaml"))
}

// deployedForm checks what SAM would deploy: CloudFormation takes no aliases,
// and the promises hold for it too.
func deployedForm(t *testing.T, path string) {
	t.Helper()
	s := subjectOf(parsed(t, path))
	if len(s.refused) > 0 {
		t.Fatal(s.refused)
	}
	for _, p := range promises() {
		for _, problem := range p.check(s) {
			t.Errorf("what SAM built breaks the promise that %s: %s", p.says, problem)
		}
	}
}

func sumOf(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// A template that nobody transformed again would test yesterday's.
func TestAWSTheTransformedTemplateIsOfThisTemplate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "template.json")
	if out, err := runTool(t, root(t), tool(t, "python"), ".ci/aws/transform.py", "template.yaml", path); err != nil {
		t.Fatalf("transform: %v\n%s", err, out)
	}
	fresh, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	given, err := os.ReadFile(transformed(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fresh, given) {
		t.Errorf("%s is not what template.yaml becomes", transformed(t))
	}
	if parsed(t, path).Root["Transform"] != nil {
		t.Error("the transform is still to be done")
	}
}

func TestTheTemplateNeedsNoYAMLThatCloudFormationRefuses(t *testing.T) {
	t.Parallel()
	text := read(t, "template.yaml")
	if found := regexp.MustCompile(`(?m)(^|[:\-[{,] +)[&*][A-Za-z_]\w*(\s|$)|<<:`).FindString(text); found != "" {
		t.Errorf("template.yaml has an anchor, an alias or a merge: %q", found)
	}
}

func TestBothSetsOfSettingsBuildAndDeployAlike(t *testing.T) {
	t.Parallel()
	tables := map[string]map[string]string{}
	table := ""
	for line := range strings.Lines(read(t, "samconfig.toml")) {
		line = strings.TrimSpace(line)
		key, value, is := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "["):
			table = strings.Trim(line, "[]")
			tables[table] = map[string]string{}
		case is && !strings.HasPrefix(line, "#") && table != "":
			tables[table][key] = strings.Trim(value, `"`)
		}
	}
	plain := parsed(t, "../template.yaml")
	for _, env := range []string{"default", "prod"} {
		build, deploy := tables[env+".build.parameters"], tables[env+".deploy.parameters"]
		if build["cached"] != "false" {
			t.Errorf("%s: cached is %q: a change in shared/ would deploy the old binary", env, build["cached"])
		}
		if deploy["capabilities"] != "CAPABILITY_IAM" || deploy["stack_name"] == "" || deploy["resolve_s3"] != "true" || deploy["confirm_changeset"] != "true" {
			t.Errorf("%s deploys as %v", env, deploy)
		}
		given := map[string]string{}
		for pair := range strings.FieldsSeq(deploy["parameter_overrides"]) {
			name, value, _ := strings.Cut(pair, "=")
			given[name] = value
		}
		if _, err := plain.Deploy(template.Deployment{Stack: deploy["stack_name"], Parameters: given}); err != nil {
			t.Errorf("%s: %v", env, err)
		}
	}
	if tables["default.deploy.parameters"]["stack_name"] == tables["prod.deploy.parameters"]["stack_name"] {
		t.Error("both would deploy one stack: " + fmt.Sprint(tables))
	}
}
