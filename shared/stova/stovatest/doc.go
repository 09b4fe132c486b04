// Package stovatest plays the Stova registration API over HTTP: API v2, Data
// Services v1, image.php and uploaded files, from a seeded synthetic event,
// with faults on demand and counters that tests read.
//
// It knows nothing of the client that is tested against it and shares no code
// with it: two readings of the same fact sheet (stova-api.md) must agree. An
// [Event] is plain Go data, so that a test can compute what a sync must store
// without going through the mapping.
//
// README.md of this folder says which behaviours are seen in public code,
// which are documented, and which are guesses. A green test against the twin
// proves nothing about a guess.
package stovatest
