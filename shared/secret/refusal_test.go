package secret_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
)

func TestGetUnderRefusals(t *testing.T) {
	t.Parallel()
	const denied = `{"__type":"AccessDeniedException","message":"User: arn:aws:sts::123456789012:assumed-role/worker is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-central-1:123456789012:key/invented"}`
	tests := map[string]struct {
		answers  []awstest.Answer
		attempts int
		want     string // the end of the error; "" for none
		none     bool   // the error is ErrNoSecret
	}{
		"a throttled read is repeated":          {[]awstest.Answer{awstest.Fail(400, "ThrottlingException"), awstest.Fail(400, "ThrottlingException"), held}, 3, "", false},
		"no answer is asked for again":          {[]awstest.Answer{{}, held}, 2, "", false},
		"a parameter that is missing":           {[]awstest.Answer{missing}, 1, pipeline.ErrNoSecret.Error(), true},
		"a parameter that may not be read":      {[]awstest.Answer{awstest.Fail(400, "AccessDeniedException")}, 1, "allow ssm:GetParameter on the parameter and kms:Decrypt on its key, or use other credentials", false},
		"a parameter whose key may not be used": {[]awstest.Answer{{Status: 400, Body: denied}}, 1, "allow kms:Decrypt on the key, or use other credentials", false},
		"a parameter whose key is switched off": {[]awstest.Answer{awstest.Fail(400, "InvalidKeyId")}, 1, "check the key that encrypts: it is disabled, about to be deleted, or gone", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := awstest.InTurn(tt.answers...)
				_, err := secrets(s).Get(t.Context(), "summit")
				switch {
				case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.want)):
					t.Errorf("error = %v, want one that ends with %q", err, tt.want)
				case err != nil && strings.Contains(err.Error(), "123456789012"):
					t.Errorf("the error tells the account: %v", err)
				case errors.Is(err, pipeline.ErrNoSecret) != tt.none || !tt.none && err != nil && fault.CodeOf(err) != fault.StoreUnavailable:
					t.Errorf("error = %v, want ErrNoSecret: %v, else STORE_UNAVAILABLE", err, tt.none)
				}
				if n := len(s.Asked()); n != tt.attempts {
					t.Errorf("%d attempts, want %d", n, tt.attempts)
				}
			})
		})
	}
}
