"""What products ask for about their people: a copy of all that is held, and to be forgotten.

A copy is fetched by a link that says which one and until when, and proves that it was made here: a keyed digest, no
row. Who has the link has the copy, for some minutes; the product asks for a new one as long as there is the archive.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.sealing import derived_key
from bridge.actor import Actor
from bridge.domain.rights import Kind, State
from bridge.errors import Conflict, NotFound
from bridge.identity.people import People
from bridge.rights.service import RightsService
from bridge.store.rights import Request

LINK_MS: Final = 600_000
"""How long a link is good."""
Also = Callable[[Connection, Request], None]


class DataRequests:
    """Asks for products, and shows them what they have asked for: nothing of what people ask for themselves."""

    def __init__(self, people: People, rights: RightsService, clock: Clock, pickle_key: str) -> None:
        self._people = people
        self._rights = rights
        self._clock = clock
        self._key = derived_key(pickle_key, "archive-links")

    async def export(self, actor: Actor, reference: str, openid_token: str | None, also: Also) -> Request:
        """Have a copy made.

        Args:
            also: done in the transaction that holds the request.

        Raises:
            NotFound, Refused: see :meth:`bridge.identity.people.People.proven`.
            Conflict: one is being made that the product has not asked for.
            TooMany: the product had several of them today.
        """
        person, use = await self._people.proven(actor.product, reference, openid_token)
        return await self._rights.start_export(person.user_id, actor, self._ours(actor, use, also))

    async def erase(self, actor: Actor, reference: str, openid_token: str | None, also: Also) -> Request:
        """Have a person forgotten, everywhere.

        Raises:
            NotFound, Refused: see :meth:`bridge.identity.people.People.proven`; and something has to end before.
            Conflict: they are being erased, and the product has not asked for it.
        """
        person, use = await self._people.proven(actor.product, reference, openid_token)
        return await self._rights.erase(person.user_id, actor, self._ours(actor, use, also))

    @staticmethod
    def _ours(actor: Actor, use: Callable[[Connection], None], also: Also) -> Also:
        def work(connection: Connection, request: Request) -> None:
            if request.asked_by != actor.name:
                raise Conflict("request_under_way", "The same is under way already, and was asked for by others.")
            use(connection)
            also(connection, request)

        return work

    async def get(self, actor: Actor, kind: Kind, request_id: str) -> Request:
        """What a product has asked for: how far it is.

        Raises:
            NotFound: it has not asked for such.
        """
        found = await self._rights.get(request_id)
        if found is None or found.kind is not kind or found.asked_by != actor.name:
            raise NotFound("no_such_request", "There is no such request.")
        return found

    def link(self, request: Request) -> tuple[str, int] | None:
        """The word by which an archive is fetched, and until when (ms); None when there is no archive (any more)."""
        if request.kind is not Kind.EXPORT or request.state is not State.DONE or request.size is None:
            return None
        until = self._clock.now_ms() + LINK_MS
        return f"{request.id}.{until:013}.{self._mark(request.id, until)}", until

    async def fetch(self, word: str) -> bytes:
        """The archive of a link.

        Raises:
            NotFound: the link was not made here or is over, or there is no archive any more.
        """
        request_id, until, mark = word.split(".")
        good = hmac.compare_digest(mark, self._mark(request_id, int(until)))
        request = await self._rights.get(request_id) if good and int(until) > self._clock.now_ms() else None
        if request is None or not request.asked_by.startswith("product:"):
            raise NotFound("no_archive", "There is no such archive (any more). Ask for a new link.")
        return await self._rights.archive(request.person, request_id)

    def _mark(self, request_id: str, until: int) -> str:
        digest = hmac.digest(self._key, f"{request_id}.{until}".encode(), "sha256")[:16]
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
