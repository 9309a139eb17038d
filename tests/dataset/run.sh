#!/usr/bin/env bash
# A small data set, judged by a reader that shares no code with its writer.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Built by `cargo test --workspace`; built here only when called alone.
[ -x target/release/proctor ] || "${CARGO:-cargo}" build --release --quiet --workspace --bin proctor
out=$(mktemp -d); trap 'rm -rf "$out"' EXIT
target/release/proctor dataset generate --frames 12 --seed 7 --shrink 2 --out "$out/set"
.venv/bin/python tests/dataset/judge.py "$out/set"
