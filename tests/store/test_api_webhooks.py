"""Webhooks: signed, told once for a cause, tried until they are taken, never with what was said; and notices."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from appservice.database import Database
from bridge.client import ApiError, WebhookRefused, read_webhook
from bridge.domain.hooks import GIVE_UP_MS
from bridge.store.product_tables import message_counts, product_messages, webhook_deliveries, webhooks
from tests.support.api import ApiWorld, Product, Receiver, receiver
from tests.support.messenger import HUB

ALL = ["chat.created", "chat.changed", "chat.deleted", "member.joined", "member.left", "member.invited", "member.asked"]
ALL += ["member.banned", "messages.counted", "message.sent", "message.failed", "message.read", "message.delivered"]


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ApiWorld]:
    async with ApiWorld(database) as made:
        yield made


@pytest.fixture
async def shop(world: ApiWorld) -> Product:
    return await world.product()


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


async def rows(database: Database, table: Any) -> Any:
    return await database.read(lambda connection: connection.execute(select(table)).mappings().all())


async def told(world: ApiWorld) -> None:
    """Everything that is due is told."""
    await world.settle()
    await world.embedding.settle()
    while await world.embedding.sender.run_due():
        pass


def events(hook: Receiver, secret: str, world: ApiWorld) -> list[Any]:
    """What a webhook was told, each proven."""
    now = world.clock.now_ms() / 1000
    return [read_webhook(secret, headers, body, now=now) for headers, body in hook.requests]


async def test_a_webhook_is_told_who_came_and_went(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ALL)
    group = await shop.client.chats.create("group", "Tea")
    world.clock.advance(seconds=1)
    alice = world.person("alice")
    await shop.client.members.add(group.id, alice.user_id)
    await alice.joins(group.room_id)
    await shop.client.chats.change(group.id, name="Coffee")
    await alice.leaves(group.room_id)
    await alice.knocks(group.room_id)
    await shop.client.members.ban(group.id, alice.user_id)
    await told(world)
    found = [(event.type, event.chat) for event in events(hook, made.secret, world)]
    kinds = ["member.invited", "member.joined", "chat.changed", "member.left", "member.asked", "member.banned"]
    assert [kind for kind, _ in found if kind != "chat.created"] == kinds
    assert len(found) == len(kinds) + 1
    assert {chat for _, chat in found} == {group.id}
    joined = next(event for event in events(hook, made.secret, world) if event.type == "member.joined")
    assert joined.data == {"user_id": alice.user_id, "by": alice.user_id, "was": "invite"}


async def test_what_was_said_is_never_told(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ALL)
    group = await shop.client.chats.create("group", "Tea")
    news = await shop.client.chats.create("channel", "News", public=True)
    alice = world.person("alice")
    for chat in (group, news):
        await shop.client.members.add(chat.id, alice.user_id, role="moderator")
        await alice.joins(chat.room_id)
        for number in range(3):
            await alice.says(chat.room_id, f"a secret word {number}")
    world.clock.advance(minutes=1)
    await world.embedding.tell_counts()
    await told(world)
    counts = [event for event in events(hook, made.secret, world) if event.type == "messages.counted"]
    assert {(event.chat, event.data["count"]) for event in counts} == {(group.id, 3), (news.id, 3)}
    assert all(event.data["until"] - event.data["since"] == 60_000 for event in counts)
    assert b"secret" not in b"".join(body for _, body in hook.requests)
    assert await rows(world.database, message_counts) == []
    assert b"secret word" not in str([dict(row) for row in await rows(world.database, webhook_deliveries)]).encode()


async def test_messages_are_counted_only_for_who_asks(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    await shop.client.webhooks.create(hook.url, ["member.joined"])
    news = await shop.client.chats.create("channel", "News", public=True)
    await shop.client.messages.send(news.id, "Hello")
    await world.settle()
    assert await rows(world.database, message_counts) == []


async def test_products_hear_of_their_own_chats_only(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    other = await world.product("other")
    await other.client.webhooks.create(hook.url, ALL)
    group = await shop.client.chats.create("group", "Tea")
    await shop.client.members.add(group.id, "@alice:world")
    await told(world)
    assert hook.requests == []


async def test_one_cause_is_told_once_also_after_a_crash(database: Database, hook: Receiver) -> None:
    async with ApiWorld(database) as world:
        shop = await world.product()
        made = await shop.client.webhooks.create(hook.url, ["member.joined"])
        group = await shop.client.chats.create("group", "Tea", owner="@alice:world")
        await world.person("alice").joins(group.room_id)
        await world.restart(kill=True)
        world.homeserver.dead = False
        await told(world)
        assert [event.type for event in events(hook, made.secret, world)] == ["member.joined"]


async def test_what_is_not_taken_is_tried_again(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ["ping"])
    hook.status = 500
    delivery = await shop.client.webhooks.ping(made.id)
    await told(world)
    await told(world)
    assert len(hook.requests) == 1
    world.clock.advance(seconds=12)
    await told(world)
    hook.status = 200
    world.clock.advance(seconds=24)
    await told(world)
    assert [headers["X-Rialto-Delivery"] for headers, _ in hook.requests] == [delivery.id] * 3
    assert len({body for _, body in hook.requests}) == 1
    found = [each async for each in shop.client.webhooks.deliveries(made.id)]
    assert [(each.state, each.attempts, each.last_status) for each in found] == [("delivered", 3, 200)]
    assert [row["payload"] for row in await rows(world.database, webhook_deliveries)] == [b""]


async def test_the_order_of_one_webhook_is_kept(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ["chat.created"])
    hook.status = 503
    for number in range(3):
        await shop.client.chats.create("group", f"C{number}", external_id=f"c{number}")
        world.clock.advance(milliseconds=1)
    await told(world)
    assert len(hook.requests) == 1  # one that does not take the first is not asked about the others
    hook.status = 204
    hook.requests.clear()
    world.clock.advance(seconds=12)
    await told(world)
    assert [event.data["external_id"] for event in events(hook, made.secret, world)] == ["c0", "c1", "c2"]


async def test_a_webhook_that_takes_nothing_for_days_is_paused(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ["ping"])
    hook.status = 500
    await shop.client.webhooks.ping(made.id)
    await told(world)
    world.clock.advance(milliseconds=GIVE_UP_MS)
    await told(world)
    found = await shop.client.webhooks.get(made.id)
    assert found.paused and found.pause_reason
    assert [each.state async for each in shop.client.webhooks.deliveries(made.id)] == ["failed"]
    assert not (await shop.client.webhooks.change(made.id, paused=False)).paused
    hook.status, hook.requests = 200, []
    await shop.client.webhooks.ping(made.id)
    await told(world)
    assert len(hook.requests) == 1


async def test_a_webhook_that_is_gone_is_paused_at_once(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ["ping"])
    hook.status = 410
    await shop.client.webhooks.ping(made.id)
    await told(world)
    assert (await shop.client.webhooks.get(made.id)).paused


async def test_redirects_are_not_followed(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ["ping"])
    hook.status = 302
    await shop.client.webhooks.ping(made.id)
    await told(world)
    assert len(hook.requests) == 1


async def test_a_secret_is_exchanged_without_a_gap(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ["ping"])
    rotated = await shop.client.webhooks.rotate_secret(made.id, overlap=3600)
    assert rotated.secret != made.secret
    await shop.client.webhooks.ping(made.id)
    await told(world)
    for secret in (made.secret, rotated.secret):
        assert len(events(hook, secret, world)) == 1
    hook.requests.clear()
    world.clock.advance(seconds=3601)
    await shop.client.webhooks.ping(made.id)
    await told(world)
    assert len(events(hook, rotated.secret, world)) == 1
    with pytest.raises(WebhookRefused):
        events(hook, made.secret, world)


async def test_the_same_request_makes_one_webhook_also_after_a_crash(world: ApiWorld, shop: Product) -> None:
    from bridge.store.product_tables import api_requests

    body = {"url": "https://example.org/hook", "events": ["ping"]}
    _, first = await shop.ask("POST", "/webhooks", body, key="w")
    await world.database.write(lambda connection: connection.execute(api_requests.delete()))
    _, again = await shop.ask("POST", "/webhooks", body, key="w")
    assert (again["id"], again["secret"]) == (first["id"], first["secret"])
    stored = str([dict(row) for row in await rows(world.database, webhooks)])
    assert first["secret"] not in stored and first["secret"][6:] not in stored


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://localhost/",
        "https://user:secret@example.org/",
        "https://2130706433/",
        "https://0x7f.1/",
        "ftp://example.org/",
        "https://",
        "file:///etc/passwd",
        "https://example.org\\@10.0.0.1/",
    ],
)
async def test_addresses_that_are_not_called(world: ApiWorld, shop: Product, url: str) -> None:
    status, problem = await shop.ask("POST", "/webhooks", {"url": url, "events": ["ping"]})
    assert status == 422 and problem["code"] in {"bad_url", "bad_body"}
    assert await rows(world.database, webhooks) == []


async def test_a_name_that_leads_inside_is_not_called(database: Database, hook: Receiver) -> None:
    async with ApiWorld(database, api={"webhook_networks": []}) as world:

        async def rebound(_host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        world.embedding.sender._lookup = rebound
        shop = await world.product()
        port = hook.url.rpartition(":")[2].partition("/")[0]
        made = await shop.client.webhooks.create(f"https://inside.example.org:{port}/", ["ping"])
        await shop.client.webhooks.ping(made.id)
        await told(world)
        assert hook.requests == []
        found = [each async for each in shop.client.webhooks.deliveries(made.id)]
        assert [(each.state, each.last_status) for each in found] == [("pending", 0)]


async def test_webhooks_are_their_own_products(world: ApiWorld, shop: Product) -> None:
    other = await world.product("other")
    made = await shop.client.webhooks.create("https://example.org/hook", ["ping"])
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"paused": True}),
        ("DELETE", "", None),
        ("POST", "/ping", None),
        ("POST", "/secret/rotate", {}),
        ("GET", "/deliveries", None),
    ):
        status, problem = await other.ask(method, f"/webhooks/{made.id}{path}", body)
        assert (status, problem["code"]) == (404, "no_such_webhook")
    assert [each.id async for each in other.client.webhooks.all()] == []
    assert [each.id async for each in shop.client.webhooks.all()] == [made.id]
    await shop.client.webhooks.remove(made.id)
    assert await rows(world.database, webhooks) == []


async def test_webhooks_are_bounded(shop: Product) -> None:
    for _ in range(20):
        await shop.client.webhooks.create("https://example.org/hook", ["ping"])
    with pytest.raises(ApiError, match="too_many_webhooks"):
        await shop.client.webhooks.create("https://example.org/hook", ["ping"])


async def test_finished_deliveries_are_forgotten(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ["ping"])
    await shop.client.webhooks.ping(made.id)
    await told(world)
    world.clock.advance(days=8)
    while await world.embedding.purge():
        pass
    assert await rows(world.database, webhook_deliveries) == []


# Notices


async def test_a_notice_is_sent_once(world: ApiWorld, shop: Product, hook: Receiver) -> None:
    made = await shop.client.webhooks.create(hook.url, ["message.sent"])
    news = await shop.client.chats.create("channel", "News", public=True)
    body = {"text": "<b>Hello</b> & welcome", "html": "<b onclick=x>Hello</b><script>x</script><img src=x>"}
    _, first = await shop.ask("POST", f"/chats/{news.id}/messages", body, key="m")
    _, again = await shop.ask("POST", f"/chats/{news.id}/messages", body, key="m")
    assert first["id"] == again["id"] and first["state"] == "pending"
    await told(world)
    sent = [event for event in world.room(news.room_id).timeline if event["type"] == "m.room.message"]
    assert [event["content"]["body"] for event in sent] == ["<b>Hello</b> & welcome"]
    content = sent[0]["content"]
    assert content["formatted_body"] == "<b>Hello</b>" and content["msgtype"] == "m.notice"
    assert content["chat.rialto.product"] == {"name": "shop", "title": "Shop"}
    found = await shop.client.messages.get(news.id, first["id"])
    assert (found.state, found.event_id) == ("sent", sent[0]["event_id"])
    assert [event.data["id"] for event in events(hook, made.secret, world)] == [first["id"]]
    stored = str([dict(row) for row in await rows(world.database, product_messages)])
    assert "Hello" not in stored


async def test_a_notice_survives_a_crash_and_is_sent_once(database: Database) -> None:
    async with ApiWorld(database) as world:
        shop = await world.product()
        news = await shop.client.chats.create("channel", "News", public=True)
        world.held = True
        _, first = await shop.ask("POST", f"/chats/{news.id}/messages", {"text": "Hello"}, key="m")
        await world.restart(kill=True)
        world.held = False
        shop = world.with_key(shop.made)
        _, again = await shop.ask("POST", f"/chats/{news.id}/messages", {"text": "Hello"}, key="m")
        assert first["id"] == again["id"]
        await told(world)
        sent = [event for event in world.room(news.room_id).timeline if event["type"] == "m.room.message"]
        assert len(sent) == 1


async def test_nothing_is_written_into_encrypted_chats_of_people(world: ApiWorld, shop: Product) -> None:
    for kind, more in (("group", {}), ("channel", {}), ("direct", {"owner": "@a:world", "members": ["@b:world"]})):
        chat = await shop.client.chats.create(kind, "Private", **more)  # type: ignore[arg-type]
        with pytest.raises(ApiError) as refused:
            await shop.client.messages.send(chat.id, "Hello")
        assert (refused.value.status, refused.value.code) == (422, "chat_encrypted")
    assert await rows(world.database, product_messages) == []


@pytest.mark.parametrize("text", ["", "  ", "a\x07b", "\u202eevil", "x" * 4_001])
async def test_notices_that_cannot_be(world: ApiWorld, shop: Product, text: str) -> None:
    news = await shop.client.chats.create("channel", "News", public=True)
    assert (await shop.ask("POST", f"/chats/{news.id}/messages", {"text": text}))[0] == 422


async def test_notices_of_others_do_not_exist(world: ApiWorld, shop: Product) -> None:
    news = await shop.client.chats.create("channel", "News", public=True)
    second = await shop.client.chats.create("channel", "More", public=True)
    sent = await shop.client.messages.send(news.id, "Hello")
    assert (await shop.ask("GET", f"/chats/{second.id}/messages/{sent.id}"))[0] == 404
    other = await world.product("other")
    assert (await other.ask("GET", f"/chats/{news.id}/messages/{sent.id}"))[0] == 404


def test_a_receiver_believes_nothing_unsigned() -> None:
    body = json.dumps({"id": "a", "type": "ping", "at": 1, "chat": None, "data": {}}).encode()
    with pytest.raises(WebhookRefused):
        read_webhook("secret", {}, body)
    with pytest.raises(WebhookRefused):
        read_webhook("secret", {"X-Rialto-Signature": "t=1,v1=" + "0" * 64}, body, now=1)


async def test_a_notice_into_a_service_chat_goes_by_a_bot_with_a_device(world: ApiWorld, shop: Product) -> None:
    chat = await shop.client.chats.create("service", "Your order", owner="@alice:world")
    assert chat.encrypted
    await world.person("alice").joins(chat.room_id)
    for number in range(2):
        await shop.client.messages.send(chat.id, f"Notice {number}")
        await told(world)
    sent = [
        event for event in world.room(chat.room_id).timeline if event["type"] in {"m.room.message", "m.room.encrypted"}
    ]
    assert [event["sender"] for event in sent] == [HUB, HUB]
    assert world.room(chat.room_id).membership(HUB) == "join"


async def test_without_a_bot_nothing_is_said_in_a_service_chat(database: Database) -> None:
    async with ApiWorld(database, hub=False) as world:
        shop = await world.product()
        chat = await shop.client.chats.create("service", "Your order", owner="@alice:world")
        with pytest.raises(ApiError, match="chat_encrypted"):
            await shop.client.messages.send(chat.id, "Notice")
