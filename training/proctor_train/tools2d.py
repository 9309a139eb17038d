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


def turn(v: np.ndarray, a: float) -> np.ndarray:
    return np.array([v[0] * np.cos(a) - v[1] * np.sin(a), v[0] * np.sin(a) + v[1] * np.cos(a)])


def part(rng, p, q, r0, r1, label, colour, gloss, slot=0.0, uneven=0.0) -> np.ndarray:
    """One part as a row of numbers: ends and radii at them (pixels), class, colour, gloss, how its surface looks, the width of a slot, how uneven its rim is."""
    bands = rng.random() < 0.3  # rings, knurling
    return np.array([
        *p, *q, r0, r1, label, *colour, gloss,
        rng.uniform(0.5, 0.9), rng.uniform(0.05, 0.3), rng.uniform(-0.6, 0.6), rng.uniform(0.05, 0.25),
        rng.uniform(0.1, 0.5) if bands else 0.0, rng.uniform(1.0, 6.0), rng.uniform(0, 0.9),
        slot, uneven,
    ], np.float32)


def tool(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    """The parts of one random tool, a row each, in the order in which they are drawn."""
    tip = rng.uniform(0.1, 0.9, 2) * [w, h]
    # Tools come from the sides and from below more often than from above.
    angle = rng.choice([rng.normal(0.3, 0.45), np.pi - rng.normal(0.3, 0.45), rng.uniform(0, 2 * np.pi)])
    out = np.array([np.cos(angle), np.sin(angle)])
    radius = w * np.exp(rng.uniform(np.log(0.014), np.log(0.08)))
    metal = np.full(3, rng.uniform(70, 245)) * np.exp(rng.normal(0, 0.06, 3))
    kind = rng.random()
    if kind < 0.45:
        shaft = np.full(3, rng.uniform(8, 90)) * np.exp(rng.normal(0, 0.08, 3))
    elif kind < 0.8:
        shaft = metal * rng.uniform(0.7, 1.1)
    else:
        shaft = rng.uniform(20, 230, 3)
    gloss = rng.uniform(0.0, 0.7)
    jaw_length, wrist_length = radius * rng.uniform(1.5, 6.0), radius * rng.uniform(0.6, 3.5)
    straight = rng.random() < 0.5  # laparoscopic, not wristed
    bend, bend2 = rng.normal(0, 0.05 if straight else 0.35, 2)
    yaw = tip + turn(out, bend + bend2) * jaw_length
    pitch = yaw + turn(out, bend) * wrist_length
    taper = rng.uniform(1.0, 1.5)  # nearer the camera the shaft looks thicker
    wristed = rng.random() < 0.75
    r, jaw = radius * rng.uniform(0.75, 1.0), radius * rng.uniform(0.25, 0.6)
    parts = [
        part(rng, pitch, pitch + out * 2 * w, radius, radius * (1 + (taper - 1) * 3), SHAFT, shaft, gloss),
        part(rng, pitch, yaw, r, r * 0.9, WRIST if wristed else SHAFT, metal if wristed else shaft, gloss),
    ]
    if rng.random() < 0.25:  # hook
        knee = yaw + (tip - yaw) * 0.8
        end = knee + turn(tip - yaw, rng.choice([-1.4, 1.4])) * 0.4
        parts += [part(rng, yaw, knee, jaw * 0.7, jaw * 0.5, JAWS, metal, gloss), part(rng, knee, end, jaw * 0.5, jaw * 0.4, JAWS, metal, gloss)]
    else:
        opening = abs(rng.normal(0, 0.3))
        slot = rng.uniform(0.25, 0.6) if rng.random() < 0.25 else 0.0  # fenestrated
        jaw *= 1.3 if slot else 1.0
        for side in (-1, 1):
            end = yaw + turn(tip - yaw, side * opening)
            parts.append(part(rng, yaw, end, jaw, jaw * rng.uniform(0.2, 0.9), JAWS, metal * rng.uniform(0.8, 1.1), gloss, slot))
    return np.stack(parts)


def fold(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    """The parts of one random fold or strand of tissue."""
    at, radius, angle = rng.uniform(0, 1, 2) * [w, h], w * np.exp(rng.uniform(np.log(0.01), np.log(0.09))), rng.uniform(0, 2 * np.pi)
    tissue = np.array([[225, 190, 110], [215, 150, 135], [150, 60, 50], [230, 205, 170], [190, 185, 165], [120, 40, 40]])
    colour = tissue[rng.integers(len(tissue))] * np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.12, 3))
    gloss, uneven, parts = rng.uniform(0, 0.8), rng.uniform(0.1, 0.6), []
    for _ in range(4):
        end = at + radius * rng.uniform(1.5, 6) * np.array([np.cos(angle), np.sin(angle)])
        grown = radius * np.exp(rng.normal(0, 0.3))
        parts.append(part(rng, at, end, radius, grown, BACKGROUND, colour, gloss, uneven=uneven))
        at, radius, angle = end, grown, angle + rng.normal(0, 0.5)
    return np.stack(parts)


def paste(dice: Dice, noise: Noise, img: Tensor, lab: Tensor, what=tool) -> tuple[Tensor, Tensor]:
    """Draws one random tool (or fold) over each picture [n, 3, h, w] (0..255) and its labels [n, 1, h, w]; the black surround stays black."""
    n, _, h, w = img.shape
    tools = dice.tensor(np.stack([what(dice.rng, w, h) for _ in range(n)]))
    x = torch.arange(w, device=img.device, dtype=torch.float32).view(1, 1, 1, w)
    y = torch.arange(h, device=img.device, dtype=torch.float32).view(1, 1, h, 1)
    before, there, seen = img, torch.zeros_like(lab, dtype=torch.bool), lab != BACKGROUND
    surface, rim = 1 + dice.uniform(0, 0.25, n, 1) * noise(n, h, w), noise(n, h, w)
    for k in range(tools.shape[1]):
        v = tools[:, k, :, None, None]  # [n, numbers of a part, 1, 1]
        p, q, (r0, r1), label = v[:, 0:2], v[:, 2:4], (v[:, 4:5], v[:, 5:6]), v[:, 6:7]
        colour, gloss, gain, ambient, peak, width, bands, period, duty, slot, uneven = v[:, 7:10], *(v[:, i : i + 1] for i in range(10, 20))
        d = q - p
        length = d.square().sum(1, keepdim=True).sqrt().clamp_min(1e-3)
        d = d / length
        dx, dy = x - p[:, :1], y - p[:, 1:]
        along, across = dx * d[:, :1] + dy * d[:, 1:], dy * d[:, :1] - dx * d[:, 1:]
        radius = (r0 + (r1 - r0) * (along / length).clamp(0, 1)) * (1 + uneven * rim)
        cover = ((radius - across.abs() + 0.5).clamp(0, 1) * (along + 0.5).clamp(0, 1) * (length - along + 0.5).clamp(0, 1))
        hollow = (across.abs() < slot * radius) & (along > 0.2 * length) & (along < 0.9 * length)
        cover = torch.where(hollow, torch.zeros_like(cover), cover)
        s = (across / radius.clamp_min(0.5)).clamp(-1, 1)
        shade = (1.02 - s * s).clamp(0, 1).sqrt() * gain + ambient
        shade = shade * (1 - bands * (torch.sin(along / period) > duty)) * surface
        fill = (colour * shade + 255 * gloss * torch.exp(-(((s - peak) / width) ** 2))).clamp(0, 255)
        img = img + cover * (fill - img)
        lab = torch.where((cover > 0.5) & (label != BACKGROUND), label, lab)
        there |= cover > 0.5
    shadowed = dice.some(n, 0.4)
    if len(shadowed):  # what the tool keeps the light from
        off = [int(o) for o in dice.rng.integers(-16, 17, 2)]
        m = F.avg_pool2d(there[shadowed].float().roll(off, (2, 3)), 13, 1, 6) * ~there[shadowed]
        img[shadowed] = img[shadowed] * (1 - dice.uniform(0.2, 0.6, len(shadowed), 1) * m)
    return torch.where(seen, img, before), torch.where(seen, lab, torch.full_like(lab, BACKGROUND))
