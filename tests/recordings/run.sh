#!/usr/bin/env bash
# Bags of every kind, written by rosbags, must give `proctor fuse` and `proctor shadow` what the same recording gives otherwise.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
[ -x target/release/proctor ] || "$cargo" build --release --quiet --workspace --bin proctor
# Recordings of the simulator as pictures and a table, made by the tests of `proctor fuse`.
[ -f target/tmp/fuse_pictures_moved/poses.csv ] || "$cargo" test --release --quiet --workspace --test fuse_pictures
.venv/bin/python tests/recordings/judge.py target/release/proctor target/tmp/fuse_pictures target/tmp/fuse_pictures_moved
