"""Batches of training samples without end, from pictures that lie on the device.

The host asks for some 1500 operations to augment pictures, however many they are, and a card waits for it to ask. So `group` batches
are augmented at once; each then gets every `group`-th sample, so that each has its share of those that stay nearly as they were.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .augment import Augment
from .dataset import Pictures
from .randomness import Dice


class Samples:
    """The stream is fixed by the seed of `dice`, `batch` and `group`; `state` says where it is."""

    def __init__(self, data: Pictures, dice: Dice, plain: float, batch: int, group: int) -> None:
        self.images, self.labels = (torch.from_numpy(x).to(dice.device) for x in (data.images, data.labels))
        self.ends, self.dice, self.augment, self.batch, self.group = data.ends, dice, Augment(dice, plain), batch, group
        self.queue = np.empty(0, np.int64)  # pictures still to come before any comes again

    def state(self) -> dict:
        return {"queue": torch.from_numpy(self.queue.copy()), **self.dice.state()}

    def restore(self, state: dict) -> None:
        self.queue = state["queue"].numpy()
        self.dice.restore(state)

    @torch.no_grad()
    def make(self, size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """The next `group` batches, of `size` (width, height), as `Augment` returns them."""
        n = self.batch * self.group
        while len(self.queue) < n:
            self.queue = np.concatenate([self.queue, self.dice.rng.permutation(len(self.images))])
        chosen, self.queue = self.queue[:n], self.queue[n:]
        at = self.dice.index(chosen)
        # cuDNN would search for the best algorithm anew for each number of pictures that something happens to.
        with torch.backends.cudnn.flags(enabled=False):
            img, lab = self.augment(self.images[at], self.labels[at], [self.ends[i] for i in chosen], size)
        return [(img[i :: self.group], lab[i :: self.group]) for i in range(self.group)]
