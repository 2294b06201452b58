"""What the handlers of every plugin stand on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from appservice.database import Database
from appservice.media import Media
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from bots.framework.clock import Clock
from bots.framework.dialogs.payments import Payments
from bots.framework.dialogs.storage import DialogStorage, StoredDialogs
from bots.framework.i18n import Catalogues
from bots.framework.noted import Noted
from bots.framework.people import Person
from bots.framework.permissions import Permissions
from bots.framework.schedules import Scheduler
from bots.framework.state import Store


class RoomsView(Protocol):
    """What is known of rooms: :class:`appservice.rooms.Rooms`, or a test's."""

    async def is_encrypted(self, room_id: str) -> bool: ...

    async def humans(self, room_id: str) -> Sequence[str]: ...

    async def members(self, room_id: str) -> Mapping[str, str]: ...

    async def display_name(self, room_id: str, user_id: str) -> str | None: ...

    async def sender_of(self, room_id: str, event_id: str, user_id: str) -> str | None: ...


class HomeserverView(Protocol):
    """What may happen at once, outside the unit of work: typing notices, receipts, look-ups."""

    async def request(self, method: str, path: str, *, user_id: str, body: Any = None) -> Any: ...


class ChatsView(Protocol):
    """Makes rooms, once for each purpose: :class:`bridge.chats.Chats`."""

    async def direct(self, person: str, bot: str, name: str) -> str: ...

    async def group(
        self, purpose: str, maker: str, name: str, people: Iterable[str], *, topic: str = "", encrypted: bool = True
    ) -> str: ...


class PeopleView(Protocol):
    """What people have said of themselves."""

    async def get(self, user_id: str) -> Person: ...

    def set_language(self, unit: UnitOfWork, user_id: str, language: str | None) -> None: ...

    def set_zone(self, unit: UnitOfWork, user_id: str, zone: str | None) -> None: ...


@dataclass(frozen=True)
class Services:
    """What every consumer is made with.

    Attributes:
        strict: find determinism errors of dialogs (in tests and in ``rialto plugin dev``): each run is replayed.
    """

    database: Database
    rooms: RoomsView
    media: Media
    homeserver: HomeserverView
    sealer: Sealer
    clock: Clock
    people: PeopleView
    catalogues: Catalogues
    permissions: Permissions
    scheduler: Scheduler
    store: Store
    server_name: str
    chats: ChatsView | None = None
    payments: Payments | None = None
    default_currency: str | None = None
    strict: bool = False
    extra: Mapping[type, Any] = field(default_factory=dict)
    dialogs: DialogStorage | None = None
    """Where dialogs lie; in the database unless told."""
    noted: Noted = field(default_factory=Noted)

    @property
    def dialog_storage(self) -> DialogStorage:
        """Where dialogs lie."""
        return self.dialogs if self.dialogs is not None else StoredDialogs(self.database, self.sealer)
