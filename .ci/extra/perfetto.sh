#!/usr/bin/env bash
# Reads exported Perfetto traces back with the official Python package and compares counts and times with the profiles.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v python3 >/dev/null; then
  echo "no python3: the official Perfetto package is not tried"
  exit 0
fi
venv="${TMPDIR:-/tmp}/stepscope-perfetto-venv"
if ! { [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"; } || ! "$venv/bin/pip" install -q perfetto==0.59.1 protobuf; then
  echo "the official Perfetto package cannot be installed here: it is not tried"
  exit 0
fi
STEPSCOPE_PERFETTO_PYTHON="$venv/bin/python" go test -count=1 -run TestPerfettoOfficial -v ./export | grep -v '^=== '
