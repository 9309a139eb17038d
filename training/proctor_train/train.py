"""Trains the network and writes `best.pt` (exponential average of the weights), `curve.csv`, `curve.png` and, to go on from, `state.pt`.

Runs on an NVIDIA card where PyTorch sees one, else on the processor. The schedule follows whichever runs out first, `--steps` or
`--minutes`, so a run on a busy machine still ends with its learning rate annealed; the steps really done are in `curve.csv`.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .classes import HEIGHT, MEAN, NAMES, STD, UNKNOWN, WIDTH
from .dataset import load
from .network import SlimUNet
from .randomness import Dice
from .samples import Samples

COLUMNS = ["step", "minutes", "samples", "loss", "val_mean_iou", "val_instrument_iou", *NAMES]
STATE = "state.pt"

# Sizes (width, height) of samples: small until `--grow`, because most of what there is to learn shows there already and costs a third; then the node's.
SIZES = ((384, 288), (WIDTH, HEIGHT))


def class_weights(labels: np.ndarray) -> Tensor:
    """(1 / frequency) ^ 0.35, clipped, mean 1 over pixels: rare classes count more, but not so much that they grow into others."""
    count = np.bincount(labels[:: max(1, len(labels) // 512)].ravel(), minlength=len(NAMES))[: len(NAMES)].astype(np.float64)
    freq = np.maximum(count / count.sum(), 1e-5)
    w = np.clip((0.1 / freq) ** 0.35, 0.5, 4.0)
    return torch.tensor(w / (w * freq).sum(), dtype=torch.float32)


def loss_fn(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy plus soft Jaccard over the classes in the batch. `target` [n, 2h, 2w] is finer than `logits` [n, c, h, w]:
    what counts is what each answer is worth at all four of its pixels. What is UNKNOWN, and so of no class, counts for nothing."""
    logp = logits.log_softmax(1)
    there = torch.zeros_like(logp)  # the part of each answer's pixels that is of each class
    for corner in (target[:, None, y::2, x::2] for y in (0, 1) for x in (0, 1)):
        there.scatter_add_(1, corner * (corner != UNKNOWN), 0.25 * (corner != UNKNOWN))
    known = there.sum(1, keepdim=True)
    w = weights.view(1, -1, 1, 1)
    ce = -(w * there * logp).sum() / (w * there).sum()
    p = logp.exp() * known
    inter, pixels = (p * there).sum((0, 2, 3)), there.sum((0, 2, 3))
    jaccard = 1 - (inter + 1) / (p.sum((0, 2, 3)) + pixels - inter + 1)
    share = (pixels > 0).float() * weights.clamp_min(1)
    return ce + (share * jaccard).sum() / share.sum()


def iou(confusion: np.ndarray) -> np.ndarray:
    """Per class, from a confusion matrix [truth, answer]; NaN where a class is in neither."""
    inter = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - inter
    return np.divide(inter, union, out=np.full(len(inter), np.nan), where=union > 0)


class Normalise(torch.nn.Module):
    """Pictures in 0..255 to the network's input range."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255)

    def forward(self, x: Tensor) -> Tensor:
        return ((x.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def validate(net: SlimUNet, normalise: Normalise, images: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
    """IoU per class and binary instrument IoU over whole, unchanged pictures."""
    net.eval()
    n = len(NAMES)
    confusion = torch.zeros(n * n, dtype=torch.int64, device=images.device)
    for i in range(0, len(images), 16):
        answer = net(normalise(images[i : i + 16])).argmax(1).repeat_interleave(2, 1).repeat_interleave(2, 2)
        truth = labels[i : i + 16].long()
        confusion += torch.bincount((truth * n + answer).flatten(), minlength=n * n)[: n * n]  # UNKNOWN lies behind
    confusion = confusion.cpu().numpy().reshape(n, n)
    tool = np.array([name.startswith("instrument") for name in NAMES])
    binary = iou(np.array([[confusion[np.ix_(a, b)].sum() for b in (~tool, tool)] for a in (~tool, tool)]))[1]
    return iou(confusion), float(binary)


def plot(curve: Path, out: Path) -> None:
    """Draws the curve file."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = list(csv.DictReader(curve.open()))
    steps = [int(r["step"]) for r in rows]
    fig, (a, b) = plt.subplots(1, 2, figsize=(11, 4))
    a.plot(steps, [float(r["loss"]) for r in rows])
    a.set(xlabel="step", ylabel="training loss (CE + Jaccard, augmented)", yscale="log")
    for name in ["val_mean_iou", "val_instrument_iou", *NAMES]:
        bold = name.startswith("val")
        b.plot(steps, [float(r[name]) for r in rows], label=name, lw=2.5 if bold else 1)
    b.set(xlabel="step", ylabel="IoU on validation seeds", ylim=(0, 1))
    b.legend(fontsize=6, ncol=2)
    fig.tight_layout()
    fig.savefig(out, dpi=90)


class Run:
    """A training and everything it has to keep to go on, after it was cut off, as if it had not been."""

    def __init__(self, a: argparse.Namespace, samples: Samples, weights: Tensor, device: torch.device) -> None:
        self.a, self.samples, self.weights, self.device = a, samples, weights, device
        card = device.type == "cuda"
        # Processors without instructions for bfloat16 are slower with it.
        self.short = card or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
        self.normalise = Normalise().to(device)
        self.net, self.shadow = (SlimUNet(len(NAMES)).to(device, memory_format=torch.channels_last) for _ in range(2))
        if a.weights:
            self.net.load_state_dict(torch.load(a.weights, weights_only=True, map_location=device))
        self.shadow.load_state_dict(self.net.state_dict())
        pairs = zip(self.shadow.state_dict().values(), self.net.state_dict().values())
        self.averaged, self.averages_of = zip(*[p for p in pairs if p[0].is_floating_point()])
        self.opt = torch.optim.AdamW([
            {"params": [p for p in self.net.parameters() if p.ndim > 1], "weight_decay": 2e-2},
            {"params": [p for p in self.net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ], lr=a.lr, fused=card)
        self.step, self.best, self.curve = 0, -1.0, []
        self.losses: list[Tensor] = []
        self.began = time.monotonic()

    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def done(self) -> float:
        """How much of the run is over; it ends at 1."""
        return max(self.step / self.a.steps, self.minutes() / self.a.minutes)

    def save(self, path: Path) -> None:
        """Replaces the file in one go: a run cut off here leaves the one before."""
        parts = {name: getattr(self, name).state_dict() for name in ("net", "shadow", "opt")}
        new = path.with_suffix(".new")
        torch.save({**parts, "samples": self.samples.state(), "minutes": self.minutes(), "step": self.step, "best": self.best,
                    "curve": self.curve}, new)
        new.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location="cpu")
        for name in ("net", "shadow", "opt"):
            getattr(self, name).load_state_dict(state[name])
        self.samples.restore(state["samples"])
        self.began = time.monotonic() - 60 * state["minutes"]
        self.step, self.best, self.curve = state["step"], state["best"], state["curve"]

    def train(self, picture: Tensor, label: Tensor) -> None:
        """One step."""
        warm = min(1.0, (self.step + 1) / 100)
        for group in self.opt.param_groups:
            group["lr"] = self.a.lr * warm * (0.5 + 0.5 * math.cos(math.pi * min(self.done(), 1.0))) + 1e-6
        self.net.train()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.short):
            logits = self.net(self.normalise(picture))
        loss = loss_fn(logits.float(), label, self.weights)
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.opt.step()
        self.step += 1
        self.losses.append(loss.detach())
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.averages_of, 1 - min(self.a.ema, (1 + self.step) / (10 + self.step)))

    def report(self, images: Tensor, labels: Tensor) -> None:
        """Validates the averaged weights, and writes them, the curve and the state."""
        per_class, binary = validate(self.shadow, self.normalise, images, labels)
        score, loss = float(np.nanmean(per_class)), float(torch.stack(self.losses).mean())
        self.losses = []
        self.curve.append([str(self.step), f"{self.minutes():.2f}", str(self.step * self.a.batch), f"{loss:.4f}", f"{score:.4f}", f"{binary:.4f}",
                           *[f"{v:.4f}" for v in per_class]])
        with (self.a.out / "curve.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *self.curve])
        print(f"step {self.step} ({self.minutes():.1f} min) loss {loss:.3f} mIoU {score:.3f} instrument {binary:.3f} "
              + " ".join(f"{n[:12]}={v:.2f}" for n, v in zip(NAMES, per_class)), flush=True)
        torch.save(self.shadow.state_dict(), self.a.out / "last.pt")
        if score >= self.best:
            self.best = score
            torch.save(self.shadow.state_dict(), self.a.out / "best.pt")
        self.save(self.a.out / STATE)


class Stopwatch:
    """Where the time of the steps since the last report went."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.restart()

    def restart(self) -> None:
        self.began, self.making, self.steps = time.perf_counter(), 0.0, 0

    def report(self) -> str:
        """Times per step. A card that is far behind the host is what limits the run (then making samples waits for it, too); one that is not waits for the host."""
        asked = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        done = time.perf_counter()
        return (f"{1e3 * (done - self.began) / self.steps:.1f} ms per step, of which {1e3 * self.making / self.steps:.1f} for samples; "
                f"at the end the device was {1e3 * (done - asked):.1f} ms behind")


def options(argv: list[str] | None) -> argparse.Namespace:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", type=Path, required=True, help="training folder (images/, labels/)")
    ap.add_argument("--val", type=Path, required=True, help="validation folder, other simulator seeds")
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument("--steps", type=int, default=8000)
    ap.add_argument("--minutes", type=float, default=50.0)
    ap.add_argument("--batch", type=int, default=16)
    ap.add_argument("--group", type=int, help="batches whose samples are made at once (default: 4 on a card, else 1)")
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--seed", type=int, default=20261126)
    ap.add_argument("--every", type=int, default=250, help="steps between validations")
    ap.add_argument("--ema", type=float, default=0.998, help="decay of the averaged weights per step; shorter runs want less")
    ap.add_argument("--plain", type=float, default=0.4, help="share of samples that stay nearly as the simulator drew them")
    ap.add_argument("--grow", type=float, default=0.4, help="part of the run after which samples have the node's size")
    ap.add_argument("--weights", type=Path, help="weights to start from")
    ap.add_argument("--resume", action="store_true", help="go on with the run in --out that was cut off, under the same options")
    return ap.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    a = options(argv)
    device = torch.device(a.device)
    card = device.type == "cuda"
    torch.manual_seed(a.seed)
    torch.backends.cudnn.benchmark = card
    torch.set_float32_matmul_precision("high")
    a.out.mkdir(parents=True, exist_ok=True)
    data, val = load(a.data), load(a.val)
    weights = class_weights(data.labels).to(device)
    print(f"{len(data.images)} training and {len(val.images)} validation pictures on {device}; class weights {weights.tolist()}", flush=True)
    seen = [torch.from_numpy(x).to(device) for x in (val.images, val.labels)]
    run = Run(a, Samples(data, Dice(a.seed, device), a.plain, a.batch, a.group or (4 if card else 1)), weights, device)
    if a.resume:
        run.load(a.out / STATE)
        print(f"goes on at step {run.step}, {run.minutes():.1f} min", flush=True)

    watch, since, done = Stopwatch(device), run.step, run.done()
    while done < 1:
        began = time.perf_counter()
        group = run.samples.make(SIZES[done >= a.grow])
        watch.making += time.perf_counter() - began
        for picture, label in group:
            run.train(picture, label)
            watch.steps += 1
        done = run.done()
        # Reports come between groups: there no sample is made but not yet trained on, and the state is small.
        if run.step // a.every > since // a.every or done >= 1:
            print(watch.report(), flush=True)
            run.report(*seen)
            since = run.step
            watch.restart()
    plot(a.out / "curve.csv", a.out / "curve.png")
    print(f"best validation mIoU {run.best:.4f} after {run.step} steps", flush=True)


if __name__ == "__main__":
    main()
