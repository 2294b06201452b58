"""Timers, retention, holds, delivery, search and moderation by the API, each for its own product."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from appservice.database import Database
from appservice.errors import RialtoError
from bridge.actor import Actor
from bridge.api.models.chats import ChatView
from bridge.client import ApiError
from bridge.domain.kinds import Kind
from bridge.store import chats as store
from bridge.store.chats import Chat
from tests.support.api import ApiWorld, Product
from tests.support.messenger import STEWARD, Person


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


async def test_an_invite_link_as_a_picture(world: ApiWorld, shop: Product) -> None:
    group = await shop.client.chats.create("group", "Tea")
    link = await shop.client.links.create(group.id, expires_in=3600)
    svg = await shop.client.links.qr(group.id, link.id)
    png = await shop.client.links.qr(group.id, link.id, "png")
    assert b'xmlns="http://www.w3.org/2000/svg"' in svg and b"<script" not in svg
    assert scanned(png) == link.code  # there are no pages in this world
    path = f"/chats/{group.id}/links/{link.id}/qr"
    for accept, kind in (
        ("*/*", "image/svg+xml"),
        ("image/*;q=0.5, image/png", "image/png"),
        ("image/svg+xml;q=0.1, image/png;q=0.2, text/html", "image/png"),
        ("text/html, image/*;q=0.1, image/svg+xml;q=0", "image/png"),
    ):
        response = await shop.respond("GET", path, headers={"Accept": accept})
        assert (response.status, response.content_type) == (200, kind), accept
        assert response.headers["Cache-Control"] == "no-store"
    for accept in ("text/html", "image/png;q=0", "nonsense"):
        response = await shop.respond("GET", path, headers={"Accept": accept})
        assert (response.status, response.content_type) == (406, "application/problem+json")
    world.clock.advance(hours=2)
    with pytest.raises(ApiError) as refused:
        await shop.client.links.qr(group.id, link.id)
    assert (refused.value.status, refused.value.code) == (410, "link_ended")
    with pytest.raises(ApiError, match="no_such_link"):
        await shop.client.links.qr(group.id, "01JM3ZK8V4T9N2Q6R7S8T9V0WX")


async def test_comments_on_a_post(world: ApiWorld, shop: Product, news: ChatView, alice: Person) -> None:
    post = await alice.says(news.room_id, "Post")
    bob = world.person("bob")
    await bob.joins(news.room_id)
    await shop.client.members.set_role(news.id, bob.user_id, "moderator")
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": post}}
    said = []
    for number in range(3):
        said.append(await bob.says(news.room_id, f"comment {number}", **thread))
        world.clock.advance(seconds=1)
    ours = await shop.client.messages.comment(news.id, post, "Thank you!", html="<b>Thank</b> you!")
    assert (ours.chat, ours.state) == (news.id, "pending")
    await world.settle()
    await world.embedding.settle()
    said.append((await shop.client.messages.get(news.id, ours.id)).event_id or "")
    event = next(each for each in world.room(news.room_id).timeline if each["event_id"] == said[-1])
    assert event["content"]["m.relates_to"]["event_id"] == post and event["content"]["msgtype"] == "m.notice"
    found = [each async for each in shop.client.messages.comments(news.id, post)]
    assert [(each.event_id, each.chat, each.sender) for each in found] == [
        *((event_id, news.id, bob.user_id) for event_id in said[:3]),
        (said[3], news.id, STEWARD),
    ]
    assert "comment" not in str(found)
    path, pages = f"/chats/{news.id}/posts/{post}/comments", []
    _, page = await shop.ask("GET", f"{path}?limit=3")
    pages.append([each["event_id"] for each in page["items"]])
    _, page = await shop.ask("GET", f"{path}?limit=3&after={page['next']}")
    pages.append([each["event_id"] for each in page["items"]])
    assert pages == [said[:3], said[3:]] and page["next"] is None
    assert (await shop.client.chats.post_statistics(news.id, post)).comments == 4
    # The same request is one comment; a reaction is none.
    once = [await shop.ask("POST", path, {"text": "Once"}, key="once") for _ in range(2)]
    assert once[0] == once[1]
    await bob.reacts(news.room_id, post, "👍")
    await bob.redacts(news.room_id, said[0])
    assert len([each async for each in shop.client.messages.comments(news.id, post)]) == 4
    for wrong in ("$nothing", said[1]):
        for method, body in (("GET", None), ("POST", {"text": "x"})):
            status, problem = await shop.ask(method, f"/chats/{news.id}/posts/{wrong}/comments", body)
            assert (status, problem["code"]) == (404, "no_such_message")
    assert (await shop.ask("GET", f"{path}?after=nonsense"))[0] == 400


async def test_nobody_comments_in_an_encrypted_discussion(
    world: ApiWorld, shop: Product, news: ChatView, alice: Person
) -> None:
    group = await shop.client.chats.create("group", "Discussion")
    await shop.client.chats.set_discussion(news.id, group.id)
    await shop.client.members.add(group.id, alice.user_id)
    await alice.joins(group.room_id)
    post = await alice.says(news.room_id, "Post")
    root = next(each for each in world.room(group.room_id).timeline if "chat.rialto.post" in each["content"])
    answer = {"m.relates_to": {"rel_type": "m.thread", "event_id": root["event_id"]}}
    said = await alice.says(group.room_id, "what nobody reads", **answer)
    found = [each async for each in shop.client.messages.comments(news.id, post)]
    assert [(each.event_id, each.chat) for each in found] == [(said, group.id)]
    with pytest.raises(ApiError) as refused:
        await shop.client.messages.comment(news.id, post, "Hello")
    assert (refused.value.status, refused.value.code) == (422, "chat_encrypted")
    status, problem = await shop.ask("POST", f"/chats/{group.id}/posts/{post}/comments", {"text": "x"})
    assert (status, problem["code"]) == (422, "no_channel")


async def test_comments_go_below_the_announcement_of_the_post(
    world: ApiWorld, shop: Product, news: ChatView, alice: Person
) -> None:
    before = await alice.says(news.room_id, "Older post")
    levels = {"users": {STEWARD: 100, alice.user_id: 100}}
    room_id = await alice.makes_room(invite=[STEWARD], power_level_content_override=levels)
    group = await world.chats.adopt(Actor.person(alice.user_id), room_id)
    assert not group.encrypted
    # A room of the product's that was never encrypted: only older versions made such.
    await world.database.write(lambda it: store.change(it, room_id, workspace="shop"))
    world.messenger.registry.put(replace(group, workspace="shop"))
    await shop.client.chats.set_discussion(news.id, group.id)
    post = await alice.says(news.room_id, "Post")
    root = next(each for each in world.room(room_id).timeline if "chat.rialto.post" in each["content"])
    made = await shop.client.messages.comment(news.id, post, "Hello")
    assert made.chat == group.id
    await world.settle()
    sent = world.room(room_id).timeline[-1]
    assert sent["content"]["m.relates_to"]["event_id"] == root["event_id"]
    found = [each async for each in shop.client.messages.comments(news.id, post)]
    assert [(each.event_id, each.chat, each.sender) for each in found] == [(sent["event_id"], group.id, STEWARD)]
    with pytest.raises(ApiError, match="post_not_announced"):
        await shop.client.messages.comment(news.id, before, "Hello")


async def test_a_discussion_group_is_made_for_a_channel_that_one_may_use(
    world: ApiWorld, shop: Product, news: ChatView, alice: Person
) -> None:
    bob, ours = world.person("bob"), Actor.of_product("shop")
    await bob.joins(news.room_id)
    channel = await world.chats.get(ours, news.id)
    group = await world.chats.create(ours, Kind.GROUP, name="Tea", key="tea")

    async def code(actor: Actor, kind: Kind, parent: Chat) -> str:
        with pytest.raises(RialtoError) as refused:
            await world.chats.create(actor, kind, name="Comments", parent=parent, key=f"{actor.name} {kind}")
        return refused.value.code

    rooms = len(world.homeserver.rooms)
    assert await code(ours, Kind.CHANNEL, channel) == "no_group"
    assert await code(ours, Kind.GROUP, group) == "no_channel"
    assert await code(Actor.of_product("other"), Kind.GROUP, channel) == "no_such_chat"
    assert await code(Actor.person("@eve:world"), Kind.GROUP, channel) == "no_such_chat"
    assert await code(Actor.person(bob.user_id), Kind.GROUP, channel) == "role_too_low"
    assert await code(Actor.person(alice.user_id), Kind.GROUP, channel) == "role_too_low"
    gone = await world.chats.create(ours, Kind.CHANNEL, name="Gone", key="gone")
    await world.chats.delete(ours, gone)
    assert await code(ours, Kind.GROUP, gone) == "no_such_chat"
    assert len(world.homeserver.rooms) == rooms + 1
    made = await world.chats.create(ours, Kind.GROUP, name="Comments", parent=channel, key="c")
    assert made.parent == news.room_id
    assert (await world.chats.create(ours, Kind.GROUP, name="Comments", parent=channel, key="c")).id == made.id
    assert await code(ours, Kind.GROUP, channel) == "has_discussion"
    await world.chats.delete(ours, made)
    again = await world.chats.create(ours, Kind.GROUP, name="Comments", parent=channel, key="d")
    assert (await shop.client.chats.get(again.id)).parent == news.id


def scanned(png: bytes) -> str:
    """What a camera reads from a picture."""
    import zxingcpp
    from PIL import Image

    return str(zxingcpp.read_barcodes(Image.open(io.BytesIO(png)))[0].text)
