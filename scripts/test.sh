#!/usr/bin/env bash
# Every check and test, in the order in which a failure is cheapest to see. Called by `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n\033[1m== %s\033[0m (%s s)\n' "$*" "$SECONDS"; }
cargo=${CARGO:-cargo}

step "format";   $cargo fmt --all --check
step "spelling"; .venv/bin/codespell --config .codespellrc
step "xacro expands to the checked-in URDF"; .venv/bin/python urdf/check_generated.py
step "lints";    $cargo clippy --release --workspace --all-targets -- -D warnings
step "unit, property and whole-loop tests"; $cargo test --release --workspace
step "documentation"; RUSTDOCFLAGS="-D warnings" $cargo doc --release --workspace --no-deps --quiet
step "independent judge: rosbags decodes what Proctor wrote"; tests/interop/run.sh
step "browser"; tests/browser/run.sh
step "the demo, headless, with the scripted surgeon"; tests/demo.sh
step "all passed"
