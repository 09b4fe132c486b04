package emulator

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBatchResponsesAreReadAsLambdaReadsThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload string
		ids     []string
		ok      bool
	}{
		"nothing":                      {``, nil, true},
		"null":                         {`null`, nil, true},
		"an empty text":                {`""`, nil, true},
		"an empty object":              {`{}`, nil, true},
		"a null list":                  {`{"batchItemFailures":null}`, nil, true},
		"an empty list":                {`{"batchItemFailures":[]}`, nil, true},
		"two failures":                 {`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}`, []string{"a", "b"}, true},
		"an entry without identifier":  {`{"batchItemFailures":[{"id":"a"}]}`, nil, false},
		"an entry with a null":         {`{"batchItemFailures":[{"itemIdentifier":null}]}`, nil, false},
		"an entry with an empty one":   {`{"batchItemFailures":[{"itemIdentifier":""}]}`, nil, false},
		"an answer that is no JSON":    {`oops`, nil, false},
		"an answer that is a list":     {`[]`, nil, false},
		"a list that is a text of its": {`{"batchItemFailures":"a"}`, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ids, ok := failures([]byte(c.payload))
			if ok != c.ok || ok && !slices.Equal(ids, c.ids) {
				t.Errorf("failures(%s) = %q, %v, want %q, %v", c.payload, ids, ok, c.ids, c.ok)
			}
		})
	}
}

// signed is a call as an SDK sends it.
func signed(method, target, service, body string) *http.Request {
	op, path, _ := strings.Cut(target, " ")
	r := httptest.NewRequest(method, "http://gateway.example.test"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDFUNCTIONWORKER/20310304/eu-central-1/"+service+"/aws4_request, SignedHeaders=host")
	if op != "" {
		r.Header.Set("X-Amz-Target", "Any_20120810."+op)
	}
	return r
}

func TestCallsNeedTheRightsOfTheirParts(t *testing.T) {
	t.Parallel()
	n := names{"aws", "eu-central-1", "123456789012"}
	const table, queue = "arn:aws:dynamodb:eu-central-1:123456789012:table/", "arn:aws:sqs:eu-central-1:123456789012:"
	for name, c := range map[string]struct {
		method, target, service, body string
		want                          []Access // none: nobody can say
	}{
		"an item":           {"POST", "GetItem /", "dynamodb", `{"TableName":"t"}`, []Access{{"dynamodb:GetItem", table + "t"}}},
		"an index":          {"POST", "Query /", "dynamodb", `{"TableName":"t","IndexName":"i"}`, []Access{{"dynamodb:Query", table + "t/index/i"}}},
		"a batch of reads":  {"POST", "BatchGetItem /", "dynamodb", `{"RequestItems":{"t":{}}}`, []Access{{"dynamodb:BatchGetItem", table + "t"}}},
		"a transaction":     {"POST", "TransactWriteItems /", "dynamodb", `{"TransactItems":[{"Update":{"TableName":"t"}},{"ConditionCheck":{"TableName":"u"}}]}`, []Access{{"dynamodb:UpdateItem", table + "t"}, {"dynamodb:ConditionCheckItem", table + "u"}}},
		"no table":          {"POST", "PutItem /", "dynamodb", `{}`, nil},
		"an unknown part":   {"POST", "TransactWriteItems /", "dynamodb", `{"TransactItems":[{"Destroy":{"TableName":"t"}}]}`, nil},
		"a batch of sends":  {"POST", "SendMessageBatch /", "sqs", `{"QueueUrl":"https://sqs.example.test/123456789012/q"}`, []Access{{"sqs:SendMessage", queue + "q"}}},
		"no queue":          {"POST", "SendMessage /", "sqs", `{}`, nil},
		"an object":         {"PUT", " /b/raw/1.json?x-id=PutObject", "s3", ``, []Access{{"s3:PutObject", "arn:aws:s3:::b/raw/1.json"}}},
		"whether it exists": {"HEAD", " /b/k", "s3", ``, []Access{{"s3:GetObject", "arn:aws:s3:::b/k"}}},
		"a list":            {"GET", " /b?list-type=2&prefix=raw%2F", "s3", ``, []Access{{"s3:ListBucket", "arn:aws:s3:::b"}}},
		"many deletes":      {"POST", " /b?delete=", "s3", `<Delete><Object><Key>raw/1</Key></Object><Object><Key>raw/2</Key></Object></Delete>`, []Access{{"s3:DeleteObject", "arn:aws:s3:::b/raw/1"}, {"s3:DeleteObject", "arn:aws:s3:::b/raw/2"}}},
		"an ACL":            {"PUT", " /b/k?acl=", "s3", ``, nil},
		"a new bucket":      {"PUT", " /b", "s3", ``, nil},
		"a parameter":       {"POST", "GetParameter /", "ssm", `{"Name":"/stovasync/summit/a"}`, []Access{{"ssm:GetParameter", "arn:aws:ssm:eu-central-1:123456789012:parameter/stovasync/summit/a"}}},
		"another service":   {"POST", "Publish /", "sns", `{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := needs(parse(signed(c.method, c.target, c.service, c.body), []byte(c.body)), n)
			if (err == nil) != (c.want != nil) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("needs (-want +got):\n%s", diff)
			}
		})
	}
}

// gatewayTo returns a gateway that permits some actions, in front of a service
// that answers 404 to S3 and else with the entries that it got.
func gatewayTo(t *testing.T, permitted ...string) *Gateway {
	t.Helper()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") == "" {
			http.NotFound(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte(`{"Successful":`), append(body, '}')...))
	}))
	t.Cleanup(service.Close)
	upstream, err := url.Parse(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(upstream, names{"aws", "eu-central-1", "123456789012"}, func(_ string, a Access) bool { return slices.Contains(permitted, a.Action) })
	g.principals["AKIDFUNCTIONWORKER"] = "WorkerFunction"
	return g
}

func TestTheGatewayRefusesWhatARoleDoesNotPermit(t *testing.T) {
	t.Parallel()
	const get, list = "s3:GetObject", "s3:ListBucket"
	for name, c := range map[string]struct {
		permitted []string
		call      *http.Request
		status    int
		refused   string
	}{
		"a call that is permitted passes":               {[]string{"ssm:GetParameter"}, signed("POST", "GetParameter /", "ssm", `{"Name":"/a"}`), 200, ""},
		"one that is not is refused":                    {nil, signed("POST", "GetParameter /", "ssm", `{"Name":"/a"}`), 403, "WorkerFunction: ssm:GetParameter on arn:aws:ssm:eu-central-1:123456789012:parameter/a"},
		"one that nobody knows is refused":              {[]string{"s3:PutObjectAcl"}, signed("PUT", " /b/k?acl=", "s3", ""), 403, "WorkerFunction: s3 PUT with the query map[acl:[]] is not known"},
		"a key that holds nothing is told to who lists": {[]string{get, list}, signed("GET", " /b/k", "s3", ""), 404, ""},
		"and to nobody else":                            {[]string{get}, signed("GET", " /b/k", "s3", ""), 403, "WorkerFunction: s3:ListBucket on arn:aws:s3:::b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gatewayTo(t, c.permitted...)
			w := httptest.NewRecorder()
			g.ServeHTTP(w, c.call)
			if got := strings.Join(g.Refused(), "; "); w.Code != c.status || got != c.refused {
				t.Errorf("status %d, refused %q, want %d, %q", w.Code, got, c.status, c.refused)
			}
			if calls := g.Calls(); len(calls) != 1 || calls[0].Principal != "WorkerFunction" || calls[0].Status != c.status {
				t.Errorf("recorded: %+v", calls)
			}
		})
	}
}

func TestABatchCanBeTakenInPart(t *testing.T) {
	t.Parallel()
	g := gatewayTo(t, "sqs:SendMessage")
	g.Fault(Fault{Hits: func(Call) bool { return true }, Times: 1, Code: "InternalError", FailEntries: true})
	for _, want := range []string{
		`{"Failed":[{"Code":"InternalError","Id":"0","Message":"invented","SenderFault":false},{"Code":"InternalError","Id":"2","Message":"invented","SenderFault":false}],` +
			`"Successful":{"Entries":[{"Id":"1"}],"QueueUrl":"https://sqs.example.test/1/q"}}`,
		`{"Successful":{"QueueUrl":"https://sqs.example.test/1/q","Entries":[{"Id":"0"},{"Id":"1"},{"Id":"2"}]}}`,
	} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, signed("POST", "SendMessageBatch /", "sqs", `{"QueueUrl":"https://sqs.example.test/1/q","Entries":[{"Id":"0"},{"Id":"1"},{"Id":"2"}]}`))
		if got := w.Body.String(); got != want {
			t.Errorf("answer\n%s, want\n%s", got, want)
		}
	}
}
