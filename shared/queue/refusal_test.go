package queue_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/run"
)

// entryRefusal is how SQS refuses one entry of a batch call.
func entryRefusal(id, code string, senderFault bool) awstest.Answer {
	return awstest.Answer{Status: 200, Body: fmt.Sprintf(`{"Successful":[],"Failed":[{"Id":%q,"Code":%q,"SenderFault":%v}]}`, id, code, senderFault)}
}

func TestARefusedEntryOfASendIsSentOrFailsTheCall(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code        string
		senderFault bool
		calls       int
		want        string // of the error; "" for none
	}{
		"SQS's own failure is repeated":              {"InternalError", false, 3, ""},
		"an unknown failure of SQS is repeated":      {"Odd", false, 3, ""},
		"the throttling of a queue's key passes":     {"KmsThrottled", true, 3, ""},
		"a sender's fault ends the call":             {"Odd", true, 1, "sqs SendMessageBatch: Odd"},
		"a missing right ends the call and is named": {"AccessDenied", true, 1, "allow sqs:SendMessage on the queue"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := awstest.Play(func(n int, r awstest.Request) awstest.Answer {
					if n < 3 {
						return entryRefusal("0", tt.code, tt.senderFault)
					}
					return sent(t, r, nil)
				})
				err := scripted(s).Send(t.Context(), pages(1, run.Users)...)
				if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error = %v, want one with %q", err, tt.want)
				}
				if n := len(s.Asked()); n != tt.calls {
					t.Errorf("%d calls, want %d", n, tt.calls)
				}
			})
		})
	}
}

func TestAnEntryThatTheAnswerForgetsIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := awstest.Play(func(n int, r awstest.Request) awstest.Answer {
			if n == 1 {
				return awstest.Answer{Status: 200, Body: `{"Successful":[],"Failed":[]}`}
			}
			return sent(t, r, nil)
		})
		if err := scripted(s).Send(t.Context(), pages(2, run.Users)...); err != nil {
			t.Fatal(err)
		}
		if n := len(decodeBatch(t, s.Asked()[1]).Entries); n != 2 {
			t.Errorf("%d entries in the second call, want 2", n)
		}
	})
}

// letters is the answer to a receive; a letter's id is its receipt.
func letters(receipts ...string) awstest.Answer {
	var list []string
	for _, r := range receipts {
		list = append(list, fmt.Sprintf(`{"MessageId":%q,"ReceiptHandle":%q,"Body":"x","MD5OfBody":%q}`, r, r, digest("x")))
	}
	return awstest.Answer{Status: 200, Body: `{"Messages":[` + strings.Join(list, ",") + `]}`}
}

func TestALetterThatCouldNotBeGivenBackIsTriedAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code        string
		senderFault bool
		want        []string // receipts of each call
	}{
		"after SQS's own failure":                 {"InternalError", false, []string{"a-0 b-1", "b-1"}},
		"after throttling":                        {"RequestThrottled", true, []string{"a-0 b-1", "b-1"}},
		"but not one that is not hidden any more": {"ReceiptHandleIsInvalid", true, []string{"a-0 b-1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var got []string
				s := awstest.Play(func(n int, r awstest.Request) awstest.Answer {
					switch {
					case n == 1:
						return letters("a-0", "b-1")
					case r.Op == "ReceiveMessage":
						return letters()
					}
					ids := map[string]string{} // by receipt
					for _, e := range decodeBatch(t, r).Entries {
						ids[e.ReceiptHandle] = e.Id
					}
					got = append(got, strings.Join(slices.Sorted(maps.Keys(ids)), " "))
					if len(got) == 1 {
						return entryRefusal(ids["b-1"], tt.code, tt.senderFault)
					}
					return awstest.Answer{Status: 200, Body: `{"Successful":[],"Failed":[]}`}
				})
				for _, err := range scripted(s).Dead(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("given back (-want +got):\n%s", diff)
				}
			})
		})
	}
}
