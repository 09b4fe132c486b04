// Command fanout is the Lambda behind the schedules: an event becomes runs and their sync tasks.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"stovasync/shared/app"
)

func main() {
	slog.SetDefault(app.NewLogger(os.LookupEnv))
	a, err := app.New(context.Background(), os.LookupEnv)
	if err != nil {
		slog.Error("start fanout", "err", err)
		os.Exit(1)
	}
	lambda.Start(a.Fanout)
}
