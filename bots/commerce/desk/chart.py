"""A chart of what was sold, drawn as a PNG. Numbers only: it needs no language and no font but its own.

Slow enough for a thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from importlib.resources import as_file, files
from io import BytesIO
from typing import TYPE_CHECKING, Final

from bots.domain.money import Money

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

WIDTH: Final = 1200
HEIGHT: Final = 630
RIGHT, TOP, BOTTOM = 40, 70, 80
BACK: Final = (255, 255, 255)
INK: Final = (24, 24, 27)
GREY: Final = (105, 105, 115)
RULE: Final = (226, 226, 231)
BAR: Final = (15, 118, 110)
BEST: Final = (180, 83, 9)
LINES: Final = 4
BETWEEN: Final = 8
"""Pixels between two labels."""

__all__ = ["draw"]


def draw(bars: Sequence[tuple[str, Money]], currency: str) -> bytes:
    """The chart.

    Args:
        bars: a short label and an amount for each, in order; amounts are not below nought.
        currency: named at the axis.
    """
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, HEIGHT), BACK)
    pen = ImageDraw.Draw(image)
    small, large = _font(22), _font(26)
    amounts = [amount.amount for _label, amount in bars]
    step = _step(max([*amounts, Decimal(0)]))
    top = step * LINES
    left_edge = round(max(small.getlength(_plain(step * line)) for line in range(LINES + 1))) + 50
    pen.text((left_edge, 20), currency, font=large, fill=INK)
    for line in range(LINES + 1):
        value = step * line
        y = _y(value, top)
        pen.line([(left_edge, y), (WIDTH - RIGHT, y)], fill=GREY if line == 0 else RULE, width=2)
        pen.text((left_edge - 14, y), _plain(value), font=small, fill=GREY, anchor="rm")
    wide = (WIDTH - left_edge - RIGHT) / max(len(bars), 1)
    room = max((small.getlength(label) for label, _amount in bars), default=0) + BETWEEN
    every = max(1, math.ceil(room / wide))
    best = max(amounts, default=Decimal(0))
    for index, ((label, _amount), value) in enumerate(zip(bars, amounts, strict=True)):
        left = left_edge + index * wide
        if value > 0:
            box = (left + wide * 0.15, min(_y(value, top), HEIGHT - BOTTOM - 2), left + wide * 0.85, HEIGHT - BOTTOM)
            pen.rectangle(box, fill=BEST if value == best else BAR)
        if index % every == 0:
            pen.text((left + wide / 2, HEIGHT - BOTTOM + 14), label, font=small, fill=GREY, anchor="ma")
    for index, value in enumerate(amounts):
        if value == best and value > 0:
            middle = min(max(left_edge + (index + 0.5) * wide, left_edge + 40), WIDTH - RIGHT - 60)
            pen.text((middle, _y(value, top) - 8), _plain(value), font=small, fill=INK, anchor="mb")
            break
    out = BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _y(value: Decimal, top: Decimal) -> float:
    return HEIGHT - BOTTOM - float(value / top) * (HEIGHT - TOP - BOTTOM)


def _step(most: Decimal) -> Decimal:
    """The least of 1, 2, 2.5, 5 times a power of ten of which :data:`LINES` hold the most."""
    if most <= 0:
        return Decimal(1)
    power = Decimal(10) ** (most / LINES).adjusted()
    return next(power * each for each in (1, 2, Decimal("2.5"), 5, 10) if power * each * LINES >= most)


def _plain(value: Decimal) -> str:
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _font(size: int) -> FreeTypeFont:
    from PIL import ImageFont

    with as_file(files("bots.payments") / "fonts" / "DejaVuSans.ttf") as file:
        return ImageFont.truetype(file, size)
