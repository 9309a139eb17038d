"""Writes the tiny model folders that nodes/perception tests with (a few hundred bytes each, exact by hand).

`colours` is a 1x1 convolution that tells classes apart by colour: its logit for class k is 40 * (r*a + g*b + blue*c) + d,
so the test can paint pictures whose right labels are known. The other folders each break one promise of the manifest.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .classes import NAMES
from .export import manifest

W, H = 32, 24

# Colour (0 or 1 per channel) that each class answers to; classes beyond the eight corners sit at half levels.
COLOURS = np.array(
    [
        [0, 0, 0],
        [1, 0, 1],
        [1, 0, 0],
        [0, 1, 0],
        [1, 1, 0],
        [1, 0, 0.5],
        [1, 0.5, 0],
        [0, 0, 1],
        [0, 1, 1],
        [1, 1, 1],
    ],
    np.float32,
)


def convolution(classes: int = 10, w: int = W, h: int = H, input_name: str = "image", output_name: str = "logits",
                bias_nan: bool = False, dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Nearest colour as a linear classifier: |x - c|^2 = |x|^2 - 2 x.c + |c|^2, so the logit is 2 x.c - |c|^2 (times 40)."""
    c = COLOURS[:classes]
    kernel = (80.0 * c).reshape(classes, 3, 1, 1)
    bias = -40.0 * (c**2).sum(1)
    if bias_nan:
        bias[3] = np.nan
    # Other element types are cast first, because not every operator has a kernel for them.
    nodes = [
        helper.make_node("Cast", [input_name], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["single", "kernel", "bias"], [output_name]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(input_name, dtype, [1, 3, h, w])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, [1, classes, h, w])],
        [numpy_helper.from_array(kernel.astype(np.float32), "kernel"), numpy_helper.from_array(bias.astype(np.float32), "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="proctor")
    onnx.checker.check_model(model)
    return model


def write(folder: Path, model: onnx.ModelProto, edit=lambda text: text) -> None:
    """Writes a model folder; `edit` changes the manifest's text."""
    folder.mkdir(parents=True, exist_ok=True)
    data = model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(data)
    text = manifest(folder.name, hashlib.sha256(data).hexdigest(), "made by training/proctor_train/tiny_models.py", "none",
                    "none", {}, size=(W, H))
    text = text.replace("mean = [0.5, 0.35, 0.3]", "mean = [0.0, 0.0, 0.0]").replace("std = [0.25, 0.25, 0.25]", "std = [1.0, 1.0, 1.0]")
    (folder / "model.toml").write_text(edit(text))


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", type=Path, required=True)
    out = ap.parse_args().out
    write(out / "colours", convolution())
    write(out / "nine_classes", convolution(classes=9))
    write(out / "other_size", convolution(w=W * 2))
    write(out / "other_input_name", convolution(input_name="picture"))
    write(out / "other_output_name", convolution(output_name="scores"))
    write(out / "double_precision", convolution(dtype=TensorProto.DOUBLE))
    write(out / "answers_nan", convolution(bias_nan=True))
    garbage = out / "not_a_model"
    garbage.mkdir(parents=True, exist_ok=True)
    (garbage / "model.onnx").write_bytes(b"this is no ONNX file")
    text = (out / "colours" / "model.toml").read_text()
    right = hashlib.sha256((out / "colours" / "model.onnx").read_bytes()).hexdigest()
    (garbage / "model.toml").write_text(text.replace(right, hashlib.sha256(b"this is no ONNX file").hexdigest()))


if __name__ == "__main__":
    main()
