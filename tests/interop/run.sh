#!/usr/bin/env bash
# The independent judge: rosbags decodes what Proctor wrote, and is itself shown damaged copies that it must refuse.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Built by `cargo test --workspace`; built here only when called alone.
[ -x target/release/examples/interop ] || "${CARGO:-cargo}" build --release --quiet --workspace --examples
target/release/examples/interop "$folder"
.venv/bin/python tests/interop/judge.py "$folder"
.venv/bin/python tests/interop/test_judge.py "$folder"
