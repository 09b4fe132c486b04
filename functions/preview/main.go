// Command preview is the Lambda that says what a sync would make of a sample
// of rows, and stores none; people start it.
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
		slog.Error("start preview", "err", err)
		os.Exit(1)
	}
	lambda.Start(a.PreviewFunction)
}
