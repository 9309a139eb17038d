"""Reads a folder of `proctor dataset generate` as a stranger would - README, zlib, json and numpy only - and checks that its parts agree.

python tests/dataset/judge.py DIR. Says what was compared; the first disagreement ends it.
"""

import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np


def png(path: Path) -> np.ndarray:
    """Pixels of an 8 or 16 bit PNG without palette or interlacing: [h, w] or [h, w, 3]."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            w, h, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert colour in (0, 2) and not interlaced
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    step = (3 if colour == 2 else 1) * bits // 8
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(h, 1 + w * step)
    out = np.zeros((h + 1, w * step), np.uint8)
    for y in range(h):
        out[y + 1] = unfilter(rows[y, 0], rows[y, 1:], out[y], step)
    pixels = out[1:].copy().view(">u2") if bits == 16 else out[1:]
    return pixels.reshape(h, w, 3) if colour == 2 else pixels.reshape(h, w)


def unfilter(kind: int, row: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    if kind == 0:
        return row
    if kind == 2:
        return row + above
    row, above, out = row.tolist(), above.tolist(), [0] * len(row)
    for i, value in enumerate(row):
        left, up, corner = (out[i - step], above[i], above[i - step]) if i >= step else (0, above[i], 0)
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda v: abs(guess - v))
        out[i] = (value + (left if kind == 1 else (left + up) // 2 if kind == 3 else paeth)) & 255
    return np.array(out, np.uint8)


def mask(segmentation: dict) -> np.ndarray:
    """COCO's compressed run lengths, after the description in its own C API."""
    h, w = segmentation["size"]
    counts, value, shift = [], 0, 0
    for char in segmentation["counts"].encode():
        five = char - 48
        value |= (five & 31) << shift
        shift += 5
        if not five & 32:
            value -= (1 << shift) if five & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    assert sum(counts) == h * w
    flat = np.repeat(np.arange(len(counts)) % 2, counts).astype(bool)
    return flat.reshape(w, h).T


def matrix(pose: dict) -> np.ndarray:
    x, y, z, w = pose["quaternion_xyzw"]
    out = np.eye(4)
    out[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    out[:3, 3] = pose["position_m"]
    return out


def main(root: Path) -> None:
    recipe, coco = (json.loads((root / n).read_text()) for n in ("dataset.json", "coco.json"))
    camera, baseline = recipe["cameras"]["left"], recipe["cameras"]["baseline"]
    size = (camera["height"], camera["width"])
    annotated = {i["id"]: np.zeros(size, np.uint16) for i in coco["images"]}
    assert len(annotated) == recipe["frames"]
    names = {c["id"]: c["name"] for c in coco["categories"]}
    for a in coco["annotations"]:
        m = mask(a["segmentation"])
        rows, columns = np.nonzero(m)
        x, y = int(columns.min()), int(rows.min())
        assert a["bbox"] == [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y] and a["area"] == m.sum()
        assert not annotated[a["image_id"]][m].any(), "masks overlap"
        annotated[a["image_id"]][m] = a["category_id"] + 256 * a["instance"]
    matched = tried = tips = 0
    for image in coco["images"]:
        i = image["id"]
        truth = json.loads((root / f"truth/{i:06}.json").read_text())
        for name, digest in truth["files"].items():
            assert hashlib.sha256((root / name).read_bytes()).hexdigest() == digest, name
        labels, instances, depth = (png(root / f"{n}/{i:06}.png") for n in ("labels", "instances", "depth"))
        shown = np.where(labels == 0, 0, labels + 256 * instances.astype(np.uint16))
        assert (annotated[i] == shown).all(), f"frame {i}: COCO and the label picture differ"
        for label, name in recipe["labels"].items():
            assert truth["pixels"].get(name, 0) == (labels == int(label)).sum()
            assert int(label) == 0 or names[int(label)] == name
        assert ((depth > 0) == (labels != 0)).all(), f"frame {i}: depth without label or the other way round"
        metres = depth * recipe["depth_unit_m"]
        left, right = (png(root / f"{n}/{i:06}.png").astype(float).sum(2) for n in ("images", "right"))
        # A smooth, textured patch is more like the right picture at its depth's disparity than six pixels aside, on either side.
        for v in range(20, size[0] - 20, 16):
            for u in range(60, size[1] - 60, 16):
                d, patch = metres[v - 6 : v + 7, u - 6 : u + 7], left[v - 6 : v + 7, u - 6 : u + 7]
                if d.min() == 0 or np.ptp(d) > 0.002 or patch.std() < 25 or patch.max() > 700:
                    continue
                shift = int(round(camera["fx"] * baseline / metres[v, u]))
                if shift + 6 > u - 6:
                    continue
                cost = [abs(patch - right[v - 6 : v + 7, u - s - 6 : u - s + 7]).mean() for s in (shift - 6, shift, shift + 6)]
                tried, matched = tried + 1, matched + (cost[1] == min(cost))
        camera_from_world = np.linalg.inv(matrix(truth["world_from_camera"]))
        for tool in truth["instruments"]:
            x, y, z, _ = camera_from_world @ matrix(tool["world_from_tip"]) @ [0, 0, 0, 1]
            u, v = camera["fx"] * x / z + camera["cx"], camera["fy"] * y / z + camera["cy"]
            if 20 < u < size[1] - 20 and 20 < v < size[0] - 20:
                around = (slice(int(v) - 15, int(v) + 16), slice(int(u) - 15, int(u) + 16))
                hidden = (metres[around] < z - 0.004).any() or (labels[around] == 0).any()
                assert hidden or (instances[around] == tool["instance"]).any(), f"frame {i}: {tool['name']} is not at its tip"
                tips += not hidden
    assert tried >= 5 * len(annotated) and matched > 0.9 * tried, f"disparity: {matched} of {tried} patches"
    print(f"{len(annotated)} frames, {len(coco['annotations'])} masks, {tips} tips; disparity agrees in {matched} of {tried} patches")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
