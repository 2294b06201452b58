"""``kill -9`` at random points under load: 0 lost, 0 repeated, 0 out of order.

The seed is printed; ``RIALTO_CHAOS_SEED`` repeats a run, ``RIALTO_CHAOS_KILLS`` changes the number of kills.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.world import World, world

KILLS_SQLITE = int(os.environ.get("RIALTO_CHAOS_KILLS", "50"))
KILLS_POSTGRES = int(os.environ.get("RIALTO_CHAOS_KILLS", "15"))


async def _killed_at_put(place: World, target: int) -> None:
    """Kill the service before the answer to its n-th send leaves the homeserver."""
    hit = asyncio.Event()

    def strike(puts: int) -> None:
        if puts >= target and not hit.is_set():
            place.service.signal(signal.SIGKILL)
            hit.set()

    place.homeserver.on_put = strike
    await place.service.wait_until(hit.is_set, 30, f"send {target}: {place.homeserver.report()}")
    place.homeserver.on_put = None


async def _killed_at_transaction(place: World, target: int, pause: float) -> None:
    """Kill the service a moment after it accepted its n-th transaction."""
    await place.service.wait_until(
        lambda: place.homeserver.transactions >= target, 30, f"transaction {target}: {place.homeserver.report()}"
    )
    await asyncio.sleep(pause)


async def _one_life(place: World, dice: random.Random, start_up: float) -> None:
    """Start the service and kill it somewhere: while it starts, when it sends, when it has accepted."""
    homeserver = place.homeserver
    place.service.start()
    point = dice.choices(["start", "put", "transaction", "moment"], [3, 4, 3, 2])[0]
    if point == "start":
        await asyncio.sleep(dice.uniform(0, start_up * 1.2))
    elif point == "put":
        await _killed_at_put(place, homeserver.record.puts + dice.randint(1, 250))
    elif point == "transaction":
        await _killed_at_transaction(place, homeserver.transactions + dice.randint(1, 4), dice.uniform(0, 0.01))
    else:
        await place.answers_more(dice.randint(1, 100))
        await asyncio.sleep(dice.uniform(0, 0.05))
    place.service.kill()


async def kill_storm(place: World, kills: int) -> None:
    """Kill the service so many times under load, with a homeserver that loses answers and is restarted too."""
    seed = int(os.environ.get("RIALTO_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"RIALTO_CHAOS_SEED={seed}")
    dice = random.Random(seed)
    faults = place.homeserver.faults
    faults.lose_every, faults.fail_every, faults.drop_ack_every = 41, 37, 11
    await place.service.start_ready(place.homeserver, 30)
    place.service.kill()
    began = time.perf_counter()  # the first start made the database: those that follow are like the second
    await place.service.start_ready(place.homeserver, 30)
    start_up = time.perf_counter() - began
    async with place.load():
        await place.answers_more(100)
        place.service.kill()
        for number in range(kills):
            if number % 10 == 9:  # the homeserver forgets its cache: only the record per device is left
                await place.homeserver.go_down()
                await place.homeserver.come_back()
            await _one_life(place, dice, start_up)
    await place.service.start_ready(place.homeserver, 30)
    await place.settle()
    assert place.service.starts >= kills
    print(f"{place.service.starts - 1} kills: {place.homeserver.report()}")


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_repeated_by_kills_on_sqlite(tmp_path: Path) -> None:
    async with world(tmp_path, start=False) as place:
        await kill_storm(place, KILLS_SQLITE)


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_repeated_by_kills_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    async with world(tmp_path, database=postgres_url, start=False) as place:
        await kill_storm(place, KILLS_POSTGRES)


@pytest.mark.timeout(120)
async def test_sigterm_under_load_ends_cleanly_and_loses_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        async with place.load():
            for _ in range(3):
                await place.answers_more(200)
                place.service.signal(signal.SIGTERM)
                assert await place.service.wait_exit(15) == 0, place.service.log_tail()
                await place.service.start_ready(place.homeserver, 30)
        await place.settle()


@pytest.mark.timeout(120)
async def test_what_waited_is_answered_at_once_after_a_downtime(tmp_path: Path) -> None:
    """The homeserver would wait a minute before it tries again; the ping at start makes it try at once."""
    async with world(tmp_path, backoff=60, backoff_max=60) as place:
        place.say(20)
        await place.homeserver.wait_all(20)
        place.service.kill()
        place.say(250)
        homeserver = place.homeserver
        await homeserver.wait_for(lambda: homeserver.redelivered > 0, 10, "a transaction that fails")
        await place.service.start_ready(homeserver, 30)
        await homeserver.wait_all(5)
        await place.settle()
