"""Policy lists by moderators, legal holds by operators, in their talk with the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import Kind
from bridge.domain.policies import Kind as RuleKind
from bridge.retention.rights import Part
from bridge.store.chats import Chat
from tests.support.hub import HubWorld, Talk

ALICE = Actor.person("@alice:world")
MOD = Actor.person("@mod:world")


@pytest.fixture
async def world() -> AsyncIterator[HubWorld]:
    moderation = {"moderators": ["@mod:world"]}
    async with HubWorld(messenger={"moderation": moderation}, operators=["@op:world"]) as found:
        yield found


@pytest.fixture
async def chat(world: HubWorld) -> Chat:
    """Alice's group with Eve."""
    made = await world.chats.create(ALICE, Kind.GROUP, name="Tea", members=["@eve:world"], key="1")
    for name in ("alice", "eve"):
        await world.person(name).joins(made.room_id)
    await world.settle()
    return made


@pytest.fixture
async def mod(world: HubWorld) -> Talk:
    return await world.talk(world.person("mod"))


@pytest.fixture
async def op(world: HubWorld) -> Talk:
    return await world.talk(world.person("op"))


async def settled(world: HubWorld) -> None:
    while await world.messenger.policies.run_due():
        await world.settle()
    await world.settle()


# Policy lists


async def test_a_rule_is_published_shown_and_withdrawn(world: HubWorld, chat: Chat, mod: Talk) -> None:
    assert "Our own list has 0 rules" in await mod.says("policies")
    assert "About whom?" in await mod.says("Publish a rule")
    assert "Everybody can read it" in await mod.says("@eve:world")
    assert "“@eve:world” matches is banned from every chat here" in await mod.says("spam")
    said = await mod.says("yes")
    assert "#_rialto_policies:world" in said
    await settled(world)
    assert world.room(chat.room_id).membership("@eve:world") == "ban"
    assert [(each.kind, each.reason) for each in await world.messenger.policies.published(MOD)] == [
        (RuleKind.USER, "spam")
    ]
    assert "Our own list has 1 rule." in await mod.says("policy lists")
    assert "• @eve:world: spam" in await mod.says("Show our rules")
    await mod.says("policies")
    assert "Which rule" in await mod.says("Withdraw a rule")
    assert "may come again" in await mod.says("1")
    await settled(world)
    assert world.room(chat.room_id).membership("@eve:world") == "leave"


async def test_rules_by_command(world: HubWorld, mod: Talk) -> None:
    published = world.messenger.policies.published
    await mod.says("policy ban evil.example they sell followers")
    await mod.says("yes")
    await mod.says("policy ban https://matrix.to/#/!den:evil.example?via=evil.example")
    await mod.says("yes")
    await mod.says("policy ban @eve:world")
    assert "Everything stays" in await mod.says("no")
    kinds = {(each.kind.value, each.entity, each.reason) for each in await published(MOD)}
    assert kinds == {("server", "evil.example", "they sell followers"), ("room", "!den:evil.example", "")}
    assert "withdrawn" in await mod.says("policy unban evil.example")
    assert "There is no such rule" in await mod.says("policy unban evil.example")
    await mod.says("policy ban @mod:world")
    assert "would ban people of your own" in await mod.says("yes")
    await mod.says("policy ban " + "x" * 300)
    assert "A rule is about a person" in await mod.says("yes")


async def test_a_list_is_followed_until_it_is_not(world: HubWorld, chat: Chat, mod: Talk) -> None:
    carol = world.person("carol", "elsewhere")
    room = await carol.makes_room(preset="public_chat", name="Bad people", room_alias_name="bad")
    rule = {"entity": "@eve:world", "recommendation": "m.ban", "reason": "spam"}
    await carol.sets(room, "m.policy.rule.user", rule, "rule:@eve:world")
    assert "Which list?" in await mod.says("policy follow")
    assert "Follow it?" in await mod.says(f"https://matrix.to/#/{room}?via=elsewhere")
    assert "“Bad people” is followed" in await mod.says("yes")
    await settled(world)
    assert world.room(chat.room_id).membership("@eve:world") == "ban"
    said = await mod.says("policies")
    assert f"• Bad people ({room})" in said
    assert "Which list shall be followed no more?" in await mod.says("Follow a list no more")
    assert "followed no more" in await mod.says("Bad people")
    await settled(world)
    assert world.room(chat.room_id).membership("@eve:world") == "leave"
    assert "No list of others is followed" in await mod.says("policy unfollow")
    await mod.says(f"policy follow {chat.room_id}")
    assert "no policy list" in await mod.says("yes")
    await mod.says("policy follow nonsense")
    assert "A list is named like" in await mod.says("yes")


async def test_only_moderators_have_policies(world: HubWorld, op: Talk) -> None:
    for said in ("policies", "policy unfollow", "policy unban @eve:world"):
        assert "Only moderators do this" in await op.says(said)
    await op.says("policy ban @eve:world")
    assert "Only moderators do this" in await op.says("yes")
    await op.says("policy follow #list:world")
    assert "Only moderators do this" in await op.says("yes")
    assert await world.messenger.policies.lists(MOD) == []


# Legal holds


async def test_a_chat_is_held_shown_and_let_go(world: HubWorld, chat: Chat, op: Talk) -> None:
    retention = world.messenger.retention
    said = await op.says(f"hold {chat.room_id} a case at court")
    assert "Nothing in “Tea” can be removed by anybody" in said
    assert "“Tea” is held." in await op.says("yes")
    [held] = await retention.holds(SYSTEM)
    assert (held.room_id, held.reason, held.actor) == (chat.room_id, "a case at court", "@op:world")
    said = await op.says("holds")
    assert "1 chat is under a legal hold" in said
    assert "• Tea: a case at court" in said
    assert "by @op:world" in said
    assert "Which hold" in await op.says("Lift a hold")
    assert "Lift the hold?" in await op.says("Tea")
    assert "held no more" in await op.says("yes")
    assert await retention.holds(SYSTEM) == []
    await op.says(f"unhold {chat.id}")
    assert "This chat is not held" in await op.says("yes")
    noted = [each async for each in world.messenger.audit.export() if b"retention." in each]
    assert [b"@op:world" in each for each in noted] == [True, True]


async def test_a_hold_by_its_menu(world: HubWorld, chat: Chat, op: Talk) -> None:
    assert "Legal holds" in await op.says("menu")
    assert "No chat is under a legal hold" in await op.says("Legal holds")
    assert "Which chat?" in await op.says("Hold a chat")
    assert "There is no such chat" in await op.says("!nowhere:world")
    await op.says("hold")
    assert "Why is it held?" in await op.says(f"https://matrix.to/#/{chat.room_id}?via=world")
    await op.says("a reason")
    assert "Everything stays" in await op.says("no")
    assert await world.messenger.retention.holds(SYSTEM) == []
    assert "There is no chat !nowhere:world" in await op.says("hold !nowhere:world why")


async def test_holds_are_for_operators_alone(world: HubWorld, chat: Chat, mod: Talk) -> None:
    alice = await world.talk(world.person("alice"))
    for talk in (alice, mod):
        for said in ("holds", f"hold {chat.room_id} why", f"unhold {chat.room_id}"):
            await talk.says(said)
        assert "Legal holds" not in await talk.says("menu")
        await talk.says("cancel")
        assert "hold" not in (await talk.says("help hold")).split()
    assert "Lists of who is not wanted" in await mod.says("menu")
    assert await world.messenger.retention.holds(SYSTEM) == []


async def test_who_is_no_operator_any_more_cannot_go_on(world: HubWorld, chat: Chat, op: Talk) -> None:
    await op.says(f"hold {chat.room_id} why")
    world.operators = ()
    await world.restart()
    assert "Only operators do this" in await op.says("yes")
    assert await world.messenger.retention.holds(SYSTEM) == []


async def test_an_operators_holds_are_in_the_copy_of_their_data(world: HubWorld, chat: Chat, op: Talk) -> None:
    await op.says(f"hold {chat.room_id} why")
    await op.says("yes")
    files = await world.database.read(lambda connection: dict(Part().export(connection, "@op:world")))
    assert [(each["room_id"], each["reason"]) for each in files["retention/holds.json"]] == [(chat.room_id, "why")]
