"""Writes a model folder: `model.onnx` (opset 17, batch norm folded) and `model.toml`, and checks the one against torch."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from .classes import HEIGHT, MEAN, NAMES, STD, WIDTH
from .network import SlimUNet


def manifest(name: str, sha256: str, description: str, data: str, steps: str, limits: str, scores: dict,
             size: tuple[int, int] = (WIDTH, HEIGHT), letterbox: bool = False) -> str:
    """The text of model.toml; `scores` are `proctor eval segmentation --json` results by purpose."""
    q = json.dumps  # TOML basic strings are JSON strings
    lines = [
        "# Read by nodes/perception, which refuses the model if hash, shape or classes differ from the file beside it.",
        f"name = {q(name)}",
        f"description = {q(description)}",
        *([f"limits = {q(limits)}"] if limits else []),
        'licence = "Apache-2.0"',
        f"sha256 = {q(sha256)}",
        f"classes = {q(NAMES)}",
        "",
        "[input]",
        'name = "image"',
        'layout = "nchw"',
        f"width = {size[0]}",
        f"height = {size[1]}",
        'colour = "rgb"',
        "# value = (pixel / 255 - mean) / std, per channel",
        f"mean = {list(MEAN)}",
        f"std = {list(STD)}",
        *(["# Pictures of another shape keep it: black above and below, or at the sides.", 'fit = "letterbox"', "pad = 0"] if letterbox else []),
        "",
        "[output]",
        'name = "logits"',
        "",
        "[training]",
        f"data = {q(data)}",
        f"procedure = {q(steps)}",
    ]
    for purpose, s in scores.items():
        lines += ["", f"[scores.{purpose}]", f"what = {q(s['what'])}", f"images = {s['images']}", f"mean_iou = {s['mean_iou']:.4f}"]
        lines += [f"{k}_iou = {v['iou']:.4f}" for k, v in s["classes"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--weights", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--name", default="cholec-sim-640")
    ap.add_argument("--description", default="Ten-class segmentation of the simulated cholecystectomy field")
    ap.add_argument("--data", default="frames of Proctor's built-in simulator (training/README.md)")
    ap.add_argument("--procedure", default="training/README.md")
    ap.add_argument("--limits", default="", help="how far it carries beyond its training data, in words")
    ap.add_argument("--scores", type=Path, help='JSON: {purpose: {"what", "images", "mean_iou", "classes"}}')
    a = ap.parse_args()

    net = SlimUNet(len(NAMES))
    net.load_state_dict(torch.load(a.weights, weights_only=True, map_location="cpu"))
    net.eval()
    a.out.mkdir(parents=True, exist_ok=True)
    file = a.out / "model.onnx"
    x = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    torch.onnx.export(net, (x,), str(file), input_names=["image"], output_names=["logits"], opset_version=17, dynamo=False)
    onnx.checker.check_model(onnx.load(str(file)))
    got = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"image": x.numpy()})[0]
    with torch.no_grad():
        worst = float(np.abs(got - net(x).numpy()).max())
    if worst > 1e-3:
        raise SystemExit(f"the exported model differs from torch by {worst}")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    scores = json.loads(a.scores.read_text()) if a.scores else {}
    (a.out / "model.toml").write_text(manifest(a.name, digest, a.description, a.data, a.procedure, a.limits, scores, letterbox=True))
    print(f"{file}: {file.stat().st_size} bytes, sha256 {digest}, differs from torch by {worst:.1e}")


if __name__ == "__main__":
    main()
