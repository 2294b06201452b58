"""The listener with the live board of one bot, and what it is told of the fleet."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import aiohttp

from appservice.config.models import Web
from appservice.database import Database, open_database
from appservice.local.files import free_port
from bots.commerce.page.access import Access
from bots.domain.places import Circle, Point
from bots.domain.trips import TripState
from bots.framework.clock import ManualClock
from bots.framework.i18n import Catalogues
from bots.framework.web import WebServer
from bots.pages.forms import Origin
from bots.pages.links import Links
from bots.rides.pages.board import PREFIX, PURPOSE, BoardPages
from bots.rides.pages.board_state import Board, Car, CarState, Waiting, ZoneShown
from bots.rides.pages.map import Tiles
from bots.rides.pages.rendering import Renderer
from bots.store.tables import metadata
from tests.support.mini_app import TABLES
from tests.support.pages import ALICE, BOB, KEY, FakePeople

__all__ = ["ALICE", "BOB", "NOON", "BoardSite", "BoardVisitor", "a_board", "board_visitor", "running_board"]

NOON: Final = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HIDDEN: Final = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


def a_board(at: datetime = NOON) -> Board:
    """A busy evening."""
    states = [CarState.FREE, CarState.BUSY, CarState.ASKED, CarState.BUSY, CarState.PAUSED, CarState.LOST]
    cars = [
        Car(
            Point(52.505 + 0.011 * (number * 7 % 5), 13.37 + 0.012 * (number * 11 % 9)),
            states[number % len(states)],
            f"B-RI {100 + number}",
            f"7KD{number:02}" if states[number % len(states)] is CarState.BUSY else "",
            float(number * 40 % 360),
        )
        for number in range(24)
    ]
    waiting = [
        Waiting("4XQ7T", "standard", at - timedelta(seconds=190), Point(52.5219, 13.4132), "Alexanderplatz 1", 3),
        Waiting("9BMK2", "xl", at - timedelta(seconds=75), Point(52.5096, 13.3759), "Potsdamer Platz", 1),
        Waiting("C3RW8", "courier", at - timedelta(seconds=8), Point(52.529, 13.401), "Trattoria <Ponte>", 0),
    ]
    zones = [
        ZoneShown("centre", Circle(Point(52.5219, 13.4132), 2_500), 140),
        ZoneShown("airport", Circle(Point(52.3667, 13.5033), 3_500)),
    ]
    counts = {TripState.SEARCHING: 3, TripState.UNDER_WAY: 8}
    return Board(at, cars, waiting, counts, zones, elsewhere=110, unknown=1, cases=2)


class BoardSite:
    """Serves a board whose state a test sets."""

    def __init__(self, database: Database, *, tiles: Tiles | None = None) -> None:
        port = free_port()
        self.database = database
        self.url = f"http://127.0.0.1:{port}"
        self.clock = ManualClock(NOON)
        self.operators = {ALICE}
        self.board = a_board()
        self.looks = 0
        self.people = FakePeople()
        self.links = Links(KEY)
        access = Access(
            database,
            _nobody,
            self.clock,
            server_name="example.org",
            pickle_key=KEY,
            public_url=self.url,
        )
        self.pages = BoardPages(
            access,
            self.links,
            Renderer(Catalogues(), self.url),
            Origin(KEY, self.url),
            database=database,
            operates=self.operators.__contains__,
            people=self.people,
            clock=self.clock,
            monotonic=lambda: 0.0,
        )
        self.pages.add("rides", self.look, tiles)
        self.web = WebServer(Web(enabled=True, listen=f"127.0.0.1:{port}", public_url=self.url))
        self.web.mount(PREFIX, self.pages.app())

    async def look(self) -> Board:
        """What the board is told."""
        self.looks += 1
        return self.board

    def less(self) -> None:
        """Somebody who has waited is driven."""
        self.board = replace(self.board, waiting=self.board.waiting[1:], at=self.board.at + timedelta(seconds=4))

    async def link(self, person: str = ALICE, bot: str = "rides", ttl_s: float = 600) -> str:
        """The address that the bot gives to a person."""
        now = self.clock.now_ms()
        path = await self.database.write(
            lambda connection: self.links.issue(
                connection, purpose=PURPOSE, person=person, subject=bot, ttl_s=ttl_s, now=now
            )
        )
        return f"{self.url}{PREFIX}/{bot}/enter/{path.rsplit('/', 1)[1]}"


async def _nobody(_token: str) -> str | None:
    return None


class BoardVisitor:
    """A browser without a screen."""

    def __init__(self, site: BoardSite, session: aiohttp.ClientSession) -> None:
        self.site = site
        self.session = session

    async def get(self, path: str = "/board/rides/") -> tuple[int, str, dict[str, str]]:
        """Look at a page: status, text, headers."""
        async with self.session.get(path if path.startswith("http") else self.site.url + path) as answer:
            return answer.status, await answer.text(), dict(answer.headers)

    async def enter(self, link: str, **headers: str) -> tuple[int, str]:
        """Open a link and press the button."""
        _, page, _ = await self.get(link)
        fields = {**dict(HIDDEN.findall(page)), "action": "open"}
        sent = {"Origin": self.site.url, "Sec-Fetch-Site": "same-origin", **headers}
        async with self.session.post(link, data=fields, headers=sent) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def running_board(folder: Path, *, tiles: Tiles | None = None) -> AsyncIterator[BoardSite]:
    """A board on a new SQLite database."""
    database = open_database(f"sqlite:///{folder / 'board.db'}")
    await database.start()
    await database.write(lambda connection: metadata.create_all(connection, TABLES))
    site = BoardSite(database, tiles=tiles)
    await site.web.start()
    try:
        yield site
    finally:
        await site.web.stop()
        await database.stop()


@asynccontextmanager
async def board_visitor(site: BoardSite) -> AsyncIterator[BoardVisitor]:
    """A browser with a cookie jar of its own."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield BoardVisitor(site, session)
