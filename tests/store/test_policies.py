"""Policy lists followed, published and obeyed; floods; on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import Kind
from bridge.domain.policies import Kind as Rules
from bridge.errors import BridgeError, NotAllowed, NotFound, Refused, TooMany
from bridge.store import policies as store
from bridge.store.chats import Chat
from tests.support.messenger import STEWARD
from tests.support.moderation import MO, ModerationWorld

AWAY = HomeserverError(503, "M_UNKNOWN", "away (test)")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ModerationWorld]:
    async with ModerationWorld(database) as made:
        yield made


@asynccontextmanager
async def refused(code: str, kind: type[BridgeError] = Refused) -> AsyncIterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code


def actor(who: str) -> Actor:
    return Actor.person(who)


def rule(entity: str, reason: str = "spam") -> dict[str, Any]:
    return {"entity": entity, "recommendation": "m.ban", "reason": reason}


async def a_list(world: ModerationWorld, *rules: tuple[str, str], owner: str = "lister") -> str:
    """A public policy list of somebody's; its room."""
    person = world.person(owner)
    room_id = await person.makes_room(preset="public_chat", name="Bad people")
    for kind, entity in rules:
        await person.sets(room_id, f"m.policy.rule.{kind}", rule(entity), f"rule:{entity}")
    return room_id


def membership(world: ModerationWorld, chat: Chat, user_id: str) -> str:
    return world.room(chat.room_id).membership(user_id)


async def due(world: ModerationWorld) -> None:
    while await world.policies.run_due():
        pass
    await world.settle()


# Following


async def test_whom_a_list_names_is_banned_everywhere(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob", "spammer")
    other = await world.group("carol", "spammer", key="2")
    world.person("eve", "x.bad.example")
    list_id = await a_list(world, ("user", "@spammer:world"), ("server", "*.bad.example"))
    followed = await world.policies.subscribe(actor(MO), list_id)
    assert followed.name == "Bad people" and not followed.own
    await due(world)
    assert membership(world, chat, "@spammer:world") == membership(world, other, "@spammer:world") == "ban"
    assert membership(world, chat, "@bob:world") == "join"
    # Who comes later is banned as they come.
    await world.person("alice").invites(chat.room_id, world.person("eve", "x.bad.example"))
    assert membership(world, chat, "@eve:x.bad.example") == "ban"
    found = [(each.actor, each.action) for each in await world.messenger.audit.list(limit=100)]
    assert (MO, "policy.subscribe") in found and found.count(("system", "policy.ban")) == 3
    assert world.metrics.registry.get_sample_value("rialto_policy_bans_total") == 3


async def test_rules_come_and_go_with_their_list(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob", "carol")
    list_id = await a_list(world)
    await world.policies.subscribe(actor(MO), list_id)
    await due(world)
    lister = world.person("lister")
    await lister.sets(list_id, "m.policy.rule.user", rule("@bob:*"), "rule:@bob:*")
    await lister.sets(list_id, "m.room.rule.user", rule("@carol:world"), "old")
    await due(world)
    assert membership(world, chat, "@bob:world") == membership(world, chat, "@carol:world") == "ban"
    await lister.sets(list_id, "m.policy.rule.user", {}, "rule:@bob:*")
    await due(world)
    assert membership(world, chat, "@bob:world") == "leave"
    assert membership(world, chat, "@carol:world") == "ban"
    await world.policies.unsubscribe(actor(MO), list_id)
    await due(world)
    assert membership(world, chat, "@carol:world") == "leave"
    assert world.room(list_id).membership(STEWARD) == "leave" and not await world.policies.lists(actor(MO))
    async with refused("no_such_list", NotFound):
        await world.policies.unsubscribe(actor(MO), list_id)


async def test_bans_of_moderators_are_not_lifted_with_a_rule(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    await world.members.ban(actor("@alice:world"), chat, "@bob:world")
    list_id = await a_list(world, ("user", "@bob:world"))
    await world.policies.subscribe(actor(MO), list_id)
    await due(world)
    await world.policies.unsubscribe(actor(MO), list_id)
    await due(world)
    assert membership(world, chat, "@bob:world") == "ban"


async def test_a_list_cannot_empty_chats(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob", "mo")
    list_id = await a_list(world, ("user", "*"), ("server", "*"), ("user", "@mo:world"), ("user", "@_rialto:world"))
    await world.policies.subscribe(actor(MO), list_id)
    await due(world)
    for name in ("alice", "bob", "mo"):
        assert membership(world, chat, f"@{name}:world") == "join"
    assert membership(world, chat, STEWARD) == "join" and len(world.policies.rules) == 0


async def test_a_pattern_that_matches_many_is_left_to_moderators(database: Database) -> None:
    async with ModerationWorld(database, moderation={"most_policy_bans": 2}) as world:
        chat = await world.group("alice", "spam1", "spam2", "spam3")
        await world.moderator()
        list_id = await a_list(world, ("user", "@spam*:world"))
        await world.policies.subscribe(actor(MO), list_id)
        await due(world)
        assert membership(world, chat, "@spam1:world") == "join"
        (told,) = [each for each in world.queue if each.code == "queue.bans"]
        assert told.values == {"rule": "user @spam*:world", "count": 3}
        await world.person("alice").invites(chat.room_id, "@spam4:world")
        assert membership(world, chat, "@spam4:world") == "ban"
        await due(world)
        assert len([each for each in world.queue if each.code == "queue.bans"]) == 1


async def test_broken_rules_harm_nobody(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    list_id = await a_list(world)
    lister = world.person("lister")
    broken: list[dict[str, Any]] = [
        {"entity": ["@bob:world"], "recommendation": "m.ban"},
        {"entity": "@bob:world", "recommendation": "m.hug"},
        {"entity": "@bob:world", "recommendation": {"m.ban": True}},
        {"entity": "@bob:world\0", "recommendation": "m.ban"},
        {"recommendation": "m.ban"},
    ]
    for number, content in enumerate(broken):
        await lister.sets(list_id, "m.policy.rule.user", content, f"rule {number}")
    await world.policies.subscribe(actor(MO), list_id)
    for number, content in enumerate(broken):
        await lister.sets(list_id, "m.policy.rule.user", content, f"later {number}\0" if number == 0 else f"l{number}")
    await due(world)
    assert membership(world, chat, "@bob:world") == "join" and len(world.policies.rules) == 0


async def test_lists_of_the_configuration(database: Database) -> None:
    async with ModerationWorld(database) as first:
        list_id = await a_list(first, ("user", "@spammer:world"))
        homeserver = first.homeserver
        section = {"policy_lists": [list_id, "#nowhere:world"]}
    async with ModerationWorld(database, moderation=section) as world:
        world.homeserver.rooms = homeserver.rooms
        await due(world)
        (found,) = await world.policies.lists(SYSTEM)
        assert found.room_id == list_id and found.added_by == "system"
        assert world.policies.against("@spammer:world")
        async with refused("list_configured"):
            await world.policies.unsubscribe(SYSTEM, list_id)
        await world.restart()
        assert world.policies.against("@spammer:world")


async def test_only_moderators_and_only_lists(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    list_id = await a_list(world)
    for call in (
        world.policies.subscribe(actor("@alice:world"), list_id),
        world.policies.lists(Actor.of_product("shop")),
        world.policies.publish(actor("@alice:world"), Rules.USER, "@bob:world"),
        world.policies.retract(actor("@alice:world"), Rules.USER, "@bob:world"),
    ):
        async with refused("not_a_moderator", NotAllowed):
            await call
    for room, code in (("nonsense", "room_invalid"), ("!none:world", "list_closed"), (chat.room_id, "list_is_chat")):
        async with refused(code):
            await world.policies.subscribe(actor(MO), room)


async def test_it_goes_on_after_the_homeserver_was_away(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob", "carol")
    list_id = await a_list(world, ("user", "@bob:world"), ("user", "@carol:world"))
    await world.policies.subscribe(actor(MO), list_id)
    world.homeserver.fault = lambda method, path: AWAY if path.endswith("/ban") else None
    with pytest.raises(HomeserverError):
        await world.policies.run_due()
    await world.restart(kill=True)
    world.homeserver.fault = lambda _method, _path: None
    await due(world)
    assert membership(world, chat, "@bob:world") == membership(world, chat, "@carol:world") == "ban"


# Publishing


async def test_a_rule_is_published_and_obeyed(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    await world.policies.publish(actor(MO), Rules.USER, "@bob:world", "spam")
    await due(world)
    (own,) = [each for each in await world.policies.lists(actor(MO)) if each.own]
    room = world.room(own.room_id)
    assert room.content("m.policy.rule.user", "rule:@bob:world") == rule("@bob:world")
    assert room.content("m.room.history_visibility")["history_visibility"] == "world_readable"
    assert world.homeserver.aliases["#_rialto_policies:world"] == own.room_id
    assert membership(world, chat, "@bob:world") == "ban"
    assert [each.entity for each in await world.policies.published(actor(MO))] == ["@bob:world"]
    reader = world.person("reader")
    await reader.joins(own.room_id)
    with pytest.raises(HomeserverError):
        await reader.sets(own.room_id, "m.policy.rule.user", rule("@alice:world"), "x")
    await world.policies.retract(actor(MO), Rules.USER, "@bob:world")
    await due(world)
    assert membership(world, chat, "@bob:world") == "leave" and not await world.policies.published(actor(MO))
    async with refused("no_such_rule", NotFound):
        await world.policies.retract(actor(MO), Rules.USER, "@bob:world")


@pytest.mark.parametrize(
    ("kind", "entity", "code"),
    [
        (Rules.USER, "", "entity_invalid"),
        (Rules.USER, "x" * 256, "entity_invalid"),
        (Rules.USER, " @a:b", "entity_invalid"),
        (Rules.SERVER, "world", "entity_own"),
        (Rules.USER, "@m?:world", "entity_own"),
        (Rules.USER, "*", "entity_own"),
    ],
)
async def test_what_is_not_published(world: ModerationWorld, kind: Rules, entity: str, code: str) -> None:
    async with refused(code):
        await world.policies.publish(actor(MO), kind, entity)


async def test_a_long_rule_has_a_short_key(world: ModerationWorld) -> None:
    entity = "@" + "x" * 240 + ":example.org"
    await world.policies.publish(actor(MO), Rules.USER, entity)
    await world.policies.retract(actor(MO), Rules.USER, entity)


async def test_the_module_asks_before_invitations(world: ModerationWorld) -> None:
    await world.policies.publish(actor(MO), Rules.USER, "@spammer:world")
    await world.policies.publish(actor(MO), Rules.ROOM, "!bad:world")
    asked = {"target": "@bob:world", "room_id": "!room:world", "direct": False, "name": "x"}
    policy = world.messenger.policy
    assert (await policy.decide("invite", asked | {"sender": "@alice:world"})).allow
    assert (await policy.decide("invite", asked | {"sender": "@spammer:world"})).code == "policy"
    assert (await policy.decide("invite", asked | {"sender": "@alice:world", "room_id": "!bad:world"})).code == "policy"


# Floods


async def test_a_flooded_chat_closes_and_opens_again(database: Database) -> None:
    limits = {"joins_per_minute": 3, "closed_minutes": 5}
    async with ModerationWorld(database, moderation=limits) as world:
        chat = await world.group("alice", public=True)
        for number in range(4):
            await world.person(f"bot{number}").joins(chat.room_id)
        room = world.room(chat.room_id)
        assert room.content("m.room.join_rules") == {"join_rule": "knock"}
        (told,) = [each for each in world.told_to("@alice:world") if each.code == "chat.flooded"]
        assert told.values["chat"] == "Tea" and told.values["until"] == world.clock.now_ms() + 300_000
        with pytest.raises(HomeserverError):
            await world.person("bot9").joins(chat.room_id)
        # Who is let in by somebody comes all the same, and knocks are counted too.
        await world.person("alice").invites(chat.room_id, "@carol:world")
        await world.person("carol").joins(chat.room_id)
        for number in range(10, 14):
            await world.person(f"bot{number}").knocks(chat.room_id)
        assert room.content("m.room.join_rules") == {"join_rule": "invite"}
        floods = world.messenger.moderating.floods
        assert await floods.run_due() == 0
        await world.restart(kill=True)
        await world.pass_time(minutes=5)
        assert await world.messenger.moderating.floods.run_due() == 1
        await world.settle()
        assert room.content("m.room.join_rules") == {"join_rule": "public"}
        assert not await world.database.read(store.floods)
        await world.person("late").joins(chat.room_id)
        assert [each.action for each in (await world.messenger.audit.list(limit=50))[::-1] if each.actor == "system"][
            -3:
        ] == ["chat.close", "chat.close", "chat.open"]


async def test_what_an_admin_decided_meanwhile_stays(database: Database) -> None:
    async with ModerationWorld(database, moderation={"joins_per_minute": 1}) as world:
        chat = await world.group("alice", public=True)
        for number in range(2):
            await world.person(f"bot{number}").joins(chat.room_id)
        room = world.room(chat.room_id)
        world.homeserver.put_state(room, STEWARD, "m.room.join_rules", "", {"join_rule": "restricted", "allow": []})
        await world.pass_time(minutes=11)
        await world.messenger.moderating.floods.run_due()
        assert room.content("m.room.join_rules")["join_rule"] == "restricted"


async def test_slow_growth_is_no_flood(database: Database) -> None:
    async with ModerationWorld(database, moderation={"joins_per_minute": 2}) as world:
        chat = await world.group("alice", public=True)
        for number in range(6):
            await world.person(f"p{number}").joins(chat.room_id)
            await world.pass_time(seconds=31)
        assert world.room(chat.room_id).content("m.room.join_rules") == {"join_rule": "public"}
        # A group that fills because its owner invites is none either.
        private = await world.group("alice", *(f"q{number}" for number in range(5)), key="2")
        assert world.room(private.room_id).content("m.room.join_rules") == {"join_rule": "knock"}


async def test_too_many_invitations_are_taken_back(database: Database) -> None:
    async with ModerationWorld(database, moderation={"invites_per_hour": 3}) as world:
        chat = await world.group("alice")
        alice = world.person("alice")
        for number in range(5):
            await alice.invites(chat.room_id, f"@p{number}:world")
        room = world.room(chat.room_id)
        assert [room.membership(f"@p{number}:world") for number in range(5)] == ["invite"] * 3 + ["leave"] * 2
        assert world.codes(alice) == ["invites.limited"]
        with pytest.raises(TooMany):
            await world.members.add(actor("@alice:world"), chat, "@p9:world")
        await world.members.add(SYSTEM, chat, "@p9:world")
        await world.pass_time(hours=1, seconds=1)
        await world.members.add(actor("@alice:world"), chat, "@p10:world")
        assert room.membership("@p10:world") == "invite"


async def test_who_does_not_stop_is_reported(database: Database) -> None:
    async with ModerationWorld(database, moderation={"invites_per_hour": 1}) as world:
        chat = await world.group("alice")
        alice = world.person("alice")
        for number in range(22):
            await alice.invites(chat.room_id, f"@p{number}:world")
        (case,) = (await world.moderation.queue(actor(MO))).items
        assert (case.subject, case.reporters, case.reason) == ("@alice:world", ("system",), "invite_spam")
        await world.moderation.act(actor(MO), case.id, "mute")
        with pytest.raises(HomeserverError):
            await alice.says(chat.room_id, "spam")


async def test_where_the_module_screens_nothing_is_counted_twice(database: Database) -> None:
    async with ModerationWorld(database, moderation={"invites_per_hour": 3}) as world:
        chat = await world.group("alice")
        alice = world.person("alice")
        asked = {"sender": str(alice), "room_id": chat.room_id, "direct": False, "name": "Tea"}
        for number in range(3):
            target = f"@p{number}:world"
            assert (await world.messenger.policy.decide("invite", asked | {"target": target})).allow
            await alice.invites(chat.room_id, target)
        assert not (await world.messenger.policy.decide("invite", asked | {"target": "@p4:world"})).allow
        assert world.codes(alice) == []


async def test_a_direct_chat_is_never_closed(database: Database) -> None:
    async with ModerationWorld(database, moderation={"joins_per_minute": 1}) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await world.chats.create(actor(str(alice)), Kind.DIRECT, name="", members=[str(bob)], key="1")
        for person in (alice, bob):
            await person.joins(chat.room_id)
        assert world.room(chat.room_id).content("m.room.join_rules") == {"join_rule": "invite"}
