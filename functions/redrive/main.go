// Command redrive is the Lambda that re-runs failed pages; people start it.
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
		slog.Error("start redrive", "err", err)
		os.Exit(1)
	}
	lambda.Start(a.RedriveEvent)
}
