package emulator_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"stovasync/shared/emulator"
)

// queueOfOne answers SQS's calls: the message once, and what was said for an
// operation before that.
type queueOfOne struct {
	mu     sync.Mutex
	refuse map[string]string // an error's code by operation, once
	asked  map[string]int
	after  int           // receives after the refusal
	done   chan struct{} // closed at the second of these
	handed bool
}

const oneMessage = `{"Messages":[{"MessageId":"m","ReceiptHandle":"r","Body":"{}","MD5OfBody":"99914b932bd37a50b983c5e7c90ae93b","Attributes":{"ApproximateReceiveCount":"1"}}]}`

func (q *queueOfOne) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	q.mu.Lock()
	defer q.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	q.asked[op]++
	if code, bad := q.refuse[op]; bad {
		delete(q.refuse, op)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"__type":"com.amazonaws.sqs#%s","message":"invented"}`, code)
		return
	}
	answer := "{}"
	if op == "ReceiveMessage" {
		if !q.handed {
			q.handed, answer = true, oneMessage
		}
		if len(q.refuse) == 0 {
			q.after++
		}
		if q.after == 2 {
			close(q.done)
		}
	}
	_, _ = fmt.Fprint(w, answer)
}

func TestAMappingGoesOnAfterACallThatFailed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		op, code string
		told     bool
	}{
		"a receive that is refused is told":                               {"ReceiveMessage", "OverLimit", true},
		"a message that is with another receiver already is nothing":      {"ChangeMessageVisibility", "ReceiptHandleIsInvalid", false},
		"a message that is visible already is nothing":                    {"ChangeMessageVisibility", "MessageNotInflight", false},
		"a message whose visibility cannot be changed otherwise, is told": {"ChangeMessageVisibility", "InvalidAddress", true},
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := exec.LookPath("false")
			if err != nil {
				t.Fatal(err)
			}
			q := &queueOfOne{refuse: map[string]string{tt.op: tt.code}, asked: map[string]int{}, done: make(chan struct{})}
			server := httptest.NewServer(q)
			defer server.Close()
			client := sqs.NewFromConfig(aws.Config{
				Region: "eu-central-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIDINVENTED", "invented", ""),
			})
			told := make(chan error, 10)
			m := emulator.NewMapping(emulator.MappingConfig{
				// A program that ends at once: its message is kept.
				Function: emulator.NewFunction(emulator.FunctionConfig{Name: "broken", Program: program, Timeout: time.Minute}),
				Client:   client, Operator: client, QueueURL: server.URL + "/1/q", Patience: time.Millisecond, Failed: func(err error) { told <- err },
			})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				m.Run(ctx)
				close(ended)
			}()
			<-q.done // it goes on to poll
			cancel()
			<-ended
			q.mu.Lock()
			defer q.mu.Unlock()
			if q.asked[tt.op] == 0 || len(q.refuse) > 0 {
				t.Fatalf("%s was never refused: %v", tt.op, q.asked)
			}
			if got := len(told); got != map[bool]int{true: 1}[tt.told] {
				t.Errorf("%d failures were told, want them told: %t", got, tt.told)
			}
		})
	}
}
