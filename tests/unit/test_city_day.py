"""A small day through the dispatcher and the state machines: every trip ends, nobody drives two at once, and the same
seed gives the same day."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.city.canvas import PALETTE, Canvas
from benchmarks.city.day import Day
from benchmarks.city.pictures import course, map_of
from benchmarks.city.world import BEHAVIOUR, CALM, Behaviour, City
from bots.domain.dispatch import Policy
from bots.domain.trips import ENDED, TripState


def a_day(seed: int, behaviour: Behaviour = BEHAVIOUR, requests: int = 1500, cars: int = 25) -> Day:
    day = Day(
        City(seed),
        requests=requests,
        cars=cars,
        seed=seed,
        policy=Policy(),
        behaviour=behaviour,
        every=4.0,
        until=10 * 3600,
    )
    driven: dict[str, set[str]] = {}

    def look(_now: float) -> None:
        # A driver has the trip that has the driver, and no other.
        driven.clear()
        for ride in day._rides.values():
            if ride.trip.driver:
                driven.setdefault(ride.trip.driver, set()).add(ride.trip.id)
        assert all(len(trips) == 1 for trips in driven.values())
        for person, car in day._cars.items():
            assert driven.get(person, set()) == ({car.driver.trip} if car.driver.trip else set())

    day.run(look)
    return day


@pytest.mark.parametrize("seed", [1, 2])
def test_every_trip_ends_and_all_are_free_again(seed: int) -> None:
    day = a_day(seed)
    asked = int((day._demand.at <= 10 * 3600).sum())
    assert len(day.ended) == asked
    assert {each.state for each in day.ended} <= ENDED
    assert not day._rides and not day._open
    assert all(not car.driver.trip and not car.driver.offer for car in day._cars.values())
    states = Counter(each.state for each in day.ended)
    assert states[TripState.COMPLETED] > asked / 2
    assert states[TripState.UNSERVED] and states[TripState.CANCELLED] + states[TripState.CANCELLED_LATE]
    for each in day.ended:
        if each.state is TripState.COMPLETED:
            assert each.arrived is not None and each.driven_s is not None
            # The car was found within the search (or, where one was lost, within another one), and came within the cap.
            assert each.driven_s <= 900
            assert each.arrived - each.asked >= each.driven_s - 1e-3


def test_the_same_seed_gives_the_same_day() -> None:
    assert a_day(3, requests=500, cars=10).ended == a_day(3, requests=500, cars=10).ended
    assert a_day(3, requests=500, cars=10).ended != a_day(4, requests=500, cars=10).ended


def test_with_cars_enough_nearly_everybody_is_driven() -> None:
    day = a_day(5, CALM, requests=600, cars=80)
    states = Counter(each.state for each in day.ended)
    # Here and there nobody is within a quarter of an hour; nothing else goes wrong.
    assert set(states) <= {TripState.COMPLETED, TripState.UNSERVED}
    assert states[TripState.COMPLETED] >= 0.98 * len(day.ended)
    assert np.mean([each.arrived - each.asked for each in day.ended if each.arrived is not None]) < 240


def test_a_day_is_drawn(tmp_path: Path) -> None:
    day = a_day(6, requests=600, cars=10)
    course(day, tmp_path / "day.png", "A day", 10)
    map_of(day, tmp_path / "map.png", "A day")
    for name in ("day.png", "map.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width == 1180 and len(picture.convert("RGB").getcolors(1 << 24) or []) > 20


def test_what_is_thinner_than_a_line_is_not_drawn() -> None:
    canvas = Canvas(20, 20)
    for height in (0.0, 0.1, 0.3, 0.5, -1.0):
        canvas.box(2, 10, 8, 10 + height, PALETTE["red"])
