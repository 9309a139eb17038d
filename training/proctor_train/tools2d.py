"""Flat drawings laid over training samples: more kinds of tool, and of tissue that looks like one, than the simulator models.

A tool is a shaft from outside the picture, a wrist, and one or two jaws (or a hook), each a tapered cylinder seen from the
side. It is no geometry to learn poses from; it teaches that tools come in any colour, length and finish. A fold is a few such
cylinders of tissue's colours with uneven rims; it has no label of its own and teaches that not all that is round and shines is a tool.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .classes import BACKGROUND, JAWS, SHAFT, WRIST
from .randomness import Dice, Noise


COLUMNS = (2, 2, 1, 1, 1, 3, *[1] * 10)  # how wide what `part` is told, and draws, lies in a row


def direction(a: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(a), np.sin(a)], -1)


def turn(v: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Vectors [n, 2], each turned by its own angle [n]."""
    c, s = np.cos(a), np.sin(a)
    return np.stack([v[:, 0] * c - v[:, 1] * s, v[:, 0] * s + v[:, 1] * c], -1)


def part(rng, p, q, r0, r1, label, colour, gloss, slot=0.0, uneven=0.0) -> np.ndarray:
    """One part of each of n drawings, as rows [n, 20]: ends and radii at them (pixels), class, colour, gloss, how its surface looks, the width of a slot, how uneven its rim is."""
    n = len(p)
    bands = rng.random(n) < 0.3  # rings, knurling
    columns = [
        p, q, r0, r1, label, colour, gloss,
        rng.uniform(0.5, 0.9, n), rng.uniform(0.05, 0.3, n), rng.uniform(-0.6, 0.6, n), rng.uniform(0.05, 0.25, n),
        np.where(bands, rng.uniform(0.1, 0.5, n), 0.0), rng.uniform(1.0, 6.0, n), rng.uniform(0, 0.9, n),
        slot, uneven,
    ]
    return np.column_stack([c if np.ndim(c) else np.full(n, c) for c in columns]).astype(np.float32)


def tools(rng: np.random.Generator, n: int, w: int, h: int) -> np.ndarray:
    """The parts of n random tools, [n, 4, 20], in the order in which they are drawn."""
    tip = rng.uniform(0.1, 0.9, (n, 2)) * [w, h]
    # Tools come from the sides and from below more often than from above.
    side = rng.normal(0.3, 0.45, n)
    out = direction(np.choose(rng.integers(3, size=n), [side, np.pi - side, rng.uniform(0, 2 * np.pi, n)]))
    radius = w * np.exp(rng.uniform(np.log(0.014), np.log(0.08), n))
    metal = rng.uniform(70, 245, (n, 1)) * np.exp(rng.normal(0, 0.06, (n, 3)))
    dark = rng.uniform(8, 90, (n, 1)) * np.exp(rng.normal(0, 0.08, (n, 3)))
    kind = rng.random((n, 1))
    shaft = np.where(kind < 0.45, dark, np.where(kind < 0.8, metal * rng.uniform(0.7, 1.1, (n, 1)), rng.uniform(20, 230, (n, 3))))
    gloss = rng.uniform(0.0, 0.7, n)
    straight = rng.random(n) < 0.5  # laparoscopic, not wristed
    bend, bend2 = rng.normal(0, np.where(straight, 0.05, 0.35), (2, n))
    yaw = tip + turn(out, bend + bend2) * (radius * rng.uniform(1.5, 6.0, n))[:, None]
    pitch = yaw + turn(out, bend) * (radius * rng.uniform(0.6, 3.5, n))[:, None]
    taper = rng.uniform(1.0, 1.5, n)  # nearer the camera the shaft looks thicker
    wristed = rng.random(n) < 0.75
    r, jaw = radius * rng.uniform(0.75, 1.0, n), radius * rng.uniform(0.25, 0.6, n)
    parts = [
        part(rng, pitch, pitch + out * 2 * w, radius, radius * (1 + (taper - 1) * 3), SHAFT, shaft, gloss),
        part(rng, pitch, yaw, r, r * 0.9, np.where(wristed, WRIST, SHAFT), np.where(wristed[:, None], metal, shaft), gloss),
    ]
    hooked = rng.random(n) < 0.25
    knee = yaw + (tip - yaw) * 0.8
    end = knee + turn(tip - yaw, rng.choice([-1.4, 1.4], n)) * 0.4
    hook = [part(rng, yaw, knee, jaw * 0.7, jaw * 0.5, JAWS, metal, gloss), part(rng, knee, end, jaw * 0.5, jaw * 0.4, JAWS, metal, gloss)]
    opening = np.abs(rng.normal(0, 0.3, n))
    slot = np.where(rng.random(n) < 0.25, rng.uniform(0.25, 0.6, n), 0.0)  # fenestrated
    jaw = np.where(slot > 0, 1.3 * jaw, jaw)
    for curved, way in zip(hook, (-1, 1)):
        end = yaw + turn(tip - yaw, way * opening)
        one = part(rng, yaw, end, jaw, jaw * rng.uniform(0.2, 0.9, n), JAWS, metal * rng.uniform(0.8, 1.1, (n, 1)), gloss, slot)
        parts.append(np.where(hooked[:, None], curved, one))
    return np.stack(parts, 1)


def folds(rng: np.random.Generator, n: int, w: int, h: int) -> np.ndarray:
    """The parts of n random folds or strands of tissue, [n, 4, 20]."""
    at, radius, angle = rng.uniform(0, 1, (n, 2)) * [w, h], w * np.exp(rng.uniform(np.log(0.01), np.log(0.09), n)), rng.uniform(0, 2 * np.pi, n)
    tissue = np.array([[225, 190, 110], [215, 150, 135], [150, 60, 50], [230, 205, 170], [190, 185, 165], [120, 40, 40]])
    colour = tissue[rng.integers(len(tissue), size=n)] * np.exp(rng.normal(0, 0.25, (n, 1)) + rng.normal(0, 0.12, (n, 3)))
    gloss, uneven, parts = rng.uniform(0, 0.8, n), rng.uniform(0.1, 0.6, n), []
    for _ in range(4):
        end = at + (radius * rng.uniform(1.5, 6, n))[:, None] * direction(angle)
        grown = radius * np.exp(rng.normal(0, 0.3, n))
        parts.append(part(rng, at, end, radius, grown, BACKGROUND, colour, gloss, uneven=uneven))
        at, radius, angle = end, grown, angle + rng.normal(0, 0.5, n)
    return np.stack(parts, 1)


def paste(dice: Dice, noise: Noise, img: Tensor, lab: Tensor, what=tools) -> tuple[Tensor, Tensor]:
    """Draws one random tool (or fold) over each picture [n, 3, h, w] (0..255) and its labels [n, 1, h, w]; the black surround stays black."""
    n, _, h, w = img.shape
    # [n, parts, numbers of each, 1, 1]; all parts at once, because a card is done with one sooner than the host is with asking for it.
    parts = dice.tensor(what(dice.rng, n, w, h))[..., None, None]
    p, q, r0, r1, label, colour, gloss, gain, ambient, peak, width, bands, period, duty, slot, uneven = parts.split(COLUMNS, 2)
    x = torch.arange(w, device=img.device, dtype=torch.float32).view(1, w)
    y = torch.arange(h, device=img.device, dtype=torch.float32).view(h, 1)
    surface, rim = (1 + dice.uniform(0, 0.25, n, 1) * noise(n, h, w))[:, None], noise(n, h, w)[:, None]
    d = q - p
    length = d.square().sum(2, keepdim=True).sqrt().clamp_min(1e-3)
    d = d / length
    dx, dy = x - p[:, :, :1], y - p[:, :, 1:]
    along, across = dx * d[:, :, :1] + dy * d[:, :, 1:], dy * d[:, :, :1] - dx * d[:, :, 1:]
    radius = (r0 + (r1 - r0) * (along / length).clamp(0, 1)) * (1 + uneven * rim)
    cover = (radius - across.abs() + 0.5).clamp(0, 1) * (along + 0.5).clamp(0, 1) * (length - along + 0.5).clamp(0, 1)
    hollow = (across.abs() < slot * radius) & (along > 0.2 * length) & (along < 0.9 * length)
    cover = cover * ~hollow
    s = (across / radius.clamp_min(0.5)).clamp(-1, 1)
    shade = (1.02 - s * s).clamp(0, 1).sqrt() * gain + ambient
    shade = shade * (1 - bands * (torch.sin(along / period) > duty)) * surface
    fill = (colour * shade + 255 * gloss * torch.exp(-(((s - peak) / width) ** 2))).clamp(0, 255)
    covered = cover > 0.5
    named = covered & (label != BACKGROUND)
    before, there, seen = img, covered.any(1), lab != BACKGROUND
    for k in range(parts.shape[1]):
        img = img + cover[:, k] * (fill[:, k] - img)
        lab = torch.where(named[:, k], label[:, k], lab)
    shadowed = dice.some(n, 0.4)
    if len(shadowed):  # what the tool keeps the light from
        off = [int(o) for o in dice.rng.integers(-16, 17, 2)]
        m = F.avg_pool2d(there[shadowed].float().roll(off, (2, 3)), 13, 1, 6) * ~there[shadowed]
        img[shadowed] = img[shadowed] * (1 - dice.uniform(0.2, 0.6, len(shadowed), 1) * m)
    return torch.where(seen, img, before), torch.where(seen, lab, torch.full_like(lab, BACKGROUND))
