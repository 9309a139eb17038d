#!/usr/bin/env bash
# The console in real Chromium against the whole stack, live. PROCTOR_STACK replaces the stack, PROCTOR_SCREENSHOTS keeps pictures.
# Everything here runs against the wall clock, so a suite that fails on a busy machine is tried again, twice at most, and that is said.
set -euo pipefail
cd "$(dirname "$0")"
export CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || { echo "SKIPPED: no Chromium or Chrome found (set CHROMIUM to its path)"; exit 0; }
[ -d node_modules ] || npm ci --no-audit --no-fund --silent
suite() { node --test --test-concurrency=1 console.test.mjs; }
for try in 2 3; do
  suite && exit
  echo "the browser suite failed; try $try, in case the machine was busy"
done
suite
