#!/usr/bin/env bash
# The statistics against the benchstat command: the same samples, of real servers and random ones, must give the same
# medians, intervals, p-values and decisions. benchstat is the one of the version of golang.org/x/perf in go.mod.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { echo "$*" >&2; exit 1; }
export GOFLAGS=-buildvcs=false GOTOOLCHAIN=local
bin="${TMPDIR:-/tmp}/stepscope-ci-bin"
mkdir -p "$bin"

version=$(go list -m -f '{{.Version}}' golang.org/x/perf)
have=""
[ ! -x "$bin/benchstat" ] || have=$(go version -m "$bin/benchstat" | awk '$1 == "mod" && $2 == "golang.org/x/perf" { print $3 }')
if [ "$have" != "$version" ]; then
  GOBIN="$bin" go install "golang.org/x/perf/cmd/benchstat@$version" || fail "benchstat $version cannot be installed"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
STEPSCOPE_BENCHSTAT="$bin/benchstat" go test -count=1 -run '^TestBenchstat$' -v ./stat | grep -v '^=== ' | tee "$log"
grep -q 'compared with benchstat: ' "$log" || fail "the test did not run benchstat"
