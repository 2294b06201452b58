"""Where places are, without asking anybody: coordinates. And what geocoders that are asked have in common."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bots.domain.places import TEXT_MAX, Place, PlaceError, Point, distance_m
from bots.framework import InvalidValue
from bots.framework.arguments.places import read_place
from bots.framework.http import HttpClient, HttpError, HttpRefused
from bots.routing.base import Geocoder, RoutingError

__all__ = ["Coordinates", "First", "HttpGeocoder", "Pace", "place_at"]

log = logging.getLogger(__name__)

QUERY_MAX: Final = 200
REMEMBERED: Final = 2_000
MAX_ANSWER: Final = 512 * 1024
NEAR_M: Final = 300_000
"""Coordinates the other way round are what is meant if that brings them so near to where somebody is, and only that."""
PLACES: Final = 7
_NUMBERS: Final = re.compile(r"\s*([+-]?\d{1,3}(?:\.\d{1,15})?)\s*[,;\s]\s*([+-]?\d{1,3}(?:\.\d{1,15})?)\s*")


def place_at(point: Point, text: str = "") -> Place:
    """A place with a text; without one, its coordinates are the text."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in text).split())[:TEXT_MAX]
    return Place(plain or f"{round(point.latitude, PLACES)}, {round(point.longitude, PLACES)}", point)


class Coordinates:
    """Knows what is written as coordinates (“52.52, 13.40”, “geo:52.52,13.40”), and nothing else.

    The latitude comes first. Where that cannot be, or lies far from where the person is while the other way round is
    near, they are taken the other way round.
    """

    source = "coordinates"

    async def find(
        self, text: str, *, near: Point | None = None, limit: int = 5, language: str = "en"
    ) -> tuple[Place, ...]:
        """The place, or none."""
        found = self._read(text)
        swapped = self._swapped(text)
        if found is None:
            return () if swapped is None else (place_at(swapped),)
        if near is not None and swapped is not None and distance_m(near, swapped) <= NEAR_M < distance_m(near, found):
            return (place_at(swapped), place_at(found))[:limit]
        return (place_at(found),)[:limit]

    async def name(self, point: Point, *, language: str = "en") -> Place | None:
        """None: coordinates have no names."""
        return None

    def _read(self, text: str) -> Point | None:
        try:
            read = read_place(text)
            return Point(read.latitude, read.longitude)
        except (InvalidValue, PlaceError):
            return None

    def _swapped(self, text: str) -> Point | None:
        """Two bare numbers the other way round, where that can be."""
        match = _NUMBERS.fullmatch(text.replace("−", "-"))
        try:
            return None if match is None else Point(float(match[2]), float(match[1]))
        except PlaceError:
            return None


class First:
    """Several geocoders in turn: the first that finds something has it."""

    def __init__(self, *geocoders: Geocoder) -> None:
        self._geocoders = geocoders
        self.source = "+".join(each.source for each in geocoders)

    async def find(
        self, text: str, *, near: Point | None = None, limit: int = 5, language: str = "en"
    ) -> tuple[Place, ...]:
        """What the first one finds that finds anything."""
        for each in self._geocoders:
            found = await each.find(text, near=near, limit=limit, language=language)
            if found:
                return found
        return ()

    async def name(self, point: Point, *, language: str = "en") -> Place | None:
        """What the first one says that says anything."""
        for each in self._geocoders:
            found = await each.name(point, language=language)
            if found is not None:
                return found
        return None


class Pace:
    """So many requests a second at most, one after the other; who would wait too long is told."""

    def __init__(
        self,
        per_second: float,
        *,
        patience: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """
        Args:
            patience: seconds that somebody waits at most.
            clock: seconds of a monotonic clock; ``sleep``: waits on it.
        """
        if per_second <= 0:
            raise ValueError("a pace is more than 0 a second")
        self._gap = 1 / per_second
        self._patience = patience
        self._clock, self._sleep = clock, sleep
        self._next = float("-inf")

    async def turn(self) -> None:
        """Wait for one's turn. Raises RoutingError: too many wait already."""
        now = self._clock()
        at = max(now, self._next)
        if at - now > self._patience:
            raise RoutingError("geocoder.unavailable")
        self._next = at + self._gap
        if at > now:
            await self._sleep(at - now)


class HttpGeocoder:
    """What geocoders over HTTP have in common: pace, time-out, memory, and errors that people understand."""

    source = "http"

    def __init__(
        self,
        http: HttpClient,
        url: str,
        *,
        user_agent: str,
        per_second: float,
        timeout: float = 4.0,
        pace: Pace | None = None,
    ) -> None:
        """
        Args:
            url: where it is, without a path.
            user_agent: names the service, with a way to reach its operator: public geocoders ask for it.
            per_second: requests at most.
            timeout: seconds for one answer.
            pace: in place of the one of ``per_second``.
        """
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": user_agent}
        self._timeout = timeout
        self._pace = pace or Pace(per_second)
        self._known: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    async def find(
        self, text: str, *, near: Point | None = None, limit: int = 5, language: str = "en"
    ) -> tuple[Place, ...]:
        """Places that people may mean by this text."""
        query = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        if not query or len(query) > QUERY_MAX:
            return ()
        # Not more exactly than need be: whoever runs the geocoder need not know where people are.
        about = None if near is None else Point(round(near.latitude, 1), round(near.longitude, 1))
        said = await self._ask(*self._search(query, about, limit, language))
        try:
            return self._places(said)[:limit]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise self._failed(f"an answer that makes no sense: {type(error).__name__}") from None

    async def name(self, point: Point, *, language: str = "en") -> Place | None:
        """What people call the place at this point: its name, and the point that was asked for."""
        said = await self._ask(*self._reverse(point, language))
        try:
            found = self._places(said)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise self._failed(f"an answer that makes no sense: {type(error).__name__}") from None
        return place_at(point, found[0].text) if found else None

    def _search(self, query: str, near: Point | None, limit: int, language: str) -> tuple[str, dict[str, str]]:
        """Path and parameters of a search."""
        raise NotImplementedError

    def _reverse(self, point: Point, language: str) -> tuple[str, dict[str, str]]:
        """Path and parameters of the question what is at a point."""
        raise NotImplementedError

    def _places(self, said: Any) -> tuple[Place, ...]:
        """The places of an answer, to a search or to the other question."""
        raise NotImplementedError

    async def _ask(self, path: str, parameters: dict[str, str]) -> Any:
        key = (path, *(f"{name}={value}" for name, value in sorted(parameters.items())))
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        await self._pace.turn()
        try:
            said = await self._http.get_json(
                f"{self._url}{path}",
                params=parameters,
                headers=self._headers,
                timeout=self._timeout,
                max_bytes=MAX_ANSWER,
            )
        except HttpRefused as error:
            raise self._failed(f"status {error.status}") from None
        except HttpError as error:
            raise self._failed(error.code) from None
        self._known[key] = said
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return said

    def _failed(self, why: str) -> RoutingError:
        log.warning("a geocoder gave no answer that can be used", extra={"geocoder": self.source, "why": why})
        return RoutingError("geocoder.unavailable")
