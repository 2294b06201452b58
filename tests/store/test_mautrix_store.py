"""The database of keys and room state, on SQLite and PostgreSQL: what it keeps, refuses, and does after trouble."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mautrix.crypto import InboundGroupSession, OlmAccount, OutboundGroupSession
from mautrix.types import (
    DeviceID,
    DeviceIdentity,
    EventID,
    IdentityKey,
    Member,
    Membership,
    RoomID,
    SessionID,
    SigningKey,
    SyncToken,
    TrustState,
    UserID,
)

from appservice.e2ee import BotIdentity
from appservice.e2ee.devices import DeviceDirectory
from appservice.e2ee.errors import CryptoStartError, DecryptionFailed
from appservice.e2ee.store import BotCryptoStore
from appservice.mautrix_store import MautrixDatabase, MautrixStoreError, mautrix_file
from tests.unit.e2ee_fakes import FakeHomeserver, crypto_with

ROOM = RoomID("!room:localhost")
BOT = UserID("@bot:localhost")
ALICE = UserID("@alice:localhost")
KEY = "a pickle key for tests"


@pytest.fixture
async def data(database_url: str) -> AsyncIterator[MautrixDatabase]:
    """A started database."""
    database = MautrixDatabase(database_url)
    await database.start()
    yield database
    await database.stop()


def inbound(outbound: OutboundGroupSession, owner: OlmAccount) -> InboundGroupSession:
    """The receiving side of a session, from the message on that comes next."""
    return InboundGroupSession(outbound.session_key, owner.signing_key, owner.identity_key, ROOM)


def assert_ended(threads: set[threading.Thread]) -> None:
    """A thread that is not a daemon keeps the process alive."""
    for thread in threads:
        thread.join(5)
        assert thread.daemon or not thread.is_alive(), thread.name


def device(number: int, trust: TrustState = TrustState.UNVERIFIED) -> DeviceIdentity:
    """A device of alice's."""
    account = OlmAccount()
    return DeviceIdentity(
        ALICE, DeviceID(f"D{number}"), account.identity_key, account.signing_key, trust, False, f"D{number}"
    )


async def test_an_account_keeps_its_sync_token_and_device(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, KEY, data.db)
    store.begin(DeviceID("DEVICE"))
    account = OlmAccount()
    await store.put_account(account)
    await store.put_next_batch(SyncToken("s1"))
    again = BotCryptoStore(BOT, KEY, data.db)
    loaded = await again.get_account()
    assert loaded is not None
    assert loaded.identity_key == account.identity_key
    await again.put_account(loaded)
    third = BotCryptoStore(BOT, KEY, data.db)
    assert (await third.get_next_batch(), await third.get_device_id()) == ("s1", "DEVICE")


async def test_a_session_of_somebody_else_does_not_replace_one(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, KEY, data.db)
    alice, mallory = OlmAccount(), OlmAccount()
    outbound = OutboundGroupSession(ROOM)
    outbound.shared = True
    first = inbound(outbound, alice)
    assert await store.accept_group_session(first, ALICE)
    assert not await store.accept_group_session(inbound(outbound, alice), ALICE), "the same again brings nothing"
    with pytest.raises(DecryptionFailed, match="another device"):
        await store.accept_group_session(inbound(outbound, mallory), UserID("@mallory:localhost"))
    assert await store.session_owner(outbound.id) == ALICE


async def test_a_session_from_an_earlier_message_on_replaces_a_later_one(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, KEY, data.db)
    alice = OlmAccount()
    outbound = OutboundGroupSession(ROOM)
    outbound.shared = True
    early = inbound(outbound, alice)
    outbound.encrypt("one")  # type: ignore[no-untyped-call]
    late = inbound(outbound, alice)
    assert await store.accept_group_session(late, ALICE)
    assert await store.accept_group_session(early, ALICE)
    assert not await store.accept_group_session(late, ALICE)
    held = await store.get_group_session(ROOM, SessionID(outbound.id))
    assert held is not None
    assert held.first_known_index == 0


async def test_withheld_is_remembered_until_the_key_comes(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, KEY, data.db)
    alice = OlmAccount()
    outbound = OutboundGroupSession(ROOM)
    await store.put_withheld(ROOM, outbound.id, alice.identity_key, "m.unverified", "not verified")
    assert await store.withheld(ROOM, outbound.id) == "m.unverified: not verified"
    assert await store.accept_group_session(inbound(outbound, alice), ALICE)
    await store.put_withheld(ROOM, outbound.id, alice.identity_key, "m.unverified", "too late")
    assert await store.withheld(ROOM, outbound.id) is None
    assert await store.has_group_session(ROOM, SessionID(outbound.id))


async def test_a_message_index_is_used_once_for_all_bots(data: MautrixDatabase) -> None:
    one, two = BotCryptoStore(BOT, KEY, data.db), BotCryptoStore(ALICE, KEY, data.db)
    sender, session = IdentityKey("k" * 43), SessionID("s" * 43)
    assert await one.validate_message_index(sender, session, EventID("$a"), 0, 7)
    assert await two.validate_message_index(sender, session, EventID("$a"), 0, 7)
    assert not await one.validate_message_index(sender, session, EventID("$b"), 0, 7)
    assert not await one.validate_message_index(sender, session, EventID("$a"), 0, 8)


async def test_a_blacklisted_device_stays_so_when_fetched_again(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, KEY, data.db)
    bad, good = device(1, TrustState.BLACKLISTED), device(2)
    await store.put_devices(ALICE, {bad.device_id: bad, good.device_id: good})
    for one in (bad, good):
        one.trust = TrustState.UNVERIFIED
    await store.put_devices(ALICE, {bad.device_id: bad, good.device_id: good})
    devices = await store.get_devices(ALICE)
    assert devices is not None
    assert [devices[DeviceID(name)].trust for name in ("D1", "D2")] == [TrustState.BLACKLISTED, TrustState.UNVERIFIED]
    bad.signing_key, bad.trust = SigningKey("x" * 43), TrustState.UNVERIFIED
    await store.put_devices(ALICE, {bad.device_id: bad})
    devices = await store.get_devices(ALICE)
    assert devices is not None
    assert devices[DeviceID("D1")].trust == TrustState.UNVERIFIED, "other keys are another device"


async def test_shares_are_remembered_for_a_while(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, KEY, data.db)
    await store.add_shares("session", [(ALICE, "key1"), (ALICE, "key2"), (ALICE, "key1")])
    await data.db.execute("UPDATE e2ee_share SET shared_at=1 WHERE identity_key='key1'")
    await store.prune_shares()
    assert not await store.was_shared("session", ALICE, "key1")
    assert await store.was_shared("session", ALICE, "key2")
    assert not await store.was_shared("session", "@bob:localhost", "key2")


async def test_a_changed_device_ends_the_sessions_of_every_bot(data: MautrixDatabase) -> None:
    directory = DeviceDirectory(data.db)
    other = RoomID("!other:localhost")
    await data.state_store.set_member(ROOM, ALICE, Member(Membership.JOIN))
    stores = [BotCryptoStore(name, KEY, data.db) for name in ("@one:localhost", "@two:localhost")]
    for store in stores:
        for room in (ROOM, other):
            await store.add_outbound_group_session(OutboundGroupSession(room))
    before = directory.versions([ALICE])
    await directory.changed(ALICE)
    assert directory.versions([ALICE]) != before
    for store in stores:
        assert await store.get_outbound_group_session(ROOM) is None
        assert await store.get_outbound_group_session(other) is not None


async def test_stale_users_are_remembered_over_a_restart(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, KEY, data.db)
    await store.put_devices(ALICE, {})
    directory = DeviceDirectory(data.db)
    await directory.mark_stale([ALICE, "@never-fetched:localhost"])
    assert directory.stale == {ALICE}, "nobody fetches those that nobody needs"
    directory = DeviceDirectory(data.db)
    await directory.load()
    assert directory.stale == {ALICE}


async def test_a_change_during_the_first_fetch_is_not_lost(data: MautrixDatabase) -> None:
    directory = DeviceDirectory(data.db)
    async with directory.lock:  # held while the homeserver is asked
        await directory.mark_stale([ALICE])
    assert directory.stale == {ALICE}


async def test_members_come_back_as_they_were_put(data: MautrixDatabase) -> None:
    store = data.state_store
    await store.set_member(ROOM, ALICE, Member(Membership.JOIN, None, "Alice"))  # type: ignore[arg-type]
    await store.set_member(ROOM, BOT, Member(Membership.LEAVE))
    profiles = await store.get_member_profiles(ROOM)
    assert {user: (member.membership, member.displayname) for user, member in profiles.items()} == {
        ALICE: (Membership.JOIN, "Alice")
    }


async def test_a_task_cancelled_in_a_transaction_leaves_none_open(data: MautrixDatabase) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        connection: Any
        async with data.db.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO e2ee_stale_user (user_id) VALUES ('@half:localhost')")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again: Any
    async with data.db.acquire() as again, again.transaction():
        assert await again.fetchval("SELECT COUNT(*) FROM e2ee_stale_user") == 0


async def test_starting_again_keeps_everything(database_url: str) -> None:
    for expected in (0, 1):
        database = MautrixDatabase(database_url)
        await database.start()
        assert await database.db.fetchval("SELECT COUNT(*) FROM e2ee_stale_user") == expected
        await database.db.execute("INSERT INTO e2ee_stale_user (user_id) VALUES ($1)", f"@user{expected}:localhost")
        await database.stop()
        await database.stop()


async def test_sqlite_is_private_durable_and_lets_the_process_go(sqlite_url: str) -> None:
    threads = set(threading.enumerate())
    database = MautrixDatabase(sqlite_url)
    await database.start()
    file = mautrix_file(sqlite_url)
    assert file.name == "rialto.mautrix.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await database.db.fetchval("PRAGMA journal_mode") == "wal"
    assert await database.db.fetchval("PRAGMA synchronous") == 2, "FULL"
    await database.stop()
    assert_ended(set(threading.enumerate()) - threads)


@pytest.mark.parametrize("kind", ["garbage", "folder"])
async def test_a_file_that_cannot_be_opened_is_said_and_leaves_no_thread(tmp_path: Path, kind: str) -> None:
    threads = set(threading.enumerate())
    if kind == "garbage":
        (tmp_path / "rialto.mautrix.db").write_bytes(b"this is no database" * 100)
    else:
        (tmp_path / "rialto.mautrix.db").mkdir()
    database = MautrixDatabase(f"sqlite:///{tmp_path / 'rialto.db'}")
    with pytest.raises(MautrixStoreError):
        await database.start()
    assert_ended(set(threading.enumerate()) - threads)


async def test_a_wrong_pickle_key_is_found_in_accounts_older_than_the_check(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, "another pickle key, 0123456789", data.db)
    store.begin(DeviceID("DEVICE"))
    await store.put_account(OlmAccount())
    crypto = crypto_with(data, FakeHomeserver())
    with pytest.raises(CryptoStartError) as wrong:
        await crypto.start([BotIdentity(BOT, "Bot")])
    assert wrong.value.code == "pickle_key_wrong"
    assert await data.db.fetchval("SELECT COUNT(*) FROM e2ee_meta") == 0, "no check value for a key that opens nothing"
