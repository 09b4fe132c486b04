package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

func scripted(s *awstest.Script) *queue.SQS {
	return queue.NewSQS(queue.SQSConfig{
		Client: sqs.NewFromConfig(s.Config()),
		URLs:   map[run.Queue]string{run.TasksQueue: "http://aws.example.test/1/tasks", run.PhotosQueue: "http://aws.example.test/1/photos"},
		Dead:   map[run.Queue]string{run.TasksQueue: "http://aws.example.test/1/tasks-dead", run.PhotosQueue: "http://aws.example.test/1/photos-dead"},
	})
}

// batch is what a batch call asks for; of a message or a visibility.
type batch struct {
	QueueUrl string
	Entries  []struct {
		Id, MessageBody, MessageGroupId, ReceiptHandle string
	}
}

func decodeBatch(t *testing.T, r awstest.Request) batch {
	t.Helper()
	var b batch
	if err := json.Unmarshal(r.Body, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// md5 of a body is checked by the SDK, so the service must tell the right one.
func sent(t *testing.T, r awstest.Request, failed map[string]string) awstest.Answer {
	t.Helper()
	var ok, bad []string
	for _, e := range decodeBatch(t, r).Entries {
		if code, refused := failed[e.Id]; refused {
			bad = append(bad, fmt.Sprintf(`{"Id":%q,"Code":%q,"SenderFault":%v}`, e.Id, code, code != "InternalError"))
			continue
		}
		ok = append(ok, fmt.Sprintf(`{"Id":%q,"MessageId":"m","MD5OfMessageBody":%q}`, e.Id, digest(e.MessageBody)))
	}
	return awstest.Answer{Status: 200, Body: `{"Successful":[` + strings.Join(ok, ",") + `],"Failed":[` + strings.Join(bad, ",") + `]}`}
}

func pages(n int, dt run.DataType) []run.Task {
	out := make([]run.Task, n)
	for i := range out {
		out[i] = pageTask
		out[i].Type, out[i].Page = dt, fmt.Sprint(i+1)
	}
	return out
}

func TestSendGivesTenTasksACallToTheirQueue(t *testing.T) {
	t.Parallel()
	s := awstest.Play(func(_ int, r awstest.Request) awstest.Answer { return sent(t, r, nil) })
	if err := scripted(s).Send(t.Context(), append(pages(12, run.Users), pages(3, run.UserPhotos)...)...); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.Asked() {
		b := decodeBatch(t, r)
		got = append(got, fmt.Sprintf("%s %d", b.QueueUrl[strings.LastIndexByte(b.QueueUrl, '/')+1:], len(b.Entries)))
		for _, e := range b.Entries {
			if e.MessageGroupId != "summit" {
				t.Errorf("group %q, want the connection", e.MessageGroupId)
			}
			if len(e.MessageBody) > 1024 {
				t.Errorf("a body of %d bytes, want at most 1 KB", len(e.MessageBody))
			}
		}
	}
	if diff := cmp.Diff([]string{"tasks 10", "tasks 2", "photos 3"}, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestSendSendsRefusedEntriesAgainAndNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := awstest.Play(func(n int, r awstest.Request) awstest.Answer {
			switch n {
			case 1:
				return sent(t, r, map[string]string{"1": "InternalError", "3": "ThrottlingException"})
			case 2:
				return sent(t, r, map[string]string{"3": "InternalError"})
			default:
				return sent(t, r, nil)
			}
		})
		if err := scripted(s).Send(t.Context(), pages(5, run.Users)...); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range s.Asked() {
			var names []string
			for _, e := range decodeBatch(t, r).Entries {
				task, err := run.DecodeTask([]byte(e.MessageBody))
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, task.Page)
			}
			got = append(got, strings.Join(names, " "))
		}
		if diff := cmp.Diff([]string{"1 2 3 4 5", "2 4", "4"}, got); diff != "" {
			t.Errorf("pages per call (-want +got):\n%s", diff)
		}
	})
}

func TestSendNeverDropsAnEntry(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code  string
		want  string
		calls int // 0: many
		is    error
	}{
		"one refused until the context ends is an error": {"InternalError", "1 entries refused", 0, context.DeadlineExceeded},
		"one refused for what it is is an error at once": {"InvalidMessageContents", "InvalidMessageContents", 1, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				s := awstest.Play(func(_ int, r awstest.Request) awstest.Answer {
					for _, e := range decodeBatch(t, r).Entries {
						if strings.Contains(e.MessageBody, `"page":"2"`) {
							return sent(t, r, map[string]string{e.Id: tt.code})
						}
					}
					return sent(t, r, nil)
				})
				err := scripted(s).Send(ctx, pages(3, run.Users)...)
				if err == nil || !strings.Contains(err.Error(), tt.want) || fault.CodeOf(err) != fault.StoreUnavailable {
					t.Errorf("error = %v, want STORE_UNAVAILABLE with %q", err, tt.want)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("error = %v, want %v", err, tt.is)
				}
				if n := len(s.Asked()); tt.calls > 0 && n != tt.calls || tt.calls == 0 && n < 5 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

func TestQueuesWithoutAnAddressAreAnErrorThatNamesThem(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(awstest.Answer{Status: 200, Body: "{}"})
	q := queue.NewSQS(queue.SQSConfig{Client: sqs.NewFromConfig(s.Config())})
	_, receive := q.Receive(t.Context(), run.PhotosQueue, 1, time.Second)
	for name, err := range map[string]error{
		"send": q.Send(t.Context(), pageTask), "bury": q.Bury(t.Context(), pageTask), "receive": receive,
		"change": q.ChangeVisibility(t.Context(), run.TasksQueue, "r", 0),
		"delete": q.Delete(t.Context(), pipeline.DeadLetter{Queue: run.TasksQueue}),
	} {
		if fault.CodeOf(err) != fault.ConfigInvalid {
			t.Errorf("%s: error %v, want CONFIG_INVALID", name, err)
		}
	}
	if n := len(s.Asked()); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestChangeVisibilityRoundsUpWithinTwelveHours(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: `"VisibilityTimeout":0`, -time.Second: `"VisibilityTimeout":0`, time.Millisecond: `"VisibilityTimeout":1`,
		330 * time.Second: `"VisibilityTimeout":330`, 24 * time.Hour: `"VisibilityTimeout":43200`,
	} {
		s := awstest.InTurn(awstest.Answer{Status: 200, Body: "{}"})
		if err := scripted(s).ChangeVisibility(t.Context(), run.TasksQueue, "r", d); err != nil {
			t.Fatal(err)
		}
		if body := string(s.Asked()[0].Body); !strings.Contains(body, want) {
			t.Errorf("visibility of %s asks for %s, want %s", d, body, want)
		}
	}
}

// letterbox plays a dead-letter queue of tasks with these message ids; the
// letters of the photos queue are none.
func letterbox(t *testing.T, ids ...string) (s *awstest.Script, released func() []string) {
	var back []string
	given := 0
	s = awstest.Play(func(_ int, r awstest.Request) awstest.Answer {
		switch r.Op {
		case "ReceiveMessage":
			if strings.Contains(string(r.Body), "photos-dead") || given == len(ids) {
				return awstest.Answer{Status: 200, Body: `{"Messages":[]}`}
			}
			var list []string
			for range min(2, len(ids)-given) {
				id := ids[given]
				list = append(list, fmt.Sprintf(`{"MessageId":%q,"ReceiptHandle":"%s-%d","Body":"x","MD5OfBody":%q}`, id, id, given, digest("x")))
				given++
			}
			return awstest.Answer{Status: 200, Body: `{"Messages":[` + strings.Join(list, ",") + `]}`}
		case "ChangeMessageVisibilityBatch":
			for _, e := range decodeBatch(t, r).Entries {
				back = append(back, e.ReceiptHandle)
			}
		}
		return awstest.Answer{Status: 200, Body: `{"Successful":[],"Failed":[]}`}
	})
	return s, func() []string { return back }
}

func TestAVisitOfTheDeadLettersGivesBackWhatWasNotDeleted(t *testing.T) {
	t.Parallel()
	sorted := cmp.Transformer("set", func(l []string) map[string]bool {
		m := map[string]bool{}
		for _, s := range l {
			m[s] = true
		}
		return m
	})
	t.Run("all that it hid, also those it did not show", func(t *testing.T) {
		t.Parallel()
		s, released := letterbox(t, "a", "b", "c", "d")
		for range scripted(s).Dead(t.Context()) {
			break
		}
		if diff := cmp.Diff([]string{"a-0", "b-1"}, released(), sorted); diff != "" {
			t.Errorf("given back (-want +got):\n%s", diff)
		}
	})
	t.Run("not those that were deleted", func(t *testing.T) {
		t.Parallel()
		s, released := letterbox(t, "a", "b", "c")
		q := scripted(s)
		for d, err := range q.Dead(t.Context()) {
			if err == nil && d.Receipt != "b-1" {
				err = q.Delete(t.Context(), d)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{"b-1"}, released(), sorted); diff != "" {
			t.Errorf("given back (-want +got):\n%s", diff)
		}
	})
	t.Run("a letter that came twice is shown once and given back by its newest receipt", func(t *testing.T) {
		t.Parallel()
		s, released := letterbox(t, "a", "b", "a", "c")
		shown := 0
		for range scripted(s).Dead(t.Context()) {
			shown++
		}
		if shown != 3 {
			t.Errorf("%d letters shown, want 3", shown)
		}
		if diff := cmp.Diff([]string{"a-2", "b-1", "c-3"}, released(), sorted); diff != "" {
			t.Errorf("given back (-want +got):\n%s", diff)
		}
	})
	t.Run("also when the visit was interrupted", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, released := letterbox(t, "a", "b", "c")
		errs := 0
		for _, err := range scripted(s).Dead(ctx) {
			cancel()
			if err != nil {
				errs++
			}
		}
		if errs != 1 {
			t.Errorf("%d errors, want one, at the end", errs)
		}
		if diff := cmp.Diff([]string{"a-0", "b-1"}, released(), sorted); diff != "" {
			t.Errorf("given back (-want +got):\n%s", diff)
		}
	})
}

func TestDeletingADeadLetterThatIsGoneIsNoError(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(awstest.Fail(404, "ReceiptHandleIsInvalid"))
	if err := scripted(s).Delete(t.Context(), pipeline.DeadLetter{Queue: run.TasksQueue, Receipt: "old"}); err != nil {
		t.Errorf("Delete: %v", err)
	}
}
