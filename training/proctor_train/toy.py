"""A toy dataset (coloured blobs and drawn tools) to smoke-test the training without the simulator."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from .classes import HEIGHT, WIDTH
from .randomness import Dice, Noise
from .tools2d import paste

COLOURS = [[0, 0, 0], [200, 120, 100], [110, 30, 30], [190, 190, 110], [220, 200, 150], [200, 30, 30], [230, 190, 90]]


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--count", type=int, default=64)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    dice = Dice(a.seed, torch.device("cpu"))
    noise = Noise(dice, 16)
    for d in ("images", "labels"):
        (a.out / d).mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    outside = torch.from_numpy((x - WIDTH / 2) ** 2 + (y - HEIGHT / 2) ** 2 > (0.53 * WIDTH) ** 2)
    for i in range(a.count):
        lab = torch.ones(1, 1, HEIGHT, WIDTH)
        for k in range(2, 7):
            lab[noise(1, HEIGHT, WIDTH) > dice.uniform(0.3, 0.9, 1, 1)] = k
        lab[..., outside] = 0
        img = torch.tensor(COLOURS, dtype=torch.float32)[lab[:, 0].long()].permute(0, 3, 1, 2) * (1 + 0.2 * noise(1, HEIGHT, WIDTH))
        img = img + 4 * dice.grain(1, 3, HEIGHT, WIDTH)
        for _ in range(2):
            img, lab = paste(dice, noise, img, lab)
        rgb = img[0].clamp(0, 255).byte().permute(1, 2, 0).numpy()
        cv2.imwrite(str(a.out / "images" / f"{i:05d}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(a.out / "labels" / f"{i:05d}.png"), lab[0, 0].byte().numpy())


if __name__ == "__main__":
    main()
