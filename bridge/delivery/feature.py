"""Numbers every event of every chat, in the order in which the homeserver hands them over.

The number is given in the commit that marks the event as done: a crash before it means that the event comes again, and
gets the number then; a crash after it means that the event has its number and keeps it.

A chat that Rialto made has events from before it was known here (its creation, the first invitations), and so has the
room that takes a chat's place in an upgrade: they are fetched with the first event that comes, and are numbered before
it. The history of an adopted room has no numbers: 1 is the first event after the adoption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import Event, defect
from appservice.homeserver import Homeserver, HomeserverError, path
from appservice.unit import UnitOfWork
from bridge.delivery.service import DeliveryService
from bridge.domain.delivery import Entry, relation_of
from bridge.feature import Feature
from bridge.registry import Registry
from bridge.steward import ROOMS
from bridge.store import delivery as store
from bridge.store.chats import Chat

NAME: Final = "bridge:delivery"
MOST_HISTORY: Final = 1_000
"""Events that are fetched of a chat that is new here, at most. One with more has been used without numbers before, and
is taken for an adopted one.
"""
MOST_STATE_KEY: Final = 255
LATEST: Final = 2**53
"""A time that a sender's server makes up may be any number."""


class DeliveryFeature(Feature):
    """The consumer. It reads nothing and says nothing, so it needs no user."""

    name = NAME

    def __init__(
        self,
        registry: Registry,
        homeserver: Homeserver,
        bots_in: Callable[[str], Iterable[str]],
        database: Database,
        clock: Clock,
        service: DeliveryService,
    ) -> None:
        """
        Args:
            bots_in: who of ours is in a room: the steward, or the bot whose chat it is.
        """
        super().__init__("")
        self._registry = registry
        self._homeserver = homeserver
        self._bots_in = bots_in
        self._database = database
        self._clock = clock
        self._service = service
        self._rooms: dict[str, str] = {}
        """By chat, the room that is numbered."""

    async def start(self) -> None:
        """Load which rooms are numbered."""
        self._rooms = await self._database.read(store.rooms_numbered)

    def wants(self, event: Event) -> bool:
        """Every event of a chat."""
        return event.room_id in self._registry and event.consumer is None

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Give the event its number."""
        chat = self._registry.get(event.room_id)
        if chat is None:
            return
        entries = [entry_of(event)]
        if self._rooms.get(chat.id) != chat.room_id:
            entries = [*await self._before(chat, event), *entries]
        now = self._clock.now_ms()

        def put(connection: Connection) -> None:
            numbered = store.number(connection, chat.id, chat.room_id, entries, now)
            for hook in self._service.numbered:
                hook(connection, chat, numbered)

        def kept() -> None:
            self._rooms[chat.id] = chat.room_id
            self._service.came(chat.id)

        unit.store(put)
        unit.after_commit(kept)

    async def _before(self, chat: Chat, event: Event) -> list[Entry]:
        """The events of a room that came before the first one that is numbered, in order.

        Raises:
            HomeserverError: it cannot be asked now; the event is tried again.
        """
        if chat.adopted and chat.id not in self._rooms:
            return []
        found: list[Entry] = []
        reached, start, looked = False, "", 0
        while looked < MOST_HISTORY:
            chunk, start = await self._messages(chat.room_id, start)
            for raw in chunk:
                looked += 1
                if reached:
                    found += _entries(raw, chat.room_id)
                reached = reached or raw.get("event_id") == event.event_id
            if not start or not chunk:
                return found[::-1]
        return []

    async def _messages(self, room_id: str, start: str) -> tuple[list[dict[str, Any]], str]:
        """A page of a room's timeline, the newest first, and where the next begins; nothing when nobody of ours may
        see it any more.
        """
        query = {"dir": "b", "limit": "100"} | ({"from": start} if start else {})
        for user_id in sorted(self._bots_in(room_id)):
            try:
                url = path(ROOMS, room_id, "messages")
                answer = await self._homeserver.request("GET", url, user_id=user_id, query=query)
            except HomeserverError as error:
                if error.temporary:
                    raise
                continue
            chunk = [raw for raw in answer.get("chunk", []) if isinstance(raw, dict)]
            return chunk, str(answer.get("end") or "")
        return [], ""

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """Receipts."""
        if event.get("type") == "m.receipt" and str(event.get("room_id")) in self._registry:
            self._service.receipts(event)


def entry_of(event: Event) -> Entry:
    """What is kept of an event."""
    relation, target = relation_of(event.type, event.content, event.redacts)
    state_key = event.state_key
    if state_key is not None:
        # Any text, by the specification, which not every database can hold.
        state_key = "".join(char for char in state_key if char.isprintable())[:MOST_STATE_KEY]
    return Entry(
        event.event_id,
        event.room_id,
        event.type,
        event.sender,
        min(max(event.timestamp, 0), LATEST),
        state_key,
        relation,
        target,
    )


def _entries(raw: Mapping[str, Any], room_id: str) -> list[Entry]:
    whole = {**raw, "room_id": room_id}
    return [] if defect(whole) is not None else [entry_of(Event.parse(whole))]
