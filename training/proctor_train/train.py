"""Trains the network and writes `best.pt` (exponential average of the weights), `curve.csv` and `curve.png`.

The schedule follows whichever runs out first, `--steps` or `--minutes`, so a run on a busy machine still ends with
its learning rate annealed; the steps really done are in `curve.csv`. The stream of samples is fixed by `--seed`.
"""

from __future__ import annotations

import argparse
import csv
import math
import multiprocessing as mp
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from .classes import MEAN, NAMES, STD
from .dataset import Samples, load, normalise
from .network import SlimUNet

COLUMNS = ["step", "minutes", "samples", "loss", "val_mean_iou", "val_instrument_iou", *NAMES]


def class_weights(labels: np.ndarray) -> torch.Tensor:
    """1 / sqrt(frequency), clipped to a factor of 6 either way of the common classes, mean 1 over pixels."""
    count = np.bincount(labels.ravel(), minlength=len(NAMES)).astype(np.float64)
    freq = np.maximum(count / count.sum(), 1e-5)
    w = np.clip(np.sqrt(0.1 / freq), 0.5, 6.0)
    return torch.tensor(w / (w * freq).sum(), dtype=torch.float32)


def loss_fn(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the classes present in the batch, both weighted."""
    logp = logits.log_softmax(1)
    ce = F.nll_loss(logp, target, weights)
    p = logp.exp()
    flat, n = target.flatten(), len(NAMES)
    inter = p.new_zeros(n).index_add(0, flat, p.gather(1, target[:, None]).flatten())
    there = torch.bincount(flat, minlength=n)
    dice = 1 - (2 * inter + 1) / (p.sum((0, 2, 3)) + there + 1)
    share = weights * (there > 0)
    return ce + (share * dice).sum() / share.sum()


def iou(confusion: np.ndarray) -> np.ndarray:
    """Per class, from a confusion matrix [truth, answer]; NaN where a class is in neither."""
    inter = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - inter
    return np.divide(inter, union, out=np.full(len(inter), np.nan), where=union > 0)


@torch.no_grad()
def validate(net: SlimUNet, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """IoU per class and binary instrument IoU over whole, unchanged pictures."""
    net.eval()
    n = len(NAMES)
    confusion = np.zeros((n, n), np.int64)
    for i in range(0, len(images), 8):
        x = torch.from_numpy(normalise(images[i : i + 8])).permute(0, 3, 1, 2)
        answer = net(x.contiguous(memory_format=torch.channels_last)).argmax(1).numpy()
        confusion += np.bincount(labels[i : i + 8].ravel().astype(np.int64) * n + answer.ravel(), minlength=n * n).reshape(n, n)
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
    a.set(xlabel="step", ylabel="training loss (CE + Dice, augmented)", yscale="log")
    for name in ["val_mean_iou", "val_instrument_iou", *NAMES]:
        bold = name.startswith("val")
        b.plot(steps, [float(r[name]) for r in rows], label=name, lw=2.5 if bold else 1)
    b.set(xlabel="step", ylabel="IoU on validation seeds", ylim=(0, 1))
    b.legend(fontsize=6, ncol=2)
    fig.tight_layout()
    fig.savefig(out, dpi=90)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", type=Path, required=True, help="training folder (images/, labels/)")
    ap.add_argument("--val", type=Path, required=True, help="validation folder, other simulator seeds")
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--steps", type=int, default=8000)
    ap.add_argument("--minutes", type=float, default=50.0)
    ap.add_argument("--batch", type=int, default=16)
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--seed", type=int, default=20261123)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--workers", type=int, default=1)
    ap.add_argument("--every", type=int, default=250, help="steps between validations")
    ap.add_argument("--bf16", action="store_true", help="bfloat16 arithmetic: faster where the processor has it, many times slower elsewhere")
    ap.add_argument("--ema", type=float, default=0.998, help="decay of the averaged weights per step; shorter runs want less")
    ap.add_argument("--plain", type=float, default=0.35, help="share of samples that stay nearly as the simulator drew them")
    ap.add_argument("--resume", type=Path, help="weights to start from")
    a = ap.parse_args()

    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    a.out.mkdir(parents=True, exist_ok=True)
    images, labels, _ = load(a.data)
    val_images, val_labels, _ = load(a.val)
    weights = class_weights(labels)
    print(f"{len(images)} training and {len(val_images)} validation pictures; class weights {weights.tolist()}", flush=True)

    phase = mp.Value("b", 0)
    loader = DataLoader(Samples(images, labels, a.seed, a.batch, phase, a.plain), None, num_workers=a.workers, prefetch_factor=3)
    net = SlimUNet(len(NAMES)).to(memory_format=torch.channels_last)
    if a.resume:
        # A smaller network's weights will do: what is missing starts as the identity.
        odd = net.load_state_dict(torch.load(a.resume, weights_only=True), strict=False)
        if odd.unexpected_keys or any(not k.startswith(("r2.", "r3.")) for k in odd.missing_keys):
            raise SystemExit(f"{a.resume}: other weights than this network's: {odd}")
    ema = {k: v.detach().clone() for k, v in net.state_dict().items()}
    shadow = SlimUNet(len(NAMES)).to(memory_format=torch.channels_last)
    decay_params = [p for p in net.parameters() if p.ndim > 1]
    other_params = [p for p in net.parameters() if p.ndim <= 1]
    opt = torch.optim.AdamW([{"params": decay_params, "weight_decay": 2e-2}, {"params": other_params, "weight_decay": 0.0}], lr=a.lr)
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1) * 255, torch.tensor(STD).view(1, 3, 1, 1) * 255

    curve = (a.out / "curve.csv").open("w", newline="")
    writer = csv.writer(curve)
    writer.writerow(COLUMNS)
    start, best, running, step, done = time.monotonic(), -1.0, [], 0, 0.0
    for img, lab in loader:
        done = max(step / a.steps, (time.monotonic() - start) / 60 / a.minutes)
        warm = min(1.0, (step + 1) / 100)
        for group in opt.param_groups:
            group["lr"] = a.lr * warm * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))) + 1e-6
        # The last part sees whole pictures of the size the node uses.
        phase.value = (done > 0.35) + (done > 0.6)
        x = (img.permute(0, 3, 1, 2).float() - mean) / std
        net.train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16):
            logits = net(x.contiguous(memory_format=torch.channels_last))
        loss = loss_fn(logits.float(), lab.long(), weights)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        opt.step()
        step += 1
        running.append(loss.item())
        decay = min(a.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for k, v in net.state_dict().items():
                if v.is_floating_point():
                    ema[k].lerp_(v, 1 - decay)
                else:
                    ema[k].copy_(v)
        if step % a.every == 0 or done >= 1.0:
            shadow.load_state_dict(ema)
            per_class, binary = validate(shadow, val_images, val_labels)
            score = float(np.nanmean(per_class))
            minutes = (time.monotonic() - start) / 60
            writer.writerow([step, f"{minutes:.2f}", step * a.batch, f"{np.mean(running):.4f}", f"{score:.4f}", f"{binary:.4f}",
                             *[f"{v:.4f}" for v in per_class]])
            curve.flush()
            print(f"step {step} ({minutes:.1f} min) loss {np.mean(running):.3f} mIoU {score:.3f} instrument {binary:.3f} "
                  + " ".join(f"{n[:8]}={v:.2f}" for n, v in zip(NAMES, per_class)), flush=True)
            running = []
            torch.save(ema, a.out / "last.pt")
            if score >= best:
                best = score
                torch.save(ema, a.out / "best.pt")
        if done >= 1.0:
            break
    curve.close()
    plot(a.out / "curve.csv", a.out / "curve.png")
    print(f"best validation mIoU {best:.4f} after {step} steps", flush=True)


if __name__ == "__main__":
    main()
