"""The stores of keys forget a person, and nobody else, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from appservice.forgetting import KeysSource
from appservice.mautrix_store import MautrixDatabase

ALICE, BOB, BOT = "@alice:localhost", "@bob:localhost", "@bot:localhost"
ALICES_KEY, BOBS_KEY = "a" * 43, "b" * 43
"""Curve25519 keys have 43 characters."""
ROWS = (
    "INSERT INTO mx_room_state (room_id, power_levels) "
    "VALUES ('!' || substr($1, 2, 3), '{\"users\": {\"' || $1 || '\": 100}}')",
    "INSERT INTO mx_user_profile (room_id, user_id, membership, displayname) "
    "VALUES ('!room:localhost', $1, 'join', $2)",
    "INSERT INTO crypto_device (user_id, device_id, identity_key, signing_key, trust, deleted, name) "
    "VALUES ($1, 'D', $2, 'signing', 0, false, 'phone')",
    "INSERT INTO crypto_tracked_user (user_id) VALUES ($1)",
    "INSERT INTO crypto_cross_signing_keys (user_id, usage, key, first_seen_key) VALUES ($1, 'master', $2, $2)",
    "INSERT INTO crypto_cross_signing_signatures (signed_user_id, signed_key, signer_user_id, signer_key, signature) "
    "VALUES ('@bot:localhost', 'x', $1, $2, 'y')",
    "INSERT INTO e2ee_stale_user (user_id) VALUES ($1)",
    "INSERT INTO e2ee_session_owner (account_id, session_id, user_id) VALUES ('@bot:localhost', $2, $1)",
    "INSERT INTO e2ee_share (account_id, session_id, user_id, identity_key, shared_at) "
    "VALUES ('@bot:localhost', 'out', $1, $2, 0)",
    'INSERT INTO crypto_message_index (sender_key, session_id, "index", event_id, timestamp) '
    "VALUES ($2, $1, 0, '$event', 0)",
    "INSERT INTO crypto_megolm_inbound_session (account_id, session_id, sender_key, signing_key, room_id) "
    "VALUES ('@bot:localhost', $2, $2, 'signing', '!room:localhost')",
)


@pytest.fixture
async def data(database_url: str) -> AsyncIterator[MautrixDatabase]:
    """A database in which two people are known."""
    made = MautrixDatabase(database_url)
    await made.start()
    for person, key in ((ALICE, ALICES_KEY), (BOB, BOBS_KEY)):
        for statement in ROWS:
            # Only the parameters that it has.
            given: list[Any] = [value for name, value in (("$1", person), ("$2", key)) if name in statement]
            await made.db.execute(statement if "$1" in statement else statement.replace("$2", "$1"), *given)
    yield made
    await made.stop()


async def mentions(data: MautrixDatabase, *words: str) -> list[str]:
    """The tables in which one of these words stands."""
    sqlite = data.db.scheme.value == "sqlite"
    query = "SELECT name FROM sqlite_master WHERE type='table'"
    if not sqlite:
        query = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema='mautrix'"
    found = []
    for row in await data.db.fetch(query):
        for held in await data.db.fetch(f'SELECT * FROM "{row["name"]}"'):
            if any(word in repr(tuple(held)) for word in words):
                found.append(str(row["name"]))
    return sorted(found)


async def test_a_copy(data: MautrixDatabase) -> None:
    files = {name: content async for name, content in KeysSource(data.db).export(ALICE)}
    (name,) = files["keys/names.json"]
    assert name["room_id"] == "!room:localhost" and name["displayname"] == ALICES_KEY
    (device,) = files["keys/devices.json"]
    assert device["identity_key"] == ALICES_KEY and device["name"] == "phone"


async def test_nothing_of_a_person_is_left(data: MautrixDatabase) -> None:
    assert len(await mentions(data, ALICE, ALICES_KEY)) == len(ROWS)
    source = KeysSource(data.db)
    assert await source.erase(ALICE) == []
    assert await mentions(data, ALICE, ALICES_KEY) == []
    assert len(await mentions(data, BOB, BOBS_KEY)) == len(ROWS)
    assert await source.erase(ALICE) == []
