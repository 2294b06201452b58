"""One bot's device at work: its /sync loop, which takes in to-device messages, device list changes and key counts.

A response is handled without the network first: to-device messages, device lists and ``next_batch`` in one commit.
What needs the network (one-time keys, answers to key requests, new Olm sessions) comes after it; the next response asks
for it again if it fails.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
from mautrix.client.state_store import StateStore
from mautrix.crypto import OlmAccount
from mautrix.errors import MatrixError
from mautrix.types import JSON, DeviceID, SyncToken, ToDeviceEvent, UserID
from mautrix.util.async_db import Database
from olm.account import OlmAccountError

from appservice import json
from appservice.e2ee.api import OLM_KEY, BotClient, MautrixAPI, Poller, Requester
from appservice.e2ee.devices import DeviceDirectory
from appservice.e2ee.enrolment import Enrolment, ServerKeys, wrong_pickle_key
from appservice.e2ee.errors import CryptoNotReady, CryptoStartError, DecryptionFailed
from appservice.e2ee.machine import ROOM_ID, BotMachine
from appservice.e2ee.requests import KeyRequests
from appservice.e2ee.store import BotCryptoStore
from appservice.homeserver import HomeserverError

log = logging.getLogger(__name__)

LONG_POLL_S = 30
SHORT_POLL_S = 3
"""For a bot that may get busy: Synapse works on for a client that has hung up, until this is over."""
QUIET_AFTER_S = 60.0
POLL_GRACE_S = 20
SAVE_EVERY_S = 300.0
BACKOFF_S = 0.5
BACKOFF_MAX_S = 60.0
RETURN_JITTER_S = 0.05
QUICK_RETRIES = 20
BUSY_EVENTS = 5
"""Events within a second from which on a bot is busy."""
BUSY_FOR_S = 2.0
BUSY_POLL_S = 5.0
AWAY = frozenset({"UNREACHABLE", "BROKEN"})
CATCH_UP_ROUNDS = 100
REQUESTS_AT_ONCE = 50
TEXT = 200
NOTHING = {"types": [], "not_types": ["*"]}
FILTER = json.dumps(
    {"room": {"rooms": []}, "presence": NOTHING, "account_data": NOTHING, "event_fields": ["type"]}
).decode()
WITHHELD = {"m.room_key.withheld", "org.matrix.room_key.withheld"}


@dataclass(frozen=True)
class BotIdentity:
    """A bot that gets a device: its Matrix user and the name people see."""

    user_id: str
    display_name: str


@dataclass(frozen=True)
class Services:
    """What every bot device shares."""

    db: Database
    pickle_key: str
    rooms: StateStore
    homeserver: Requester
    poller: Poller
    directory: DeviceDirectory
    enrolment: Enrolment
    settling: asyncio.Semaphore
    on_session: Callable[[str, str, str], None]
    refresh: asyncio.Event
    request_delay: float


class Pace:
    """Whether many events come for a bot.

    Synapse wakes a long poll for every event in every room of its user, filtered or not, and finds nothing to say: at
    32 busy rooms that was a fifth of its time. So a busy bot asks once in a while instead, and at once for a key.
    """

    def __init__(self) -> None:
        self.hurried = asyncio.Event()
        """Set when the bot gets busy."""
        self._window = 0.0
        self._counted = 0
        self._busy_until = 0.0
        self._last = time.monotonic()

    def count(self) -> None:
        """One more event."""
        now = self._last = time.monotonic()
        if now - self._window > 1.0:
            self._window, self._counted = now, 0
        self._counted += 1
        if self._counted >= BUSY_EVENTS:
            self._busy_until = now + BUSY_FOR_S
            self.hurried.set()

    @property
    def busy(self) -> bool:
        """Whether it is so now."""
        if time.monotonic() < self._busy_until:
            return True
        self.hurried.clear()
        return False

    @property
    def poll_s(self) -> int:
        """Seconds to wait in a /sync."""
        return LONG_POLL_S if time.monotonic() - self._last > QUIET_AFTER_S else SHORT_POLL_S


async def _happens(event: asyncio.Event, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        pass


class BotDevice:
    """A bot with its store, machine and sync loop."""

    def __init__(self, bot: BotIdentity, services: Services) -> None:
        self.user_id = bot.user_id
        self.display_name = bot.display_name
        self.problem: str | None = "starting"
        self.fatal: CryptoStartError | None = None
        self.ready = asyncio.Event()
        self.known: ServerKeys | None = None
        self._services = services
        self._settled = False
        self._saved_at = 0.0
        self._caught_up = False
        self._again = False
        self.loaded: BotMachine | None = None
        self.requests: KeyRequests | None = None
        self._pace = Pace()
        self._key_wanted = asyncio.Event()
        self.store = BotCryptoStore(bot.user_id, services.pickle_key, services.db)

    # -- loading --------------------------------------------------------------------------------------------------

    @property
    def machine(self) -> BotMachine:
        """The machine. Raises CryptoNotReady while the bot has no device."""
        if self.loaded is None:
            raise CryptoNotReady(f"{self.user_id} has no device yet", user_id=self.user_id)
        return self.loaded

    @property
    def device_id(self) -> str:
        """The device's id. Raises CryptoNotReady while there is none."""
        return str(self.machine.client.device_id)

    async def open(self) -> None:
        """Load the device from the store, if there is one. No network.

        Raises:
            CryptoStartError: ``pickle_key_wrong``.
        """
        try:
            account = await self.store.get_account()
        except OlmAccountError as error:
            if "BAD_ACCOUNT_KEY" in str(error):
                raise wrong_pickle_key() from None
            log.exception("the stored account cannot be read", extra={"user_id": self.user_id})
            account = None
        device_id = await self.store.get_device_id()
        if account is None or not device_id:
            return
        await self.store.prune_shares()
        self._use(device_id, account)

    async def open_new(self, device_id: DeviceID) -> BotMachine:
        """Begin a new device: a new account, stored before anything is published."""
        if self.requests is not None:
            await self.requests.stop()
        await self.store.reset()
        self.store.begin(device_id)
        account = OlmAccount()
        await self.store.put_account(account)
        self._caught_up = False
        return self._use(device_id, account)

    def _use(self, device_id: DeviceID, account: OlmAccount) -> BotMachine:
        services = self._services
        api = MautrixAPI(services.homeserver, self.user_id, device_id)
        client = BotClient(UserID(self.user_id), device_id, api=api)
        machine = BotMachine(client, self.store, services.rooms, services.directory)
        machine.account = account
        self.requests = KeyRequests(services.homeserver, machine, services.request_delay)
        self.loaded = machine
        return machine

    # -- the loop -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Settle and sync for ever. Ends by cancellation, or with ``fatal`` set."""
        failures = 0
        while True:
            try:
                await self._turn()
                failures = 0
            except CryptoStartError as error:
                self.fatal, self.problem = error, str(error)
                log.error("%s", error, extra={"user_id": self.user_id, "code": error.code})
                return
            except Exception as error:  # noqa: BLE001 - one bot's trouble, whatever it is, must not stop its loop
                failures += 1
                await self._trouble(error, failures)

    async def _turn(self) -> None:
        if not self._settled:
            async with self._services.settling:
                known, self.known = self.known, None
                await self._services.enrolment.settle(self, known)
            self._settled = True
        if self._caught_up:
            if self._pace.busy:
                await _happens(self._key_wanted, BUSY_POLL_S)
                self._key_wanted.clear()
                await self._sync(wait=False)
            else:
                await self._sync(wait=not self._again)
            self._healthy()
            return
        for _ in range(CATCH_UP_ROUNDS):
            if not await self._sync(wait=False):
                break
        self._caught_up = True
        self._healthy()

    def _healthy(self) -> None:
        if self.problem not in (None, "starting"):
            log.info("bot device works again", extra={"user_id": self.user_id})
        self.problem = None
        self._again = False
        self.ready.set()

    async def _trouble(self, error: Exception, failures: int) -> None:
        self._again = True
        cause = error.__cause__ if isinstance(error, MatrixError) else error
        status = cause.status if isinstance(cause, HomeserverError) else None
        if isinstance(cause, HomeserverError) and cause.errcode == "M_UNKNOWN_DEVICE":
            self._settled = False
        self.problem = f"{type(error).__name__}: {error}"[:TEXT]
        if status is None:
            log.exception("bot device failed", extra={"user_id": self.user_id, "failures": failures})
        elif failures in (1, 5) or failures % 50 == 0:
            log.warning("bot device waits: %s", cause, extra={"user_id": self.user_id, "failures": failures})
        delay = min(BACKOFF_S * 2 ** min(failures - 1, 10), BACKOFF_MAX_S)
        if isinstance(cause, HomeserverError) and cause.retry_after is not None:
            delay = max(delay, min(cause.retry_after, 2 * BACKOFF_MAX_S))
        delay *= random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        if isinstance(cause, HomeserverError) and cause.errcode in AWAY and failures <= QUICK_RETRIES:
            # Not a moment longer than it is away: the connection of the next /sync tells when it goes again.
            await self._services.poller.wait_reachable()
            delay = min(delay, RETURN_JITTER_S)
        await asyncio.sleep(delay)

    async def _sync(self, *, wait: bool) -> bool:
        """One /sync, handled. Whether it brought anything."""
        since = await self.store.get_next_batch()
        # Synapse answers a repeated request from a cache for two minutes; the timeout is part of what it looks up.
        seconds = self._pace.poll_s if wait else 0
        timeout = seconds * 1000 or random.randint(1, 50)  # noqa: S311
        query = {"timeout": str(timeout), "filter": FILTER, "set_presence": "offline"}
        if since:
            query["since"] = since
        request = self._services.poller.request(
            "GET",
            "/_matrix/client/v3/sync",
            user_id=self.user_id,
            device_id=self.device_id,
            query=query,
            timeout=seconds + POLL_GRACE_S,
        )
        response = await (self._unless_busy(request) if wait else request)
        return False if response is None else await self._handle(response, first=not since)

    async def _unless_busy(self, request: Coroutine[Any, Any, Any]) -> Any:
        """The answer to a long poll; None when it was given up because the bot got busy. Nothing is lost by that: what
        an answer held is acknowledged by the next request only.
        """
        poll = asyncio.ensure_future(request)
        busy = asyncio.ensure_future(self._pace.hurried.wait())
        try:
            await asyncio.wait({poll, busy}, return_when=asyncio.FIRST_COMPLETED)
            return poll.result() if poll.done() else None
        finally:
            busy.cancel()
            poll.cancel()

    def event_came(self) -> None:
        """An event in one of the bot's rooms was pushed."""
        self._pace.count()

    def key_wanted(self) -> None:
        """An event waits for its key: look at once."""
        self._key_wanted.set()

    async def _handle(self, response: dict[str, Any], *, first: bool) -> bool:
        events = _list(_dict(response.get("to_device")).get("events"))
        changed = [user for user in _list(_dict(response.get("device_lists")).get("changed")) if _plain(user)]
        stored, asked = await self._take_in(events, changed, SyncToken(str(response["next_batch"])))
        for room_id, session_id in stored:
            self._announce(room_id, session_id)
        if changed:
            self._services.refresh.set()
        machine = self.machine
        counts = _dict(response.get("device_one_time_keys_count"))
        unused = response.get("device_unused_fallback_key_types")
        fallback_used = isinstance(unused, list) and "signed_curve25519" not in unused
        # A response without `since` may be an old one: what it counts is not believed.
        count = None if first else _number(counts.get("signed_curve25519"))
        await machine.publish_keys(count, fallback_used and not first)
        await machine.heal()
        for event in asked[:REQUESTS_AT_ONCE]:
            await machine.handle_room_key_request(event)
        return bool(events or changed) or first

    async def _take_in(
        self, events: list[Any], changed: list[str], next_batch: SyncToken
    ) -> tuple[list[tuple[str, str]], list[ToDeviceEvent]]:
        """Take in to-device events and stale users, and the token that acknowledges them, in one transaction."""
        stored: list[tuple[str, str]] = []
        asked: list[ToDeviceEvent] = []
        if not events and not changed and time.monotonic() - self._saved_at < SAVE_EVERY_S:
            self.store._sync_token = next_batch
            return stored, asked
        machine = self.machine
        async with machine.ratchet:
            try:
                async with self.store.transaction():
                    for raw in events:
                        await self._take_one(raw, stored, asked)
                    await self._services.directory.mark_stale(changed)
                    await self.store.put_next_batch(next_batch)
            except BaseException:
                # The database was rolled back, what is in memory went on: start again from the database.
                self.store.forget()
                account = await self.store.get_account()
                machine.account = account
                raise
        self._saved_at = time.monotonic()
        return stored, asked

    async def _take_one(self, raw: Any, stored: list[tuple[str, str]], asked: list[ToDeviceEvent]) -> None:
        """One to-device event. Its own trouble is logged and passed over, trouble of the database is raised."""
        if not isinstance(raw, dict) or not isinstance(raw.get("content"), dict) or not _plain(raw.get("sender")):
            return
        kind, content = raw.get("type"), raw["content"]
        try:
            async with self.store.transaction():  # PostgreSQL: a savepoint
                if kind == "m.room.encrypted":
                    session = await self.machine.receive_encrypted(raw)
                    if session is not None:
                        stored.append(session)
                elif kind == "m.room_key_request" and content.get("action") == "request":
                    body = content.get("body")
                    if isinstance(body, dict):
                        body.setdefault("sender_key", "")  # deprecated, but mautrix insists
                        asked.append(ToDeviceEvent.deserialize(cast(JSON, raw)))
                elif kind in WITHHELD:
                    await self._withheld(raw["sender"], content)
        except Exception as error:  # a stranger's event may fail any parser; it must not stop the queue
            if _database_failed(error):
                raise
            log.info(
                "to-device event cannot be used: %s",
                type(error).__name__,
                extra={"user_id": self.user_id, "sender": raw["sender"], "type": str(kind)[:TEXT]},
            )

    async def _withheld(self, sender: str, content: dict[str, Any]) -> None:
        sender_key, code = content.get("sender_key"), content.get("code")
        if not isinstance(sender_key, str) or not OLM_KEY.fullmatch(sender_key) or not _plain(code):
            raise DecryptionFailed("malformed", "not a withheld notice")
        if code == "m.no_olm":
            # The sender could not start an Olm session with us: we start one with them.
            self.machine.note_wedged(sender, sender_key)
        room_id, session_id = content.get("room_id"), content.get("session_id")
        reason = content.get("reason")
        if (
            isinstance(room_id, str)
            and ROOM_ID.fullmatch(room_id)
            and isinstance(session_id, str)
            and OLM_KEY.fullmatch(session_id)
        ):
            words = reason[:TEXT].replace("\x00", "") if isinstance(reason, str) else ""
            await self.store.put_withheld(room_id, session_id, sender_key, str(code)[:TEXT], words)

    def _announce(self, room_id: str, session_id: str) -> None:
        if self.requests is not None:
            self.requests.arrived(session_id)
        try:
            self._services.on_session(self.user_id, room_id, session_id)
        except Exception:  # the listener's trouble must not stop the loop
            log.exception("a listener for new sessions failed", extra={"user_id": self.user_id})

    async def stop(self) -> None:
        """Forget pending key requests."""
        if self.requests is not None:
            await self.requests.stop()


def _database_failed(error: Exception) -> bool:
    """Whether the database is in trouble (and not the event): what cannot be stored now must be delivered again."""
    data = (sqlite3.IntegrityError, sqlite3.DataError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
    trouble = (sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
    return isinstance(error, trouble) and not isinstance(error, data)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _plain(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and "\x00" not in value


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
