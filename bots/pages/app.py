"""The pages as a whole: ``server.mount(PREFIX, pages.app())``. A page is a :class:`HostedPage`, found by its purpose.

``GET /pages/{purpose}/{token}`` shows it and uses nothing up; ``POST`` to the same address sends its form.
"""

from __future__ import annotations

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, ClassVar, Final, Protocol

from aiohttp import web
from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from bots.framework.clock import Clock, from_ms
from bots.framework.i18n import Catalogues, Formats, Translation
from bots.framework.limits import Limited, RateLimit, RateLimiter
from bots.framework.people import Person
from bots.framework.recurrence import zone_named
from bots.pages import notices
from bots.pages.forms import Form, FormRefused, Origin, read_form
from bots.pages.links import PURPOSE, LinkClaim, LinkInvalid, Links
from bots.pages.page import Page
from bots.pages.rendering import DOMAIN, Renderer

log = logging.getLogger(__name__)

LOOKS: Final = RateLimit(120, 60)
"""How often one link may be looked at."""
SENDS: Final = RateLimit(10, 60)
"""How often the form of one link may be sent."""


class KnowsPeople(Protocol):
    """What people have said of themselves: :class:`bots.framework.people.People`."""

    async def get(self, user_id: str) -> Person: ...


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody has a page open by a link that was given to ``person``.

    Attributes:
        subject: what the link is about.
        now, expires_at: ms since the epoch.
        redeem: uses the link up; belongs into the commit of what the page is for. Raises LinkInvalid, which undoes the
            commit, when somebody else was faster; let it through.
    """

    person: str
    subject: str
    now: int
    expires_at: int
    redeem: Callable[[Connection], None]
    words: Translation

    def t(self, text: str, /, **values: Any) -> str:
        """A text of the page's domain in the person's language."""
        return self.words.t(text, **values)

    @property
    def formats(self) -> Formats:
        """How the person's language writes money and dates."""
        return self.words.formats

    def moment(self, at: int) -> str:
        """A point in time (ms since the epoch) as the person reads it: the time, and the day unless it is near."""
        formats, when = self.words.formats, from_ms(at)
        near = abs(at - self.now) < timedelta(hours=12) // timedelta(milliseconds=1)
        said = formats.time(when) if near else formats.datetime(when, "short")
        return f"{said} UTC" if formats.zone is UTC else said


class HostedPage(ABC):
    """A page of ours behind a link. ``purpose`` is a part of its address, ``domain`` the catalogue of its texts."""

    purpose: ClassVar[str]
    domain: ClassVar[str] = DOMAIN

    @abstractmethod
    async def show(self, visit: Visit) -> Page:
        """What a link that can be used shows. Changes nothing: clients look at links that nobody has opened."""

    @abstractmethod
    async def submit(self, visit: Visit, form: Form) -> Page:
        """Do what the form asks, using the link up in the same commit, and say how it went; or show the form again,
        with what is wrong."""

    async def over(self, visit: Visit) -> Page | None:
        """What to say when the form is sent again after the link was used, as by a second click; None: just that.

        Only the browser that had the form open gets to see it.
        """
        return None


class Pages:
    """The pages there are, and the answers to requests for them."""

    def __init__(
        self,
        links: Links,
        database: Database,
        people: KnowsPeople,
        catalogues: Catalogues,
        clock: Clock,
        *,
        pickle_key: str,
        public_url: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            public_url: of the listener (``web.public_url``).
            monotonic: seconds, for rate limits.
        """
        self._links = links
        self._database = database
        self._people = people
        self._clock = clock
        self._monotonic = monotonic
        self._renderer = Renderer(catalogues, public_url)
        self._origin = Origin(pickle_key, public_url)
        self._pages: dict[str, HostedPage] = {}
        self._looks, self._sends = RateLimiter(LOOKS), RateLimiter(SENDS)

    def add(self, page: HostedPage) -> None:
        """Serve a page.

        Raises:
            ValueError: its purpose cannot stand in an address, or is taken.
        """
        if not PURPOSE.fullmatch(page.purpose) or page.purpose in self._pages:
            raise ValueError(f"no page can be added for the purpose {page.purpose!r}")
        self._pages[page.purpose] = page

    def app(self) -> web.Application:
        """The routes below :data:`bots.pages.PREFIX`."""
        app = web.Application()
        app.router.add_get("/{purpose}/{token}", self._get)
        app.router.add_post("/{purpose}/{token}", self._post)
        return app

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return await self._safely(request, self._show)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        return await self._safely(request, self._submit)

    async def _safely(
        self, request: web.Request, answer: Callable[[web.Request, HostedPage, str], Awaitable[web.Response]]
    ) -> web.Response:
        """The answer for a link that was made here, and a page that says why when there is none."""
        words = self._renderer.translation(accepted_languages(request))
        token = request.match_info["token"]
        page = self._pages.get(request.match_info["purpose"])
        try:
            if page is None or not self._links.genuine(token, page.purpose):
                raise LinkInvalid("unknown")
            return await answer(request, page, token)
        except LinkInvalid as invalid:
            return self._renderer.render(notices.invalid(invalid, words), words)
        except FormRefused as refused:
            log.info("a form was not taken: %s", refused.code)
            return self._renderer.render(notices.refused(refused, words), words)
        except _TooOften as often:
            return self._renderer.render(notices.limited(often.limited, words), words)
        except DatabaseError as error:
            log.error("a page waits for the database: %s", error)
            return self._renderer.render(notices.unavailable(words), words)

    async def _show(self, request: web.Request, page: HostedPage, token: str) -> web.Response:
        self._limit(self._looks, page, token)
        claim = await self._look(token, page.purpose)
        visit, words = await self._visit(request, page, token, claim)
        if claim.used:
            return self._renderer.render(notices.invalid(LinkInvalid("used"), words), words)
        visitor = self._origin.visitor(request)
        shown = await page.show(visit)
        response = self._renderer.render(shown, words, self._origin.secret(visitor, claim.digest))
        if shown.buttons:
            self._origin.remember(request, response, visitor)
        return response

    async def _submit(self, request: web.Request, page: HostedPage, token: str) -> web.Response:
        self._origin.check_headers(request)
        self._limit(self._sends, page, token)
        form = await read_form(request)
        claim = await self._look(token, page.purpose)
        secret = self._origin.check(request, form, claim.digest)
        visit, words = await self._visit(request, page, token, claim)
        try:
            if claim.used:
                raise LinkInvalid("used")
            answer = await page.submit(visit, form)
        except LinkInvalid as invalid:
            told = await page.over(visit) if invalid.why == "used" else None
            answer = told or notices.invalid(invalid, words)
        return self._renderer.render(answer, words, secret)

    async def _look(self, token: str, purpose: str) -> LinkClaim:
        now = self._clock.now_ms()
        return await self._database.read(lambda connection: self._links.look(connection, token, purpose, now))

    async def _visit(
        self, request: web.Request, page: HostedPage, token: str, claim: LinkClaim
    ) -> tuple[Visit, Translation]:
        """The visit, with texts of the page's domain; and the pages' own texts."""
        person = await self._people.get(claim.person)
        wanted = [*([person.language] if person.language else ()), *accepted_languages(request)]
        zone = zone_named(person.zone) if person.zone else UTC
        own = self._renderer.translation(wanted, page.domain, zone)
        common = own if page.domain == DOMAIN else self._renderer.translation(wanted)
        now = self._clock.now_ms()

        def redeem(connection: Connection) -> None:
            self._links.redeem(connection, token, page.purpose, now)

        return Visit(claim.person, claim.subject, now, claim.expires_at, redeem, own), common

    def _limit(self, limiter: RateLimiter, page: HostedPage, token: str) -> None:
        verdict = limiter.check(self._links.digest(token, page.purpose), self._monotonic())
        if isinstance(verdict, Limited):
            raise _TooOften(verdict)


class _TooOften(Exception):
    def __init__(self, limited: Limited) -> None:
        self.limited = limited


def accepted_languages(request: web.Request) -> list[str]:
    """The languages that a browser asks for, best first (RFC 9110, section 12.5.4)."""
    found: list[tuple[float, str]] = []
    for part in request.headers.get("Accept-Language", "")[:500].split(",")[:20]:
        tag, _, parameters = part.partition(";")
        weight = re.search(r"q\s*=\s*([01](?:\.[0-9]{0,3})?)", parameters)
        quality = float(weight[1]) if weight else 1.0
        if quality and tag.strip():
            found.append((-quality, tag.strip()))
    return [tag for _, tag in sorted(found, key=lambda each: each[0])]
