"""Maps that are drawn here: a route, places, cars, zones. As SVG for pages, as PNG for messages; nobody else is asked.

The projection is Web Mercator (EPSG:3857), so that the tiles of a server that the operator names lie below it as they
are. The poles are drawn at its edge, and whatever crosses the date line stays in one piece. Colours stand in classes
too (``map-…``), which a page's style sheet may change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import as_file, files
from io import BytesIO
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, quoteattr

from bots.domain.places import EARTH_M, Circle, Point, Shape

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["Area", "Drawing", "Line", "Sign", "Spot", "Tiles", "View", "fit", "png", "svg"]

EDGE: Final = 85.0511287798
"""The latitude at which the projection is a square."""
LEAST_M: Final = 400.0
"""A map shows so much of the earth at least, across its shorter side."""
MARGIN: Final = 0.12
"""Of the shorter side: free on each side of what is shown."""
TILE: Final = 256
ZOOM_MAX: Final = 19
NEAR_PX: Final = 1.5
"""Points of a line that are nearer to each other are drawn as one."""
ROUND: Final = 48
"""Corners of a circle."""
FINE: Final = 2
"""A PNG is drawn so many times as large, and made smaller: that makes its edges smooth."""
BAR_MAX: Final = 0.25
"""Of the width: the bar that tells the scale is not longer."""


class Sign(StrEnum):
    """How a spot is drawn."""

    PICKUP = "pickup"
    STOP = "stop"
    DROPOFF = "dropoff"
    CAR = "car"
    """The one that the map is about; it points where it drives to, where that is known."""
    FREE = "free"
    BUSY = "busy"
    PAUSED = "paused"
    WAITING = "waiting"
    """Somebody who waits for a driver."""


BACK: Final = "#eef2f1"
GRID: Final = "#dbe3e1"
INK: Final = "#18181b"
WHITE: Final = "#ffffff"
ROUTE: Final = "#0f766e"
PAST: Final = "#94a3b8"
COLOURS: Final = {
    Sign.PICKUP: "#0f766e",
    Sign.STOP: "#57534e",
    Sign.DROPOFF: "#b45309",
    Sign.CAR: "#1d4ed8",
    Sign.FREE: "#15803d",
    Sign.BUSY: "#1d4ed8",
    Sign.PAUSED: "#78716c",
    Sign.WAITING: "#b91c1c",
}
RADII: Final = {Sign.PICKUP: 13, Sign.STOP: 11, Sign.DROPOFF: 13, Sign.CAR: 15, Sign.WAITING: 8}
SMALL: Final = 6
"""Pixels: the radius of any other sign."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Something at a place.

    Attributes:
        text: a letter or number in it, of those that every font has.
        title: what it is, for who points at it or hears it; never where somebody lives.
        heading: degrees clockwise from north; None: not known.
    """

    point: Point
    sign: Sign
    text: str = ""
    title: str = ""
    heading: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A way. ``past``: it lies behind the car."""

    points: Sequence[Point]
    past: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """A zone, and what it is called."""

    shape: Shape
    title: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a map shows. ``alt`` says it in words, for who does not see it. Later spots lie on earlier ones."""

    alt: str
    spots: Sequence[Spot] = ()
    lines: Sequence[Line] = ()
    areas: Sequence[Area] = ()

    def points(self) -> list[Point]:
        """Everything that is to be seen."""
        found = [spot.point for spot in self.spots]
        for line in self.lines:
            found += line.points
        for area in self.areas:
            found += corners(area.shape)
        return found


@dataclass(frozen=True, slots=True)
class Tiles:
    """A server of map tiles that the operator names.

    Attributes:
        url: with ``{z}``, ``{x}`` and ``{y}``.
        credit: whom its licence wants to be named.
    """

    url: str
    credit: str

    @property
    def origin(self) -> str:
        """What a page's Content-Security-Policy has to allow images of."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class View:
    """A part of the earth on a picture.

    Attributes:
        scale: pixels of the whole earth, from side to side.
        left, top: of the picture, in pixels of the whole earth.
        near: the longitude that others are unrolled to.
    """

    width: int
    height: int
    scale: float
    left: float
    top: float
    near: float

    def place(self, point: Point) -> tuple[float, float]:
        """Where a point is on the picture: pixels from its upper left corner."""
        x, y = _world(point, self.near)
        return x * self.scale - self.left, y * self.scale - self.top

    @property
    def metres_a_pixel(self) -> float:
        """In the middle of the picture."""
        y = (self.top + self.height / 2) / self.scale
        # The inverse of the projection: the scale of Mercator is the secant of the latitude.
        return 2 * math.pi * EARTH_M / self.scale / math.cosh(math.pi * (1 - 2 * y))

    @property
    def zoom(self) -> int:
        """Of the tiles that fit, where the view was made for tiles."""
        return round(math.log2(self.scale / TILE))


def _world(point: Point, near: float) -> tuple[float, float]:
    """On a square of side 1: from the west of the earth to the east, from the north to the south."""
    longitude = point.longitude + 360 * round((near - point.longitude) / 360)
    latitude = math.radians(max(-EDGE, min(EDGE, point.latitude)))
    return (longitude + 180) / 360, (1 - math.asinh(math.tan(latitude)) / math.pi) / 2


def fit(points: Sequence[Point], width: int, height: int, *, tiled: bool = False) -> View:
    """The view that shows all points, with a margin; without points the whole earth.

    Args:
        points: WGS 84.
        width, height: pixels of the picture.
        tiled: the scale is one that tiles come in.
    """
    near = points[0].longitude if points else 0.0
    found = [_world(point, near) for point in points] or [(0.0, 0.0), (1.0, 1.0)]
    west, east = min(x for x, _ in found), max(x for x, _ in found)
    north, south = min(y for _, y in found), max(y for _, y in found)
    middle = (west + east) / 2, (north + south) / 2
    free = 2 * MARGIN * min(width, height)
    # So many metres at this latitude, as a part of the whole earth.
    least = LEAST_M * math.cosh(math.pi * (1 - 2 * middle[1])) / (2 * math.pi * EARTH_M)
    scale = min(
        (width - free) / max(east - west, 1e-12),
        (height - free) / max(south - north, 1e-12),
        min(width, height) / least,
    )
    if tiled:
        scale = TILE * 2.0 ** max(0, min(ZOOM_MAX, math.floor(math.log2(scale / TILE))))
    return View(width, height, scale, middle[0] * scale - width / 2, middle[1] * scale - height / 2, near)


def corners(shape: Shape) -> list[Point]:
    """The border of a zone."""
    if not isinstance(shape, Circle):
        return list(shape.corners)
    far, found = shape.radius_m / EARTH_M, []
    latitude = math.radians(shape.centre.latitude)
    for step in range(ROUND):
        course = 2 * math.pi * step / ROUND
        sine = math.sin(latitude) * math.cos(far) + math.cos(latitude) * math.sin(far) * math.cos(course)
        north = math.asin(max(-1.0, min(1.0, sine)))
        east = math.atan2(
            math.sin(course) * math.sin(far) * math.cos(latitude), math.cos(far) - math.sin(latitude) * math.sin(north)
        )
        longitude = (shape.centre.longitude + math.degrees(east) + 540) % 360 - 180
        found.append(Point(math.degrees(north), longitude))
    return found


def _path(view: View, points: Iterable[Point]) -> list[tuple[float, float]]:
    """Where a line goes on the picture, without what nobody could tell apart. The last point is always there."""
    found: list[tuple[float, float]] = []
    last = None
    for point in points:
        last = view.place(point)
        if not found or math.dist(found[-1], last) >= NEAR_PX:
            found.append(last)
    if last is not None and found[-1] != last:
        found.append(last)
    return found


def scale_bar(view: View) -> tuple[float, str]:
    """The bar that tells the scale: its pixels, and what that is: "500 m", "2 km"."""
    most = view.width * BAR_MAX * view.metres_a_pixel
    metres = _step(most)
    text = f"{metres:g} m" if metres < 1000 else f"{metres / 1000:g} km"
    return metres / view.metres_a_pixel, text


def _step(most: float) -> float:
    """The greatest of 1, 2, 5 times a power of ten that is not above."""
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(power * each for each in (5, 2, 1) if power * each <= most * (1 + 1e-9))


def _grid(view: View) -> tuple[list[float], list[float]]:
    """Lines at whole steps of the scale bar, from the middle: they give an idea of distances where no tile does."""
    step = scale_bar(view)[0]

    def along(size: int) -> list[float]:
        first = size / 2 % step
        return [first + step * number for number in range(int((size - first) // step) + 1)]

    return along(view.width), along(view.height)


# SVG


def svg(drawing: Drawing, view: View, tiles: Tiles | None = None) -> str:
    """The map as an ``<svg>`` element, for a page. Texts are escaped.

    Args:
        tiles: lie below, where the view was made for them.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {view.width} {view.height}" class="map" role="img" '
        f"aria-label={quoteattr(drawing.alt)}>",
        f'<rect class="map-back" width="{view.width}" height="{view.height}" fill="{BACK}"/>',
        _tiles(view, tiles) if tiles is not None else _grid_svg(view),
    ]
    parts += [_area_svg(view, area) for area in drawing.areas]
    parts += [_line_svg(view, line) for line in drawing.lines if line.points]
    parts += [_spot_svg(view, spot) for spot in drawing.spots]
    parts.append(_bar_svg(view, "" if tiles is None else tiles.credit))
    return "".join([*parts, "</svg>"])


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _tiles(view: View, tiles: Tiles) -> str:
    zoom = view.zoom
    count = 2**zoom
    found = []
    for column in range(math.floor(view.left / TILE), math.floor((view.left + view.width) / TILE) + 1):
        for row in range(math.floor(view.top / TILE), math.floor((view.top + view.height) / TILE) + 1):
            if not 0 <= row < count:
                continue
            url = tiles.url.replace("{z}", str(zoom)).replace("{x}", str(column % count)).replace("{y}", str(row))
            x, y = column * TILE - view.left, row * TILE - view.top
            found.append(f'<image href={quoteattr(url)} x="{_n(x)}" y="{_n(y)}" width="{TILE}" height="{TILE}"/>')
    return "".join(found)


def _grid_svg(view: View) -> str:
    across, down = _grid(view)
    way = [f"M{_n(x)} 0V{view.height}" for x in across] + [f"M0 {_n(y)}H{view.width}" for y in down]
    return f'<path class="map-grid" d="{"".join(way)}" fill="none" stroke="{GRID}"/>'


def _area_svg(view: View, area: Area) -> str:
    way = "L".join(f"{_n(x)} {_n(y)}" for x, y in _path(view, corners(area.shape)))
    return (
        f'<path class="map-area" d="M{way}Z" fill="{ROUTE}" fill-opacity="0.08" stroke="{ROUTE}" '
        f'stroke-opacity="0.6" stroke-dasharray="6 4">{_title(area.title)}</path>'
    )


def _line_svg(view: View, line: Line) -> str:
    way = "L".join(f"{_n(x)} {_n(y)}" for x, y in _path(view, line.points))
    name, colour = ("map-past", PAST) if line.past else ("map-route", ROUTE)
    return (
        f'<path class="{name}" d="M{way}" fill="none" stroke="{colour}" stroke-width="5" '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def _spot_svg(view: View, spot: Spot) -> str:
    x, y = view.place(spot.point)
    colour, radius = COLOURS[spot.sign], RADII.get(spot.sign, SMALL)
    inner = f'<circle r="{radius}" fill="{colour}" stroke="{WHITE}" stroke-width="2"/>'
    if spot.sign is Sign.CAR:
        way = "L".join(f"{_n(across)} {_n(down)}" for across, down in _arrow(radius))
        inner += f'<path d="M{way}Z" fill="{WHITE}" transform="rotate({_n(spot.heading or 0)})"/>'
    elif spot.text:
        inner += (
            f'<text y="0.36em" text-anchor="middle" font-family="sans-serif" font-weight="bold" '
            f'font-size="{radius + 2}" fill="{WHITE}">{escape(spot.text)}</text>'
        )
    move = f'transform="translate({_n(x)} {_n(y)})"'
    return f'<g class="map-spot map-{spot.sign.value}" {move}>{_title(spot.title)}{inner}</g>'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _arrow(radius: float) -> list[tuple[float, float]]:
    """The arrow of a car that drives north, around its middle."""
    return [(0.0, -radius * 0.62), (radius * 0.5, radius * 0.5), (0.0, radius * 0.22), (-radius * 0.5, radius * 0.5)]


def _bar_svg(view: View, credit: str) -> str:
    length, text = scale_bar(view)
    y = view.height - 14
    bar = (
        f'<path class="map-ink" d="M12 {y - 6}V{y}H{_n(12 + length)}V{y - 6}" fill="none" stroke="{INK}" '
        'stroke-width="2"/>'
        f'<text class="map-words" x="16" y="{y - 6}" font-family="sans-serif" font-size="13" fill="{INK}" '
        f'stroke="{BACK}" stroke-width="3" paint-order="stroke">{text}</text>'
    )
    if not credit:
        return bar
    return bar + (
        f'<text class="map-words" x="{view.width - 8}" y="{view.height - 8}" text-anchor="end" '
        f'font-family="sans-serif" font-size="11" fill="{INK}" stroke="{BACK}" stroke-width="3" '
        f'paint-order="stroke">{escape(credit)}</text>'
    )


# PNG


def png(drawing: Drawing, view: View) -> bytes:
    """The map as a PNG of the view's size. Slow enough for a thread."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (view.width * FINE, view.height * FINE), BACK)
    pen = ImageDraw.Draw(image, "RGBA")
    across, down = _grid(view)
    for x in across:
        pen.line([(x * FINE, 0), (x * FINE, view.height * FINE)], fill=GRID, width=FINE)
    for y in down:
        pen.line([(0, y * FINE), (view.width * FINE, y * FINE)], fill=GRID, width=FINE)
    for area in drawing.areas:
        ring = _path(view, corners(area.shape))
        pen.polygon([(x * FINE, y * FINE) for x, y in ring], fill=(15, 118, 110, 20), outline=(15, 118, 110, 150))
    for line in drawing.lines:
        _line_png(pen, view, line)
    for spot in drawing.spots:
        _spot_png(pen, view, spot)
    _bar_png(pen, view)
    out = BytesIO()
    image.resize((view.width, view.height), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()


def _line_png(pen: ImageDraw, view: View, line: Line) -> None:
    way = [(x * FINE, y * FINE) for x, y in _path(view, line.points)]
    colour, wide = (PAST if line.past else ROUTE), 5 * FINE
    if len(way) > 1:
        pen.line(way, fill=colour, width=wide, joint="curve")
    for x, y in (*way[:1], *way[-1:]):  # round ends
        pen.ellipse((x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2), fill=colour)


def _spot_png(pen: ImageDraw, view: View, spot: Spot) -> None:
    x, y = (each * FINE for each in view.place(spot.point))
    radius = RADII.get(spot.sign, SMALL) * FINE
    box = (x - radius, y - radius, x + radius, y + radius)
    pen.ellipse(box, fill=COLOURS[spot.sign], outline=WHITE, width=2 * FINE)
    if spot.sign is Sign.CAR:
        turn = math.radians(spot.heading or 0)
        arrow = [
            (x + across * math.cos(turn) - down * math.sin(turn), y + across * math.sin(turn) + down * math.cos(turn))
            for across, down in _arrow(radius)
        ]
        pen.polygon(arrow, fill=WHITE)
    elif spot.text:
        _write(pen, (x, y), spot.text, (RADII.get(spot.sign, SMALL) + 2) * FINE, WHITE, "mm", bold=True)


def _bar_png(pen: ImageDraw, view: View) -> None:
    length, text = scale_bar(view)
    left, base = 12 * FINE, (view.height - 14) * FINE
    right, up = left + length * FINE, 6 * FINE
    pen.line([(left, base - up), (left, base), (right, base), (right, base - up)], fill=INK, width=2 * FINE)
    _write(pen, (left + 4 * FINE, base - up), text, 13 * FINE, INK, "ls")


def _write(
    pen: ImageDraw, at: tuple[float, float], text: str, size: int, colour: str, anchor: str, *, bold: bool = False
) -> None:
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    with as_file(files("bots.payments") / "fonts" / name) as file:
        pen.text(at, text, font=ImageFont.truetype(file, size), fill=colour, anchor=anchor)
