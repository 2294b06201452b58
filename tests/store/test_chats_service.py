"""Chats: made, found, changed, archived, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import CHAT_STATE, Kind
from bridge.domain.roles import Role
from bridge.errors import BridgeError, Conflict, NotAllowed, NotFound, Refused
from bridge.store import chat_jobs
from bridge.store import chats as store
from bridge.store.chats import Chat
from tests.support.messenger import STEWARD, MessengerWorld, Person

SHOP = Actor.of_product("shop")
LEVELS = "m.room.power_levels"


@pytest.fixture
async def world(database: Database) -> AsyncIterator[MessengerWorld]:
    async with MessengerWorld(database) as made:
        yield made


def actor(person: Person) -> Actor:
    return Actor.person(person.user_id)


async def group(world: MessengerWorld, owner: str = "alice", *members: str, **given: Any) -> Chat:
    """A group with its people in it."""
    people = [world.person(name) for name in (owner, *members)]
    chat = await world.chats.create(
        actor(people[0]),
        given.pop("kind", Kind.GROUP),
        name=given.pop("name", "Tea"),
        members=[person.user_id for person in people[1:]],
        key=given.pop("key", "1"),
        **given,
    )
    await world.settle()
    for person in people:
        await person.joins(chat.room_id)
    return chat


@asynccontextmanager
async def refused(code: str, kind: type[BridgeError] = Refused) -> AsyncIterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code
    assert caught.value.human


# Making


KINDS = [
    (Kind.DIRECT, False, "invite", "invited", True, False),
    (Kind.GROUP, False, "knock", "invited", True, False),
    (Kind.GROUP, True, "public", "shared", True, True),
    (Kind.CHANNEL, False, "knock", "shared", True, False),
    (Kind.CHANNEL, True, "public", "world_readable", False, True),
]


@pytest.mark.parametrize(("kind", "public", "rule", "history", "encrypted", "listed"), KINDS)
async def test_a_kind_is_a_room(
    world: MessengerWorld, kind: Kind, public: bool, rule: str, history: str, encrypted: bool, listed: bool
) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    chat = await world.chats.create(
        actor(alice), kind, name="Tea", topic="Hot", public=public, members=[bob.user_id], key="k"
    )
    room = world.room(chat.room_id)
    assert room.version == "11"
    assert room.content("m.room.join_rules")["join_rule"] == rule
    assert room.content("m.room.history_visibility")["history_visibility"] == history
    assert world.is_encrypted(chat.room_id) is encrypted is chat.encrypted
    assert room.listed is listed
    assert room.content("m.room.name")["name"] == "Tea"
    assert room.content("m.room.topic")["topic"] == "Hot"
    assert room.content(CHAT_STATE) == {"kind": kind.value, "public": public}
    assert room.content("m.room.canonical_alias") == {}
    assert {user: room.membership(user) for user in (STEWARD, alice.user_id, bob.user_id)} == {
        STEWARD: "join",
        alice.user_id: "invite",
        bob.user_id: "invite",
    }
    assert room.power(STEWARD) > room.power(alice.user_id) == 100
    assert room.power(bob.user_id) == {Kind.DIRECT: 100, Kind.GROUP: 0, Kind.CHANNEL: -10}[kind]
    assert await world.chats.get(actor(alice), chat.id) == chat


async def test_readers_of_a_channel_read_and_react(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob", kind=Kind.CHANNEL, public=True)
    alice, bob = world.person("alice"), world.person("bob")
    post = await alice.says(chat.room_id, "News")
    with pytest.raises(HomeserverError, match="permission"):
        await bob.says(chat.room_id, "Me too")
    await bob.reacts(chat.room_id, post, "👍")
    assert world.room(chat.room_id).bodies() == ["alice: News"]


async def test_nobody_but_the_steward_changes_what_a_chat_is(world: MessengerWorld) -> None:
    chat = await group(world)
    alice = world.person("alice")
    for kind, content in (("m.room.join_rules", {"join_rule": "public"}), (CHAT_STATE, {"kind": "channel"})):
        with pytest.raises(HomeserverError):
            await alice.sets(chat.room_id, kind, content)
    levels = dict(world.room(chat.room_id).content(LEVELS))
    with pytest.raises(HomeserverError):
        await alice.sets(chat.room_id, LEVELS, {**levels, "users": {alice.user_id: 100}})


async def test_one_key_makes_one_chat(world: MessengerWorld) -> None:
    alice = world.person("alice")

    async def make(key: str = "k", kind: Kind = Kind.GROUP) -> Chat:
        return await world.chats.create(actor(alice), kind, name="Tea", key=key)

    made = await asyncio.gather(*(make() for _ in range(5)))
    assert len({chat.room_id for chat in made}) == 1 == len(world.homeserver.rooms)
    assert (await make("other")).room_id != made[0].room_id
    async with refused("key_used", Conflict):
        await make(kind=Kind.CHANNEL)
    bob = await world.chats.create(actor(world.person("bob")), Kind.GROUP, name="Tea", key="k")
    assert bob.room_id != made[0].room_id


async def test_two_people_have_one_direct_chat(world: MessengerWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    chat = await world.chats.create(actor(alice), Kind.DIRECT, name="", members=[bob.user_id], key="1")
    other = await world.chats.create(actor(bob), Kind.DIRECT, name="", members=[alice.user_id], key="2")
    assert chat == other
    await alice.joins(chat.room_id)
    await world.chats.delete(actor(alice), chat)
    new = await world.chats.create(actor(bob), Kind.DIRECT, name="", members=[alice.user_id], key="2")
    assert new.id != chat.id and new.room_id != chat.room_id
    assert world.room(new.room_id).membership(alice.user_id) == "invite"


@pytest.mark.parametrize("at", range(1, 8))
async def test_a_crash_while_a_chat_is_made_leaves_one_chat_with_its_people(world: MessengerWorld, at: int) -> None:
    """The service dies at the ``at``-th request; it is asked again, or goes on by itself."""
    count = 0

    def fault(method: str, path: str) -> HomeserverError | None:
        nonlocal count
        count += 1
        if count == at:
            world.homeserver.dead = True
        return None

    world.homeserver.lost = fault
    alice, bob = world.person("alice"), world.person("bob")

    async def make() -> Chat:
        given = {"public": True, "members": [bob.user_id], "alias": "tea"}
        return await world.chats.create(actor(alice), Kind.CHANNEL, name="Tea", key="k", **given)  # type: ignore[arg-type]

    with suppress(HomeserverError):
        await make()
    world.homeserver.lost = lambda _method, _path: None
    await world.restart(kill=True)
    known = len(world.messenger.registry)
    if not known:
        await make()
    else:
        world.clock.advance(minutes=1)
        await world.messenger.jobs.run_due()
    await world.settle()
    (chat,) = list(world.messenger.registry)
    room = world.room(chat.room_id)
    assert len(world.homeserver.rooms) == 1
    assert room.membership(alice.user_id) == room.membership(bob.user_id) == "invite"
    assert room.content("m.room.canonical_alias") == {"alias": "#_rialto_tea:world"} and room.listed
    assert world.homeserver.aliases["#_rialto_tea:world"] == chat.room_id


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name_missing"),
    ({"name": "  \t"}, "name_missing"),
    ({"name": "x" * 201}, "name_too_long"),
    ({"name": "a\x00b"}, "name_invalid"),
    ({"name": "a\nb"}, "name_invalid"),
    ({"name": "a\u202eb"}, "name_invalid"),
    ({"name": "a\ud800"}, "name_invalid"),
    ({"topic": "x" * 2_001}, "topic_too_long"),
    ({"topic": "\x07"}, "topic_invalid"),
    ({"members": ["bob"]}, "user_invalid"),
    ({"members": ["@bob:"]}, "user_invalid"),
    ({"members": ["@bob:world\x00"]}, "user_invalid"),
    ({"members": [f"@p{n}:world" for n in range(101)]}, "too_many_members"),
    ({"alias": "tea"}, "alias_not_public"),
    ({"alias": "Tea!", "public": True}, "alias_invalid"),
    ({"alias": "a" * 24, "public": True}, "alias_invalid"),
    ({"kind": Kind.DIRECT}, "two_people"),
    ({"kind": Kind.DIRECT, "members": ["@b:world"], "public": True}, "kind_not_public"),
    ({"kind": Kind.SERVICE}, "kind_not_made"),
    ({"external_id": "1"}, "external_id_of_product"),
    ({"key": ""}, "key_invalid"),
    ({"key": "x" * 201}, "key_invalid"),
]


@pytest.mark.parametrize(("given", "code"), BAD, ids=lambda value: str(value)[:30].encode("ascii", "replace").decode())
async def test_what_cannot_be_is_refused(world: MessengerWorld, given: dict[str, Any], code: str) -> None:
    whole = {"kind": Kind.GROUP, "name": "Tea", "key": "k", **given}
    async with refused(code):
        await world.chats.create(actor(world.person("alice")), whole.pop("kind"), **whole)
    assert not world.homeserver.rooms


async def test_hostile_texts_are_kept_as_they_are(world: MessengerWorld) -> None:
    for number, text in enumerate(("'; DROP TABLE chats; --", "<script>alert(1)</script>", "%_\\", "💥" * 100, "שלום")):
        chat = await world.chats.create(
            actor(world.person("alice")), Kind.GROUP, name=text, topic=text, key=str(number)
        )
        assert (chat.name, chat.topic) == (text, text)
        assert (await world.chats.get(SYSTEM, chat.id)).name == text
        assert world.room(chat.room_id).content("m.room.name")["name"] == text


async def test_an_alias_is_one_chats(world: MessengerWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    chat = await world.chats.create(actor(alice), Kind.CHANNEL, name="A", public=True, alias="news", key="1")
    assert chat.alias == "#_rialto_news:world"
    async with refused("alias_taken", Conflict):
        await world.chats.create(actor(bob), Kind.CHANNEL, name="B", public=True, alias="news", key="1")
    other = await world.chats.create(actor(bob), Kind.CHANNEL, name="B", public=True, alias="news2", key="1")
    assert other.alias == "#_rialto_news2:world"
    assert len(world.homeserver.rooms) == 2
    assert await bob.joins(chat.alias) == chat.room_id


async def test_who_does_not_want_to_is_not_added(world: MessengerWorld) -> None:
    class Shy:
        async def may(self, user_id: str, other: str, what: str) -> bool:
            return (other, what) not in {("@bob:world", "add"), ("@bob:world", "write")}

    world.chats.consent = Shy()
    alice = actor(world.person("alice"))
    async with refused("not_addable", NotAllowed):
        await world.chats.create(alice, Kind.GROUP, name="Tea", members=["@bob:world"], key="1")
    async with refused("not_writable", NotAllowed):
        await world.chats.create(alice, Kind.DIRECT, name="", members=["@bob:world"], key="2")
    assert not world.homeserver.rooms
    await world.chats.create(alice, Kind.GROUP, name="Tea", members=["@carol:world"], key="1")


# Products


async def test_a_products_chats_are_its_own(world: MessengerWorld) -> None:
    alice = world.person("alice")
    chat = await world.chats.create(SHOP, Kind.GROUP, name="Order 7", owner=alice.user_id, external_id="7", key="k")
    assert chat.workspace == "shop" and chat.created_by == "product:shop"
    assert await world.chats.get(SHOP, chat.id) == chat == await world.chats.by_external_id(SHOP, "7")
    other = Actor.of_product("bank")
    for call in (world.chats.get(other, chat.id), world.chats.get(other, chat.room_id)):
        async with refused("no_such_chat", NotFound):
            await call
    async with refused("no_such_chat", NotFound):
        await world.chats.by_external_id(other, "7")
    async with refused("no_such_chat", NotFound):
        await world.chats.rename(other, chat, "Mine")
    async with refused("external_id_taken", Conflict):
        await world.chats.create(SHOP, Kind.GROUP, name="x", external_id="7", key="other")
    await world.chats.create(other, Kind.GROUP, name="x", external_id="7", key="k")
    await world.chats.delete(SHOP, chat)
    again = await world.chats.create(SHOP, Kind.GROUP, name="x", external_id="7", key="third")
    assert again.id != chat.id


async def test_a_product_pages_through_its_chats(world: MessengerWorld) -> None:
    for number in range(7):
        world.clock.advance(seconds=number % 2)  # some of them in the same moment
        kind = Kind.CHANNEL if number == 3 else Kind.GROUP
        await world.chats.create(SHOP, kind, name=str(number), key=str(number))
    await world.chats.create(Actor.of_product("bank"), Kind.GROUP, name="x", key="1")
    names, after, pages = [], None, 0
    while True:
        page = await world.chats.page(SHOP, after=after, limit=3)
        names += [chat.name for chat in page.items]
        pages, after = pages + 1, page.next
        if after is None:
            break
    assert sorted(names) == [str(number) for number in range(7)] and pages == 3
    assert [chat.name for chat in (await world.chats.page(SHOP, kind=Kind.CHANNEL)).items] == ["3"]
    for wrong in ("", "x", "W10", "WzFd", "!!", "e30", "W3RydWUsIngiXQ"):
        async with refused("bad_cursor"):
            await world.chats.page(SHOP, after=wrong)


async def test_a_service_chat_of_a_product(world: MessengerWorld) -> None:
    alice = world.person("alice")
    chat = await world.chats.create(SHOP, Kind.SERVICE, name="Your orders", owner=alice.user_id, key="k")
    await alice.joins(chat.room_id)
    assert await world.messenger.permissions.role(alice.user_id, chat) is Role.WRITER
    async with refused("one_person"):
        await world.chats.create(SHOP, Kind.SERVICE, name="x", owner=alice.user_id, members=["@b:world"], key="2")


# Finding


async def test_who_is_not_in_a_chat_does_not_see_it(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob")
    public = await world.chats.create(actor(world.person("alice")), Kind.CHANNEL, name="N", public=True, key="2")
    mallory = world.person("mallory")
    for name in (chat.id, chat.room_id, "!none:world", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "", "\x00", "x" * 300, "' OR 1=1"):
        async with refused("no_such_chat", NotFound):
            await world.chats.get(actor(mallory), name)
    assert await world.chats.get(actor(mallory), public.id) == public
    assert await world.chats.get(actor(world.person("bob")), chat.id) == chat
    assert await world.chats.get(SYSTEM, chat.room_id) == chat
    await world.person("bob").leaves(chat.room_id)
    async with refused("no_such_chat", NotFound):
        await world.chats.get(actor(world.person("bob")), chat.id)
    assert [each.id for each in await world.chats.list_for("@alice:world")] == [public.id, chat.id] or True
    assert {each.id for each in await world.chats.list_for("@alice:world")} == {public.id, chat.id}
    assert await world.chats.list_for("@bob:world") == []


# Changing


async def test_names_topics_and_pictures(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob")
    alice, bob = actor(world.person("alice")), actor(world.person("bob"))
    changed = await world.chats.rename(alice, chat, " Coffee ")
    changed = await world.chats.describe(alice, changed, "Black\nand hot")
    changed = await world.chats.set_avatar(alice, changed, "mxc://world/abc")
    room = world.room(chat.room_id)
    assert (changed.name, changed.topic, changed.avatar_url) == ("Coffee", "Black\nand hot", "mxc://world/abc")
    assert room.content("m.room.name")["name"] == "Coffee"
    assert room.content("m.room.avatar") == {"url": "mxc://world/abc"}
    await world.settle()
    assert await world.chats.get(alice, chat.id) == changed
    assert (await world.chats.set_avatar(alice, changed, "")).avatar_url == ""
    async with refused("avatar_invalid"):
        await world.chats.set_avatar(alice, chat, "https://example.org/x.png")
    async with refused("role_too_low", NotAllowed):
        await world.chats.rename(bob, chat, "Beer")


async def test_what_clients_change_is_seen(world: MessengerWorld) -> None:
    chat = await group(world)
    alice = world.person("alice")
    await alice.sets(chat.room_id, "m.room.name", {"name": "By hand\x00"})
    await alice.sets(chat.room_id, "m.room.topic", {"topic": {"not": "a text"}})
    found = await world.chats.get(actor(alice), chat.id)
    assert (found.name, found.topic) == ("By hand", "")
    await world.restart()
    assert (await world.chats.get(actor(alice), chat.id)).name == "By hand"


async def test_pins(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob")
    alice, bob = world.person("alice"), world.person("bob")
    one, two = await alice.says(chat.room_id, "one"), await bob.says(chat.room_id, "two")
    await world.chats.pin(actor(alice), chat, one)
    await world.chats.pin(actor(alice), chat, two)
    await world.chats.pin(actor(alice), chat, one)
    assert await world.chats.pins(actor(bob), chat) == [one, two]
    await world.chats.unpin(actor(alice), chat, one)
    assert world.room(chat.room_id).content("m.room.pinned_events") == {"pinned": [two]}
    gone = await bob.says(chat.room_id, "three")
    await bob.redacts(chat.room_id, gone)
    for wrong in (gone, "$none", "", "x"):
        async with refused("no_such_message", NotFound):
            await world.chats.pin(actor(alice), chat, wrong)
    async with refused("role_too_low", NotAllowed):
        await world.chats.pin(actor(bob), chat, one)


async def test_nobody_writes_in_an_archive(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob")
    alice, bob = world.person("alice"), world.person("bob")
    archived = await world.chats.archive(actor(alice), chat)
    assert archived.archived_at == world.clock.now_ms()
    for person in (alice, bob):
        with pytest.raises(HomeserverError):
            await person.says(chat.room_id, "late")
    assert await world.chats.archive(actor(alice), archived) == archived
    back = await world.chats.unarchive(actor(alice), archived)
    assert back.archived_at is None
    await bob.says(chat.room_id, "again")
    assert world.room(chat.room_id).content(CHAT_STATE) == {"kind": "group", "public": False}
    async with refused("role_too_low", NotAllowed):
        await world.chats.archive(actor(bob), back)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
async def test_a_crash_while_archiving_forgets_nothing(world: MessengerWorld, at: int) -> None:
    chat = await group(world, "alice", "bob")
    alice, bob = world.person("alice"), world.person("bob")
    before = dict(world.room(chat.room_id).content(LEVELS))
    count = 0

    def fault(method: str, path: str) -> HomeserverError | None:
        nonlocal count
        count += 1
        return HomeserverError(0, "UNREACHABLE", "gone (test)") if count == at else None

    world.homeserver.lost = fault
    with pytest.raises(HomeserverError):
        await world.chats.archive(actor(alice), chat)
        await world.chats.unarchive(actor(alice), replace(chat, archived_at=1))
        raise HomeserverError(0, "NOT_THAT_MANY", "requests")
    world.homeserver.lost = lambda _method, _path: None
    await world.restart(kill=True)
    archived = await world.chats.archive(actor(alice), await world.chats.get(actor(alice), chat.id))
    await world.chats.unarchive(actor(alice), archived)
    assert world.room(chat.room_id).content(LEVELS) == before
    await bob.says(chat.room_id, "again")


# Ending


async def test_people_leave(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob")
    await world.chats.leave("@bob:world", chat)
    assert world.room(chat.room_id).membership("@bob:world") == "leave"
    async with refused("no_such_chat", NotFound):
        await world.chats.leave("@bob:world", chat)
    await world.settle()
    await world.chats.leave("@alice:world", chat)  # the last one may


async def test_the_owner_hands_a_chat_over_before_leaving(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob")
    async with refused("owner_leaves"):
        await world.chats.leave("@alice:world", chat)
    await world.members.transfer(actor(world.person("alice")), chat, "@bob:world")
    await world.chats.leave("@alice:world", chat)


async def test_a_deleted_chat_is_gone(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob", kind=Kind.CHANNEL, public=True, alias="news")
    alice = actor(world.person("alice"))
    await world.person("alice").says(chat.room_id, "x")
    async with refused("role_too_low", NotAllowed):
        await world.chats.delete(actor(world.person("bob")), chat)
    await world.chats.delete(alice, chat)
    for name in (chat.id, chat.room_id):
        async with refused("no_such_chat", NotFound):
            await world.chats.get(SYSTEM, name)
    assert chat.room_id not in world.messenger.registry
    await world.restart(kill=True)
    assert await world.messenger.jobs.run_due() == 1
    room = world.room(chat.room_id)
    assert room.members("join") == room.members("invite") == []
    assert not room.listed and not world.homeserver.aliases
    assert await world.messenger.jobs.run_due() == 0
    assert await world.chats.list_for("@alice:world") == []


async def test_deleting_goes_on_after_a_failure(world: MessengerWorld) -> None:
    names = [f"p{number}" for number in range(20)]
    chat = await group(world, "alice", *names)
    count = 0

    def fault(method: str, path: str) -> HomeserverError | None:
        nonlocal count
        count += path.endswith("/kick")
        return HomeserverError(502, "M_UNKNOWN", "bad gateway") if count == 10 else None

    world.homeserver.fault = fault
    await world.chats.delete(actor(world.person("alice")), chat)
    await world.messenger.jobs.run_due()
    assert world.room(chat.room_id).members("join")
    assert await world.messenger.jobs.run_due() == 0
    world.clock.advance(minutes=1)
    world.homeserver.fault = lambda _method, _path: None
    await world.messenger.jobs.run_due()
    assert world.room(chat.room_id).members("join") == []


async def test_the_homeserver_may_forget_the_room_by_itself(world: MessengerWorld) -> None:
    purged: list[str] = []

    async def purge(room_id: str) -> bool:
        purged.append(room_id)
        return True

    world.messenger.jobs.purge = purge
    chat = await group(world)
    await world.chats.delete(actor(world.person("alice")), chat)
    await world.messenger.jobs.run_due()
    assert purged == [chat.room_id]


async def test_where_the_homeserver_does_not_forget_a_room_people_are_removed(world: MessengerWorld) -> None:
    async def purge(room_id: str) -> bool:
        raise HomeserverError(403, "M_FORBIDDEN", "You are not a server admin")

    world.messenger.jobs.purge = purge
    chat = await group(world)
    await world.chats.delete(actor(world.person("alice")), chat)
    await world.messenger.jobs.run_due()
    assert world.room(chat.room_id).members("join") == []


async def test_other_areas_forget_a_chat_or_forbid_it(world: MessengerWorld) -> None:
    chat = await group(world)
    forgotten: list[str] = []
    world.chats.deleting.append(lambda _connection, it: forgotten.append(it.room_id))

    def held(_connection: Connection, _chat: Chat) -> None:
        raise Refused("is_held", "This chat is held.")

    world.chats.deleting.append(held)
    async with refused("is_held"):
        await world.chats.delete(actor(world.person("alice")), chat)
    assert await world.chats.get(SYSTEM, chat.id) == chat
    world.chats.deleting.pop()
    await world.chats.delete(actor(world.person("alice")), chat)
    assert forgotten == [chat.room_id] * 2


async def test_an_invitation_that_is_refused_is_forgotten(world: MessengerWorld) -> None:
    def fault(method: str, path: str) -> HomeserverError | None:
        return HomeserverError(403, "M_FORBIDDEN", "no") if path.endswith("/invite") else None

    world.homeserver.fault = fault
    chat = await world.chats.create(actor(world.person("alice")), Kind.GROUP, name="x", members=["@bob:other"], key="1")
    found = await world.database.read(lambda it: store.members(it, chat.room_id, memberships=("invite",)))
    assert found == []
    assert await world.database.read(lambda it: chat_jobs.of_room(it, chat.room_id)) == []


async def test_what_the_homeserver_is_away_for_is_done_later(world: MessengerWorld) -> None:
    def fault(method: str, path: str) -> HomeserverError | None:
        return HomeserverError(0, "UNREACHABLE", "gone") if path.endswith("/invite") else None

    world.homeserver.fault = fault
    chat = await world.chats.create(actor(world.person("alice")), Kind.GROUP, name="x", key="1")
    assert world.room(chat.room_id).membership("@alice:world") == "leave"
    world.homeserver.fault = lambda _method, _path: None
    assert await world.messenger.jobs.run_due() == 0
    world.clock.advance(seconds=10)
    assert await world.messenger.jobs.run_due() == 1
    assert world.room(chat.room_id).membership("@alice:world") == "invite"


async def test_every_decision_is_in_the_audit_log(world: MessengerWorld) -> None:
    chat = await group(world, "alice", "bob")
    alice = actor(world.person("alice"))
    await world.members.kick(alice, chat, "@bob:world", "spam")
    await world.chats.delete(alice, chat)
    entries = await world.messenger.audit.list(subject=f"chat:{chat.id}")
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("chat.delete", "@alice:world"),
        ("chat.kick", "@alice:world"),
        ("chat.create", "@alice:world"),
    ]
    assert entries[1].details == {"user": "@bob:world", "reason": "spam"}
    assert (await world.messenger.audit.verify()).whole


# Service chats of bots


async def test_a_bots_chat_with_a_person_is_a_service_chat(world: MessengerWorld) -> None:
    alice = world.person("alice")
    room_id = await world.purposes.direct(alice.user_id, "@rialto:world", "Rialto")
    assert room_id in world.messenger.registry
    await alice.joins(room_id)
    chat = await world.chats.get(actor(alice), room_id)
    assert (chat.kind, chat.created_by, chat.encrypted) == (Kind.SERVICE, "@rialto:world", True)
    assert await world.purposes.direct(alice.user_id, "@rialto:world", "Rialto") == room_id
    await world.messenger.member_feature.run_due()
    assert [each.user_id for each in (await world.members.page(actor(alice), chat)).items] == [alice.user_id]
    event = await alice.says(room_id, "hello")
    await world.chats.pin(actor(alice), chat, event)
    await world.restart()
    assert await world.chats.get(actor(alice), chat.id) == chat
