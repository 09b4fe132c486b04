#!/bin/sh
# Runs a command against a moto server of its own:
#
#	.ci/moto/run.sh go test -count=1 -run '^TestAWS' ./shared/...
#
# The first use installs the pinned server into .venv/moto (Python 3.10 or
# newer with its venv module). The command finds the server's address in
# STOVASYNC_TEST_AWS_ENDPOINT. The server ends with the command, whatever
# becomes of it. Without a command it serves until it is interrupted.
set -eu
cd "$(dirname "$0")/../.."

venv=.venv/moto
want=$(cksum <.ci/moto/requirements.txt)
if [ "$(cat "$venv/installed" 2>/dev/null || true)" != "$want" ]; then
	python=${PYTHON:-python3}
	"$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' || {
		echo "test-aws needs Python 3.10 or newer with its venv module; set PYTHON to one" >&2
		exit 1
	}
	echo "installing moto into $venv (once)" >&2
	rm -rf "$venv"
	"$python" -m venv "$venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
		--requirement .ci/moto/requirements.txt >&2
	echo "$want" >"$venv/installed"
fi

mkdir -p .venv/bin
go build -o .venv/bin/moto-proxy ./.ci/moto/proxy
exec .venv/bin/moto-proxy -server "$venv/bin/moto_server" -expect "${MOTO_EXPECT-dynamodb,sqs,s3,ssm}" -- "$@"
