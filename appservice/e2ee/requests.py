"""Asking for Megolm keys that did not come (client-server API, "Key requests")."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
from typing import TYPE_CHECKING, Any

from appservice.e2ee.api import Requester
from appservice.homeserver import HomeserverError, path

if TYPE_CHECKING:
    from appservice.e2ee.machine import BotMachine

log = logging.getLogger(__name__)

PENDING = 1000
PATIENCE_S = 600.0


class KeyRequests:
    """The key requests of one bot: sent after ``delay`` seconds, taken back when the key came or nobody answered."""

    def __init__(self, homeserver: Requester, machine: BotMachine, delay: float) -> None:
        self._homeserver = homeserver
        self._machine = machine
        self._delay = delay
        self._pending: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}

    def want(self, room_id: str, session_id: str, maker: str, sender_key: str | None) -> None:
        """Ask ``maker``'s devices for a session, unless that is under way. Beyond a thousand nothing is asked."""
        if session_id in self._pending or len(self._pending) >= PENDING:
            return
        arrived = asyncio.Event()
        self._machine.requested[session_id] = maker
        # An empty context: the caller may be inside a database transaction, which must not be inherited.
        task = asyncio.get_running_loop().create_task(
            self._ask(room_id, session_id, maker, sender_key, arrived), context=contextvars.Context()
        )
        self._pending[session_id] = (task, arrived)
        task.add_done_callback(lambda _: self._forget(session_id))

    def arrived(self, session_id: str) -> None:
        """The session is here: take the request back."""
        if (entry := self._pending.get(session_id)) is not None:
            entry[1].set()

    async def stop(self) -> None:
        """Forget every request; those that were sent are not taken back."""
        tasks = [task for task, _ in self._pending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, session_id: str) -> None:
        self._pending.pop(session_id, None)
        self._machine.requested.pop(session_id, None)

    async def _ask(
        self, room_id: str, session_id: str, maker: str, sender_key: str | None, arrived: asyncio.Event
    ) -> None:
        if await _within(arrived, self._delay):
            return
        request = {"request_id": secrets.token_urlsafe(16), "requesting_device_id": self._machine.client.device_id}
        body = {
            "algorithm": "m.megolm.v1.aes-sha2",
            "room_id": room_id,
            "session_id": session_id,
            "sender_key": sender_key or "",
        }
        try:
            await self._send(maker, {**request, "action": "request", "body": body})
            log.info(
                "asked for a missing key",
                extra={"user_id": self._machine.client.mxid, "room_id": room_id, "asked": maker},
            )
            await _within(arrived, PATIENCE_S)
            await self._send(maker, {**request, "action": "request_cancellation"})
        except HomeserverError as error:
            log.warning("key request not sent: %s", error)

    async def _send(self, user_id: str, content: dict[str, Any]) -> None:
        client = self._machine.client
        await self._homeserver.request(
            "PUT",
            path("/_matrix/client/v3/sendToDevice", "m.room_key_request", secrets.token_urlsafe(16)),
            user_id=client.mxid,
            device_id=client.device_id,
            body={"messages": {user_id: {"*": content}}},
        )


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
