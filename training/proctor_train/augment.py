"""Appearance and geometry randomisation: what makes a model that saw only the simulator useful elsewhere.

Works on batches, on whatever device they lie: pictures are float RGB [n, 3, h, w] in 0..255, labels float [n, 1, h, w].
Randomness comes only from the dice passed in, so a seed fixes the stream of samples (on one kind of device).
Functions that only look at some of the batch return the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import geometry
from .classes import BACKGROUND, JAWS, NAMES, SHAFT, UNKNOWN
from .randomness import Dice, Noise
from .tools2d import folds, paste


@cache
def constant(table: Callable[[], np.ndarray], device: torch.device) -> Tensor:
    """What `table` returns, on the device: copied there once, because the host waits for the device when it copies."""
    return torch.from_numpy(table().astype(np.float32)).to(device)


def ycc_from_rgb() -> np.ndarray:
    return np.array([(0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813)])


def rgb_from_ycc() -> np.ndarray:
    return np.linalg.inv(ycc_from_rgb())


def grey(img: Tensor) -> Tensor:
    return (img * constant(ycc_from_rgb, img.device)[0].view(1, 3, 1, 1)).sum(1, keepdim=True)


def gaussian(img: Tensor, sigma: Tensor) -> Tensor:
    """Blurs each picture by its own deviation [n] (pixels), up to about 5."""
    n, c, h, w = img.shape
    r = torch.arange(-9, 10, device=img.device, dtype=torch.float32)
    k = torch.exp(-0.5 * (r / sigma.view(-1, 1)) ** 2)
    k = (k / k.sum(1, keepdim=True)).repeat_interleave(c, 0)
    flat = F.pad(img.reshape(1, n * c, h, w), (9, 9, 9, 9), mode="reflect")
    flat = F.conv2d(F.conv2d(flat, k[:, None, None, :], groups=n * c), k[:, None, :, None], groups=n * c)
    return flat.view(n, c, h, w)


def recolour(dice: Dice, noise: Noise, img: Tensor, lab: Tensor) -> Tensor:
    """Gives every region its own random gain, tint, saturation and texture: shape and shading stay, colour does not."""
    rng, (n, _, h, w), classes = dice.rng, img.shape, len(NAMES)
    keep = rng.random((n, classes, 1)) < 0.35
    keep[:, BACKGROUND] = True
    spread = np.where(rng.random((n, classes, 1)) < 0.15, 0.6, 0.10)  # plastic: blue, white, green, yellow
    tool = np.zeros((1, classes, 1), bool)
    tool[:, SHAFT : JAWS + 1] = True
    gain = np.where(tool, rng.normal(0, 0.55, (n, classes, 1)) + rng.normal(0, 1, (n, classes, 3)) * spread,
                    rng.normal(0, 0.33, (n, classes, 1)) + rng.normal(0, 0.17, (n, classes, 3)))
    saturation = np.where(tool, rng.uniform(0, 1.2, (n, classes, 1)), np.exp(rng.normal(-0.05, 0.35, (n, classes, 1))))
    grain = rng.uniform(0, 0.45, (n, classes, 1))
    table = np.concatenate([np.where(keep, 1, np.exp(gain)), np.where(keep, 1, saturation), np.where(keep, 0, grain)], 2)
    known = lab * (lab != UNKNOWN)
    look = dice.tensor(table).gather(1, known.view(n, h * w, 1).long().expand(-1, -1, 5)).transpose(1, 2).reshape(n, 5, h, w)
    gain, saturation, grain = F.avg_pool2d(look[:, :3], 3, 1, 1), look[:, 3:4], look[:, 4:5]
    g = grey(img)
    texture = 1 + grain * noise(n, h, w)
    if rng.random() < 0.3:  # coloured mottling
        texture = texture + dice.normal(0, 0.12, n, 3) * noise(n, h, w)
    img = (g + (img - g) * saturation) * gain * texture
    polished = dice.some(n, 0.25)  # metal: contrast around its mean
    if len(polished):
        part, tool = img[polished], ((lab[polished] >= SHAFT) & (lab[polished] <= JAWS)).float()
        mean = (part * tool).sum((2, 3), keepdim=True) / tool.sum((2, 3), keepdim=True).clamp_min(1)
        img[polished] = part + tool * (part - mean) * dice.uniform(0.2, 1.5, len(polished), 1)
    return img.clamp(0, 255)


def strange_texture(dice: Dice, img: Tensor) -> Tensor:
    """Mixes in what a random small convolution makes of the picture: other colours and textures, the same shapes."""
    n = len(img)
    size = int(dice.rng.choice([1, 3, 5]))
    k = dice.tensor(dice.rng.normal(0, 1, (n, 3, 3, size, size)))
    k = k / k.square().sum((2, 3, 4), keepdim=True).sqrt()
    mean, deviation = img.mean((2, 3), keepdim=True), img.std((2, 3), keepdim=True) + 1
    made = F.conv2d(F.pad(((img - mean) / deviation).reshape(1, n * 3, *img.shape[2:]), (size // 2,) * 4, mode="reflect"),
                    k.reshape(n * 3, 3, size, size), groups=n).view_as(img)
    made = made / (made.std((2, 3), keepdim=True) + 1e-3) * deviation + mean
    share = dice.uniform(0.1, 0.7, n, 1)
    return (img + share * (made - img)).clamp(0, 255)


def occlude(dice: Dice, noise: Noise, img: Tensor, lab: Tensor) -> Tensor:
    """Highlights, blood, smoke and unknown objects: things that cover the picture without being a class."""
    total, _, h, w = img.shape
    inside = (lab != BACKGROUND).float()
    if m := len(i := dice.some(total, 0.4)):  # wet highlights
        a = ((noise(m, h, w) - dice.uniform(0.7, 1.2, m, 1)) * dice.uniform(2, 8, m, 1)).clamp(0, 1) * inside[i]
        img[i] = img[i] + a * dice.uniform(80, 255, m, 1)
    if m := len(i := dice.some(total, 0.2)):  # blood, also on instruments
        a = ((noise(m, h, w) - dice.uniform(0, 0.9, m, 1)) * 6).clamp(0, 1) * dice.uniform(0.3, 0.9, m, 1) * inside[i]
        colour = torch.cat([dice.uniform(60, 160, m, 1), dice.uniform(0, 30, m, 1), dice.uniform(0, 25, m, 1)], 1)
        img[i] = img[i] + a * (colour * (0.4 + img[i].mean(1, keepdim=True) / 128) - img[i])
    if m := len(i := dice.some(total, 0.15)):  # smoke
        a = (0.5 + 0.5 * noise(m, h, w)).clamp(0, 1) * dice.uniform(0.1, 0.6, m, 1)
        img[i] = img[i] + a * (dice.uniform(120, 230, m, 1) - img[i])
    if m := len(i := dice.some(total, 0.15)):  # unknown object: gauze, clip, thread
        x = torch.arange(w, device=img.device, dtype=torch.float32).view(1, 1, 1, w)
        y = torch.arange(h, device=img.device, dtype=torch.float32).view(1, 1, h, 1)
        r = (((x - dice.uniform(0, w, m, 1)) / dice.uniform(0.015 * w, 0.12 * w, m, 1)) ** 2
             + ((y - dice.uniform(0, h, m, 1)) / dice.uniform(0.015 * w, 0.12 * w, m, 1)) ** 2)
        a = ((1 + 0.5 * noise(m, h, w) - r) * 8).clamp(0, 1) * inside[i]
        colour = dice.uniform(0, 255, m, 3) * 0.5 + dice.uniform(0, 128, m, 1)
        img[i] = img[i] + a * (colour * (1 + 0.2 * noise(m, h, w)) - img[i])
    for i in np.flatnonzero(dice.rng.random(total) < 0.08):  # rectangles
        for _ in range(int(dice.rng.integers(1, 4))):
            rw, rh = int(dice.rng.integers(4, w // 6)), int(dice.rng.integers(4, h // 6))
            px, py = int(dice.rng.integers(0, w - rw)), int(dice.rng.integers(0, h - rh))
            img[i, :, py : py + rh, px : px + rw] = dice.uniform(0, 255, 3)
    return img.clamp(0, 255)


def field_of_view(dice: Dice, img: Tensor, lab: Tensor) -> tuple[Tensor, Tensor]:
    """Circular masks, and black borders, as recorded videos have them."""
    total, _, h, w = img.shape
    if m := len(i := dice.some(total, 0.3)):
        x = torch.arange(w, device=img.device, dtype=torch.float32).view(1, 1, 1, w)
        y = torch.arange(h, device=img.device, dtype=torch.float32).view(1, 1, h, 1)
        cx, cy = dice.normal(0.5 * w, 0.04 * w, m, 1), dice.normal(0.5 * h, 0.04 * h, m, 1)
        depth = dice.uniform(0.4 * w, 0.62 * w, m, 1) - ((x - cx) ** 2 + (y - cy) ** 2).sqrt()
        soft = (0.5 + depth / dice.uniform(1.0, 10.0, m, 1)).clamp(0, 1)
        img[i] = img[i] * soft + (1 - soft) * dice.uniform(0, 14, m, 3)
        lab[i] = torch.where(depth > 0, lab[i], torch.full_like(lab[i], BACKGROUND))
    for i in np.flatnonzero(dice.rng.random(total) < 0.08):
        cut = int(dice.rng.uniform(0.03, 0.2) * w)
        columns = slice(0, cut) if dice.rng.random() < 0.5 else slice(w - cut, w)
        rows = slice(0, int(h * 0.15)) if dice.rng.random() < 0.4 else slice(None)
        img[i, :, rows, columns], lab[i, :, rows, columns] = float(dice.rng.uniform(0, 10)), BACKGROUND
    return img, lab


def light(dice: Dice, noise: Noise, img: Tensor) -> Tensor:
    """Exposure, gamma, white balance, hue, saturation and uneven light."""
    n, _, h, w = img.shape
    if m := len(i := dice.some(n, 0.5)):
        x = torch.linspace(-1, 1, w, device=img.device).view(1, 1, 1, w)
        y = torch.linspace(-1, 1, h, device=img.device).view(1, 1, h, 1)
        r = (x - dice.normal(0, 0.4, m, 1)) ** 2 + (y - dice.normal(0, 0.4, m, 1)) ** 2
        img[i] = img[i] * torch.exp(-dice.uniform(-0.2, 0.9, m, 1) * r)
    if m := len(i := dice.some(n, 0.25)):
        img[i] = img[i] * torch.exp(dice.uniform(0, 0.4, m, 1) * noise(m, h, w))
    if m := len(i := dice.some(n, 0.6)):
        # Hue is turned, and saturation scaled, about grey.
        t, s = np.deg2rad(dice.rng.normal(0, 8, (m, 1, 1))), np.exp(dice.rng.normal(0, 0.25, (m, 1, 1)))
        axis = np.full(3, 3**-0.5)
        cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        flat = np.outer(axis, axis)
        matrix = flat + s * (np.cos(t) * (np.eye(3) - flat) + np.sin(t) * cross)
        img[i] = torch.einsum("njk,nkhw->njhw", dice.tensor(matrix), img[i])
    img = (img * torch.exp(dice.normal(0, 0.08, n, 3))).clamp(0, 255) / 255
    level = (img + 1e-4) ** torch.exp(dice.normal(0, 0.2, n, 1))
    return (level * 255 * torch.exp(dice.normal(0, 0.2, n, 1)) + dice.normal(0, 6, n, 1)).clamp(0, 255)


def cosines() -> np.ndarray:
    k, x = np.mgrid[0:8, 0:8]
    return np.where(k == 0, 8**-0.5, 0.5 * np.cos((2 * x + 1) * k * np.pi / 16))


def quantisation() -> np.ndarray:
    """Steps of luma and two chromas [3, 1, 8, 1, 8], by frequency."""
    u, v = np.mgrid[0:8, 0:8]
    return np.multiply.outer([1, 1.8, 1.8], 10 + 7 * (u + v) + 1.2 * u * v)[:, None, :, None, :]


def compress(img: Tensor, coarse: Tensor) -> Tensor:
    """What JPEG leaves of a picture: luma and chroma in blocks of 8x8 cosines, steps growing with frequency; `coarse` [n, 1, 1] scales them."""
    n, _, h, w = img.shape
    ycc = torch.einsum("jk,nkhw->njhw", constant(ycc_from_rgb, img.device), img - 128)
    d = constant(cosines, img.device)
    blocks = ycc.view(n, 3, h // 8, 8, w // 8, 8)
    coded = torch.einsum("ui,ncyixj,vj->ncyuxv", d, blocks, d)
    step = constant(quantisation, img.device) * coarse.view(n, 1, 1, 1, 1, 1)
    back = torch.einsum("ui,ncyuxv,vj->ncyixj", d, (coded / step).round() * step, d).reshape(n, 3, h, w)
    return torch.einsum("jk,nkhw->njhw", constant(rgb_from_ycc, img.device), back) + 128


class Captions:
    """Burned-in text, as recorders write it: a bank of drawn words."""

    def __init__(self, dice: Dice, count: int = 64) -> None:
        self.masks = []
        for _ in range(count):
            text = "".join(dice.rng.choice(list("ABCDEfghijk 0123456789:"), int(dice.rng.integers(3, 12))))
            scale, thick = dice.rng.uniform(0.4, 1.2), int(dice.rng.integers(1, 3))
            (w, h), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
            m = np.zeros((h + base + 4, w + 4), np.uint8)
            cv2.putText(m, text, (2, h + 2), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
            self.masks.append(dice.tensor(m / 255.0))

    def __call__(self, dice: Dice, img: Tensor) -> Tensor:
        for i in np.flatnonzero(dice.rng.random(len(img)) < 0.08):
            m = self.masks[int(dice.rng.integers(len(self.masks)))]
            y, x = int(dice.rng.integers(0, img.shape[2] - m.shape[0])), int(dice.rng.integers(0, img.shape[3] // 2))
            part = img[i, :, y : y + m.shape[0], x : x + m.shape[1]]
            part += m[:, : part.shape[2]] * (dice.uniform(100, 255, 3) - part)
        return img


def sensor(dice: Dice, captions: Captions, img: Tensor) -> Tensor:
    """Defocus, motion, sharpening, resampling, noise, burned-in text and compression."""
    n, _, h, w = img.shape
    kind = dice.rng.random(n)
    of = lambda lo, hi: dice.index(np.flatnonzero((kind >= lo) & (kind < hi)))
    if m := len(i := of(0, 0.2)):
        img[i] = gaussian(img[i], dice.tensor(dice.rng.uniform(0.5, 3.5, m)))
    if m := len(i := of(0.2, 0.3)):  # motion
        size = 2 * int(dice.rng.integers(1, 9)) + 1
        k = np.zeros((m, 1, size, size), np.float32)
        for j in range(m):
            d = (size - 1) / 2 * np.array([np.cos(a := dice.rng.uniform(0, np.pi)), np.sin(a)])
            ends = [tuple(np.round((size - 1) / 2 + s * d).astype(int).tolist()) for s in (-1, 1)]
            cv2.line(k[j, 0], *ends, 1.0)
        k = dice.tensor(k / k.sum((2, 3), keepdims=True)).repeat_interleave(3, 0)
        flat = F.pad(img[i].reshape(1, 3 * m, h, w), (size // 2,) * 4, mode="reflect")
        img[i] = F.conv2d(flat, k, groups=3 * m).view(m, 3, h, w)
    if m := len(i := of(0.3, 0.5)):  # sharpened
        img[i] = img[i] + dice.uniform(0.3, 1.8, m, 1) * (img[i] - gaussian(img[i], dice.tensor(dice.rng.uniform(1.0, 2.8, m))))
    if m := len(i := of(0.5, 0.65)):  # of a camera with fewer pixels
        f = dice.rng.uniform(0.35, 0.9)
        small = F.interpolate(img[i], (int(h * f), int(w * f)), mode="area")
        img[i] = F.interpolate(small, (h, w), mode="bilinear", align_corners=False)
    if m := len(i := dice.some(n, 0.5)):
        channels = 1 if dice.rng.random() < 0.4 else 3
        img[i] = img[i] + dice.uniform(0.5, 9, m, 1) * dice.grain(m, channels, h, w)
    img = captions(dice, img.clamp(0, 255))
    if m := len(i := dice.some(n, 0.3)):
        img[i] = compress(img[i], dice.tensor(np.exp(dice.rng.uniform(np.log(0.25), np.log(2.5), m))))
    return img.clamp(0, 255)


class Augment:
    """Turns pictures of the simulator into training samples. A share of them, `plain`, stays nearly as the simulator drew them."""

    def __init__(self, dice: Dice, plain: float) -> None:
        self.dice, self.plain = dice, plain
        self.noise, self.captions = Noise(dice), Captions(dice)

    def __call__(self, images: Tensor, labels: Tensor, ends: list[np.ndarray], out: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """From uint8 [n, 3, h, w] and [n, h, w], and where wrists and jaws are, to float [n, 3, *] in 0..255 and int64 [n, *] of size `out` (width, height)."""
        dice, rng, n = self.dice, self.dice.rng, len(images)
        plain = round(n * self.plain)  # the first of the batch, whose order is random
        size, wanted = np.array([images.shape[3], images.shape[2]], float), np.array(out, float)
        both = geometry.focus(rng, ends[:plain], size, wanted), geometry.wide(rng, n - plain, size, wanted)
        maps = [np.concatenate(x) for x in zip(*both)]
        img, lab = geometry.apply(images.float(), labels[:, None].float(), *maps, out, mirror=rng.random() < 0.6)
        wild, wild_lab = img[plain:].clone(), lab[plain:].clone()
        if len(i := dice.some(len(wild), 0.45)):
            wild[i] = recolour(dice, self.noise, wild[i], wild_lab[i])
        if len(i := dice.some(len(wild), 0.12)):
            wild[i] = strange_texture(dice, wild[i])
        for share in (0.3, 0.12):
            if len(i := dice.some(len(wild), share)):
                wild[i] = paste(dice, self.noise, wild[i], wild_lab[i], folds)[0]
        for share in (0.4, 0.15):
            if len(i := dice.some(len(wild), share)):
                wild[i], wild_lab[i] = paste(dice, self.noise, wild[i], wild_lab[i])
        wild = occlude(dice, self.noise, wild, wild_lab)
        wild, wild_lab = field_of_view(dice, wild, wild_lab)
        wild = light(dice, self.noise, wild)
        img, lab, half = torch.cat([img[:plain], wild]), torch.cat([lab[:plain], wild_lab]), plain // 2
        img[half:] = sensor(dice, self.captions, img[half:])
        return img.round(), lab[:, 0].long()
