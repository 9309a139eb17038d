"""Reads a dataset folder (`images/*.png`, `labels/*.png`, matched by stem) and serves endless augmented samples."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from .augment import Noise, augment
from .classes import BACKGROUND, HEIGHT, MEAN, NAMES, STD, UNKNOWN, WIDTH

MASK_DIRS = ("labels", "masks")


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pictures (uint8 RGB [n, 240, 320, 3]), labels (uint8 [n, 240, 320]) and names, sorted by name."""
    masks = next((folder / d for d in MASK_DIRS if (folder / d).is_dir()), None)
    if masks is None:
        raise SystemExit(f"{folder}: has none of the folders {MASK_DIRS}")
    paths = sorted((folder / "images").glob("*.png"))
    if not paths:
        raise SystemExit(f"{folder / 'images'}: holds no PNG picture")
    images = np.empty((len(paths), HEIGHT, WIDTH, 3), np.uint8)
    labels = np.empty((len(paths), HEIGHT, WIDTH), np.uint8)
    for i, path in enumerate(paths):
        img = cv2.imread(str(path), cv2.IMREAD_COLOR)
        lab = cv2.imread(str(masks / path.name), cv2.IMREAD_GRAYSCALE)
        if img is None or lab is None:
            raise SystemExit(f"{path}: unreadable, or its label image {masks / path.name} is")
        # Unknown objects: nothing is known of them, which is what background means.
        lab[lab == UNKNOWN] = BACKGROUND
        if lab.max() >= len(NAMES):
            raise SystemExit(f"{masks / path.name}: label {lab.max()} is no class")
        img = cv2.cvtColor(img, cv2.COLOR_BGR2RGB)
        if img.shape[:2] != (HEIGHT, WIDTH):
            img = cv2.resize(img, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        if lab.shape != (HEIGHT, WIDTH):
            lab = cv2.resize(lab, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        images[i], labels[i] = img, lab
    return images, labels, [p.stem for p in paths]


def normalise(img: np.ndarray) -> np.ndarray:
    """uint8 RGB [.., 3] to the network's input range, float32."""
    return (img.astype(np.float32) / 255.0 - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)


# Sizes (width, height) a run goes through: small first, because most of what there is to learn shows there already.
SIZES = ((192, 144), (256, 192), (WIDTH, HEIGHT))


class Samples(IterableDataset):
    """Endless batches (image uint8 [b, h, w, 3], label uint8 [b, h, w]) of the size that `phase` (shared) selects."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, seed: int, batch: int, phase, plain: float) -> None:
        self.images, self.labels, self.seed, self.batch, self.phase = images, labels, seed, batch, phase
        self.plain = plain

    def __iter__(self):
        cv2.setNumThreads(1)
        info = get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        noise = Noise(np.random.default_rng(self.seed))
        queue: list[int] = []
        while True:
            while len(queue) < self.batch:
                queue += rng.permutation(len(self.images)).tolist()
            chosen, queue = queue[: self.batch], queue[self.batch :]
            size = SIZES[self.phase.value]
            pairs = [augment(rng, self.images[i], self.labels[i], noise, size, self.plain) for i in chosen]
            yield torch.from_numpy(np.stack([p[0] for p in pairs])), torch.from_numpy(np.stack([p[1] for p in pairs]))
