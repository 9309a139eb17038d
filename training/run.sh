#!/usr/bin/env bash
# Data, training, export and scores in one go; see README.md. Run from anywhere. Outputs lie in $WORK (default target/train).
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
WORK=${WORK:-target/train}
FRAMES=${FRAMES:-4800}
MINUTES=${MINUTES:-43}
STEPS=${STEPS:-9000}
MODEL=${MODEL:-models/cholec-sim}
THREADS=$(nproc)
export PYTHONPATH=training OMP_WAIT_POLICY=PASSIVE

cargo build --release --workspace --bin proctor
render() { # name frames seed shrink; goes on where it was stopped
    target/release/proctor dataset generate --mono --out "$WORK/$1" --frames "$2" --seed "$3" --shrink "$4" --threads "$THREADS"
}
render train "$FRAMES" 1 2
render val 150 2 2
render test 300 3 1 # the size the camera has

"$PYTHON" -m proctor_train.train --data "$WORK/train" --val "$WORK/val" --out "$WORK/run" --steps "$STEPS" --minutes "$MINUTES"
"$PYTHON" -m proctor_train.export --weights "$WORK/run/best.pt" --out "$MODEL"
for map in classes instrument; do
    target/release/proctor eval segmentation --model "$MODEL" --images "$WORK/test/images" --masks "$WORK/test/labels" \
        --map "training/maps/$map.toml" --json > "$WORK/$map.json"
done
"$PYTHON" -m proctor_train.scores --what "simulator frames 640x480, seeds and looks that training never saw" \
    --classes "$WORK/classes.json" --instrument "$WORK/instrument.json" --into "$WORK/scores.json"
"$PYTHON" -m proctor_train.export --weights "$WORK/run/best.pt" --out "$MODEL" --scores "$WORK/scores.json" \
    --data "$FRAMES frames of the built-in simulator, proctor dataset generate --seed 1, labels exact"
cp "$WORK/run/curve.png" "$MODEL/curve.png"
