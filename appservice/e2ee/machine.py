"""One bot's OlmMachine: mautrix's, with its races and gaps closed.

What differs from mautrix, and why:

- ``ratchet``: one lock around every change of Olm state and the write that stores it, always in one transaction.
  mautrix pickles first and waits for the connection then, so that an older state can overwrite a newer one.
- Keys are stored before they are published: a crash must not leave the homeserver with keys that nobody holds.
- To-device events are taken in without touching the network, so that a whole batch and its sync token commit together.
- Device lists come from the shared :class:`DeviceDirectory`; trust is resolved from what is stored.
- Room keys: no session replaces another sender's; forwarded keys only when asked for, from the session's maker.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, cast

from mautrix.api import Method
from mautrix.client import Client
from mautrix.crypto import InboundGroupSession, OlmAccount, OlmMachine, OutboundGroupSession
from mautrix.crypto.key_share import RejectKeyShare
from mautrix.crypto.signature import sign_olm, verify_signature_json
from mautrix.errors import EncryptionError, MatrixError
from mautrix.types import (
    DecryptedOlmEvent,
    DeviceID,
    DeviceIdentity,
    EncryptedOlmEventContent,
    EncryptionAlgorithm,
    EventType,
    ForwardedRoomKeyEventContent,
    IdentityKey,
    RequestedKeyInfo,
    RoomID,
    RoomKeyEventContent,
    RoomKeyWithheldCode,
    RoomKeyWithheldEventContent,
    SessionID,
    ToDeviceEvent,
    TrustState,
    UserID,
)
from mautrix.util.async_db import Database
from mautrix.util.logging import TraceLogger
from olm.account import OlmAccountError
from olm.session import OlmSessionError

from appservice.e2ee.api import OLM_KEY
from appservice.e2ee.devices import DeviceDirectory
from appservice.e2ee.errors import DecryptionFailed
from appservice.e2ee.store import BotCryptoStore, identity
from appservice.homeserver import HomeserverError

log = logging.getLogger(__name__)

ROOM_ID = re.compile(r"![^\x00-\x20]{1,254}")
UNWEDGE_S = 3600.0
SPENT_BEFORE_UPLOAD = 10
RETRY_MISSED_S = 300.0
TO_DEVICE_CHUNK = 200
CLAIM_CHUNK = 500
UPLOAD_PATH = "_matrix/client/v3/keys/upload"
CLAIM_PATH = "_matrix/client/v3/keys/claim"
CURVE = "signed_curve25519"
NOTHING: dict[str, Any] = {}

Devices = dict[UserID, dict[DeviceID, DeviceIdentity]]


class BotMachine(OlmMachine):
    """mautrix's OlmMachine for one bot device."""

    crypto_store: BotCryptoStore
    account: OlmAccount

    def __init__(self, client: Client, store: BotCryptoStore, rooms: Any, directory: DeviceDirectory) -> None:
        super().__init__(client, store, rooms, log=cast(TraceLogger, logging.getLogger("mau.crypto")))
        self.directory = directory
        self.ratchet = asyncio.Lock()
        self.requested: dict[str, str] = {}
        self.missed: dict[str, float] = {}
        self._wedged: dict[IdentityKey, UserID] = {}
        self._fetch_keys_lock = directory.lock
        self.allow_key_share = self._may_have

    @property
    def db(self) -> Database:
        """The database behind the store."""
        return self.crypto_store.db

    # -- device lists ---------------------------------------------------------------------------------------------

    async def fetch_devices(self, users: list[UserID]) -> set[str]:
        """Fetch and store the devices of ``users``; whom it got them of. The caller holds the directory's lock."""
        response = await self.client.query_keys(users)
        found: set[str] = set()
        for user_id, devices in response.device_keys.items():
            try:
                async with self.crypto_store.transaction():
                    await self._process_fetched_keys(user_id, devices, response)
            except Exception as error:  # noqa: BLE001 - mautrix trusts what strangers uploaded to hold together
                log.warning("device list left out: %s", type(error).__name__, extra={"user_id": user_id})
                continue
            found.add(str(user_id))
        return found

    async def on_devices_changed(self, user_id: UserID) -> None:
        """A device came or went: every bot's sessions in rooms with the user are over."""
        await self.directory.changed(user_id)

    async def get_or_fetch_device(self, user_id: UserID, device_id: DeviceID) -> DeviceIdentity | None:
        """mautrix's, through the directory."""
        return await self.directory.find(self, user_id, device_id=device_id)

    async def get_or_fetch_device_by_key(self, user_id: UserID, identity_key: IdentityKey) -> DeviceIdentity | None:
        """mautrix's, through the directory."""
        return await self.directory.find(self, user_id, key=identity_key)

    async def resolve_trust(self, device: DeviceIdentity, allow_fetch: bool = True) -> TrustState:
        """From what is stored alone: every fetch of devices brings the cross-signing keys too."""
        return await super().resolve_trust(device, allow_fetch=False)

    # -- to-device, in: no network here ---------------------------------------------------------------------------

    async def receive_encrypted(self, raw: dict[str, Any]) -> tuple[str, str] | None:
        """Decrypt one ``m.room.encrypted`` to-device event inside the caller's transaction, holding ``ratchet``.

        Returns:
            Room and session id when a Megolm session was stored.

        Raises:
            Exception: of many kinds; it cannot be read. A broken Olm session is noted, for :meth:`heal`.
        """
        event = ToDeviceEvent.deserialize(cast(Any, raw))
        content = event.content
        if not isinstance(content, EncryptedOlmEventContent) or not OLM_KEY.fullmatch(content.sender_key):
            raise DecryptionFailed("malformed", "not an Olm event")
        decrypted = await self._decrypt_olm_event(event)
        if isinstance(decrypted.content, ForwardedRoomKeyEventContent):
            return await self._take_forwarded_key(decrypted)
        if isinstance(decrypted.content, RoomKeyEventContent):
            return await self._take_room_key(decrypted)
        return None

    async def _take_room_key(self, event: DecryptedOlmEvent) -> tuple[str, str] | None:
        content = cast(RoomKeyEventContent, event.content)
        if content.algorithm != EncryptionAlgorithm.MEGOLM_V1 or not ROOM_ID.fullmatch(content.room_id):
            return None
        if not OLM_KEY.fullmatch(event.keys.ed25519):
            return None
        session = InboundGroupSession(content.session_key, event.keys.ed25519, event.sender_key, content.room_id)
        return await self._keep(session, content, event.sender)

    async def _take_forwarded_key(self, event: DecryptedOlmEvent) -> tuple[str, str] | None:
        key = cast(ForwardedRoomKeyEventContent, event.content)
        maker = self.requested.get(str(key.session_id))
        if maker is None or not OLM_KEY.fullmatch(key.sender_key) or not OLM_KEY.fullmatch(key.signing_key):
            log.info("forwarded room key ignored: not asked for", extra={"user_id": event.sender})
            return None
        if not await self._may_forward(event, key, maker):
            log.warning("forwarded room key refused: not from the session's maker", extra={"user_id": event.sender})
            return None
        chain = [*key.forwarding_key_chain, event.sender_key]
        session = InboundGroupSession.import_session(
            key.session_key, key.signing_key, key.sender_key, key.room_id, chain
        )
        return await self._keep(session, key, UserID(maker))

    async def _may_forward(self, event: DecryptedOlmEvent, key: ForwardedRoomKeyEventContent, maker: str) -> bool:
        if event.sender == maker and event.sender_key == key.sender_key:
            return True
        if event.sender not in (maker, self.client.mxid):
            return False
        device = await self.crypto_store.find_device_by_key(event.sender, event.sender_key)
        return device is not None and await self.resolve_trust(device) >= TrustState.CROSS_SIGNED_TOFU

    async def _keep(
        self, session: InboundGroupSession, content: RoomKeyEventContent, owner: UserID
    ) -> tuple[str, str] | None:
        if session.id != content.session_id or not ROOM_ID.fullmatch(content.room_id):
            raise DecryptionFailed("malformed", "the session id does not belong to the key")
        if not await self.crypto_store.accept_group_session(session, owner):
            return None
        return str(content.room_id), str(session.id)

    async def _unwedge_session(self, sender: UserID, sender_key: IdentityKey) -> None:
        """mautrix calls this in a task of its own, in the middle of our transaction: only take a note."""
        self.note_wedged(sender, sender_key)

    def note_wedged(self, sender: str, sender_key: str) -> None:
        """The Olm session with that device does not work: make a new one soon (:meth:`heal`)."""
        if OLM_KEY.fullmatch(sender_key) and len(self._wedged) < 100:
            self._wedged[IdentityKey(sender_key)] = UserID(sender)

    async def heal(self) -> None:
        """Make new Olm sessions with the devices noted, and send ``m.dummy``; once an hour for each device at most."""
        while self._wedged:
            key, user_id = self._wedged.popitem()
            now = time.monotonic()
            if now - self._prev_unwedge.get(key, -UNWEDGE_S) < UNWEDGE_S:
                continue
            self._prev_unwedge[key] = now
            device = await self.directory.find(self, user_id, key=key)
            if device is None:
                log.info("no new Olm session: unknown device", extra={"user_id": user_id})
                continue
            try:
                await self.send_encrypted_to_device(
                    device, EventType.TO_DEVICE_DUMMY, NOTHING, _force_recreate_session=True
                )
            except EncryptionError as error:
                log.warning("no new Olm session: %s", error, extra={"user_id": user_id})
            except MatrixError:
                del self._prev_unwedge[key]
                self._wedged[key] = user_id
                raise
            else:
                log.info("new Olm session", extra={"user_id": user_id, "device_id": device.device_id})

    # -- keys of our own ------------------------------------------------------------------------------------------

    async def publish_keys(self, count: int | None, fallback_used: bool) -> None:
        """Upload device keys at first, one-time keys when ten of fifty are spent, a fallback key after one was used.

        Args:
            count: one-time keys that the homeserver holds; None to ask it.
            fallback_used: the homeserver has no unused fallback key of ours.
        """
        async with self._share_keys_lock:
            if count is None:
                answer = await self.client.api.request(Method.POST, UPLOAD_PATH, {})
                count = int(answer.get("one_time_key_counts", {}).get(CURVE, 0))
            wanted = self.account.max_one_time_keys // 2
            missing = wanted - count if count < wanted - SPENT_BEFORE_UPLOAD else 0
            if not missing and not fallback_used and self.account.shared:
                return
            async with self.ratchet:
                unpublished = len(self.account.one_time_keys.get("curve25519", {}))
                if missing > unpublished:
                    self.account.generate_one_time_keys(missing - unpublished)
                if fallback_used and not self.account.fallback_key.get("curve25519"):
                    self.account.generate_fallback_key()
                await self.crypto_store.put_account(self.account)
            await self._upload()

    async def _upload(self) -> None:
        body: dict[str, Any] = {}
        if not self.account.shared:
            keys = self.account.get_device_keys(self.client.mxid, self.client.device_id)
            body["device_keys"] = keys.serialize()
        one_time = self._signed(self.account.one_time_keys, {})
        if one_time:
            body["one_time_keys"] = one_time
        fallback = self._signed(self.account.fallback_key, {"fallback": True})
        if fallback:
            body["fallback_keys"] = fallback
        if not body:
            return
        try:
            await self.client.api.request(Method.POST, UPLOAD_PATH, body)
        except Exception as error:
            # Key ids that the homeserver knows with other keys: the database is older than what it published.
            # These ids are given up, so that the next attempt takes new ones.
            if isinstance(error.__cause__, HomeserverError) and error.__cause__.status == 400:
                await self._mark_published(shared=self.account.shared)
            raise
        await self._mark_published(shared=True)

    async def _mark_published(self, *, shared: bool) -> None:
        async with self.ratchet:
            self.account.shared = shared
            self.account.mark_keys_as_published()
            await self.crypto_store.put_account(self.account)

    def _signed(self, keys: Mapping[str, Mapping[str, str]], extra: Mapping[str, Any]) -> dict[str, Any]:
        key_id = f"ed25519:{self.client.device_id}"
        signed = {}
        for name, key in keys.get("curve25519", {}).items():
            signature = sign_olm(cast(Any, {"key": key, **extra}), self.account)
            signed[f"{CURVE}:{name}"] = {
                "key": key,
                **extra,
                "signatures": {self.client.mxid: {key_id: signature}},
            }
        return signed

    # -- to-device, out -------------------------------------------------------------------------------------------

    async def _create_outbound_sessions_locked(
        self, users: Mapping[Any, Mapping[Any, DeviceIdentity]], _force_recreate_session: bool = False
    ) -> None:
        """Claim one-time keys for devices without an Olm session. Devices that have none to give stay without."""
        wanted: dict[tuple[str, str], DeviceIdentity] = {}
        for user_id, devices in users.items():
            for device_id, device in devices.items():
                if _force_recreate_session or not await self.crypto_store.has_session(device.identity_key):
                    wanted[user_id, device_id] = device
        names = list(wanted)
        for start in range(0, len(names), CLAIM_CHUNK):
            request: dict[str, dict[str, str]] = {}
            for user_id, device_id in names[start : start + CLAIM_CHUNK]:
                request.setdefault(user_id, {})[device_id] = CURVE
            answer = await self.client.api.request(
                Method.POST, CLAIM_PATH, {"timeout": 10_000, "one_time_keys": request}
            )
            async with self.ratchet, self.crypto_store.transaction():
                await self._add_claimed(answer.get("one_time_keys", {}), wanted)

    async def _add_claimed(self, claimed: Any, wanted: Mapping[tuple[str, str], DeviceIdentity]) -> None:
        for (user_id, device_id), device in wanted.items():
            try:
                key = next(iter(claimed[user_id][device_id].values()))
                if not verify_signature_json(key, UserID(user_id), device_id, device.signing_key):
                    raise ValueError("invalid signature")
                session = self.account.new_outbound_session(device.identity_key, key["key"])
            except (KeyError, StopIteration):
                continue
            except (ValueError, TypeError, AttributeError, OlmSessionError, OlmAccountError):
                log.warning("one-time key refused", extra={"user_id": user_id, "device_id": device_id})
                continue
            await self.crypto_store.add_session(device.identity_key, session)

    async def send_encrypted_to_device(
        self,
        device: DeviceIdentity,
        event_type: EventType,
        content: Any,
        _force_recreate_session: bool = False,
    ) -> None:
        """Send one Olm-encrypted event. The ratchet is stored before anything leaves.

        Raises:
            EncryptionError: the device gave no one-time key.
        """
        await self._create_outbound_sessions(
            {device.user_id: {device.device_id: device}}, _force_recreate_session=_force_recreate_session
        )
        async with self.ratchet, self.crypto_store.transaction():
            session = await self.crypto_store.get_latest_session(device.identity_key)
            if session is None:
                raise EncryptionError("the device has no one-time key to start a session with")
            encrypted = await self._encrypt_olm_event(session, device, event_type, content)
        await self.client.send_to_one_device(EventType.TO_DEVICE_ENCRYPTED, device.user_id, device.device_id, encrypted)

    async def current_session(
        self, room_id: RoomID, max_messages: int, max_age: timedelta
    ) -> OutboundGroupSession | None:
        """The room's session, if it may encrypt another message."""
        session = await self.crypto_store.get_outbound_group_session(room_id)
        if session is None or not session.shared:
            return None
        session.max_messages = min(session.max_messages, max_messages)
        session.max_age = min(session.max_age, max_age)
        return None if session.expired or self._retry_missed(room_id) else session

    def _retry_missed(self, room_id: str) -> bool:
        """Whether to share anew because some device had no one-time key the last time, a while ago."""
        missed = self.missed.get(room_id)
        return missed is not None and time.monotonic() - missed > RETRY_MISSED_S

    async def share(
        self, room_id: RoomID, users: Iterable[str], max_messages: int, max_age: timedelta
    ) -> OutboundGroupSession:
        """Make a Megolm session and send it to every device of ``users`` that is not blacklisted; then store it.

        Raises:
            MatrixError: the homeserver did not take the keys; nothing is stored, the next attempt makes a new session.
        """
        session = OutboundGroupSession(room_id)
        session.max_messages, session.max_age = max_messages, max_age
        own = InboundGroupSession(session.session_key, self.account.signing_key, self.account.identity_key, room_id)
        await self.crypto_store.accept_group_session(own, self.client.mxid)
        recipients, withheld = await self._recipients(users, session)
        await self._create_outbound_sessions(_by_user(recipients))
        messages: list[tuple[DeviceIdentity, EncryptedOlmEventContent]] = []
        async with self.ratchet, self.crypto_store.transaction():
            for device in recipients:
                olm_session = await self.crypto_store.get_latest_session(device.identity_key)
                if olm_session is None:
                    withheld.append((device, self._withheld(None, RoomKeyWithheldCode.NO_OLM_SESSION)))
                    continue
                encrypted = await self._encrypt_olm_event(
                    olm_session, device, EventType.ROOM_KEY, session.share_content
                )
                messages.append((device, encrypted))
        await self._send_all(EventType.TO_DEVICE_ENCRYPTED, messages)
        await self._send_all(EventType.ROOM_KEY_WITHHELD, withheld)
        session.shared = True
        async with self.crypto_store.transaction():
            await self.crypto_store.add_outbound_group_session(session)
            await self.crypto_store.add_shares(session.id, [identity(device) for device, _ in messages])
        self._note_missed(room_id, withheld)
        return session

    def _note_missed(self, room_id: RoomID, withheld: list[tuple[DeviceIdentity, Any]]) -> None:
        if any(content.code == RoomKeyWithheldCode.NO_OLM_SESSION for _, content in withheld):
            self.missed[room_id] = time.monotonic()
        else:
            self.missed.pop(room_id, None)

    async def _recipients(
        self, users: Iterable[str], session: OutboundGroupSession
    ) -> tuple[list[DeviceIdentity], list[tuple[DeviceIdentity, Any]]]:
        recipients: list[DeviceIdentity] = []
        withheld: list[tuple[DeviceIdentity, Any]] = []
        for user_id in users:
            for device in (await self.crypto_store.get_devices(UserID(user_id)) or {}).values():
                if device.deleted or device.identity_key == self.account.identity_key:
                    continue
                if device.trust == TrustState.BLACKLISTED:
                    withheld.append((device, self._withheld(session, RoomKeyWithheldCode.BLACKLISTED)))
                else:
                    recipients.append(device)
        return recipients, withheld

    def _withheld(self, session: OutboundGroupSession | None, code: RoomKeyWithheldCode) -> RoomKeyWithheldEventContent:
        return RoomKeyWithheldEventContent(
            algorithm=EncryptionAlgorithm.MEGOLM_V1,
            sender_key=self.account.identity_key,
            code=code,
            room_id=session.room_id if session else None,
            session_id=SessionID(session.id) if session else None,
        )

    async def _send_all(self, kind: EventType, messages: list[tuple[DeviceIdentity, Any]]) -> None:
        for start in range(0, len(messages), TO_DEVICE_CHUNK):
            body: dict[UserID, dict[DeviceID, Any]] = {}
            for device, content in messages[start : start + TO_DEVICE_CHUNK]:
                body.setdefault(device.user_id, {})[device.device_id] = content
            await self.client.send_to_device(kind, body)

    # -- key requests of others -----------------------------------------------------------------------------------

    async def _may_have(self, device: DeviceIdentity, request: RequestedKeyInfo) -> bool:
        """Who may have a key: the bot's own verified devices, and devices that our session was shared with at the time.

        The latter lost it (its Olm session broke, say) and is sent nothing that it was not sent before.
        """
        if device.user_id == self.client.mxid:
            return await self.default_allow_key_share(device, request)
        if device.trust == TrustState.BLACKLISTED:
            raise RejectKeyShare("blacklisted device", code=RoomKeyWithheldCode.BLACKLISTED)
        if await self.crypto_store.was_shared(request.session_id, *identity(device)):
            return True
        raise RejectKeyShare("the session was never shared with that device")


def _by_user(devices: Iterable[DeviceIdentity]) -> Devices:
    result: Devices = {}
    for device in devices:
        result.setdefault(device.user_id, {})[device.device_id] = device
    return result
