"""The page of a shared trip: what it shows, to whom, until when, and what it never shows."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from appservice.config.models import Web
from appservice.database import Database, DatabaseError, open_database
from bots.domain.drivers import Position, Vehicle
from bots.domain.places import Circle, Point, distance_m
from bots.domain.trips import ENDED, TripKind, TripState
from bots.framework.clock import ManualClock
from bots.framework.i18n import Catalogues
from bots.framework.web import WebServer
from bots.pages import Links
from bots.rides.pages.map import Tiles, fit
from bots.rides.pages.share import (
    HEIGHT,
    LOOKS,
    PREFIX,
    ROUGH_M,
    WIDTH,
    Exact,
    ShareDoor,
    SharePage,
    Shown,
    closer,
    drawing,
    outside,
    roughly,
)
from bots.store.tables import metadata

ALICE = "@alice:example.org"
HOME, OFFICE = Point(52.5251, 13.4107), Point(52.5101, 13.3702)
TRIP = "01TRIP00000000000000000000"
PIN = "4711"


def shown(**changes: Any) -> Shown:
    """A ride whose driver is on the way to the pickup."""
    made = Shown(
        TripKind.RIDE,
        TripState.MATCHED,
        HOME,
        OFFICE,
        line=(HOME, Point(52.52, 13.39), OFFICE),
        driver="Bob",
        vehicle=Vehicle("Toyota Prius", "blue", "B-RI 123", 4),
        passenger="Alice",
    )
    return replace(made, **changes)


class Site:
    """The page behind a real listener."""

    def __init__(self, database: Database, tiles: Tiles | None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.database = database
        self.clock = ManualClock()
        self.seconds = 0.0
        self.trips: dict[tuple[str, str], Shown] = {("rides", TRIP): shown()}
        self.broken = False
        url = f"http://127.0.0.1:{port}"
        links = Links("a pickle key for the tests")
        self.page = SharePage(
            links, database, Catalogues(), self.find, self.clock, public_url=url, monotonic=lambda: self.seconds
        )
        self.door = ShareDoor(links, url, self.page)
        self.door.open("rides", tiles)
        self.web = WebServer(Web(enabled=True, listen=f"127.0.0.1:{port}", public_url=url))
        self.web.mount(PREFIX, self.page.app())

    async def find(self, bot: str, trip: str) -> Shown | None:
        if self.broken:
            raise DatabaseError("away (test)")
        return self.trips.get((bot, trip))

    async def link(self, how: Exact = Exact.ROUGH, *, hours: float = 24, trip: str = TRIP) -> str:
        """A link that Alice shares."""
        now, lasts = self.clock.now_ms(), timedelta(hours=hours)
        url, keep = self.door.draft("rides", trip, ALICE, how=how, lasts=lasts, now=now)
        await self.database.write(keep)
        return url

    async def get(self, url: str, language: str = "en") -> tuple[int, str, dict[str, str]]:
        async with ClientSession() as session, session.get(url, headers={"Accept-Language": language}) as answer:
            return answer.status, await answer.text(), dict(answer.headers)


@asynccontextmanager
async def running(folder: Path, tiles: Tiles | None = None) -> AsyncIterator[Site]:
    database = open_database(f"sqlite:///{folder / 'share.db'}")
    await database.start()
    await database.write(metadata.create_all)
    site = Site(database, tiles)
    await site.web.start()
    try:
        yield site
    finally:
        await site.web.stop()
        await database.stop()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path) as made:
        yield made


class Words(HTMLParser):
    """What a page says: texts, and the names of its parts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said: list[str] = []
        self._quiet = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._quiet += tag in {"style"}

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in {"style"}

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._quiet:
            self.said.append(data.strip())


# What it shows


async def test_it_shows_who_comes_and_when(site: Site) -> None:
    site.trips["rides", TRIP] = shown(
        position=Position(Point(52.52, 13.42), site.clock.now()), arrives=site.clock.now() + timedelta(minutes=6.2)
    )
    status, html, headers = await site.get(await site.link())
    said = Words(html).said
    assert status == 200
    assert "The driver is on the way to the pickup" in said
    assert "At the pickup in 7 minutes." in said
    for fact in ("Bob", "blue Toyota Prius", "B-RI 123", "Alice"):
        assert fact in said
    assert '<meta http-equiv="refresh" content="15">' in html
    assert "map-car" in html
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("kind", [TripKind.RIDE, TripKind.COURIER, TripKind.RETURN])
@pytest.mark.parametrize("state", [each for each in TripState if each not in ENDED])
async def test_every_state_has_its_words(site: Site, kind: TripKind, state: TripState) -> None:
    site.trips["rides", TRIP] = shown(kind=kind, state=state)
    status, html, _headers = await site.get(await site.link())
    title = re.search("<h1>(.+?)</h1>", html)
    assert status == 200
    assert title is not None and len(title[1]) > 5


async def test_a_driver_is_named_only_while_there_is_one(site: Site) -> None:
    site.trips["rides", TRIP] = shown(state=TripState.SEARCHING, driver="", vehicle=None)
    _status, html, _headers = await site.get(await site.link())
    assert "A driver is being looked for" in html
    assert "Bob" not in html
    assert "map-car" not in html


async def test_who_is_lost_is_last_seen(site: Site) -> None:
    """Nothing was heard for five minutes: the place is shown with its age."""
    site.trips["rides", TRIP] = shown(position=Position(Point(52.52, 13.42), site.clock.now()))
    site.clock.advance(minutes=5)
    _status, html, _headers = await site.get(await site.link())
    assert "Last seen" in html
    assert "5 minutes ago" in html
    assert "map-car" in html


async def test_a_clock_that_is_fast_makes_nobody_older(site: Site) -> None:
    site.trips["rides", TRIP] = shown(position=Position(Point(52.52, 13.42), site.clock.now() + timedelta(hours=2)))
    _status, html, _headers = await site.get(await site.link())
    assert "Last seen" not in html


async def test_arrival_is_a_minute_at_least(site: Site) -> None:
    site.trips["rides", TRIP] = shown(state=TripState.UNDER_WAY, arrives=site.clock.now() - timedelta(minutes=3))
    _status, html, _headers = await site.get(await site.link())
    assert "There in 1 minute." in html


@pytest.mark.parametrize("language", ["de", "fr", "es", "pl"])
async def test_it_speaks_the_readers_language(site: Site, language: str) -> None:
    site.trips["rides", TRIP] = shown(position=Position(Point(52.52, 13.42), site.clock.now()))
    _status, english, _headers = await site.get(await site.link())
    _status, other, _headers = await site.get(await site.link(), language)
    assert f'<html lang="{language}"' in other
    names = {
        "Rialto",
        "A",
        "B",
        "Bob",
        "Alice",
        "blue Toyota Prius",
        "B-RI 123",
        site.web.url("").removeprefix("http://"),
    }
    same = set(Words(english).said) & set(Words(other).said) - names
    assert not {each for each in same if not re.fullmatch(r"\d+ k?m", each)}


async def test_from_right_to_left(site: Site) -> None:
    _status, html, _headers = await site.get(await site.link(), "ar")
    assert '<html lang="ar" dir="rtl">' in html


# What it never shows


async def test_nobody_learns_more(site: Site) -> None:
    """No account, no price, no PIN, and nothing is asked of anybody else."""
    site.trips["rides", TRIP] = shown(position=Position(Point(52.52, 13.42), site.clock.now()))
    link = await site.link(Exact.EXACT)
    _status, html, headers = await site.get(link)
    assert "@" not in html.replace("@media", "")
    assert TRIP not in html
    assert "EUR" not in html and PIN not in html
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy and "img-src" not in policy and "unsafe" not in policy
    assert "<script" not in html and "<image" not in html and " style=" not in html
    assert re.findall(r"(?:href|src)=\"([^\"]*)\"", html) == [""]  # to itself
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"


async def test_a_name_is_no_markup(site: Site) -> None:
    vehicle = Vehicle("<b>Prius</b>", "blue", "B", 4)
    site.trips["rides", TRIP] = shown(driver="<script>alert(1)</script>", vehicle=vehicle, passenger='"><img src=x>')
    _status, html, _headers = await site.get(await site.link())
    assert "<script" not in html and "<img" not in html and "<b>" not in html


async def test_roughly_hides_where_somebody_lives(site: Site) -> None:
    """The way stops before the ends, and a car that is near them is in the middle of their circles."""
    near_home = Position(Point(HOME.latitude + 0.0005, HOME.longitude), site.clock.now(), heading=120.0)
    rough = drawing(shown(position=near_home), Catalogues().translator("en", "rides"), Exact.ROUGH)
    circles = [roughly(HOME), roughly(OFFICE)]
    assert [area.shape for area in rough.areas] == circles
    assert rough.lines
    for line in rough.lines:
        assert not any(circle.holds(point) for circle in circles for point in line.points)
    assert [spot.point for spot in rough.spots] == [circles[0].centre, circles[1].centre, circles[0].centre]
    assert rough.spots[-1].heading is None
    exact = drawing(shown(position=near_home), Catalogues().translator("en", "rides"), Exact.EXACT)
    assert [spot.point for spot in exact.spots] == [HOME, OFFICE, near_home.point]


def test_who_receives_a_parcel_sees_where_it_ends() -> None:
    """And not where its sender lives."""
    words = Catalogues().translator("en", "rides")
    drawn = drawing(shown(kind=TripKind.COURIER), words, Exact.DROPOFF)
    assert [area.shape for area in drawn.areas] == [roughly(HOME)]
    assert [spot.point for spot in drawn.spots] == [roughly(HOME).centre, OFFICE]
    assert distance_m(drawn.lines[-1].points[-1], OFFICE) < 1


@pytest.mark.parametrize(
    "point",
    [HOME, Point(0.0, 0.0), Point(-33.9, 151.2), Point(89.999, 10.0), Point(-90.0, 0.0), Point(10.0, 180.0),
     Point(10.0, -180.0), Point(64.1, -21.9)],
    ids=str,
)  # fmt: skip
def test_a_circle_holds_its_place_and_is_not_around_it(point: Point) -> None:
    """Its middle says nothing of where in the square the place is."""
    circle = roughly(point)
    assert circle.holds(point)
    assert circle.radius_m == ROUGH_M
    again = roughly(circle.centre)
    assert distance_m(again.centre, circle.centre) < 1


def test_neighbours_share_a_circle() -> None:
    """All houses of a square have the same one."""
    corner = Point(52.5201, 13.4001)
    same = [
        Point(corner.latitude + north / 1e4, corner.longitude + east / 1e4) for north in range(9) for east in range(9)
    ]
    assert len({roughly(point) for point in same}) <= 4


def test_a_straight_line_is_cut_too() -> None:
    """An estimate has two points, both of them secret."""
    circles = [roughly(HOME), roughly(OFFICE)]
    (part,) = outside(closer([HOME, OFFICE]), circles)
    assert len(part) > 2
    assert not any(circle.holds(point) for circle in circles for point in part)


def test_a_way_around_the_earth_is_drawn_with_bounds() -> None:
    (part,) = outside(closer([Point(0.0, 170.0), Point(0.0, -10.0)]), [Circle(Point(50.0, 0.0), 500.0)])
    assert len(part) <= 4002


@pytest.mark.parametrize("how", list(Exact))
@pytest.mark.parametrize(
    ("here", "there"),
    [(Point(0.0, 179.99), Point(0.0, -179.97)), (Point(90.0, 0.0), Point(-90.0, 0.0)), (HOME, HOME)],
    ids=["date line", "poles", "same"],
)
def test_any_way_can_be_drawn(here: Point, there: Point, how: Exact) -> None:
    words = Catalogues().translator("en", "rides")
    drawn = drawing(shown(pickup=here, dropoff=there, line=(here, there)), words, how)
    view = fit(drawn.points(), WIDTH, HEIGHT)
    for point in drawn.points():
        x, y = view.place(point)
        assert -1 <= x <= WIDTH + 1 and -1 <= y <= HEIGHT + 1


def test_what_is_driven_already_is_told_apart() -> None:
    """Under way the part behind the car is another line than the one before it; before that all of it is to come."""
    words = Catalogues().translator("en", "rides")
    half = Position(Point(52.52, 13.39), ManualClock().now())
    drawn = drawing(shown(state=TripState.UNDER_WAY, position=half), words, Exact.EXACT)
    past, ahead = drawn.lines
    assert past.past and not ahead.past
    assert past.points[0] == HOME and distance_m(ahead.points[-1], OFFICE) < 1
    assert distance_m(past.points[-1], half.point) < 60
    assert not any(line.past for line in drawing(shown(position=half), words, Exact.EXACT).lines)


# Tiles


async def test_tiles_come_from_where_the_operator_says(tmp_path: Path) -> None:
    tiles = Tiles("https://tiles.example/{z}/{x}/{y}.png", "© Map people")
    async with running(tmp_path, tiles) as site:
        _status, html, headers = await site.get(await site.link())
        assert "img-src https://tiles.example;" in headers["Content-Security-Policy"]
        assert re.findall(r'<image href="https://tiles\.example/\d+/\d+/\d+\.png"', html)
        assert "© Map people" in html
        assert headers["Referrer-Policy"] == "same-origin"


# When there is no page


@pytest.mark.parametrize("state", sorted(ENDED))
async def test_it_ends_with_the_trip(site: Site, state: TripState) -> None:
    """No map, no car and no way any more, and it is not loaded again."""
    site.trips["rides", TRIP] = shown(state=state, position=Position(HOME, site.clock.now()))
    status, html, _headers = await site.get(await site.link(Exact.EXACT))
    assert status == 200
    assert "It is not shared any more." in html
    assert "map-back" not in html.split("</style>")[1]
    assert "refresh" not in html
    assert "Bob" not in html and "Alice" not in html


async def test_a_trip_that_is_gone(site: Site) -> None:
    status, html, _headers = await site.get(await site.link(trip="01OTHER"))
    assert status == 410
    assert "This trip is over" in html


async def test_a_link_has_its_end(site: Site) -> None:
    link = await site.link(hours=2)
    site.clock.advance(hours=1)
    assert (await site.get(link))[0] == 200
    site.clock.advance(hours=1, seconds=1)
    status, html, _headers = await site.get(link)
    assert status == 410
    assert "This link has ended" in html
    assert "Bob" not in html


async def test_who_stops_sharing_is_not_seen(site: Site) -> None:
    links = [await site.link(), await site.link(Exact.EXACT)]
    await site.database.write(site.door.withdraw("rides", TRIP, ALICE, site.clock.now_ms()))
    site.clock.advance(seconds=1)
    assert [(await site.get(link))[0] for link in links] == [410, 410]
    assert (await site.get(await site.link()))[0] == 200  # another one is another one


@pytest.mark.parametrize("token", ["x", "A" * 64, "%00", "..%2f", "🚕", "A" * 5000])
async def test_what_is_no_link(site: Site, token: str) -> None:
    status, html, _headers = await site.get(site.web.url(f"{PREFIX}/{token}"))
    assert status in {400, 404}
    assert "Bob" not in html


async def test_a_changed_letter_opens_nothing(site: Site) -> None:
    link = await site.link()
    other = link[:-1] + ("A" if link[-1] != "A" else "B")
    assert (await site.get(other))[0] == 404


async def test_a_link_of_another_page_opens_nothing(site: Site) -> None:
    """A token is good for its purpose alone."""
    links, now = Links("a pickle key for the tests"), site.clock.now_ms()
    path, keep = links.draft(purpose="approve", person=ALICE, subject=f"rides {TRIP} exact", ttl_s=60, now=now)
    await site.database.write(keep)
    assert (await site.get(site.web.url(f"{PREFIX}/{path.rsplit('/', 1)[1]}")))[0] == 404


async def test_nobody_knocks_too_often(site: Site) -> None:
    link = await site.link()
    for _ in range(LOOKS.count):  # as often as that, but without the requests
        site.page._looks.check(site.page._links.digest(link.rsplit("/", 1)[1], "trip"), site.seconds)
    status, html, _headers = await site.get(link)
    assert status == 429
    assert "Too many attempts" in html
    site.seconds += 3600
    assert (await site.get(link))[0] == 200


async def test_a_database_that_is_away_is_said(site: Site) -> None:
    site.broken = True
    status, html, _headers = await site.get(await site.link())
    assert status == 503
    assert "Not available right now" in html
