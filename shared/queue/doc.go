// Package queue is the tasks' way: it sends them over SQS, keeps their dead
// letters, and holds Handler, which every consumer of tasks starts: the Lambda
// functions and the local runner alike.
//
// Handler is the one place that decides what becomes of a message whose task
// failed (design.md §3.5). What a task does is the Worker's business; where
// messages live is the adapter's.
package queue
