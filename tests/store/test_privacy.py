"""People's privacy on a real database: settings, contacts, blocks, requests, screenshots, devices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from sqlalchemy import Connection, func, insert, select

from appservice.administration import Device, NoAdministration
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.domain.privacy import Answer, Audience
from bridge.errors import NotAllowed, NotFound, Refused
from bridge.privacy.policy import BadQuestion, Decision
from bridge.privacy.rights import Part
from bridge.privacy.screenshots import LONGEST_MS, QUIET_MS, SCREENSHOT
from bridge.privacy.service import MOST_OPEN
from bridge.store import privacy as store
from bridge.store.delivery_tables import chat_marks
from bridge.store.privacy_tables import privacy_requests, privacy_screenshots
from tests.support.messenger import HUB, STEWARD, MessengerWorld, Person

ROOM = "!room:world"


class FakeModule:
    """The homeserver's module: keeps what it is told; may be away."""

    def __init__(self) -> None:
        self.ignored: set[tuple[str, str]] = set()
        self.invited: list[tuple[str, str, str, bool]] = []
        self.forgotten: list[str] = []
        self.fault: HomeserverError | None = None
        self.absent = False

    async def forget(self, users: list[str]) -> None:
        self._check()
        self.forgotten += users

    async def ignore(self, user_id: str, other: str, ignored: bool) -> bool:
        self._check()
        (self.ignored.add if ignored else self.ignored.discard)((user_id, other))
        return not self.absent

    async def invite(self, sender: str, target: str, room_id: str, *, direct: bool) -> bool:
        self._check()
        self.invited.append((sender, target, room_id, direct))
        return not self.absent

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


def with_module(world: MessengerWorld, module: FakeModule | None = None) -> FakeModule:
    """Give the world's privacy a module."""
    module = module or FakeModule()
    world.messenger.privacy._module = cast(Any, module)
    return module


@pytest.fixture
async def world(database: Database) -> AsyncIterator[MessengerWorld]:
    """A messenger on each database."""
    async with MessengerWorld(database) as made:
        with_module(made)
        yield made


def two(world: MessengerWorld) -> tuple[Person, Person]:
    return world.person("alice"), world.person("bob")


async def actions(world: MessengerWorld) -> list[str]:
    return [entry.action for entry in await world.messenger.audit.list()]


async def test_settings_are_kept_audited_and_told_to_the_module(world: MessengerWorld) -> None:
    privacy, (alice, _) = world.messenger.privacy, two(world)
    module = with_module(world)
    assert (await privacy.settings(alice.user_id)).write is Audience.EVERYBODY
    changed = await privacy.change(alice.user_id, write="contacts", receipts="nobody")
    assert await privacy.settings(alice.user_id) == changed
    assert (changed.write, changed.receipts) == (Audience.CONTACTS, Audience.NOBODY)
    await privacy.change(alice.user_id, write="everybody")
    assert (await privacy.settings(alice.user_id)).write is Audience.EVERYBODY
    await privacy.change(alice.user_id, write="everybody")
    assert await actions(world) == ["privacy.change", "privacy.change"]
    assert module.forgotten == [alice.user_id] * 3
    assert await privacy.hiding_receipts([alice.user_id, "@bob:world"]) == {alice.user_id}
    with pytest.raises(Refused, match="everybody, contacts or"):
        await privacy.change(alice.user_id, write="friends")


async def test_who_hides_what_they_read_hides_what_they_have_read(world: MessengerWorld) -> None:
    row = {"chat_id": "C", "delivered": 3, "delivered_at": 1, "read_at": 1}

    def marks(connection: Connection) -> dict[str, int]:
        found = connection.execute(select(chat_marks.c.user_id, chat_marks.c.read))
        return {user_id: read for user_id, read in found}  # noqa: C416

    def keep(connection: Connection) -> None:
        for user_id in ("@alice:world", "@bob:world"):
            connection.execute(insert(chat_marks).values(**row, user_id=user_id, read=3))

    await world.database.write(keep)
    await world.messenger.privacy.change("@alice:world", receipts="everybody", call="contacts")
    assert await world.database.read(marks) == {"@alice:world": 3, "@bob:world": 3}
    await world.messenger.privacy.change("@alice:world", receipts="nobody")
    assert await world.database.read(marks) == {"@alice:world": 0, "@bob:world": 3}


async def test_may_asks_the_other_ones_settings(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    await privacy.change(bob.user_id, call="contacts", presence="nobody")
    assert not await privacy.may(alice.user_id, bob.user_id, "call")
    assert await privacy.may(bob.user_id, alice.user_id, "call")
    await privacy.add_contact(bob.user_id, alice.user_id)
    assert await privacy.may(alice.user_id, bob.user_id, "call")
    assert not await privacy.may(alice.user_id, bob.user_id, "presence")
    await privacy.set_exception(bob.user_id, alice.user_id, "presence", True)
    assert await privacy.may(alice.user_id, bob.user_id, "presence")
    await privacy.set_exception(bob.user_id, alice.user_id, "presence", None)
    assert not await privacy.may(alice.user_id, bob.user_id, "presence")
    await privacy.block(bob.user_id, alice.user_id)
    assert not await privacy.may(alice.user_id, bob.user_id, "write")
    assert await privacy.may(bob.user_id, bob.user_id, "write")
    assert await privacy.may(HUB, bob.user_id, "write")
    assert await privacy.may(alice.user_id, HUB, "write")
    for bad in ("alice", "@alice", "@a b:world", "@a:wor\0ld", ""):
        with pytest.raises(Refused):
            await privacy.block(bob.user_id, bad)
    with pytest.raises(Refused):
        await privacy.may(alice.user_id, bob.user_id, "everything")


async def test_chats_ask_before_they_add(world: MessengerWorld) -> None:
    alice, bob = two(world)
    chat = await world.chats.create(Actor.person(alice.user_id), Kind.GROUP, name="Tea", key="1")
    await alice.joins(chat.room_id)
    await world.messenger.privacy.change(bob.user_id, add="nobody")
    with pytest.raises(NotAllowed):
        await world.members.add(Actor.person(alice.user_id), chat, bob.user_id)
    await world.messenger.privacy.set_exception(bob.user_id, alice.user_id, "add", True)
    await world.members.add(Actor.person(alice.user_id), chat, bob.user_id)


async def test_a_block_reaches_the_homeserver_after_an_outage_and_is_lifted_there(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    module = with_module(world)
    module.fault = HomeserverError(0, "UNREACHABLE", "away")
    await privacy.add_contact(alice.user_id, bob.user_id)
    await privacy.block(alice.user_id, bob.user_id)
    assert await privacy.blocked(alice.user_id) == [bob.user_id]
    assert await privacy.contacts(alice.user_id) == []
    with pytest.raises(HomeserverError):
        await privacy.run_due()
    assert await privacy._upcoming() is not None
    await world.restart(kill=True)
    privacy = world.messenger.privacy
    module.fault = None
    with_module(world, module)
    await privacy.run_due()
    assert module.ignored == {(alice.user_id, bob.user_id)}
    assert await privacy._upcoming() is None
    await privacy.unblock(alice.user_id, bob.user_id)
    await privacy.unblock(alice.user_id, bob.user_id)
    assert await privacy.blocked(alice.user_id) == []
    await privacy.run_due()
    assert module.ignored == set()
    assert await world.database.read(store.unsynced_blocks) == []
    assert await actions(world) == ["privacy.unblock", "privacy.block"]


async def test_without_a_module_a_block_waits_for_one(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    module = with_module(world)
    module.absent = True
    await privacy.block(alice.user_id, bob.user_id)
    assert await privacy.run_due() == 0
    assert (await privacy._upcoming() or 0) > world.clock.now_ms()
    module.absent = False
    assert await privacy.run_due() == 1


async def invite(world: MessengerWorld, sender: Person, target: Person, room: str = ROOM, **more: Any) -> Decision:
    asked = {"sender": sender.user_id, "target": target.user_id, "room_id": room, "direct": True, "name": ""}
    return await world.messenger.policy.decide("invite", {**asked, **more})


async def test_strangers_ask_contacts_come_in_and_nobody_means_nobody(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    assert (await invite(world, alice, bob)).allow
    await privacy.change(bob.user_id, write="contacts", add="nobody")
    carol = world.person("carol")
    asked = await invite(world, carol, bob)
    assert (asked.allow, asked.code) == (False, "message_request")
    refused = await invite(world, carol, bob, direct=False, name="A group")
    assert (refused.allow, refused.code) == (False, "not_wanted")
    await world.settle()
    assert world.codes(bob) == ["privacy.message_request"]
    assert world.told_to(bob)[0].values["person"] == carol.user_id
    # Bob wrote to Dave once, so Dave may write to him.
    dave = world.person("dave")
    assert (await invite(world, bob, dave)).allow
    assert await privacy.contacts(bob.user_id) == [dave.user_id]
    assert (await invite(world, dave, bob)).allow
    # Bots come as they are wanted.
    assert (await world.messenger.policy.decide("invite", _by(HUB, bob.user_id))).allow
    assert (await world.messenger.policy.decide("invite", _by(carol.user_id, HUB))).allow


def _by(sender: str, target: str) -> dict[str, Any]:
    return {"sender": sender, "target": target, "room_id": ROOM, "direct": True, "name": ""}


async def test_a_request_is_told_once_and_the_last_room_counts(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    await privacy.change(bob.user_id, write="contacts")
    for number in range(3):
        await invite(world, alice, bob, f"!{number}:world", name=f"Room {number}")
    await world.settle()
    assert world.codes(bob) == ["privacy.message_request"]
    (request,) = await privacy.requests(bob.user_id)
    assert (request.room_id, request.name) == ("!2:world", "Room 2")
    raw = await world.database.read(lambda connection: connection.execute(select(privacy_requests.c.name)).scalar())
    assert raw and "Room" not in raw


async def test_an_accepted_request_is_invited_once_also_after_a_crash(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    module = with_module(world)
    await privacy.change(bob.user_id, write="contacts")
    await invite(world, alice, bob)
    (request,) = await privacy.requests(bob.user_id)
    with pytest.raises(NotFound):
        await privacy.answer_request(alice.user_id, request.id, accept=True)
    await privacy.answer_request(bob.user_id, request.id, accept=True)
    with pytest.raises(NotFound):
        await privacy.answer_request(bob.user_id, request.id, accept=False)
    await world.restart(kill=True)
    privacy = world.messenger.privacy
    with_module(world, module)
    assert await privacy.run_due() == 1
    assert await privacy.run_due() == 0
    await world.settle()
    assert module.invited == [(alice.user_id, bob.user_id, ROOM, True)]
    assert world.codes(alice) == ["privacy.invited"]
    assert (await invite(world, alice, bob)).allow
    assert await actions(world) == ["privacy.answer", "privacy.change"]


async def test_an_invitation_that_cannot_be_made_any_more_is_said_so(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    module = with_module(world)
    await privacy.change(bob.user_id, write="contacts")
    await invite(world, alice, bob)
    await privacy.answer_request(bob.user_id, alice.user_id, accept=True)
    module.fault = HomeserverError(502, "M_UNKNOWN", "later")
    with pytest.raises(HomeserverError):
        await privacy.run_due()
    module.fault = HomeserverError(403, "M_FORBIDDEN", "not in the room")
    assert await privacy.run_due() == 1
    await world.settle()
    assert world.codes(alice) == ["privacy.accepted"]


async def test_who_was_declined_is_not_asked_for_again(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    await privacy.change(bob.user_id, write="contacts")
    await invite(world, alice, bob)
    await privacy.answer_request(bob.user_id, alice.user_id, accept=False)
    assert (await invite(world, alice, bob)).code == "not_wanted"
    await world.settle()
    assert world.codes(bob) == ["privacy.message_request"]
    assert world.codes(alice) == []
    await world.pass_time(days=31)
    assert (await invite(world, alice, bob)).code == "message_request"
    await world.settle()
    assert world.codes(bob) == ["privacy.message_request"] * 2


async def test_blocking_ends_a_request_and_says_nothing_else_than_nobody(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    carol = world.person("carol")
    await privacy.change(bob.user_id, write="contacts")
    await invite(world, alice, bob)
    await privacy.block(bob.user_id, alice.user_id)
    assert await privacy.requests(bob.user_id) == []
    blocked = await invite(world, alice, bob)
    await privacy.change(bob.user_id, write="nobody")
    assert await invite(world, carol, bob) == blocked


async def test_requests_are_bounded_and_forgotten(world: MessengerWorld) -> None:
    privacy, (_, bob) = world.messenger.privacy, two(world)
    await privacy.change(bob.user_id, write="contacts")
    for number in range(MOST_OPEN + 1):
        last = await invite(world, world.person(f"p{number}"), bob)
    assert last.code == "not_wanted"
    assert len(await privacy.requests(bob.user_id)) == MOST_OPEN
    await world.pass_time(days=61)
    await privacy.run_due()
    count = select(func.count()).select_from(privacy_requests)
    assert await world.database.read(lambda connection: connection.execute(count).scalar()) == 0


async def test_asking_without_a_room(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    module = with_module(world)
    await privacy.change(bob.user_id, write="contacts")
    assert await privacy.ask(alice.user_id, bob.user_id, "write") is Answer.ASK
    await privacy.answer_request(bob.user_id, alice.user_id, accept=True)
    await privacy.run_due()
    assert module.invited == []
    assert await privacy.ask(alice.user_id, bob.user_id, "write") is Answer.ALLOW


async def test_calls_between_two(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    await privacy.change(bob.user_id, call="nobody")
    call = {"sender": alice.user_id, "room_id": ROOM}
    policy = world.messenger.policy
    assert (await policy.decide("call", {**call, "members": [bob.user_id]})).code == "call_not_wanted"
    assert (await policy.decide("call", {**call, "members": [bob.user_id, "@carol:world"]})).allow


async def test_the_modules_questions_are_checked(world: MessengerWorld) -> None:
    policy = world.messenger.policy
    assert await policy.answer("nonsense", {}) is None
    for bad in ({}, {"check": 1}, {"check": "invite", "sender": "@a:world"}, {"check": "invite", "sender": "\0"}):
        with pytest.raises(BadQuestion):
            await policy.answer("check", bad)
    with pytest.raises(BadQuestion):
        await policy.answer("rules", {"users": ["@a:world"] * 501})
    await world.messenger.privacy.change("@a:world", presence="nobody")
    assert await policy.answer("rules", {"users": ["@a:world", "@b:world"]}) == {
        "rules": {"@a:world": {"presence": False, "presence_except": []}}
    }
    await policy.answer("contact", {"user_id": "@a:world", "other": "@b:world"})
    assert await world.messenger.privacy.contacts("@a:world") == ["@b:world"]

    async def no(_asked: Any) -> Decision:
        return Decision(False, "too_many", "Too many.")

    policy.add("join", no)
    answer = await policy.answer("check", {"check": "join", "sender": "@a:world", "room_id": ROOM, "invited": False})
    assert answer == {"allow": False, "code": "too_many", "error": "Too many."}


async def test_a_direct_chat_makes_contacts_of_both(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    chat = await world.chats.create(
        Actor.person(alice.user_id), Kind.DIRECT, name="", members=(bob.user_id,), key="direct"
    )
    await world.settle()
    assert await privacy.contacts(bob.user_id) == []
    for person in (alice, bob):
        if world.room(chat.room_id).membership(person.user_id) != "join":
            await person.joins(chat.room_id)
    await world.settle()
    assert await privacy.contacts(alice.user_id) == [bob.user_id]
    assert await privacy.contacts(bob.user_id) == [alice.user_id]


def told(world: MessengerWorld, room_id: str) -> list[str]:
    return [
        event["content"]["body"]
        for event in world.room(room_id).timeline
        if event["sender"] == STEWARD and event["content"].get("chat.rialto.notice", {}).get("code") == "screenshot"
    ]


async def test_a_burst_of_screenshots_is_told_once(world: MessengerWorld) -> None:
    alice, bob = two(world)
    chat = await world.chats.create(
        Actor.person(alice.user_id), Kind.GROUP, name="Tea", members=(bob.user_id,), key="1"
    )
    for person in (alice, bob):
        if world.room(chat.room_id).membership(person.user_id) != "join":
            await person.joins(chat.room_id)
    shoot = {"from": "ignored"}

    async def shot(person: Person) -> None:
        txn = f"shot{world.clock.now_ms()}{person}"
        await world.homeserver.send_event(person.user_id, "D", chat.room_id, SCREENSHOT, txn, shoot)
        await world.settle()

    for _ in range(3):
        await shot(alice)
        await world.pass_time(seconds=1)
    assert told(world, chat.room_id) == [f"{alice.user_id} has made a screenshot of this chat."]
    await shot(bob)
    assert len(told(world, chat.room_id)) == 2
    # By the API it is the same burst.
    await world.messenger.screenshots.report(alice.user_id, chat)
    await world.settle()
    assert len(told(world, chat.room_id)) == 2
    await world.restart(kill=True)
    await world.pass_time(milliseconds=QUIET_MS + 1)
    await world.messenger.screenshots.report(alice.user_id, chat)
    await world.settle()
    assert len(told(world, chat.room_id)) == 3
    for _ in range(LONGEST_MS // 20_000 + 1):
        await world.pass_time(seconds=20)
        await shot(alice)
    assert len(told(world, chat.room_id)) == 4, "a burst without an end is told again after ten minutes"
    with pytest.raises(NotFound):
        await world.messenger.screenshots.report("@mallory:world", chat)
    await world.pass_time(days=2)
    await shot(bob)
    count = select(func.count()).select_from(privacy_screenshots)
    assert await world.database.read(lambda connection: connection.execute(count).scalar()) == 1


class FakeAdministration:
    """Two devices."""

    available = True

    def __init__(self) -> None:
        self.kept = [Device("ONE", "Phone", 2, "127.0.0.1", ""), Device("TWO", "Laptop", 1, "", "")]
        self.broken = False

    async def devices(self, user_id: str) -> list[Device]:
        if self.broken:
            raise NoAdministration("no")
        return list(self.kept) if user_id == "@alice:world" else []

    async def delete_device(self, user_id: str, device_id: str) -> None:
        self.kept = [device for device in self.kept if device.device_id != device_id]


async def test_one_device_is_signed_out_and_its_person_told(world: MessengerWorld) -> None:
    devices, (alice, bob) = world.messenger.devices, two(world)
    with pytest.raises(Refused, match="admin_token"):
        await devices.list(alice.user_id)
    administration = FakeAdministration()
    devices._administration = cast(Any, administration)
    assert [one.name for one in await devices.list(alice.user_id)] == ["Phone", "Laptop"]
    for person, device in ((alice.user_id, "THREE"), (bob.user_id, "ONE")):
        with pytest.raises(NotFound):
            await devices.sign_out(person, device)
    await devices.sign_out(alice.user_id, "ONE")
    await world.settle()
    assert [one.name for one in await devices.list(alice.user_id)] == ["Laptop"]
    assert [(one.code, one.values["device"]) for one in world.told_to(alice)] == [("device.signed_out", "Phone")]
    assert await actions(world) == ["device.sign_out"]
    for other in ("@alice:elsewhere", HUB, STEWARD):
        with pytest.raises(Refused):
            await devices.list(other)
    administration.broken = True
    with pytest.raises(Refused, match="admin_token"):
        await devices.list(alice.user_id)


async def test_everything_is_handed_out_and_erased(world: MessengerWorld) -> None:
    privacy, (alice, bob) = world.messenger.privacy, two(world)
    await privacy.change(alice.user_id, write="contacts", presence="nobody")
    await privacy.add_contact(alice.user_id, "@dave:world")
    await privacy.add_contact(bob.user_id, alice.user_id)
    await privacy.set_exception(alice.user_id, bob.user_id, "call", False)
    await privacy.block(bob.user_id, alice.user_id)
    await privacy.block(alice.user_id, "@eve:world")
    await invite(world, bob, alice)
    part = Part()
    files = await world.database.read(lambda connection: dict(part.export(connection, alice.user_id)))
    assert {row["what"] for row in files["privacy/settings.json"]} == {"write", "presence"}
    assert [row["other"] for row in files["privacy/contacts.json"]] == ["@dave:world"]
    assert [row["other"] for row in files["privacy/blocks.json"]] == ["@eve:world"]
    assert [row["other"] for row in files["privacy/requests.json"]] == [bob.user_id]

    def everything(connection: Connection) -> str:
        return repr(store.about(connection, alice.user_id)) + repr(store.about(connection, bob.user_id))

    await world.database.write(lambda connection: part.erase(connection, alice.user_id, "erased:1"))
    assert alice.user_id not in await world.database.read(everything)
