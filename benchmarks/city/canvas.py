"""Charts and maps drawn with Pillow: twice as large as they become, so that lines are smooth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont

__all__ = ["INK", "PALETTE", "Axes", "Canvas", "shade"]

Colour = tuple[int, int, int]

SCALE: Final = 2
INK: Final[Colour] = (38, 43, 51)
SOFT: Final[Colour] = (120, 128, 140)
GRID: Final[Colour] = (228, 231, 236)
PAPER: Final[Colour] = (255, 255, 255)
PALETTE: Final[dict[str, Colour]] = {
    "blue": (46, 109, 180),
    "teal": (42, 157, 143),
    "sand": (233, 196, 106),
    "orange": (231, 138, 72),
    "red": (200, 67, 73),
    "grey": (196, 202, 210),
}
RAMP: Final[tuple[Colour, ...]] = ((253, 245, 214), (250, 205, 125), (240, 140, 80), (205, 70, 85), (110, 30, 95))


def shade(share: float) -> Colour:
    """A colour from light (0) to dark (1)."""
    at = min(max(share, 0.0), 1.0) * (len(RAMP) - 1)
    first = min(int(at), len(RAMP) - 2)
    part = at - first
    one, other = RAMP[first], RAMP[first + 1]
    return (
        round(one[0] + part * (other[0] - one[0])),
        round(one[1] + part * (other[1] - one[1])),
        round(one[2] + part * (other[2] - one[2])),
    )


class Canvas:
    """A sheet; lengths are pixels of the picture as it is saved."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._image = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def text(self, x: float, y: float, text: str, *, size: int = 13, colour: Colour = INK, anchor: str = "la") -> None:
        """Text; ``anchor`` as Pillow has it: "la" is its upper left corner, "rm" the middle of its right side."""
        font = ImageFont.load_default(size * SCALE)
        self._draw.text((x * SCALE, y * SCALE), text, fill=colour, font=font, anchor=anchor)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float = 1) -> None:
        """A line through points."""
        at = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(at, fill=colour, width=max(round(width * SCALE), 1), joint="curve")

    def area(self, points: Sequence[tuple[float, float]], colour: Colour, edge: Colour | None = None) -> None:
        """A filled shape."""
        self._draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=colour, outline=edge)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle."""
        corners = (left * SCALE, top * SCALE, right * SCALE - 1, bottom * SCALE - 1)
        if corners[2] >= corners[0] and corners[3] >= corners[1]:
            self._draw.rectangle(corners, fill=colour)

    def legend(self, x: float, y: float, entries: Sequence[tuple[str, Colour]]) -> None:
        """Squares with names, one after the other, from the left."""
        font = ImageFont.load_default(12 * SCALE)
        for name, colour in entries:
            self.box(x, y, x + 11, y + 11, colour)
            self.text(x + 16, y + 5.5, name, size=12, anchor="lm")
            x += 16 + self._draw.textlength(name, font=font) / SCALE + 18

    def save(self, path: str) -> None:
        """Write it down as PNG."""
        self._image.resize(self._size, Image.Resampling.LANCZOS).quantize(128, dither=Image.Dither.NONE).save(
            path, optimize=True
        )


@dataclass(frozen=True, slots=True)
class Axes:
    """A chart on a canvas: hours of a day to the right, some quantity upwards from 0.

    Attributes:
        top: the quantity at the upper end; ``step``: between two lines of the grid.
        words: how a quantity is written.
    """

    canvas: Canvas
    left: float
    upper: float
    width: float
    height: float
    top: float
    step: float
    title: str
    words: Callable[[float], str]

    def x(self, hour: float) -> float:
        """Where an hour is."""
        return self.left + self.width * hour / 24

    def y(self, value: float) -> float:
        """Where a quantity is; what is beyond the top is at it."""
        return self.upper + self.height * (1 - min(value / self.top, 1.0))

    def frame(self) -> None:
        """Title, grid and numbers."""
        self.canvas.text(self.left, self.upper - 30, self.title, size=16)
        value = 0.0
        while value <= self.top * 1.0001:
            self.canvas.line([(self.left, self.y(value)), (self.left + self.width, self.y(value))], GRID)
            self.canvas.text(self.left - 8, self.y(value), self.words(value), size=12, colour=SOFT, anchor="rm")
            value += self.step
        for hour in range(0, 25, 3):
            self.canvas.text(
                self.x(hour), self.upper + self.height + 6, f"{hour}:00", size=12, colour=SOFT, anchor="ma"
            )

    def curve(self, points: Sequence[tuple[float, float]], colour: Colour, width: float = 2.2) -> None:
        """A line through (hour, quantity)."""
        if len(points) > 1:
            self.canvas.line([(self.x(hour), self.y(value)) for hour, value in points], colour, width)

    def stack(self, hours: Sequence[float], layers: Sequence[tuple[Sequence[float], Colour]]) -> None:
        """Areas upon each other."""
        floor = [0.0] * len(hours)
        for values, colour in layers:
            top = [low + value for low, value in zip(floor, values, strict=True)]
            upper = [(self.x(hour), self.y(value)) for hour, value in zip(hours, top, strict=True)]
            lower = [(self.x(hour), self.y(value)) for hour, value in zip(hours, floor, strict=True)]
            self.canvas.area([*upper, *reversed(lower)], colour)
            floor = top
