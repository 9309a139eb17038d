"""A toy dataset (coloured blobs and drawn tools) to smoke-test the training without the simulator."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from .augment import Noise
from .classes import HEIGHT, WIDTH
from .tools2d import paste_tool

COLOURS = np.array([[0, 0, 0], [200, 120, 100], [110, 30, 30], [190, 190, 110], [220, 200, 150], [200, 30, 30], [230, 190, 90]])


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--count", type=int, default=64)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    rng = np.random.default_rng(a.seed)
    noise = Noise(rng)
    for d in ("images", "labels"):
        (a.out / d).mkdir(parents=True, exist_ok=True)
    for i in range(a.count):
        lab = np.full((HEIGHT, WIDTH), 1, np.uint8)
        for k in range(2, 7):
            m = noise(rng, HEIGHT, WIDTH) > rng.uniform(0.3, 0.9)
            lab[m] = k
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
        lab[(x - 160) ** 2 + (y - 120) ** 2 > 170**2] = 0
        img = COLOURS[lab] * (1 + 0.2 * noise(rng, HEIGHT, WIDTH)[..., None])
        img = np.clip(img + rng.normal(0, 4, img.shape), 0, 255).astype(np.float32)
        for _ in range(2):
            img, lab = paste_tool(rng, img, lab, noise)
        cv2.imwrite(str(a.out / "images" / f"{i:05d}.png"), cv2.cvtColor(img.astype(np.uint8), cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(a.out / "labels" / f"{i:05d}.png"), lab)


if __name__ == "__main__":
    main()
