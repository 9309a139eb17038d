#!/usr/bin/env bash
# `make bench-ros`: what the bus costs beside plain hiroz and, where a ROS 2 is sourced, beside plain r2r and rclpy. A JSON line per way and message.
set -euo pipefail
cd "$(dirname "$0")/../.."
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
if [ -z "${ROS_DISTRO:-}" ]; then
  ${CARGO:-cargo} bench --workspace --bench hiroz
  echo "bench-ros: r2r and rclpy SKIPPED: no ROS 2 is sourced"
  exit
fi
target=${PROCTOR_TARGET:-$PWD/${ROS_OUT:-target/ros}/cargo}
${CARGO:-cargo} bench --workspace --features proctor/r2r --bench hiroz --bench r2r --target-dir "$target"
python3 tests/ros/bench.py
