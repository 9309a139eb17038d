"""Reads a dataset folder (`images/*.png`, `labels/*.png`, matched by stem) into memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .classes import HEIGHT, JAWS, NAMES, SHAFT, UNKNOWN, WIDTH

MASK_DIRS = ("labels", "masks")


@dataclass
class Pictures:
    """Pictures (uint8 RGB [n, 3, h, w]), labels (uint8 [n, h, w], UNKNOWN where nothing is known), and a few pixels (x, y) of wrist or jaws of each."""

    images: np.ndarray
    labels: np.ndarray
    ends: list[np.ndarray]


def load(folder: Path) -> Pictures:
    """Everything in the folder, sorted by name, at the network's size."""
    masks = next((folder / d for d in MASK_DIRS if (folder / d).is_dir()), None)
    if masks is None:
        raise SystemExit(f"{folder}: has none of the folders {MASK_DIRS}")
    paths = sorted((folder / "images").glob("*.png"))
    if not paths:
        raise SystemExit(f"{folder / 'images'}: holds no PNG picture")
    images = np.empty((len(paths), 3, HEIGHT, WIDTH), np.uint8)
    labels = np.empty((len(paths), HEIGHT, WIDTH), np.uint8)
    ends: list[np.ndarray] = [np.empty((0, 2))] * len(paths)

    def read(i: int) -> None:
        path = paths[i]
        img = cv2.imread(str(path), cv2.IMREAD_COLOR)
        lab = cv2.imread(str(masks / path.name), cv2.IMREAD_GRAYSCALE)
        if img is None or lab is None:
            raise SystemExit(f"{path}: unreadable, or its label image {masks / path.name} is")
        strange = lab[(lab >= len(NAMES)) & (lab != UNKNOWN)]
        if len(strange):
            raise SystemExit(f"{masks / path.name}: label {strange[0]} is no class")
        if img.shape[:2] != (HEIGHT, WIDTH):
            img = cv2.resize(img, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        if lab.shape != (HEIGHT, WIDTH):
            lab = cv2.resize(lab, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        images[i], labels[i] = cv2.cvtColor(img, cv2.COLOR_BGR2RGB).transpose(2, 0, 1), lab
        there = np.flatnonzero((lab > SHAFT) & (lab <= JAWS))
        there = there[:: max(1, len(there) // 16)]
        ends[i] = np.stack([there % WIDTH, there // WIDTH], 1).astype(float)

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(paths))))
    return Pictures(images, labels, ends)
