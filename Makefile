# stovasync. `make` alone prints this help.
#
# Needs Go and make; test-aws needs Python 3.10 or newer as well, deploy the SAM CLI.

SHELL := /bin/sh
BIN := bin
TOOLS := .tools/bin
GOLANGCI := $(TOOLS)/golangci-lint-v2.15.0

.DEFAULT_GOAL := help
.PHONY: help run test race check fmt build functions bench bench-aws fuzz sweep test-aws test-aws-shared test-aws-cmd test-browser deploy clean \
	build-FanoutFunction build-WorkerFunction build-PhotoFunction build-PreviewFunction build-RedriveFunction

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## sync an invented event into a local store, with no account of any kind
	@$(BIN)/stovasync demo

# SQLite is translated from C and locks by itself: in it the detector finds nothing, slowly.
# The tests of shared itself read the program's text and start nothing.
test: ## all tests that need Go alone, with the race detector
	go test -timeout 20m ./shared
	CGO_ENABLED=1 go test -race -gcflags=modernc.org/...=-race=false -timeout 20m $$(go list ./... | grep -v '^stovasync/shared$$')

race: test ## the same as test

check: $(GOLANGCI) ## format, vet, staticcheck and other linters
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not gofmt-ed:"; echo "$$bad"; exit 1; fi
	go vet ./... ./.ci/moto/proxy
	$(GOLANGCI) run ./...

fmt: ## format the sources
	gofmt -w .

build: ## build the command line into bin/
	@mkdir -p $(BIN)
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/stovasync ./cmd/stovasync

functions: ## build the functions into dist/, as SAM does
	@for f in Fanout Worker Photo Preview Redrive; do \
		mkdir -p dist/$$f && $(MAKE) --no-print-directory build-$${f}Function ARTIFACTS_DIR=dist/$$f || exit 1; done

bench: ## measure the figures against the twin and print them as a table
	STOVASYNC_FIGURES=1 go test -p 1 ./shared/app ./cmd/stovasync -run '^TestFigures' -count=1 -timeout 30m -v

bench-aws: ## measure start, memory and size of the built functions and print them as a table
	STOVASYNC_FIGURES=1 .ci/moto/run.sh go test ./shared/emulator -run '^TestAWSFigures$$' -count=1 -timeout 15m -v

fuzz: ## run each fuzz target for 20 seconds
	@for p in $$(go list ./shared/...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime 20s $$p || exit 1; done; done

sweep: ## run the sweeps of make test at every place, which takes a while
	go test -count=1 -timeout 2h -run 'Every|Anywhere|TheCells' ./shared/pipeline -stride 1 -seeds 200
	go test -count=1 -timeout 2h -run 'Anywhere' ./shared/app -stride 1

# moto does one thing at a time, so there are two of it, once everything is installed.
# What functions import is compiled before, or many tests would all compile it at once.
test-aws: ## adapters, template and built functions against moto, which it installs by itself
	@MOTO_EXPECT= .ci/moto/run.sh true
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && for arch in $(FUNCTION_ARCH) $$(go env GOARCH); do \
		$(MAKE) --no-print-directory FUNCTION_ARCH=$$arch ARTIFACTS_DIR="$$dir" build-WorkerFunction >/dev/null || exit 1; done
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-aws-shared test-aws-cmd

TEST_AWS = .ci/moto/run.sh go test -count=1 -timeout 30m -run '^TestAWS'

test-aws-shared:
	$(TEST_AWS) ./shared/...

# Stories mostly wait: for tasks, for polls, for the page of operations beside them.
test-aws-cmd:
	$(TEST_AWS) -parallel 4 ./cmd/...

test-browser: ## the reports in headless Chromium, which it installs by itself; screenshots in .ci/output
	.ci/browser/run.sh

deploy: ## sam build and sam deploy --guided
	sam build && sam deploy --guided

clean: ## remove what the other targets made, but for stores
	rm -rf $(BIN) dist .aws-sam .tools

$(GOLANGCI):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv $(TOOLS)/golangci-lint $@

# What `sam build` calls for each function of template.yaml. The same source and
# the same Go give the same zip: no paths, no build id, no version control stamp,
# one mode of the file, nothing of the environment that the compiler listens to.
# Only `make FUNCTION_ARCH=…` builds for another machine, as the tests do.
#
# The functions stay below 15 MB by two more flags. nethttpomithttp2: AWS and
# the vendor are spoken to in HTTP/1.1. -l: inlined copies are a sixth of the
# file, and leaving them out costs a row a tenth of its mapping's microseconds.
#
# The time zone database is half a megabyte that lies beside the bootstrap
# instead (shared/app/zone.go). It is that of the Go which builds, so the same Go
# gives the same file; some distributions' Go has none: set FUNCTION_ZONES then.
FUNCTION_OS := linux
FUNCTION_ARCH := arm64
FUNCTION_BUILD = umask 022 && GOFLAGS= GOEXPERIMENT= GOARM64=v8.0 GOOS=$(FUNCTION_OS) GOARCH=$(FUNCTION_ARCH) CGO_ENABLED=0 \
	go build -trimpath -buildvcs=false -tags lambda.norpc,nethttpomithttp2 -gcflags=all=-l \
	-ldflags='-s -w -buildid=' -o "$(ARTIFACTS_DIR)/bootstrap"
FUNCTION_ZONES = $$(GOFLAGS= go env GOROOT)/lib/time/zoneinfo.zip
FUNCTION_FILES = @umask 022 && zones="$(FUNCTION_ZONES)" && if [ ! -f "$$zones" ]; then \
	echo "there is no time zone database $$zones: build with a Go from go.dev, or set FUNCTION_ZONES to the zoneinfo.zip of one" >&2; exit 1; fi && \
	install -m 644 "$$zones" "$(ARTIFACTS_DIR)/zoneinfo.zip"

build-FanoutFunction:
	$(FUNCTION_BUILD) ./functions/fanout
	$(FUNCTION_FILES)
build-WorkerFunction:
	$(FUNCTION_BUILD) ./functions/worker
	$(FUNCTION_FILES)
build-PhotoFunction:
	$(FUNCTION_BUILD) ./functions/photo
	$(FUNCTION_FILES)
build-PreviewFunction:
	$(FUNCTION_BUILD) ./functions/preview
	$(FUNCTION_FILES)
build-RedriveFunction:
	$(FUNCTION_BUILD) ./functions/redrive
	$(FUNCTION_FILES)
