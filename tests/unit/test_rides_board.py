"""The operators' live board over HTTP: who may see it, what it shows, and that nothing comes from anywhere else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from bots.domain.drivers import Position
from bots.domain.trips import TripState
from bots.framework.people import Person
from bots.pages.links import LinkInvalid
from bots.rides.pages.board import PURPOSE, BoardDoor
from bots.rides.pages.board_state import Board, BoardReader, CarState, Look
from bots.rides.pages.map import Tiles
from bots.store import drivers as driver_sql
from tests.support.board import NOON, BoardSite, BoardVisitor, board_visitor, running_board
from tests.support.pages import ALICE, BOB
from tests.support.rides import HARBOUR, MARKET, RidesWorld

BOARD_LINK = re.compile(r"https://pages\.world/board/rides/enter/[A-Za-z0-9_-]{64}")


class Opened:
    """Notes which boards are served."""

    def __init__(self) -> None:
        self.boards: dict[str, tuple[Look, Tiles | None]] = {}

    def add(self, bot: str, look: Look, tiles: Tiles | None = None) -> None:
        """Serve one."""
        self.boards[bot] = look, tiles


class BoardWorld(RidesWorld):
    """The bot of rides, where pages are served."""

    def further(self) -> dict[type, Any]:
        """The way to the board."""
        door = BoardDoor(self.links, Opened(), "https://pages.world")  # type: ignore[arg-type]
        return {BoardDoor: door}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[BoardSite]:
    async with running_board(tmp_path) as made:
        yield made


@pytest.fixture
async def browser(site: BoardSite) -> AsyncIterator[BoardVisitor]:
    async with board_visitor(site) as made:
        yield made


async def test_an_operator_comes_in_by_a_link_that_works_once(site: BoardSite, browser: BoardVisitor) -> None:
    link = await site.link()
    for _ in range(3):  # clients fetch previews: looking uses nothing up
        status, text, _ = await browser.get(link)
        assert status == 200
        assert "For @alice:example.org." in text
    status, text = await browser.enter(link)
    assert status == 200
    assert "7KD" in text
    async with board_visitor(site) as other:
        status, text, _ = await other.get(link)
        assert status == 410
        assert "was used already" in text
        status, text, _ = await other.get()
        assert status == 401
        assert "write “board”" in text
        assert "Alexanderplatz" not in text


async def test_the_board_shows_counts_cars_and_who_waits(site: BoardSite, browser: BoardVisitor) -> None:
    _, text = await browser.enter(await site.link())
    for words in (
        "<b>3</b> <span>waiting</span>",
        "<b>8</b> <span>free</span>",
        "<b>8</b> <span>on a trip</span>",
        "<b>4</b> <span>on a break</span>",
        "<b>5</b> <span>position lost</span>",  # four, and one of whom no position is known
        "<b>2</b> <span>cases for you</span>",
        "centre × 1.4",
        "everywhere else × 1.1",
        "3:10 min",
        "Trattoria &lt;Ponte&gt;",
        "B-RI 101: on a trip (7KD01)",
    ):
        assert words in text, words
    assert "airport × " not in text
    assert text.count("4XQ7T") == 2  # in the list and on the map
    assert '<meta http-equiv="refresh" content="10">' in text  # without a script


async def test_what_has_changed_is_a_part_of_the_page(site: BoardSite, browser: BoardVisitor) -> None:
    await browser.enter(await site.link())
    status, text, headers = await browser.get("/board/rides/live")
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert "<html" not in text
    assert "4XQ7T" in text
    site.less()
    _, text, _ = await browser.get("/board/rides/live")
    assert "4XQ7T" not in text
    site.board = Board(NOON)
    _, text, _ = await browser.get("/board/rides/live")
    assert "Nobody waits." in text


async def test_who_operates_no_more_sees_nothing_more(site: BoardSite, browser: BoardVisitor) -> None:
    await browser.enter(await site.link())
    assert (await browser.get())[0] == 200
    site.operators.clear()
    looks = site.looks
    for path in ("/board/rides/", "/board/rides/live"):
        status, text, _ = await browser.get(path)
        assert status == 401
        assert "4XQ7T" not in text
    assert site.looks == looks


async def test_somebody_who_is_no_operator_gets_in_with_no_link(site: BoardSite, browser: BoardVisitor) -> None:
    status, text = await browser.enter(await site.link(BOB))
    assert status == 401
    assert "4XQ7T" not in text


async def test_a_session_ends(site: BoardSite, browser: BoardVisitor) -> None:
    await browser.enter(await site.link())
    site.clock.advance(timedelta(hours=13))
    assert (await browser.get("/board/rides/live"))[0] == 401


async def test_links_of_elsewhere_open_nothing(site: BoardSite, browser: BoardVisitor) -> None:
    old = await site.link(ttl_s=5)
    site.clock.advance(timedelta(seconds=6))
    status, text, _ = await browser.get(old)
    assert (status, "has expired" in text) == (410, True)
    other = (await site.link(bot="taxis")).replace("/taxis/", "/rides/")
    status, text = await browser.enter(other)
    assert status == 410
    assert (await browser.get(f"{site.url}/board/rides/enter/nonsense"))[0] == 410
    assert (await browser.get(f"{site.url}/board/nobody/"))[0] == 404


async def test_a_form_from_another_site_is_not_taken(site: BoardSite, browser: BoardVisitor) -> None:
    link = await site.link()
    status, _ = await browser.enter(link, Origin="https://evil.example", **{"Sec-Fetch-Site": "cross-site"})
    assert status == 403
    assert (await browser.enter(link))[0] == 200


async def test_nothing_comes_from_anywhere_else(site: BoardSite, browser: BoardVisitor) -> None:
    await browser.enter(await site.link())
    _, text, headers = await browser.get()
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src 'self'; connect-src 'self'" in policy
    assert "img-src" not in policy
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "").replace(site.url, "")
    status, script, headers = await browser.get(f"{site.url}/board/board.js")
    assert status == 200
    assert headers["Content-Type"].startswith("text/javascript")
    assert "://" not in script


async def test_tiles_are_of_the_operators_server_alone(tmp_path: Path) -> None:
    tiles = Tiles("https://tiles.example.org/{z}/{x}/{y}.png", "© somebody")
    async with running_board(tmp_path, tiles=tiles) as site, board_visitor(site) as browser:
        await browser.enter(await site.link())
        _, text, headers = await browser.get()
        assert "img-src https://tiles.example.org" in headers["Content-Security-Policy"]
        assert 'href="https://tiles.example.org/' in text


async def test_it_speaks_the_operators_language_and_time(site: BoardSite, browser: BoardVisitor) -> None:
    site.people.known[ALICE] = Person(language="en", zone="Asia/Tokyo")
    await browser.enter(await site.link())
    _, text, _ = await browser.get()
    assert "9:00" in text  # 12:00 UTC


async def test_a_thousand_cars_are_drawn(site: BoardSite, browser: BoardVisitor) -> None:
    cars = [replace(site.board.cars[number % 24], plate=f"X {number}") for number in range(1_000)]
    site.board = replace(site.board, cars=cars)
    await browser.enter(await site.link())
    status, text, _ = await browser.get("/board/rides/live")
    assert status == 200
    assert text.count("<circle") >= 1_000


# What it is told by the fleet


async def test_the_fleet_as_it_is() -> None:
    async with RidesWorld() as world:
        alice, dave = await world.rider("alice"), await world.rider("dave")
        bob = await world.driver("bob")
        look = BoardReader(world.fleet, world.database, world.clock)
        empty = await look()
        assert (empty.waiting, [car.state for car in empty.cars]) == ([], [CarState.FREE])
        await world.rides(alice)
        world.clock.advance(seconds=3)
        await world.round()
        world.clock.advance(seconds=3)
        asked = await look()
        (waits,) = asked.waiting
        assert (waits.service, waits.waves, waits.place) == ("standard", 1, MARKET.text)
        assert [car.state for car in asked.cars] == [CarState.ASKED]
        trip = await world.accepts(bob)
        await world.driver("carla", HARBOUR)
        await world.rides(dave, HARBOUR)
        world.clock.advance(seconds=3)
        busy = await look()
        assert {car.plate: (car.state, car.trip) for car in busy.cars} == {
            "B-BO 123": (CarState.BUSY, trip.number),
            "B-CA 123": (CarState.FREE, ""),
        }
        assert [each.point for each in busy.waiting] == [HARBOUR.point]
        assert busy.trips[TripState.MATCHED] == 1
        assert await look() is busy, "read once in two seconds, however many look"
        # Nothing is heard of them for a while; and of who has never been heard of there is nothing to draw.
        world.clock.advance(seconds=200)
        world.fleet.positions.forget(bob.user_id)
        lost = await look()
        assert [car.state for car in lost.cars] == [CarState.LOST]
        assert lost.unknown == 1


async def test_thousands_of_drivers_are_no_long_look() -> None:
    """Seals are opened some at a time; where cars are and what they do is there at once."""
    async with RidesWorld() as world:
        bob = await world.driver("bob")
        like = await world.driver_of(bob)
        rows = [world.fleet.book.driver_row(replace(like, person=f"@d{n}:world", revision=0)) for n in range(150)]

        def sign_up(connection: Connection) -> None:
            for row in rows:
                driver_sql.apply(connection, row)

        await world.database.write(sign_up)
        assert MARKET.point is not None
        for number in range(150):
            position = Position(MARKET.point, world.clock.now())
            world.fleet.positions.update(f"@d{number}:world", position)
        look = BoardReader(world.fleet, world.database, world.clock)
        first = await look()
        assert len(first.cars) == 151
        assert sum(bool(car.plate) for car in first.cars) == 100
        world.clock.advance(seconds=3)
        assert all(car.plate == "B-BO 123" for car in (await look()).cars)


async def test_operators_get_a_link_in_their_chat() -> None:
    async with BoardWorld() as world:
        olga = world.user("olga")
        (text,) = await world.says(olga, "board")
        (first,) = BOARD_LINK.findall(text)
        (text,) = await world.says(olga, "board")
        (second,) = BOARD_LINK.findall(text)
        assert first != second
        now = world.clock.now_ms()
        token = second.rsplit("/", 1)[1]
        claim = await world.database.read(lambda c: world.links.peek(c, token, PURPOSE, now))
        assert (claim.person, claim.subject) == (olga.user_id, "rides")
        with pytest.raises(LinkInvalid):  # those before it end
            old = first.rsplit("/", 1)[1]
            await world.database.read(lambda c: world.links.peek(c, old, PURPOSE, now))
