"""What the benchmarks of the framework run on: services on a database, and rooms of one person each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from appservice.database import Database
from appservice.media import Media
from appservice.sealing import Sealer
from bots.framework.clock import SystemClock
from bots.framework.i18n import Catalogues
from bots.framework.people import People
from bots.framework.permissions import Permissions
from bots.framework.schedules import Scheduler
from bots.framework.services import HomeserverView, Services
from bots.framework.state import Store
from tests.store.harness import ALICE, BOT, FakeRooms

__all__ = ["ALICE", "BOT", "Rooms", "services"]

KEY = "a pickle key for benchmarks"


class Rooms(FakeRooms):
    """One person and the bot in each."""

    async def humans(self, _room_id: str) -> Sequence[str]:
        return [ALICE]

    async def members(self, _room_id: str) -> dict[str, str]:
        return {ALICE: "join", BOT: "join"}

    async def display_name(self, _room_id: str, _user_id: str) -> str | None:
        return None

    async def sender_of(self, _room_id: str, _event_id: str, _user_id: str) -> str | None:
        return None


def services(database: Database, rooms: Rooms) -> Services:
    """What consumers are made with, as the service makes it."""
    clock = SystemClock()

    async def raise_events(_work: Any) -> None:
        raise AssertionError("nothing is due in a benchmark")

    scheduler = Scheduler(database, raise_events, Sealer(KEY, "schedules"), clock, list)
    return Services(
        database=database,
        rooms=rooms,
        media=cast(Media, None),
        homeserver=cast(HomeserverView, None),
        sealer=Sealer(KEY, "dialogs"),
        clock=clock,
        people=People(database, clock, scheduler),
        catalogues=Catalogues("en"),
        permissions=Permissions.model_validate({}),
        scheduler=scheduler,
        store=Store(database, Sealer(KEY, "state"), clock.now_ms),
        server_name="localhost",
    )
