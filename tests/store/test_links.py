"""Invite links and requests to join."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.domain.links import Link, UseState
from bridge.domain.roles import Role
from bridge.errors import BridgeError, NotAllowed, NotFound, Refused, TooMany
from bridge.links.rights import Part
from bridge.links.service import LinkService
from bridge.store import links as store
from bridge.store.chats import Chat
from bridge.store.link_tables import chat_links, join_requests, link_uses
from tests.support.messenger import HUB, MessengerWorld, Person

SHOP = Actor.of_product("shop")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[MessengerWorld]:
    async with MessengerWorld(database) as made:
        yield made


def actor(person: Person) -> Actor:
    return Actor.person(person.user_id)


def links(world: MessengerWorld) -> LinkService:
    return world.messenger.links


async def group(world: MessengerWorld, *members: str, owner: str = "alice", **given: Any) -> Chat:
    people = [world.person(name) for name in (owner, *members)]
    chat = await world.chats.create(
        given.pop("actor", actor(people[0])),
        given.pop("kind", Kind.GROUP),
        name=given.pop("name", "Tea"),
        owner=people[0].user_id,
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


async def uses(world: MessengerWorld, chat: Chat) -> dict[str, str]:
    def read(connection: Connection) -> dict[str, str]:
        query = select(link_uses.c.user_id, link_uses.c.state).where(link_uses.c.chat_id == chat.id)
        return {row[0]: row[1] for row in connection.execute(query)}

    return await world.database.read(read)


async def used(world: MessengerWorld, link: Link) -> int:
    found = await links(world).by_token(link.token)
    assert found is not None
    return found.used


def membership(world: MessengerWorld, chat: Chat, person: Person) -> str:
    return world.room(chat.room_id).membership(person.user_id)


# Making and ending


async def test_a_link_is_made_listed_and_ended(world: MessengerWorld) -> None:
    chat = await group(world)
    alice = world.person("alice")
    first = await links(world).create(actor(alice), chat, title=" For friends ")
    world.clock.advance(timedelta(seconds=1))
    second = await links(world).create(actor(alice), chat, expires_in=3600, uses=3, approval=True)
    assert first.title == "For friends"
    assert (second.expires_at, second.uses, second.approval) == (world.clock.now_ms() + 3_600_000, 3, True)
    assert [link.token for link in await links(world).list(actor(alice), chat)] == [second.token, first.token]
    await links(world).revoke(actor(alice), chat, first.token)
    await links(world).revoke(actor(alice), chat, first.id)  # nothing more happens
    assert [link.id for link in await links(world).list(actor(alice), chat)] == [second.id]
    log = await world.messenger.audit.list(subject=f"chat:{chat.id}")
    assert [entry.action for entry in log if entry.action.startswith("chat.link")] == [
        "chat.link_end", "chat.link", "chat.link",
    ]  # fmt: skip
    world.clock.advance(timedelta(hours=1))
    assert await links(world).list(actor(alice), chat) == []


async def test_codes_do_not_stand_in_the_database(world: MessengerWorld) -> None:
    chat = await group(world)
    link = await links(world).create(actor(world.person("alice")), chat)
    rows = await world.database.read(lambda it: [tuple(row) for row in it.execute(select(chat_links))])
    assert link.token not in repr(rows)
    fresh = await links(world).by_token(link.token.upper())
    assert fresh is not None
    assert fresh.token == link.token


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"expires_in": 59}, "time_invalid"),
        ({"expires_in": 367 * 86_400}, "time_invalid"),
        ({"uses": 0}, "uses_invalid"),
        ({"uses": 1_000_001}, "uses_invalid"),
        ({"title": "x" * 101}, "title_too_long"),
        ({"title": "a\0b"}, "title_invalid"),
    ],
)
async def test_what_a_link_cannot_be(world: MessengerWorld, values: dict[str, Any], code: str) -> None:
    chat = await group(world)
    async with refused(code):
        await links(world).create(actor(world.person("alice")), chat, **values)


async def test_only_admins_make_links_and_only_of_groups_and_channels(world: MessengerWorld) -> None:
    chat = await group(world, "bob")
    alice, bob, eve = world.person("alice"), world.person("bob"), world.person("eve")
    async with refused("role_too_low", NotAllowed):
        await links(world).create(actor(bob), chat)
    async with refused("no_such_chat", NotFound):
        await links(world).create(actor(eve), chat)
    await world.members.set_role(actor(alice), chat, bob.user_id, Role.MODERATOR)
    async with refused("role_too_low", NotAllowed):
        await links(world).list(actor(bob), chat)
    two = await world.chats.create(actor(alice), Kind.DIRECT, name="", members=[bob.user_id], key="d")
    await alice.joins(two.room_id)
    async with refused("kind_has_no_links"):
        await links(world).create(actor(alice), two)
    other = await group(world, key="2", name="Other")
    link = await links(world).create(actor(alice), other)
    for name in (link.token, link.id, "nothing", "x\0y"):
        async with refused("no_such_link", NotFound):
            await links(world).revoke(actor(alice), chat, name)


async def test_a_chat_has_so_many_links(database: Database) -> None:
    async with MessengerWorld(database, messenger={"links": {"most": 2}}) as world:
        chat = await group(world)
        alice = actor(world.person("alice"))
        first = await links(world).create(alice, chat)
        await links(world).create(alice, chat, expires_in=60)
        async with refused("too_many_links", TooMany):
            await links(world).create(alice, chat)
        await links(world).revoke(alice, chat, first.id)
        await links(world).create(alice, chat)
        world.clock.advance(timedelta(seconds=60))
        await links(world).create(alice, chat)  # the expired one counts no more


# Coming in


async def test_somebody_comes_in_by_a_code(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve = world.person("alice"), world.person("eve", "elsewhere.example.org")
    link = await links(world).create(actor(alice), chat)
    outcome = await links(world).redeem(eve.user_id, f" {link.token.upper()} ")
    assert (outcome.joined, outcome.asked, outcome.chat.id) == (True, False, chat.id)
    assert membership(world, chat, eve) == "invite"
    await eve.joins(chat.room_id)
    assert await uses(world, chat) == {eve.user_id: UseState.JOINED}
    again = await links(world).redeem(eve.user_id, link.token)
    assert again.joined
    assert await used(world, link) == 1
    await eve.leaves(chat.room_id)
    await links(world).redeem(eve.user_id, link.token)  # who was in comes back by it, and counts once
    assert membership(world, chat, eve) == "invite"
    assert await used(world, link) == 1


async def test_a_link_that_has_ended_lets_nobody_in(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve = world.person("alice"), world.person("eve")
    soon = await links(world).create(actor(alice), chat, expires_in=60)
    gone = await links(world).create(actor(alice), chat)
    once = await links(world).create(actor(alice), chat, uses=1)
    await links(world).revoke(actor(alice), chat, gone.id)
    await links(world).redeem(world.person("bob").user_id, once.token)
    world.clock.advance(timedelta(seconds=60))
    for link, code in ((soon, "link_expired"), (gone, "link_revoked"), (once, "link_used_up")):
        async with refused(code):
            await links(world).redeem(eve.user_id, link.token)
        async with refused(code):
            await links(world).look(link.token)
    for token in ("", "nothing", once.token[:-1] + ("0" if once.token[-1] != "0" else "1"), "x\0y"):
        async with refused("no_such_link", NotFound):
            await links(world).redeem(eve.user_id, token)
        async with refused("no_such_link", NotFound):
            await links(world).look(token)
    assert membership(world, chat, eve) == "leave"
    assert eve.user_id not in await uses(world, chat)


async def test_a_revoked_link_does_not_even_let_back_in_who_came_by_it(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, bob = world.person("alice"), world.person("bob")
    link = await links(world).create(actor(alice), chat)
    await links(world).redeem(bob.user_id, link.token)
    await bob.joins(chat.room_id)
    await world.members.kick(actor(alice), chat, bob.user_id)
    await world.settle()
    await links(world).revoke(actor(alice), chat, link.id)
    async with refused("link_revoked"):
        await links(world).redeem(bob.user_id, link.token)


async def test_limited_uses_hold_whoever_comes_at_once(world: MessengerWorld) -> None:
    chat = await group(world)
    link = await links(world).create(actor(world.person("alice")), chat, uses=3)
    crowd = [world.person(f"p{number}") for number in range(12)]
    outcomes = await asyncio.gather(
        *(links(world).redeem(person.user_id, link.token) for person in crowd for _ in range(2)),
        return_exceptions=True,
    )
    let_in = {person.user_id for person in crowd if membership(world, chat, person) == "invite"}
    assert len(let_in) == 3
    assert set(await uses(world, chat)) == let_in
    assert await used(world, link) == 3
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    assert {getattr(each, "code", repr(each)) for each in errors} == {"link_used_up"}
    assert len(errors) == 2 * 9  # who came in did so both times


async def test_whose_invitation_is_declined_takes_nobodys_place(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, bob, carol = (world.person(name) for name in ("alice", "bob", "carol"))
    link = await links(world).create(actor(alice), chat, uses=1)
    await links(world).redeem(bob.user_id, link.token)
    async with refused("link_used_up"):
        await links(world).redeem(carol.user_id, link.token)
    await bob.leaves(chat.room_id)
    assert await used(world, link) == 0
    await links(world).redeem(carol.user_id, link.token)
    await carol.joins(chat.room_id)
    await carol.leaves(chat.room_id)
    assert await used(world, link) == 1  # who was in has used it


async def test_who_is_banned_does_not_come_by_a_link_nor_does_a_bot(world: MessengerWorld) -> None:
    chat = await group(world, "bob")
    alice, bob = world.person("alice"), world.person("bob")
    link = await links(world).create(actor(alice), chat)
    await world.members.ban(actor(alice), chat, bob.user_id)
    async with refused("is_banned"):
        await links(world).redeem(bob.user_id, link.token)
    async with refused("not_a_person"):
        await links(world).redeem(HUB, link.token)
    async with refused("user_invalid"):
        await links(world).redeem("bob", link.token)
    assert await used(world, link) == 0


async def test_a_full_chat_lets_nobody_in(database: Database) -> None:
    async with MessengerWorld(database, messenger={"chats": {"most_members": 2}}) as world:
        chat = await group(world, "bob")
        link = await links(world).create(actor(world.person("alice")), chat)
        async with refused("chat_full"):
            await links(world).redeem(world.person("eve").user_id, link.token)


async def test_who_is_named_by_somebody_is_asked_whether_they_want_to_be_added(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, bob = world.person("alice"), world.person("bob")
    link = await links(world).create(actor(alice), chat)
    await world.messenger.privacy.change(bob.user_id, add="nobody")
    async with refused("not_addable", NotAllowed):
        await links(world).redeem(bob.user_id, link.token, proven=False)
    assert membership(world, chat, bob) == "leave"
    await links(world).redeem(bob.user_id, link.token)  # but they may come themselves
    assert membership(world, chat, bob) == "invite"


async def test_nobody_has_endless_people_invited_by_naming_them(
    world: MessengerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.links.service.MOST_PENDING", 2)
    chat = await group(world)
    link = await links(world).create(actor(world.person("alice")), chat)
    people = [world.person(f"p{number}") for number in range(3)]
    for person in people[:2]:
        await links(world).redeem(person.user_id, link.token, proven=False)
    async with refused("too_many_pending", TooMany):
        await links(world).redeem(people[2].user_id, link.token, proven=False)
    await people[0].joins(chat.room_id)
    await links(world).redeem(people[2].user_id, link.token, proven=False)


async def test_a_products_link(world: MessengerWorld) -> None:
    chat = await group(world, actor=SHOP)
    link = await links(world).create(SHOP, chat)
    async with refused("no_such_chat", NotFound):
        await links(world).list(Actor.of_product("other"), chat)
    eve = world.person("eve")
    await links(world).redeem(eve.user_id, link.token, proven=False)
    assert membership(world, chat, eve) == "invite"


# When the homeserver is away, and after a crash


async def test_who_used_a_link_while_the_homeserver_was_away_is_invited_later(world: MessengerWorld) -> None:
    chat = await group(world)
    eve = world.person("eve")
    link = await links(world).create(actor(world.person("alice")), chat, uses=1)
    world.homeserver.fault = lambda _, path: HomeserverError(502, "M_UNKNOWN", "away") if "/invite" in path else None
    with pytest.raises(HomeserverError):
        await links(world).redeem(eve.user_id, link.token)
    assert await uses(world, chat) == {eve.user_id: UseState.DUE}
    world.clock.advance(timedelta(seconds=11))
    assert await links(world).run_due() == 1  # still away
    assert await links(world).run_due() == 0
    world.clock.advance(timedelta(seconds=11))
    world.homeserver.fault = lambda _method, _path: None
    await world.restart(kill=True)
    assert await links(world).run_due() == 1
    assert membership(world, chat, eve) == "invite"
    assert await links(world).run_due() == 0
    assert await used(world, link) == 1


async def test_whose_server_nobody_reaches_takes_nobodys_place_for_ever(world: MessengerWorld) -> None:
    chat = await group(world)
    eve = world.person("eve", "nowhere.example.org")
    link = await links(world).create(actor(world.person("alice")), chat, uses=1)
    world.homeserver.fault = lambda _, path: HomeserverError(502, "M_UNKNOWN", "away") if "/invite" in path else None
    with pytest.raises(HomeserverError):
        await links(world).redeem(eve.user_id, link.token)
    for _ in range(24):
        world.clock.advance(timedelta(hours=1))
        await links(world).run_due()
        assert await used(world, link) == 1
    world.clock.advance(timedelta(hours=1))
    await links(world).run_due()
    assert await used(world, link) == 0
    assert await uses(world, chat) == {}


async def test_the_answer_to_an_invitation_is_lost(world: MessengerWorld) -> None:
    chat = await group(world)
    eve = world.person("eve")
    link = await links(world).create(actor(world.person("alice")), chat, uses=1)
    world.homeserver.lost = lambda _, path: HomeserverError(504, "M_UNKNOWN", "lost") if "/invite" in path else None
    with pytest.raises(HomeserverError):
        await links(world).redeem(eve.user_id, link.token)
    world.homeserver.lost = lambda _method, _path: None
    assert (await links(world).redeem(eve.user_id, link.token)).joined
    await world.settle()
    assert await uses(world, chat) == {eve.user_id: UseState.INVITED}
    invitations = [
        raw for raw in world.room(chat.room_id).timeline
        if raw["content"].get("membership") == "invite" and raw.get("state_key") == eve.user_id
    ]  # fmt: skip
    assert len(invitations) == 1


async def test_whom_the_homeserver_refuses_for_good_takes_nobodys_place(world: MessengerWorld) -> None:
    chat = await group(world)
    eve = world.person("eve")
    link = await links(world).create(actor(world.person("alice")), chat, uses=1)
    world.homeserver.fault = lambda _, path: HomeserverError(400, "M_BAD_JSON", "no") if "/invite" in path else None
    async with refused("not_invitable"):
        await links(world).redeem(eve.user_id, link.token)
    assert await uses(world, chat) == {}
    assert await used(world, link) == 0


# Approval


async def test_a_request_by_a_link_is_answered(world: MessengerWorld) -> None:
    chat = await group(world, "mo", "bob")
    alice, mo, bob, eve, dan = (world.person(name) for name in ("alice", "mo", "bob", "eve", "dan"))
    await world.members.set_role(actor(alice), chat, mo.user_id, Role.MODERATOR)
    await world.settle()
    link = await links(world).create(actor(alice), chat, uses=2, approval=True)
    for person in (eve, dan):
        outcome = await links(world).redeem(person.user_id, link.token)
        assert (outcome.joined, outcome.asked) == (False, True)
        await links(world).redeem(person.user_id, link.token)  # once more makes no second one
        world.clock.advance(timedelta(seconds=1))
    await world.settle()
    assert [each.user_id for each in await links(world).requests(actor(mo), chat)] == [eve.user_id, dan.user_id]
    async with refused("role_too_low", NotAllowed):
        await links(world).requests(actor(bob), chat)
    async with refused("role_too_low", NotAllowed):
        await links(world).answer(actor(bob), chat, eve.user_id, True)
    assert await used(world, link) == 2
    async with refused("link_used_up"):
        await links(world).redeem(world.person("fay").user_id, link.token)
    # One notice for a burst, to each who may answer.
    assert [told.code for told in world.told_to(alice)] == ["join.requested"]
    told = [each for each in world.told_to(mo) if each.code == "join.requested"]
    assert [each.values for each in told] == [{"person": eve.user_id, "chat": "Tea"}]
    assert "join.requested" not in world.codes(bob)

    await links(world).answer(actor(mo), chat, eve.user_id, True)
    await links(world).answer(actor(mo), chat, dan.user_id, False)
    await world.settle()
    assert (membership(world, chat, eve), membership(world, chat, dan)) == ("invite", "leave")
    assert world.codes(eve) == ["join.accepted"]
    assert world.codes(dan) == ["join.declined"]
    assert await links(world).requests(actor(mo), chat) == []
    assert await used(world, link) == 1  # who was declined takes nobody's place
    for person in (eve, dan, bob):
        async with refused("no_such_request", NotFound):
            await links(world).answer(actor(mo), chat, person.user_id, True)
    async with refused("declined_recently", TooMany):
        await links(world).redeem(dan.user_id, link.token)
    log = await world.messenger.audit.list(subject=f"chat:{chat.id}")
    answers = [(entry.actor, entry.details) for entry in log if entry.action == "chat.request"]
    assert answers == [
        (mo.user_id, {"user": dan.user_id, "accept": False}),
        (mo.user_id, {"user": eve.user_id, "accept": True}),
    ]
    world.clock.advance(timedelta(days=1))
    assert (await links(world).redeem(dan.user_id, link.token)).asked
    assert len(await links(world).requests(actor(mo), chat)) == 1


async def test_not_everybody_waits(database: Database) -> None:
    async with MessengerWorld(database, messenger={"links": {"most_requests": 2}}) as world:
        chat = await group(world)
        link = await links(world).create(actor(world.person("alice")), chat, approval=True)
        for name in ("bob", "carol"):
            await links(world).redeem(world.person(name).user_id, link.token)
        async with refused("too_many_requests", TooMany):
            await links(world).redeem(world.person("dan").user_id, link.token)
        assert await used(world, link) == 2


async def test_who_was_invited_by_somebody_else_asks_no_more(world: MessengerWorld) -> None:
    chat = await group(world, "bob")
    alice, bob, eve = (world.person(name) for name in ("alice", "bob", "eve"))
    link = await links(world).create(actor(alice), chat, approval=True)
    await links(world).redeem(eve.user_id, link.token)
    await bob.invites(chat.room_id, eve)
    assert await links(world).requests(actor(alice), chat) == []
    assert await uses(world, chat) == {eve.user_id: UseState.INVITED}


async def test_a_page_request_is_told_nothing(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve = world.person("alice"), world.person("eve")
    link = await links(world).create(actor(alice), chat, approval=True)
    await links(world).redeem(eve.user_id, link.token, proven=False)
    await links(world).answer(actor(alice), chat, eve.user_id, False)
    await world.settle()
    assert world.told_to(eve) == []


# Knocks


async def test_a_knock_with_the_code_is_answered_by_itself(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve = world.person("alice"), world.person("eve", "elsewhere.example.org")
    link = await links(world).create(actor(alice), chat, uses=1)
    await eve.knocks(chat.room_id, f"Hello! https://pages.world/join/{link.token}")
    assert membership(world, chat, eve) == "invite"
    await eve.joins(chat.room_id)
    assert await uses(world, chat) == {eve.user_id: UseState.JOINED}
    assert await links(world).requests(actor(alice), chat) == []
    assert world.told_to(alice) == []


async def test_a_knock_without_a_code_waits(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve, dan, fay = (world.person(name) for name in ("alice", "eve", "dan", "fay"))
    await eve.knocks(chat.room_id, "I am Eve\0\ud800 <b>")
    await dan.knocks(chat.room_id)
    await fay.knocks(chat.room_id, "x" * 10_000)
    found = await links(world).requests(actor(alice), chat)
    assert len(found) == 3
    reasons = {each.user_id: each.reason for each in found}
    assert reasons[eve.user_id].startswith("I am Eve")
    assert "\0" not in reasons[eve.user_id]
    assert len(reasons[fay.user_id]) == 500
    assert world.codes(alice) == ["join.requested"]
    await links(world).answer(actor(alice), chat, eve.user_id, True)
    await links(world).answer(actor(alice), chat, dan.user_id, False)
    await world.settle()
    assert (membership(world, chat, eve), membership(world, chat, dan)) == ("invite", "leave")
    await fay.leaves(chat.room_id)  # takes it back
    assert await links(world).requests(actor(alice), chat) == []
    assert world.told_to(eve) == []  # their client says it


@pytest.mark.parametrize("accept", [True, False])
async def test_a_knock_that_is_answered_is_none_at_once(world: MessengerWorld, accept: bool) -> None:
    chat, eve = await group(world), world.person("eve")
    await eve.knocks(chat.room_id, "It is me")
    await world.settle()
    links, alice = world.messenger.links, Actor.person(world.person("alice").user_id)
    assert [each.user_id for each in await links.requests(alice, chat)] == [eve.user_id]
    await links.answer(alice, chat, eve.user_id, accept)
    # Before the homeserver's event has come.
    assert await links.requests(alice, chat) == []


@pytest.mark.parametrize("ended", ["revoked", "other chat", "used up"])
async def test_a_knock_with_a_code_that_lets_nobody_in_waits(world: MessengerWorld, ended: str) -> None:
    chat = await group(world)
    other = await group(world, key="2", name="Other")
    alice, eve = world.person("alice"), world.person("eve")
    link = await links(world).create(actor(alice), other if ended == "other chat" else chat, uses=1)
    if ended == "revoked":
        await links(world).revoke(actor(alice), chat, link.id)
    elif ended == "used up":
        await links(world).redeem(world.person("bob").user_id, link.token)
    await eve.knocks(chat.room_id, link.token)
    assert membership(world, chat, eve) == "knock"
    assert membership(world, other, eve) == "leave"
    [request] = await links(world).requests(actor(alice), chat)
    assert (request.user_id, request.reason) == (eve.user_id, "")  # the code is not shown to others


async def test_a_knock_with_a_code_that_needs_approval(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve = world.person("alice"), world.person("eve")
    link = await links(world).create(actor(alice), chat, approval=True)
    await eve.knocks(chat.room_id, link.token)
    assert membership(world, chat, eve) == "knock"
    await links(world).answer(actor(alice), chat, eve.user_id, True)
    assert membership(world, chat, eve) == "invite"
    await eve.joins(chat.room_id)
    assert await uses(world, chat) == {eve.user_id: UseState.JOINED}


async def test_a_knock_while_the_homeserver_stumbles(world: MessengerWorld) -> None:
    chat = await group(world)
    eve = world.person("eve")
    link = await links(world).create(actor(world.person("alice")), chat)
    times = iter([HomeserverError(502, "M_UNKNOWN", "away")])
    world.homeserver.fault = lambda _, path: next(times, None) if "/invite" in path else None
    await eve.knocks(chat.room_id, link.token)
    assert membership(world, chat, eve) == "invite"
    world.failures.clear()


async def test_knocks_from_before_are_requests_too(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve = world.person("alice"), world.person("eve")
    await eve.knocks(chat.room_id)
    await world.database.write(lambda it: store.forget_request(it, chat.id, eve.user_id))
    assert [each.user_id for each in await links(world).requests(actor(alice), chat)] == [eve.user_id]
    await links(world).answer(actor(alice), chat, eve.user_id, True)
    assert membership(world, chat, eve) == "invite"


# The end


async def test_links_outlive_an_upgrade_and_not_a_deletion(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve, dan = (world.person(name) for name in ("alice", "eve", "dan"))
    link = await links(world).create(actor(alice), chat)
    asking = await links(world).create(actor(alice), chat, approval=True)
    await links(world).redeem(dan.user_id, asking.token)
    new = await world.chats.upgrade(actor(alice), chat)
    await world.settle()
    await alice.joins(new.room_id)
    await links(world).redeem(eve.user_id, link.token)
    await links(world).answer(actor(alice), new, dan.user_id, True)
    assert (membership(world, new, eve), membership(world, new, dan)) == ("invite", "invite")
    await world.chats.delete(actor(alice), new)
    async with refused("no_such_link", NotFound):
        await links(world).redeem(world.person("fay").user_id, link.token)

    def left(connection: Connection) -> int:
        tables = (chat_links, link_uses, join_requests)
        return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)

    assert await world.database.read(left) == 0


async def test_old_links_are_forgotten_with_whom_they_let_in(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve, dan = (world.person(name) for name in ("alice", "eve", "dan"))
    old = await links(world).create(actor(alice), chat, expires_in=3600)
    lasting = await links(world).create(actor(alice), chat)
    asking = await links(world).create(actor(alice), chat, approval=True)
    await links(world).redeem(eve.user_id, old.token)
    await links(world).redeem(dan.user_id, asking.token)
    await links(world).answer(actor(alice), chat, dan.user_id, False)
    world.clock.advance(timedelta(days=30))
    assert await links(world).run_due() == 1  # the request that was declined
    assert await links(world).by_token(old.token) is not None
    world.clock.advance(timedelta(hours=1))
    assert await links(world).run_due() == 1
    assert await links(world).by_token(old.token) is None
    assert await links(world).by_token(lasting.token) is not None
    assert await uses(world, chat) == {}
    assert await world.database.read(lambda it: store.request_of(it, chat.id, dan.user_id)) is None


async def test_rights(world: MessengerWorld) -> None:
    chat = await group(world)
    alice, eve, dan = (world.person(name) for name in ("alice", "eve", "dan"))
    link = await links(world).create(actor(alice), chat, approval=True)
    plain = await links(world).create(actor(alice), chat)
    await links(world).redeem(eve.user_id, link.token)
    await links(world).redeem(dan.user_id, plain.token)
    part = Part()
    files = dict(await world.database.read(lambda it: list(part.export(it, eve.user_id))))
    assert [row["state"] for row in files["links/used.json"]] == ["asked"]
    assert [row["state"] for row in files["links/requests.json"]] == ["open"]
    made = dict(await world.database.read(lambda it: list(part.export(it, alice.user_id))))["links/made.json"]
    assert len(made) == 2
    assert "digest" not in made[0]

    def work(connection: Connection) -> str:
        for person, name in ((eve, "erased-1"), (alice, "erased-2"), (dan, "erased-3")):
            part.erase(connection, person.user_id, name)
        tables = (chat_links, link_uses, join_requests)
        return repr([tuple(row) for table in tables for row in connection.execute(select(table))])

    rows = await world.database.write(work)
    for person in (alice, eve, dan):
        assert person.user_id not in rows
    assert "erased-2" in rows


# How it looks


async def test_where_a_link_leads(database: Database) -> None:
    async with MessengerWorld(database) as world:
        chat = await group(world)
        link = await links(world).create(actor(world.person("alice")), chat)
        assert links(world).url(link) == f"https://matrix.to/#/{HUB}"  # no pages: the code is written to the hub
    async with MessengerWorld(web={"enabled": True}) as world:
        chat = await group(world)
        link = await links(world).create(actor(world.person("alice")), chat)
        assert links(world).url(link) == f"https://pages.world/join/{link.token}"
        assert links(world).qr_png(link).startswith(b"\x89PNG")
        assert links(world).qr_svg(link).startswith("<svg")
        found = await links(world).look(link.token)
        assert (found.chat.id, found.members, found.link.id) == (chat.id, 1, link.id)
