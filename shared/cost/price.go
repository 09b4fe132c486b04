package cost

// Updated is when the prices of this file were last looked up.
const Updated = "2026-11-22"

// Region is where they hold. Others differ: see Table.
const Region = "us-east-1"

// Price is the price of one unit.
type Price struct {
	Unit   Unit
	USD    float64 // of one
	Per    string  // how the provider states it
	Source string
	Sure   bool // false: the amount, or what it applies to, was read in third-party pages only, or in part
}

// prices is the price table: list prices on demand, of the first tier, without
// free allowances, discounts and taxes.
func prices() []Price {
	return []Price{
		{ReadUnits, 0.125e-6, "0.125 per million", "aws.md §7: on demand, since November 2024", true},
		{WriteUnits, 0.625e-6, "0.625 per million", "aws.md §7: on demand, since November 2024", true},
		// 0.40, and 0.10 more for messages with a group id (fair queues), which
		// ours have. Which requests of such a queue pay more was not to be
		// found: all of them are counted so.
		{QueueRequests, 0.50e-6, "0.40 + 0.10 per million requests of 64 KB", "cloudburn.io/blog/amazon-sqs-pricing, March 2026", false},
		{ObjectWrites, 5e-6, "0.005 per 1,000 PUT, COPY, POST, LIST", "aws.amazon.com/s3/pricing, S3 Standard", false},
		{ObjectReads, 0.4e-6, "0.0004 per 1,000 GET and others", "aws.amazon.com/s3/pricing, S3 Standard", false},
		{ParameterCalls, 0, "free at standard throughput", "aws.md §9", true},
		{Invocations, 0.20e-6, "0.20 per million", "aws.amazon.com/lambda/pricing", true},
		{ArmSeconds, 0.0000133334, "0.0000133334 per GB-second", "cloudchipr.com/blog/aws-lambda-pricing, of aws.amazon.com/lambda/pricing", true},
		{X86Seconds, 0.0000166667, "0.0000166667 per GB-second", "cloudchipr.com/blog/aws-lambda-pricing, of aws.amazon.com/lambda/pricing", true},
	}
}
