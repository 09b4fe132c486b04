package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/config"
)

func deployment(changes map[string]string) func(string) (string, bool) {
	env := map[string]string{
		"STACK": "events-live", "LEDGER_TABLE": "ledger", "RECORDS_TABLE": "records", "BUCKET": "objects",
		"TASKS_QUEUE_URL": "https://queue.example.test/1/tasks", "PHOTOS_QUEUE_URL": "https://queue.example.test/1/photos",
		"TASKS_DLQ_URL": "https://queue.example.test/1/tasks-dead", "PHOTOS_DLQ_URL": "https://queue.example.test/1/photos-dead",
	}
	for k, v := range changes {
		env[k] = v
	}
	return lookup(env)
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func resources() *config.Resources {
	return &config.Resources{
		Stack: "events-live", LedgerTable: "ledger", RecordsTable: "records", Bucket: "objects",
		TasksQueueURL: "https://queue.example.test/1/tasks", PhotosQueueURL: "https://queue.example.test/1/photos",
		TasksDLQURL: "https://queue.example.test/1/tasks-dead", PhotosDLQURL: "https://queue.example.test/1/photos-dead",
		SecretPrefix: "/stovasync/events-live/", Visibility: 30 * time.Minute, MaxReceives: 5,
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	tuned := resources()
	tuned.SecretPrefix, tuned.Visibility, tuned.MaxReceives = "/other/", 90*time.Second, 3
	tests := map[string]struct {
		lookup func(string) (string, bool)
		want   config.Config
	}{
		"an empty environment means the folder":        {lookup(nil), config.Config{Target: config.Target{Kind: config.Local, Dir: ".stovasync"}}},
		"a blank target counts as none":                {lookup(map[string]string{"STOVASYNC_TARGET": " "}), config.Config{Target: config.Target{Kind: config.Local, Dir: ".stovasync"}}},
		"the key is kept":                              {lookup(map[string]string{"STOVASYNC_KEY": "INVENTED"}), config.Config{Key: "INVENTED", Target: config.Target{Kind: config.Local, Dir: ".stovasync"}}},
		"a folder may hold a colon":                    {lookup(map[string]string{"STOVASYNC_TARGET": "local:C:\\data"}), config.Config{Target: config.Target{Kind: config.Local, Dir: "C:\\data"}}},
		"an operator names only the stack":             {lookup(map[string]string{"STOVASYNC_TARGET": "aws:events-live"}), config.Config{Target: config.Target{Kind: config.AWS, Stack: "events-live"}}},
		"a function has the names of its stack":        {deployment(nil), config.Config{Target: config.Target{Kind: config.AWS, Stack: "events-live"}, Resources: resources()}},
		"the numbers and the prefix may be set":        {deployment(map[string]string{"SECRET_PREFIX": "/other", "VISIBILITY_SECONDS": "90", "MAX_RECEIVES": "3"}), config.Config{Target: config.Target{Kind: config.AWS, Stack: "events-live"}, Resources: tuned}},
		"a local target needs no names":                {deployment(map[string]string{"STOVASYNC_TARGET": "local:x", "BUCKET": ""}), config.Config{Target: config.Target{Kind: config.Local, Dir: "x"}}},
		"other programs' STACK and BUCKET say nothing": {lookup(map[string]string{"STACK": "x", "BUCKET": "y"}), config.Config{Target: config.Target{Kind: config.Local, Dir: ".stovasync"}}},
		"the target gives the stack's name":            {deployment(map[string]string{"STOVASYNC_TARGET": "aws:events-live", "STACK": ""}), config.Config{Target: config.Target{Kind: config.AWS, Stack: "events-live"}, Resources: resources()}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := config.Load(tt.lookup)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Load (-want +got):\n%s", diff)
			}
			if s := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(s, "INVENTED") {
				t.Errorf("printing shows the key: %s", s)
			}
		})
	}
}

func TestLoadProblems(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		lookup func(string) (string, bool)
		want   []string
	}{
		"a function tells every name it lacks": {lookup(map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "worker"}), []string{
			"STACK is missing", "LEDGER_TABLE is missing", "RECORDS_TABLE is missing", "BUCKET is missing", "TASKS_QUEUE_URL is missing", "PHOTOS_QUEUE_URL is missing", "TASKS_DLQ_URL is missing", "PHOTOS_DLQ_URL is missing"}},
		"wrong values come together": {deployment(map[string]string{"TASKS_QUEUE_URL": "tasks", "SECRET_PREFIX": "x", "VISIBILITY_SECONDS": "50000", "MAX_RECEIVES": "many"}), []string{
			"TASKS_QUEUE_URL is \"tasks\"", "SECRET_PREFIX", "VISIBILITY_SECONDS is \"50000\"; set a whole number from 1 to 43200", "MAX_RECEIVES"}},
		"two names of the stack must agree": {deployment(map[string]string{"STOVASYNC_TARGET": "aws:other"}), []string{"set both to the same stack"}},
		"an unknown target is refused":      {lookup(map[string]string{"STOVASYNC_TARGET": "gcp:x"}), []string{"STOVASYNC_TARGET is \"gcp:x\""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := config.Load(tt.lookup)
			checkProblems(t, err, tt.want)
			if diff := cmp.Diff(config.Config{}, got); diff != "" {
				t.Errorf("config beside an error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAWrongTargetIsBlamedOnWhatSaidIt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		lookup func(string) (string, bool)
		flag   string
		want   []string
	}{
		"the flag":                               {lookup(nil), "gcp:x", []string{`--target is "gcp:x"`}},
		"the flag, though the variable is right": {lookup(map[string]string{"STOVASYNC_TARGET": "local:x"}), "gcp:x", []string{`--target is "gcp:x"`}},
		"the variable":                           {lookup(map[string]string{"STOVASYNC_TARGET": "gcp:x"}), " ", []string{`STOVASYNC_TARGET is "gcp:x"`}},
		"the flag that names another stack":      {deployment(nil), "aws:other", []string{`--target names "other"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.LoadTarget(tt.lookup, tt.flag)
			checkProblems(t, err, tt.want)
		})
	}
}

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]config.Target{
		"local:.stovasync": {Kind: config.Local, Dir: ".stovasync"},
		"local:/data/x":    {Kind: config.Local, Dir: "/data/x"},
		"aws:events-live":  {Kind: config.AWS, Stack: "events-live"},
	} {
		got, err := config.ParseTarget(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("ParseTarget(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "local", "local:", "local: ", "aws:", "aws:9x", "aws:a b", "aws:a/b", "AWS:x", "x"} {
		if got, err := config.ParseTarget(in); err == nil {
			t.Errorf("ParseTarget(%q) = %v, want an error", in, got)
		}
	}
}
