"""Writes one tiny model folder for each task and output form, for the tests of nodes/perception. Needs numpy and onnx only.

    python -m proctor_train.tiny_tasks --out ../nodes/perception/tests/models

Each does something real on a picture of 64 x 48 pixels, exactly enough to predict by hand: squares of pure red or green are found by
mass and centre of mass in overlapping windows (so that duplicates must be removed), their boxes are sqrt(mass) wide; the picture is
classified by its mean colour; what is red is a zone. They are also what a manifest for each form looks like: see docs/models.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

W, H = 64, 48
WINDOW, STRIDE = 16, 4
COLUMNS, ROWS = (W - WINDOW) // STRIDE + 1, (H - WINDOW) // STRIDE + 1
BOXES = COLUMNS * ROWS
# A square of 8 x 8 pixels or more is found with confidence 1.
FULL = 64.0


class Net:
    """A graph under construction; every method adds a node and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def const(self, values, dtype=np.float32) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes):
        names = [f"n{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def binary(self, kind: str, a: str, value) -> str:
        return self.op(kind, a, self.const(value))

    def clip(self, a: str, low: float, high: float) -> str:
        return self.op("Clip", a, self.const(low), self.const(high))

    def step(self, a: str) -> str:
        """0 below one half, 1 above, steeply."""
        return self.clip(self.binary("Mul", self.binary("Sub", a, 0.45), 10.0), 0.0, 1.0)

    def windows(self, a: str) -> str:
        """Sum over each window."""
        mean = self.op("AveragePool", a, kernel_shape=[WINDOW, WINDOW], strides=[STRIDE, STRIDE])
        return self.binary("Mul", mean, float(WINDOW * WINDOW))

    def colours(self) -> tuple[str, str]:
        """Where the picture is red and where it is green, [1, 1, H, W] each."""
        red, green, _ = self.op("Split", "image", self.const([1, 1, 1], np.int64), outputs=3, axis=1)
        return self.step(red), self.step(green)

    def model(self, output: str, shape: list[int], dtype: int = TensorProto.FLOAT, extra: str | None = None) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["answer"]))
        outputs = [helper.make_tensor_value_info("answer", dtype, shape)]
        if extra:
            self.nodes.append(helper.make_node("Identity", [extra], ["auxiliary"]))
            outputs.insert(0, helper.make_tensor_value_info("auxiliary", TensorProto.FLOAT, [1, 1, BOXES]))
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, H, W])
        graph = helper.make_graph(self.nodes, "tiny", [image], outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="proctor")
        onnx.checker.check_model(model, full_check=True)
        return model


def squares() -> tuple[Net, dict[str, str]]:
    """Per window, each [1, 1, BOXES]: centre x and y, side, corner x and y, objectness, share of red and of green."""
    net = Net()
    red, green = net.colours()
    lit = net.op("Add", red, green)
    x = np.arange(W, dtype=np.float32).reshape(1, 1, 1, W) + 0.5
    y = np.arange(H, dtype=np.float32).reshape(1, 1, H, 1) + 0.5
    mass = net.windows(lit)
    some = net.clip(mass, 1e-3, 1e9)
    flat = net.const([1, 1, BOXES], np.int64)
    line = lambda a: net.op("Reshape", a, flat)  # noqa: E731
    part = lambda a: line(net.op("Div", net.windows(a), some))  # noqa: E731
    out = {
        "x": part(net.binary("Mul", lit, x)),
        "y": part(net.binary("Mul", lit, y)),
        "side": net.op("Sqrt", line(mass)),
        "sure": line(net.clip(net.binary("Div", mass, FULL), 0.0, 1.0)),
        "red": part(red),
        "green": part(green),
    }
    half = net.binary("Mul", out["side"], 0.5)
    for name, centre in (("left", "x"), ("top", "y")):
        out[name] = net.op("Sub", out[centre], half)
    for name, centre in (("right", "x"), ("bottom", "y")):
        out[name] = net.op("Add", out[centre], half)
    for colour in ("red", "green"):
        out[f"p_{colour}"] = net.op("Mul", out["sure"], out[colour])
    return net, out


def stack(net: Net, rows: dict[str, str], names: str, axis: int = 1) -> str:
    return net.op("Concat", *[rows[n] for n in names.split()], axis=axis)


def yolo_v8() -> onnx.ModelProto:
    net, r = squares()
    # A second output that the manifest does not name, as exporters often leave one.
    return net.model(stack(net, r, "x y side side p_red p_green"), [1, 6, BOXES], extra=r["sure"])


def yolo_v5() -> onnx.ModelProto:
    net, r = squares()
    lines = stack(net, r, "x y side side sure red green")
    return net.model(net.op("Transpose", lines, perm=[0, 2, 1]), [1, BOXES, 7])


def pose() -> onnx.ModelProto:
    net, r = squares()
    r["seen"] = r["sure"]
    return net.model(stack(net, r, "x y side side p_red p_green x y seen left top seen"), [1, 12, BOXES])


def nms_free() -> onnx.ModelProto:
    """The surest window of each colour, coordinates as shares of the picture."""
    net, r = squares()
    rows = []
    for number, colour in enumerate(("red", "green")):
        lines = stack(net, r, f"left top right bottom p_{colour}")
        best = net.op("ArgMax", r[f"p_{colour}"], axis=2, keepdims=0)
        one = net.op("GatherND", net.op("Transpose", lines, perm=[2, 0, 1]), best)
        scaled = net.op("Div", net.op("Reshape", one, net.const([1, 1, 5], np.int64)), net.const([[[W, H, W, H, 1]]]))
        rows.append(net.op("Concat", scaled, net.const([[[number]]]), axis=2))
    return net.model(net.op("Concat", *rows, axis=1), [1, 2, 6])


def heatmaps() -> onnx.ModelProto:
    """Per colour, how full a window of 9 x 9 around each second pixel is."""
    net = Net()
    maps = net.op("Concat", *net.colours(), axis=1)
    pool = dict(pads=[4, 4, 4, 4], count_include_pad=1)
    maps = net.op("AveragePool", maps, kernel_shape=[9, 9], strides=[1, 1], **pool)
    return net.model(net.op("AveragePool", maps, kernel_shape=[2, 2], strides=[2, 2]), [1, 2, H // 2, W // 2])


def classifier(final: str | None = None, weights=((8, 0, 0), (0, 8, 0), (0, 0, 8), (0, 0, 0)), bias=(0, 0, 0, 2)) -> onnx.ModelProto:
    """Linear in the mean colour."""
    net = Net()
    mean = net.op("Flatten", net.op("GlobalAveragePool", "image"))
    out = net.op("Gemm", mean, net.const(weights), net.const(bias), transB=1)
    return net.model(net.op(final, out) if final else out, [1, len(bias)])


def zone() -> onnx.ModelProto:
    """Logit of red, at half size."""
    net = Net()
    red, _ = net.colours()
    half = net.op("AveragePool", red, kernel_shape=[2, 2], strides=[2, 2])
    return net.model(net.binary("Mul", net.binary("Sub", half, 0.5), 20.0), [1, 1, H // 2, W // 2])


def zones(form: str) -> onnx.ModelProto:
    """Nothing, red, green, at the input's size: by arg-max (whole numbers) or soft-max."""
    net = Net()
    red, green = net.colours()
    nothing = net.binary("Add", net.binary("Mul", red, 0.0), 0.5)
    planes = net.op("Concat", nothing, red, green, axis=1)
    if form == "labels":
        return net.model(net.op("ArgMax", planes, axis=1, keepdims=0), [1, H, W], TensorProto.INT64)
    return net.model(net.op("Softmax", net.binary("Mul", planes, 20.0), axis=1), [1, 3, H, W])


def write(folder: Path, model: onnx.ModelProto, task: str, classes: list[str], fit: str = "stretch", **output) -> None:
    q = json.dumps  # TOML basic strings, numbers and arrays of strings are JSON's
    folder.mkdir(parents=True, exist_ok=True)
    data = model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(data)
    lines = [
        f"name = {q(folder.name)}",
        'description = "made by training/proctor_train/tiny_tasks.py"',
        'licence = "Apache-2.0"',
        f"sha256 = {q(hashlib.sha256(data).hexdigest())}",
        f"task = {q(task)}",
        *([f"classes = {q(classes)}"] if classes else []),
        "", "[input]", 'name = "image"', 'layout = "nchw"', f"width = {W}", f"height = {H}", 'colour = "rgb"',
        "mean = [0.0, 0.0, 0.0]", "std = [1.0, 1.0, 1.0]", f"fit = {q(fit)}",
        *(["pad = 0"] if fit == "letterbox" else []),
        "", "[output]", 'name = "answer"', *(f"{k} = {q(v)}" for k, v in output.items()),
        "", "[training]", 'data = "none"', 'procedure = "none"',
    ]
    (folder / "model.toml").write_text("\n".join(lines) + "\n")


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", type=Path, required=True)
    out = ap.parse_args().out
    colours, mean = ["red", "green"], ["red", "green", "blue", "dark"]
    boxes = {"fit": "letterbox", "confidence": 0.6}
    write(out / "squares_yolo_v8", yolo_v8(), "detection", colours, form="yolo_v8", **boxes)
    write(out / "squares_yolo_v5", yolo_v5(), "detection", colours, form="yolo_v5", overlap=0.3, **boxes)
    write(out / "squares_nms_free", nms_free(), "detection", colours, form="nms_free", units="normalised", **boxes)
    write(out / "squares_pose", pose(), "keypoints", colours, form="yolo_v8_pose", points=["centre", "corner"], **boxes)
    write(out / "blobs_heatmaps", heatmaps(), "keypoints", [], form="heatmaps", points=colours, confidence=0.5)
    write(out / "colour_logits", classifier(), "classification", mean, form="logits")
    write(out / "colour_probabilities", classifier("Softmax"), "classification", mean, form="probabilities")
    many = dict(weights=((20, 0, 0), (0, 20, 0)), bias=(-5, -5))
    write(out / "holds_logits", classifier(**many), "classification", colours, form="multi_label_logits")
    write(out / "holds_probabilities", classifier("Sigmoid", **many), "classification", colours, form="multi_label_probabilities")
    write(out / "zone_binary", zone(), "segmentation", ["outside", "zone"], form="binary_logits", fit="letterbox")
    write(out / "zones_labels", zones("labels"), "segmentation", ["outside", *colours], form="labels")
    write(out / "zones_probabilities", zones("probabilities"), "segmentation", ["outside", *colours], form="probabilities")


if __name__ == "__main__":
    main()
