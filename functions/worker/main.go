// Command worker is the Lambda behind the tasks queue: one message, one task.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"stovasync/shared/app"
	"stovasync/shared/run"
)

func main() {
	slog.SetDefault(app.NewLogger(os.LookupEnv))
	a, err := app.New(context.Background(), os.LookupEnv)
	if err != nil {
		slog.Error("start worker", "err", err)
		os.Exit(1)
	}
	lambda.Start(a.Handler(run.TasksQueue))
}
