"""Where dialogs and their journals lie: in the database, or behind the connection of a plugin that runs elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from appservice.database import Database
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from bots.store import dialogs as sql
from bots.store.dialogs import Change, DialogRow, EntryRow


class DialogStorage(Protocol):
    """What dialogs ask of their storage. Reads raise DatabaseError when it cannot be read now."""

    async def active(self, consumer: str, room_id: str, person: str | None = None) -> list[DialogRow]:
        """The open dialogs of a room that a person may answer (None: all of the room), the newest first."""

    async def get(self, dialog_id: str) -> DialogRow | None:
        """One dialog."""

    async def beside(
        self, dialog_id: str, consumer: str, room_id: str, person: str
    ) -> tuple[DialogRow | None, list[DialogRow]]:
        """What :meth:`get` and :meth:`active` give, in one read."""

    async def journal(self, dialog_id: str) -> list[EntryRow]:
        """A dialog's journal, in order."""

    async def event_ids(self, txn_ids: Iterable[str]) -> dict[str, str]:
        """The events that messages of ours became, by transaction id, as far as they are remembered; an empty one of
        those that are still being sent.
        """

    def save(self, unit: UnitOfWork, change: Change) -> None:
        """Make or change a dialog in the commit of a unit."""


class StoredDialogs:
    """Dialogs in the database."""

    __slots__ = ("_database", "_sealer")

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def active(self, consumer: str, room_id: str, person: str | None = None) -> list[DialogRow]:
        """The open dialogs of a room that a person may answer (None: all of the room), the newest first."""
        sealer = self._sealer
        return await self._database.read(lambda connection: sql.active(connection, sealer, consumer, room_id, person))

    async def get(self, dialog_id: str) -> DialogRow | None:
        """One dialog."""
        sealer = self._sealer
        return await self._database.read(lambda connection: sql.get(connection, sealer, dialog_id))

    async def beside(
        self, dialog_id: str, consumer: str, room_id: str, person: str
    ) -> tuple[DialogRow | None, list[DialogRow]]:
        """What :meth:`get` and :meth:`active` give, in one read."""
        sealer = self._sealer
        return await self._database.read(
            lambda connection: (
                sql.get(connection, sealer, dialog_id),
                sql.active(connection, sealer, consumer, room_id, person),
            )
        )

    async def journal(self, dialog_id: str) -> list[EntryRow]:
        """A dialog's journal, in order."""
        sealer = self._sealer
        return await self._database.read(lambda connection: sql.journal(connection, sealer, dialog_id))

    async def event_ids(self, txn_ids: Iterable[str]) -> dict[str, str]:
        """The events that messages of ours became."""
        return await self._database.read(lambda connection: sql.event_ids(connection, txn_ids))

    def save(self, unit: UnitOfWork, change: Change) -> None:
        """Make or change a dialog in the commit of a unit."""
        sealer = self._sealer
        unit.store(lambda connection: sql.save(connection, sealer, change))
