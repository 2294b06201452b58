"""The stream of receipts: none is lost, though the homeserver pushes each only once.

What the homeserver could not push (Rialto was down, a queue was full) it never pushes again. ``/sync`` has it still:
every receipt since a token. The token is stored after what came before it was taken in, so the pushed receipts only
make things quicker.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import Homeserver, HomeserverError
from bridge.store import delivery as store

log = logging.getLogger(__name__)

SYNC: Final = "/_matrix/client/v3/sync"
TIMEOUT_S: Final = 60.0
_NOTHING: Final = {"limit": 1, "not_types": ["*"]}
_RECEIPTS: Final = {
    "presence": {"not_types": ["*"]},
    "account_data": {"not_types": ["*"]},
    "room": {
        "state": {"lazy_load_members": True, "not_types": ["*"]},
        "timeline": _NOTHING,
        "account_data": {"not_types": ["*"]},
        "ephemeral": {"types": ["m.receipt"]},
    },
}
_NO_ROOMS: Final = {**_RECEIPTS, "room": {"rooms": []}}

Take = Callable[[Sequence[Mapping[str, Any]]], Awaitable[None]]


class ReceiptStream:
    """Asks for the receipts since the last time."""

    def __init__(self, homeserver: Homeserver, database: Database, clock: Clock) -> None:
        self._homeserver = homeserver
        self._database = database
        self._clock = clock
        self.takers: list[Take] = []
        """Handed every ``m.receipt``, perhaps again; when they return, it is kept."""

    async def catch_up(self, users: Sequence[str]) -> None:
        """Take in what these users of ours saw of receipts since the last time. Begins with now for a new one.

        Raises:
            DatabaseError: it goes on from the same place the next time.
        """
        for user_id in users:
            try:
                await self._one(user_id)
            except HomeserverError as error:
                log.info("receipts wait: %s", error, extra={"user_id": user_id})

    async def _one(self, user_id: str) -> None:
        since = await self._database.read(lambda connection: store.position(connection, user_id))
        try:
            answer = await self._sync(user_id, since)
        except HomeserverError as error:
            if since is None or error.temporary:
                raise
            # The homeserver does not know the token any more: what came since is lost, what comes is not.
            log.warning("the place in the stream of receipts is lost: %s", error)
            answer = await self._sync(user_id, None)
        rooms = answer.get("rooms")
        joined = rooms.get("join") if isinstance(rooms, dict) else None
        events = [
            {**event, "room_id": room_id}
            for room_id, room in (joined.items() if isinstance(joined, dict) else ())
            for event in room.get("ephemeral", {}).get("events", [])
            if isinstance(event, dict) and event.get("type") == "m.receipt"
        ]
        for take in self.takers if events else ():
            await take(events)
        token, now = str(answer["next_batch"]), self._clock.now_ms()
        if token != since:
            await self._database.write(lambda connection: store.move(connection, user_id, token, now))

    async def _sync(self, user_id: str, since: str | None) -> dict[str, Any]:
        wanted = _NO_ROOMS if since is None else _RECEIPTS
        query = {"timeout": "0", "set_presence": "offline", "filter": json.dumps(wanted).decode()}
        if since is not None:
            query["since"] = since
        answer = await self._homeserver.request("GET", SYNC, user_id=user_id, query=query, timeout=TIMEOUT_S)
        if not isinstance(answer, dict) or not isinstance(answer.get("next_batch"), str):
            raise HomeserverError(502, "NO_TOKEN", "the answer holds no next_batch")
        return answer
