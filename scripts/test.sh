#!/usr/bin/env bash
# Every check and test, in the order in which a failure is cheapest to see. Called by `make test`.
# Each step has a time limit, far above what it needs, so that one that hangs is named instead of waited for.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

# A clone that is built once gains nothing from incremental compilation, which takes as much of the disk again.
[ "${CI:-}" = true ] && export CARGO_INCREMENTAL=0

# A full disk would show as some test's failure, half an hour later.
room() { # folder, GiB
  local free; free=$(df --output=avail -BG "$1" | tail -n 1 | tr -dc 0-9)
  [ "$free" -ge "$2" ] || { printf 'not enough room for the tests: %s GiB are free in %s, %s are needed\n' "$free" "$1" "$2" >&2; exit 1; }
}
if [ -d target/release ]; then room . 3; else room . 10; fi
room "${TMPDIR:-/tmp}" 2

step() { # title, limit in minutes, command ...
  local title=$1 limit=$2; shift 2
  printf '\n\033[1m== %s\033[0m (%s s)\n' "$title" "$SECONDS"
  timeout --foreground --kill-after=10 "${limit}m" "$@" || {
    local code=$?
    [ "$code" = 124 ] && printf 'not finished after %s minutes: %s\n' "$limit" "$*" >&2
    exit "$code"
  }
}

# Crates first, tried again when the network stalls: nothing after this downloads.
fetch() { for _ in 1 2 3; do timeout --foreground 240 "$cargo" fetch --locked && return; done; return 1; }
export cargo; export -f fetch

step "fetch crates" 13 bash -c fetch
step "format" 2 "$cargo" fmt --all --check
step "one set of features for build and tests" 2 python3 scripts/features.py
step "spelling" 2 .venv/bin/codespell --config .codespellrc
step "xacro expands to the checked-in URDF" 2 .venv/bin/python urdf/check_generated.py
step "the copy of the safety node for coverage and mutants can be made" 2 scripts/kernel.sh
step "lints" 40 "$cargo" clippy --release --workspace --all-targets -- -D warnings
step "unit, property and whole-loop tests" 60 bash -c 'set -o pipefail; "$cargo" test --release --workspace 2>&1 | tee target/tests.log'
step "every hazard has a passing test" 1 .venv/bin/python tests/hazards.py target/tests.log
step "documentation" 20 env RUSTDOCFLAGS="-D warnings" "$cargo" doc --release --workspace --no-deps --quiet
step "independent judge: rosbags decodes what Proctor wrote" 10 tests/interop/run.sh
step "independent judge: recordings that rosbags wrote" 5 tests/recordings/run.sh
step "independent judge: a data set read by a stranger" 5 tests/dataset/run.sh
step "four machines: access control, a cut line, strangers (skipped, and said so, without network namespaces)" 15 .venv/bin/python tests/network/run.py
step "the console in Chromium" 12 tests/browser/run.sh
step "the demo, headless, with the scripted surgeon" 5 tests/demo.sh
printf '\n\033[1m== all passed\033[0m (%s s)\n' "$SECONDS"
