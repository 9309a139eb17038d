#!/usr/bin/env bash
# `make test-ros`: Proctor as a citizen of the ROS 2 that is sourced: its packages built with colcon, its nodes launched, ROS's own
# tools and rclpy as judges, and the whole loop, with a Gazebo (`gz sim` or `ign gazebo`) there too. Without a sourced ROS 2 it says that it was
# skipped, and succeeds.
# ROS_OUT says where build and install go (target/ros), PROCTOR_TARGET where cargo builds (below it); PROCTOR_EXECUTABLE names an executable
# that is built already with the feature r2r, CARGO_ARGS further arguments of cargo.
set -euo pipefail
cd "$(dirname "$0")/../.."
skip() { printf 'test-ros: SKIPPED: %s\n' "$*"; exit 0; }
there() { local said; said=$("$@" --versions 2>/dev/null) && [[ $said =~ ^[0-9] ]]; }
step() { printf '\n\033[1m== %s\033[0m (%s s)\n' "$*" "$SECONDS"; }

[ -n "${ROS_DISTRO:-}" ] || skip "no ROS 2 is sourced (source /opt/ros/jazzy/setup.bash first)"
command -v ros2 >/dev/null || skip "ROS 2 $ROS_DISTRO is sourced, but has no ros2 command"
command -v colcon >/dev/null || skip "ROS 2 $ROS_DISTRO is sourced, but there is no colcon"

out=${ROS_OUT:-target/ros}
mkdir -p "$out"
target=${PROCTOR_TARGET:-$PWD/$out/cargo}
step "colcon build: proctor_msgs, crtk_msgs, proctor, proctor_bringup"
colcon --log-base "$out/log" build --merge-install --build-base "$out/build" --install-base "$out/install" \
  --base-paths msgs/proctor_msgs msgs/crtk_msgs nodes/proctor launch --event-handlers console_direct- \
  --cmake-args -DPROCTOR_TARGET="$target" -DPROCTOR_EXECUTABLE="${PROCTOR_EXECUTABLE:-}" --no-warn-unused-cli ${ROS_CMAKE_ARGS:-}
set +u; . "$out/install/setup.bash"; set -u

# This test's own corner: a domain that nobody else uses here, this machine only, and a secret of its own.
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=${ROS_DOMAIN_ID:-$((100 + RANDOM % 100))}
secrets=$(mktemp -d); trap 'ros2 daemon stop >/dev/null 2>&1 || true; rm -rf "$secrets"' EXIT
export PROCTOR_AUTHORITY_KEY=$secrets/authority.key XDG_CONFIG_HOME=$secrets
proctor=$out/install/lib/proctor/proctor
"$proctor" authority-key "$PROCTOR_AUTHORITY_KEY" >/dev/null

step "the bus on this ROS: values cross, malformed bytes do not, slow readers lose the oldest"
${CARGO:-cargo} test --release --workspace --features proctor/r2r --test r2r --target-dir "$target" ${CARGO_ARGS:-}

step "ros2 and rclpy judge the launched nodes"
timeout --foreground 900 python3 tests/ros/judge.py "$proctor"

step "ros2 and rclpy on rmw_zenoh_cpp judge nodes that run without ROS"
zenoh=skipped
if ros2 pkg prefix rmw_zenoh_cpp >/dev/null 2>&1; then
  timeout --foreground 900 python3 tests/ros/zenoh.py "$proctor"
  zenoh=passed
else
  echo "SKIPPED: rmw_zenoh_cpp is not there"
fi

step "the whole loop on this ROS, with the scripted surgeon"
"$proctor" demo --bus r2r --seconds "${DEMO_SECONDS:-60}" --scripted --console-port 0 --camera-fps 15 </dev/null | tee "$secrets/demo.log"
python3 - "$secrets/demo.log" <<'PY'
import json, sys
summary = json.loads(open(sys.argv[1]).read().strip().splitlines()[-1])
assert summary["executed"] >= 1 and summary["violations"] == 0, summary
PY

step "the whole loop in Gazebo on this ROS: gazebo.launch.py"
gazebo=skipped
if there gz sim || there ign gazebo; then
  ${CARGO:-cargo} build --release --workspace --features proctor/r2r --example surgeon --target-dir "$target" ${CARGO_ARGS:-}
  timeout --foreground 1800 python3 tests/ros/gazebo.py "$target/release/examples/surgeon"
  gazebo=passed
else
  echo "SKIPPED: neither \`gz sim\` nor \`ign gazebo\` is there"
fi
printf '\n\033[1m== test-ros passed\033[0m: ROS 2 %s, %s, rmw_zenoh_cpp %s, Gazebo %s (%s s)\n' "$ROS_DISTRO" "${RMW_IMPLEMENTATION:-default RMW}" "$zenoh" "$gazebo" "$SECONDS"
