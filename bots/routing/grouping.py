"""Ways that are wanted one by one, as tables that a routing service answers in one go."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import numpy as np

from bots.domain.dispatch_near import cell_of
from bots.domain.places import Point
from bots.routing.base import Floats, Legs, Table

__all__ = ["by_tables", "group"]

RESOLUTION: Final = 7
"""Of H3 cells by which destinations that are near each other come after one another."""

Asks = Callable[[Sequence[Point], Sequence[Point]], Awaitable[Table]]


def group(
    origins: Sequence[Point], destinations: Sequence[Point], most: int
) -> list[tuple[list[Point], list[Point], list[tuple[int, int, int]]]]:
    """Legs as tables with at most so many places each.

    Returns:
        Of each table its origins and destinations, and for each leg its number, its row and its column.
    """
    if most < 2:
        raise ValueError("a table has an origin and a destination")
    wanted: defaultdict[Point, defaultdict[Point, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, (begin, end) in enumerate(zip(origins, destinations, strict=True)):
        wanted[end][begin].append(number)
    tables: list[tuple[list[Point], list[Point], list[tuple[int, int, int]]]] = []
    rows: dict[Point, int] = {}
    columns: list[Point] = []
    legs: list[tuple[int, int, int]] = []

    def close() -> None:
        nonlocal rows, columns, legs
        if legs:
            tables.append((list(rows), columns, legs))
        rows, columns, legs = {}, [], []

    for end in sorted(wanted, key=lambda each: (cell_of(each, RESOLUTION), each.latitude, each.longitude)):
        begins = list(wanted[end])
        for first in range(0, len(begins), most - 1):
            part = begins[first : first + most - 1]
            fresh = sum(1 for each in part if each not in rows)
            if len(rows) + fresh + len(columns) + 1 > most:
                close()
            column = len(columns)
            columns.append(end)
            for begin in part:
                row = rows.setdefault(begin, len(rows))
                legs += [(number, row, column) for number in wanted[end][begin]]
    close()
    return tables


async def by_tables(
    origins: Sequence[Point], destinations: Sequence[Point], most: int, ask: Asks, gate: asyncio.Semaphore, source: str
) -> Legs:
    """Legs by so many tables as it takes, some of them at once; the first that fails ends all."""
    seconds, metres = np.full(len(origins), np.inf), np.full(len(origins), np.inf)

    async def one(begins: list[Point], ends: list[Point], legs: list[tuple[int, int, int]]) -> None:
        async with gate:
            table = await ask(begins, ends)
        for number, row, column in legs:
            seconds[number], metres[number] = table.seconds[row, column], table.metres[row, column]

    try:
        async with asyncio.TaskGroup() as tasks:
            for each in group(origins, destinations, most):
                tasks.create_task(one(*each))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return Legs(seconds, metres, source)


def floats(rows: object, shape: tuple[int, int]) -> Floats:
    """A table of numbers as a service wrote it; null: there is no way. Raises ValueError for anything else."""
    if not isinstance(rows, list) or len(rows) != shape[0]:
        raise ValueError("not as many rows as origins")
    made = np.full(shape, np.inf)
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != shape[1]:
            raise ValueError("not as many columns as destinations")
        for column, value in enumerate(row):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError("a time or a distance is a number from 0 on")
            made[number, column] = value
    return made
