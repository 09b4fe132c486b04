package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"stovasync/shared/app"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
)

// redriver is a target whose redrive has come to something.
type redriver struct {
	operator
	out []pipeline.Redriven
	err error
}

func (r redriver) Redrive(context.Context, pipeline.Filter, bool) ([]pipeline.Redriven, error) {
	return r.out, r.err
}

func TestTheExitCodeOfARedrive(t *testing.T) {
	t.Parallel()
	const id = "20310304T090000Z-3f2a0b1c"
	notAwaited := fault.New(fault.RunActive, "1 of 1 failures go on", "look again later: runs summit")
	tests := map[string]struct {
		page run.PageState // of the failed page; "": the type failed
		typ  run.State
		err  error
		code int
		told string // on standard error
	}{
		"a page that is done is nothing left":             {run.PageDone, run.Partial, nil, exitComplete, ""},
		"a page that failed again is left":                {run.PageFailed, run.Partial, nil, exitPartial, ""},
		"a page that still waits is left":                 {run.PageQueued, run.Running, nil, exitPartial, ""},
		"a type that is complete is nothing left":         {"", run.Complete, nil, exitComplete, ""},
		"a type that ended with failed pages has run":     {"", run.Partial, nil, exitComplete, ""},
		"a type that still runs is left":                  {"", run.Running, nil, exitPartial, ""},
		"a type that waits for others is left":            {"", run.Waiting, nil, exitPartial, ""},
		"a type that failed again is left":                {"", run.Failed, nil, exitPartial, ""},
		"what goes on without being waited for is no end": {run.PageFailed, run.Partial, notAwaited, exitError, "look again later: runs summit"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items := pipelinetest.NewMemory().Items()
			put := func(sk string, v any) {
				doc, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				w := pipeline.Write{Key: pipeline.Key{PK: "RUN#" + id, SK: sk}, Version: pipeline.AnyVersion, Doc: doc}
				if err := items.Write(t.Context(), w); err != nil {
					t.Fatal(err)
				}
			}
			x := pipeline.Failure{Connection: "summit", Run: id, Type: run.Users, Code: string(fault.StovaServer), Error: "STOVA_SERVER: x"}
			put("TYPE#users", pipeline.TypeRun{Connection: "summit", Run: id, Type: run.Users, State: tt.typ})
			if tt.page != "" {
				x.Page = "1"
				put("PAGE#users#000001", pipeline.Page{Connection: "summit", Run: id, Type: run.Users, Name: "1", State: tt.page})
			}
			var out, told bytes.Buffer
			c := &cli{program: "stovasync", out: &out, err: &screen{under: &told}}
			at := &site{
				App:      &app.App{Steps: &pipeline.Steps{Ledger: pipeline.Ledger{Items: items}}},
				operator: redriver{out: []pipeline.Redriven{{Failure: x, Verdict: pipeline.Sent}}, err: tt.err}, remote: true,
			}
			code := c.exit(t.Context(), c.redrive(t.Context(), at, nil, filterFlags{}, false))
			if code != tt.code || !strings.Contains(told.String(), tt.told) {
				t.Errorf("exit code %d, want %d, and told %q, want %q", code, tt.code, told.String(), tt.told)
			}
			if state := string(tt.page) + string(tt.typ); !strings.Contains(out.String(), id) || tt.page == "" && !strings.Contains(out.String(), state) {
				t.Errorf("what was re-run is not shown:\n%s", out.String())
			}
		})
	}
}

func TestOnlyAKeyThatFunctionsRememberIsReplaced(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		old, key string
		remote   bool
		want     bool
	}{
		"another key, on a stack":             {"old", "new", true, true},
		"the same key, on a stack":            {"old", "old", true, false},
		"a put without a key, on a stack":     {"old", "", true, false},
		"the first key, on a stack":           {"", "new", true, false},
		"another key, where no functions are": {"old", "new", false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets := pipelinetest.NewMemory().Secrets()
			if tt.old != "" {
				if err := secrets.Put(t.Context(), "summit", tt.old); err != nil {
					t.Fatal(err)
				}
			}
			at := &site{App: &app.App{Secrets: secrets}, remote: tt.remote}
			if got := replacesKey(t.Context(), at, "summit", tt.key); got != tt.want {
				t.Errorf("replacesKey = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWhatARedriveTells(t *testing.T) {
	t.Parallel()
	const next, auth, server = "the next sync brings", "STOVA_AUTH: refused", "STOVA_SERVER: down (503)"
	failed := func(typ run.DataType, verdict string) redrivenView {
		x := pipeline.Failure{Connection: "summit", Run: "r", Type: typ, Page: "1", Code: "STOVA_AUTH", Error: auth}
		return redrivenView{Redriven: pipeline.Redriven{Failure: x, Verdict: verdict}, State: "failed"}
	}
	mended := func(v redrivenView) redrivenView {
		v.State, v.mended, v.over = "done", true, true
		return v
	}
	again := failed(run.Users, pipeline.Sent)
	again.now = server
	elsewhere := failed(run.Users, pipeline.Superseded)
	elsewhere.Connection = "other"
	history := failed(run.Users, pipeline.Removed)
	history.over = true
	tests := map[string]struct {
		views      []redrivenView
		dry        bool
		told, kept []string // what stands there, and what does not
	}{
		"mended users bring what waited for them":      {[]redrivenView{mended(failed(run.Users, pipeline.Sent))}, false, []string{"was: " + auth, next}, []string{"\n" + auth}},
		"users that failed again bring nothing":        {[]redrivenView{again}, false, []string{server}, []string{next, auth, "was: "}},
		"nobody waits for sponsors":                    {[]redrivenView{mended(failed(run.Sponsors, pipeline.Sent))}, false, []string{"was: " + auth}, []string{next}},
		"what was done before is no news":              {[]redrivenView{mended(failed(run.Users, pipeline.Covered))}, false, []string{"was: " + auth}, []string{next}},
		"the mended and the others have their heading": {[]redrivenView{mended(failed(run.Users, pipeline.Sent)), again}, false, []string{"was: " + auth, server, next}, nil},
		"failures of a removed connection are past":    {[]redrivenView{history}, false, []string{"was: " + auth}, []string{next}},
		"a dry run mends nothing":                      {[]redrivenView{failed(run.Users, wouldBeSent)}, true, []string{auth, "would be sent", "Nothing was re-run: --dry-run. Without it: stovasync redrive summit --type users\n"}, []string{next, "was: "}},
		"each connection has a sync of its own":        {[]redrivenView{failed(run.Users, pipeline.Superseded), elsewhere}, true, []string{"only: stovasync sync summit\n", "only: stovasync sync other\n"}, nil},
		"a dry run of what only a sync mends":          {[]redrivenView{failed(run.Users, pipeline.Superseded)}, true, []string{"a new sync only: stovasync sync summit\n", "--dry-run.\n"}, []string{"Without it"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := (&cli{program: "stovasync", out: &out}).printRedriven(tt.views, []string{"summit"}, filterFlags{dataType: "users"}, tt.dry); err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.told {
				if !strings.Contains(out.String(), want) {
					t.Errorf("does not tell %q:\n%s", want, out.String())
				}
			}
			for _, not := range tt.kept {
				if strings.Contains("\n"+out.String(), not) {
					t.Errorf("tells %q:\n%s", not, out.String())
				}
			}
		})
	}
}

func TestSmallAmountsAreShown(t *testing.T) {
	t.Parallel()
	for usd, want := range map[float64]string{
		0: "0.0000", 12.3456789: "12.3457", 0.0123: "0.0123", 0.001: "0.0010", 0.00012345: "0.00012", 0.0000071: "0.0000071", 0.000000001: "0.0000000010",
	} {
		if got := dollars(usd); got != want {
			t.Errorf("dollars(%v) = %s, want %s", usd, got, want)
		}
	}
}
