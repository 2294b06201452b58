"""Who has a page open, and what the pages ask of the rest of Rialto."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from appservice.database import Database
from bots.commerce.page.access import Session
from bots.commerce.page.together import Shared
from bots.commerce.page.views import Views
from bots.domain.carts import Cart
from bots.framework.clock import from_ms
from bots.framework.i18n import Translation
from bots.framework.people import Person

__all__ = ["Bot", "KnowsPeople", "KnowsRooms", "PageHand", "Thumbnails", "Visit"]

T = TypeVar("T")


class KnowsPeople(Protocol):
    """:class:`bots.framework.people.People`."""

    async def get(self, user_id: str) -> Person: ...


class KnowsRooms(Protocol):
    """:class:`appservice.rooms.Rooms`."""

    async def members(self, room_id: str) -> Mapping[str, str]: ...

    async def display_name(self, room_id: str, user_id: str) -> str | None: ...


class Thumbnails(Protocol):
    """Gets a small picture of a file of the homeserver: bytes and media type. Raises RialtoError."""

    async def __call__(self, url: str) -> tuple[bytes, str]: ...


@dataclass(frozen=True, slots=True)
class Bot:
    """Whose page it is. ``consumer``: the name under which the bot gets events."""

    instance: str
    consumer: str
    user_id: str
    name: str


class PageHand:
    """What the services need of somebody who has the page open; writes wait for :meth:`commit`."""

    def __init__(self, database: Database, at: int) -> None:
        self._database = database
        self._at = at
        self.writes: list[Callable[[Connection], object]] = []

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read."""
        return await self._database.read(work)

    def now(self) -> datetime:
        """The moment of the request (UTC)."""
        return from_ms(self._at).astimezone(UTC)

    def now_ms(self) -> int:
        """The same in ms since the epoch."""
        return self._at

    def store(self, operation: Callable[[Connection], object]) -> None:
        """Write in the commit."""
        self.writes.append(operation)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is known. ``shared``: what their room orders together; None: the cart is theirs."""

    session: Session
    hand: PageHand
    cart: Cart
    words: Translation
    views: Views
    shared: Shared | None = None

    @property
    def owner(self) -> str:
        """Whose the cart is."""
        return self.session.person if self.shared is None else self.shared.owner

    @property
    def person(self) -> str:
        """Who wants what is put into a cart of several people; empty where it is their own."""
        return "" if self.shared is None else self.session.person
