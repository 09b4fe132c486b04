// Package emulator runs the built functions as AWS does, on this machine: it
// starts their bootstrap files as processes and speaks the Lambda Runtime API
// to them, does the poller's part of an SQS event source mapping, retries what
// was invoked asynchronously, and puts a Gateway before the services that the
// functions call, which holds every call against the statements of the
// function's role.
//
//	schedule, Invoke ──► Function ──► sandbox: bootstrap ──► Gateway ──► moto
//	queue ──► Mapping ─────┘                                 roles, faults, record
//
// It serves tests: nothing that ships imports it. Tables, queues and the
// bucket live in a stand-in for AWS (moto) that the caller names. What Lambda
// does beyond this, such as scaling, throttling and billing, is left out.
//
// Sources of the behaviour: docs.aws.amazon.com/lambda/latest/dg/, pages
// runtimes-api, runtimes-provided, with-sqs, services-sqs-errorhandling,
// invocation-async-error-handling and configuration-envvars.
package emulator
