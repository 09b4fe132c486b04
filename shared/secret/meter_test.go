package secret_test

import (
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/secret"
)

func TestMeterIsToldEveryRequestThatIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var meter awstest.Meter
		s := secret.New(secret.Config{
			Client: ssm.NewFromConfig(awstest.InTurn(awstest.Fail(400, "ThrottlingException"), held).Config()),
			Prefix: "/stovasync/live/", Meter: meter.Count,
		})
		mustGet(t, s)
		mustGet(t, s) // remembered, so not asked for
		if diff := cmp.Diff(map[string]float64{"GetParameter": 2}, meter.Units()); diff != "" {
			t.Errorf("units (-want +got):\n%s", diff)
		}
	})
}
