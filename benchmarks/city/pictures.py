"""The pictures of a day: its course, and its map."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from h3.api import basic_int as h3

from benchmarks.city.canvas import INK, PALETTE, SOFT, Axes, Canvas, shade
from benchmarks.city.day import Day, Ended
from bots.domain.trips import TripState

__all__ = ["course", "map_of"]

CANCELLED: Final = frozenset({TripState.CANCELLED, TripState.CANCELLED_LATE, TripState.NO_SHOW})
HALF_HOURS: Final = 48
RESOLUTION: Final = 9
FEWEST: Final = 20
"""Trips that a cell has at least, to be coloured by their mean."""


def course(day: Day, path: Path, title: str, cars: int) -> None:
    """How the day went: requests, waiting, cars, computing."""
    canvas = Canvas(1180, 1330)
    canvas.text(60, 22, title, size=21)
    _requests(canvas, 110, day.ended)
    _waiting(canvas, 420, day.ended)
    _cars(canvas, 730, day, cars)
    _compute(canvas, 1040, day)
    canvas.save(str(path))


def _step(most: float) -> float:
    """A round step that divides a scale into three to six parts."""
    rough = most / 5
    power = 10 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= rough)


def _axes(canvas: Canvas, upper: float, most: float, title: str, words: Callable[[float], str]) -> Axes:
    step = _step(most)
    axes = Axes(canvas, 90, upper, 1050, 215, math.ceil(most / step) * step, step, title, words)
    axes.frame()
    return axes


def _requests(canvas: Canvas, upper: float, ended: Sequence[Ended]) -> None:
    kinds: dict[str, list[int]] = {
        name: [0] * HALF_HOURS for name in ("completed", "cancelled, or missed", "no driver")
    }
    for each in ended:
        half = min(int(each.asked // 1800), HALF_HOURS - 1)
        if each.state is TripState.COMPLETED:
            kinds["completed"][half] += 1
        elif each.state in CANCELLED:
            kinds["cancelled, or missed"][half] += 1
        else:
            kinds["no driver"][half] += 1
    colours = (PALETTE["teal"], PALETTE["sand"], PALETTE["red"])
    most = max(sum(values[half] for values in kinds.values()) for half in range(HALF_HOURS))
    axes = _axes(canvas, upper, most, "What became of the requests of each half hour", lambda value: f"{value:,.0f}")
    for half in range(HALF_HOURS):
        floor = 0
        for values, colour in zip(kinds.values(), colours, strict=True):
            left, right = axes.x(half / 2) + 1.5, axes.x((half + 1) / 2) - 1.5
            canvas.box(left, axes.y(floor + values[half]), right, axes.y(floor), colour)
            floor += values[half]
    canvas.legend(640, upper - 25, list(zip(kinds, colours, strict=True)))


def _waiting(canvas: Canvas, upper: float, ended: Sequence[Ended]) -> None:
    waits: list[list[float]] = [[] for _ in range(HALF_HOURS)]
    drives: list[list[float]] = [[] for _ in range(HALF_HOURS)]
    for each in ended:
        if each.arrived is not None and each.driven_s is not None:
            half = min(int(each.asked // 1800), HALF_HOURS - 1)
            waits[half].append((each.arrived - each.asked) / 60)
            drives[half].append(each.driven_s / 60)
    hours = [half / 2 + 0.25 for half in range(HALF_HOURS) if waits[half]]
    late = [float(np.percentile(each, 95)) for each in waits if each]
    mean = [float(np.mean(each)) for each in waits if each]
    drive = [float(np.mean(each)) for each in drives if each]
    axes = _axes(canvas, upper, max([1.0, *late]), "How long riders wait", lambda value: f"{value:g} min")
    axes.curve(list(zip(hours, late, strict=True)), PALETTE["sand"])
    axes.curve(list(zip(hours, mean, strict=True)), PALETTE["blue"], 3)
    axes.curve(list(zip(hours, drive, strict=True)), PALETTE["teal"])
    canvas.legend(
        400,
        upper - 25,
        [
            ("until the car is there: mean", PALETTE["blue"]),
            ("95 of 100 wait no longer", PALETTE["sand"]),
            ("the car's way there: mean", PALETTE["teal"]),
        ],
    )


def _cars(canvas: Canvas, upper: float, day: Day, cars: int) -> None:
    ticks = day.ticks
    hours = [each.at / 3600 for each in ticks if each.at <= 86_400]
    part = ticks[: len(hours)]
    layers = [
        ("with a rider", [each.with_rider for each in part], PALETTE["teal"]),
        ("to the pickup", [each.to_pickup for each in part], PALETTE["blue"]),
        ("asked just now", [each.asked_just_now for each in part], PALETTE["orange"]),
        ("free", [each.idle for each in part], PALETTE["sand"]),
        ("rest, or change drivers", [each.resting for each in part], PALETTE["grey"]),
    ]
    axes = _axes(canvas, upper, cars, "What the cars do", lambda value: f"{value:,.0f}")
    axes.stack(hours, [(values, colour) for _, values, colour in layers])
    canvas.legend(520, upper - 25, [(name, colour) for name, _, colour in layers])


def _compute(canvas: Canvas, upper: float, day: Day) -> None:
    times: dict[int, list[float]] = defaultdict(list)
    for at, _, _, took in day.rounds:
        times[int(at // 600)].append(took * 1000)
    slots = sorted(slot for slot in times if slot < 144)
    hours = [(slot + 0.5) / 6 for slot in slots]
    mean = [float(np.mean(times[slot])) for slot in slots]
    late = [float(np.percentile(times[slot], 95)) for slot in slots]
    axes = _axes(canvas, upper, max([1.0, *late]), "Computing of a round", lambda value: f"{value:g} ms")
    axes.curve(list(zip(hours, late, strict=True)), PALETTE["sand"])
    axes.curve(list(zip(hours, mean, strict=True)), PALETTE["blue"], 3)
    canvas.legend(780, upper - 25, [("mean", PALETTE["blue"]), ("95 of 100 take no longer", PALETTE["sand"])])


def map_of(day: Day, path: Path, title: str) -> None:
    """Three maps of the city: where people set out, how many are brought, how long they wait."""
    cells: dict[int, list[Ended]] = defaultdict(list)
    for each in day.ended:
        cells[h3.latlng_to_cell(each.pickup.latitude, each.pickup.longitude, RESOLUTION)].append(each)
    begun = {cell: float(len(those)) for cell, those in cells.items()}
    wanted = {
        cell: [each for each in those if each.state not in CANCELLED]
        for cell, those in cells.items()
        if len(those) >= FEWEST
    }
    served = {
        cell: sum(each.state is TripState.COMPLETED for each in those) / len(those)
        for cell, those in wanted.items()
        if those
    }
    waits = {
        cell: [(each.arrived - each.asked) / 60 for each in those if each.arrived is not None]
        for cell, those in cells.items()
    }
    mean = {cell: float(np.mean(those)) for cell, those in waits.items() if len(those) >= FEWEST}
    canvas = Canvas(1180, 760)
    canvas.text(40, 22, title, size=21)
    if not begun:
        return
    most = max(begun.values(), default=1.0)
    sheet = _Sheet(begun)
    _map(canvas, sheet, 20, "Where trips begin", begun, 0, most, lambda value: f"{value:,.0f}", root=True)
    least = min(served.values(), default=0.0)
    _map(
        canvas,
        sheet,
        405,
        "Completed, of those that were not cancelled",
        served,
        least,
        1.0,
        lambda value: f"{value:.0%}",
        flip=True,
    )
    low, high = (float(each) for each in np.percentile(list(mean.values()) or [0, 1], [2, 98]))
    _map(canvas, sheet, 790, "Mean wait until the car is there", mean, low, high, lambda value: f"{value:.1f} min")
    canvas.save(str(path))


class _Sheet:
    """Where cells lie on a map: the same on all three."""

    def __init__(self, cells: Iterable[int]) -> None:
        corners = [corner for cell in cells for corner in h3.cell_to_boundary(cell)]
        self._north, self._west = max(y for y, _ in corners), min(x for _, x in corners)
        south, east = min(y for y, _ in corners), max(x for _, x in corners)
        self._squeeze = math.cos(math.radians(south))
        self._scale = min(340 / ((east - self._west) * self._squeeze), 570 / (self._north - south))

    def shape(self, cell: int, left: float) -> list[tuple[float, float]]:
        """The corners of a cell, on the map that begins there."""
        return [
            (left + 20 + (x - self._west) * self._squeeze * self._scale, 110 + (self._north - y) * self._scale)
            for y, x in h3.cell_to_boundary(cell)
        ]


def _map(
    canvas: Canvas,
    sheet: _Sheet,
    left: float,
    title: str,
    values: dict[int, float],
    low: float,
    high: float,
    words: Callable[[float], str],
    *,
    root: bool = False,
    flip: bool = False,
) -> None:
    """Hexagons coloured by a value, with the scale below them."""

    def share(value: float) -> float:
        part = (value - low) / (high - low) if high > low else 1.0
        part = min(max(part, 0.0), 1.0)
        part = math.sqrt(part) if root else part
        return 1 - part if flip else part

    for cell, value in values.items():
        canvas.area(sheet.shape(cell, left), shade(share(value)), (255, 255, 255))
    canvas.text(left + 20, 70, title, size=15, colour=INK)
    for number in range(120):
        value = low + (high - low) * (number + 0.5) / 120
        canvas.box(left + 20 + number * 2, 712, left + 22 + number * 2, 724, shade(share(value)))
    for part, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        canvas.text(left + 20 + 240 * part, 730, words(low + part * (high - low)), size=12, colour=SOFT, anchor=anchor)
