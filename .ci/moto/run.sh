#!/bin/sh
# Runs a command against a moto server of its own:
#
#	.ci/moto/run.sh go test -count=1 -run '^TestAWS' ./shared/...
#
# The first use installs the pinned server into .venv/moto, the SAM CLI with
# cfn-lint into .venv/sam and the AWS CLI into .venv/aws (Python 3.10 or newer
# with its venv module; a minute or two, and 650 MB). The command finds
#
#	STOVASYNC_TEST_AWS_ENDPOINT  the server's address
#	STOVASYNC_TEST_TEMPLATE      template.yaml as CloudFormation gets it, in JSON
#	STOVASYNC_TEST_TOOLS         the folder with sam and cfn-lint
#	STOVASYNC_TEST_AWSCLI        the folder with aws
#
# The server ends with the command, whatever becomes of it. Without a command it
# serves until it is interrupted.
set -eu
cd "$(dirname "$0")/../.."

# install VENV REQUIREMENTS: at most once for each state of the requirements.
install() {
	want=$(cksum <"$2")
	[ "$(cat "$1/installed" 2>/dev/null || true)" != "$want" ] || return 0
	python=${PYTHON:-python3}
	"$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' || {
		echo "test-aws needs Python 3.10 or newer with its venv module; set PYTHON to one" >&2
		return 1
	}
	echo "installing $2 into $1 (once)" >&2
	rm -rf "$1"
	"$python" -m venv "$1"
	"$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$2" >&2
	echo "$want" >"$1/installed"
}

install .venv/sam .ci/aws/requirements.txt &
sam=$!
install .venv/moto .ci/moto/requirements.txt
install .venv/aws .ci/aws/cli.txt
wait "$sam"

export STOVASYNC_TEST_TEMPLATE="$PWD/.venv/template.json"
export STOVASYNC_TEST_TOOLS="$PWD/.venv/sam/bin"
export STOVASYNC_TEST_AWSCLI="$PWD/.venv/aws/bin"

# Renamed into place: two of us may be at work side by side.
.venv/sam/bin/python .ci/aws/transform.py template.yaml "$STOVASYNC_TEST_TEMPLATE.$$"
mv "$STOVASYNC_TEST_TEMPLATE.$$" "$STOVASYNC_TEST_TEMPLATE"
mkdir -p .venv/bin
go build -o ".venv/bin/moto-proxy.$$" ./.ci/moto/proxy
mv ".venv/bin/moto-proxy.$$" .venv/bin/moto-proxy
exec .venv/bin/moto-proxy -server ".venv/moto/bin/python .ci/moto/server.py" -expect "${MOTO_EXPECT-dynamodb,sqs,s3,ssm,cloudformation}" -- "$@"
