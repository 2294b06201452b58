"""BlurHash: a few characters that a client shows as a blurred picture until the real one is there (MSC2448).

The algorithm is that of https://github.com/woltapp/blurhash (Algorithm.md): a discrete cosine transform in linear
light, its first components quantised and written in base 83. The packages that do it bring a C extension and have not
followed Pillow; for the thumbnail of a thumbnail plain Python is fast enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, cos, pi

MAX_COMPONENTS = 9
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"

Colour = tuple[float, float, float]


def encode(pixels: Sequence[tuple[int, int, int]], width: int, height: int, x: int, y: int) -> str:
    """The BlurHash of a picture.

    Args:
        pixels: sRGB, row by row. The work is pixels times ``x``: scale down first, to 32 pixels or so.
        x, y: components in each direction, 1 to 9.

    Returns:
        4 + 2 * ``x`` * ``y`` characters.
    """
    if not (1 <= x <= MAX_COMPONENTS and 1 <= y <= MAX_COMPONENTS):
        raise ValueError(f"a BlurHash has 1 to 9 components in each direction, got {x} and {y}")
    if not pixels or len(pixels) != width * height:
        raise ValueError(f"{len(pixels)} pixels are not {width} by {height}")
    first, *others = _transform(pixels, width, height, x, y)
    text = _base83((x - 1) + (y - 1) * 9, 1)
    maximum = 1.0
    quantised = 0
    if others:
        quantised = max(0, min(82, int(max(abs(value) for colour in others for value in colour) * 166 - 0.5)))
        maximum = (quantised + 1) / 166
    text += _base83(quantised, 1)
    red, green, blue = (_srgb(value) for value in first)
    text += _base83((red << 16) + (green << 8) + blue, 4)
    for colour in others:
        red, green, blue = (_level(value / maximum) for value in colour)
        text += _base83((red * 19 + green) * 19 + blue, 2)
    return text


def _transform(pixels: Sequence[tuple[int, int, int]], width: int, height: int, x: int, y: int) -> list[Colour]:
    """The components, row by row. The transform is separable: along the rows first, down the columns then."""
    light = [_linear(value) for value in range(256)]
    across = [[cos(pi * i * column / width) for column in range(width)] for i in range(x)]
    down = [[cos(pi * j * row / height) for row in range(height)] for j in range(y)]
    rows: list[list[Colour]] = []
    for row in range(height):
        line = [(light[r], light[g], light[b]) for r, g, b in pixels[row * width : (row + 1) * width]]
        rows.append([_weighted(line, weights) for weights in across])
    components: list[Colour] = []
    for j, weights in enumerate(down):
        for i in range(x):
            scale = (1 if i == j == 0 else 2) / (width * height)
            red, green, blue = _weighted([line[i] for line in rows], weights)
            components.append((red * scale, green * scale, blue * scale))
    return components


def _weighted(colours: Sequence[Colour], weights: Sequence[float]) -> Colour:
    red = green = blue = 0.0
    for (r, g, b), weight in zip(colours, weights, strict=True):
        red += r * weight
        green += g * weight
        blue += b * weight
    return red, green, blue


def _linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _srgb(value: float) -> int:
    share = max(0.0, min(1.0, value))
    if share <= 0.0031308:
        return int(share * 12.92 * 255 + 0.5)
    return int((1.055 * share ** (1 / 2.4) - 0.055) * 255 + 0.5)


def _level(value: float) -> int:
    return max(0, min(18, int(copysign(abs(value) ** 0.5, value) * 9 + 9.5)))


def _base83(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**place % 83] for place in reversed(range(length)))
