#!/usr/bin/env bash
# `make test-gazebo`: the whole loop on a real Gazebo server, with the scripted surgeon; a CRTK arm judged by `proctor conformance`; the segmentation
# scored against Gazebo's own segmentation camera; faults typed into the demo. Without a Gazebo (`gz sim` or `ign gazebo`) it says that it was skipped, and succeeds.
# GAZEBO_SECONDS (180) is how long the surgeon works, GAZEBO_FPS (10) the endoscope's rate: software rendering makes the simulation slower than the clock.
set -euo pipefail
cd "$(dirname "$0")/../.."
skip() { printf 'test-gazebo: SKIPPED: %s\n' "$*"; exit 0; }
step() { printf '\n\033[1m== %s\033[0m (%s s)\n' "$*" "$SECONDS"; }
proctor=${PROCTOR_EXECUTABLE:-target/release/proctor}

there() { local said; said=$("$@" --versions 2>/dev/null) && [[ $said =~ ^[0-9] ]]; }
there gz sim || there ign gazebo || skip "neither \`gz sim\` nor \`ign gazebo\` is there"
[ -x "$proctor" ] || { echo "test-gazebo: no $proctor: run \`make build\` first" >&2; exit 1; }

out=$(mktemp -d); pid=; trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$out"' EXIT
# This test's own simulation, which nobody else sees.
export GZ_PARTITION=test-gazebo-$$ GZ_IP=127.0.0.1
export IGN_PARTITION=$GZ_PARTITION IGN_IP=$GZ_IP
seconds=${GAZEBO_SECONDS:-180}

step "the whole loop in Gazebo, $seconds s"
"$proctor" demo --sim gazebo --seconds "$seconds" --scripted --console-port 0 --camera-fps "${GAZEBO_FPS:-10}" </dev/null > "$out/demo.log" &
pid=$!
"$proctor" gazebo capture --out "$out/truth" --frames 20
wait "$pid"; pid=
cat "$out/demo.log"
python3 - "$out/demo.log" <<'PY'
import json, sys
lines = open(sys.argv[1]).read().strip().splitlines()
summary = json.loads(lines[-1])
assert any("real-time factor" in line for line in lines), lines
assert summary["frames"] > 0 and summary["executed"] >= 1 and summary["violations"] == 0, summary
PY

step "segmentation of Gazebo's pictures against its own segmentation camera"
"$proctor" eval segmentation --model models/cholec-sim-640 --images "$out/truth/images" --masks "$out/truth/masks" --map "$out/truth/map.toml"

step "Gazebo's depth camera against its stereo pictures"
.venv/bin/python tests/gazebo/depth.py "$out/truth"

step "faults of camera and arms, typed, recorded and noticed"
.venv/bin/python tests/gazebo/faults.py "$proctor" "${GAZEBO_FPS:-10}" --sim gazebo

step "a Gazebo arm as a CRTK arm"
"$proctor" authority-key "$out/authority.key" >/dev/null
"$proctor" run gazebo --gazebo-server --authority-key "$out/authority.key" --listen tcp/127.0.0.1:17459 --camera-fps "${GAZEBO_FPS:-10}" 2> "$out/arms.log" &
pid=$!
# It is judged once it stands: before, nothing is said of it.
for _ in $(seq 240); do
  kill -0 "$pid" || { cat "$out/arms.log" >&2; exit 1; }
  [ "$(grep -c 'stands where operations begin' "$out/arms.log")" -lt 3 ] || break
  sleep 0.5
done
"$proctor" conformance --arm /PSM1 --use-sim-time --connect tcp/127.0.0.1:17459 --authority-key "$out/authority.key" --move --home --yes
kill -INT "$pid"; wait "$pid" || true; pid=
printf '\n\033[1m== test-gazebo passed\033[0m (%s s)\n' "$SECONDS"
