"""What the training promises, tried on the processor: PYTHONPATH=training python -m unittest discover training/tests"""

from __future__ import annotations

import contextlib
import io
import tempfile
import traceback
import unittest
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from proctor_train import augment, train
from proctor_train.classes import HEIGHT, WIDTH
from proctor_train.dataset import Pictures
from proctor_train.randomness import Dice
from proctor_train.samples import Samples
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

SMALL = ((96, 64), (128, 96))


def pictures(n: int) -> Pictures:
    """Noise in rectangles; the class of each picture's upper half is its number."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (n, 3, HEIGHT // 32, WIDTH // 32), np.uint8).repeat(32, 2).repeat(32, 3)
    labels = np.zeros((n, HEIGHT, WIDTH), np.uint8)
    labels[:, : HEIGHT // 2] = np.arange(n)[:, None, None] % 10
    return Pictures(images, labels, [np.array([[100.0, 100.0]])] * n)


def write(folder: Path, n: int) -> None:
    data = pictures(n)
    for name, arrays in (("images", data.images.transpose(0, 2, 3, 1)), ("labels", data.labels)):
        (folder / name).mkdir(parents=True)
        for i, array in enumerate(arrays):
            cv2.imwrite(str(folder / name / f"{i}.png"), array)


class CardWaits(TorchDispatchMode):
    """Collects from where the host would wait for the card: for a copy that blocks, or for a value."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = str(func)
        to_card = "_to_copy" in name and args[0].device.type == "cpu" and str(kwargs.get("device")).startswith("cuda")
        if (to_card and not kwargs.get("non_blocking")) or "local_scalar" in name or "nonzero" in name:
            self.waits.add(next(str(f) for f in reversed(traceback.extract_stack()) if "proctor_train" in f.filename))
        return func(*args, **kwargs)


class FakeCardDice(Dice):
    """Dice for a card that is not there."""

    def __init__(self, seed: int) -> None:
        self.rng, self.device = np.random.default_rng(seed), torch.device("cuda:0")

    def grain(self, *shape: int) -> torch.Tensor:
        return torch.empty(*shape, device=self.device)


class Training(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        write(self.folder / "train", 12)
        write(self.folder / "val", 2)

    def run_training(self, out: str, *more: str) -> tuple[list[list[str]], dict]:
        """The curve without its minutes, and the averaged weights."""
        folder = self.folder
        with mock.patch.object(train, "SIZES", SMALL), mock.patch.object(train, "plot"), contextlib.redirect_stdout(io.StringIO()):
            train.main(["--data", str(folder / "train"), "--val", str(folder / "val"), "--out", str(folder / out), "--device", "cpu",
                        "--steps", "8", "--minutes", "1e9", "--batch", "4", "--group", "2", "--every", "2", *more])
        curve = [line.split(",") for line in (folder / out / "curve.csv").read_text().splitlines()]
        return [row[:1] + row[2:] for row in curve], torch.load(folder / out / "last.pt", weights_only=True)

    def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(self) -> None:
        curve, weights = self.run_training("whole")
        validate, calls = train.validate, []

        def until_cut_off(*args):
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return validate(*args)

        with mock.patch.object(train, "validate", until_cut_off), self.assertRaises(KeyboardInterrupt):
            self.run_training("cut")
        resumed_curve, resumed = self.run_training("cut", "--resume")
        self.assertEqual([row[0] for row in curve[1:]], ["2", "4", "6", "8"])
        self.assertEqual(curve, resumed_curve)
        for key, value in weights.items():
            self.assertTrue(torch.equal(value, resumed[key]), key)

    def test_minutes_before_a_run_was_cut_off_count(self) -> None:
        self.run_training("run", "--steps", "2")
        state = torch.load(self.folder / "run" / train.STATE, weights_only=True)
        torch.save({**state, "minutes": 7.0}, self.folder / "run" / train.STATE)
        curve, _ = self.run_training("run", "--resume", "--minutes", "6.9")
        self.assertEqual(curve[-1][0], "2")


class Sampling(unittest.TestCase):
    def test_a_group_is_fixed_by_the_seed_and_its_batches_share_what_stays_plain(self) -> None:
        data = pictures(16)
        groups = []
        for _ in range(2):
            samples = Samples(data, Dice(3, torch.device("cpu")), 0.5, 4, 2)
            # The first half of what is augmented stays plain: marked here by its place.
            samples.augment = lambda img, lab, ends, size: (img.float(), torch.arange(len(img)))
            groups.append([label.tolist() for _ in range(2) for _, label in samples.make((96, 64))] + [samples.queue.tolist()])
        self.assertEqual(groups[0], groups[1])
        self.assertEqual(groups[0][:2], [[0, 2, 4, 6], [1, 3, 5, 7]])

        whole = [Samples(data, Dice(3, torch.device("cpu")), 0.5, 4, 2).make((96, 64)) for _ in range(2)]
        for (img, lab), (again, lab_again) in zip(*whole):
            self.assertTrue(torch.equal(img, again) and torch.equal(lab, lab_again))

    def test_every_picture_comes_once_before_any_comes_again(self) -> None:
        samples = Samples(pictures(10), Dice(3, torch.device("cpu")), 0.5, 4, 2)
        samples.augment = lambda img, lab, ends, size: (img, lab[:, 0, 0])
        seen = torch.cat([label for _ in range(5) for _, label in samples.make((96, 64))])
        self.assertEqual(torch.bincount(seen.long()).tolist(), [4] * 10)

    def test_augmentation_never_makes_the_host_wait_for_a_card(self) -> None:
        augment.constant.cache_clear()  # made anew by each card, and once only
        self.addCleanup(augment.constant.cache_clear)
        with FakeTensorMode(allow_non_fake_inputs=True):
            whole = augment.Augment(FakeCardDice(1), 0.4)
            batch = (torch.empty(32, 3, HEIGHT, WIDTH, dtype=torch.uint8, device="cuda:0"), torch.empty(32, HEIGHT, WIDTH, dtype=torch.uint8, device="cuda:0"))
            ends = [np.array([[100.0, 100.0]])] * 32
            for _ in range(5):
                whole(*batch, ends, (WIDTH, HEIGHT))
            with CardWaits() as card:
                for _ in range(5):
                    img, lab = whole(*batch, ends, (WIDTH, HEIGHT))
        self.assertEqual((img.device.type, lab.device.type), ("cuda", "cuda"))
        self.assertEqual(card.waits, set())


if __name__ == "__main__":
    unittest.main()
