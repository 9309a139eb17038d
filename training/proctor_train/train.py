"""Trains the network and writes `best.pt` (exponential average of the weights), `curve.csv` and `curve.png`.

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

from .augment import Augment
from .classes import HEIGHT, MEAN, NAMES, STD, UNKNOWN, WIDTH
from .dataset import Pictures, load
from .network import SlimUNet
from .randomness import Dice

COLUMNS = ["step", "minutes", "samples", "loss", "val_mean_iou", "val_instrument_iou", *NAMES]

# Sizes (width, height) a run goes through, and the part of it at which each begins: small first, because most of what there is
# to learn shows there already; the last part sees pictures of the size the node uses.
SIZES = ((0.0, (384, 288)), (0.4, (WIDTH, HEIGHT)))


def class_weights(labels: np.ndarray) -> Tensor:
    """(1 / frequency) ^ 0.35, clipped, mean 1 over pixels: rare classes count more, but not so much that they grow into others."""
    count = np.bincount(labels[:: max(1, len(labels) // 512)].ravel(), minlength=len(NAMES))[: len(NAMES)].astype(np.float64)
    freq = np.maximum(count / count.sum(), 1e-5)
    w = np.clip((0.1 / freq) ** 0.35, 0.5, 4.0)
    return torch.tensor(w / (w * freq).sum(), dtype=torch.float32)


def loss_fn(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy plus soft Jaccard over the classes in the batch. `target` [n, 2h, 2w] is finer than `logits` [n, c, h, w]:
    what counts is what each answer is worth at all four of its pixels. What is UNKNOWN counts for nothing."""
    logp, n = logits.log_softmax(1), len(NAMES)
    there = F.one_hot(target.masked_fill(target == UNKNOWN, n), n + 1)[..., :n].permute(0, 3, 1, 2).to(logp.dtype)
    there = F.avg_pool2d(there, 2)  # the part of each answer's pixels that is of each class
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


def batches(data: Pictures, images: Tensor, labels: Tensor, size: int, rng: np.random.Generator):
    """Endless: pictures, labels and ends of `size` of them; every picture once before any comes again."""
    queue = np.empty(0, int)
    while True:
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(len(data.images))])
        chosen, queue = queue[:size], queue[size:]
        at = torch.as_tensor(chosen).to(images.device)
        yield images[at], labels[at], [data.ends[i] for i in chosen]


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", type=Path, required=True, help="training folder (images/, labels/)")
    ap.add_argument("--val", type=Path, required=True, help="validation folder, other simulator seeds")
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument("--steps", type=int, default=8000)
    ap.add_argument("--minutes", type=float, default=50.0)
    ap.add_argument("--batch", type=int, default=16)
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--seed", type=int, default=20261126)
    ap.add_argument("--every", type=int, default=250, help="steps between validations")
    ap.add_argument("--ema", type=float, default=0.998, help="decay of the averaged weights per step; shorter runs want less")
    ap.add_argument("--plain", type=float, default=0.4, help="share of samples that stay nearly as the simulator drew them")
    ap.add_argument("--resume", type=Path, help="weights to start from")
    a = ap.parse_args()

    device = torch.device(a.device)
    card = device.type == "cuda"
    torch.manual_seed(a.seed)
    torch.backends.cudnn.benchmark = card
    torch.set_float32_matmul_precision("high")
    a.out.mkdir(parents=True, exist_ok=True)
    data, val = load(a.data), load(a.val)
    weights = class_weights(data.labels).to(device)
    print(f"{len(data.images)} training and {len(val.images)} validation pictures on {device}; class weights {weights.tolist()}", flush=True)
    images, labels = torch.from_numpy(data.images).to(device), torch.from_numpy(data.labels).to(device)
    val_images, val_labels = torch.from_numpy(val.images).to(device), torch.from_numpy(val.labels).to(device)

    dice = Dice(a.seed, device)
    augment, normalise = Augment(dice, a.plain), Normalise().to(device)
    net = SlimUNet(len(NAMES)).to(device, memory_format=torch.channels_last)
    if a.resume:
        net.load_state_dict(torch.load(a.resume, weights_only=True, map_location=device))
    shadow = SlimUNet(len(NAMES)).to(device, memory_format=torch.channels_last)
    shadow.load_state_dict(net.state_dict())
    pairs = [(s, n) for s, n in zip(shadow.state_dict().values(), net.state_dict().values())]
    averaged = [p for p in pairs if p[0].is_floating_point()]
    opt = torch.optim.AdamW([
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": 2e-2},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ], lr=a.lr, fused=card)

    curve = (a.out / "curve.csv").open("w", newline="")
    writer = csv.writer(curve)
    writer.writerow(COLUMNS)
    start, best, running, step, last = time.monotonic(), -1.0, [], 0, False
    for picture, label, ends in batches(data, images, labels, a.batch, dice.rng):
        done = max(step / a.steps, (time.monotonic() - start) / 60 / a.minutes)
        warm = min(1.0, (step + 1) / 100)
        for group in opt.param_groups:
            group["lr"] = a.lr * warm * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))) + 1e-6
        size = next(size for begins, size in reversed(SIZES) if done >= begins)
        # cuDNN would search for the best algorithm anew for each number of pictures that something happens to.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
            img, lab = augment(picture, label, ends, size)
        net.train()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=card):
            logits = net(normalise(img))
        loss = loss_fn(logits.float(), lab, weights)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        opt.step()
        step += 1
        running.append(loss.detach())
        with torch.no_grad():
            torch._foreach_lerp_([s for s, _ in averaged], [n for _, n in averaged], 1 - min(a.ema, (1 + step) / (10 + step)))
        last = done >= 1.0
        if step % a.every == 0 or last:
            per_class, binary = validate(shadow, normalise, val_images, val_labels)
            score, minutes = float(np.nanmean(per_class)), (time.monotonic() - start) / 60
            mean_loss = float(torch.stack(running).mean())
            writer.writerow([step, f"{minutes:.2f}", step * a.batch, f"{mean_loss:.4f}", f"{score:.4f}", f"{binary:.4f}",
                             *[f"{v:.4f}" for v in per_class]])
            curve.flush()
            print(f"step {step} ({minutes:.1f} min) loss {mean_loss:.3f} mIoU {score:.3f} instrument {binary:.3f} "
                  + " ".join(f"{n[:12]}={v:.2f}" for n, v in zip(NAMES, per_class)), flush=True)
            running = []
            torch.save(shadow.state_dict(), a.out / "last.pt")
            if score >= best:
                best = score
                torch.save(shadow.state_dict(), a.out / "best.pt")
        if last:
            break
    curve.close()
    plot(a.out / "curve.csv", a.out / "curve.png")
    print(f"best validation mIoU {best:.4f} after {step} steps", flush=True)


if __name__ == "__main__":
    main()
