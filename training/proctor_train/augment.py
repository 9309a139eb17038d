"""Appearance and geometry randomisation: what makes a model that saw only the simulator useful elsewhere.

Every function takes and returns an RGB picture (float32 [h, w, 3] in 0..255) and, where geometry changes, its label
image (uint8 [h, w]). Randomness comes only from the generator passed in, so a seed fixes the stream of samples.
"""

from __future__ import annotations

import cv2
import numpy as np

from .classes import BACKGROUND, JAWS, NAMES, SHAFT
from .tools2d import paste_tool

Rng = np.random.Generator
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Noise:
    """A bank of smooth multi-octave noise fields in about [-1, 1], made once and reused cropped, flipped and scaled."""

    def __init__(self, rng: Rng, count: int = 48, size: int = 384) -> None:
        self.size = size
        self.fields = [self._make(rng, size) for _ in range(count)]

    @staticmethod
    def _make(rng: Rng, size: int) -> np.ndarray:
        field = np.zeros((size, size), np.float32)
        cells, gain = int(rng.integers(2, 12)), 1.0
        for _ in range(5):
            grid = rng.standard_normal((cells + 2, cells + 2)).astype(np.float32)
            field += gain * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
            cells, gain = min(cells * 2, size // 2), gain * rng.uniform(0.35, 0.75)
        if rng.random() < 0.4:  # ridges: vessels, folds
            field = 1.0 - np.abs(field) * rng.uniform(1.5, 4.0)
        field -= field.mean()
        return np.clip(field / (field.std() + 1e-6) * 0.5, -1.5, 1.5)

    def __call__(self, rng: Rng, h: int, w: int) -> np.ndarray:
        f = self.fields[int(rng.integers(len(self.fields)))]
        y, x = int(rng.integers(0, self.size - h + 1)), int(rng.integers(0, self.size - w + 1))
        f = f[y : y + h, x : x + w]
        return f[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]


def warp(rng: Rng, img: np.ndarray, lab: np.ndarray, out_w: int, out_h: int) -> tuple[np.ndarray, np.ndarray]:
    """Random flip, rotation, scale, shear and shift into a picture of the wanted size."""
    h, w = lab.shape
    base = out_w / w
    flip = -1.0 if rng.random() < 0.5 else 1.0
    if rng.random() < 0.9:
        # Up to 1 the whole picture fits in; above, it is a crop at higher magnification.
        scale = base * np.exp(rng.uniform(np.log(0.8), np.log(3.5 if rng.random() < 0.15 else 1.9)))
        turn = np.deg2rad(rng.normal(0.0, 18.0) + (180.0 if rng.random() < 0.1 else 0.0))
        shear = rng.normal(0.0, 0.08, 2)
        aspect = np.exp(rng.normal(0.0, 0.12))
    else:
        scale, turn, shear, aspect = max(base, 1.0), 0.0, np.zeros(2), 1.0
    c, s = np.cos(turn), np.sin(turn)
    m = np.array([[c, -s], [s, c]]) @ np.array([[1, shear[0]], [shear[1], 1]]) @ np.diag([flip * aspect, 1 / aspect])
    m *= scale
    room = np.maximum(0.0, np.array([w, h]) * scale - np.array([out_w, out_h])) / 2 + 0.06 * out_w
    shift = np.array([out_w, out_h]) / 2 + rng.uniform(-1, 1, 2) * room - m @ (np.array([w, h]) / 2)
    a = np.column_stack([m, shift])
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.6 else cv2.BORDER_CONSTANT
    img = cv2.warpAffine(img, a, (out_w, out_h), flags=cv2.INTER_LINEAR, borderMode=border)
    lab = cv2.warpAffine(lab, a, (out_w, out_h), flags=cv2.INTER_NEAREST, borderMode=border)
    return img, lab


def focus(rng: Rng, img: np.ndarray, lab: np.ndarray, out_w: int, out_h: int) -> tuple[np.ndarray, np.ndarray]:
    """A nearly undistorted cut-out, more often than not around the end of an instrument: little of a picture is wrist or jaws."""
    h, w = lab.shape
    scale, turn = np.exp(rng.uniform(np.log(0.9), np.log(1.25))), np.deg2rad(rng.normal(0.0, 8.0))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    at = np.array([rng.uniform(0, w), rng.uniform(0, h)])
    ends = np.flatnonzero(lab > SHAFT) if rng.random() < 0.65 else np.empty(0)
    if len(ends):
        pixel = int(ends[rng.integers(len(ends))])
        at = np.array([pixel % w, pixel // w]) + rng.normal(0, 0.12, 2) * [out_w, out_h]
    # The cut-out stays inside the picture as far as it fits.
    half = np.array([out_w, out_h]) / (2 * scale)
    size = np.array([w, h])
    at = np.where(2 * half >= size, size / 2 + rng.uniform(-1, 1, 2) * (half - size / 2), np.clip(at, half, size - half))
    c, s = np.cos(turn), np.sin(turn)
    m = scale * np.array([[c, -s], [s, c]]) @ np.diag([flip, 1.0])
    a = np.column_stack([m, np.array([out_w, out_h]) / 2 - m @ at])
    img = cv2.warpAffine(img, a, (out_w, out_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    lab = cv2.warpAffine(lab, a, (out_w, out_h), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
    return img, lab


def recolour(rng: Rng, img: np.ndarray, lab: np.ndarray, noise: Noise) -> np.ndarray:
    """Gives every region its own random gain, tint, saturation and texture: shape and shading stay, colour does not."""
    h, w = lab.shape
    n = len(NAMES)
    gain = np.ones((n, 3), np.float32)
    saturation = np.ones((n, 1), np.float32)
    grain = np.zeros((n, 1), np.float32)
    for k in np.unique(lab):
        if k == BACKGROUND or rng.random() < 0.35:
            continue
        grain[k] = rng.uniform(0.0, 0.4)
        if SHAFT <= k <= JAWS:
            spread = 0.6 if rng.random() < 0.15 else 0.10  # plastic: blue, white, green, yellow
            gain[k] = np.exp(rng.normal(0.0, 0.55) + rng.normal(0.0, spread, 3))
            saturation[k] = rng.uniform(0.0, 1.2)
        else:
            gain[k] = np.exp(rng.normal(0.0, 0.22) + rng.normal(0.0, 0.10, 3))
            saturation[k] = np.exp(rng.normal(0.0, 0.15))
    grey = (img @ LUMA)[..., None]
    img = grey + (img - grey) * saturation[lab]
    texture = 1.0 + grain[lab] * noise(rng, h, w)[..., None]
    if rng.random() < 0.3:  # coloured mottling
        texture = texture + rng.normal(0.0, 0.12, 3).astype(np.float32) * noise(rng, h, w)[..., None]
    img = img * cv2.blur(gain[lab], (3, 3)) * texture
    if rng.random() < 0.25:  # polished metal: contrast around its mean
        tool = (lab >= SHAFT) & (lab <= JAWS)
        if tool.any():
            mean = img[tool].mean(0)
            img[tool] = mean + (img[tool] - mean) * rng.uniform(1.2, 2.5)
    return np.clip(img, 0, 255).astype(np.float32)


def occlude(rng: Rng, img: np.ndarray, lab: np.ndarray, noise: Noise) -> np.ndarray:
    """Highlights, blood, smoke and unknown objects: things that cover the picture without being a class."""
    h, w = lab.shape
    if rng.random() < 0.4:  # wet highlights
        n = noise(rng, h, w)
        m = np.clip((n - rng.uniform(0.7, 1.2)) * rng.uniform(2, 8), 0, 1) * (lab != BACKGROUND)
        img = img + (m * rng.uniform(80, 255))[..., None]
    if rng.random() < 0.2:  # blood, also on instruments
        m = np.clip((noise(rng, h, w) - rng.uniform(0.0, 0.9)) * 6, 0, 1) * rng.uniform(0.3, 0.9)
        m = m * (lab != BACKGROUND)
        colour = np.array([rng.uniform(60, 160), rng.uniform(0, 30), rng.uniform(0, 25)], np.float32)
        img = img + m[..., None] * (colour * (0.4 + img.mean(2, keepdims=True) / 128) - img)
    if rng.random() < 0.15:  # smoke
        m = np.clip(0.5 + 0.5 * noise(rng, h, w), 0, 1) * rng.uniform(0.1, 0.6)
        img = img + m[..., None] * (rng.uniform(120, 230) - img)
    if rng.random() < 0.12:  # unknown object: gauze, clip, thread
        y, x = np.mgrid[0:h, 0:w].astype(np.float32)
        cx, cy = rng.uniform(0, w), rng.uniform(0, h)
        r = ((x - cx) / rng.uniform(5, 40)) ** 2 + ((y - cy) / rng.uniform(5, 40)) ** 2
        m = np.clip((1 + 0.5 * noise(rng, h, w) - r) * 8, 0, 1) * (lab != BACKGROUND)
        colour = rng.uniform(0, 255, 3) * 0.5 + rng.uniform(0, 128)
        img = img + m[..., None] * (colour * (1 + 0.2 * noise(rng, h, w)[..., None]) - img)
    if rng.random() < 0.1:  # rectangles of noise
        for _ in range(int(rng.integers(1, 4))):
            rw, rh = int(rng.integers(4, w // 6)), int(rng.integers(4, h // 6))
            px, py = int(rng.integers(0, w - rw)), int(rng.integers(0, h - rh))
            img[py : py + rh, px : px + rw] = rng.uniform(0, 255, 3)
    return np.clip(img, 0, 255).astype(np.float32)


def field_of_view(rng: Rng, img: np.ndarray, lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Circular masks, and black borders, as recorded videos have them."""
    h, w = lab.shape
    if rng.random() < 0.3:
        m = np.zeros((h, w), np.uint8)
        centre = (int(w * rng.normal(0.5, 0.04)), int(h * rng.normal(0.5, 0.04)))
        cv2.circle(m, centre, int(w * rng.uniform(0.4, 0.62)), 255, -1)
        inside = m > 127
        soft = cv2.GaussianBlur(m, (0, 0), rng.uniform(0.5, 3.0)).astype(np.float32)[..., None] / 255
        img = img * soft + (1 - soft) * rng.uniform(0, 14, 3).astype(np.float32)
        lab = np.where(inside, lab, np.uint8(BACKGROUND))
    if rng.random() < 0.08:
        level, cut = rng.uniform(0, 10), int(rng.uniform(0.03, 0.2) * w)
        where = (slice(None), slice(0, cut)) if rng.random() < 0.5 else (slice(None), slice(w - cut, w))
        if rng.random() < 0.4:
            where = (slice(0, int(h * 0.15)), slice(0, cut))
        img, lab = img.copy(), lab.copy()
        img[where], lab[where] = level, BACKGROUND
    return img, lab


def light(rng: Rng, img: np.ndarray, noise: Noise) -> np.ndarray:
    """Exposure, gamma, white balance, hue, saturation and uneven light."""
    h, w = img.shape[:2]
    if rng.random() < 0.5:
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
        r = (x - rng.normal(0, 0.4)) ** 2 + (y - rng.normal(0, 0.4)) ** 2
        img = img * np.exp(-rng.uniform(-0.2, 0.9) * r)[..., None]
    if rng.random() < 0.25:
        img = img * np.exp(0.4 * rng.random() * noise(rng, h, w))[..., None]
    img = np.clip(img, 0, 255).astype(np.float32)
    if rng.random() < 0.6:
        hsv = cv2.cvtColor(img / 255.0, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + rng.normal(0.0, 7.0)) % 360.0
        hsv[..., 1] = np.clip(hsv[..., 1] * np.exp(rng.normal(0.0, 0.25)), 0, 1)
        img = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255.0
    img = img * np.exp(rng.normal(0.0, 0.08, 3)).astype(np.float32)
    level = np.arange(256, dtype=np.float32) / 255.0
    curve = level ** np.exp(rng.normal(0.0, 0.2)) * 255.0 * np.exp(rng.normal(0.0, 0.2)) + rng.normal(0, 6)
    return curve.astype(np.float32)[np.clip(img, 0, 255).astype(np.uint8)]


def sensor(rng: Rng, img: np.ndarray) -> np.ndarray:
    """Defocus, motion, sharpening, resampling, noise, burned-in text and compression; returns uint8."""
    h, w = img.shape[:2]
    kind = rng.random()
    if kind < 0.2:
        img = cv2.GaussianBlur(img, (0, 0), rng.uniform(0.4, 2.0))
    elif kind < 0.3:
        n = int(rng.integers(3, 11))
        k = np.zeros((n, n), np.float32)
        angle, mid = rng.uniform(0, np.pi), (n - 1) / 2
        d = np.array([np.cos(angle), np.sin(angle)]) * mid
        cv2.line(k, tuple(np.round(mid - d).astype(int).tolist()), tuple(np.round(mid + d).astype(int).tolist()), 1.0)
        img = cv2.filter2D(img, -1, k / k.sum())
    elif kind < 0.5:
        img = img + rng.uniform(0.3, 1.8) * (img - cv2.GaussianBlur(img, (0, 0), rng.uniform(0.7, 1.6)))
    elif kind < 0.6:
        f = rng.uniform(0.4, 0.9)
        img = cv2.resize(cv2.resize(img, (int(w * f), int(h * f)), interpolation=cv2.INTER_AREA), (w, h))
    if rng.random() < 0.5:
        sigma = rng.uniform(0.5, 9.0)
        grain = rng.standard_normal((h, w, 1 if rng.random() < 0.4 else 3), dtype=np.float32)
        img = img + sigma * grain
    img = np.clip(img, 0, 255).astype(np.uint8)
    if rng.random() < 0.08:
        text = "".join(rng.choice(list("ABCDEfghijk 0123456789:"), int(rng.integers(3, 12))))
        cv2.putText(img, text, (int(rng.integers(0, w // 2)), int(rng.integers(10, h))), cv2.FONT_HERSHEY_SIMPLEX,
                    rng.uniform(0.2, 0.6), rng.uniform(100, 255, 3).tolist(), 1, cv2.LINE_AA)
    if rng.random() < 0.3:
        ok, data = cv2.imencode(".jpg", img, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))])
        if ok:
            img = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return img


def augment(rng: Rng, img: np.ndarray, lab: np.ndarray, noise: Noise, size: tuple[int, int], plain_share: float) -> tuple[np.ndarray, np.ndarray]:
    """One training sample of `size` (width, height) from a picture (uint8 RGB) and its labels."""
    plain = rng.random() < plain_share  # some samples stay as the simulator drew them
    img, lab = (focus if plain else warp)(rng, img, lab, *size)
    img = img.astype(np.float32)
    if not plain and rng.random() < 0.4:
        img = recolour(rng, img, lab, noise)
    for _ in range(0 if plain else int(rng.choice([0, 1, 2], p=[0.7, 0.22, 0.08]))):
        img, lab = paste_tool(rng, img, lab, noise)
    if not plain:
        img = occlude(rng, img, lab, noise)
        img, lab = field_of_view(rng, img, lab)
        img = light(rng, img, noise)
    return np.clip(img, 0, 255).astype(np.uint8) if plain and rng.random() < 0.5 else sensor(rng, img), lab
