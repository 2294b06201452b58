"""A product over plain HTTP, its people's devices with matrix-nio, a real Synapse, and Rialto as a process."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appservice.local.files import free_port
from appservice.terminal.client import ClientError, Login
from bridge.client import ApiError, RialtoClient, WebhookEvent, read_webhook
from tests.support.api import Receiver, receiver
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human
from tests.support.servers import REPOSITORY, RialtoProcess, Server

pytestmark = pytest.mark.timeout(240)
EVENTS = ["chat.created", "member.invited", "member.joined", "member.left", "messages.counted", "message.sent"]
EVENTS += ["message.read"]


@dataclass
class Shop:
    """A product: its backend's client, and the devices of its people."""

    server: Server
    rialto: RialtoProcess
    url: str
    key: str
    client: RialtoClient
    hook: Receiver
    folder: Path
    stack: AsyncExitStack
    keys_shown: list[str]

    async def device(self, external_id: str) -> Human:
        """A device of a person's signs in: the product hands it a token, and it logs in at the homeserver itself."""
        token = await self.client.people.sign_in(external_id)
        async with RialtoClient(self.url) as device:
            signed = await device.people.exchange(token.token)
        body = {"type": signed.type, "token": signed.login_token, "initial_device_display_name": "shop app"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{signed.homeserver_url}/_matrix/client/v3/login", json=body) as response,
        ):
            answer = await response.json()
            assert response.status == 200, answer
        self.keys_shown.append(answer["access_token"])
        human = Human(
            signed.homeserver_url, answer["user_id"], self.folder / external_id, device_id=answer["device_id"]
        )
        human.restore(Login(answer["user_id"], answer["device_id"], answer["access_token"]))
        await human.start()
        self.stack.push_async_callback(human.close)
        return human

    def told(self, secret: str) -> list[WebhookEvent]:
        """What the webhook was told, each proven."""
        return [read_webhook(secret, headers, body) for headers, body in self.hook.requests]


def command(rialto: RialtoProcess, *arguments: str) -> Any:
    """``rialto product …`` beside the running service."""
    done = subprocess.run(
        [sys.executable, "-m", "appservice.cli", "product", *arguments, "--json", "-c", str(rialto.config_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def until(condition: Callable[[], Any], what: str, timeout: float = 30) -> Any:
    """Wait until a condition (which may be awaited) holds; its value."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                found = condition()
                found = await found if asyncio.iscoroutine(found) else found
                if found:
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"did not happen: {what}") from None


@pytest.fixture
async def shop(synapse: Server, rialto: StartRialto, tmp_path: Path) -> AsyncIterator[Shop]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = await rialto(
        bots=("hub",),
        overrides={
            "web": {"enabled": True, "listen": f"127.0.0.1:{port}", "public_url": url},
            "messenger": {"api": {"enabled": True, "webhook_networks": ["127.0.0.0/8"]}},
        },
    )
    made = await asyncio.to_thread(command, process, "add", "shop", "--title", "The Shop")
    async with AsyncExitStack() as stack:
        hook = await stack.enter_async_context(receiver())
        client = await stack.enter_async_context(RialtoClient(url, made["key"], attempts=8))
        yield Shop(synapse, process, url, made["key"], client, hook, tmp_path, stack, [made["key"]])


async def test_a_products_people_chat_and_rialto_holds_none_of_their_keys(shop: Shop) -> None:
    hook = await shop.client.webhooks.create(shop.hook.url, EVENTS)
    for external_id in ("ada", "bob"):
        await shop.client.people.create(external_id, display_name=external_id.title())
    ada, bob = await shop.device("ada"), await shop.device("bob")
    group = await shop.client.chats.create(
        "group", "Order 4711", owner="ada", members=["bob"], external_id="order-4711"
    )
    assert group.encrypted
    for human in (ada, bob):
        assert await human.expect_invite() == group.room_id
        await human.join(group.room_id)

    async def members() -> bool:
        found = {each.external_id: each.role async for each in shop.client.members.all("ext:order-4711")}
        return found == {"ada": "owner", "bob": "writer"}

    await until(members, "both are members")
    heard = bob.expect(group.room_id, sender=ada.id, body="a secret word")
    await ada.say(group.room_id, "a secret word")
    await heard
    answer = ada.expect(group.room_id, sender=bob.id, body="another secret word")
    await bob.say(group.room_id, "another secret word")
    await answer

    with pytest.raises(ApiError, match="chat_encrypted"):
        await shop.client.messages.send(group.id, "A notice")
    service = await shop.client.chats.create("service", "Your order", owner="ada")
    await until(lambda: service.room_id in ada.nio.invited_rooms, "an invitation to the service chat")
    await ada.join(service.room_id)
    notice = ada.expect(service.room_id, sender=shop.rialto.bot("hub"), body="Your order is on its way.")
    await shop.client.messages.send(service.id, "Your order is on its way.")
    assert (await notice).encrypted
    changes = await shop.client.messages.changes(group.id, limit=200)
    assert [change.seq for change in changes.items] == list(range(1, changes.head + 1))
    written = [change for change in changes.items if change.type == "m.room.encrypted"]
    assert [change.sender for change in written] == [ada.id, bob.id]

    def joined() -> list[str]:
        told = [event for event in shop.told(hook.secret) if event.type == "member.joined" and event.chat == group.id]
        return sorted(event.data["user_id"] for event in told)

    await until(lambda: joined() == sorted([ada.id, bob.id]), "both joins are told")
    await shop.client.members.remove(group.id, "bob", reason="delivered")
    await until(lambda: [e for e in shop.told(hook.secret) if e.type == "member.left"], "the removal is told")
    assert b"secret word" not in b"".join(body for _, body in shop.hook.requests)

    await shop.client.people.deactivate("bob")
    with pytest.raises(ApiError, match="no_such_person"):
        await shop.client.people.sign_in("bob")
    stored = shop.rialto.everything_written()
    for secret in [*shop.keys_shown, hook.secret, "secret word"]:
        assert secret.encode() not in stored


async def test_notices_reach_a_channel_once_also_through_kills(shop: Shop, new_human: NewHuman) -> None:
    hook = await shop.client.webhooks.create(shop.hook.url, EVENTS)
    alice = await new_human("alice")
    openid = await alice.request("POST", f"/_matrix/client/v3/user/{alice.id}/openid/request_token", body={})
    linked = await shop.client.people.link("alice-1", openid["access_token"])
    assert (linked.user_id, linked.managed) == (alice.id, False)
    with pytest.raises(ApiError, match="openid_token_invalid"):
        await shop.client.people.link("eve", "invented")
    news = await shop.client.chats.create("channel", "News", public=True, alias="news")
    assert not news.encrypted
    await alice.join(news.alias)
    seen: list[str] = []
    alice.listeners.append(lambda it: seen.append(it.body) if it.type == "m.room.message" else None)
    for number in range(6):
        # The answer may be lost, the key makes the second request the same: a product tries until it is taken.
        sending = asyncio.create_task(shop.client.messages.send(news.id, f"notice {number}", key=f"notice-{number}"))
        if number % 2:
            await asyncio.sleep(0.02 * number)
            await shop.rialto.restart(kill=True)
        await sending
    await until(lambda: len(set(seen)) == 6, "all notices arrive")
    await asyncio.sleep(1)
    assert seen == [f"notice {number}" for number in range(6)]

    def all_sent() -> bool:
        sent = {event.data["id"] for event in shop.told(hook.secret) if event.type == "message.sent"}
        return len(sent) == 6

    await until(all_sent, "the webhook is told of each")
    hits = [hit.text async for hit in shop.client.messages.search("notice")]
    assert len(hits) == 6


async def test_people_of_a_product_are_suspended_copied_and_erased(shop: Shop) -> None:
    people = shop.client.people
    for external_id in ("ada", "bob"):
        await people.create(external_id, display_name=external_id.title())
    ada, bob = await shop.device("ada"), await shop.device("bob")
    news = await shop.client.chats.create("channel", "News", public=True, alias="shop-news", owner="ada")
    for human in (ada, bob):
        await human.join(news.room_id)
    await shop.client.members.set_role(news.id, "bob", "moderator")
    post, bobs = await ada.say(news.room_id, "The post"), await bob.say(news.room_id, "My own words")
    await until(lambda: _known(shop, news.id, bobs), "the service has seen both")
    erasure = await people.erase("bob")  # begins in some seconds; the rest goes on meanwhile

    heard = ada.expect(news.room_id, body="Thank you for that.")
    await shop.client.messages.comment(news.id, post, "Thank you for that.")
    comment = await heard

    async def commented() -> bool:
        return [each.event_id async for each in shop.client.messages.comments(news.id, post)] == [comment.event_id]

    await until(commented, "the comment is listed")
    link = await shop.client.links.create(news.id, title="Flyer")
    assert (await shop.client.links.qr(news.id, link.id, "png")).startswith(b"\x89PNG")

    assert (await people.suspend("ada", "spam")).state == "suspended"
    message = {"msgtype": "m.text", "body": "not to be said"}
    path = f"/_matrix/client/v3/rooms/{news.room_id}/send/m.room.message/"
    with pytest.raises(ClientError, match="M_USER_SUSPENDED"):
        await ada.request("PUT", path + "a", body=message)
    await people.unsuspend("ada")
    assert "event_id" in await ada.request("PUT", path + "b", body=message)

    export = await people.export("ada")

    async def made() -> bool:
        return (await people.get_export(export.id)).state == "done"

    await until(made, "the archive is made")
    archive = zipfile.ZipFile(io.BytesIO(await people.fetch(export)))
    said = [archive.read(name) for name in archive.namelist() if name.startswith(f"homeserver/said/{news.id}")]
    assert b"The post" in b"".join(said) and b"My own words" not in b"".join(said)

    async def erased() -> bool:
        return (await people.get_erasure(erasure.id)).state == "sweeping"

    await until(erased, "bob is erased", 60)
    with pytest.raises(ApiError, match="no_such_person"):
        await people.get("bob")
    with pytest.raises(ClientError, match="M_UNKNOWN_TOKEN"):
        await bob.request("GET", "/_matrix/client/v3/account/whoami")
    event = await ada.request("GET", f"/_matrix/client/v3/rooms/{news.room_id}/event/{bobs}")
    assert event["content"] == {}


async def _known(shop: Shop, chat: str, event_id: str) -> bool:
    changes = await shop.client.messages.changes(chat, limit=200)
    return any(each.event_id == event_id for each in changes.items)


async def test_keys_are_rotated_and_revoked_while_the_service_runs(shop: Shop) -> None:
    rotated = await asyncio.to_thread(command, shop.rialto, "rotate", shop.key.split("_")[1], "--overlap", "1")
    async with RialtoClient(shop.url, rotated["key"]) as new:
        assert (await new.product.get()).key.id == rotated["id"]
        assert (await shop.client.product.get()).key.expires_at is not None
        await asyncio.to_thread(command, shop.rialto, "revoke", shop.key.split("_")[1])

        async def refused() -> bool:
            try:
                await shop.client.product.get()
            except ApiError as error:
                return error.status == 401
            return False

        await until(refused, "the old key is refused", 5)
        limited = await asyncio.to_thread(command, shop.rialto, "key", "shop", "--scope", "chats.read")
        async with RialtoClient(shop.url, limited["key"]) as reader:
            with pytest.raises(ApiError, match="scope_missing"):
                await reader.people.create("eve")
    async with aiohttp.ClientSession() as session, session.get(f"{shop.url}/api/v1/openapi.json") as response:
        document = await response.json()
        assert response.status == 200 and document["openapi"].startswith("3.1")
        assert document["servers"] == [{"url": f"{shop.url}/api/v1"}]
