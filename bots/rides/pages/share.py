"""A trip that somebody shares: ``GET /trips/{token}`` shows where it is, to whoever has the link, until it ends.

The link is signed, has an end, and is all that protects the page; so the page shows what helps somebody who waits or
worries, and nothing else: no account, no PIN, no price, no words of an address. Where the trip begins and ends is shown
roughly unless whoever shares it wants it to be exact: as a circle around the middle of a square of the map that holds
the place somewhere; the way and the car are not drawn inside of it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from aiohttp import web
from markupsafe import Markup
from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from bots.domain.drivers import Position, Vehicle
from bots.domain.places import EARTH_M, Circle, Point
from bots.domain.trips import ENDED, HAS_DRIVER, TripKind, TripState
from bots.framework.clock import Clock
from bots.framework.i18n import Catalogues, Translation, Translator, _
from bots.framework.limits import Limited, RateLimit, RateLimiter
from bots.pages.app import accepted_languages
from bots.pages.links import LinkInvalid, Links
from bots.rides.pages.map import Area, Drawing, Line, Sign, Spot, Tiles, fit, svg
from bots.rides.pages.rendering import Renderer

__all__ = ["PREFIX", "PURPOSE", "Exact", "ShareDoor", "SharePage", "Shown", "subject_of", "subject_read"]

log = logging.getLogger(__name__)

PREFIX: Final = "/trips"
"""Where the page is mounted."""
PURPOSE: Final = "trip"
"""Of the links."""
LOOKS: Final = RateLimit(600, 60)
"""How often one link may be looked at: a family looks every few seconds."""
AGAIN_S: Final = 15
"""Seconds until the page is loaded again."""
FRESH: Final = timedelta(seconds=60)
"""A position that is older is told with its age."""
WIDTH, HEIGHT = 480, 330
SQUARE: Final = 0.006
"""Degrees of latitude: the side of the squares in which a place is not told more exactly."""
ROUGH_M: Final = 500.0
"""Metres: the radius of the circle around the middle of a square; it holds all of it."""


class Exact(StrEnum):
    """How exactly it is shown where a trip begins and ends."""

    EXACT = "exact"
    ROUGH = "rough"
    DROPOFF = "dropoff"
    """Only where it ends: for who waits there, and need not know where the sender lives."""


def subject_of(bot: str, trip: str, how: Exact) -> str:
    """What a link is about."""
    return f"{bot} {trip} {how.value}"


def subject_read(subject: str) -> tuple[str, str, Exact]:
    """The bot (plugin instance), the trip and how exactly it is shown."""
    bot, trip, how = subject.split(" ")
    return bot, trip, Exact(how)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of a trip that somebody shares.

    Attributes:
        line: the way from the pickup to the destination; empty: not known.
        driver: how riders know them; empty: nobody yet.
        arrives: when they are where they drive to now: at the pickup, later at the destination (aware); None: not
            known.
        passenger: for whom it is; empty: who shares it.
    """

    kind: TripKind
    state: TripState
    pickup: Point
    dropoff: Point
    stops: tuple[Point, ...] = ()
    line: tuple[Point, ...] = field(default=(), repr=False)
    driver: str = ""
    vehicle: Vehicle | None = None
    position: Position | None = None
    arrives: datetime | None = None
    passenger: str = ""


Find = Callable[[str, str], Awaitable[Shown | None]]
"""A trip by the bot (plugin instance) and its id; None: there is none (any more)."""


class ShareDoor:
    """Makes links to the page; a plugin gets it by its scope ``fleet``, where the installation serves pages."""

    def __init__(self, links: Links, url: str, page: SharePage) -> None:
        """
        Args:
            url: of the listener, as browsers know it.
        """
        self._links = links
        self._url = url
        self._page = page

    def open(self, bot: str, tiles: Tiles | None) -> None:
        """Serve the trips of a bot (plugin instance), on maps with its operator's tiles, where there are some."""
        self._page.open(bot, tiles)

    def draft(
        self, bot: str, trip: str, person: str, *, how: Exact, lasts: timedelta, now: int
    ) -> tuple[str, Callable[[Connection], None]]:
        """A link, and what keeps it: it counts from that commit on.

        Args:
            person: who shares it.
            lasts: its end, from now; the trip's own end comes first.
            now: ms since the epoch.
        """
        path, keep = self._links.draft(
            purpose=PURPOSE, person=person, subject=subject_of(bot, trip, how), ttl_s=lasts.total_seconds(),
            now=now,
        )  # fmt: skip
        return f"{self._url}{PREFIX}/{path.rsplit('/', 1)[1]}", keep

    def withdraw(self, bot: str, trip: str, person: str, now: int) -> Callable[[Connection], None]:
        """Ends all links of a person to a trip, in the commit that calls it."""

        def end(connection: Connection) -> None:
            for how in Exact:
                subject = subject_of(bot, trip, how)
                self._links.withdraw(connection, purpose=PURPOSE, person=person, subject=subject, now=now)

        return end


class SharePage:
    """``server.mount(PREFIX, page.app())``."""

    def __init__(
        self,
        links: Links,
        database: Database,
        catalogues: Catalogues,
        find: Find,
        clock: Clock,
        *,
        public_url: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            public_url: of the listener, as browsers know it.
            monotonic: seconds, for rate limits.
        """
        self._links = links
        self._database = database
        self._catalogues = catalogues
        self._public_url = public_url
        self._renderer = Renderer(catalogues, public_url)
        self._tiled: dict[str, Renderer] = {}
        self._find = find
        self._clock = clock
        self._monotonic = monotonic
        self._looks = RateLimiter(LOOKS)

    def open(self, bot: str, tiles: Tiles | None) -> None:
        """Serve the trips of a bot, on maps with these tiles."""
        self._tiled.pop(bot, None)
        if tiles is not None:
            self._tiled[bot] = Renderer(self._catalogues, self._public_url, tiles)

    def app(self) -> web.Application:
        """The routes below the prefix."""
        app = web.Application()
        app.router.add_get("/{token}", self._get)
        return app

    async def _get(self, request: web.Request) -> web.Response:
        words = self._renderer.translation(accepted_languages(request))
        token = request.match_info["token"]
        try:
            digest = self._links.digest(token, PURPOSE)
            verdict = self._looks.check(digest, self._monotonic())
            if isinstance(verdict, Limited):
                return self._told(words, words.t("Too many attempts"), verdict.explain(words), 429)
            now = self._clock.now_ms()
            claim = await self._database.read(lambda connection: self._links.look(connection, token, PURPOSE, now))
            bot, trip, how = subject_read(claim.subject)
            shown = await self._find(bot, trip)
        except LinkInvalid as invalid:
            return self._invalid(words, invalid)
        except DatabaseError as error:
            log.error("a page waits for the database: %s", error)
            text = words.t("Something on our side does not answer. Please try again in a moment.")
            return self._told(words, words.t("Not available right now"), text, 503)
        if shown is None or shown.state in ENDED:
            return self._over(words, shown)
        return self._live(self._tiled.get(bot, self._renderer), words, shown, how)

    def _invalid(self, words: Translation, invalid: LinkInvalid) -> web.Response:
        if invalid.why == "unknown":
            text = words.t("Maybe it was copied without its end. Ask whoever sent it to you.")
            return self._told(words, words.t("This link does not exist"), text, 404)
        text = words.t("The trip is over, or it is not shared any more.")
        return self._told(words, words.t("This link has ended"), text, 410)

    def _over(self, words: Translation, shown: Shown | None) -> web.Response:
        """A trip that has ended shows nothing of where it was."""
        title = words.t("This trip is over")
        text = words.t("It is not shared any more.")
        if shown is not None:
            title, text = words.t(OVER.get(shown.state, NOT_MADE)), words.t("It is not shared any more.")
        return self._told(words, title, text, 200 if shown is not None else 410)

    def _told(self, words: Translation, title: str, lead: str, status: int) -> web.Response:
        """A page that says one thing."""
        view = {"name": "Rialto", "title": title, "lead": lead, "map": "", "note": "", "facts": [], "closing": "",
                "again": "", "wide": False}  # fmt: skip
        return self._renderer.page("share.html", view, words, status=status)

    def _live(self, renderer: Renderer, words: Translation, shown: Shown, how: Exact) -> web.Response:
        now = self._clock.now()
        drawn = drawing(shown, words, how)
        tiles = renderer.tiles
        view = fit(drawn.points(), WIDTH, HEIGHT, tiled=tiles is not None)
        facts = [(words.t(label), value) for label, value in _facts(shown, words, now)]
        note = words.t(NOTES[how]) if how in NOTES else ""
        page: dict[str, Any] = {
            "name": "Rialto",
            "title": words.t(COURIER.get(shown.state, "") if _brings(shown) else RIDE.get(shown.state, "")),
            "lead": _arrival(shown, words, now),
            "map": Markup(svg(drawn, view, tiles)),  # noqa: S704 - drawn here, texts in it are escaped
            "note": note,
            "facts": facts,
            "closing": words.t("This page loads itself again every {seconds} seconds.", seconds=AGAIN_S),
            "again": words.t("Load it now"),
            "wide": False,
        }
        return renderer.page("share.html", page, words, refresh=AGAIN_S)


S = TripState
RIDE: Final = {
    S.SCHEDULED: _("A ride is ordered for later"),
    S.AUTHORISING: _("A ride is about to be ordered"),
    S.SEARCHING: _("A driver is being looked for"),
    S.MATCHED: _("The driver is on the way to the pickup"),
    S.ARRIVED: _("The driver is at the pickup"),
    S.UNDER_WAY: _("The ride is under way"),
}
COURIER: Final = {
    S.SCHEDULED: _("It is brought later"),
    S.AUTHORISING: _("It is about to be sent"),
    S.SEARCHING: _("A courier is being looked for"),
    S.MATCHED: _("The courier is on the way to fetch it"),
    S.ARRIVED: _("The courier fetches it"),
    S.UNDER_WAY: _("It is on its way"),
}
OVER: Final = {
    S.COMPLETED: _("This trip has arrived"),
    S.FAILED: _("It could not be handed over"),
    S.UNSERVED: _("No driver was found"),
    S.STOPPED: _("This trip was stopped"),
}
NOTES: Final = {
    Exact.ROUGH: _("Where it begins and where it goes are shown roughly."),
    Exact.DROPOFF: _("Where it begins is shown roughly."),
}
NOT_MADE: Final = _("This trip was cancelled")


def _brings(shown: Shown) -> bool:
    return shown.kind is not TripKind.RIDE


def _arrival(shown: Shown, words: Translation, now: datetime) -> str:
    """When somebody is where they drive to now: how long from now, for nobody knows where the reader is."""
    if shown.arrives is None or shown.state not in HAS_DRIVER - {S.ARRIVED}:
        return ""
    minutes = max(math.ceil((shown.arrives - now) / timedelta(minutes=1)), 1)
    if shown.state is S.MATCHED:
        return words.n("At the pickup in {count} minute.", "At the pickup in {count} minutes.", minutes)
    return words.n("There in {count} minute.", "There in {count} minutes.", minutes)


def _facts(shown: Shown, words: Translation, now: datetime) -> list[tuple[str, str]]:
    facts = []
    if shown.passenger and not _brings(shown):
        facts.append((_("Passenger"), shown.passenger))
    if shown.state in HAS_DRIVER:
        if shown.driver:
            facts.append((_("Courier") if _brings(shown) else _("Driver"), shown.driver))
        if shown.vehicle is not None:
            facts.append((_("Vehicle"), f"{shown.vehicle.colour} {shown.vehicle.make}"))
            facts.append((_("Plate"), shown.vehicle.plate))
        if shown.position is None:
            facts.append((_("Position"), words.t("not known yet")))
        elif now - shown.position.at > FRESH:
            facts.append((_("Last seen"), ago(words, now - shown.position.at)))
    return facts


def ago(words: Translator, age: timedelta) -> str:
    """How long ago something was, as people say it."""
    seconds = max(round(age.total_seconds()), 0)
    if seconds < 60:
        return words.n("{count} second ago", "{count} seconds ago", seconds)
    if seconds < 3600:
        return words.n("{count} minute ago", "{count} minutes ago", seconds // 60)
    return words.n("{count} hour ago", "{count} hours ago", seconds // 3600)


def drawing(shown: Shown, words: Translation, how: Exact) -> Drawing:
    """The map of a trip. Roughly: circles for its ends, and neither way nor car inside of them."""
    begins, ends = words.t("Pickup"), words.t("Destination")
    alt = words.t("A map of the trip.")
    begin = None if how is Exact.EXACT else roughly(shown.pickup)
    end = roughly(shown.dropoff) if how is Exact.ROUGH else None
    rough = [circle for circle in (begin, end) if circle is not None]
    stops = shown.stops if how is Exact.EXACT else ()
    spots = [Spot(point, Sign.STOP, str(number)) for number, point in enumerate(stops, 1)]
    spots.append(Spot(shown.pickup if begin is None else begin.centre, Sign.PICKUP, "A", begins))
    spots.append(Spot(shown.dropoff if end is None else end.centre, Sign.DROPOFF, "B", ends))
    behind, before = _split(shown)
    lines = [Line(part, past=True) for part in outside(behind, rough)]
    lines += [Line(part) for part in outside(before, rough)]
    if shown.position is not None and shown.state in HAS_DRIVER:
        here = shown.position
        hidden = next((circle for circle in rough if circle.holds(here.point)), None)
        point, heading = (here.point, here.heading) if hidden is None else (hidden.centre, None)
        spots.append(Spot(point, Sign.CAR, title=words.t("Car"), heading=heading))
    return Drawing(alt, spots, lines, [Area(circle) for circle in rough])


def _split(shown: Shown) -> tuple[Sequence[Point], Sequence[Point]]:
    """What of the way lies behind the car, and what before it."""
    line = closer(shown.line)
    if shown.position is None or shown.state is not TripState.UNDER_WAY or not line:
        return (), line
    here = shown.position.point
    nearest = min(range(len(line)), key=lambda number: _flat_m(line[number], here))
    return line[: nearest + 1], line[nearest:]


def roughly(point: Point) -> Circle:
    """The circle around the middle of the square that holds a place: the same for all places of the square."""
    row = math.floor(point.latitude / SQUARE)
    latitude = max(-90.0, min(90.0, (row + 0.5) * SQUARE))
    # As wide as it is high; near the poles a degree of longitude is nothing, and one square holds them all.
    side = min(SQUARE / max(math.cos(math.radians(latitude)), SQUARE / 360), 360.0)
    longitude = (math.floor((point.longitude + 180) / side) + 0.5) * side - 180
    return Circle(Point(latitude, (longitude + 540) % 360 - 180), ROUGH_M)


def outside(line: Sequence[Point], circles: Sequence[Circle]) -> list[list[Point]]:
    """The parts of a way that lie outside of circles; a part has two points or more. The points of the way are near to
    each other."""
    parts: list[list[Point]] = [[]]
    for point in line:
        if any(circle.holds(point) for circle in circles):
            parts.append([])
        else:
            parts[-1].append(point)
    return [part for part in parts if len(part) > 1]


STEP_M: Final = 50.0
POINTS_MAX: Final = 4000


def closer(line: Sequence[Point]) -> list[Point]:
    """A way with points every few metres (an estimate is a straight line with two), but not more than
    :data:`POINTS_MAX` in all."""
    pairs = [(one, two, _flat_m(one, two)) for one, two in pairwise(line)]
    step = max(STEP_M, sum(far for _, _, far in pairs) / POINTS_MAX)
    found = list(line[:1])
    for one, two, far in pairs:
        east = (two.longitude - one.longitude + 540) % 360 - 180
        count = max(math.ceil(far / step), 1)
        for number in range(1, count + 1):
            part = number / count
            longitude = (one.longitude + east * part + 540) % 360 - 180
            found.append(Point(one.latitude + (two.latitude - one.latitude) * part, longitude))
    return found


def _flat_m(one: Point, two: Point) -> float:
    """Metres, as on a plane: exact enough to count points by."""
    east = (two.longitude - one.longitude + 540) % 360 - 180
    east *= math.cos(math.radians((one.latitude + two.latitude) / 2))
    return math.radians(math.hypot(two.latitude - one.latitude, east)) * EARTH_M
