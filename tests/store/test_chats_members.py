"""Members of chats: roles, mutes, bans, slow mode, pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import PLANS, Kind, power_levels
from bridge.domain.roles import POWER, Role, bounds, level_of, muted_level, role_of, with_level, with_role
from bridge.errors import BridgeError, Conflict, NotAllowed, NotFound, Refused
from bridge.store import chats as store
from bridge.store.chats import Chat
from tests.support.messenger import STEWARD, MessengerWorld, Person

LEVELS = "m.room.power_levels"
NAMES = ("alice", "adam", "mo", "bob", "carol")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[MessengerWorld]:
    async with MessengerWorld(database) as made:
        yield made


def actor(person: Person) -> Actor:
    return Actor.person(person.user_id)


@asynccontextmanager
async def refused(code: str, kind: type[BridgeError] = Refused) -> AsyncIterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code


async def people(world: MessengerWorld, kind: Kind = Kind.GROUP, *, public: bool = False) -> Chat:
    """A chat of an owner, an admin, a moderator, and two more."""
    who = [world.person(name) for name in NAMES]
    chat = await world.chats.create(
        actor(who[0]), kind, name="Tea", public=public, members=[str(person) for person in who[1:]], key="1"
    )
    for person in who:
        await person.joins(chat.room_id)
    await world.members.set_role(actor(who[0]), chat, "@adam:world", Role.ADMIN)
    await world.members.set_role(actor(who[0]), chat, "@mo:world", Role.MODERATOR)
    await world.settle()
    return chat


async def role(world: MessengerWorld, chat: Chat, name: str) -> Role | None:
    return await world.messenger.permissions.role(f"@{name}:world", chat)


# Roles


async def test_roles_are_power(world: MessengerWorld) -> None:
    chat = await people(world)
    assert [await role(world, chat, name) for name in NAMES] == [
        Role.OWNER,
        Role.ADMIN,
        Role.MODERATOR,
        Role.WRITER,
        Role.WRITER,
    ]
    assert world.room(chat.room_id).power("@adam:world") == 75
    await world.members.set_role(actor(world.person("adam")), chat, "@bob:world", Role.READER)
    with pytest.raises(HomeserverError):
        await world.person("bob").says(chat.room_id, "x")
    await world.members.set_role(actor(world.person("adam")), chat, "@bob:world", Role.WRITER)
    await world.person("bob").says(chat.room_id, "x")


CHANGES: list[tuple[str, str, Role, str]] = [
    ("bob", "carol", Role.MODERATOR, "role_too_low"),
    ("mo", "carol", Role.MODERATOR, "role_too_low"),
    ("adam", "bob", Role.ADMIN, "role_not_above"),
    ("adam", "bob", Role.OWNER, "role_not_above"),
    ("adam", "alice", Role.WRITER, "role_not_above"),
    ("adam", "adam", Role.OWNER, "role_not_above"),
    ("alice", "bob", Role.OWNER, "role_not_above"),
]


@pytest.mark.parametrize(("who", "whom", "what", "code"), CHANGES)
async def test_nobody_gives_what_is_not_theirs(
    world: MessengerWorld, who: str, whom: str, what: Role, code: str
) -> None:
    chat = await people(world)
    before = dict(world.room(chat.room_id).content(LEVELS))
    async with refused(code, NotAllowed):
        await world.members.set_role(actor(world.person(who)), chat, f"@{whom}:world", what)
    assert world.room(chat.room_id).content(LEVELS) == before


async def test_in_an_archive_a_role_is_no_power(world: MessengerWorld) -> None:
    chat = await people(world)
    alice = actor(world.person("alice"))
    archived = await world.chats.archive(alice, chat)
    for given_role in (Role.WRITER, Role.READER, Role.WRITER):
        await world.members.set_role(alice, archived, "@bob:world", given_role)
        assert world.room(chat.room_id).power("@bob:world") <= 0
    await world.chats.unarchive(alice, archived)
    assert await role(world, chat, "bob") is Role.WRITER


async def test_where_only_moderators_write_nobody_is_a_writer(world: MessengerWorld) -> None:
    chat = await people(world)
    alice = world.person("alice")
    levels = dict(world.room(chat.room_id).content(LEVELS))
    await alice.sets(chat.room_id, LEVELS, {**levels, "events_default": 50})
    async with refused("writers_moderate"):
        await world.members.set_role(actor(alice), chat, "@bob:world", Role.WRITER)


async def test_strangers_and_the_steward(world: MessengerWorld) -> None:
    chat = await people(world)
    alice = actor(world.person("alice"))
    async with refused("no_such_chat", NotFound):
        await world.members.set_role(actor(world.person("mallory")), chat, "@bob:world", Role.READER)
    for call in (
        world.members.set_role(alice, chat, STEWARD, Role.READER),
        world.members.kick(alice, chat, STEWARD),
        world.members.ban(alice, chat, STEWARD),
        world.members.mute(alice, chat, STEWARD, 60),
    ):
        async with refused("not_the_steward", NotAllowed):
            await call
    async with refused("no_such_member", NotFound):
        await world.members.set_role(alice, chat, "@nobody:world", Role.MODERATOR)
    for call in (
        world.members.kick(alice, chat, "@alice:world"),
        world.members.ban(alice, chat, "@alice:world"),
        world.members.mute(alice, chat, "@alice:world", 5),
    ):
        async with refused("oneself"):
            await call


async def test_the_last_owner_stays_one(world: MessengerWorld) -> None:
    chat = await people(world)
    alice = actor(world.person("alice"))
    async with refused("last_owner", Conflict):
        await world.members.set_role(alice, chat, "@alice:world", Role.WRITER)
    await world.members.transfer(alice, chat, "@bob:world")
    assert await role(world, chat, "bob") is Role.OWNER
    assert await role(world, chat, "alice") is Role.ADMIN
    async with refused("role_too_low", NotAllowed):
        await world.members.transfer(alice, chat, "@carol:world")
    async with refused("no_such_member", NotFound):
        await world.members.transfer(actor(world.person("bob")), chat, "@nobody:world")
    await world.members.set_role(alice, chat, "@alice:world", Role.READER)  # down is always possible


async def test_a_product_hands_a_chat_over(world: MessengerWorld) -> None:
    shop = Actor.of_product("shop")
    chat = await world.chats.create(shop, Kind.GROUP, name="x", owner="@alice:world", members=["@bob:world"], key="1")
    for name in ("alice", "bob"):
        await world.person(name).joins(chat.room_id)
    await world.members.transfer(shop, chat, "@bob:world")
    assert (await role(world, chat, "bob"), await role(world, chat, "alice")) == (Role.OWNER, Role.ADMIN)
    await world.members.set_role(shop, chat, "@alice:world", Role.OWNER)
    assert await role(world, chat, "alice") is Role.OWNER


async def test_an_ownerless_group_is_its_admins(world: MessengerWorld) -> None:
    chat = await people(world)
    await world.person("alice").leaves(chat.room_id)
    assert await role(world, chat, "adam") is Role.OWNER
    assert world.codes("@adam:world") == ["chat.role", "chat.owner"]
    await world.person("adam").leaves(chat.room_id)
    await world.person("mo").leaves(chat.room_id)
    assert await role(world, chat, "bob") is Role.WRITER  # nobody whom no owner trusted


# Coming and going


async def test_people_are_added(world: MessengerWorld) -> None:
    chat = await people(world)
    bob, mo = actor(world.person("bob")), actor(world.person("mo"))
    dave = world.person("dave")
    await world.members.add(bob, chat, dave.user_id)
    await world.members.add(bob, chat, dave.user_id)
    await dave.joins(chat.room_id)
    await world.members.add(bob, chat, dave.user_id)
    await world.members.ban(mo, chat, dave.user_id, "rude")
    async with refused("is_banned"):
        await world.members.add(mo, chat, dave.user_id)
    erin = world.person("erin")
    await erin.knocks(chat.room_id)
    async with refused("role_too_low", NotAllowed):
        await world.members.add(bob, chat, erin.user_id)
    await world.members.add(mo, chat, erin.user_id)
    assert world.room(chat.room_id).membership(erin.user_id) == "invite"
    for wrong in ("dave", "", "@x", "@x:world\n", "@" + "x" * 300 + ":world"):
        async with refused("user_invalid"):
            await world.members.add(bob, chat, wrong)


async def test_only_moderators_add_to_a_channel_and_nobody_to_a_direct_chat(world: MessengerWorld) -> None:
    channel = await people(world, Kind.CHANNEL)
    async with refused("role_too_low", NotAllowed):
        await world.members.add(actor(world.person("bob")), channel, "@dave:world")
    await world.members.add(actor(world.person("mo")), channel, "@dave:world")
    alice, bob = world.person("alice"), world.person("bob")
    direct = await world.chats.create(actor(alice), Kind.DIRECT, name="", members=[bob.user_id], key="2")
    for person in (alice, bob):
        await person.joins(direct.room_id)
    async with refused("two_people"):
        await world.members.add(actor(alice), direct, "@dave:world")


async def test_a_full_chat(database: Database) -> None:
    async with MessengerWorld(database, messenger={"chats": {"most_members": 5}}) as world:
        chat = await people(world)
        async with refused("chat_full"):
            await world.members.add(actor(world.person("bob")), chat, "@dave:world")


async def test_kicks_bans_and_back(world: MessengerWorld) -> None:
    chat = await people(world)
    mo, bob, room = actor(world.person("mo")), world.person("bob"), world.room(chat.room_id)
    await world.members.kick(mo, chat, bob.user_id, "be nice")
    assert room.content("m.room.member", bob.user_id)["reason"] == "be nice"
    async with refused("no_such_member", NotFound):
        await world.members.kick(mo, chat, bob.user_id)
    await world.members.ban(mo, chat, bob.user_id)
    await world.members.ban(mo, chat, bob.user_id)
    with pytest.raises(HomeserverError):
        await bob.knocks(chat.room_id)
    await world.settle()
    banned = await world.members.page(mo, chat, membership="ban")
    assert [each.user_id for each in banned.items] == [bob.user_id]
    await world.members.unban(mo, chat, bob.user_id)
    async with refused("not_banned", NotFound):
        await world.members.unban(mo, chat, bob.user_id)
    await bob.knocks(chat.room_id)
    for call in (
        world.members.kick(mo, chat, "@adam:world"),
        world.members.ban(mo, chat, "@alice:world"),
        world.members.mute(mo, chat, "@adam:world", 60),
    ):
        async with refused("role_not_above", NotAllowed):
            await call
    for call in (
        world.members.kick(actor(world.person("carol")), chat, "@bob:world"),
        world.members.ban(actor(world.person("carol")), chat, "@bob:world"),
        world.members.unban(actor(world.person("carol")), chat, "@bob:world"),
        world.members.mute(actor(world.person("carol")), chat, "@bob:world", 60),
        world.members.unmute(actor(world.person("carol")), chat, "@bob:world"),
    ):
        async with refused("role_too_low", NotAllowed):
            await call


# Mutes


async def writes(world: MessengerWorld, chat: Chat, name: str) -> bool:
    try:
        await world.person(name).says(chat.room_id, "x")
    except HomeserverError:
        return False
    return True


@pytest.mark.parametrize("kind", [Kind.GROUP, Kind.CHANNEL])
async def test_a_mute_ends_on_time(world: MessengerWorld, kind: Kind) -> None:
    chat = await people(world, kind)
    mo = actor(world.person("mo"))
    before = dict(world.room(chat.room_id).content(LEVELS))
    post = await world.person("alice").says(chat.room_id, "x")
    await world.members.mute(mo, chat, "@bob:world", 60)
    assert not await writes(world, chat, "bob")
    with pytest.raises(HomeserverError):
        await world.person("bob").reacts(chat.room_id, post, "x")
    assert await writes(world, chat, "carol") is (kind is Kind.GROUP)
    world.clock.advance(seconds=59)
    assert await world.members.run_due() == 0
    world.clock.advance(seconds=1)
    assert await world.members.run_due() == 1
    assert world.room(chat.room_id).content(LEVELS) == before
    await world.person("bob").reacts(chat.room_id, post, "x")
    assert await world.members.run_due() == 0


async def test_a_mute_ends_on_time_by_itself(database: Database) -> None:
    async with MessengerWorld(database, running=True) as world:
        chat = await people(world)
        await world.members.mute(actor(world.person("mo")), chat, "@bob:world", 60)
        assert not await writes(world, chat, "bob")
        await world.restart(kill=True)
        assert not await writes(world, chat, "bob")
        world.clock.advance(seconds=61)
        await world.until(lambda: world.room(chat.room_id).power("@bob:world") == 0, "unmuted")
        await world.restart(kill=True)


async def test_a_mute_that_ended_while_nobody_was_there(world: MessengerWorld) -> None:
    chat = await people(world)
    await world.members.mute(actor(world.person("alice")), chat, "@mo:world", 3600)
    assert await role(world, chat, "mo") is Role.READER
    await world.kill()
    world.clock.advance(days=3)
    await world.start()
    assert await world.members.run_due() == 1
    assert await role(world, chat, "mo") is Role.MODERATOR


async def test_mutes_without_an_end(world: MessengerWorld) -> None:
    chat = await people(world)
    mo = actor(world.person("mo"))
    await world.members.mute(mo, chat, "@bob:world", None)
    await world.members.mute(mo, chat, "@bob:world", 60)  # a new one takes its place
    await world.members.mute(mo, chat, "@bob:world", None)
    world.clock.advance(days=1000)
    assert await world.members.run_due() == 0
    await world.members.unmute(mo, chat, "@bob:world")
    assert await writes(world, chat, "bob")
    async with refused("not_muted", NotFound):
        await world.members.unmute(mo, chat, "@bob:world")
    for wrong in (0, -1, 367 * 86_400, 10**12):
        async with refused("time_invalid"):
            await world.members.mute(mo, chat, "@bob:world", wrong)
    async with refused("no_such_member", NotFound):
        await world.members.mute(mo, chat, "@nobody:world", 60)


async def test_leaving_does_not_end_a_mute(world: MessengerWorld) -> None:
    chat = await people(world)
    mo, bob = actor(world.person("mo")), world.person("bob")
    await world.members.mute(mo, chat, bob.user_id, 60)
    await bob.leaves(chat.room_id)
    assert await world.database.read(lambda it: store.count_members(it, [chat.room_id])) == {chat.room_id: 4}
    await world.members.add(mo, chat, bob.user_id)
    await bob.joins(chat.room_id)
    assert not await writes(world, chat, "bob")
    await bob.leaves(chat.room_id)
    world.clock.advance(seconds=60)
    assert await world.members.run_due() == 1
    assert bob.user_id not in world.room(chat.room_id).content(LEVELS)["users"]
    assert await world.database.read(lambda it: store.member(it, chat.room_id, bob.user_id)) is None


async def test_a_new_role_ends_a_mute(world: MessengerWorld) -> None:
    chat = await people(world)
    await world.members.mute(actor(world.person("mo")), chat, "@bob:world", 60)
    await world.members.set_role(actor(world.person("alice")), chat, "@bob:world", Role.MODERATOR)
    world.clock.advance(seconds=60)
    assert await world.members.run_due() == 0
    assert await role(world, chat, "bob") is Role.MODERATOR


async def test_a_power_given_by_hand_stays(world: MessengerWorld) -> None:
    chat = await people(world)
    alice = world.person("alice")
    await world.members.mute(actor(world.person("mo")), chat, "@bob:world", 60)
    levels = dict(world.room(chat.room_id).content(LEVELS))
    await alice.sets(chat.room_id, LEVELS, {**levels, "users": {**levels["users"], "@bob:world": 50}})
    world.clock.advance(seconds=60)
    await world.members.run_due()
    assert await role(world, chat, "bob") is Role.MODERATOR


@pytest.mark.parametrize("lost", [False, True])
async def test_a_crash_while_muting_mutes_once(world: MessengerWorld, lost: bool) -> None:
    """The decision is kept before the homeserver is told, and told again at the next start."""
    chat = await people(world)

    def gone(method: str, path: str) -> HomeserverError | None:
        return HomeserverError(0, "UNREACHABLE", "gone") if path.endswith(LEVELS + "/") and method == "PUT" else None

    if lost:
        world.homeserver.lost = gone
    else:
        world.homeserver.fault = gone
    with pytest.raises(HomeserverError):
        await world.members.mute(actor(world.person("mo")), chat, "@bob:world", 60)
    world.homeserver.lost = world.homeserver.fault = lambda _method, _path: None
    await world.restart(kill=True)
    await world.members.run_due()
    assert not await writes(world, chat, "bob")
    world.clock.advance(seconds=60)
    await world.members.run_due()
    assert await writes(world, chat, "bob")


async def test_unmuting_waits_for_the_homeserver(world: MessengerWorld) -> None:
    chat = await people(world)
    await world.members.mute(actor(world.person("mo")), chat, "@bob:world", 60)
    await world.members.run_due()
    world.clock.advance(seconds=60)
    world.homeserver.fault = lambda method, path: HomeserverError(502, "M_UNKNOWN", "bad gateway")
    assert await world.members.run_due() == 0
    world.homeserver.fault = lambda _method, _path: None
    assert await world.members.run_due() == 1
    assert await writes(world, chat, "bob")


async def test_people_are_told_what_happens_to_them(world: MessengerWorld) -> None:
    chat = await people(world)
    alice, mo = actor(world.person("alice")), actor(world.person("mo"))
    assert world.codes("@mo:world") == ["chat.role"]
    await world.members.mute(mo, chat, "@bob:world", 60)
    until = world.clock.now_ms() + 60_000
    world.clock.advance(seconds=60)
    await world.members.run_due()
    await world.members.mute(mo, chat, "@bob:world", None)
    await world.members.unmute(mo, chat, "@bob:world")
    await world.members.kick(mo, chat, "@bob:world")
    await world.members.ban(mo, chat, "@bob:world")
    await world.members.unban(mo, chat, "@bob:world")
    await world.members.transfer(alice, chat, "@mo:world")
    await world.settle()
    await world.chats.delete(mo, chat)
    await world.settle()
    assert [(told.code, dict(told.values)) for told in world.told_to("@bob:world")] == [
        ("chat.muted", {"chat": "Tea", "until": until}),
        ("chat.unmuted", {"chat": "Tea"}),
        ("chat.muted_forever", {"chat": "Tea"}),
        ("chat.unmuted", {"chat": "Tea"}),
        ("chat.kicked", {"chat": "Tea"}),
        ("chat.banned", {"chat": "Tea"}),
        ("chat.unbanned", {"chat": "Tea"}),
    ]
    assert world.told_to("@mo:world")[-1].values == {"chat": "Tea", "person": "@alice:world"}
    assert world.codes("@carol:world") == ["chat.deleted"] == world.codes("@alice:world")


async def test_what_happens_in_a_products_chat_is_the_products_to_tell(world: MessengerWorld) -> None:
    shop = Actor.of_product("shop")
    chat = await world.chats.create(shop, Kind.GROUP, name="x", owner="@bob:world", key="1")
    await world.person("bob").joins(chat.room_id)
    await world.members.mute(shop, chat, "@bob:world", 60)
    await world.members.kick(shop, chat, "@bob:world")
    await world.settle()
    assert world.told == []


# Slow mode


@pytest.mark.parametrize("public", [False, True])
async def test_slow_mode(world: MessengerWorld, public: bool) -> None:
    """In encrypted chats too: what was said is not looked at."""
    chat = await people(world, public=public)
    bob, carol, mo = (world.person(name) for name in ("bob", "carol", "mo"))
    slow = await world.members.set_slow_mode(actor(world.person("adam")), chat, 30)
    assert slow.slow_mode == 30
    assert world.room(chat.room_id).content("chat.rialto.slow_mode") == {"seconds": 30}

    def stands(event_id: str) -> bool:
        event = world.room(chat.room_id).event(event_id)
        return event is not None and bool(event["content"])

    first = await bob.says(chat.room_id, "one")
    world.clock.advance(seconds=10)
    second = await bob.says(chat.room_id, "two")
    world.clock.advance(seconds=10)
    third = await bob.says(chat.room_id, "three")
    other = await carol.says(chat.room_id, "hello")
    assert (stands(first), stands(second), stands(third), stands(other)) == (True, False, False, True)
    assert world.codes(bob) == ["chat.slow_mode"]  # once for all of them
    edit = await bob.says(chat.room_id, "* ONE", **{"m.relates_to": {"rel_type": "m.replace", "event_id": first}})
    world.clock.advance(seconds=10)
    fourth = await bob.says(chat.room_id, "four")
    assert stands(edit) and stands(fourth)
    for _ in range(3):
        assert stands(await mo.says(chat.room_id, "moderators do not wait"))
    await world.restart(kill=True)
    assert not stands(await bob.says(chat.room_id, "five"))
    await world.members.set_slow_mode(actor(world.person("adam")), slow, 0)
    assert stands(await bob.says(chat.room_id, "six"))


async def test_the_homeservers_module_is_told_who_has_to_wait(world: MessengerWorld) -> None:
    chat = await people(world)
    bob, mo = world.person("bob"), world.person("mo")

    async def told(person: Person) -> str:
        answer = await world.messenger.policy.answer(
            "check", {"check": "message", "sender": person.user_id, "room_id": chat.room_id}
        )
        assert answer is not None
        return str(answer.get("error", ""))

    await bob.says(chat.room_id, "one")
    assert await told(bob) == ""
    await world.members.set_slow_mode(actor(world.person("adam")), chat, 30)
    assert await told(bob) == ""  # what was said before does not count
    await bob.says(chat.room_id, "two")
    await mo.says(chat.room_id, "moderators do not wait")
    world.clock.advance(seconds=10.5)
    assert (await told(bob), await told(mo)) == ("This chat is slow: wait 20 s before you write again.", "")
    assert await told(world.person("nobody")) == ""
    world.clock.advance(seconds=19.5)
    assert await told(bob) == ""


async def test_slow_mode_is_the_admins(world: MessengerWorld) -> None:
    chat = await people(world)
    async with refused("role_too_low", NotAllowed):
        await world.members.set_slow_mode(actor(world.person("mo")), chat, 30)
    for wrong in (-1, 86_401):
        async with refused("time_invalid"):
            await world.members.set_slow_mode(actor(world.person("alice")), chat, wrong)


# Pages


async def test_pages_of_members(world: MessengerWorld) -> None:
    chat = await people(world)
    bob = actor(world.person("bob"))
    found, after = [], None
    while True:
        page = await world.members.page(bob, chat, after=after, limit=2)
        found += [each.user_id for each in page.items]
        after = page.next
        if after is None:
            break
    assert found == [f"@{name}:world" for name in ("alice", "adam", "mo", "bob", "carol")]
    for wanted, names in (
        (Role.OWNER, ["alice"]),
        (Role.ADMIN, ["adam"]),
        (Role.MODERATOR, ["mo"]),
        (Role.WRITER, ["bob", "carol"]),
        (Role.READER, []),
    ):
        page = await world.members.page(bob, chat, role=wanted)
        assert [each.user_id for each in page.items] == [f"@{name}:world" for name in names]
    assert [each.user_id for each in (await world.members.page(bob, chat, query="ARO")).items] == ["@carol:world"]
    for text in ("%", "_", "\\", "'", '"', "; --"):
        assert (await world.members.page(bob, chat, query=text)).items == []
    assert len((await world.members.page(bob, chat, limit=10**9)).items) == 5
    assert len((await world.members.page(bob, chat, limit=-5)).items) == 1
    async with refused("no_such_chat", NotFound):
        await world.members.page(actor(world.person("mallory")), chat)
    async with refused("role_too_low", NotAllowed):
        await world.members.page(bob, chat, membership="ban")
    async with refused("membership_invalid"):
        await world.members.page(bob, chat, membership="leave")
    async with refused("bad_cursor"):
        await world.members.page(bob, chat, after="bm90IGl0")


async def test_readers_of_a_channel_do_not_see_each_other(world: MessengerWorld) -> None:
    chat = await people(world, Kind.CHANNEL, public=True)
    async with refused("role_too_low", NotAllowed):
        await world.members.page(actor(world.person("bob")), chat)
    page = await world.members.page(actor(world.person("mo")), chat, role=Role.READER)
    assert [each.user_id for each in page.items] == ["@bob:world", "@carol:world"]
    member, found = await world.members.get(actor(world.person("bob")), chat, "@bob:world")
    assert (member.display_name, found) == ("Bob", Role.READER)
    assert await world.members.count(chat) == 5
    assert await world.members.roles(chat, [member]) == {"@bob:world": Role.READER}


async def test_names_are_found_whatever_their_script(world: MessengerWorld) -> None:
    chat = await people(world)
    ute = world.person("ute")
    world.homeserver.profiles[ute.user_id] = {"displayname": "Ünal Straße"}
    await world.members.add(SYSTEM, chat, ute.user_id)
    await ute.joins(chat.room_id)
    for text in ("ünal", "ÜNAL", "strasse", "STRASSE", "ute"):
        page = await world.members.page(actor(ute), chat, query=text)
        assert [each.user_id for each in page.items] == [ute.user_id], text


# The rules, for all levels

levels = st.fixed_dictionaries(
    {
        "users_default": st.integers(-50, 60),
        "events_default": st.integers(-50, 60),
        "users": st.dictionaries(st.sampled_from(["@a:x", "@b:x"]), st.integers(-100, 150), max_size=2),
        "events": st.dictionaries(st.sampled_from(["m.reaction", "m.room.name"]), st.integers(-50, 100), max_size=2),
    }
)


@given(levels, st.sampled_from(Role))
def test_a_role_that_is_given_is_had_and_is_no_more(content: dict[str, int], role: Role) -> None:
    after = with_role(content, "@a:x", role)
    if max(content["events_default"], content["users_default"]) < 50:
        assert role_of("@a:x", after) is role
    if role <= Role.WRITER:
        assert level_of("@a:x", after) <= max(content["users_default"], 49)
    assert role_of("@b:x", after) is role_of("@b:x", content)
    assert with_role(after, "@a:x", role) == after


@given(levels)
def test_who_is_muted_may_do_nothing_and_gets_all_back(content: dict[str, object]) -> None:
    muted = with_level(content, "@a:x", muted_level(content))
    needed = [content["events_default"], *content["events"].values()]  # type: ignore[attr-defined]
    assert all(level_of("@a:x", muted) < level for level in needed)
    back = with_level(muted, "@a:x", level_of("@a:x", content))
    assert level_of("@a:x", back) == level_of("@a:x", content)
    assert muted_level(muted) == muted_level(content)


@given(levels, st.integers(-200, 200))
def test_bounds_are_the_role(content: dict[str, object], power: int) -> None:
    role = role_of("@a:x", with_level(content, "@a:x", power))
    least, below = bounds(role, content)
    assert (least is None or power >= least) and (below is None or power < below)
    for other in set(Role) - {role}:
        least, below = bounds(other, content)
        assert not ((least is None or power >= least) and (below is None or power < below))


@given(st.sampled_from(list(PLANS.values())))
def test_in_every_kind_each_role_is_more_than_the_one_below(plan: object) -> None:
    content = power_levels(plan, "@s:x", {"@o:x": Role.OWNER})  # type: ignore[arg-type]
    assert role_of("@o:x", content) is Role.OWNER
    found = [level_of("@a:x", with_role(content, "@a:x", role)) for role in Role]
    assert found == sorted(found) and len(set(found)) == len(found)
    assert found[-1] == POWER[Role.OWNER] < level_of("@s:x", content)
