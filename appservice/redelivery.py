"""Makes the homeserver deliver everything it has stored for this service, at once and in order.

Two habits of Synapse (1.163) stand against "nothing is lost":

* After a failed delivery it waits up to 8.5 minutes. A ping makes it try at once.
* A transaction that it had stored when it was stopped, and not sent, stays where it is for as long as it holds the
  service to be up: only a failed delivery makes it look for older ones. So after each outage, and once after our own
  start, one transaction is refused (503) and the homeserver pinged: it then begins with the oldest it has.

On a quiet server no transaction would come to be refused, so the steward writes an event into a room of its own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets

from appservice.homeserver import Homeserver, HomeserverError, path
from appservice.transactions import Listener

log = logging.getLogger(__name__)

WAKE_EVENT = "app.rialto.wake"
SETTLE_S = 0.05
"""Synapse writes down that the service is down before a ping makes it try again."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0


class Redelivery:
    """Runs a round when it is asked to."""

    def __init__(self, homeserver: Homeserver, listener: Listener, appservice_id: str, steward: str) -> None:
        self._homeserver = homeserver
        self._listener = listener
        self._appservice_id = appservice_id
        self._steward = steward
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """The homeserver was away, or this service was; the listener refuses the next transaction already."""
        self._asked.set()

    async def run(self) -> None:
        """One round for each time of asking, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            delay = FIRST_WAIT_S
            while not await self._round():
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_WAIT_S)

    async def _round(self) -> bool:
        """Whether the homeserver delivers again, or has nothing to deliver."""
        await self._homeserver.wait_reachable()
        try:
            took = await self._ping()
            log.debug("the homeserver reaches this service in %.0f ms", took)
            await self._write_event()
        except HomeserverError as error:
            log.warning("the homeserver does not deliver yet: %s", error)
            return False
        wait = FIRST_WAIT_S
        while self._listener.refusing:
            # Nothing is on its way. A ping more does no harm should the homeserver have been in doubt about us.
            if not await _happens(self._listener.refused, wait):
                wait = min(wait * 2, LONGEST_WAIT_S)
                await self._try_ping()
        await asyncio.sleep(SETTLE_S)
        await self._try_ping()
        wait = FIRST_WAIT_S
        while not await _happens(self._listener.accepted, wait):
            wait = min(wait * 2, LONGEST_WAIT_S)
            await self._try_ping()
        return True

    async def _ping(self) -> float:
        return await self._homeserver.ping(self._appservice_id, "rialto-" + secrets.token_hex(8))

    async def _try_ping(self) -> None:
        try:
            await self._ping()
        except HomeserverError as error:
            log.warning("the homeserver does not ping: %s", error)

    async def _write_event(self) -> None:
        try:
            room_id = await self._room()
            await self._homeserver.send_event(
                self._steward, None, room_id, WAKE_EVENT, "wake" + secrets.token_hex(8), {}
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            # Then the next event that somebody sends has to do.
            log.warning("the steward cannot write into its own room: %s", error)

    async def _room(self) -> str:
        localpart, _, server_name = self._steward[1:].partition(":")
        alias = f"{localpart}_wake"
        try:
            answer = await self._homeserver.request(
                "GET",
                path("/_matrix/client/v3/directory/room", f"#{alias}:{server_name}"),
                user_id=self._steward,
            )
        except HomeserverError as error:
            if error.status != 404:
                raise
            answer = await self._homeserver.request(
                "POST",
                "/_matrix/client/v3/createRoom",
                user_id=self._steward,
                body={
                    "preset": "private_chat",
                    "name": "Rialto: is everything delivered?",
                    "room_alias_name": alias,
                    "creation_content": {"m.federate": False},
                },
            )
        return str(answer["room_id"])


async def _happens(event: asyncio.Event, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
