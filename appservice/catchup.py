"""Fetches what the homeserver failed to push.

Synapse (1.163) can lose events on their way to an application service when it is stopped: those it has queued in memory
are gone, for its stream position was written down before them; a transaction that it has stored and not sent stays
where it is for as long as it holds the service to be up. Neither shows in what it pushes later.

So after each outage of the homeserver, and at our own start, every bot asks by ``/sync`` what has happened in its rooms
since a checkpoint well before. What the inbox has is known by its event id; the rest is stored as if it had been
pushed. Until that is done transactions are refused (503), so that nothing newer comes before it; then a ping makes the
homeserver send them again at once, which it would otherwise put off by up to 8.5 minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Protocol

from appservice.database import INFRASTRUCTURE, Database
from appservice.events import Transaction
from appservice.homeserver import Homeserver, HomeserverError, path
from appservice.inbox import now_ms
from appservice.store import checkpoints

log = logging.getLogger(__name__)

CHECKPOINT_EVERY_S = 30.0
"""A checkpoint is moved to where the stream was this long ago: longer than an event takes from there to us."""
RETRY_S = 0.5
RETRY_MAX_S = 60.0
CONCURRENCY = 8
PAGE = 100
AT_ONCE = 20
"""Events of each room in the one answer about all rooms; where there are more, the rest comes in pages."""
MAX_PAGES = 50
PING_AGAIN_S = 0.3
LOOK_AGAIN_S = 2.0
"""So long after the homeserver has begun to push again it is asked once more."""
TRY_LATER: tuple[type[BaseException], ...] = (HomeserverError, *INFRASTRUCTURE)

WATCH_S = 60
NOTHING = json.dumps({"room": {"rooms": []}, "presence": {"types": []}, "account_data": {"types": []}})


def _filter() -> str:
    """Whole timelines and nothing else, in words that nobody has used before.

    Synapse (1.163) answers who asks the same again from a cache for two minutes, also when more has happened since. A
    service that is started twice in that time asks from the same checkpoint on.
    """
    return json.dumps(
        {
            "room": {
                "timeline": {"limit": AT_ONCE, "not_types": ["asked anew " + secrets.token_hex(8)]},
                "state": {"lazy_load_members": True, "types": []},
                "ephemeral": {"types": []},
                "account_data": {"types": []},
            },
            "presence": {"types": []},
            "account_data": {"types": []},
        }
    )


class Door(Protocol):
    """The listener: closed, it refuses transactions."""

    refused: asyncio.Event
    accepted: asyncio.Event

    def close(self) -> None: ...

    def open(self) -> None: ...

    async def store(self, transaction: Transaction) -> None: ...


class CatchUp:
    """Sees to it that everything in the homeserver reaches the inbox, in order."""

    def __init__(
        self,
        homeserver: Homeserver,
        database: Database,
        door: Door,
        appservice_id: str,
        steward: str,
        bots: Sequence[str],
        position: Callable[[str], Any],
    ) -> None:
        """
        Args:
            position: an async function: the sync token up to which a bot's device has come, or None.
        """
        self._homeserver = homeserver
        self._database = database
        self._door = door
        self._appservice_id = appservice_id
        localpart, _, server = steward.partition(":")
        self._watcher = f"{localpart}_watch:{server}"
        self._bots = list(bots)
        self._position = position
        self._asked = asyncio.Event()
        self._recent: dict[str, str] = {}

    def lost(self) -> None:
        """The homeserver cannot be reached: from now on nothing is taken in before we have caught up."""
        self._door.close()

    def ask(self) -> None:
        """The homeserver is back, or this service is."""
        self._door.close()
        self._asked.set()

    async def run(self) -> None:
        """Catch up each time it is asked for, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            delay = RETRY_S
            while True:
                await self._homeserver.wait_reachable()
                try:
                    await self._fetch_all()
                    break
                except TRY_LATER as error:
                    log.warning("catching up waits: %s", error)
                except Exception:  # the door stays closed until it is done: it must be tried again whatever it was
                    log.exception("catching up failed")
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_MAX_S)
            self._door.open()
            await self._have_it_delivered()
            await self._look_again()

    async def _look_again(self) -> None:
        """Ask once more, with the door open.

        What is said in the very moment in which Synapse (1.163) begins to hold the service to be up again can become a
        transaction that it stores and does not send.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._asked.wait()
                return  # all begins anew
        try:
            await self._fetch_all()
        except TRY_LATER as error:
            log.warning("looking again was not possible: %s", error)

    async def watch(self) -> None:
        """Notice at once when the homeserver goes, even for a moment, by a connection that is always open.

        It is a /sync of a user that is in no room: no event wakes it. The steward cannot: Synapse 1.163 answers the
        /sync of an application service's sender 500.
        """
        since, enlisted = "", False
        delay = RETRY_S
        while True:
            query = {"timeout": str(WATCH_S * 1000), "filter": NOTHING, "set_presence": "offline"}
            try:
                answer = await self._homeserver.request(
                    "GET",
                    "/_matrix/client/v3/sync",
                    user_id=self._watcher,
                    query={**query, "since": since} if since else {**query, "timeout": "0"},
                    timeout=WATCH_S + 30,
                )
                since, delay = str(answer.get("next_batch", "")), RETRY_S
            except HomeserverError as error:
                if error.status == 0 and since:
                    self.lost()
                    await self._homeserver.wait_reachable()
                    self.ask()
                elif error.status == 403 and not enlisted:
                    enlisted = await self._enlist()
                    continue
                else:
                    await asyncio.sleep(delay)
                since, delay = "", min(delay * 2, RETRY_MAX_S)

    async def _enlist(self) -> bool:
        """Make the user that watches (application service API, "Server admin style permissions")."""
        body = {
            "type": "m.login.application_service",
            "username": self._watcher[1:].partition(":")[0],
            "inhibit_login": True,
        }
        with contextlib.suppress(HomeserverError):  # it is there already, or the next /sync fails in its turn
            await self._homeserver.request("POST", "/_matrix/client/v3/register", body=body)
        return True

    async def keep_checkpoints(self) -> None:
        """Move the checkpoints on, for ever."""
        while True:
            try:
                await self.checkpoint()
            except INFRASTRUCTURE as error:
                log.warning("checkpoints wait: %s", type(error).__name__)
            await asyncio.sleep(CHECKPOINT_EVERY_S)

    async def checkpoint(self) -> None:
        """Each bot's checkpoint becomes its position at the last call."""
        before, self._recent = self._recent, {}
        for user_id in self._bots:
            token = await self._position(user_id)
            if token:
                self._recent[user_id] = token
        known = await self._database.read(checkpoints.load)
        # A bot without any has just been made: whatever came before does not concern it.
        tokens = {user_id: token for user_id, token in self._recent.items() if user_id not in known} | before
        moved = {user_id: token for user_id, token in tokens.items() if known.get(user_id) != token}
        gone = set(known) - set(self._bots)
        if moved or gone:
            await self._database.write(lambda connection: checkpoints.save(connection, moved, gone, now_ms()))

    async def _fetch_all(self) -> None:
        tokens = await self._database.read(checkpoints.load)
        limit = asyncio.Semaphore(CONCURRENCY)

        async def one(user_id: str, token: str) -> None:
            async with limit:
                await self._fetch(user_id, token)

        found = await asyncio.gather(
            *(one(user_id, tokens[user_id]) for user_id in self._bots if user_id in tokens), return_exceptions=True
        )
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer

    async def _store(self, events: Sequence[dict[str, Any]]) -> None:
        if events:
            await self._door.store(Transaction("catch-up-" + secrets.token_hex(8), tuple(events)))

    async def _fetch(self, user_id: str, token: str) -> None:
        """Store everything in a bot's rooms since ``token``, each room in order and one after the other: what all of
        them have together may be much.
        """
        try:
            answer = await self._homeserver.request(
                "GET",
                "/_matrix/client/v3/sync",
                user_id=user_id,
                query={"since": token, "timeout": "0", "filter": _filter(), "set_presence": "offline"},
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            # The homeserver does not know the token: it is another one, or was restored from a backup.
            log.warning("catching up is not possible: %s", error, extra={"user_id": user_id})
            return
        rooms = answer.get("rooms", {})
        for section in ("join", "leave"):
            for room_id, room in rooms.get(section, {}).items():
                await self._store(await self._timeline(user_id, room_id, room.pop("timeline", {}), token))
        for room_id, room in rooms.get("invite", {}).items():
            await self._store(_invitation(user_id, room_id, room, token))

    async def _timeline(self, user_id: str, room_id: str, timeline: dict[str, Any], token: str) -> list[dict[str, Any]]:
        """A room's events since the checkpoint, whole; nothing at all when that is more than can be fetched.

        A gap would put older events, which are pushed later, behind newer ones.
        """
        events = list(timeline.get("events", []))
        start, pages = timeline.get("prev_batch"), 0
        while timeline.get("limited") and start:
            if pages == MAX_PAGES:
                log.warning("too much has happened in a room to catch up with", extra={"room_id": room_id})
                return []
            answer = await self._homeserver.request(
                "GET",
                path("/_matrix/client/v3/rooms", room_id, "messages"),
                user_id=user_id,
                query={"dir": "b", "from": start, "to": token, "limit": str(PAGE)},
            )
            events[:0] = reversed(answer.get("chunk", []))
            start, pages = answer.get("end"), pages + 1
        return [{**event, "room_id": room_id} for event in _since_arrival(user_id, events)]

    async def _have_it_delivered(self) -> None:
        """Have the homeserver send what it holds back, until it does or has shown that it can reach us."""
        delay = RETRY_S
        while not self._asked.is_set():  # else the door is closed again, and all begins anew
            try:
                took = await self._homeserver.ping(self._appservice_id, "rialto-" + secrets.token_hex(8))
                log.debug("the homeserver reaches this service in %.0f ms", took)
            except HomeserverError as error:
                if not error.temporary:
                    log.error("the homeserver cannot reach this service: %s", error)
                    return
                log.warning("the homeserver does not ping yet: %s", error)
                await self._homeserver.wait_reachable()
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_MAX_S)
                continue
            if not self._door.refused.is_set():
                return
            try:
                # What was refused comes again by itself after 2 s. A ping that came before the homeserver had noted the
                # refusal did nothing.
                async with asyncio.timeout(PING_AGAIN_S):
                    await self._door.accepted.wait()
                return
            except TimeoutError:
                continue


def _since_arrival(user_id: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what was said before the bot came: nobody said it to the bot."""
    for index, event in enumerate(events):
        if event.get("type") == "m.room.member" and event.get("state_key") == user_id:
            previous = event.get("unsigned", {}).get("prev_content", {})
            if event.get("content", {}).get("membership") == "join" != previous.get("membership"):
                return events[index:]
    return events


def _invitation(user_id: str, room_id: str, room: dict[str, Any], token: str) -> list[dict[str, Any]]:
    """An invitation as an event. The stripped one has no id; to take it in twice does no harm."""
    for event in room.get("invite_state", {}).get("events", []):
        if event.get("type") == "m.room.member" and event.get("state_key") == user_id:
            digest = sha256(f"{room_id}\0{user_id}\0{event.get('sender')}\0{token}".encode()).hexdigest()
            return [{**event, "room_id": room_id, "event_id": f"$invitation-{digest[:32]}"}]
    return []
