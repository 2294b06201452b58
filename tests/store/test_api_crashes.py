"""Crashes of the API: the process is gone after any commit of a request, and the same request goes on with its key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import pytest
from sqlalchemy import Connection, select

from appservice.database import Database
from bridge.api.embedding import PREFIX
from bridge.store.chat_tables import chats
from bridge.store.link_tables import chat_links
from bridge.store.product_tables import webhook_deliveries, webhooks
from tests.store.harness import FlakyDatabase
from tests.support.api import ApiWorld, Product

T = TypeVar("T")
MOST_COMMITS = 30


class Mortal(FlakyDatabase):
    """After some commits nothing is written any more, and nobody hears of the last one."""

    left: int | None = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        if self.left is not None and self.left <= 0:
            raise asyncio.CancelledError
        found = await self.inner.write(work)
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                raise asyncio.CancelledError
        return found


@dataclass
class Place:
    """A product with a webhook, in a process that can be killed at any commit."""

    world: ApiWorld
    mortal: Mortal
    shop: Product
    hook: str

    async def crashes(self, after: int, method: str, path: str, body: Any, key: str) -> bool:
        """Make a request to a process that is gone after so many commits; False: it had come to its end before."""
        headers = {"Authorization": f"Bearer {self.shop.key}", "Idempotency-Key": key}
        url = f"{self.world.url}{PREFIX}{path}"
        self.mortal.left = after
        try:
            async with self.world.session.request(method, url, json=body, headers=headers) as response:
                await response.read()
        except aiohttp.ClientError:
            return True
        finally:
            self.mortal.left = None
            await self.world.restart(kill=True)
            self.shop = self.world.with_key(self.shop.made)
        return False

    async def rows(self, table: Any, **where: Any) -> list[Any]:
        query = select(table).filter_by(**where)
        return await self.mortal.read(lambda connection: list(connection.execute(query).mappings()))

    async def told(self, kind: str) -> int:
        """How often webhooks are to be told of something."""
        return len(await self.rows(webhook_deliveries, type=kind))


@pytest.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    mortal = Mortal(database)
    async with ApiWorld(mortal) as world:
        shop = await world.product()
        hook = await shop.client.webhooks.create("https://example.org/hook", ["chat.created", "chat.deleted"])
        yield Place(world, mortal, shop, hook.id)


async def everywhere(case: Callable[[int], Awaitable[bool]]) -> int:
    """Try a case with a crash after the first commit, the second, … until it comes to its end; how many there were."""
    for after in range(1, MOST_COMMITS):
        if not await case(after):
            return after - 1
    raise AssertionError("it never comes to its end")


async def test_a_link_is_not_made_twice(place: Place) -> None:
    chat = await place.shop.client.chats.create("group", "Tea")
    body = {"title": "Flyer", "uses": 5}

    async def case(after: int) -> bool:
        before = {row["id"] for row in await place.rows(chat_links)}

        request = ("POST", f"/chats/{chat.id}/links", body)
        crashed = await place.crashes(after, *request, f"link-{after}")
        status, link = await place.shop.ask(*request, key=f"link-{after}")
        made = {row["id"] for row in await place.rows(chat_links)} - before
        assert status == 201 and made == {link["id"]}, after
        assert await place.shop.ask(*request, key=f"link-{after}") == (201, link)
        assert await place.world.messenger.links.by_token(link["code"]) is not None
        return crashed

    assert await everywhere(case) >= 2  # the claim of the key, and the link with the answer


async def test_that_a_chat_was_made_is_told_once(place: Place) -> None:
    async def case(after: int) -> bool:
        body = {"kind": "group", "name": "Tea", "external_id": f"tea-{after}"}
        before = await place.told("chat.created")

        crashed = await place.crashes(after, "POST", "/chats", body, f"chat-{after}")
        # Also when nobody asks again: who is made is told of, who is not is not.
        there = await place.rows(chats, external_id=f"tea-{after}")
        assert await place.told("chat.created") - before == len(there), after
        answers = [await place.shop.ask("POST", "/chats", body, key=f"chat-{after}") for _ in range(2)]
        assert [status for status, _ in answers] == [201, 201] and answers[0] == answers[1]
        assert await place.told("chat.created") - before == 1, after
        assert len(await place.rows(chats, external_id=f"tea-{after}")) == 1
        return crashed

    assert await everywhere(case) >= 3


async def test_that_a_chat_was_deleted_is_told_once(place: Place) -> None:
    async def case(after: int) -> bool:
        chat = await place.shop.client.chats.create("group", "Tea")
        before = await place.told("chat.deleted")

        crashed = await place.crashes(after, "DELETE", f"/chats/{chat.id}", None, f"delete-{after}")
        gone = (await place.rows(chats, id=chat.id))[0]["deleted_at"] is not None
        assert await place.told("chat.deleted") - before == int(gone), after
        for _ in range(2):
            assert (await place.shop.ask("DELETE", f"/chats/{chat.id}", key=f"delete-{after}"))[0] == 204
        assert await place.told("chat.deleted") - before == 1, after
        return crashed

    assert await everywhere(case) >= 2


async def test_a_secret_that_the_product_knows_signs_on(place: Place) -> None:
    """A second exchange after a crash would leave a secret that the product has never seen."""
    known = ""

    async def case(after: int) -> bool:
        nonlocal known
        request = ("POST", f"/webhooks/{place.hook}/secret/rotate", {"overlap": 86_400})
        crashed = await place.crashes(after, *request, f"rotate-{after}")
        status, made = await place.shop.ask(*request, key=f"rotate-{after}")
        assert status == 200
        service = place.world.embedding.webhooks
        hook = await service.get("shop", place.hook)
        signing = [secret.decode() for secret in service.secrets(hook, place.world.clock.now_ms())]
        assert signing[0] == made["secret"] and known in {"", signing[1]}, after
        known = made["secret"]
        return crashed

    assert await everywhere(case) >= 2
    assert len(await place.rows(webhooks)) == 1


async def test_a_chat_is_not_upgraded_twice(place: Place) -> None:
    made = await place.shop.client.chats.create("group", "Tea")

    async def case(after: int) -> bool:
        before = {row["room_id"] for row in await place.rows(chats, id=made.id)}
        request = ("POST", f"/chats/{made.id}/upgrade", None)
        crashed = await place.crashes(after, *request, f"upgrade-{after}")
        status, chat = await place.shop.ask(*request, key=f"upgrade-{after}")
        rooms = {row["room_id"] for row in await place.rows(chats, id=made.id)} - before
        assert status == 200 and rooms == {chat["room_id"]}, after
        return crashed

    assert await everywhere(case) >= 2


async def test_a_chat_that_its_owner_deletes_is_told_too(place: Place) -> None:
    from bridge.actor import Actor

    alice = place.world.person("alice")
    made = await place.shop.client.chats.create("group", "Tea", owner=alice.user_id)
    await alice.joins(made.room_id)
    chat = await place.world.chats.get(Actor.person(alice.user_id), made.id)
    await place.world.chats.delete(Actor.person(alice.user_id), chat)
    assert await place.told("chat.deleted") == 1


async def test_a_chat_under_a_hold_is_not_told_as_deleted(place: Place) -> None:
    chat = await place.shop.client.chats.create("group", "Tea")
    await place.shop.client.retention.hold(chat.id, "court")
    assert (await place.shop.ask("DELETE", f"/chats/{chat.id}"))[0] == 409
    assert await place.told("chat.deleted") == 0
