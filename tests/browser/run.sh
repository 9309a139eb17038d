#!/usr/bin/env bash
# The console in real Chromium against the whole stack. PROCTOR_STACK replaces the stack, PROCTOR_SCREENSHOTS keeps pictures.
set -euo pipefail
cd "$(dirname "$0")"
[ -d node_modules ] || npm ci --no-audit --no-fund --silent
node --test --test-concurrency=1 console.test.mjs
