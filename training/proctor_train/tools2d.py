"""Flat drawings of instruments, pasted into training samples: more kinds of tool than the simulator models.

A tool is a shaft from outside the picture, a wrist, and one or two jaws (or a hook), each a polygon with a cylinder's
shading across its axis. It is no geometry to learn poses from; it teaches that tools come in any colour and length.
"""

from __future__ import annotations

import cv2
import numpy as np

from .classes import BACKGROUND, JAWS, SHAFT, WRIST


def _part(rng, img, lab, noise, p, q, r0, r1, colour, shine, value) -> None:
    """Draws one tapered cylinder from p to q (pixels) with radii r0, r1; changes img and lab in place."""
    h, w = lab.shape
    d = q - p
    length = max(float(np.hypot(*d)), 1e-3)
    d = d / length
    n = np.array([-d[1], d[0]])
    poly = np.stack([p + n * r0, q + n * r1, q - n * r1, p - n * r0])
    lo = np.maximum(np.floor(poly.min(0)).astype(int) - 2, 0)
    hi = np.minimum(np.ceil(poly.max(0)).astype(int) + 3, [w, h])
    if (hi - lo).min() <= 1:
        return
    x0, y0 = lo
    mask = np.zeros((hi[1] - y0, hi[0] - x0), np.uint8)
    cv2.fillConvexPoly(mask, np.round((poly - lo) * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    yy, xx = np.mgrid[y0 : hi[1], x0 : hi[0]].astype(np.float32)
    along = (xx - p[0]) * d[0] + (yy - p[1]) * d[1]
    across = (xx - p[0]) * n[0] + (yy - p[1]) * n[1]
    radius = r0 + (r1 - r0) * np.clip(along / length, 0, 1)
    s = np.clip(across / np.maximum(radius, 0.5), -1, 1)
    shade = np.sqrt(np.clip(1.02 - s * s, 0, 1)) * rng.uniform(0.5, 0.9) + rng.uniform(0.05, 0.3)
    peak, width = rng.uniform(-0.6, 0.6), rng.uniform(0.05, 0.25)
    gloss = shine * np.exp(-(((s - peak) / width) ** 2))
    if rng.random() < 0.3:  # bands, rings, knurling
        shade = shade * (1 - rng.uniform(0.1, 0.5) * (np.sin(along / rng.uniform(1.0, 6.0)) > rng.uniform(0, 0.9)))
    grain = 1 + rng.uniform(0, 0.25) * noise(rng, h, w)[y0 : hi[1], x0 : hi[0]]
    fill = np.clip((colour * (shade * grain)[..., None]) + (gloss * 255)[..., None], 0, 255)
    a = (mask.astype(np.float32) / 255)[..., None]
    view = img[y0 : hi[1], x0 : hi[0]]
    view += a * (fill - view)
    lab[y0 : hi[1], x0 : hi[0]][mask > 127] = value


def paste_tool(rng: np.random.Generator, img: np.ndarray, lab: np.ndarray, noise) -> tuple[np.ndarray, np.ndarray]:
    """Draws one random tool; the field of view's black surround stays black."""
    h, w = lab.shape
    seen = lab != BACKGROUND
    before, out, lab = img, img.copy(), lab.copy()
    tip = np.array([rng.uniform(0.15, 0.85) * w, rng.uniform(0.15, 0.85) * h])
    # Tools come from the sides and from below more often than from above.
    angle = rng.choice([rng.normal(0.3, 0.45), np.pi - rng.normal(0.3, 0.45), rng.uniform(0, 2 * np.pi)])
    out_dir = np.array([np.cos(angle), np.sin(angle)])
    radius = w * np.exp(rng.uniform(np.log(0.018), np.log(0.065)))
    metal = np.full(3, rng.uniform(70, 245)) * np.exp(rng.normal(0, 0.06, 3))
    kind = rng.random()
    if kind < 0.45:
        shaft_colour = np.full(3, rng.uniform(8, 90)) * np.exp(rng.normal(0, 0.08, 3))
    elif kind < 0.8:
        shaft_colour = metal * rng.uniform(0.7, 1.1)
    else:
        shaft_colour = rng.uniform(20, 230, 3)
    shine = rng.uniform(0.0, 0.7)
    jaw_len, wrist_len = radius * rng.uniform(1.5, 5.0), radius * rng.uniform(0.6, 3.5)
    bend, bend2 = rng.normal(0, 0.35), rng.normal(0, 0.35)

    def turn(v, a):
        return np.array([v[0] * np.cos(a) - v[1] * np.sin(a), v[0] * np.sin(a) + v[1] * np.cos(a)])

    yaw = tip + turn(out_dir, bend + bend2) * jaw_len
    pitch = yaw + turn(out_dir, bend) * wrist_len
    far = pitch + out_dir * 2 * w
    taper = rng.uniform(1.0, 1.5)  # nearer the camera the shaft looks thicker
    has_wrist = rng.random() < 0.75
    _part(rng, out, lab, noise, pitch, far, radius, radius * (1 + (taper - 1) * 3), shaft_colour, shine, SHAFT)
    r = radius * rng.uniform(0.75, 1.0)
    _part(rng, out, lab, noise, pitch, yaw, r, r * 0.9, metal if has_wrist else shaft_colour, shine,
          WRIST if has_wrist else SHAFT)
    jaw_r = radius * rng.uniform(0.25, 0.6)
    if rng.random() < 0.25:  # hook
        knee = yaw + (tip - yaw) * 0.8
        _part(rng, out, lab, noise, yaw, knee, jaw_r * 0.7, jaw_r * 0.5, metal, shine, JAWS)
        _part(rng, out, lab, noise, knee, knee + turn(tip - yaw, rng.choice([-1.4, 1.4])) * 0.4, jaw_r * 0.5, jaw_r * 0.4,
              metal, shine, JAWS)
    else:
        opening = abs(rng.normal(0, 0.3))
        for side in (-1, 1):
            end = yaw + turn(tip - yaw, side * opening)
            _part(rng, out, lab, noise, yaw, end, jaw_r, jaw_r * rng.uniform(0.2, 0.9), metal * rng.uniform(0.8, 1.1),
                  shine, JAWS)
    if rng.random() < 0.4:  # a contact shadow
        m = (lab >= SHAFT) & (lab <= JAWS)
        off = rng.integers(-8, 9, 2)
        shadow = cv2.GaussianBlur(np.roll(m, tuple(off), (0, 1)).astype(np.float32), (0, 0), 3) * ~m
        out *= 1 - rng.uniform(0.2, 0.6) * shadow[..., None]
    lab[~seen] = BACKGROUND
    out = np.where(seen[..., None], out, before)
    return out, lab
