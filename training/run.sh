#!/usr/bin/env bash
# Data, training, export and scores in one go; see README.md. Run from anywhere. Outputs lie in $WORK (default target/train).
# usage: run.sh [options of proctor_train.train], such as --resume
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
WORK=${WORK:-target/train}
MODEL=${MODEL:-models/cholec-sim-640}
PROCTOR=${PROCTOR:-target/release/proctor}
THREADS=$(nproc)
export PYTHONPATH=training OMP_WAIT_POLICY=PASSIVE

# A card does in ten minutes what two cores do not do in two hours; each gets the batch and the rate that suit it.
if "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    FRAMES=${FRAMES:-12000} MINUTES=${MINUTES:-10} BATCH=${BATCH:-64} RATE=${RATE:-3e-3} EMA=${EMA:-0.999} GROW=${GROW:-0.4} PLAIN=${PLAIN:-0.45}
else
    FRAMES=${FRAMES:-4800} MINUTES=${MINUTES:-90} BATCH=${BATCH:-16} RATE=${RATE:-3e-3} EMA=${EMA:-0.998} GROW=${GROW:-0.65} PLAIN=${PLAIN:-0.45}
fi
STEPS=${STEPS:-100000} # the minutes end it, unless fewer steps are asked for

[ -x "$PROCTOR" ] || cargo build --release --workspace --bin proctor
render() { # name frames seed; goes on where it was stopped
    "$PROCTOR" dataset generate --mono --out "$WORK/$1" --frames "$2" --seed "$3" --threads "$THREADS"
}
render train "$FRAMES" 1
render val 150 2
"$PYTHON" -m proctor_train.train --data "$WORK/train" --val "$WORK/val" --out "$WORK/run" \
    --steps "$STEPS" --minutes "$MINUTES" --batch "$BATCH" --lr "$RATE" --ema "$EMA" --grow "$GROW" --plain "$PLAIN" "$@"
training/score.sh "$WORK/run" "$FRAMES frames of the built-in simulator, proctor dataset generate --mono --seed 1, labels exact"
