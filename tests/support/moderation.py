"""What tests of moderation stand on: a world with moderators, and the homeserver's administration in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.store.chats import Chat
from tests.support.messenger import MessengerWorld, Person, Told

MO, MIA = "@mo:world", "@mia:world"


@dataclass
class FakeAdministration:
    """Accounts and reports of people's clients, as Synapse's admin API has them."""

    available: bool = True
    suspended: set[str] = field(default_factory=set)
    events: list[dict[str, Any]] = field(default_factory=list)
    users: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None

    async def suspend(self, user_id: str, suspended: bool) -> None:
        if self.error is not None:
            raise self.error
        if not user_id.endswith(":world"):
            raise HomeserverError(404, "M_NOT_FOUND", "no such user")
        (self.suspended.add if suspended else self.suspended.discard)(user_id)

    async def event_reports(self, start: int = 0, limit: int = 100) -> tuple[list[dict[str, Any]], int | None]:
        return self._page(self.events, start, limit)

    async def user_reports(self, start: int = 0, limit: int = 100) -> tuple[list[dict[str, Any]], int | None]:
        return self._page(self.users, start, limit)

    def _page(self, found: list[dict[str, Any]], start: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        if self.error is not None:
            raise self.error
        part = found[start : start + limit]
        return part, start + len(part) if start + len(part) < len(found) else None


class ModerationWorld(MessengerWorld):
    """A world with two moderators, whose room stands."""

    def __init__(
        self, database: Database | None = None, *, moderation: Mapping[str, Any] | None = None, **sections: Any
    ) -> None:
        section = {"moderators": [MO, MIA], **(moderation or {})}
        super().__init__(database, messenger={"moderation": section}, **sections)
        self.administration = FakeAdministration()

    async def start(self) -> ModerationWorld:
        await super().start()
        moderating = self.messenger.moderating
        moderating.service._actions._accounts = self.administration
        moderating.client_reports._administration = self.administration
        self.moderation = self.messenger.moderation
        self.policies = self.messenger.policies
        return self

    async def group(self, *names: str, kind: Kind = Kind.GROUP, public: bool = False, key: str = "1") -> Chat:
        """A chat of the first, with the others in it."""
        people = [self.person(name) for name in names]
        chat = await self.chats.create(
            Actor.person(str(people[0])),
            kind,
            name="Tea",
            public=public,
            members=[str(person) for person in people[1:]],
            key=key,
        )
        for person in people:
            await person.joins(chat.room_id)
        return chat

    async def moderator(self, name: str = "mo") -> Person:
        """A moderator who has come to the queue's room."""
        person = self.person(name)
        room_id = await self.messenger.moderating.desk.room()
        await person.joins(room_id)
        return person

    @property
    def queue(self) -> list[Told]:
        """What was told in the moderators' room."""
        return [told for told in self.told if told.code.startswith("queue.")]
