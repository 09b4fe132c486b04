package cost

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

func TestEveryUnitHasOnePriceWithItsSource(t *testing.T) {
	t.Parallel()
	seen := map[Unit]bool{}
	for _, p := range prices() {
		if seen[p.Unit] {
			t.Errorf("%s has two prices", p.Unit)
		}
		seen[p.Unit] = true
		if p.USD < 0 || p.USD > 0.001 || p.Per == "" || p.Source == "" {
			t.Errorf("%s: %+v", p.Unit, p)
		}
	}
	for _, u := range []Unit{ReadUnits, WriteUnits, QueueRequests, ObjectWrites, ObjectReads, ParameterCalls, Invocations, ArmSeconds, X86Seconds} {
		if !seen[u] {
			t.Errorf("%s has no price", u)
		}
	}
	if _, err := time.Parse(time.DateOnly, Updated); err != nil {
		t.Error(err)
	}
}

func TestAMillionOfEachCostsWhatTheListsSay(t *testing.T) {
	t.Parallel()
	for unit, want := range map[Unit]float64{
		ReadUnits: 0.125, WriteUnits: 0.625, QueueRequests: 0.5, ObjectWrites: 5, ObjectReads: 0.4, ParameterCalls: 0,
		Invocations: 0.2, ArmSeconds: 13.3334, X86Seconds: 16.6667, "unheard_of": 0,
	} {
		if got := (Table{}).USD(map[string]float64{string(unit): 1e6}); math.Abs(got-want) > 1e-9 {
			t.Errorf("a million of %s costs %v, want %v", unit, got, want)
		}
	}
	units := map[string]float64{string(WriteUnits): 2e6, string(ReadUnits): 4e6}
	if got := (Table{Factor: 1.2}).USD(units); math.Abs(got-2.1) > 1e-9 {
		t.Errorf("with a factor of 1.2: %v, want 2.1", got)
	}
}

func TestOperationsArePaidInTheirUnits(t *testing.T) {
	t.Parallel()
	for operation, want := range map[[2]string]Unit{
		{"dynamodb", "GetItem"}: ReadUnits, {"dynamodb", "BatchGetItem"}: ReadUnits, {"dynamodb", "Query"}: ReadUnits, {"dynamodb", "Scan"}: ReadUnits,
		{"dynamodb", "UpdateItem"}: WriteUnits, {"dynamodb", "DeleteItem"}: WriteUnits, {"dynamodb", "TransactWriteItems"}: WriteUnits,
		{"s3", "PutObject"}: ObjectWrites, {"s3", "ListObjectsV2"}: ObjectWrites, {"s3", "GetObject"}: ObjectReads, {"s3", "HeadObject"}: ObjectReads,
		{"s3", "DeleteObjects"}: "", {"sqs", "SendMessageBatch"}: QueueRequests, {"ssm", "GetParameter"}: ParameterCalls,
	} {
		if got := UnitOf(Service(operation[0]), operation[1]); got != want {
			t.Errorf("%v is paid in %q, want %q", operation, got, want)
		}
	}
}

func TestAFunctionsTimeIsBilledInWholeMilliseconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]float64{
		time.Second: 0.5, 1500 * time.Microsecond: 0.001, time.Microsecond: 0.0005, 0: 0,
	} {
		if _, got := Compute(512, d); math.Abs(got-want) > 1e-12 {
			t.Errorf("%v at 512 MB are %v GB-seconds, want %v", d, got, want)
		}
	}
}

func TestAFactorMustBeANumberOfAPrice(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"x", "0", "-1", "NaN", "Inf", "1000"} {
		if _, err := ParseTable(bad); err == nil {
			t.Errorf("factor %q is taken", bad)
		}
	}
	for in, want := range map[string]float64{"": 0, "1.15": 1.15} {
		if got, err := ParseTable(in); err != nil || got.Factor != want {
			t.Errorf("factor %q gives %+v, %v", in, got, err)
		}
	}
}

// docs/metrics.md names every unit there is.
func TestThePageOfMetricsNamesTheUnits(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prices() {
		if !strings.Contains(string(page), "`"+string(p.Unit)+"`") {
			t.Errorf("%s is not on the page", p.Unit)
		}
	}
}
