"""Retention and legal holds on both databases: what is too old goes, what is held stays, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import Kind
from bridge.domain.retention import DAY_MS
from bridge.errors import Conflict, NotAllowed, NotFound, Refused
from bridge.retention import sweeper as sweeper_module
from bridge.retention.freezing import frozen, redaction, with_redaction
from bridge.retention.rights import Part
from bridge.store import retention as store
from bridge.store.chats import Chat
from bridge.store.timer_tables import legal_holds, retention_policies, retention_sweeps
from tests.support.messenger import STEWARD, MessengerWorld, Person

FAST = {"timers": {"per_second": 10_000}}
SHOP = Actor.of_product("shop")


@asynccontextmanager
async def pair(
    database: Database, actor: Actor | None = None, **messenger: Any
) -> AsyncIterator[tuple[MessengerWorld, Person, Person, Chat]]:
    """A group of Alice's with Bob, both inside."""
    async with MessengerWorld(database, messenger={**FAST, **messenger}) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await world.chats.create(
            actor or Actor.person(alice.user_id),
            Kind.GROUP,
            name="Tea",
            owner=alice.user_id,
            members=[bob.user_id],
            key="1",
        )
        await alice.joins(chat.room_id)
        await bob.joins(chat.room_id)
        await world.settle()
        yield world, alice, bob, chat


async def worked(world: MessengerWorld) -> None:
    """What is too old is found, and what was found is removed."""
    timing = world.messenger.timing

    async def all_of_it() -> None:
        while await timing.sweeper.run_due() + await timing.drain.run_due():
            await world.settle()

    work = asyncio.create_task(all_of_it())
    while not work.done():
        await asyncio.wait([work], timeout=0.002)
        if world.clock.waiting:
            world.clock.set(min(world.clock._waiting.values()))
    await work


async def days_later(world: MessengerWorld, days: float) -> None:
    """So many days later, looked at once each day."""
    for _ in range(int(days)):
        await world.pass_time(days=1)
        await worked(world)
    if days % 1:
        await world.pass_time(days=days % 1)
        await worked(world)


def gone(world: MessengerWorld, chat: Chat, event_id: str) -> bool:
    """Whether a message is redacted, and was so once."""
    found = [raw["redacts"] for raw in world.room(chat.room_id).timeline if raw["type"] == "m.room.redaction"]
    assert found.count(event_id) <= 1
    return event_id in found


# --- policies


async def test_old_messages_go(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        first = await bob.says(chat.room_id, "one")
        await days_later(world, 3)
        second = await alice.says(chat.room_id, "two")
        policy = await world.messenger.retention.set_policy(Actor.person(alice.user_id), chat=chat, days=7)
        assert policy.days == policy.own == 7
        await worked(world)
        assert not gone(world, chat, first)
        await days_later(world, 5)
        assert gone(world, chat, first) and not gone(world, chat, second)
        await days_later(world, 3)
        assert gone(world, chat, second)
        redactions = [raw for raw in world.room(chat.room_id).timeline if raw["type"] == "m.room.redaction"]
        assert {(raw["sender"], raw["content"]["reason"]) for raw in redactions} == {(STEWARD, "retention")}
        state = {raw["type"] for raw in world.room(chat.room_id).timeline if raw.get("state_key") is not None}
        assert "m.room.name" in state and not any(
            gone(world, chat, raw["event_id"]) for raw in world.room(chat.room_id).state.values()
        )


async def test_many_pages_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message is read once: the second time it goes on where everything is removed."""
    monkeypatch.setattr(sweeper_module, "PAGE", 10)
    async with pair(database) as (world, alice, _, chat):
        messages = [await alice.says(chat.room_id, f"message {number}") for number in range(35)]
        await world.messenger.retention.set_policy(Actor.person(alice.user_id), chat=chat, days=1)
        await days_later(world, 2)
        assert all(gone(world, chat, each) for each in messages)
        world.homeserver.requests.clear()
        fresh = await alice.says(chat.room_id, "fresh")
        await days_later(world, 2)
        assert gone(world, chat, fresh)
        pages = [path for method, path, _ in world.homeserver.requests if method == "GET" and path.endswith("messages")]
        assert len(pages) <= 12  # not the whole room again


async def test_a_rule_that_changes(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        owner = Actor.person(alice.user_id)
        message = await alice.says(chat.room_id, "one")
        await world.messenger.retention.set_policy(owner, chat=chat, days=30)
        await days_later(world, 10)
        assert not gone(world, chat, message)
        await world.messenger.retention.set_policy(owner, chat=chat, days=None)
        await days_later(world, 30)
        assert not gone(world, chat, message)
        await world.messenger.retention.set_policy(owner, chat=chat, days=5)
        await worked(world)
        assert gone(world, chat, message)


async def test_the_shortest_rule_applies(database: Database) -> None:
    async with pair(database, SHOP, retention={"days": 20}) as (world, alice, _, chat):
        retention = world.messenger.retention
        message = await alice.says(chat.room_id, "one")
        assert (await retention.policy(SHOP, chat)).days == 20
        await retention.set_policy(SHOP, days=10)
        await retention.set_policy(SHOP, chat=chat, days=15)
        found = await retention.policy(Actor.person(alice.user_id), chat)
        assert (found.own, found.wider, found.days) == (15, 10, 10)
        assert (await retention.policy(SHOP)).days == 10
        await days_later(world, 9)
        assert not gone(world, chat, message)
        await days_later(world, 2)
        assert gone(world, chat, message)


async def test_a_rule_for_all(database: Database) -> None:
    async with pair(database, retention={"days": 3}) as (world, alice, _, chat):
        message = await alice.says(chat.room_id, "one")
        await days_later(world, 2)
        assert not gone(world, chat, message)
        await days_later(world, 2)
        assert gone(world, chat, message)


async def test_rules_of_a_workspace_are_its_own(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        message = await alice.says(chat.room_id, "one")
        await world.messenger.retention.set_policy(SHOP, days=1)
        await days_later(world, 3)
        assert not gone(world, chat, message)
        await world.messenger.retention.set_policy(SYSTEM, days=1)  # of the chats that belong to no product
        await worked(world)
        assert gone(world, chat, message)


async def test_who_may_say_so(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        retention = world.messenger.retention
        for actor, error in (
            (Actor.person(bob.user_id), NotAllowed),
            (Actor.person("@eve:world"), NotFound),
            (SHOP, NotFound),
        ):
            with pytest.raises(error):
                await retention.set_policy(actor, chat=chat, days=1)
        for coroutine in (retention.set_policy(Actor.person(alice.user_id), days=1),
                          retention.policy(Actor.person(alice.user_id))):  # fmt: skip
            with pytest.raises(NotAllowed):
                await coroutine
        for days in (0, -1, 36_501, True):
            with pytest.raises(Refused) as caught:
                await retention.set_policy(Actor.person(alice.user_id), chat=chat, days=days)
            assert caught.value.code == "retention_range"


async def test_the_history_of_an_adopted_room(database: Database) -> None:
    async with MessengerWorld(database, messenger=FAST) as world:
        alice = world.person("alice")
        room_id = await alice.makes_room(preset="private_chat")
        old = await alice.says(room_id, "long ago")
        world.clock.advance(days=30)
        await alice.invites(room_id, STEWARD)
        levels = {**world.room(room_id).content("m.room.power_levels")}
        await alice.sets(room_id, "m.room.power_levels", {**levels, "users": {**levels["users"], STEWARD: 100}})
        chat = await world.chats.adopt(Actor.person(alice.user_id), room_id)
        new = await alice.says(room_id, "now")
        await world.messenger.retention.set_policy(Actor.person(alice.user_id), chat=chat, days=7)
        await worked(world)
        assert gone(world, chat, old) and not gone(world, chat, new)


async def test_killed_on_the_way(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper_module, "PAGE", 5)
    async with pair(database) as (world, alice, _, chat):
        messages = [await alice.says(chat.room_id, f"message {number}") for number in range(12)]
        await world.messenger.retention.set_policy(Actor.person(alice.user_id), chat=chat, days=1)
        world.clock.advance(days=2)
        for _ in range(3):
            await world.messenger.timing.sweeper.run_due()
            world.homeserver._sent.clear()
            await world.restart(kill=True)
        await worked(world)
        assert all(gone(world, chat, each) for each in messages)


async def test_an_upgraded_chat(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        owner = Actor.person(alice.user_id)
        old = await alice.says(chat.room_id, "in the old room")
        await world.messenger.retention.set_policy(owner, chat=chat, days=7)
        new = await world.chats.upgrade(owner, chat)
        await alice.joins(new.room_id)
        fresh = await alice.says(new.room_id, "in the new room")
        assert (await world.messenger.retention.policy(owner, new)).own == 7
        await days_later(world, 8)
        assert gone(world, chat, old) and gone(world, new, fresh)


async def test_a_place_that_the_homeserver_forgot(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        message = await alice.says(chat.room_id, "one")
        await world.messenger.retention.set_policy(Actor.person(alice.user_id), chat=chat, days=1)
        world.clock.advance(days=2)
        world.homeserver.fault = lambda _method, path: (
            HomeserverError(400, "M_INVALID_PARAM", "no such token") if path.endswith("messages") else None
        )
        await worked(world)
        world.homeserver.fault = lambda _method, _path: None
        await days_later(world, 0.5)
        assert gone(world, chat, message)


# --- holds


async def test_nothing_of_a_held_chat_goes(database: Database) -> None:
    async with pair(database, SHOP) as (world, alice, bob, chat):
        retention, owner = world.messenger.retention, Actor.person(alice.user_id)
        await world.messenger.timers.set(owner, chat, 60)
        await world.settle()
        timed = await bob.says(chat.room_id, "timed")
        await retention.set_policy(SHOP, days=1)
        await retention.hold(SHOP, chat, "Case 17")
        await days_later(world, 3)
        assert not gone(world, chat, timed)
        with pytest.raises(HomeserverError):
            await bob.redacts(chat.room_id, timed)
        with pytest.raises(HomeserverError):
            await alice.redacts(chat.room_id, timed)
        with pytest.raises(Conflict) as caught:
            await world.chats.delete(SHOP, chat)
        assert caught.value.code == "chat_is_held"
        assert await world.messenger.timing.drain._upcoming() is None  # it does not wait for what it may not do
        await bob.says(chat.room_id, "people can go on")
        await retention.release(SHOP, chat)
        await worked(world)
        assert gone(world, chat, timed)
        other = await bob.says(chat.room_id, "other")
        await bob.redacts(chat.room_id, other)
        await world.chats.delete(SHOP, chat)


async def test_powers_are_given_back_as_they_were(database: Database) -> None:
    async with pair(database, SHOP) as (world, _, _, chat):
        retention = world.messenger.retention
        before = dict(world.room(chat.room_id).content("m.room.power_levels"))
        await retention.hold(SHOP, chat, "Case 17")
        await retention.hold(SHOP, chat, "Case 18")  # held already: the first reason stays
        held = world.room(chat.room_id).content("m.room.power_levels")
        assert held["redact"] == held["events"]["m.room.redaction"] == 150
        assert [each.reason for each in await retention.holds(SHOP)] == ["Case 17"]
        await retention.release(SHOP, chat)
        assert world.room(chat.room_id).content("m.room.power_levels") == before
        assert await retention.holds(SHOP) == []
        with pytest.raises(NotFound):
            await retention.release(SHOP, chat)
        await retention.hold(SHOP, chat, "Case 19")
        assert [each.reason for each in await retention.holds(SYSTEM)] == ["Case 19"]


@pytest.mark.parametrize("step", ["fault", "lost"])
async def test_a_hold_survives_a_crash(database: Database, step: str) -> None:
    async with pair(database, SHOP) as (world, _, _, chat):
        retention = world.messenger.retention
        before = dict(world.room(chat.room_id).content("m.room.power_levels"))

        def broken(_method: str, path: str) -> HomeserverError | None:
            return HomeserverError(0, "BROKEN", "killed") if path.endswith("m.room.power_levels/") else None

        setattr(world.homeserver, step, broken)
        await retention.hold(SHOP, chat, "Case 17")
        setattr(world.homeserver, step, lambda _method, _path: None)
        await world.restart(kill=True)
        await world.messenger.timing.freezing.run_due()
        assert world.room(chat.room_id).content("m.room.power_levels")["redact"] == 150
        setattr(world.homeserver, step, broken)
        await world.messenger.retention.release(SHOP, chat)
        setattr(world.homeserver, step, lambda _method, _path: None)
        await world.restart(kill=True)
        await world.messenger.timing.freezing.run_due()
        assert world.room(chat.room_id).content("m.room.power_levels") == before
        rows = await database.read(lambda connection: connection.execute(select(legal_holds)).all())
        assert rows == []


async def test_a_hold_without_power(database: Database) -> None:
    """In an adopted room the steward's power may be too small: Rialto holds, people's clients do not."""
    async with pair(database, SHOP) as (world, alice, _, chat):
        world.homeserver.fault = lambda method, path: (
            HomeserverError(403, "M_FORBIDDEN", "no") if method == "PUT" and "power_levels" in path else None
        )
        await world.messenger.retention.hold(SHOP, chat, "Case 17")
        world.homeserver.fault = lambda _method, _path: None
        assert await world.messenger.timing.freezing.run_due() == 0
        message = await alice.says(chat.room_id, "one")
        await alice.redacts(chat.room_id, message)
        await world.messenger.retention.release(SHOP, chat)
        assert await world.messenger.retention.holds(SHOP) == []


async def test_who_may_hold(database: Database) -> None:
    async with pair(database, SHOP) as (world, alice, _, chat):
        retention = world.messenger.retention
        with pytest.raises(NotAllowed):
            await retention.hold(Actor.person(alice.user_id), chat, "mine")
        with pytest.raises(NotAllowed):
            await retention.holds(Actor.person(alice.user_id))
        with pytest.raises(NotFound):
            await retention.hold(Actor.of_product("other"), chat, "theirs")
        for reason in ("", "   ", "x" * 501, "a\x00b"):
            with pytest.raises(Refused):
                await retention.hold(SHOP, chat, reason)
        await retention.hold(SYSTEM, chat, "ours")
        assert await retention.holds(Actor.of_product("other")) == []
        assert [each.reason for each in await retention.holds(SHOP)] == ["ours"]
        with pytest.raises(NotAllowed):
            await retention.release(Actor.person(alice.user_id), chat)


async def test_a_held_chat_is_upgraded(database: Database) -> None:
    async with pair(database, SHOP) as (world, _, _, chat):
        await world.messenger.retention.hold(SHOP, chat, "Case 17")
        new = await world.chats.upgrade(SHOP, chat)
        for room_id in (chat.room_id, new.room_id):
            assert await database.read(lambda connection, it=room_id: store.is_held(connection, it))  # type: ignore[misc]


async def test_everything_is_audited(database: Database) -> None:
    async with pair(database, SHOP) as (world, alice, _, chat):
        retention = world.messenger.retention
        await retention.set_policy(Actor.person(alice.user_id), chat=chat, days=7)
        await retention.set_policy(Actor.person(alice.user_id), chat=chat, days=7)
        await retention.set_policy(SHOP, days=30)
        await retention.hold(SHOP, chat, "Case 17")
        await retention.release(SHOP, chat)
        entries = [each for each in await world.messenger.audit.list() if each.action.startswith("retention.")][::-1]
        assert [(each.action, each.actor, each.subject, each.details) for each in entries] == [
            ("retention.policy", alice.user_id, f"chat:{chat.id}", {"days": 7}),
            ("retention.policy", "product:shop", "workspace:shop", {"days": 30}),
            ("retention.hold", "product:shop", f"chat:{chat.id}", {"reason": "Case 17"}),
            ("retention.release", "product:shop", f"chat:{chat.id}", {}),
        ]


async def test_export_and_erasure(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        await world.messenger.retention.set_policy(Actor.person(alice.user_id), chat=chat, days=7)
        part = Part()
        found = dict(await database.read(lambda connection: list(part.export(connection, alice.user_id))))
        assert [each["days"] for each in found["retention/rules.json"]] == [7]
        await database.write(lambda connection: part.erase(connection, alice.user_id, "erased:1"))

        def everything(connection: Any) -> str:
            tables = (retention_policies, retention_sweeps, legal_holds)
            return str([connection.execute(select(table)).all() for table in tables])

        assert alice.user_id not in await database.read(everything)
        assert (await world.messenger.retention.policy(Actor.person(alice.user_id), chat)).own == 7


# --- powers


def test_what_redacting_needs_is_put_back() -> None:
    for levels in (
        {},
        {"redact": 50, "events": {"m.room.name": 50}},
        {"redact": 0, "events": {"m.room.redaction": -10, "m.room.name": 50}, "users": {"@a:b": 100}},
    ):
        held = frozen(levels, 150)
        assert held["redact"] == held["events"]["m.room.redaction"] == 150
        back = with_redaction(held, redaction(levels))
        assert back == {**levels, "events": levels.get("events", {})}


def test_a_day() -> None:
    assert DAY_MS == 24 * 3_600_000
