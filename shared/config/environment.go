package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// TargetKind says which family of adapters a process uses.
type TargetKind string

// The two families (design.md §4).
const (
	Local TargetKind = "local"
	AWS   TargetKind = "aws"
)

// DefaultTarget is the target where none is given.
const DefaultTarget = "local:.stovasync"

// Target is where a process keeps its data: a folder, or the stack of a deployment.
type Target struct {
	Kind  TargetKind
	Dir   string // of Local
	Stack string // of AWS
}

// String is the form that ParseTarget reads.
func (t Target) String() string { return string(t.Kind) + ":" + t.Dir + t.Stack }

// CloudFormation's own rule for stack names.
var stackPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,127}$`)

// ParseTarget reads "local:DIR" or "aws:STACK". The error is CONFIG_INVALID.
func ParseTarget(s string) (Target, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(s), ":")
	switch {
	case kind == string(Local) && strings.TrimSpace(rest) != "":
		return Target{Kind: Local, Dir: rest}, nil
	case kind == string(AWS) && stackPattern.MatchString(rest):
		return Target{Kind: AWS, Stack: rest}, nil
	default:
		return Target{}, invalid(0, "target "+shown(s)+" is unknown", "write local:DIR, or aws:STACK with the name of a stack")
	}
}

// Config is the environment of one process.
type Config struct {
	Target Target
	// Key is STOVASYNC_KEY, the secret key for `connections put`; "" if not set.
	Key string `json:"-"`
	// Resources are the deployment's names as its functions get them. It is nil
	// for the local target, and on a machine that only knows the stack's name:
	// there they are read from the stack itself.
	Resources *Resources
}

// String never shows the key.
func (c Config) String() string { return "target " + c.Target.String() }

// GoString is String, so that %#v shows no key either.
func (c Config) GoString() string { return c.String() }

// Resources names what template.yaml deploys.
type Resources struct {
	Stack          string        // STACK
	LedgerTable    string        // LEDGER_TABLE
	RecordsTable   string        // RECORDS_TABLE
	Bucket         string        // BUCKET
	TasksQueueURL  string        // TASKS_QUEUE_URL
	PhotosQueueURL string        // PHOTOS_QUEUE_URL
	TasksDLQURL    string        // TASKS_DLQ_URL
	PhotosDLQURL   string        // PHOTOS_DLQ_URL
	SecretPrefix   string        // SECRET_PREFIX, default /stovasync/STACK/; starts and ends with a slash
	Visibility     time.Duration // VISIBILITY_SECONDS, default 1800
	MaxReceives    int           // MAX_RECEIVES, default 5
}

// variables are the names without a default.
func (r *Resources) variables() []variable {
	return []variable{
		{"STACK", &r.Stack, stackPattern.MatchString, "the stack's name"},
		{"LEDGER_TABLE", &r.LedgerTable, notBlank, "a table's name"},
		{"RECORDS_TABLE", &r.RecordsTable, notBlank, "a table's name"},
		{"BUCKET", &r.Bucket, notBlank, "a bucket's name"},
		{"TASKS_QUEUE_URL", &r.TasksQueueURL, isURL, "a queue's URL"},
		{"PHOTOS_QUEUE_URL", &r.PhotosQueueURL, isURL, "a queue's URL"},
		{"TASKS_DLQ_URL", &r.TasksDLQURL, isURL, "a queue's URL"},
		{"PHOTOS_DLQ_URL", &r.PhotosDLQURL, isURL, "a queue's URL"},
	}
}

type variable struct {
	name  string
	into  *string
	valid func(string) bool
	what  string
}

func notBlank(s string) bool { return strings.TrimSpace(s) != "" }

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// Load reads the environment of a function or of the CLI through lookup, which
// is os.LookupEnv outside of tests. Without STOVASYNC_TARGET the target is
// aws:STACK in a function, or where the tables are named, else DefaultTarget. The
// error joins every variable that is missing or wrong, as CONFIG_INVALID.
func Load(lookup func(string) (string, bool)) (Config, error) {
	return LoadTarget(lookup, "")
}

// LoadTarget is Load where a flag --target may have been given. It goes before
// STOVASYNC_TARGET, and is what errors about it name; "" is none.
func LoadTarget(lookup func(string) (string, bool), flag string) (Config, error) {
	env := environment{lookup: lookup, flag: strings.TrimSpace(flag)}
	res := &Resources{}
	for _, v := range res.variables() {
		*v.into = env.get(v.name)
	}
	// Not every name tells: STACK and BUCKET may mean something else on a
	// person's machine.
	deployed := env.get("AWS_LAMBDA_FUNCTION_NAME")+res.LedgerTable+res.RecordsTable != ""
	c := Config{Key: env.get("STOVASYNC_KEY"), Target: env.target(res.Stack, deployed)}
	if c.Target.Kind == AWS && deployed {
		res.Stack = cmp.Or(res.Stack, c.Target.Stack)
		env.complete(res)
		if c.Target.Stack != res.Stack {
			env.problem("STACK is "+shown(res.Stack)+" but "+env.source()+" names "+shown(c.Target.Stack), "set both to the same stack")
		}
		c.Resources = res
	}
	if len(env.problems) > 0 {
		return Config{}, errors.Join(env.problems...)
	}
	return c, nil
}

// environment collects what is wrong while variables are read.
type environment struct {
	lookup   func(string) (string, bool)
	flag     string // --target; "" when it was not given
	problems []error
}

// source names what says the target.
func (e *environment) source() string {
	if e.flag != "" {
		return "--target"
	}
	return "STOVASYNC_TARGET"
}

func (e *environment) get(name string) string {
	v, _ := e.lookup(name)
	return strings.TrimSpace(v)
}

func (e *environment) problem(msg, next string) {
	e.problems = append(e.problems, invalid(0, msg, next))
}

func (e *environment) target(stack string, deployed bool) Target {
	given := cmp.Or(e.flag, e.get("STOVASYNC_TARGET"))
	if given == "" && deployed {
		// The stack's name is checked with the other variables.
		return Target{Kind: AWS, Stack: stack}
	}
	t, err := ParseTarget(cmp.Or(given, DefaultTarget))
	if err != nil {
		e.problem(e.source()+" is "+shown(given), "set local:DIR, or aws:STACK with the name of a stack")
	}
	return t
}

// complete checks the variables of a deployment and fills in the defaults.
func (e *environment) complete(r *Resources) {
	for _, v := range r.variables() {
		switch {
		case *v.into == "":
			e.problem(v.name+" is missing", "set it to "+v.what+", as template.yaml does")
		case !v.valid(*v.into):
			e.problem(v.name+" is "+shown(*v.into), "set it to "+v.what+", as template.yaml does")
		}
	}
	r.SecretPrefix = cmp.Or(e.get("SECRET_PREFIX"), "/stovasync/"+r.Stack+"/")
	if !strings.HasPrefix(r.SecretPrefix, "/") {
		e.problem("SECRET_PREFIX does not start with a slash", "set it as in /stovasync/STACK/")
	}
	r.SecretPrefix = withSlash(r.SecretPrefix)
	r.Visibility = time.Duration(e.whole("VISIBILITY_SECONDS", 1800, 1, 43200)) * time.Second
	r.MaxReceives = e.whole("MAX_RECEIVES", 5, 1, 1000)
}

// whole reads a number; the ranges are those of SQS.
func (e *environment) whole(name string, otherwise, low, high int) int {
	s := e.get(name)
	if s == "" {
		return otherwise
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < low || v > high {
		e.problem(name+" is "+shown(s), fmt.Sprintf("set a whole number from %d to %d", low, high))
	}
	return v
}
