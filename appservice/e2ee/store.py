"""One bot's view of the crypto store: mautrix's tables, without the ways in which they lose or overwrite keys.

Devices, tracked users, cross-signing keys and message indexes are shared by all bots: their tables carry no account.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from mautrix.crypto import InboundGroupSession, OlmAccount
from mautrix.crypto.store.asyncpg import PgCryptoStore
from mautrix.types import (
    DeviceID,
    DeviceIdentity,
    IdentityKey,
    RoomID,
    SessionID,
    TrustState,
    UserID,
)

from appservice.e2ee.errors import DecryptionFailed

SHARE_KEPT_S = 30 * 86_400


class BotCryptoStore(PgCryptoStore):
    """mautrix's store for the account of one bot."""

    async def put_account(self, account: OlmAccount) -> None:
        """Store the account. mautrix would write an empty sync token when it has not been read before."""
        await self.get_next_batch()
        if not self._device_id:
            await self.get_device_id()
        await super().put_account(account)

    def begin(self, device_id: DeviceID) -> None:
        """Let the next ``put_account`` insert the account under this device."""
        self._device_id = device_id

    def forget(self) -> None:
        """Drop what is held in memory: the database was rolled back and is the truth."""
        self._account = None
        self._sync_token = None
        self._olm_cache.clear()

    async def reset(self) -> None:
        """Forget device, Olm and outbound sessions. Inbound Megolm sessions stay: old messages remain readable."""
        await self.delete()
        self.forget()
        self._device_id = DeviceID("")

    async def put_devices(self, user_id: UserID, devices: dict[DeviceID, DeviceIdentity]) -> None:
        """Replace a user's devices, but keep the trust given to those that stay: mautrix resets it at every fetch."""
        existing = await self.get_devices(user_id) or {}
        for device_id, device in devices.items():
            old = existing.get(device_id)
            if (
                old is not None
                and old.signing_key == device.signing_key
                and old.trust in (TrustState.BLACKLISTED, TrustState.VERIFIED)
            ):
                device.trust = old.trust
        await super().put_devices(user_id, devices)

    async def accept_group_session(self, session: InboundGroupSession, owner: UserID) -> bool:
        """Store an inbound session that ``owner`` sent, unless the one that is here is at least as good.

        A session id is a public key that every member knows: another sender must not be able to replace the session.

        Returns:
            Whether it was stored.
        """
        room_id, session_id = session.room_id, SessionID(session.id)
        q = """
        SELECT room_id, sender_key, session FROM crypto_megolm_inbound_session
        WHERE account_id=$1 AND session_id=$2
        """
        row = await self.db.fetchrow(q, self.account_id, session_id)
        if row is not None and row["session"] is not None:
            if row["room_id"] != room_id or row["sender_key"] != session.sender_key:
                raise DecryptionFailed("session_conflict", "another device already sent a session of this id")
            held = await self.get_group_session(room_id, session_id)
            if held is not None and held.first_known_index <= session.first_known_index:
                return False
        await self.put_group_session(room_id, session.sender_key, session_id, session)
        q = """
        INSERT INTO e2ee_session_owner (account_id, session_id, user_id) VALUES ($1, $2, $3)
        ON CONFLICT (account_id, session_id) DO UPDATE SET user_id=excluded.user_id
        """
        await self.db.execute(q, self.account_id, session_id, owner)
        return True

    async def session_owner(self, session_id: str) -> str | None:
        """The user who sent us this inbound session."""
        q = "SELECT user_id FROM e2ee_session_owner WHERE account_id=$1 AND session_id=$2"
        value = await self.db.fetchval(q, self.account_id, session_id)
        return None if value is None else str(value)

    async def put_withheld(self, room_id: str, session_id: str, sender_key: str, code: str, reason: str) -> None:
        """Remember that a session's key is withheld, unless the session is here."""
        q = """
        INSERT INTO crypto_megolm_inbound_session
            (account_id, session_id, sender_key, room_id, withheld_code, withheld_reason, is_scheduled)
        VALUES ($1, $2, $3, $4, $5, $6, false) ON CONFLICT (account_id, session_id) DO UPDATE
        SET withheld_code=excluded.withheld_code, withheld_reason=excluded.withheld_reason
        WHERE crypto_megolm_inbound_session.session IS NULL
        """
        await self.db.execute(q, self.account_id, session_id, sender_key, room_id, code, reason)

    async def withheld(self, room_id: str, session_id: str) -> str | None:
        """``code: reason`` of a withheld session."""
        q = """
        SELECT withheld_code, withheld_reason FROM crypto_megolm_inbound_session
        WHERE account_id=$1 AND session_id=$2 AND room_id=$3 AND withheld_code IS NOT NULL
        """
        row = await self.db.fetchrow(q, self.account_id, session_id, room_id)
        if row is None:
            return None
        return ": ".join(str(part) for part in (row["withheld_code"], row["withheld_reason"]) if part)

    async def add_shares(self, session_id: str, devices: Iterable[tuple[str, str]]) -> None:
        """Remember which devices (user id, identity key) got an outbound session."""
        now = int(time.time())
        q = """
        INSERT INTO e2ee_share (account_id, session_id, user_id, identity_key, shared_at)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
        """
        rows = [(self.account_id, session_id, user_id, key, now) for user_id, key in devices]
        if rows:
            await self.db.executemany(q, rows)

    async def was_shared(self, session_id: str, user_id: str, identity_key: str) -> bool:
        """Whether the outbound session went to that device of that user within the last thirty days."""
        q = """
        SELECT 1 FROM e2ee_share WHERE account_id=$1 AND session_id=$2 AND user_id=$3 AND identity_key=$4
        """
        return await self.db.fetchval(q, self.account_id, session_id, user_id, identity_key) is not None

    async def prune_shares(self) -> None:
        """Drop records of shares that are too old to be asked for."""
        q = "DELETE FROM e2ee_share WHERE account_id=$1 AND shared_at < $2"
        await self.db.execute(q, self.account_id, int(time.time()) - SHARE_KEPT_S)

    async def clear_sync_token(self) -> None:
        """The next /sync starts afresh: the token belonged to another device."""
        self._sync_token = None


def identity(device: DeviceIdentity) -> tuple[str, IdentityKey]:
    """A device as shares remember it."""
    return device.user_id, device.identity_key


def room(value: str) -> RoomID:
    """A room id for mautrix."""
    return RoomID(value)
