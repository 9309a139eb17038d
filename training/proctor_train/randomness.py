"""Seeded randomness for batches: parameters are drawn on the host, pixels on the device, both from one seed."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


class Dice:
    """Draws per-sample parameters as tensors on `device`; `rng` is there for decisions of the host. The host never waits for the device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.rng = np.random.default_rng(seed)
        self.pixels = torch.Generator(device).manual_seed(seed)
        self.device = device

    def state(self) -> dict:
        """Where the stream is; with `restore`, on the same kind of device, it goes on from there."""
        return {"rng": self.rng.bit_generator.state, "pixels": self.pixels.get_state()}

    def restore(self, state: dict) -> None:
        self.rng.bit_generator.state = state["rng"]
        self.pixels.set_state(state["pixels"])

    def tensor(self, values) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.float32)).to(self.device, non_blocking=True)

    def index(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)

    def uniform(self, lo: float, hi: float, *shape: int) -> Tensor:
        """Uniform in [lo, hi), with two trailing axes of length 1 so that it broadcasts over a picture."""
        return self.tensor(self.rng.uniform(lo, hi, (*shape, 1, 1)))

    def normal(self, mean: float, deviation: float, *shape: int) -> Tensor:
        """As `uniform`, normally distributed."""
        return self.tensor(self.rng.normal(mean, deviation, (*shape, 1, 1)))

    def some(self, n: int, share: float) -> Tensor:
        """Which of n samples something happens to: each with probability `share`."""
        return self.index(np.flatnonzero(self.rng.random(n) < share))

    def grain(self, *shape: int) -> Tensor:
        """White noise, one value per element."""
        return torch.randn(*shape, generator=self.pixels, device=self.device)


class Noise:
    """A bank of smooth multi-octave noise fields in about [-1.5, 1.5], made once and reused cut out and mirrored."""

    def __init__(self, dice: Dice, count: int = 96, size: int = 768) -> None:
        self.dice, self.size = dice, size
        fields = np.stack([self._make(dice.rng, size) for _ in range(count)])
        self.fields = torch.from_numpy(fields)[:, None].to(dice.device)

    @staticmethod
    def _make(rng: np.random.Generator, size: int) -> np.ndarray:
        field = np.zeros((size, size), np.float32)
        cells, gain = int(rng.integers(2, 12)), 1.0
        for _ in range(6):
            grid = rng.standard_normal((cells + 2, cells + 2)).astype(np.float32)
            field += gain * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
            cells, gain = min(cells * 2, size // 2), gain * rng.uniform(0.35, 0.75)
        if rng.random() < 0.4:  # ridges: vessels, folds
            field = 1.0 - np.abs(field) * rng.uniform(1.5, 4.0)
        field -= field.mean()
        return np.clip(field / (field.std() + 1e-6) * 0.5, -1.5, 1.5)

    def __call__(self, n: int, h: int, w: int) -> Tensor:
        """[n, 1, h, w], a field for each sample."""
        rng = self.dice.rng
        which = self.dice.index(rng.integers(len(self.fields), size=n))
        y, x = int(rng.integers(0, self.size - h + 1)), int(rng.integers(0, self.size - w + 1))
        field = self.fields[which, :, y : y + h, x : x + w]
        mirrored = [axis for axis in (2, 3) if rng.random() < 0.5]
        return field.flip(mirrored) if mirrored else field
