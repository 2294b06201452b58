"""The bots' encryption with people on matrix-nio (vodozemac), an independent implementation, on a real Synapse."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from mautrix.crypto.signature import verify_signature_json
from mautrix.types import UserID
from pydantic import SecretStr

from appservice.e2ee import CryptoStartError, DecryptionFailed, KeyMissing, attachments
from appservice.homeserver import path
from tests.e2e.e2ee_support import PICKLE_KEY, BotSide, until
from tests.support.human import Human
from tests.support.servers import Server, Slot

MakeSide = Callable[..., Awaitable[BotSide]]
MEGOLM = "m.megolm.v1.aes-sha2"
CLIENT = "/_matrix/client/v3"


@pytest.fixture(scope="module")
def slot(synapse: Server) -> Slot:
    """One registration for all tests of this file; each has bots of its own."""
    return synapse.take_slot()


@pytest.fixture
async def make_side(synapse: Server, slot: Slot, tmp_path: Path) -> AsyncIterator[MakeSide]:
    """A factory of started bot sides."""
    async with AsyncExitStack() as stack:

        async def make(*names: str, start: bool = True, **encryption: Any) -> BotSide:
            side = BotSide(synapse, slot, tmp_path / secrets.token_hex(3), names or ("bot",), **encryption)
            stack.push_async_callback(side.stop)
            if start:
                await side.start()
            return side

        yield make


@pytest.fixture
async def side(make_side: MakeSide) -> BotSide:
    """One bot."""
    return await make_side()


def to_device_of(human: Human) -> list[Any]:
    """The to-device events that a human's client takes in from now on."""
    seen: list[Any] = []
    olm = human.nio.olm
    take = olm.handle_to_device_event

    def listen(event: Any) -> Any:
        seen.append(event)
        return take(event)

    olm.handle_to_device_event = listen
    return seen


async def named(events: list[Any], kind: str) -> Any:
    """Wait for an event of a class of nio's."""

    async def found() -> Any:
        return next((event for event in events if type(event).__name__ == kind), None)

    return await until(found, kind)


async def test_text_goes_both_ways_between_a_person_and_two_bots(make_side: MakeSide, alice: Human) -> None:
    side = await make_side("one", "two")
    first, second = side.bots
    room = await side.room_with(alice)
    event_id = await alice.say(room, "hello both")
    assert await side.text(room, event_id, first) == "hello both"
    assert await side.text(room, event_id, second) == "hello both"
    heard = alice.expect(room, sender=first)
    sent = await side.send(room, "hello alice", first)
    seen = await heard
    assert (seen.body, seen.encrypted) == ("hello alice", True)
    assert await side.text(room, sent["event_id"], second) == "hello alice"
    assert await side.text(room, sent["event_id"], first) == "hello alice", "its own message"
    assert {bot for bot, _, session in side.sessions if session == sent["session_id"]} == {second}
    assert side.crypto.healthy() == {}


async def test_relations_stay_readable_for_the_server_and_the_bot(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    event_id = await alice.say(room, "frist")
    relation = {"rel_type": "m.replace", "event_id": event_id}
    heard = alice.expect(room, sender=side.bot, type="m.reaction")
    sent = await side.send(room, {"m.relates_to": {**relation, "key": "x"}}, kind="m.reaction")
    assert sent["m.relates_to"]["event_id"] == event_id
    assert (await heard).relation["key"] == "x"
    edit = await side.read(room, await alice.edit(room, event_id, "first"))
    assert edit["content"]["m.relates_to"] == relation
    assert edit["content"]["m.new_content"]["body"] == "first"


async def test_a_device_that_comes_later_reads_what_comes_later(side: BotSide, alice: Human, tmp_path: Path) -> None:
    room = await side.room_with(alice)
    before = await side.send(room, "before")
    phone = await alice.second_device(tmp_path / "phone")
    try:
        await side.knows(phone)
        heard = phone.expect(room, sender=side.bot, body="after")
        after = await side.send(room, "after")
        await heard
        assert after["session_id"] != before["session_id"]
    finally:
        await phone.close()


async def test_a_device_that_goes_ends_the_session(side: BotSide, alice: Human, tmp_path: Path) -> None:
    phone = await alice.second_device(tmp_path / "phone")
    try:
        room = await side.room_with(alice)
        before = await side.send(room, "to both")
    finally:
        await phone.close(logout=True)

    async def gone() -> bool:
        q = "SELECT COUNT(*) FROM crypto_device WHERE user_id=$1"
        return bool(await side.data.db.fetchval(q, alice.id) == 1)

    await until(gone, "the phone to be gone")
    after = await side.send(room, "to one")
    assert after["session_id"] != before["session_id"]


async def test_who_left_gets_no_later_key(side: BotSide, alice: Human, bob: Human) -> None:
    room = await side.room_with(alice, bob)
    heard = bob.expect(room, sender=side.bot)
    before = await side.send(room, "for both")
    await heard
    assert await side.shared_with(before["session_id"]) == {alice.id, bob.id}
    await bob.leave(room)
    await side.hear_member(room, bob.id)
    heard = alice.expect(room, sender=side.bot)
    after = await side.send(room, "for alice")
    assert (await heard).body == "for alice"
    assert await side.shared_with(after["session_id"]) == {alice.id}
    store = bob.nio.olm.inbound_group_store
    assert store.get(room, before["sender_key"], before["session_id"]) is not None
    assert store.get(room, after["sender_key"], after["session_id"]) is None


async def test_who_joins_gets_a_new_session(side: BotSide, alice: Human, bob: Human) -> None:
    room = await side.room_with(alice)
    before = await side.send(room, "only alice")
    await alice.invite(room, bob.id)
    await bob.expect_invite(alice.id)
    await side.hear_member(room, bob.id)
    invited = await side.send(room, "bob is invited")
    await bob.join(room)
    await side.hear_member(room, bob.id)
    heard = bob.expect(room, sender=side.bot)
    await side.send(room, "bob is here")
    assert (await heard).body == "bob is here"
    assert await side.shared_with(before["session_id"]) == {alice.id}
    assert await side.shared_with(invited["session_id"]) == {alice.id, bob.id}


async def test_a_restart_goes_on_and_reads_what_came_meanwhile(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    device = side.crypto.device_id(side.bot)
    early = await side.send(room, "early")
    await side.stop()
    alice.nio.invalidate_outbound_session(room)
    missed = await alice.say(room, "are you there?")
    took = await side.start()
    assert side.crypto.device_id(side.bot) == device
    assert await side.crypto.decrypt(side.bot, await side.event(room, missed)), "the key came with the first sync"
    assert took < 3
    heard = alice.expect(room, sender=side.bot)
    late = await side.send(room, "late")
    assert (await heard).body == "late"
    assert late["session_id"] == early["session_id"], "the session goes on after a restart"


async def test_sessions_rotate_by_count_and_by_the_rooms_wish(make_side: MakeSide, alice: Human) -> None:
    side = await make_side(rotate_messages=3)
    room = await side.room_with(alice)
    sessions = [(await side.send(room, str(number)))["session_id"] for number in range(7)]
    assert [sessions.index(session) for session in sessions] == [0, 0, 0, 3, 3, 3, 6]
    strict = {"algorithm": MEGOLM, "rotation_period_msgs": 2}
    state = ({"type": "m.room.encryption", "state_key": "", "content": strict},)
    room = await alice.create_room(encrypted=False, invite=tuple(side.bots))
    await side.join(room)
    url = path(f"{CLIENT}/rooms", room, "state", "m.room.encryption", "")
    await alice.request("PUT", url, body=state[0]["content"])
    raw = {"type": "m.room.encryption", "room_id": room, "state_key": "", "content": strict}
    await side.rooms.store.set_encryption_info(room, strict)  # type: ignore[arg-type]
    await side.crypto.room_changed(raw)
    sessions = [(await side.send(room, str(number)))["session_id"] for number in range(4)]
    assert [sessions.index(session) for session in sessions] == [0, 0, 2, 2]


async def test_replayed_moved_and_misattributed_events_are_refused(side: BotSide, alice: Human, bob: Human) -> None:
    room = await side.room_with(alice, bob)
    event_id = await alice.say(room, "pay 5")
    await side.text(room, event_id)
    raw = await side.event(room, event_id)
    assert (await side.crypto.decrypt(side.bot, raw))["content"]["body"] == "pay 5", "reading again is no replay"
    with pytest.raises(DecryptionFailed) as replay:
        await side.crypto.decrypt(side.bot, {**raw, "event_id": "$another"})
    assert replay.value.reason == "replay"
    with pytest.raises(DecryptionFailed) as forged:
        await side.crypto.decrypt(side.bot, {**raw, "sender": bob.id})
    assert forged.value.reason == "wrong_sender"
    with pytest.raises(KeyMissing):
        await side.crypto.decrypt(side.bot, {**raw, "room_id": "!other:localhost"})
    broken = {**raw["content"], "ciphertext": raw["content"]["ciphertext"][:-4] + "AAAA"}
    with pytest.raises(DecryptionFailed) as changed:
        await side.crypto.decrypt(side.bot, {**raw, "content": broken})
    assert changed.value.reason == "bad_message"


async def test_a_missing_key_is_asked_for_and_comes(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    device = alice.nio.device_store[side.bot][side.crypto.device_id(side.bot)]
    alice.nio.blacklist_device(device)
    seen = to_device_of(alice)
    event_id = await alice.say(room, "secret")
    raw = await side.event(room, event_id)
    with pytest.raises(KeyMissing) as missing:
        await side.crypto.decrypt(side.bot, raw)
    assert (missing.value.room_id, missing.value.sender, missing.value.withheld) == (room, alice.id, None)
    request = await named(seen, "RoomKeyRequest")
    assert request.session_id == missing.value.session_id
    assert side.sessions == []
    alice.nio.unblacklist_device(device)
    alice.nio.verify_device(device)
    if alice.nio.olm.session_store.get(device.curve25519) is None:
        await alice.nio.keys_claim({side.bot: [device.id]})
    alice.nio.olm.share_with_ourselves(request)
    await alice.nio.send_to_device_messages()
    assert await side.text(room, event_id) == "secret"
    assert side.sessions == [(side.bot, room, missing.value.session_id)]
    await named(seen, "RoomKeyRequestCancellation")


async def test_a_forwarded_key_that_nobody_asked_for_is_ignored(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    device = alice.nio.device_store[side.bot][side.crypto.device_id(side.bot)]
    alice.nio.blacklist_device(device)
    event_id = await alice.say(room, "secret")
    alice.nio.unblacklist_device(device)
    alice.nio.verify_device(device)
    raw = await side.event(room, event_id)
    session_id, sender_key = raw["content"]["session_id"], raw["content"]["sender_key"]
    if alice.nio.olm.session_store.get(device.curve25519) is None:
        await alice.nio.keys_claim({side.bot: [device.id]})
    olm = alice.nio.olm
    forward = olm._encrypt_forwarding_key(
        room,
        olm.inbound_group_store.get(room, sender_key, session_id),
        olm.session_store.get(device.curve25519),
        device,
    )
    olm.outgoing_to_device_messages.append(forward)
    await alice.nio.send_to_device_messages()
    alice.nio.invalidate_outbound_session(room)
    assert await side.text(room, await alice.say(room, "after it")) == "after it"
    assert session_id not in [session for _, _, session in side.sessions]


async def test_a_withheld_key_says_why(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    device = side.crypto.device_id(side.bot)
    alice.nio.blacklist_device(alice.nio.device_store[side.bot][device])
    event_id = await alice.say(room, "secret")
    raw = await side.event(room, event_id)
    content = {
        "algorithm": MEGOLM,
        "room_id": room,
        "session_id": raw["content"]["session_id"],
        "sender_key": raw["content"]["sender_key"],
        "code": "m.blacklisted",
        "reason": "blocked by its owner",
    }
    url = path(f"{CLIENT}/sendToDevice", "m.room_key.withheld", secrets.token_hex(8))
    await alice.request("PUT", url, body={"messages": {side.bot: {device: content}}})

    async def withheld() -> str | None:
        with pytest.raises(KeyMissing) as missing:
            await side.crypto.decrypt(side.bot, raw)
        return missing.value.withheld

    assert await until(withheld, "the reason") == "m.blacklisted: blocked by its owner"


async def test_a_device_that_lost_our_key_gets_it_again_and_a_stranger_does_not(
    side: BotSide, alice: Human, bob: Human
) -> None:
    room = await side.room_with(alice)
    sent = await side.send(room, "hello")
    forwarded: list[tuple[str, Any]] = []
    for human in (alice, bob):
        olm = human.nio.olm
        olm._handle_forwarded_room_key_event = lambda *args, who=human.id: forwarded.append((who, args[2]))
    for human in (bob, alice):
        content = {
            "action": "request",
            "request_id": secrets.token_hex(8),
            "requesting_device_id": human.device_id,
            "body": {"algorithm": MEGOLM, "room_id": room, "session_id": sent["session_id"]},
        }
        url = path(f"{CLIENT}/sendToDevice", "m.room_key_request", secrets.token_hex(8))
        await human.request("PUT", url, body={"messages": {side.bot: {"*": content}}})

    async def came() -> bool:
        return bool(forwarded)

    await until(came, "the forwarded key")
    assert [who for who, _ in forwarded] == [alice.id]
    assert forwarded[0][1]["content"]["session_id"] == sent["session_id"]


async def test_one_time_keys_run_out_and_the_fallback_key_serves(side: BotSide, alice: Human, bob: Human) -> None:
    room = await side.room_with(alice)
    bot, device = side.bot, side.crypto.device_id(side.bot)
    await side.stop()
    claim = {"one_time_keys": {bot: {device: "signed_curve25519"}}}
    answers = [await bob.request("POST", f"{CLIENT}/keys/claim", body=claim) for _ in range(51)]
    keys = [next(iter(answer["one_time_keys"][bot][device].values())) for answer in answers]
    assert [key.get("fallback", False) for key in keys[-2:]] == [False, True] or keys[-1]["fallback"]
    event_id = await alice.say(room, "by the fallback key")
    await side.start()
    assert await side.text(room, event_id) == "by the fallback key"

    async def topped_up() -> bool:
        answer = await side.homeserver.request(
            "GET",
            f"{CLIENT}/sync",
            user_id=bot,
            device_id=device,
            query={"timeout": "0", "filter": f'{{"room": {{"rooms": []}}, "n": {secrets.randbelow(10**9)}}}'},
        )
        return (
            answer["device_one_time_keys_count"].get("signed_curve25519", 0) >= 50
            and "signed_curve25519" in answer["device_unused_fallback_key_types"]
        )

    await until(topped_up, "new one-time keys and a new fallback key")


async def test_a_broken_olm_session_is_replaced(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    heard = alice.expect(room, sender=side.bot)
    await side.send(room, "so that alice's client stops sending pre-key messages")
    await heard
    await side.text(room, await alice.say(room, "hello"))
    seen = to_device_of(alice)
    await side.data.db.execute("DELETE FROM crypto_olm_session WHERE account_id=$1", side.bot)
    side.crypto._bots[side.bot].store._olm_cache.clear()
    alice.nio.invalidate_outbound_session(room)
    lost = await alice.say(room, "this key is lost")
    await named(seen, "OlmEvent")  # m.dummy in a new Olm session
    with pytest.raises(KeyMissing):
        await side.crypto.decrypt(side.bot, await side.event(room, lost))
    alice.nio.invalidate_outbound_session(room)
    assert await side.text(room, await alice.say(room, "and this one is not")) == "and this one is not"


def assert_signed_by_owner(keys: dict[str, Any], user_id: str, device: str) -> str:
    """What strict clients want: the device signed by the self-signing key, that by the master key. The master key."""
    bot = UserID(user_id)
    master = next(iter(keys["master_keys"][bot]["keys"].values()))
    self_signing = next(iter(keys["self_signing_keys"][bot]["keys"].values()))
    assert verify_signature_json(keys["self_signing_keys"][bot], bot, master, master)
    assert verify_signature_json(keys["device_keys"][bot][device], bot, self_signing, self_signing)
    return str(master)


async def test_a_strict_client_finds_the_device_signed_by_its_owner(make_side: MakeSide) -> None:
    side = await make_side("one", "two")
    for bot in side.bots:
        device = side.crypto.device_id(bot)
        keys = await side.keys_of(bot)
        master = assert_signed_by_owner(keys, bot, device)
        assert list(keys["device_keys"][bot]) == [device]
        name = await side.homeserver.request("GET", path(f"{CLIENT}/profile", bot, "displayname"), user_id=bot)
        assert name["displayname"] == bot[1:].partition(":")[0].title()
        await side.restart()
        assert assert_signed_by_owner(await side.keys_of(bot), bot, side.crypto.device_id(bot)) == master


async def test_a_deleted_device_is_replaced_and_old_messages_stay_readable(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    old = await alice.say(room, "before")
    await side.text(room, old)
    device = side.crypto.device_id(side.bot)
    master = assert_signed_by_owner(await side.keys_of(side.bot), side.bot, device)
    await side.homeserver.request("DELETE", path(f"{CLIENT}/devices", device), user_id=side.bot)
    await side.restart()
    replaced = side.crypto.device_id(side.bot)
    assert replaced != device
    assert await side.devices_of(side.bot) == {replaced}
    assert assert_signed_by_owner(await side.keys_of(side.bot), side.bot, replaced) == master, "the identity stayed"
    assert await side.text(room, old) == "before"
    await side.known_to(alice, side.bot)
    assert await side.text(room, await alice.say(room, "after")) == "after"


async def test_a_device_deleted_while_running_is_replaced(side: BotSide, alice: Human) -> None:
    device = side.crypto.device_id(side.bot)
    await side.homeserver.request("DELETE", path(f"{CLIENT}/devices", device), user_id=side.bot)

    async def replaced() -> bool:
        return side.crypto.device_id(side.bot) != device and side.crypto.healthy() == {}

    await until(replaced, "a new device")
    room = await side.room_with(alice)
    assert await side.text(room, await alice.say(room, "again")) == "again"


async def test_a_lost_account_gets_a_new_device_under_the_old_identity(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    device = side.crypto.device_id(side.bot)
    master = assert_signed_by_owner(await side.keys_of(side.bot), side.bot, device)
    await side.data.db.execute("DELETE FROM crypto_account WHERE account_id=$1", side.bot)
    await side.restart()
    replaced = side.crypto.device_id(side.bot)
    assert await side.devices_of(side.bot) == {replaced} != {device}
    assert assert_signed_by_owner(await side.keys_of(side.bot), side.bot, replaced) == master
    await side.known_to(alice, side.bot)
    assert await side.text(room, await alice.say(room, "after")) == "after"
    heard = alice.expect(room, sender=side.bot)
    await side.send(room, "me too")
    assert (await heard).body == "me too"


async def test_a_lost_store_gets_a_new_device_and_a_new_identity(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    device = side.crypto.device_id(side.bot)
    master = assert_signed_by_owner(await side.keys_of(side.bot), side.bot, device)
    await side.stop()
    for file in side.folder.glob("*.mautrix.db*"):
        file.unlink()
    await side.start()
    replaced = side.crypto.device_id(side.bot)
    assert await side.devices_of(side.bot) == {replaced} != {device}
    assert assert_signed_by_owner(await side.keys_of(side.bot), side.bot, replaced) != master
    await side.known_to(alice, side.bot)
    assert await side.text(room, await alice.say(room, "after")) == "after"


async def test_a_wrong_pickle_key_is_said_and_leaves_nothing_running(make_side: MakeSide) -> None:
    side = await make_side()
    device = side.crypto.device_id(side.bot)
    await side.stop()
    threads = set(threading.enumerate())
    side.encryption["pickle_key"] = SecretStr("another pickle key, 0123456789")
    with pytest.raises(CryptoStartError) as wrong:
        await side.start()
    assert wrong.value.code == "pickle_key_wrong"
    assert "docs/keys.md" in wrong.value.human
    await side.data.stop()
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
        assert thread.daemon or not thread.is_alive(), thread.name
    side.encryption["pickle_key"] = SecretStr(PICKLE_KEY)
    await side.restart()
    assert side.crypto.device_id(side.bot) == device, "the right key still works"


async def test_a_bot_outside_the_namespace_is_said(make_side: MakeSide, synapse: Server) -> None:
    side = await make_side(start=False)
    side.bots = [synapse.user_id("not_ours")]
    with pytest.raises(CryptoStartError) as outside:
        await side.start()
    assert outside.value.code == "bot_outside_namespace"


async def test_without_the_homeserver_it_starts_and_says_so(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    event_id = await alice.say(room, "hello")
    await side.text(room, event_id)
    raw = await side.event(room, event_id)
    device = side.crypto.device_id(side.bot)
    await side.stop()
    side.url, side.start_timeout = "http://127.0.0.1:9", 0.3
    await side.start()
    assert list(side.crypto.healthy()) == [side.bot]
    assert side.crypto.device_id(side.bot) == device
    assert (await side.crypto.decrypt(side.bot, raw))["content"]["body"] == "hello"


async def test_it_all_works_on_postgresql_too(
    synapse: Server, slot: Slot, postgres_url: str, tmp_path: Path, alice: Human, bob: Human
) -> None:
    side = BotSide(synapse, slot, tmp_path, ("one", "two"))
    side.database = postgres_url
    try:
        await side.start()
        room = await side.room_with(alice, bob)
        assert await side.text(room, await alice.say(room, "hello"), side.bots[1]) == "hello"
        heard = bob.expect(room, sender=side.bot)
        before = await side.send(room, "hello both")
        assert (await heard).body == "hello both"
        device = side.crypto.device_id(side.bot)
        await side.restart()
        assert side.crypto.device_id(side.bot) == device
        await bob.leave(room)
        await side.hear_member(room, bob.id)
        after = await side.send(room, "hello alice")
        assert await side.shared_with(before["session_id"]) >= {alice.id, bob.id}
        assert bob.id not in await side.shared_with(after["session_id"])
        assert await side.data.db.fetchval("SELECT COUNT(*) FROM mautrix.crypto_account") == 2
    finally:
        await side.stop()


async def test_messages_in_one_room_at_once_all_arrive(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    expected = {str(number) for number in range(9)}  # a sync brings ten at most
    heard = {text: alice.expect(room, sender=side.bot, body=text) for text in expected}
    sent = await asyncio.gather(*(side.send(room, text) for text in expected))
    assert len({message["session_id"] for message in sent}) == 1
    assert len({message["ciphertext"] for message in sent}) == 9
    for text, expectation in heard.items():
        assert (await expectation).body == text


async def test_a_room_key_survives_a_database_that_fails_once(
    side: BotSide, alice: Human, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await side.room_with(alice)
    store = side.crypto._bots[side.bot].store
    write = store.put_next_batch
    failures: list[Any] = []

    async def fail_once(token: Any) -> None:
        if not failures and await store.db.fetchval("SELECT COUNT(*) FROM e2ee_session_owner"):
            failures.append(token)
            raise sqlite3.OperationalError("database or disk is full")
        await write(token)

    monkeypatch.setattr(store, "put_next_batch", fail_once)
    event_id = await alice.say(room, "kept")
    assert await side.text(room, event_id) == "kept"
    assert failures
    assert len(side.sessions) == 1, "told once, after the commit that counts"


async def test_a_homeserver_that_goes_away_is_said_and_found_again(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    poller = side.crypto._poller
    assert poller is not None
    url, poller.url = poller.url, "http://127.0.0.1:9"
    event_id = await alice.say(room, "hello")  # its key ends the long poll that still runs

    async def troubled() -> bool:
        return side.bot in side.crypto.healthy()

    await until(troubled, "the trouble to be seen")
    alice.nio.invalidate_outbound_session(room)
    second = await alice.say(room, "are you there?")
    poller.url = url
    assert await side.text(room, event_id) == "hello"
    assert await side.text(room, second) == "are you there?"
    assert side.crypto.healthy() == {}


async def test_a_long_backlog_is_taken_in_before_start_returns(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    device = side.crypto.device_id(side.bot)
    await side.stop()
    noise = {"messages": {side.bot: {device: {"a": 1}}}}
    for _ in range(210):  # the homeserver hands out a hundred at a time
        url = path(f"{CLIENT}/sendToDevice", "org.example.noise", secrets.token_hex(8))
        await alice.request("PUT", url, body=noise)
    event_id = await alice.say(room, "at the end of the queue")
    raw = await alice.request("GET", path(f"{CLIENT}/rooms", room, "event", event_id))
    await side.start()
    plain = await side.crypto.decrypt(side.bot, {**raw, "room_id": room})
    assert plain["content"]["body"] == "at the end of the queue"


async def test_logs_and_files_hold_no_texts_tokens_or_keys(
    make_side: MakeSide, alice: Human, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    side = await make_side()
    room = await side.room_with(alice)
    asked, answered = secrets.token_hex(12), secrets.token_hex(12)
    await side.text(room, await alice.say(room, asked))
    sent = await side.send(room, answered)
    await side.restart()
    session = await side.data.db.fetchval("SELECT session FROM crypto_megolm_inbound_session LIMIT 1")
    recovery_key = await side.crypto._enrolment._recovery_key(side.bot)
    assert recovery_key is not None
    await side.stop()
    own = [record for record in caplog.records if record.name.startswith(("appservice", "mau"))]
    assert any(record.name.startswith("appservice.e2ee") for record in own)
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in own)
    written = b"".join(file.read_bytes() for file in side.folder.rglob("*") if file.is_file()) + logged.encode()
    for secret in (asked, answered, side.slot.as_token, PICKLE_KEY, recovery_key, recovery_key.replace(" ", "")):
        assert secret.encode() not in written
    for text in (sent["ciphertext"], sent["sender_key"], str(session)):
        assert text not in logged


async def test_the_steward_has_no_device(make_side: MakeSide) -> None:
    side = await make_side(start=False)
    steward = side.server.user_id(side.slot.sender_localpart)
    await side.start()
    await side.homeserver.request("PUT", path(f"{CLIENT}/devices", "STRAY"), user_id=steward, body={})
    assert await side.devices_of(steward) == {"STRAY"}
    await side.restart()

    async def clear() -> bool:
        return not await side.devices_of(steward)

    await until(clear, "the steward's device to be deleted")


async def test_encrypted_files_go_both_ways(side: BotSide, alice: Human) -> None:
    room = await side.room_with(alice)
    picture = bytes(range(256)) * 200
    event_id = await alice.send_image(room, picture, "dot.png")
    file = (await side.read(room, event_id))["content"]["file"]
    media = file["url"].removeprefix("mxc://").split("/")
    url = path("/_matrix/client/v1/media/download", *media)
    ciphertext = await side.homeserver.download(url, user_id=side.bot, limit=1 << 20)
    assert attachments.decrypt(file, ciphertext) == picture
    encrypted, keys = attachments.encrypt(picture[::-1])
    answer = await side.homeserver.request(
        "POST", "/_matrix/media/v3/upload", user_id=side.bot, data=encrypted, content_type="application/octet-stream"
    )
    content = {"msgtype": "m.image", "body": "back.png", "file": {**keys, "url": answer["content_uri"]}}
    heard = alice.expect(room, sender=side.bot, predicate=lambda seen: seen.msgtype == "m.image")
    await side.send(room, content)
    assert await alice.download((await heard).content) == picture[::-1]
