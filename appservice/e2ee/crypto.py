"""Encryption for all bots: the object that the rest of Rialto holds."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mautrix.crypto import OutboundGroupSession
from mautrix.errors import MatrixError
from mautrix.types import RoomID

from appservice import json
from appservice.config.models import Config
from appservice.e2ee.api import Requester
from appservice.e2ee.bot import BotDevice, BotIdentity, Services
from appservice.e2ee.decryption import MEGOLM, Decryptor
from appservice.e2ee.devices import DeviceDirectory
from appservice.e2ee.enrolment import Enrolment
from appservice.e2ee.errors import CryptoNotReady, KeyMissing
from appservice.e2ee.members import PRESENT, Members, RoomStateStore
from appservice.homeserver import Homeserver, HomeserverError
from appservice.metrics import Metrics

if TYPE_CHECKING:
    from appservice.mautrix_store import MautrixDatabase

log = logging.getLogger(__name__)

SETTLING = 8
START_TIMEOUT_S = 60.0
UNREACHABLE_S = 2.0
REQUEST_DELAY_S = 3.0
SHARE_ATTEMPTS = 4
REFRESH_DELAY_S = 0.2
REFRESH_RETRY_S = 30.0

OnSession = Callable[[str, str, str], None]


class Crypto:
    """The bots' devices. ``start`` before use, ``stop`` after."""

    def __init__(
        self,
        config: Config,
        data: MautrixDatabase,
        homeserver: Requester,
        rooms: RoomStateStore,
        on_session: OnSession,
        metrics: Metrics | None = None,
        *,
        start_timeout: float = START_TIMEOUT_S,
        request_delay: float = REQUEST_DELAY_S,
        on_change: Callable[[bool], None] | None = None,
    ) -> None:
        """
        Args:
            data: the started database of keys.
            rooms: room state, kept current by whoever receives the events, before :meth:`room_changed` is called.
            on_session: called with user id, room id and session id after a Megolm session was stored for a bot.
            start_timeout: seconds that :meth:`start` waits for the homeserver before it goes on without it.
            request_delay: seconds until a missing key is asked for.
            on_change: called with False when the homeserver is lost, with True when it is back.
        """
        self._config = config
        self._db = data.db
        self._homeserver = homeserver
        self._rooms = rooms
        self._on_session = on_session
        self._metrics = metrics
        self._start_timeout = start_timeout
        self._request_delay = request_delay
        self._on_change = on_change
        self._bots: dict[str, BotDevice] = {}
        self._decryptors: dict[str, Decryptor] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._poller: Homeserver | None = None
        self._directory = DeviceDirectory(self._db)
        self._members = Members(rooms)
        self._refresh = asyncio.Event()
        self._steward_clear = False
        self._room_locks: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        self._enrolment = Enrolment(
            homeserver,
            self._db,
            config.encryption.pickle_key.get_secret_value(),
            config.homeserver.server_name,
        )

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self, bots: Sequence[BotIdentity]) -> None:
        """Load or make every bot's device, take in what waited for it, and keep on syncing.

        Returns when every bot has handled its first /sync, or after ``start_timeout`` (two seconds when the homeserver
        cannot be reached at all): then the bots go on trying, and :meth:`healthy` says so.

        Raises:
            CryptoStartError: it cannot work with this configuration. Nothing is left running.
        """
        try:
            await self._enrolment.check_pickle_key()
            await self._directory.load()
            await self._open(bots)
            await self._enrolment.keep_pickle_key()
            reachable = await self._look()
            for bot in self._bots.values():
                self._spawn(bot.run(), f"sync {bot.user_id}")
            self._spawn(self._keep_house(), "e2ee housekeeping")
            await self._wait_ready(self._start_timeout if reachable else min(self._start_timeout, UNREACHABLE_S))
        except BaseException:
            await self.stop()
            raise

    async def _open(self, bots: Sequence[BotIdentity]) -> None:
        settings = self._config.homeserver
        # Long polls hold their connections: they must not take those of everybody else.
        poller = Homeserver(
            settings.url,
            self._config.appservice.as_token.get_secret_value(),
            timeout=settings.timeout,
            connections=len(bots) + 2,
            on_change=self._on_change,
        )
        await poller.start()
        self._poller = poller
        services = Services(
            db=self._db,
            pickle_key=self._config.encryption.pickle_key.get_secret_value(),
            rooms=self._rooms.store,
            homeserver=self._homeserver,
            poller=poller,
            directory=self._directory,
            enrolment=self._enrolment,
            settling=asyncio.Semaphore(SETTLING),
            on_session=self._session_stored,
            refresh=self._refresh,
            request_delay=self._request_delay,
        )
        for identity in bots:
            bot = BotDevice(identity, services)
            await bot.open()
            self._bots[identity.user_id] = bot
            self._decryptors[identity.user_id] = Decryptor(bot)

    async def _look(self) -> bool:
        """One question for the published keys of all bots, instead of one each; whether the homeserver answered."""
        try:
            known = await self._enrolment.look(list(self._bots))
        except HomeserverError as error:
            log.warning("the homeserver does not answer yet: %s", error)
            return False
        for bot in self._bots.values():
            bot.known = known.get(bot.user_id)
        return True

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        # An empty context: no database connection of the caller's may be inherited.
        task = asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())
        self._tasks.append(task)

    async def _wait_ready(self, timeout: float) -> None:
        waits = {asyncio.ensure_future(bot.ready.wait()) for bot in self._bots.values()}
        loops: set[asyncio.Future[Any]] = set(self._tasks[:-1])
        try:
            async with asyncio.timeout(timeout):
                while waits:
                    done, _ = await asyncio.wait(waits | loops, return_when=asyncio.FIRST_COMPLETED)
                    waits -= done
                    loops -= done
                    for bot in self._bots.values():
                        if bot.fatal is not None:
                            raise bot.fatal
        except TimeoutError:
            log.error("bots without a working device yet: %s", ", ".join(sorted(self.healthy())))
        finally:
            for wait in waits:
                wait.cancel()

    async def stop(self) -> None:
        """Stop every loop and close the connections. Safe to call twice. The database is the caller's to close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for bot in self._bots.values():
            await bot.stop()
        if self._poller is not None:
            await self._poller.stop()
            self._poller = None

    async def position(self, user_id: str) -> str | None:
        """The sync token up to which a bot's device has handled everything."""
        return await self._bot(user_id).store.get_next_batch()

    def homeserver_seen(self) -> None:
        """The homeserver has shown that it is there: the bots sync again at once."""
        if self._poller is not None:
            self._poller.seen()

    def healthy(self) -> dict[str, str]:
        """Problems per bot; empty when every device works."""
        return {bot.user_id: bot.problem for bot in self._bots.values() if bot.problem is not None}

    async def _keep_house(self) -> None:
        """Free the steward of devices, and fetch changed device lists before somebody waits for them."""
        while True:
            try:
                if not self._steward_clear:
                    await self._enrolment.clear_steward()
                    self._steward_clear = True
                async with asyncio.timeout(None if self._steward_clear else REFRESH_RETRY_S):
                    await self._refresh.wait()
                await asyncio.sleep(REFRESH_DELAY_S)
                self._refresh.clear()
                machine = next((bot.loaded for bot in self._bots.values() if bot.ready.is_set()), None)
                if machine is not None:
                    await self._directory.bring_up_to_date(machine, self._directory.stale)
            except (HomeserverError, MatrixError, TimeoutError) as error:
                log.debug("housekeeping waits: %s", error)
                await asyncio.sleep(REFRESH_RETRY_S)
            except Exception:  # whatever it is, the next round may succeed, and encrypt() refreshes on its own too
                log.exception("housekeeping failed")
                await asyncio.sleep(REFRESH_RETRY_S)

    # -- reading --------------------------------------------------------------------------------------------------

    def device_id(self, user_id: str) -> str:
        """The bot's device.

        Raises:
            CryptoNotReady: there is none yet, or the user is not a bot.
        """
        return self._bot(user_id).device_id

    def _bot(self, user_id: str) -> BotDevice:
        bot = self._bots.get(user_id)
        if bot is None:
            raise CryptoNotReady(f"{user_id} is not a bot with a device", user_id=user_id)
        return bot

    def _session_stored(self, user_id: str, room_id: str, session_id: str) -> None:
        self._decryptors[user_id].forget(room_id, session_id)
        self._on_session(user_id, room_id, session_id)

    async def decrypt(self, user_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Read an ``m.room.encrypted`` room event as ``user_id``: ``{"type", "content"}``.

        ``m.relates_to`` of the readable part is kept in the content. The same event may be read any number of times.

        Raises:
            KeyMissing: the key is not here (yet); ``on_session`` tells when it came.
            DecryptionFailed: never readable.
            CryptoNotReady: the bot has no device yet.
        """
        bot = self._bot(user_id)
        bot.machine  # noqa: B018 - raises when there is none
        bot.event_came()
        try:
            return await self._decryptors[user_id].decrypt(event)
        except KeyMissing:
            bot.key_wanted()
            raise

    def event_came(self, user_id: str) -> None:
        """An event in a room of a bot was pushed in the clear."""
        bot = self._bots.get(user_id)
        if bot is not None:
            bot.event_came()

    # -- writing --------------------------------------------------------------------------------------------------

    async def encrypt(self, user_id: str, room_id: str, event_type: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """The content of an ``m.room.encrypted`` event; its session has been shared with every device in the room.

        The ratchet has been stored when this returns: the same key never encrypts two messages, whatever happens.

        Raises:
            HomeserverError: keys cannot be fetched or sent now; nothing was encrypted.
            CryptoNotReady: the bot has no device yet, or the room's devices keep changing.
        """
        machine = self._bot(user_id).machine
        lock = self._room_locks.get((user_id, room_id))
        if lock is None:
            lock = self._room_locks[user_id, room_id] = asyncio.Lock()
        payload = json.dumps({"type": event_type, "content": content, "room_id": room_id}).decode()
        async with lock:
            try:
                session = await self._session(user_id, room_id)
            except MatrixError as error:
                if isinstance(error.__cause__, HomeserverError):
                    raise error.__cause__ from error
                raise
            ciphertext = str(session.encrypt(payload))  # type: ignore[no-untyped-call]
            await machine.crypto_store.update_outbound_group_session(session)
        result = {
            "algorithm": MEGOLM,
            "sender_key": machine.account.identity_key,
            "device_id": machine.client.device_id,
            "session_id": session.id,
            "ciphertext": ciphertext,
        }
        if "m.relates_to" in content:
            result["m.relates_to"] = content["m.relates_to"]
        return result

    async def _session(self, user_id: str, room_id: str) -> OutboundGroupSession:
        """A session that every device now in the room has, and none that left."""
        machine = self._bot(user_id).machine
        room = RoomID(room_id)
        for _ in range(SHARE_ATTEMPTS):
            limits = await self._members.rotation(
                room_id, self._config.encryption.rotate_messages, self._config.encryption.rotate_after
            )
            if self._directory.stale:
                members = await self._members.receiving(room_id)
                await self._directory.bring_up_to_date(machine, members)
            session = await machine.current_session(room, *limits)
            if session is not None:
                return session
            version = self._members.version(room_id)
            members = await self._members.receiving(room_id)
            await self._directory.bring_up_to_date(machine, members)
            devices = self._directory.versions(members)
            session = await machine.share(room, members, *limits)
            if version == self._members.version(room_id) and devices == self._directory.versions(members):
                return session
            await machine.crypto_store.remove_outbound_group_session(room)
        raise CryptoNotReady("the devices in the room keep changing", room_id=room_id)

    # -- changes --------------------------------------------------------------------------------------------------

    async def room_changed(self, event: Mapping[str, Any]) -> None:
        """An ``m.room.member`` or ``m.room.encryption`` event came: end the sessions that must not go on.

        A member who comes or goes ends every bot's session in the room. Somebody new gets a new session instead of the
        old one at its current index: both open later messages only, but a new one needs no record of which device holds
        which index, cannot be shared too early by a mistake, and is what a leaver needs anyway.
        """
        room_id, kind = event.get("room_id"), event.get("type")
        if not isinstance(room_id, str):
            return
        if kind == "m.room.encryption":
            await self._end_sessions(room_id)
            return
        user_id, content = event.get("state_key"), event.get("content")
        if kind != "m.room.member" or not isinstance(user_id, str) or not isinstance(content, Mapping):
            return
        unsigned = event.get("unsigned")
        previous = unsigned.get("prev_content") if isinstance(unsigned, Mapping) else None
        before = previous.get("membership") if isinstance(previous, Mapping) else None
        now = content.get("membership")
        await self._members.changed(room_id, user_id, now)
        if now == before or (now not in PRESENT and before is not None and before not in PRESENT):
            return
        if now in PRESENT:
            await self._came(room_id, user_id, joined=now == "join")
        if not (before in PRESENT and now in PRESENT):
            await self._end_sessions(room_id)

    async def _came(self, room_id: str, user_id: str, *, joined: bool) -> None:
        # Nobody kept the lists of people current that no bot shared a room with.
        if user_id in self._bots and joined:
            await self._directory.mark_room_stale(room_id)
        elif user_id not in self._bots:
            await self._directory.mark_stale([user_id])

    async def _end_sessions(self, room_id: str) -> None:
        await self._db.execute("DELETE FROM crypto_megolm_outbound_session WHERE room_id=$1", room_id)
