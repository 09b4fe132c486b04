package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Deployment is what the outputs of a stack tell an operator.
type Deployment struct {
	Resources

	FanoutFunction  string // its name; it starts runs
	RedriveFunction string // its name; it re-runs failures
	// PreviewFunction is the name of the function that previews a sample of rows;
	// "" of a stack that is older than it.
	PreviewFunction string
	// KMSKey is the customer's own key, which keys of connections are encrypted
	// with too; "" for the account's default key.
	KMSKey string
}

// outputs says which output of template.yaml tells what a function gets as a variable.
func outputs() map[string]string {
	return map[string]string{
		"LEDGER_TABLE": "LedgerTable", "RECORDS_TABLE": "RecordsTable", "BUCKET": "Bucket",
		"TASKS_QUEUE_URL": "TasksQueueUrl", "TASKS_DLQ_URL": "TasksDlqUrl",
		"PHOTOS_QUEUE_URL": "PhotosQueueUrl", "PHOTOS_DLQ_URL": "PhotosDlqUrl",
		"SECRET_PREFIX": "SecretPrefix", "VISIBILITY_SECONDS": "VisibilitySeconds", "MAX_RECEIVES": "MaxReceives",
	}
}

// IsDeployment reports whether outputs are those of a stack of ours.
func IsDeployment(given map[string]string) bool { return len(missing(given)) == 0 }

// missing names the outputs that every stack of ours has and this one has not.
func missing(given map[string]string) []string {
	var names []string
	for _, name := range append(slices.Collect(maps.Values(outputs())), "FanoutFunction", "RedriveFunction") {
		if strings.TrimSpace(given[name]) == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ParseOutputs reads the outputs of a stack. The error is CONFIG_INVALID: the
// stack is another's, older than what the command line needs, or its outputs
// are not what template.yaml says.
func ParseOutputs(stack string, given map[string]string) (Deployment, error) {
	if lacks := missing(given); len(lacks) > 0 {
		all := len(outputs()) + 2
		if len(lacks) == all {
			return Deployment{}, invalid(0, fmt.Sprintf("stack %s is none of stovasync's: it has none of the outputs that template.yaml gives", stack), "name the stack that sam deploy made")
		}
		return Deployment{}, invalid(0, fmt.Sprintf("stack %s has no output %s", stack, strings.Join(lacks, ", ")), "deploy it again from the same version as this program")
	}
	env := environment{lookup: func(name string) (string, bool) {
		v, ok := given[outputs()[name]]
		return v, ok
	}}
	d := Deployment{FanoutFunction: given["FanoutFunction"], RedriveFunction: given["RedriveFunction"], PreviewFunction: given["PreviewFunction"], KMSKey: given["KmsKeyArn"]}
	for _, v := range d.variables() {
		*v.into = env.get(v.name)
	}
	d.Stack = stack
	env.complete(&d.Resources)
	if len(env.problems) > 0 {
		return Deployment{}, errors.Join(env.problems...)
	}
	return d, nil
}
