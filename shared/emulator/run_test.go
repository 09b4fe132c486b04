package emulator_test

import (
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func (w *world) depth(output string) (int, error) {
	out, err := w.sqs.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: new(w.Outputs()[output]), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		n, err := strconv.Atoi(out.Attributes[name])
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func TestAWSBuiltFunctionsStoreWhatTheEmbeddedDefaultStores(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting{event: small(5), more: "pageSize: 10\n"})
	id := w.start()
	v := w.complete(id)
	if len(v.Types) != 8 {
		t.Errorf("%d types, want 8", len(v.Types))
	}
	w.sameAsEmbedded()
	t.Logf("%d calls", len(w.Gateway.Calls()))
}
