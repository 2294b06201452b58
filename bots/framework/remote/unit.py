"""The unit of work on the plugin's side: it collects what Rialto is to commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.errors import RialtoError
from appservice.store.tables import OutboxKind
from appservice.unit import UnitOfWork
from bots.framework.remote.link import Link

_KINDS: Final = {OutboxKind.EVENT: "event", OutboxKind.STATE: "state", OutboxKind.REDACTION: "redaction"}


class NotHere(RialtoError):
    """A plugin outside Rialto's process has no database of Rialto's."""

    code = "remote_not_here"


@dataclass(frozen=True, slots=True)
class Named:
    """A write that Rialto does in the commit: its name and its arguments, or what makes them then."""

    op: str
    args: Mapping[str, Any] | Callable[[], Awaitable[Mapping[str, Any]]]

    def __call__(self, connection: Connection) -> None:
        """It is never run here."""
        raise NotHere("this is done by Rialto")

    async def out(self) -> dict[str, Any]:
        """As it stands in a frame."""
        args = self.args if isinstance(self.args, Mapping) else await self.args()
        return {"op": self.op, **args}


class RemoteUnit(UnitOfWork):
    """Collects what a handler wants; Rialto commits it."""

    __slots__ = ("_link", "_sources")

    def __init__(self, link: Link, event_id: str, consumer: str, user_id: str) -> None:
        super().__init__(event_id, consumer, user_id, self._commit)
        self._link = link
        self._sources: dict[str, tuple[int, str | None]] = {}
        """Of a message, by its transaction id: its ordinal and its key."""

    def store(self, operation: Callable[[Connection], object]) -> None:
        """Writes that have a name only.

        Raises:
            NotHere: it is a function on a database connection.
        """
        if not isinstance(operation, Named):
            raise NotHere(
                "a plugin that is served from outside has no tables in Rialto's database: use ctx.state, or a "
                "database of its own"
            )
        super().store(operation)

    def _add(
        self,
        kind: OutboxKind,
        room_id: str,
        event_type: str,
        target: str | None,
        content: Mapping[str, Any],
        user_id: str | None,
        key: str | None = None,
    ) -> str:
        ordinal = self._ordinal
        reference = super()._add(kind, room_id, event_type, target, content, user_id, key)
        self._sources[self.messages[-1].txn_id] = (ordinal, key)
        return reference

    async def effects(self) -> dict[str, Any]:
        """What is collected, as it stands in a frame."""
        messages = []
        for message in self.messages:
            ordinal, key = self._sources[message.txn_id]
            out = {
                "kind": _KINDS[message.kind],
                "room_id": message.room_id,
                "user_id": message.user_id,
                "type": message.event_type,
                "target": message.target,
                "content": json.loads(message.content),
            }
            messages.append(out | ({"ordinal": ordinal} if key is None else {"key": key}))
        if self.events:
            raise NotHere("a plugin that is served from outside raises no events of its own")
        operations = [await each.out() for each in self.operations if isinstance(each, Named)]
        return {"messages": messages, "operations": operations}

    async def _commit(self, _unit: UnitOfWork) -> None:
        callbacks = self.callbacks
        await self._link.checkpoint(await self.effects())
        self.cleared()
        for callback in callbacks:
            callback()
