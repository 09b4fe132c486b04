// Package cost says what the units that a run used cost. The prices are in
// price.go, all of them. It imports nothing of ours.
//
// What a run's cost does not hold: storage and its backups, data transfer, logs
// and metrics, the schedules, the encryption keys' requests, the pollers'
// requests that found no message, and what a function used whose process was
// killed before it could tell.
package cost

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Unit is what is paid for, by the name it has in a run's usage.
type Unit string

// The units.
const (
	ReadUnits      Unit = "dynamodb_read_units"
	WriteUnits     Unit = "dynamodb_write_units"
	QueueRequests  Unit = "sqs_requests" // of 64 KB
	ObjectWrites   Unit = "s3_write_requests"
	ObjectReads    Unit = "s3_read_requests"
	ParameterCalls Unit = "ssm_requests"
	Invocations    Unit = "lambda_requests"
	ArmSeconds     Unit = "lambda_arm64_gb_seconds"
	X86Seconds     Unit = "lambda_x86_64_gb_seconds"
)

// Service is a service whose operations are metered.
type Service string

// The services.
const (
	DynamoDB Service = "dynamodb"
	SQS      Service = "sqs"
	S3       Service = "s3"
	SSM      Service = "ssm"
)

// UnitOf returns the unit that an operation of a service is paid in; "" when it
// is free.
func UnitOf(s Service, operation string) Unit {
	switch s {
	case SQS:
		return QueueRequests
	case SSM:
		return ParameterCalls
	case S3:
		return objectUnit(operation)
	default:
		return tableUnit(operation)
	}
}

func objectUnit(operation string) Unit {
	switch {
	case strings.HasPrefix(operation, "Delete"), strings.HasPrefix(operation, "Abort"):
		return ""
	case strings.HasPrefix(operation, "Get"), strings.HasPrefix(operation, "Head"):
		return ObjectReads
	default:
		return ObjectWrites
	}
}

func tableUnit(operation string) Unit {
	switch operation {
	case "GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan":
		return ReadUnits
	default:
		return WriteUnits
	}
}

// Compute returns the unit and the amount of a function's time: its memory by
// its time, in whole milliseconds as they are billed, on the architecture that
// this program was built for.
func Compute(memoryMB int, d time.Duration) (Unit, float64) {
	u := ArmSeconds
	if runtime.GOARCH == "amd64" {
		u = X86Seconds
	}
	ms := math.Ceil(float64(d) / float64(time.Millisecond))
	return u, float64(memoryMB) / 1024 * ms / 1000
}

// Table prices units. The zero value has the prices of Region.
type Table struct {
	// Factor scales every price, for other regions and for discounts; 0 is 1.
	Factor float64
}

// ParseTable reads the factor of a table; "" is 1.
func ParseTable(factor string) (Table, error) {
	if factor == "" {
		return Table{}, nil
	}
	f, err := strconv.ParseFloat(factor, 64)
	if err != nil || !(f >= 0.01 && f <= 100) {
		return Table{}, fmt.Errorf("price factor %q is no number from 0.01 to 100", factor)
	}
	return Table{Factor: f}, nil
}

// Prices returns the price table.
func (t Table) Prices() []Price {
	all := prices()
	if t.Factor != 0 {
		for i := range all {
			all[i].USD *= t.Factor
		}
	}
	return all
}

// USD returns what units cost. A unit without a price costs nothing.
func (t Table) USD(units map[string]float64) float64 {
	sum := 0.0
	for _, p := range t.Prices() {
		sum += p.USD * units[string(p.Unit)]
	}
	return sum
}
