"""Where things are in a training sample: flips, turns, scales and cut-outs, the same for picture and labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def turned(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def wide(rng: np.random.Generator, size: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Random flip, rotation, scale, shear and shift, as a matrix and an offset from pixels of the picture to pixels of the sample."""
    base, flip = out[0] / size[0], -1.0 if rng.random() < 0.5 else 1.0
    if rng.random() < 0.9:
        # Up to `base` the whole picture fits in; above, it is a cut-out at higher magnification.
        scale = base * np.exp(rng.uniform(np.log(0.8), np.log(3.5 if rng.random() < 0.15 else 1.9)))
        angle = np.deg2rad(rng.normal(0.0, 18.0) + (180.0 if rng.random() < 0.1 else 0.0))
        shear, aspect = rng.normal(0.0, 0.08, 2), np.exp(rng.normal(0.0, 0.12))
    else:
        scale, angle, shear, aspect = base, 0.0, np.zeros(2), 1.0
    m = turned(angle) @ np.array([[1, shear[0]], [shear[1], 1]]) @ np.diag([flip * aspect, 1 / aspect]) * scale
    room = np.maximum(0.0, size * scale - out) / 2 + 0.06 * out[0]
    return m, out / 2 + rng.uniform(-1, 1, 2) * room - m @ (size / 2)


def focus(rng: np.random.Generator, size: np.ndarray, out: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A nearly undistorted cut-out, often around one of `ends` (pixels of wrist or jaws): little of a picture is either.

    A third are whole pictures, as the node sees them."""
    flip = -1.0 if rng.random() < 0.5 else 1.0
    whole = rng.random() < 0.33
    scale = out[0] / size[0] if whole else np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
    at = size / 2 if whole else rng.uniform(0, 1, 2) * size
    if not whole and len(ends) and rng.random() < 0.65:
        at = ends[rng.integers(len(ends))] + rng.normal(0, 0.12, 2) * out
    # The cut-out stays inside the picture as far as it fits.
    half = out / (2 * scale)
    at = np.where(2 * half >= size, size / 2, np.clip(at, half, np.maximum(half, size - half)))
    m = scale * turned(0.0 if whole else np.deg2rad(rng.normal(0.0, 8.0))) @ np.diag([flip, 1.0])
    return m, out / 2 - m @ at


def apply(img: Tensor, lab: Tensor, maps: list[tuple[np.ndarray, np.ndarray]], out: tuple[int, int], mirror: bool) -> tuple[Tensor, Tensor]:
    """Pictures [n, 3, h, w] and labels [n, 1, h, w] (both float) through the maps, into samples of `out` (width, height)."""
    inverse = np.empty((len(maps), 2, 3), np.float32)
    for i, (m, shift) in enumerate(maps):
        back = np.linalg.inv(m)
        inverse[i] = np.column_stack([back, -back @ shift])
    a = torch.from_numpy(inverse).to(img.device, non_blocking=True)
    x = torch.arange(out[0], device=img.device, dtype=torch.float32) + 0.5
    y = torch.arange(out[1], device=img.device, dtype=torch.float32) + 0.5
    base = torch.stack([x.expand(out[1], -1), y[:, None].expand(-1, out[0]), torch.ones(out[1], out[0], device=img.device)], -1)
    size = torch.tensor([img.shape[3], img.shape[2]], device=img.device, dtype=torch.float32)
    grid = torch.einsum("hwk,njk->nhwj", base, a) * (2 / size) - 1
    padding = "reflection" if mirror else "zeros"
    return (F.grid_sample(img, grid, "bilinear", padding, align_corners=False),
            F.grid_sample(lab, grid, "nearest", padding, align_corners=False))
