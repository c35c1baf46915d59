#!/usr/bin/env bash
# The timeline's front end: its types, its bundle, and the page in a real Chromium with a big generated profile. What is
# missing is installed; what cannot be installed fails. Screenshots are kept in ${TMPDIR:-/tmp}/stepscope-ci-artefacts.
set -euo pipefail
cd "$(dirname "$0")/../.."
. .ci/extra/install.bash
export GOFLAGS=-buildvcs=false GOTOOLCHAIN=local CI=1
bin="${TMPDIR:-/tmp}/stepscope-ci-bin"
shots="${TMPDIR:-/tmp}/stepscope-ci-artefacts/timeline"

part() { printf -- '-- %s (%ds)\n' "$1" "$SECONDS"; }
browser() { # the same names as in web/browsertests
  local name
  for name in "${STEPSCOPE_CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name"; then return; fi
  done
  return 1
}

part "tools"
command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
browser >/dev/null || install chromium
chrome=$(browser) || fail "no Chromium, although it was installed"
# A browser that is there but does not work would fail every test with its own words: say it once.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
page=$(timeout 60 "$chrome" --headless --no-sandbox --disable-gpu --disable-quic --user-data-dir="$home" --dump-dom 'data:text/html,<p>works' 2>/dev/null) || page=""
[[ "$page" == *works* ]] || fail "$chrome does not show a page"

part "types"
(cd web/ui && npm ci --no-audit --no-fund && npm run check)

part "bundle matches its sources"
(cd web/ui/build && go vet ./... && go test -count=1 ./...)

part "tiles of the big profile"
STEPSCOPE_BIG=1 go test -count=1 -run '^TestBigModel$' -v ./web | grep -v '^=== '

part "the page in $chrome"
mkdir -p "$shots"
rm -f "$shots"/*.png
(
  cd web/browsertests
  go vet ./...
  [ ! -x "$bin/staticcheck" ] || "$bin/staticcheck" ./...
  STEPSCOPE_BIG=1 STEPSCOPE_SCREENSHOTS="$shots" go test -count=1 -timeout 10m -v ./... | grep -Ev '^=== '
)

part "the one-file reports in $chrome"
go test -count=1 -run '^TestBrowser' ./report
[ -n "$(ls "$shots")" ] || fail "no screenshots in $shots"
part "done: $(ls "$shots" | wc -l) screenshots in $shots"
