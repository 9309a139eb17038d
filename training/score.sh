#!/usr/bin/env bash
# Exports what a run of training left in FOLDER, scores it on seeds that training never saw, and writes the scores into the manifest.
# usage: score.sh FOLDER WHAT-IT-WAS-TRAINED-ON [HOW]; see run.sh for the variables. LIMITS says in words how far the model carries.
set -euo pipefail
cd "$(dirname "$0")/.."
RUN=$1 DATA=$2 HOW=${3:-training/README.md}
PYTHON=${PYTHON:-python3}
WORK=${WORK:-target/train}
MODEL=${MODEL:-models/cholec-sim-640}
PROCTOR=${PROCTOR:-target/release/proctor}
export PYTHONPATH=training

"$PROCTOR" dataset generate --mono --out "$WORK/test" --frames 300 --seed 3 --threads "$(nproc)"
"$PYTHON" -m proctor_train.export --weights "$RUN/best.pt" --out "$MODEL"
for map in classes instrument; do
    "$PROCTOR" eval segmentation --model "$MODEL" --images "$WORK/test/images" --masks "$WORK/test/labels" \
        --map "training/maps/$map.toml" --json > "$WORK/$map.json"
done
"$PYTHON" -m proctor_train.scores --what "simulator frames 640x480, seeds and looks that training never saw" \
    --classes "$WORK/classes.json" --instrument "$WORK/instrument.json" --into "$WORK/scores.json"
"$PYTHON" -m proctor_train.export --weights "$RUN/best.pt" --out "$MODEL" --scores "$WORK/scores.json" --data "$DATA" --procedure "$HOW" \
    --limits "${LIMITS:-Nothing beyond the simulator was looked at.}"
cp "$RUN/curve.png" "$MODEL/curve.png"
