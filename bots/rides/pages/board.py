"""The live board of an installation's operators: ``/board/{bot}/``: a map, counts, and who waits.

It is opened by a link from the operator's own chat, which works once and gives a session
(:class:`bots.commerce.page.access.Access`). Each look asks again whether that person operates: who is no operator any
more sees nothing, whatever session they have. The page loads what has changed every few seconds by a little script, or
loads itself again without one; nothing comes from anywhere else, but for map tiles where the operator names a server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib.resources import files
from typing import Any, Final, Protocol
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup
from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from bots.commerce.page.access import Access, Session
from bots.framework import Context
from bots.framework.clock import Clock
from bots.framework.i18n import Translation, _
from bots.framework.limits import Limited, RateLimit, RateLimiter
from bots.framework.people import Person
from bots.pages.app import accepted_languages
from bots.pages.forms import FormRefused, Origin, read_form
from bots.pages.links import LinkInvalid, Links
from bots.rides.pages.board_state import Board, Car, CarState, Look
from bots.rides.pages.map import Area, Drawing, Sign, Spot, Tiles, fit, svg
from bots.rides.pages.rendering import Renderer

__all__ = ["PREFIX", "PURPOSE", "BoardDoor", "BoardPages"]

log = logging.getLogger(__name__)

PREFIX: Final = "/board"
"""Where the pages are mounted."""
PURPOSE: Final = "board"
"""Of the links."""
LINK_LASTS: Final = timedelta(minutes=10)
EVERY_S: Final = 4
"""Seconds between two looks of the script; without it the page loads itself again every :data:`AGAIN_S`."""
AGAIN_S: Final = 10
LOOKS: Final = RateLimit(240, 60)
ENTRIES: Final = RateLimit(60, 60)
WIDTH, HEIGHT = 960, 600
LISTED: Final = 50
SIGNS: Final = {
    CarState.FREE: Sign.FREE,
    CarState.ASKED: Sign.FREE,
    CarState.BUSY: Sign.BUSY,
    CarState.PAUSED: Sign.PAUSED,
    CarState.LOST: Sign.PAUSED,
}
CARS: Final = {
    CarState.FREE: _("free"),
    CarState.ASKED: _("being asked"),
    CarState.BUSY: _("on a trip"),
    CarState.PAUSED: _("on a break"),
    CarState.LOST: _("position lost"),
}
"""As people read them."""


class KnowsPeople(Protocol):
    """:class:`bots.framework.people.People`."""

    async def get(self, user_id: str) -> Person: ...


Answer = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


class BoardPages:
    """The boards of all bots of rides: ``server.mount(PREFIX, pages.app())``."""

    def __init__(
        self,
        access: Access,
        links: Links,
        renderer: Renderer,
        origin: Origin,
        *,
        database: Database,
        operates: Callable[[str], bool],
        people: KnowsPeople,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            operates: whether a person is an operator, by the configuration.
            monotonic: seconds, for rate limits.
        """
        self._access = access
        self._links = links
        self._renderer = renderer
        self._origin = origin
        self._database = database
        self._operates = operates
        self._people = people
        self._clock = clock
        self._monotonic = monotonic
        self._boards: dict[str, tuple[Look, Renderer]] = {}
        self._looks, self._entries = RateLimiter(LOOKS), RateLimiter(ENTRIES)
        self._script = (files("bots.rides.pages") / "templates" / "board.js").read_bytes()

    def add(self, bot: str, look: Look, tiles: Tiles | None = None) -> None:
        """Serve the board of a bot, on a map with its operator's tiles, where there are some; one of the same instance
        is replaced."""
        self._boards[bot] = look, self._renderer.tiled(tiles)

    def app(self) -> web.Application:
        """The routes below the prefix."""
        app = web.Application()
        router = app.router
        router.add_get("/board.js", self._js)
        router.add_get("/{bot}/enter/{token}", self._safely(self._enter))
        router.add_post("/{bot}/enter/{token}", self._safely(self._open))
        router.add_get("/{bot}/", self._safely(self._board))
        router.add_get("/{bot}/live", self._safely(self._live))
        return app

    def _safely(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            words = self._renderer.translation(accepted_languages(request))
            bot = request.match_info["bot"]
            if bot not in self._boards:
                raise web.HTTPNotFound
            try:
                return await answer(request, bot)
            except LinkInvalid as invalid:
                used = words.t("This link was used already. Write “board” in the chat for a new one.")
                over = words.t("This link has expired. Write “board” in the chat for a new one.")
                return self._told(words, used if invalid.why == "used" else over, 410)
            except FormRefused as refused:
                log.info("a form was not taken: %s", refused.code)
                return self._told(words, words.t("Please open the page from the chat again."), refused.status)
            except _TooOftenError as often:
                return self._told(words, often.verdict.explain(words), 429)
            except DatabaseError as error:
                log.error("a page waits for the database: %s", error)
                text = words.t("Something on our side does not answer. Please try again in a moment.")
                return self._told(words, text, 503)

        return handle

    def _limit(self, limiter: RateLimiter, name: str) -> None:
        verdict = limiter.check(name, self._monotonic())
        if isinstance(verdict, Limited):
            raise _TooOftenError(verdict)

    def _told(self, words: Translation, text: str, status: int) -> web.Response:
        """A page that says one thing."""
        view = {"name": "Rialto", "title": words.t("Board"), "lead": text, "button": "", "csrf": "", "wide": False}
        return self._renderer.page("board_enter.html", view, words, status=status)

    # Coming in

    async def _enter(self, request: web.Request, bot: str) -> web.StreamResponse:
        """Behind a link from the chat. Looking at it uses nothing up: clients fetch previews."""
        token = request.match_info["token"]
        words = self._renderer.translation(accepted_languages(request))
        self._limit(self._entries, self._links.digest(token, PURPOSE))
        now = self._clock.now_ms()
        claim = await self._database.read(lambda connection: self._links.peek(connection, token, PURPOSE, now))
        visitor = self._origin.visitor(request)
        view = {
            "name": "Rialto",
            "title": words.t("Board"),
            "lead": words.t("For {person}.", person=claim.person),
            "button": words.t("Open"),
            "csrf": self._origin.secret(visitor, claim.digest),
            "wide": False,
        }
        response = self._renderer.page("board_enter.html", view, words)
        self._origin.remember(request, response, visitor)
        return response

    async def _open(self, request: web.Request, bot: str) -> web.StreamResponse:
        token = request.match_info["token"]
        self._limit(self._entries, self._links.digest(token, PURPOSE))
        self._origin.check_headers(request)
        form = await read_form(request)
        self._origin.check(request, form, self._links.digest(token, PURPOSE))
        now, cookie = self._clock.now_ms(), self._access.new_cookie()

        def work(connection: Connection) -> None:
            claim = self._links.redeem(connection, token, PURPOSE, now)
            if claim.subject != bot:
                raise LinkInvalid("unknown")
            self._access.begin(connection, cookie, bot=_session(bot), person=claim.person, room_id="", framed=False)

        await self._database.write(work)
        base = f"{PREFIX}/{quote(bot)}"
        response = web.Response(status=303, headers={"Location": f"{base}/"})
        self._access.remember(response, cookie, base, framed=False)
        return response

    # Looking

    async def _operator(self, request: web.Request, bot: str) -> Session | None:
        """The session of an operator; None: there is none, or they are none any more."""
        session = await self._access.session(request, _session(bot))
        if session is None or not self._operates(session.person):
            return None
        self._limit(self._looks, session.person)
        return session

    async def _board(self, request: web.Request, bot: str) -> web.StreamResponse:
        words, view = await self._shown(request, bot)
        if view is None:
            return self._told(words, words.t("Please open the board from your chat: write “board”."), 401)
        _, renderer = self._boards[bot]
        response = renderer.page("board.html", view, words)
        policy = f"{renderer.policy}; script-src 'self'; connect-src 'self'"
        response.headers["Content-Security-Policy"] = policy
        return response

    async def _live(self, request: web.Request, bot: str) -> web.StreamResponse:
        """What has changed, for the script: a part of the page."""
        words, view = await self._shown(request, bot)
        if view is None:
            return web.Response(status=401)
        response = self._renderer.page("board_live.html", view, words)
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _shown(self, request: web.Request, bot: str) -> tuple[Translation, dict[str, Any] | None]:
        session = await self._operator(request, bot)
        if session is None:
            return self._renderer.translation(accepted_languages(request)), None
        person = await self._people.get(session.person)
        wanted = [*([person.language] if person.language else ()), *accepted_languages(request)]
        words = self._renderer.translation(wanted, person.zone or "")
        look, renderer = self._boards[bot]
        return words, self._view(await look(), words, f"{PREFIX}/{quote(bot)}", renderer.tiles)

    def _view(self, board: Board, words: Translation, base: str, tiles: Tiles | None) -> dict[str, Any]:
        drawn = drawing(board, words)
        # Zones may be far away: what is looked at is where people and cars are, if there are any.
        points = [spot.point for spot in drawn.spots] or drawn.points()
        view = fit(points, WIDTH, HEIGHT, tiled=tiles is not None)
        waiting = board.waiting
        return {
            "name": "Rialto",
            "title": words.t("Board"),
            "wide": True,
            "live": f"{base}/live",
            "script": f"{PREFIX}/board.js",
            "every": EVERY_S * 1000,
            "again": AGAIN_S,
            "stale": words.t("This page cannot be brought up to date just now."),
            "over": words.t("Your session is over. Write “board” in the chat for a new link."),
            "map": Markup(svg(drawn, view, tiles)),  # noqa: S704 - drawn here, texts in it are escaped
            "counts": counts(board, words),
            "surges": surges(board, words),
            "heads": [words.t("Trip"), words.t("Class"), words.t("Waits"), words.t("Asked"), words.t("From")],
            "waiting": [
                (each.number, each.service, _minutes(words, board.at - each.since), str(each.waves), each.place)
                for each in waiting[:LISTED]
            ],
            "waiting_title": words.n("{count} waits", "{count} wait", board.waits),
            "nobody": words.t("Nobody waits."),
            "more": words.t("And more.") if board.waits > min(len(waiting), LISTED) else "",
            "at": words.t("As of {time}", time=board.at),
        }

    async def _js(self, _request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "public, max-age=3600"}
        return web.Response(body=self._script, content_type="text/javascript", charset="utf-8", headers=headers)


class BoardDoor:
    """The way from the chat to the board; a plugin gets it by its scope ``fleet``, where pages are served."""

    def __init__(self, links: Links, pages: BoardPages, url: str) -> None:
        """
        Args:
            url: of the listener, as browsers know it.
        """
        self._links = links
        self._pages = pages
        self._url = url

    def open(self, bot: str, look: Look, tiles: Tiles | None = None) -> None:
        """Serve the board of a bot, on a map with its operator's tiles, where there are some."""
        self._pages.add(bot, look, tiles)

    def link(self, ctx: Context, bot: str) -> str:
        """A link that opens the board once, for the person at hand; those before it end. It counts from the commit
        on."""
        person, now = ctx.sender, ctx.now_ms()
        drafted, keep = self._links.draft(
            purpose=PURPOSE, person=person, subject=bot, ttl_s=LINK_LASTS.total_seconds(), now=now
        )

        def replace(connection: Connection) -> None:
            self._links.withdraw(connection, purpose=PURPOSE, person=person, subject=bot, now=now)
            keep(connection)

        ctx.store(replace)
        return f"{self._url}{PREFIX}/{quote(bot)}/enter/{drafted.rsplit('/', 1)[1]}"


class _TooOftenError(Exception):
    def __init__(self, verdict: Limited) -> None:
        super().__init__()
        self.verdict = verdict


def _session(bot: str) -> str:
    """What a session of the board is of: a mini app's session of the same bot opens no board."""
    return f"board {bot}"


def _minutes(words: Translation, time: timedelta) -> str:
    seconds = max(round(time.total_seconds()), 0)
    return words.t("{minutes}:{seconds} min", minutes=seconds // 60, seconds=f"{seconds % 60:02}")


def drawing(board: Board, words: Translation) -> Drawing:
    """The map: zones, cars by what they do, and who waits on top of them."""
    areas = [Area(zone.shape, zone.name) for zone in board.zones]
    spots = [Spot(car.point, SIGNS[car.state], title=_car(car, words), heading=car.heading) for car in board.cars]
    spots += [
        Spot(each.point, Sign.WAITING, title=words.t("{number} waits", number=each.number)) for each in board.waiting
    ]
    alt = words.t("A map: {waiting} wait, {free} cars are free, {busy} are on a trip.", waiting=board.waits,
                  free=board.count(CarState.FREE, CarState.ASKED), busy=board.count(CarState.BUSY))  # fmt: skip
    return Drawing(alt, spots, (), areas)


def _car(car: Car, words: Translation) -> str:
    state = words.t(CARS[car.state])
    named = f"{car.plate}: {state}" if car.plate else state
    return f"{named} ({car.trip})" if car.trip else named


def counts(board: Board, words: Translation) -> list[tuple[str, str, int]]:
    """Sign (a class of the style sheet), label and number."""
    return [
        ("waiting", words.t("waiting"), board.waits),
        ("free", words.t("free"), board.count(CarState.FREE, CarState.ASKED)),
        ("busy", words.t("on a trip"), board.count(CarState.BUSY)),
        ("paused", words.t("on a break"), board.count(CarState.PAUSED)),
        ("paused", words.t("position lost"), board.count(CarState.LOST) + board.unknown),
        ("", words.t("cases for you"), board.cases),
    ]


def surges(board: Board, words: Translation) -> list[str]:
    """Where it costs more just now."""
    found = [(zone.name, zone.surge) for zone in board.zones] + [(words.t("everywhere else"), board.elsewhere)]
    return [f"{name} × {surge / 100:g}" for name, surge in found if surge > 100]
