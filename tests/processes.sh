#!/usr/bin/env bash
# The stack as a robot runs it: every node in a process of its own, over Zenoh, or with PROCTOR_BUS=r2r on the sourced ROS 2 (PROCTOR
# names the executable). Says what `proctor demo` says (console, token), takes faults on standard input and ends with Ctrl-C.
# `PROCTOR_STACK=tests/processes.sh tests/browser/run.sh` tests it in Chromium.
set -euo pipefail
cd "$(dirname "$0")/.."
proctor=${PROCTOR:-target/release/proctor}
port=$((20000 + RANDOM % 20000))
here=tcp/127.0.0.1:$port
pids=()
secrets=$(mktemp -d)
trap 'kill -INT "${pids[@]}" 2>/dev/null; wait; rm -rf "$secrets"' EXIT
trap 'exit 0' INT TERM
# What console, safety and the simulated arms share, and nobody else.
export PROCTOR_AUTHORITY_KEY=$secrets/authority.key
"$proctor" authority-key "$PROCTOR_AUTHORITY_KEY" >/dev/null
"$proctor" run sim --listen "$here" --camera-fps "${CAMERA_FPS:-15}" <&0 & pids+=($!)
for node in perception fusion autonomy safety; do
  "$proctor" run "$node" --connect "$here" </dev/null & pids+=($!)
done
"$proctor" run console --connect "$here" --console-port 0 </dev/null & pids+=($!)
wait -n
