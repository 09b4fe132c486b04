// Command stovasync is the local runner and the operators' tool: it syncs
// Stova events into a store, shows what runs did, re-runs what failed and
// hands out the records.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}
