"""The network: a slim U-Net that looks at the whole picture's pixels and answers at half their resolution.

Input  `image`  float32 [1, 3, 480, 640], RGB, (value / 255 - mean) / std.
Output `logits` float32 [1, classes, 240, 320].

Why this shape: the cost of a convolution network on a CPU lies in its full-resolution layers, and thin things (a duct, an
artery, a jaw) are a few pixels wide. So the first layer, eight channels, sees every pixel; all thought happens at a quarter of
the resolution and below, down to 1/32 with a global context branch (which tissue this is depends on the whole picture); and
the answer, at half the resolution, is sharpened by what the first layer saw.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def conv(cin: int, cout: int, k: int = 3, stride: int = 1, groups: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution, batch normalisation (folded into the convolution at export) and ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(cin, cout, k, stride, k // 2, groups=groups, bias=False),
        nn.BatchNorm2d(cout),
    ]
    if act:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """Bottleneck block: 1x1 down, 3x3, 1x1 up, plus the input."""

    def __init__(self, c: int, inner: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(c, inner, 1), conv(inner, inner, 3), conv(inner, c, 1, act=False))
        nn.init.zeros_(self.body[2][1].weight)  # starts as the identity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.body(x))


class Context(nn.Module):
    """Adds what the whole picture says to every position."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(c, c, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fc(x.mean(dim=(2, 3), keepdim=True))


class Up(nn.Module):
    """Reduces, doubles the resolution, adds the encoder's feature map, mixes."""

    def __init__(self, cin: int, skip: int, cout: int) -> None:
        super().__init__()
        self.reduce = conv(cin, cout, 1, act=False)
        self.skip = conv(skip, cout, 1, act=False)
        self.mix = conv(cout, cout, 3)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(self.reduce(x), scale_factor=2.0, mode="nearest")
        return self.mix(F.relu(x + self.skip(skip)))


class SlimUNet(nn.Module):
    """See the module's head. Sizes must be multiples of 32. Channels at 1/2, 1/4 and so on are few where pixels are many; what
    distinguishes a jaw from the wrist it grows out of, when both fill the picture, is found at 1/16 and 1/32, where width costs little."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        c0, c1, c2, c3, c4 = 8, 16, 32, 96, 192
        self.fine = conv(3, c0, 3, 2)
        self.stem = conv(c0, c1, 3, 2)
        self.d2 = conv(c1, c2, 3, 2)
        self.e2 = nn.Sequential(*[Residual(c2, c2 // 2) for _ in range(2)])
        self.d3 = conv(c2, c3, 3, 2)
        self.e3 = nn.Sequential(*[Residual(c3, c3 // 2) for _ in range(4)])
        self.d4 = conv(c3, c4, 3, 2)
        self.e4 = nn.Sequential(*[Residual(c4, c4 // 2) for _ in range(8)], Context(c4))
        self.u3 = Up(c4, c3, c3)
        self.u2 = Up(c3, c2, c2)
        self.u1 = Up(c2, c1, c1)
        # Telling wrist from jaws takes more thought at 1/16 and 1/8 than telling organs apart.
        self.r3 = nn.Sequential(*[Residual(c3, c3 // 2) for _ in range(3)])
        self.r2 = nn.Sequential(*[Residual(c2, c2 * 3 // 4) for _ in range(2)])
        self.spread = conv(c1, c0 * 4, 1, act=False)
        self.sharpen = conv(c0, 16, 3)
        self.head = nn.Conv2d(16, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x0 = self.fine(x)
        x1 = self.stem(x0)
        x2 = self.e2(self.d2(x1))
        x3 = self.e3(self.d3(x2))
        x4 = self.e4(self.d4(x3))
        y = self.u1(self.r2(self.u2(self.r3(self.u3(x4, x3)), x2)), x1)
        y = F.relu(F.pixel_shuffle(self.spread(y), 2) + x0)
        return self.head(self.sharpen(y))
