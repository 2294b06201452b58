"""The parts of encryption that need no homeserver: parsing of hostile answers, rotation, what ends a session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mautrix.crypto import OlmAccount, OutboundGroupSession
from mautrix.types import DeviceID, Member, Membership, RoomID, UserID

from appservice.e2ee import BotIdentity, CryptoNotReady, DecryptionFailed, KeyMissing
from appservice.e2ee.api import parse_query
from appservice.e2ee.bot import FILTER
from appservice.e2ee.decryption import _open
from appservice.e2ee.members import Members
from appservice.e2ee.store import BotCryptoStore
from appservice.mautrix_store import MautrixDatabase
from tests.unit.e2ee_fakes import FakeHomeserver, FakeRooms, crypto_with

ROOM = RoomID("!room:localhost")
BOT = UserID("@bot:localhost")
ALICE = UserID("@alice:localhost")
SESSION = "s" * 43


@pytest.fixture
async def data(sqlite_url: str) -> AsyncIterator[MautrixDatabase]:
    """A started database."""
    database = MautrixDatabase(sqlite_url)
    await database.start()
    yield database
    await database.stop()


def uploaded(user_id: str = ALICE, device_id: str = "DEVICE") -> dict[str, Any]:
    """Device keys as a client uploads them."""
    keys = OlmAccount().get_device_keys(UserID(user_id), DeviceID(device_id)).serialize()
    assert isinstance(keys, dict)
    return keys


# /keys/query


def test_sound_devices_survive_malformed_ones() -> None:
    bad: dict[str, Any] = {
        "STRING": "text",
        "EMPTY": {},
        "NOKEYS": {**uploaded(device_id="NOKEYS"), "keys": {}},
        "SHORT": {**uploaded(device_id="SHORT"), "keys": {"ed25519:SHORT": "x", "curve25519:SHORT": "y"}},
        "NUL\0": uploaded(device_id="NUL\0"),
        "L" * 300: uploaded(device_id="L" * 300),
        "LIST": {**uploaded(device_id="LIST"), "keys": ["x"]},
    }
    raw = {"device_keys": {ALICE: {**bad, "DEVICE": uploaded()}}}
    assert list(parse_query(raw, {ALICE}).device_keys[ALICE]) == ["DEVICE"]


def test_users_that_were_not_asked_for_are_left_out() -> None:
    raw = {"device_keys": {ALICE: {}, "@eve:evil": {"DEVICE": uploaded("@eve:evil")}}, "master_keys": {"@eve:evil": {}}}
    answer = parse_query(raw, {ALICE})
    assert answer.device_keys == {ALICE: {}}
    assert answer.master_keys == {}


def test_a_display_name_cannot_break_the_database() -> None:
    raw = {"device_keys": {ALICE: {"DEVICE": {**uploaded(), "unsigned": {"device_display_name": "a\0b"}}}}}
    assert parse_query(raw, {ALICE}).device_keys[ALICE][DeviceID("DEVICE")].unsigned.device_display_name is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.fixed_dictionaries({"device_keys": JSON, "master_keys": JSON, "self_signing_keys": JSON}) | JSON)
def test_no_answer_whatever_raises(raw: Any) -> None:
    parse_query(raw, {ALICE, ""})


def test_the_filter_asks_for_no_rooms_presence_or_account_data() -> None:
    assert '"rooms":[]' in FILTER
    assert FILTER.count('"not_types":["*"]') == 2


# Encrypted events


def encrypted(**changes: Any) -> dict[str, Any]:
    """A well-formed encrypted event."""
    content = {"algorithm": "m.megolm.v1.aes-sha2", "session_id": SESSION, "ciphertext": "AwgA"}
    event = {"room_id": ROOM, "event_id": "$e", "sender": ALICE, "origin_server_ts": 1, "content": content}
    for key, value in changes.items():
        (content if key in {"algorithm", "session_id", "ciphertext"} else event)[key] = value
    return event


def test_a_well_formed_event_opens() -> None:
    assert _open(encrypted()).session_id == SESSION


@pytest.mark.parametrize(
    "change",
    [
        {"content": None},
        {"content": {}},
        {"algorithm": "m.olm.v1.curve25519-aes-sha2"},
        {"algorithm": ["m.megolm.v1.aes-sha2"]},
        {"session_id": None},
        {"session_id": "short"},
        {"session_id": "s" * 42 + "\0"},
        {"ciphertext": {"body": "x"}},
        {"event_id": None},
        {"event_id": "$\0"},
        {"sender": 5},
        {"origin_server_ts": "now"},
        {"room_id": None},
    ],
    ids=str,
)
def test_malformed_events_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DecryptionFailed):
        _open(encrypted(**change))


async def test_who_is_no_bot_reads_and_writes_nothing(data: MautrixDatabase) -> None:
    crypto = crypto_with(data, FakeHomeserver())
    for call in (crypto.decrypt(ALICE, encrypted()), crypto.encrypt(ALICE, ROOM, "m.room.message", {})):
        with pytest.raises(CryptoNotReady):
            await call
    with pytest.raises(CryptoNotReady):
        crypto.device_id(ALICE)


async def test_without_a_homeserver_a_known_bot_reads_and_a_new_one_waits(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, "a pickle key for unit tests", data.db)
    store.begin(DeviceID("DEVICE"))
    await store.put_account(OlmAccount())
    crypto = crypto_with(data, FakeHomeserver())
    await crypto.start([BotIdentity(BOT, "Bot"), BotIdentity("@new:localhost", "New")])
    try:
        assert set(crypto.healthy()) == {BOT, "@new:localhost"}
        assert crypto.device_id(BOT) == "DEVICE"
        with pytest.raises(KeyMissing):
            await crypto.decrypt(BOT, encrypted())
        with pytest.raises(CryptoNotReady):
            await crypto.decrypt("@new:localhost", encrypted())
    finally:
        await crypto.stop()


# Rotation


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, (100, 604800)),
        ({"rotation_period_msgs": 7}, (7, 604800)),
        ({"rotation_period_msgs": 5000}, (100, 604800)),
        ({"rotation_period_ms": 7_200_000}, (100, 7200)),
        ({"rotation_period_ms": 1}, (100, 3600)),
        ({"rotation_period_msgs": 0, "rotation_period_ms": -5}, (100, 604800)),
    ],
    ids=str,
)
async def test_the_stricter_limit_holds(data: MautrixDatabase, own: dict[str, Any], expected: tuple[int, int]) -> None:
    await data.state_store.set_encryption_info(ROOM, {"algorithm": "m.megolm.v1.aes-sha2", **own})
    messages, age = await Members(FakeRooms(data.state_store)).rotation(ROOM, 100, 604800)
    assert (messages, age) == (expected[0], timedelta(seconds=expected[1]))


async def test_an_unknown_room_has_the_configured_limits(data: MautrixDatabase) -> None:
    assert await Members(FakeRooms(data.state_store)).rotation(ROOM, 3, 4000) == (3, timedelta(seconds=4000))


# What ends a session


def member(now: str, before: str | None, user_id: str = ALICE) -> dict[str, Any]:
    """A membership event."""
    unsigned = {} if before is None else {"prev_content": {"membership": before}}
    return {
        "type": "m.room.member",
        "room_id": ROOM,
        "state_key": user_id,
        "content": {"membership": now},
        "unsigned": unsigned,
    }


@pytest.mark.parametrize(
    ("before", "now", "ends"),
    [
        ("join", "leave", True),
        ("join", "ban", True),
        ("invite", "leave", True),
        ("leave", "join", True),
        ("leave", "invite", True),
        ("knock", "join", True),
        (None, "join", True),
        (None, "leave", True),
        ("invite", "join", False),
        ("join", "join", False),
        ("leave", "ban", False),
        ("ban", "leave", False),
        ("leave", "knock", False),
    ],
)
async def test_which_memberships_end_a_session(data: MautrixDatabase, before: str | None, now: str, ends: bool) -> None:
    store = BotCryptoStore(BOT, "key", data.db)
    await store.add_outbound_group_session(OutboundGroupSession(ROOM))
    await crypto_with(data, FakeHomeserver()).room_changed(member(now, before))
    assert (await store.get_outbound_group_session(ROOM) is None) == ends


async def test_changed_encryption_settings_end_a_session(data: MautrixDatabase) -> None:
    store = BotCryptoStore(BOT, "key", data.db)
    await store.add_outbound_group_session(OutboundGroupSession(ROOM))
    event = {"type": "m.room.encryption", "room_id": ROOM, "state_key": "", "content": {}}
    await crypto_with(data, FakeHomeserver()).room_changed(event)
    assert await store.get_outbound_group_session(ROOM) is None


async def test_a_leave_with_malformed_content_is_a_leave(data: MautrixDatabase) -> None:
    await data.state_store.set_member(ROOM, ALICE, Member(Membership.JOIN))
    event = member("leave", "join")
    event["content"]["displayname"] = {"not": "a name"}
    await crypto_with(data, FakeHomeserver()).room_changed(event)
    assert await data.state_store.get_membership(ROOM, ALICE) == Membership.LEAVE


@pytest.mark.parametrize(
    "event",
    [{}, {"room_id": ROOM}, {**member("join", None), "state_key": None}, {**member("join", None), "content": []}],
    ids=["empty", "no type", "no state key", "no content"],
)
async def test_malformed_state_changes_nothing(data: MautrixDatabase, event: dict[str, Any]) -> None:
    store = BotCryptoStore(BOT, "key", data.db)
    await store.add_outbound_group_session(OutboundGroupSession(ROOM))
    await crypto_with(data, FakeHomeserver()).room_changed(event)
    assert await store.get_outbound_group_session(ROOM) is not None


async def test_who_comes_back_is_fetched_again(data: MautrixDatabase, tmp_path: Path) -> None:
    store = BotCryptoStore(BOT, "key", data.db)
    await store.put_devices(ALICE, {})
    crypto = crypto_with(data, FakeHomeserver())
    assert crypto._directory.stale == set()
    await crypto.room_changed(member("invite", "leave"))
    assert crypto._directory.stale == {ALICE}
