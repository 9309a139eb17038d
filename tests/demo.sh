#!/usr/bin/env bash
# The README's headless demo, as a user runs it: the last line must be one JSON object with every key, at least one motion
# executed and nothing violated. Then a short one with a recording (60 MB a second), which must be readable by rosbags.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${DEMO_SECONDS:-60}
out=$(mktemp -d); trap 'rm -rf "$out"' EXIT
target/release/proctor demo --seconds "$seconds" --scripted --console-port 0 </dev/null | tee "$out/demo.log"
target/release/proctor demo --seconds 5 --console-port 0 --record "$out/demo.mcap" </dev/null
.venv/bin/python - "$out/demo.log" "$out/demo.mcap" <<'PY'
import json, sys
from rosbags.highlevel import AnyReader
from pathlib import Path
summary = json.loads(Path(sys.argv[1]).read_text().strip().splitlines()[-1])
keys = "frames latency_ms_mean latency_ms_p99 proposals approved executed refused violations overruns suggestions_s".split()
missing = [k for k in keys if k not in summary]
assert not missing, f"keys missing from the last line: {missing}"
assert summary["executed"] >= 1, f"no motion was executed: {summary}"
assert summary["violations"] == 0, f"violations: {summary}"
assert summary["frames"] > 0 and summary["approved"] >= summary["executed"], summary
with AnyReader([Path(sys.argv[2])]) as reader:
    counts = {c.topic: c.msgcount for c in reader.connections}
for topic in ["/endoscope/left/image_rect", "/proctor/scene", "/proctor/safety_state", "/PSM1/measured_js"]:
    assert counts.get(topic, 0) > 0, f"{topic} is not in the recording: {counts}"
print(f"demo: {summary}")
PY
