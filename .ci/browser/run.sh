#!/bin/sh
# Runs the tests that look at pages in headless Chromium:
#
#	.ci/browser/run.sh                 all of them
#	.ci/browser/run.sh ./shared/report those of some packages
#
# The browser is the distribution's: STOVASYNC_TEST_BROWSER, else the chromium
# of the PATH, else Debian's package is installed (once; 20 seconds and 700 MB).
# The tests find
#
#	STOVASYNC_TEST_BROWSER       the path of the browser
#	STOVASYNC_TEST_SCREENSHOTS   the folder where what it showed is kept
#
# Where the machine allows it the tests have no network at all; the flags they
# give the browser close it in any case.
set -eu
cd "$(dirname "$0")/../.."

find_browser() {
	command -v chromium || command -v chromium-browser || true
}

install_browser() {
	command -v apt-get >/dev/null || {
		echo "test-browser needs Chromium: install it, and set STOVASYNC_TEST_BROWSER to its path" >&2
		return 1
	}
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		as_root="sudo -n"
		$as_root true 2>/dev/null || {
			echo "test-browser needs Chromium: run 'apt-get install chromium fonts-dejavu-core' as root, or set STOVASYNC_TEST_BROWSER to the path of one" >&2
			return 1
		}
	fi
	echo "installing chromium (once)" >&2
	log=$(mktemp)
	{ $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1 </dev/null || {
		cat "$log" >&2
		rm -f "$log"
		return 1
	}
	rm -f "$log"
}

browser=${STOVASYNC_TEST_BROWSER:-$(find_browser)}
if [ -z "$browser" ]; then
	install_browser
	browser=$(find_browser)
fi
command -v "$browser" >/dev/null || {
	echo "test-browser found no Chromium at '$browser'" >&2
	exit 1
}
export STOVASYNC_TEST_BROWSER="$browser"
export STOVASYNC_TEST_SCREENSHOTS="$PWD/.ci/output/screenshots"
rm -rf "$STOVASYNC_TEST_SCREENSHOTS"
mkdir -p "$STOVASYNC_TEST_SCREENSHOTS"
"$browser" --version >&2 2>/dev/null || true

# What the tests are made of is fetched and built before the network goes.
[ "$#" -gt 0 ] || set -- ./shared/report/... ./cmd/stovasync
go test -count=1 -run '^$' "$@" >/dev/null
set -- go test -count=1 -timeout 5m -v -run '^TestBrowser' "$@"
# A network of its own has a loopback at most, for the twin that the program reads.
if unshare --net sh -c 'ip link set lo up' 2>/dev/null; then
	set -- unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
fi
exec "$@"
