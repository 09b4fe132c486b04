package secret_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/secret"
)

func secrets(s *awstest.Script) *secret.Secrets {
	return secret.New(secret.Config{Client: ssm.NewFromConfig(s.Config()), Prefix: "/stovasync/live/"})
}

var (
	held    = awstest.Answer{Status: 200, Body: `{"Parameter":{"Name":"/stovasync/live/summit","Value":"invented-key"}}`}
	fine    = awstest.Answer{Status: 200, Body: "{}"}
	missing = awstest.Fail(400, "ParameterNotFound")
)

func mustGet(t *testing.T, s *secret.Secrets) {
	t.Helper()
	if key, err := s.Get(t.Context(), "summit"); err != nil || key != "invented-key" {
		t.Errorf("Get: error %v, or not the key that is held", err)
	}
}

func TestGetDecryptsTheParameterOfTheConnection(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(held)
	mustGet(t, secrets(s))
	body := string(s.Asked()[0].Body)
	for _, want := range []string{`"Name":"/stovasync/live/summit"`, `"WithDecryption":true`} {
		if !strings.Contains(body, want) {
			t.Errorf("asked for %s, want %s in it", body, want)
		}
	}
}

func TestPutEncryptsAndReplaces(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(fine)
	if err := secrets(s).Put(t.Context(), "summit", "invented-key"); err != nil {
		t.Fatal(err)
	}
	body := string(s.Asked()[0].Body)
	for _, want := range []string{`"Type":"SecureString"`, `"Overwrite":true`} {
		if !strings.Contains(body, want) {
			t.Errorf("the call lacks %s", want)
		}
	}
	if strings.Contains(body, "KeyId") {
		t.Error("the call names a key to encrypt with, want the account's default one")
	}
}

func TestPutEncryptsWithTheStacksOwnKey(t *testing.T) {
	t.Parallel()
	const own = "arn:aws:kms:eu-central-1:123456789012:key/invented"
	s := awstest.InTurn(fine)
	keeper := secret.New(secret.Config{Client: ssm.NewFromConfig(s.Config()), Prefix: "/stovasync/live/", KMSKey: own})
	if err := keeper.Put(t.Context(), "summit", "invented-key"); err != nil {
		t.Fatal(err)
	}
	if body := string(s.Asked()[0].Body); !strings.Contains(body, `"KeyId":"`+own+`"`) {
		t.Error("the call does not name the key to encrypt with")
	}
}

func TestKeysAreRememberedForFiveMinutes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		between func(*testing.T, *secret.Secrets)
		asked   int // GetParameter calls of two reads
	}{
		"at once again":                   {func(*testing.T, *secret.Secrets) {}, 1},
		"shortly before five minutes":     {func(*testing.T, *secret.Secrets) { <-time.After(5*time.Minute - 1) }, 1},
		"after five minutes":              {func(*testing.T, *secret.Secrets) { <-time.After(5 * time.Minute) }, 2},
		"after the vendor refused it":     {func(_ *testing.T, s *secret.Secrets) { s.Forget("summit") }, 2},
		"after another key was forgotten": {func(_ *testing.T, s *secret.Secrets) { s.Forget("gala") }, 1},
		"after it was replaced": {func(t *testing.T, s *secret.Secrets) {
			if err := s.Put(t.Context(), "summit", "another"); err != nil {
				t.Fatal(err)
			}
		}, 2},
		"after it was deleted": {func(t *testing.T, s *secret.Secrets) {
			if err := s.Delete(t.Context(), "summit"); err != nil {
				t.Fatal(err)
			}
		}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := awstest.Play(func(_ int, r awstest.Request) awstest.Answer {
					if r.Op == "GetParameter" {
						return held
					}
					return fine
				})
				keys := secrets(s)
				mustGet(t, keys)
				tt.between(t, keys)
				mustGet(t, keys)
				asked := 0
				for _, r := range s.Asked() {
					if r.Op == "GetParameter" {
						asked++
					}
				}
				if asked != tt.asked {
					t.Errorf("asked %d times, want %d", asked, tt.asked)
				}
			})
		})
	}
}

func TestAReadUnderWayDoesNotBringBackAForgottenKey(t *testing.T) {
	t.Parallel()
	var keys *secret.Secrets
	s := awstest.Play(func(n int, _ awstest.Request) awstest.Answer {
		if n == 1 {
			keys.Forget("summit") // as a Put in another goroutine would
		}
		return held
	})
	keys = secrets(s)
	mustGet(t, keys)
	mustGet(t, keys)
	if n := len(s.Asked()); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestErrorsTellTheConnectionAndNoKey(t *testing.T) {
	t.Parallel()
	denied := awstest.Answer{Status: 400, Body: `{"__type":"AccessDeniedException","message":"invented-key of summit"}`}
	keys := secrets(awstest.InTurn(denied))
	_, get := keys.Get(t.Context(), "summit")
	for name, err := range map[string]error{
		"get": get, "put": keys.Put(t.Context(), "summit", "invented-key"), "delete": keys.Delete(t.Context(), "summit"),
	} {
		if fault.CodeOf(err) != fault.StoreUnavailable || !strings.Contains(err.Error(), "summit") || strings.Contains(err.Error(), "invented-key") {
			t.Errorf("%s: error %v, want STORE_UNAVAILABLE with the connection and without the key", name, err)
		}
	}
}

func TestConnectionsWithoutAKey(t *testing.T) {
	t.Parallel()
	keys := secrets(awstest.InTurn(missing))
	if _, err := keys.Get(t.Context(), "summit"); !errors.Is(err, pipeline.ErrNoSecret) {
		t.Errorf("Get: %v, want ErrNoSecret", err)
	}
	if err := keys.Delete(t.Context(), "summit"); err != nil {
		t.Errorf("Delete of none: %v", err)
	}
}

func TestNamesAndKeysThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(held)
	keys := secrets(s)
	for _, name := range []string{"", "../other/summit", "a/b", "Summit", strings.Repeat("a", 41)} {
		_, get := keys.Get(t.Context(), name)
		for _, err := range []error{get, keys.Put(t.Context(), name, "invented"), keys.Delete(t.Context(), name)} {
			if fault.CodeOf(err) != fault.ConfigInvalid {
				t.Errorf("connection %q: error %v, want CONFIG_INVALID", name, err)
			}
		}
	}
	if err := keys.Put(t.Context(), "summit", ""); fault.CodeOf(err) != fault.ConfigInvalid {
		t.Errorf("empty key: error %v, want CONFIG_INVALID", err)
	}
	if n := len(s.Asked()); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}
