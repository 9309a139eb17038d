"""Where things are in a training sample: flips, turns, scales and cut-outs, the same for picture and labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def turned(angle: np.ndarray) -> np.ndarray:
    """Rotations [n, 2, 2] by angles [n]."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c, -s, s, c], -1).reshape(-1, 2, 2)


def stretched(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Scalings [n, 2, 2] of the axes."""
    return np.stack([x, y], -1)[:, :, None] * np.eye(2)


def wide(rng: np.random.Generator, n: int, size: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Random flip, rotation, scale, shear and shift of n pictures, as matrices [n, 2, 2] and offsets [n, 2] from pixels of the picture to pixels of the sample."""
    base, flip = out[0] / size[0], np.where(rng.random(n) < 0.5, -1.0, 1.0)
    moved = rng.random(n) < 0.9
    # Up to `base` the whole picture fits in; above, it is a cut-out at higher magnification.
    scale = base * np.exp(moved * rng.uniform(np.log(0.8), np.log(np.where(rng.random(n) < 0.15, 3.5, 1.9))))
    angle = moved * np.deg2rad(rng.normal(0.0, 18.0, n) + 180.0 * (rng.random(n) < 0.1))
    aspect = np.exp(moved * rng.normal(0.0, 0.12, n))
    shear = np.tile(np.eye(2), (n, 1, 1))
    shear[:, [0, 1], [1, 0]] = moved[:, None] * rng.normal(0.0, 0.08, (n, 2))
    m = turned(angle) @ shear @ stretched(flip * aspect * scale, scale / aspect)
    room = np.maximum(0.0, size * scale[:, None] - out) / 2 + 0.06 * out[0]
    return m, out / 2 + rng.uniform(-1, 1, (n, 2)) * room - m @ (size / 2)


def focus(rng: np.random.Generator, ends: list[np.ndarray], size: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `wide`, nearly undistorted cut-outs, often around one of `ends` of each picture (pixels of wrist or jaws): little of a picture is either.

    A third are whole pictures, as the node sees them."""
    n = len(ends)
    flip, whole = np.where(rng.random(n) < 0.5, -1.0, 1.0), rng.random(n) < 0.33
    scale = np.where(whole, out[0] / size[0], np.exp(rng.uniform(np.log(0.8), np.log(1.25), n)))
    at, near = rng.uniform(0, 1, (n, 2)) * size, rng.random(n) < 0.65
    for i in np.flatnonzero(near):
        if len(ends[i]):
            at[i] = ends[i][rng.integers(len(ends[i]))] + rng.normal(0, 0.12, 2) * out
    # The cut-out stays inside the picture as far as it fits.
    half = out / (2 * scale[:, None])
    at = np.where(whole[:, None] | (2 * half >= size), size / 2, np.clip(at, half, np.maximum(half, size - half)))
    m = turned(np.where(whole, 0.0, np.deg2rad(rng.normal(0.0, 8.0, n)))) @ stretched(flip * scale, scale)
    return m, out / 2 - (m @ at[..., None])[..., 0]


def apply(img: Tensor, lab: Tensor, m: np.ndarray, shift: np.ndarray, out: tuple[int, int], mirror: bool) -> tuple[Tensor, Tensor]:
    """Pictures [n, 3, h, w] and labels [n, 1, h, w] (both float) through matrices and offsets, into samples of `out` (width, height)."""
    back = np.linalg.inv(m)
    inverse = np.concatenate([back, -back @ shift[..., None]], 2)
    inverse *= np.array([[2 / img.shape[3]], [2 / img.shape[2]]])  # to the edges at -1 and 1
    inverse[..., 2] -= 1
    a = torch.from_numpy(inverse.astype(np.float32)).to(img.device, non_blocking=True)
    x = torch.arange(out[0], device=img.device, dtype=torch.float32) + 0.5
    y = torch.arange(out[1], device=img.device, dtype=torch.float32) + 0.5
    base = torch.stack([x.expand(out[1], -1), y[:, None].expand(-1, out[0]), torch.ones(out[1], out[0], device=img.device)], -1)
    grid = torch.einsum("hwk,njk->nhwj", base, a)
    padding = "reflection" if mirror else "zeros"
    return (F.grid_sample(img, grid, "bilinear", padding, align_corners=False),
            F.grid_sample(lab, grid, "nearest", padding, align_corners=False))
