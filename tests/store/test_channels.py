"""Channels: discussion groups, comments, and what posts have reached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.channels.discussions import CHANNEL, DISCUSSION
from bridge.channels.feature import POST
from bridge.channels.rights import Part
from bridge.channels.service import ChannelService
from bridge.domain.kinds import Kind
from bridge.domain.roles import Role
from bridge.errors import BridgeError, Conflict, NotAllowed, NotFound, Refused
from bridge.store.chats import Chat
from bridge.store.link_tables import channel_groups, channel_posts, channel_readers, post_answers
from tests.support.messenger import STEWARD, MessengerWorld, Person

SHOP = Actor.of_product("shop")
RULES = "m.room.join_rules"


@pytest.fixture
async def world(database: Database) -> AsyncIterator[MessengerWorld]:
    async with MessengerWorld(database) as made:
        yield made


def actor(person: Person) -> Actor:
    return Actor.person(person.user_id)


def channels(world: MessengerWorld) -> ChannelService:
    return world.messenger.channels


async def made(world: MessengerWorld, kind: Kind, *members: str, owner: str = "alice", **given: Any) -> Chat:
    people = [world.person(name) for name in (owner, *members)]
    name = given.pop("name", kind.value)
    chat = await world.chats.create(
        actor(people[0]),
        kind,
        name=name,
        members=[person.user_id for person in people[1:]],
        key=given.pop("key", name),
        **given,
    )
    await world.settle()
    for person in people:
        await person.joins(chat.room_id)
    return chat


async def linked(world: MessengerWorld, *readers: str, public: bool = True) -> tuple[Chat, Chat]:
    channel = await made(world, Kind.CHANNEL, *readers, name="News", public=public)
    group = await made(world, Kind.GROUP, name="Talk")
    await channels(world).link_discussion(actor(world.person("alice")), channel, group)
    await world.settle()
    return channel, await fresh(world, group)


async def fresh(world: MessengerWorld, chat: Chat) -> Chat:
    return await world.chats.get(actor(world.person("alice")), chat.id)


def state(world: MessengerWorld, chat: Chat, event_type: str) -> dict[str, Any]:
    return dict(world.room(chat.room_id).content(event_type))


def announcements(world: MessengerWorld, group: Chat) -> list[dict[str, Any]]:
    return [raw for raw in world.room(group.room_id).timeline if POST in raw["content"]]


def answer_to(event_id: str, *, thread: bool = True) -> dict[str, Any]:
    relation: dict[str, Any] = {"m.in_reply_to": {"event_id": event_id}}
    if thread:
        relation |= {"rel_type": "m.thread", "event_id": event_id, "is_falling_back": True}
    return {"m.relates_to": relation}


@asynccontextmanager
async def refused(code: str, kind: type[BridgeError] = Refused) -> AsyncIterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code
    assert caught.value.human


# Discussion groups


async def test_a_channel_has_a_discussion_group_and_has_none_again(world: MessengerWorld) -> None:
    channel, group = await linked(world, "reader")
    alice = world.person("alice")
    assert group.parent == channel.room_id
    assert (await channels(world).discussion(actor(alice), channel)) == group
    assert state(world, channel, DISCUSSION) == {"room_id": group.room_id, "via": ["world"]}
    assert state(world, group, CHANNEL) == {"room_id": channel.room_id, "via": ["world"]}
    door = {"type": "m.room_membership", "room_id": channel.room_id}
    assert state(world, group, RULES) == {"join_rule": "knock_restricted", "allow": [door]}
    await channels(world).link_discussion(actor(alice), channel, group)  # nothing more happens
    before = len(world.room(group.room_id).timeline)
    assert await world.messenger.channeling.discussions.run_due() == 0

    await channels(world).link_discussion(actor(alice), channel, None)
    assert (await fresh(world, group)).parent is None
    assert await channels(world).discussion(actor(alice), channel) is None
    assert (state(world, channel, DISCUSSION), state(world, group, CHANNEL)) == ({}, {})
    assert state(world, group, RULES) == {"join_rule": "knock"}
    assert len(world.room(group.room_id).timeline) == before + 2
    log = await world.messenger.audit.list(subject=f"chat:{channel.id}")
    assert [entry.details for entry in log if entry.action == "channel.discussion"] == [
        {"group": None}, {"group": group.id}, {"group": group.id},
    ]  # fmt: skip


async def test_another_group_takes_the_place_of_one(world: MessengerWorld) -> None:
    channel, group = await linked(world)
    alice = world.person("alice")
    other = await made(world, Kind.GROUP, name="Other", public=True)
    await channels(world).link_discussion(actor(alice), channel, other)
    assert state(world, channel, DISCUSSION)["room_id"] == other.room_id
    assert state(world, group, CHANNEL) == {}
    assert state(world, other, RULES) == {"join_rule": "public"}
    assert (await fresh(world, group)).parent is None
    second = await made(world, Kind.CHANNEL, name="Second", public=True)
    async with refused("group_taken", Conflict):
        await channels(world).link_discussion(actor(alice), second, await fresh(world, other))


async def test_who_may_link_what(world: MessengerWorld) -> None:
    channel = await made(world, Kind.CHANNEL, "bob", name="News", public=True)
    group = await made(world, Kind.GROUP, owner="bob", name="Talk")
    alice, bob, eve = (world.person(name) for name in ("alice", "bob", "eve"))
    async with refused("no_channel"):
        await channels(world).link_discussion(actor(bob), group, None)
    async with refused("no_group"):
        await channels(world).link_discussion(actor(alice), channel, channel)
    async with refused("no_such_chat", NotFound):
        await channels(world).link_discussion(actor(alice), channel, group)  # not in the group
    async with refused("role_too_low", NotAllowed):
        await channels(world).link_discussion(actor(bob), channel, group)
    async with refused("no_such_chat", NotFound):
        await channels(world).link_discussion(actor(eve), channel, None)
    async with refused("no_such_chat", NotFound):
        await channels(world).link_discussion(SHOP, channel, None)
    await world.members.set_role(actor(alice), channel, bob.user_id, Role.ADMIN)
    await channels(world).link_discussion(actor(bob), channel, group)
    assert state(world, channel, DISCUSSION)["room_id"] == group.room_id


async def test_a_group_that_was_made_for_a_channel_is_told(world: MessengerWorld) -> None:
    channel = await made(world, Kind.CHANNEL, name="News", public=True)
    group = await made(world, Kind.GROUP, name="Talk", parent=channel)
    assert await world.messenger.channeling.discussions.run_due() == 1
    assert state(world, channel, DISCUSSION)["room_id"] == group.room_id


async def test_the_homeserver_is_away_while_a_group_is_linked(world: MessengerWorld) -> None:
    channel = await made(world, Kind.CHANNEL, name="News", public=True)
    group = await made(world, Kind.GROUP, name="Talk")
    away = HomeserverError(502, "M_UNKNOWN", "away")
    for place in (DISCUSSION, CHANNEL, RULES):
        world.homeserver.fault = lambda method, path, place=place: away if method == "PUT" and place in path else None  # type: ignore[misc]
        await channels(world).link_discussion(actor(world.person("alice")), channel, group)
        with pytest.raises(HomeserverError):
            await world.messenger.channeling.discussions.run_due()
    world.homeserver.fault = lambda _method, _path: None
    await world.restart(kill=True)
    assert await world.messenger.channeling.discussions.run_due() == 1
    assert state(world, channel, DISCUSSION)["room_id"] == group.room_id
    assert state(world, group, CHANNEL)["room_id"] == channel.room_id
    assert state(world, group, RULES)["join_rule"] == "knock_restricted"


async def test_upgrades_and_deletions(world: MessengerWorld) -> None:
    channel, group = await linked(world)
    alice, discussions = world.person("alice"), world.messenger.channeling.discussions
    new_channel = await world.chats.upgrade(actor(alice), channel)
    await alice.joins(new_channel.room_id)
    await discussions.run_due()
    assert state(world, group, CHANNEL)["room_id"] == new_channel.room_id
    assert {each["room_id"] for each in state(world, group, RULES)["allow"]} == {new_channel.room_id}
    new_group = await world.chats.upgrade(actor(alice), await fresh(world, group))
    await alice.joins(new_group.room_id)
    await discussions.run_due()
    assert state(world, new_channel, DISCUSSION)["room_id"] == new_group.room_id
    assert new_channel.room_id in {each["room_id"] for each in state(world, new_group, RULES)["allow"]}
    await alice.says(new_channel.room_id, "After the move")
    assert len(announcements(world, new_group)) == 1
    await world.chats.delete(actor(alice), await fresh(world, new_group))
    await discussions.run_due()
    assert state(world, new_channel, DISCUSSION) == {}
    assert await discussions.run_due() == 0
    await alice.says(new_channel.room_id, "Nobody hears of it")
    assert len(announcements(world, new_group)) == 1


# Posts and comments


@pytest.mark.parametrize("public", [True, False])
async def test_posts_are_announced_and_commented_on(world: MessengerWorld, public: bool) -> None:
    channel, group = await linked(world, public=public)
    alice, bob = world.person("alice"), world.person("bob")
    await alice.invites(group.room_id, bob)
    await bob.joins(group.room_id)
    post = await alice.says(channel.room_id, "The first post, of which nothing is copied")
    [announced] = announcements(world, group)
    assert announced["sender"] == STEWARD
    assert announced["content"][POST] == {"room_id": channel.room_id, "event_id": post}
    assert f"{channel.room_id}/{post}" in announced["content"]["body"]
    assert "copied" not in announced["content"]["body"]
    root = announced["event_id"]
    thread = await channels(world).thread(actor(alice), channel, post)
    assert (thread.root_id, thread.root_room) == (root, group.room_id)

    ids = [await bob.says(group.room_id, "One", **answer_to(root))]
    world.clock.advance(timedelta(seconds=1))
    ids.append(await alice.says(group.room_id, "Two", **answer_to(root, thread=False)))
    world.clock.advance(timedelta(seconds=1))
    ids.append(await bob.says(group.room_id, "Three", **answer_to(ids[1], thread=False)))  # an answer to a comment
    world.clock.advance(timedelta(seconds=1))
    ids.append(await alice.says(channel.room_id, "Four", **answer_to(post)))  # a thread in the channel itself
    await bob.says(group.room_id, "About something else")
    edit = {"m.relates_to": {"rel_type": "m.replace", "event_id": ids[0]}, "m.new_content": {"body": "x"}}
    await bob.says(group.room_id, "* One", **edit)
    first = await channels(world).comments(actor(alice), channel, post, limit=3)
    rest = await channels(world).comments(actor(alice), channel, post, after=first.next, limit=3)
    assert [each.event_id for each in (*first.items, *rest.items)] == ids
    assert rest.next is None
    assert first.items[0].sender == bob.user_id
    assert first.items[0].room_id == group.room_id

    await bob.redacts(group.room_id, ids[0])
    assert (await channels(world).post_statistics(actor(alice), channel, post)).comments == 3
    assert len(announcements(world, group)) == 1


async def test_a_post_is_announced_once_whatever_happens(world: MessengerWorld) -> None:
    channel, group = await linked(world)
    alice = world.person("alice")
    world.held = True
    await alice.says(channel.room_id, "While Rialto is down")
    await world.restart(kill=True)
    world.held = False
    await world.settle()
    assert len(announcements(world, group)) == 1


async def test_what_is_no_post_is_not_announced(world: MessengerWorld) -> None:
    channel, group = await linked(world)
    alice = world.person("alice")
    post = await alice.says(channel.room_id, "A post")
    await alice.says(channel.room_id, "* A post", **{"m.relates_to": {"rel_type": "m.replace", "event_id": post}})
    await alice.reacts(channel.room_id, post, "👍")
    await alice.sets(channel.room_id, "m.room.topic", {"topic": "x"})
    await world.homeserver.send_event(
        STEWARD, None, channel.room_id, "m.room.message", "t1",
        {"msgtype": "m.notice", "body": "Timer", "chat.rialto.notice": {"code": "timer"}},
    )  # fmt: skip
    await world.settle()
    assert len(announcements(world, group)) == 1
    answer = await alice.says(channel.room_id, "A post that answers one", **answer_to(post, thread=False))
    assert [each["content"][POST]["event_id"] for each in announcements(world, group)] == [post, answer]


async def test_a_post_that_is_removed_is_forgotten_with_its_announcement(world: MessengerWorld) -> None:
    channel, group = await linked(world)
    alice = world.person("alice")
    post = await alice.says(channel.room_id, "A mistake")
    [announced] = announcements(world, group)
    await alice.says(group.room_id, "Indeed", **answer_to(announced["event_id"]))
    await alice.redacts(channel.room_id, post)
    assert announcements(world, group) == []
    assert "redacted_because" in (world.room(group.room_id).event(announced["event_id"]) or {})["unsigned"]
    async with refused("no_such_message", NotFound):
        await channels(world).post_statistics(actor(alice), channel, post)


async def test_an_announcement_cannot_be_forged(world: MessengerWorld) -> None:
    channel, group = await linked(world)
    alice, bob = world.person("alice"), world.person("bob")
    await alice.invites(group.room_id, bob)
    await bob.joins(group.room_id)
    post = await alice.says(channel.room_id, "A post")
    root = announcements(world, group)[0]["event_id"]
    content = {"msgtype": "m.notice", "body": "x", POST: {"room_id": channel.room_id, "event_id": post}}
    await world.homeserver.send_event(bob.user_id, "D", group.room_id, "m.room.message", "f", content)
    await world.settle()
    assert (await channels(world).thread(actor(alice), channel, post)).root_id == root


@pytest.mark.parametrize(
    "relates",
    [None, 3, [], {"rel_type": 3}, {"rel_type": "m.thread", "event_id": "x\0y"}, {"m.in_reply_to": 4},
     {"rel_type": "m.thread", "event_id": "$" + "x" * 300}, {"m.in_reply_to": {"event_id": {"a": 1}}}],
)  # fmt: skip
async def test_relations_that_make_no_sense_do_no_harm(world: MessengerWorld, relates: Any) -> None:
    channel, group = await linked(world)
    alice = world.person("alice")
    for room_id in (channel.room_id, group.room_id):
        content = {"msgtype": "m.text", "body": "x", "m.relates_to": relates}
        await world.homeserver.send_event(alice.user_id, "D", room_id, "m.room.message", room_id, content)
        await world.homeserver.send_event(alice.user_id, "D", room_id, "m.reaction", f"r{room_id}", content)
    await world.settle()
    assert world.failures == []


# Statistics


async def read(world: MessengerWorld, chat: Chat, event_id: str, *names: str) -> None:
    for name in names:
        await world.person(name).reads(chat.room_id, event_id)
    await world.messenger.delivery.flush()


async def reach(world: MessengerWorld, channel: Chat, event_id: str) -> int:
    return (await channels(world).post_statistics(actor(world.person("alice")), channel, event_id)).reach


async def test_reach_counts_different_people_who_have_read(world: MessengerWorld) -> None:
    channel = await made(world, Kind.CHANNEL, "bob", "carol", name="News", public=True)
    alice = world.person("alice")
    first = await alice.says(channel.room_id, "First")
    world.clock.advance(timedelta(minutes=1))
    second = await alice.says(channel.room_id, "Second")
    assert await reach(world, channel, first) == 0
    await read(world, channel, first, "bob", "bob", "alice")  # who made it does not count
    assert (await reach(world, channel, first), await reach(world, channel, second)) == (1, 0)
    await read(world, channel, second, "bob", "carol")
    assert (await reach(world, channel, first), await reach(world, channel, second)) == (2, 2)


async def test_who_comes_later_has_not_read_what_was_before(world: MessengerWorld) -> None:
    channel = await made(world, Kind.CHANNEL, name="News", public=True)
    alice, dan = world.person("alice"), world.person("dan")
    old = await alice.says(channel.room_id, "Old")
    world.clock.advance(timedelta(minutes=1))
    await dan.joins(channel.room_id)
    world.clock.advance(timedelta(minutes=1))
    new = await alice.says(channel.room_id, "New")
    await read(world, channel, new, "dan")
    assert (await reach(world, channel, old), await reach(world, channel, new)) == (0, 1)
    await dan.leaves(channel.room_id)
    assert await reach(world, channel, new) == 1  # it was read


async def test_who_hides_read_receipts_is_not_counted(world: MessengerWorld) -> None:
    channel = await made(world, Kind.CHANNEL, "bob", "carol", name="News", public=True)
    alice = world.person("alice")
    post = await alice.says(channel.room_id, "A post")
    await read(world, channel, post, "bob", "carol")
    assert await reach(world, channel, post) == 2
    await world.messenger.privacy.change(world.person("bob").user_id, receipts="nobody")
    assert await reach(world, channel, post) == 1  # at once, also for what was
    later = await alice.says(channel.room_id, "Later")
    await read(world, channel, later, "bob", "carol")
    assert await reach(world, channel, later) == 1


async def test_reactions_are_counted_by_people_and_kind(world: MessengerWorld) -> None:
    channel, group = await linked(world, "bob", "carol")
    alice, bob, carol = (world.person(name) for name in ("alice", "bob", "carol"))
    post = await alice.says(channel.room_id, "A post")
    await bob.reacts(channel.room_id, post, "👍")
    await carol.reacts(channel.room_id, post, "👍")
    mine = await carol.reacts(channel.room_id, post, "🎉" * 200)
    root = announcements(world, group)[0]["event_id"]
    await alice.reacts(group.room_id, root, "👍")  # on the announcement: it is about the post
    comment = await alice.says(group.room_id, "x", **answer_to(root))
    await alice.reacts(group.room_id, comment, "👎")  # this is not
    found = await channels(world).post_statistics(actor(bob), channel, post)
    assert dict(found.by_reaction) == {"👍": 3, "🎉" * 100: 1}
    assert found.reactions == 4
    await carol.redacts(channel.room_id, mine)
    assert (await channels(world).post_statistics(actor(bob), channel, post)).reactions == 3


async def test_who_sees_figures(world: MessengerWorld) -> None:
    public = await made(world, Kind.CHANNEL, name="Public", public=True)
    private = await made(world, Kind.CHANNEL, "bob", name="Private")
    group = await made(world, Kind.GROUP, name="Talk")
    alice, bob, eve = (world.person(name) for name in ("alice", "bob", "eve"))
    post, secret = await alice.says(public.room_id, "x"), await alice.says(private.room_id, "x")
    assert (await channels(world).post_statistics(actor(eve), public, post)).event_id == post
    assert (await channels(world).post_statistics(actor(bob), private, secret)).event_id == secret
    async with refused("no_such_chat", NotFound):
        await channels(world).post_statistics(actor(eve), private, secret)
    async with refused("no_such_chat", NotFound):
        await channels(world).post_statistics(SHOP, public, post)
    async with refused("no_channel"):
        await channels(world).post_statistics(actor(alice), group, post)
    for event_id in (secret, "$nothing", "x"):
        async with refused("no_such_message", NotFound):
            await channels(world).post_statistics(actor(alice), public, event_id)
    async with refused("bad_cursor"):
        await channels(world).comments(actor(alice), public, post, after="nonsense")


# The end


def rows(connection: Connection) -> dict[str, int]:
    tables = (channel_posts, post_answers, channel_readers)
    return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


async def test_nothing_stays_of_a_channel_that_is_deleted(world: MessengerWorld) -> None:
    channel, group = await linked(world, "bob")
    alice = world.person("alice")
    post = await alice.says(channel.room_id, "A post")
    await alice.says(group.room_id, "x", **answer_to(announcements(world, group)[0]["event_id"]))
    await read(world, channel, post, "bob")
    assert await world.database.read(rows) == {"channel_posts": 1, "post_answers": 1, "channel_readers": 1}
    await world.chats.delete(actor(alice), await fresh(world, channel))
    await world.messenger.channeling.discussions.run_due()
    assert set((await world.database.read(rows)).values()) == {0}
    assert state(world, group, CHANNEL) == {}
    assert state(world, group, RULES) == {"join_rule": "knock"}
    assert await world.database.read(lambda it: it.execute(select(channel_groups)).all()) == []


async def test_rights(world: MessengerWorld) -> None:
    channel, _ = await linked(world, "bob")
    alice, bob = world.person("alice"), world.person("bob")
    post = await alice.says(channel.room_id, "A post")
    await bob.reacts(channel.room_id, post, "👍")
    await read(world, channel, post, "bob")
    part = Part()
    files = dict(await world.database.read(lambda it: list(part.export(it, bob.user_id))))
    assert [row["reaction"] for row in files["channels/answers.json"]] == ["👍"]
    assert len(files["channels/reading.json"]) == 1

    def work(connection: Connection) -> str:
        part.erase(connection, bob.user_id, "erased-1")
        tables = (channel_posts, post_answers, channel_readers)
        return repr([tuple(row) for table in tables for row in connection.execute(select(table))])

    assert bob.user_id not in await world.database.write(work)
