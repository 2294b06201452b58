"""Timers, retention, holds, delivery, search and moderation by the API, each for its own product."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from appservice.database import Database
from bridge.api.models.chats import ChatView
from bridge.client import ApiError
from tests.support.api import ApiWorld, Product
from tests.support.messenger import Person


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ApiWorld]:
    async with ApiWorld(database) as made:
        yield made


@pytest.fixture
async def shop(world: ApiWorld) -> Product:
    return await world.product()


@pytest.fixture
async def alice(world: ApiWorld) -> Person:
    return world.person("alice")


@pytest.fixture
async def news(world: ApiWorld, shop: Product, alice: Person) -> ChatView:
    """A public channel, and somebody who may post in it."""
    made = await shop.client.chats.create("channel", "News", public=True)
    await shop.client.members.add(made.id, alice.user_id, role="moderator")
    await alice.joins(made.room_id)
    return made


async def test_a_timer_is_set_and_told(world: ApiWorld, shop: Product, news: ChatView) -> None:
    assert (await shop.client.chats.timer(news.id)).seconds is None
    set_to = await shop.client.chats.set_timer(news.id, 86_400, start="read")
    assert (set_to.seconds, set_to.start) == (86_400, "read")
    assert await shop.client.chats.timer(news.id) == set_to
    state = world.room(news.room_id).state["chat.rialto.timer", ""]["content"]
    assert (state["seconds"], state["start"]) == (86_400, "read")
    assert (await shop.client.chats.set_timer(news.id, None)).seconds is None
    for seconds in (0, 4, 31_536_001):
        assert (await shop.ask("PUT", f"/chats/{news.id}/timer", {"seconds": seconds}))[0] == 422


async def test_the_shortest_retention_applies(shop: Product, news: ChatView) -> None:
    assert (await shop.client.retention.get()).days is None
    assert (await shop.client.retention.set(90)).days == 90
    of_chat = await shop.client.retention.set(365, news.id)
    assert (of_chat.days, of_chat.own, of_chat.wider, of_chat.held) == (90, 365, 90, False)
    assert (await shop.client.retention.set(7, news.id)).days == 7
    assert (await shop.client.retention.set(None, news.id)).days == 90


async def test_a_hold_keeps_a_chat(world: ApiWorld, shop: Product, news: ChatView) -> None:
    await shop.client.retention.hold(news.id, "Case 12")
    held = [each async for each in shop.client.retention.holds()]
    assert [(each.chat, each.reason, each.by) for each in held] == [(news.id, "Case 12", "product:shop")]
    assert (await shop.client.retention.get(news.id)).held
    with pytest.raises(ApiError) as refused:
        await shop.client.chats.delete(news.id)
    assert refused.value.status < 500
    other = await world.product("other")
    assert [each async for each in other.client.retention.holds()] == []
    await shop.client.retention.release(news.id)
    assert [each async for each in shop.client.retention.holds()] == []
    await shop.client.chats.delete(news.id)


async def test_changes_are_numbered_without_gaps(world: ApiWorld, shop: Product, news: ChatView, alice: Person) -> None:
    start = (await shop.client.messages.changes(news.id)).head
    sent = [await alice.says(news.room_id, f"post {number}") for number in range(3)]
    changes = await shop.client.messages.changes(news.id, after=start)
    assert [each.seq for each in changes.items] == [start + 1, start + 2, start + 3]
    assert [each.event_id for each in changes.items] == sent and not changes.more
    assert "post" not in str(changes)
    part = await shop.client.messages.changes(news.id, after=start, limit=2)
    assert (part.next, part.more) == (start + 2, True)
    status, problem = await shop.ask("GET", f"/chats/{news.id}/changes?after=999999")
    assert (status, problem["code"]) == (422, "no_such_number")


async def test_a_product_waits_for_what_comes(world: ApiWorld, shop: Product, news: ChatView, alice: Person) -> None:
    head = (await shop.client.messages.changes(news.id)).head
    waiting = asyncio.create_task(shop.ask("GET", f"/chats/{news.id}/changes?after={head}&wait=20"))
    await asyncio.sleep(0.05)
    event_id = await alice.says(news.room_id, "at last")
    _, changes = await waiting
    assert [each["event_id"] for each in changes["items"]] == [event_id]


async def test_how_far_a_message_has_come(world: ApiWorld, shop: Product, news: ChatView, alice: Person) -> None:
    bob = world.person("bob")
    await bob.joins(news.room_id)
    event_id = await alice.says(news.room_id, "hello")
    status = await shop.client.messages.status(news.id, event_id)
    assert (status.state, status.delivered, status.read, status.recipients) == ("sent", 0, 0, 1)
    await shop.client.messages.acknowledge(news.id, bob.user_id, event_id)
    assert (await shop.client.messages.status(news.id, event_id)).state == "delivered"
    await bob.reads(news.room_id, event_id)
    await world.messenger.delivery.flush()
    assert (await shop.client.messages.status(news.id, event_id)).state == "read"
    with pytest.raises(ApiError, match="no_such_message"):
        await shop.client.messages.status(news.id, "$nothing")


async def test_search_finds_what_the_server_may_read(
    world: ApiWorld, shop: Product, news: ChatView, alice: Person
) -> None:
    await alice.says(news.room_id, "The quick brown fox")
    await alice.says(news.room_id, "A lazy dog")
    group = await shop.client.chats.create("group", "Private")
    await shop.client.members.add(group.id, alice.user_id)
    await alice.joins(group.room_id)
    await alice.says(group.room_id, "a quick secret")
    await world.settle()
    found = [hit async for hit in shop.client.messages.search("QUICK")]
    assert [(hit.chat, hit.text, hit.sender) for hit in found] == [(news.id, "The quick brown fox", alice.user_id)]
    assert [hit async for hit in shop.client.messages.search("dog", sender="@bob:world")] == []
    other = await world.product("other")
    assert [hit async for hit in other.client.messages.search("quick")] == []
    assert (await other.ask("GET", f"/search?text=quick&chat={news.id}"))[0] == 404


async def test_reports_are_decided(world: ApiWorld, shop: Product, news: ChatView, alice: Person) -> None:
    bob = world.person("bob")
    await bob.joins(news.room_id)
    event_id = await alice.says(news.room_id, "something rude")
    await world.messenger.moderation.report(bob.user_id, news.room_id, event_id, "rude")
    reports = [each async for each in shop.client.reports.all()]
    assert [(each.chat, each.event_id, each.subject, each.reporters) for each in reports] == [
        (news.id, event_id, alice.user_id, 1)
    ]
    assert bob.user_id not in str(reports)
    other = await world.product("other")
    assert [each async for each in other.client.reports.all()] == []
    for method, path, body in (("GET", "", None), ("POST", "/actions", {"action": "dismiss"})):
        assert (await other.ask(method, f"/reports/{reports[0].id}{path}", body))[0] == 404
    decided = await shop.client.reports.act(reports[0].id, "remove", reason="Please be kind.")
    assert (decided.state, decided.action, decided.note) == ("done", "remove", "Please be kind.")
    await world.settle()
    event = next(each for each in world.room(news.room_id).timeline if each["event_id"] == event_id)
    assert event["content"] == {}
    assert [each.id async for each in shop.client.reports.all(state="done")] == [reports[0].id]
    with pytest.raises(ApiError) as refused:
        await shop.client.reports.act(reports[0].id, "ban")
    assert (refused.value.status, refused.value.code) == (409, "decided")


async def test_invite_links_and_requests(world: ApiWorld, shop: Product, news: ChatView) -> None:
    group = await shop.client.chats.create("group", "Tea")
    made = await shop.client.links.create(group.id, title="Flyer", uses=1, expires_in=3600)
    assert made.url.startswith("http") and (made.uses, made.used) == (1, 0)
    approved = await shop.client.links.create(group.id, approval=True)
    assert {each.id async for each in shop.client.links.all(group.id)} == {made.id, approved.id}
    carol, dave = world.person("carol"), world.person("dave")
    links = world.messenger.links
    assert (await links.redeem(carol.user_id, made.code)).joined
    assert (await links.redeem(dave.user_id, approved.code)).asked
    waiting = [each async for each in shop.client.links.requests(group.id)]
    assert [each.user_id for each in waiting] == [dave.user_id]
    await shop.client.links.answer(group.id, dave.user_id, accept=True)
    await world.settle()
    assert [each async for each in shop.client.links.requests(group.id)] == []
    assert world.room(group.room_id).membership(dave.user_id) == "invite"
    await shop.client.links.revoke(group.id, approved.id)
    assert approved.id not in {each.id async for each in shop.client.links.all(group.id)}
    with pytest.raises(ApiError, match="no_such_link"):
        await shop.client.links.revoke(news.id, made.id)


async def test_a_channels_group_and_figures(world: ApiWorld, shop: Product, news: ChatView, alice: Person) -> None:
    group = await shop.client.chats.create("group", "Discussion")
    await shop.client.chats.set_discussion(news.id, group.id)
    assert (await shop.client.chats.get(group.id)).parent == news.id
    bob = world.person("bob")
    await bob.joins(news.room_id)
    post = await alice.says(news.room_id, "Post")
    await bob.reacts(news.room_id, post, "👍")
    await bob.reads(news.room_id, post)
    await world.messenger.delivery.flush()
    figures = await shop.client.chats.post_statistics(news.id, post)
    assert (figures.reach, figures.reactions, figures.by_reaction) == (1, 1, {"👍": 1})
    await shop.client.chats.set_discussion(news.id, None)
    assert (await shop.client.chats.get(group.id)).parent is None
    status, problem = await shop.ask("GET", f"/chats/{group.id}/posts/{post}/statistics")
    assert (status, problem["code"]) == (422, "no_channel")
