package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/store"
)

var (
	fine      = awstest.Answer{Status: 200, Body: "{}"}
	noAnswer  = awstest.Answer{}
	throttled = awstest.Fail(400, "ProvisionedThroughputExceededException")
	refused   = awstest.Fail(400, "ConditionalCheckFailedException")
)

// cancelled is the answer to a transaction that was cancelled for these reasons.
func cancelled(reasons ...string) awstest.Answer {
	var list []string
	for _, r := range reasons {
		list = append(list, fmt.Sprintf(`{"Code":%q}`, r))
	}
	return awstest.Answer{Status: 400, Body: `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","CancellationReasons":[` +
		strings.Join(list, ",") + `]}`}
}

func items(s *awstest.Script) *store.Items {
	return store.NewItems(store.ItemsConfig{Client: dynamodb.NewFromConfig(s.Config()), Table: "ledger"})
}

func write(sk string, version int64) pipeline.Write {
	return pipeline.Write{Key: pipeline.Key{PK: "RUN#1", SK: sk}, Version: version, Doc: json.RawMessage(`{"n":1}`)}
}

func TestItemsWriteUnderRefusalsAndFailures(t *testing.T) {
	t.Parallel()
	single := []pipeline.Write{write("A", 1)}
	pair := []pipeline.Write{write("A", 1), write("B", 0)}
	tests := map[string]struct {
		writes   []pipeline.Write
		answers  []awstest.Answer
		attempts int
		version  bool // the error is ErrVersion
		want     string
	}{
		"a write at another version is ErrVersion":                    {single, []awstest.Answer{refused}, 1, true, ""},
		"a throttled write is repeated":                               {single, []awstest.Answer{throttled, throttled, fine}, 3, false, ""},
		"a write beside a transaction is repeated":                    {single, []awstest.Answer{awstest.Fail(400, "TransactionConflictException"), fine}, 2, false, ""},
		"throttling was certainly no write: ErrVersion stays certain": {single, []awstest.Answer{throttled, refused}, 2, true, ""},
		"a write without an answer is repeated":                       {single, []awstest.Answer{noAnswer, fine}, 2, false, ""},
		"a refusal after no answer may be about our own write":        {single, []awstest.Answer{noAnswer, refused}, 2, false, "repeated after no answer"},
		"a refusal after a server's error may be about our own write": {single, []awstest.Answer{awstest.Fail(500, "InternalServerError"), refused}, 2, false, "repeated after no answer"},
		"a write that never gets an answer is an error":               {single, []awstest.Answer{noAnswer}, 5, false, "no answer"},
		"an invalid write is not repeated":                            {single, []awstest.Answer{awstest.Fail(400, "ValidationException")}, 1, false, "ValidationException"},

		"a transaction at another version is ErrVersion":       {pair, []awstest.Answer{cancelled("None", "ConditionalCheckFailed")}, 1, true, ""},
		"a conflict of transactions is repeated":               {pair, []awstest.Answer{cancelled("TransactionConflict", "None"), cancelled("None", "TransactionConflict"), fine}, 3, false, ""},
		"a throttled transaction is repeated":                  {pair, []awstest.Answer{cancelled("ThrottlingError", "None"), cancelled("ProvisionedThroughputExceeded", "None"), fine}, 3, false, ""},
		"a transaction still under way is repeated":            {pair, []awstest.Answer{awstest.Fail(400, "TransactionInProgressException"), fine}, 2, false, ""},
		"a wrong version counts more than a conflict":          {pair, []awstest.Answer{cancelled("ConditionalCheckFailed", "TransactionConflict")}, 1, true, ""},
		"a transaction refused for what it is is not repeated": {pair, []awstest.Answer{cancelled("ValidationError", "TransactionConflict")}, 1, false, "TransactionCanceledException"},
		"a transaction without an answer is repeated":          {pair, []awstest.Answer{noAnswer, fine}, 2, false, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := awstest.InTurn(tt.answers...)
				err := items(s).Write(t.Context(), tt.writes...)
				if n := len(s.Asked()); n != tt.attempts {
					t.Errorf("%d attempts, want %d", n, tt.attempts)
				}
				if errors.Is(err, pipeline.ErrVersion) != tt.version {
					t.Errorf("error = %v, ErrVersion wanted: %v", err, tt.version)
				}
				if !tt.version && (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error = %v, want one with %q", err, tt.want)
				}
				if tt.want != "" && fault.CodeOf(err) != fault.StoreUnavailable {
					t.Errorf("code = %q, want STORE_UNAVAILABLE", fault.CodeOf(err))
				}
			})
		})
	}
}

func TestItemsTransactionHasOneTokenForAllItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := awstest.InTurn(noAnswer, cancelled("TransactionConflict", "None"), fine)
		ledger := items(s)
		for range 2 {
			if err := ledger.Write(t.Context(), write("A", 1), write("B", 1)); err != nil {
				t.Fatal(err)
			}
		}
		var tokens []string
		for _, r := range s.Asked() {
			var body struct{ ClientRequestToken string }
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, body.ClientRequestToken)
		}
		if len(tokens) != 4 || tokens[0] == "" || tokens[1] != tokens[0] || tokens[2] != tokens[0] || tokens[3] == tokens[0] {
			t.Errorf("tokens %q, want three alike and another for the next call", tokens)
		}
	})
}

func TestItemsWriteIsRepeatedUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer awstest.Answer
		writes []pipeline.Write
	}{
		"throttled":   {throttled, []pipeline.Write{write("A", 1)}},
		"in conflict": {cancelled("TransactionConflict", "None"), []pipeline.Write{write("A", 1), write("B", 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
				defer cancel()
				start := time.Now()
				err := items(awstest.InTurn(tt.answer)).Write(ctx, tt.writes...)
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pipeline.ErrVersion) {
					t.Errorf("error = %v, want the deadline", err)
				}
				if spent := time.Since(start); spent != 4*time.Minute {
					t.Errorf("gave up after %s, want at the deadline", spent)
				}
			})
		})
	}
}

func TestItemsTransactionEndsBeforeItsTokenDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := items(awstest.InTurn(cancelled("TransactionConflict", "None"))).Write(t.Context(), write("A", 1), write("B", 1))
		if spent := time.Since(start); err == nil || spent >= 10*time.Minute {
			t.Errorf("error %v after %s, want one within ten minutes", err, spent)
		}
	})
}

func TestItemsRefuseWhatDynamoDBCouldNotKeep(t *testing.T) {
	t.Parallel()
	thirtyEight := strings.Repeat("9", 38)
	tests := map[string]struct {
		doc string
		ok  bool
	}{
		"a number of 38 digits is kept":           {`{"n":` + thirtyEight + `}`, true},
		"a fraction of 38 digits is kept":         {`{"n":-0.` + thirtyEight + `}`, true},
		"zeros that say nothing do not count":     {`{"n":` + thirtyEight + `000.000}`, true},
		"a number of 39 digits is refused":        {`{"n":` + thirtyEight + `9}`, false},
		"a number of 39 digits inside is refused": {`{"list":[{"n":1.` + thirtyEight + `}]}`, false},
		"the largest magnitude is kept":           {`{"n":9.9e125}`, true},
		"a larger magnitude is refused":           {`{"n":1e126}`, false},
		"the smallest magnitude is kept":          {`{"n":1E-130}`, true},
		"a smaller magnitude is refused":          {`{"n":0.9e-130}`, false},
		"an exponent beyond all sense is refused": {`{"n":1e99999999999999999999}`, false},
		"zero with any exponent is zero":          {`{"n":0e999}`, true},
		"a list is no document":                   {`[1]`, false},
		"null is no document":                     {`null`, false},
		"two documents are none":                  {`{} {}`, false},
		"broken JSON is no document":              {`{"n":`, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := awstest.InTurn(fine)
			w := write("A", 1)
			w.Doc = json.RawMessage(tt.doc)
			err := items(s).Write(t.Context(), w)
			if (err == nil) != tt.ok || (len(s.Asked()) > 0) != tt.ok {
				t.Errorf("Write of %s: error %v after %d requests, want it taken: %v", tt.doc, err, len(s.Asked()), tt.ok)
			}
			if err != nil && strings.Contains(err.Error(), "9999") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

func TestItemsReadConsistentlyButTheIndex(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(awstest.Answer{Status: 200, Body: `{"Items":[],"Count":0}`})
	ledger := items(s)
	if _, err := ledger.Get(t.Context(), pipeline.Key{PK: "A", SK: "B"}); err != nil {
		t.Fatal(err)
	}
	for range ledger.Query(t.Context(), pipeline.Query{PK: "A"}) {
	}
	for range ledger.Failed(t.Context(), "summit") {
	}
	for range ledger.Failed(t.Context(), "") {
	}
	var got []string
	for _, r := range s.Asked() {
		var body struct {
			ConsistentRead bool
			IndexName      string
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s %v", r.Op, body.IndexName, body.ConsistentRead))
	}
	want := []string{"GetItem  true", "Query  true", "Query failed false", "Scan failed false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
}

func TestItemsSequencesStopAfterAnError(t *testing.T) {
	t.Parallel()
	page := awstest.Answer{Status: 200, Body: `{"Items":[{"pk":{"S":"A"},"sk":{"S":"1"},"version":{"N":"1"},"doc":{"M":{}}}],
		"LastEvaluatedKey":{"pk":{"S":"A"},"sk":{"S":"1"}}}`}
	strange := awstest.Answer{Status: 200, Body: `{"Items":[{"pk":{"S":"A"},"sk":{"S":"2"}},{"pk":{"S":"A"},"sk":{"S":"3"}}]}`}
	for name, tt := range map[string]struct {
		second awstest.Answer
		want   []string
	}{
		"of the service":         {awstest.Fail(400, "ResourceNotFoundException"), []string{"A 1", "error"}},
		"of an item not of ours": {strange, []string{"A 1", "error"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for which, read := range map[string]func(*store.Items) []string{
				"query":  func(l *store.Items) []string { return outcomes(l.Query(t.Context(), pipeline.Query{PK: "A"})) },
				"failed": func(l *store.Items) []string { return outcomes(l.Failed(t.Context(), "")) },
			} {
				if diff := cmp.Diff(tt.want, read(items(awstest.InTurn(page, tt.second)))); diff != "" {
					t.Errorf("%s (-want +got):\n%s", which, diff)
				}
			}
		})
	}
}

func outcomes(seq func(func(pipeline.Item, error) bool)) []string {
	var got []string
	for it, err := range seq {
		if err != nil {
			got = append(got, "error")
			continue
		}
		got = append(got, it.PK+" "+it.SK)
	}
	return got
}

func TestMeterAddsUpWhatCallsConsume(t *testing.T) {
	t.Parallel()
	s := awstest.Play(func(_ int, r awstest.Request) awstest.Answer {
		if !strings.Contains(string(r.Body), `"ReturnConsumedCapacity":"TOTAL"`) {
			t.Errorf("%s does not ask for its units", r.Op)
		}
		if r.Op == "TransactWriteItems" {
			return awstest.Answer{Status: 200, Body: `{"ConsumedCapacity":[{"TableName":"ledger","CapacityUnits":4}]}`}
		}
		return awstest.Answer{Status: 200, Body: `{"ConsumedCapacity":{"TableName":"ledger","CapacityUnits":0.5}}`}
	})
	var got []string
	ledger := store.NewItems(store.ItemsConfig{
		Client: dynamodb.NewFromConfig(s.Config()), Table: "ledger",
		Meter: func(op string, units float64) { got = append(got, fmt.Sprintf("%s %g", op, units)) },
	})
	if _, err := ledger.Get(t.Context(), pipeline.Key{PK: "A", SK: "B"}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ledger.Write(t.Context(), write("A", 1)), ledger.Write(t.Context(), write("A", 1), write("B", 1))); err != nil {
		t.Fatal(err)
	}
	if want := []string{"GetItem 0.5", "UpdateItem 0.5", "TransactWriteItems 4"}; !slices.Equal(got, want) {
		t.Errorf("metered %q, want %q", got, want)
	}
}
