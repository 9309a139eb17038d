"""The straightforward Python pipeline that `make bench` compares perception with: onnxruntime, cv2 and numpy, same model, frames, threads.

usage: peer.py MODEL_FOLDER FRAMES WIDTH HEIGHT THREADS
FRAMES holds raw RGB pictures one after the other. Reads a picture's number per line, answers it, prints the seconds that took.
It answers what a Segmentation holds: labels, entropy, confidence per class, points of instruments; as bytes.
"""

import sys
import time
import tomllib
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

SHAFT, WRIST, JAWS = 7, 8, 9


def points(labels, top):
    tools = np.isin(labels, (SHAFT, WRIST, JAWS)).astype(np.uint8)
    count, components, stats, _ = cv2.connectedComponentsWithStats(tools, connectivity=8)
    out = []
    for k in range(1, count):
        if stats[k, cv2.CC_STAT_AREA] < labels.size / 1200:
            continue
        parts = {}
        for part in (SHAFT, WRIST, JAWS):
            ys, xs = np.nonzero((components == k) & (labels == part))
            if len(xs) >= 6:
                parts[part] = (xs, ys, top[ys, xs].mean())
        middle = {p: np.array([xs.mean(), ys.mean()]) for p, (xs, ys, _) in parts.items()}
        if WRIST in parts:
            out.append((WRIST, *middle[WRIST], parts[WRIST][2]))
        for part, before in ((JAWS, (WRIST, SHAFT)), (SHAFT, (WRIST, JAWS))):
            start = next((middle[b] for b in before if b in middle), None)
            if part not in parts or start is None:
                continue
            xs, ys, confidence = parts[part]
            way = middle[part] - start
            along = xs * way[0] + ys * way[1]
            band = along > along.max() - 2 * np.hypot(*way)
            out.append((part, xs[band].mean(), ys[band].mean(), confidence))
    return out


def main():
    folder, frames, width, height, threads = sys.argv[1:]
    width, height = int(width), int(height)
    contract = tomllib.loads((Path(folder) / "model.toml").read_text())
    size = (contract["input"]["width"], contract["input"]["height"])
    mean, std = (np.array(contract["input"][k], np.float32) for k in ("mean", "std"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"), options, providers=["CPUExecutionProvider"])
    cv2.setNumThreads(int(threads))
    raw = Path(frames).read_bytes()
    length = width * height * 3
    for line in sys.stdin:
        start = time.perf_counter()
        at = int(line) * length
        picture = np.frombuffer(raw[at : at + length], np.uint8).reshape(height, width, 3)
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        x = ((small.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
        logits = session.run(None, {contract["input"]["name"]: np.ascontiguousarray(x)})[0][0]
        e = np.exp(logits - logits.max(0))
        p = e / e.sum(0)
        labels, top = p.argmax(0).astype(np.uint8), p.max(0)
        entropy = (-(p * np.log(p + 1e-12)).sum(0) / np.log(len(p)) * 255).astype(np.uint8)
        confidence = [float(top[labels == k].mean()) if (labels == k).any() else 0.0 for k in range(len(p))]
        answer = labels.tobytes() + entropy.tobytes() + np.array(confidence, np.float32).tobytes() + repr(points(labels, top)).encode()
        assert len(answer) > 2 * labels.size
        print(time.perf_counter() - start, flush=True)


main()
