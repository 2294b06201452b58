"""What mautrix's stores hold of a person: names in rooms, devices and their keys. Handed out, and erased."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from mautrix.util.async_db import Database
from mautrix.util.async_db.connection import LoggingConnection

NAMES: Final = "SELECT room_id, user_id, membership, displayname, avatar_url FROM mx_user_profile WHERE user_id=$1"
DEVICES: Final = "SELECT device_id, identity_key, signing_key, trust, deleted, name FROM crypto_device WHERE user_id=$1"
OWNED: Final = "SELECT session_id FROM e2ee_session_owner WHERE user_id=$1"
BY_USER: Final = (
    "DELETE FROM crypto_device WHERE user_id=$1",
    "DELETE FROM crypto_tracked_user WHERE user_id=$1",
    "DELETE FROM crypto_cross_signing_keys WHERE user_id=$1",
    "DELETE FROM crypto_cross_signing_signatures WHERE signed_user_id=$1 OR signer_user_id=$1",
    "DELETE FROM e2ee_stale_user WHERE user_id=$1",
    "DELETE FROM e2ee_session_owner WHERE user_id=$1",
    "DELETE FROM e2ee_share WHERE user_id=$1",
    "DELETE FROM mx_user_profile WHERE user_id=$1",
)
"""Every table of mautrix's and of our own beside them that names people."""
STATE: Final = (
    "SELECT room_id, power_levels, create_event FROM mx_room_state WHERE power_levels LIKE $1 OR create_event LIKE $1"
)
NO_STATE: Final = "UPDATE mx_room_state SET power_levels=NULL, create_event=NULL WHERE room_id=$1"
"""Of rooms, as they were seen last: who has power there, who made them. Nothing of ours reads it."""
BY_KEY: Final = (
    "DELETE FROM crypto_olm_session WHERE sender_key=$1",
    "DELETE FROM crypto_message_index WHERE sender_key=$1",
    "DELETE FROM crypto_megolm_inbound_session WHERE sender_key=$1",
)
"""What is known by a device's key: what the person's devices have sent can be read no more."""


class KeysSource:
    """The stores, as a source of :mod:`bridge.rights`. In memory something may stay until the next start."""

    name = "keys"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def export(self, person: str) -> AsyncIterator[tuple[str, Any]]:
        """Their names in rooms, and their devices as bots know them; public keys only."""
        yield "keys/names.json", _plain(await self._database.fetch(NAMES, person))
        yield "keys/devices.json", _plain(await self._database.fetch(DEVICES, person))

    async def erase(self, person: str) -> list[str]:
        """Forget all of it; what cannot be done: nothing."""
        connection: LoggingConnection
        async with self._database.acquire() as connection, connection.transaction():
            keys = {row["identity_key"] for row in await connection.fetch(DEVICES, person)}
            for row in await connection.fetch(OWNED, person):
                await connection.execute(
                    "DELETE FROM crypto_megolm_inbound_session WHERE session_id=$1", row["session_id"]
                )
            for key in sorted(keys):
                for statement in BY_KEY:
                    await connection.execute(statement, key)
            for statement in BY_USER:
                await connection.execute(statement, person)
            for row in await connection.fetch(STATE, f"%{person}%"):
                if person in f"{row['power_levels']} {row['create_event']}":
                    await connection.execute(NO_STATE, row["room_id"])
        return []


def _plain(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]
