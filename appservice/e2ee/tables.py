"""Tables of our own beside mautrix's crypto tables, in the same database and under mautrix's upgrade mechanism."""

from __future__ import annotations

import logging

from mautrix.util.async_db import Connection, Scheme, UpgradeTable

upgrade_table = UpgradeTable(
    version_table_name="e2ee_version",
    database_name="Rialto's crypto additions",
    log=logging.getLogger("mau.rialto.upgrade"),
)

STATEMENTS = (
    # A sealed known text: opens only with the pickle key that it was made with.
    "CREATE TABLE e2ee_meta (name TEXT PRIMARY KEY, value bytea NOT NULL)",
    # What belongs to a bot and outlives its device.
    """CREATE TABLE e2ee_bot (
        user_id TEXT PRIMARY KEY, display_name TEXT NOT NULL DEFAULT '', recovery_key bytea
    )""",
    # Users whose device list has changed since it was fetched.
    "CREATE TABLE e2ee_stale_user (user_id TEXT PRIMARY KEY)",
    # Who sent us an inbound Megolm session, as authenticated by Olm.
    """CREATE TABLE e2ee_session_owner (
        account_id TEXT NOT NULL, session_id TEXT NOT NULL, user_id TEXT NOT NULL,
        PRIMARY KEY (account_id, session_id)
    )""",
    # Which devices got one of our outbound Megolm sessions: these may ask for it again.
    """CREATE TABLE e2ee_share (
        account_id TEXT NOT NULL, session_id TEXT NOT NULL, user_id TEXT NOT NULL, identity_key TEXT NOT NULL,
        shared_at BIGINT NOT NULL, PRIMARY KEY (account_id, session_id, user_id, identity_key)
    )""",
    "CREATE INDEX e2ee_share_age ON e2ee_share (shared_at)",
)


async def create(connection: Connection, _: Scheme) -> None:
    """Version 1."""
    for statement in STATEMENTS:
        await connection.execute(statement)


upgrade_table.register(create, description="Check value, recovery keys, stale users, owners and shares of sessions")
