"""Positions: clocks that go wrong, jumps, what is written down, and how many a second."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from bots.domain.drivers import Position
from bots.domain.places import Point
from bots.fleet import Fleets, Heard
from bots.store import positions as sql
from tests.support.fleet_bench import Bench

HERE, NEAR, FAR = Point(52.52, 13.405), Point(52.521, 13.406), Point(48.137, 11.575)
BOB = "@bob:world"


def at(bench: Bench, point: Point, ago: float = 0) -> Position:
    return Position(point, bench.clock.now() - timedelta(seconds=ago))


async def test_from_the_future_is_now_and_older_is_left_out() -> None:
    bench = Bench()
    positions = bench.fleet.positions
    assert positions.last(BOB) is None
    assert positions.update(BOB, at(bench, HERE, ago=-3_600)) is Heard.TAKEN
    seen = positions.last(BOB)
    assert seen is not None
    assert seen.position.at == bench.clock.now()
    assert positions.update(BOB, at(bench, NEAR, ago=5)) is Heard.OLD
    assert positions.update(BOB, at(bench, NEAR)) is Heard.OLD
    bench.clock.advance(seconds=5)
    assert positions.update(BOB, at(bench, NEAR)) is Heard.TAKEN


async def test_nobody_drives_500_km_in_a_second_until_they_say_it_again() -> None:
    bench = Bench()
    positions = bench.fleet.positions
    positions.update(BOB, at(bench, HERE))
    bench.clock.advance(seconds=1)
    assert positions.update(BOB, at(bench, FAR)) is Heard.JUMPED
    seen = positions.last(BOB)
    assert seen is not None
    assert (seen.position.point, seen.doubtful) == (HERE, True)
    # Back where they were: it was a mistake.
    bench.clock.advance(seconds=1)
    assert positions.update(BOB, at(bench, NEAR)) is Heard.TAKEN
    seen = positions.last(BOB)
    assert seen is not None
    assert not seen.doubtful
    # There, and there again: it was where they were before that was wrong.
    bench.clock.advance(seconds=1)
    assert positions.update(BOB, at(bench, FAR)) is Heard.JUMPED
    bench.clock.advance(seconds=1)
    assert positions.update(BOB, at(bench, FAR)) is Heard.TAKEN
    seen = positions.last(BOB)
    assert seen is not None
    assert seen.position.point == FAR


@pytest.mark.parametrize("pair", [(Point(0, 179.9999), Point(0, -179.9999)), (Point(89.9999, 0), Point(89.9999, 180))])
async def test_across_the_date_line_and_the_pole_is_near(pair: tuple[Point, Point]) -> None:
    bench = Bench()
    bench.fleet.positions.update(BOB, at(bench, pair[0]))
    bench.clock.advance(seconds=2)
    assert bench.fleet.positions.update(BOB, at(bench, pair[1])) is Heard.TAKEN


async def test_written_down_and_read_at_the_next_start() -> None:
    bench = Bench()
    await bench.database.start()
    positions = bench.fleet.positions
    positions.update(BOB, at(bench, HERE))
    positions.update("@carla:world", at(bench, NEAR))
    assert await positions.write() == 2
    assert await positions.write() == 0
    positions.forget("@carla:world")
    await positions.write()
    again = Fleets(bench.trade, {"rides": "rides:@rides:world"}).of().positions
    await again.load()
    seen = again.last(BOB)
    assert seen is not None
    assert seen.position.point == HERE
    assert again.last("@carla:world") is None
    rows = await bench.query(lambda connection: sql.load(connection, "rides", 0))
    assert b"52.52" not in rows[0].sealed
    bench.clock.advance(hours=13)
    await positions.write()
    assert positions.last(BOB) is None  # of whom nothing was heard for so long is forgotten
    assert await bench.query(lambda connection: sql.load(connection, "rides", 0)) == []
    await bench.database.stop()


async def test_five_thousand_a_second() -> None:
    """With what is written down of them; by the processor's time, for others use this machine, too."""
    bench = Bench()
    await bench.database.start()
    people = [f"@driver{number}:world" for number in range(5_000)]
    begun = time.process_time()
    for turn in range(3):
        bench.clock.advance(seconds=1)
        here = Point(52.52 + turn * 1e-4, 13.405)
        now = bench.clock.now()
        for person in people:
            bench.fleet.positions.update(person, Position(here, now))
        assert await bench.fleet.positions.write() == 5_000
    spent = (time.process_time() - begun) / 3
    print(f"{5_000 / spent:.0f} positions a second of processor time")
    assert spent < 1
    await bench.database.stop()
