"""Lines as text: the encoded polyline algorithm, as Valhalla (6 decimal places) and OSRM (5 or 6) write them."""

from __future__ import annotations

from bots.domain.places import PlaceError, Point

__all__ = ["decoded", "encoded"]


def decoded(text: str, places: int = 6) -> tuple[Point, ...]:
    """The points of a line. Raises ValueError for what is none."""
    scale = 10**places
    points: list[Point] = []
    values = [0, 0]
    which = bits = shift = 0
    for letter in text:
        piece = ord(letter) - 63
        if not 0 <= piece < 64 or shift > 30:
            raise ValueError("that is no line")
        bits |= (piece & 31) << shift
        shift += 5
        if piece >= 32:
            continue
        values[which] += ~(bits >> 1) if bits & 1 else bits >> 1
        bits = shift = 0
        if which:
            try:
                points.append(Point(values[0] / scale, values[1] / scale))
            except PlaceError:
                raise ValueError("that is no line") from None
        which = 1 - which
    if shift or which:
        raise ValueError("the line ends in the middle of a point")
    return tuple(points)


def encoded(points: tuple[Point, ...], places: int = 6) -> str:
    """A line as text."""
    scale = 10**places
    text: list[str] = []
    before = (0, 0)
    for point in points:
        here = (round(point.latitude * scale), round(point.longitude * scale))
        for value, last in zip(here, before, strict=True):
            step = value - last
            bits = ~(step << 1) if step < 0 else step << 1
            while bits >= 32:
                text.append(chr((bits & 31 | 32) + 63))
                bits >>= 5
            text.append(chr(bits + 63))
        before = here
    return "".join(text)
