"""Who may ask what: every endpoint, with no key, a wrong one, another product's, and one that lacks the scope."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from appservice.database import Database
from bridge.api.endpoints import Endpoint
from bridge.domain.scopes import SCOPES
from tests.support.api import ApiWorld, Product

BODIES: dict[str, dict[str, Any]] = {
    "Rotation": {},
    "NewPerson": {"external_id": "eve"},
    "PersonChange": {"display_name": "Eve"},
    "NewSignIn": {},
    "NewChat": {"kind": "group", "name": "Eve's"},
    "ChatChange": {"name": "Eve's", "topic": "t", "slow_mode": 5, "archived": True},
    "Pin": {"event_id": "$event"},
    "Discussion": {"group": None},
    "TimerChange": {"seconds": 60},
    "RetentionChange": {"days": 5},
    "NewHold": {"reason": "court"},
    "NewMember": {"person": "@eve:world"},
    "RoleChange": {"role": "owner"},
    "Mute": {"seconds": 60},
    "Reason": {"reason": "why"},
    "NewOwner": {"person": "@eve:world"},
    "NewLink": {},
    "JoinAnswer": {"accept": True},
    "NewMessage": {"text": "spam"},
    "Acknowledgement": {"event_id": "$event"},
    "ReportAction": {"action": "dismiss"},
    "NewWebhook": {"url": "https://example.org/eve", "events": ["ping"]},
    "WebhookChange": {"paused": True},
    "SecretRotation": {},
    "NewSuspension": {"reason": "spam"},
    "Proof": {},
}


@dataclass(slots=True)
class Ground:
    """A product with one of everything, and another one that must see none of it."""

    world: ApiWorld
    shop: Product
    other: Product
    params: dict[str, str]
    secrets: list[str]

    def path(self, endpoint: Endpoint) -> str:
        path = endpoint.path
        for name in endpoint.parameters:
            path = path.replace(f"{{{name}}}", self.params[name])
        return path

    def body(self, endpoint: Endpoint) -> Any:
        return None if endpoint.body is None else BODIES[endpoint.body.__name__]


@pytest.fixture(scope="module")
async def ground() -> AsyncIterator[Ground]:
    async with ApiWorld(api={"reads_per_minute": 1_000_000, "writes_per_minute": 1_000_000}) as world:
        shop, other = await world.product(), await world.product("other")
        ada = await shop.client.people.create("ada", display_name="Ada Secret")
        chat = await shop.client.chats.create("channel", "Secret News", public=True, external_id="news", owner="ada")
        alice = world.person("alice")
        await shop.client.members.add(chat.id, alice.user_id)
        await alice.joins(chat.room_id)
        await world.person(ada.user_id[1:].partition(":")[0]).joins(chat.room_id)
        message = await shop.client.messages.send(chat.id, "Secret words")
        await world.settle()
        await world.embedding.settle()
        event_id = (await shop.client.messages.get(chat.id, message.id)).event_id or ""
        hook = await shop.client.webhooks.create("https://secret.example.org/hook", ["ping"])
        params = {
            "chat": chat.id,
            "person": alice.user_id,
            "message": message.id,
            "event": event_id,
            "webhook": hook.id,
            "link": "01JM3ZK8V4T9N2Q6R7S8T9V0WX",
            "report": "01JM3ZK8V4T9N2Q6R7S8T9V0WX",
        }
        params["export"] = (await shop.client.people.export("ada")).id
        params["erasure"] = (await shop.client.people.erase("ada")).id
        await world.person("bob").joins(chat.room_id)
        params["report"] = (await world.messenger.moderation.report("@bob:world", chat.room_id, alice.user_id)).id
        names = {endpoint.name for endpoint in world.embedding.api.endpoints}
        if "createLink" in names:
            params["link"] = (await shop.client.links.create(chat.id, title="Secret door")).id
        secrets = [ada.user_id, chat.id, chat.room_id, message.id, hook.id, "Secret", "secret.example"]
        yield Ground(world, shop, other, params, secrets)


def endpoints(ground: Ground) -> list[Endpoint]:
    """Those that ask for a key, with those that end things last."""
    found = [each for each in ground.world.embedding.api.endpoints if each.scope is not None]
    return sorted(found, key=lambda each: each.method == "DELETE")


def test_every_scope_is_asked_for_by_something(ground: Ground) -> None:
    asked = {each.scope for each in endpoints(ground)} - {""}
    assert asked <= set(SCOPES)
    assert {endpoint.body.__name__ for endpoint in endpoints(ground) if endpoint.body} <= set(BODIES)


async def test_without_a_key(ground: Ground) -> None:
    for endpoint in endpoints(ground):
        url = f"{ground.world.url}/api/v1{ground.path(endpoint)}"
        headers = {"Idempotency-Key": "x"}
        for authorization in (None, "Bearer ", f"Bearer {ground.shop.key[:-1]}", f"Basic {ground.shop.key}"):
            sent = headers if authorization is None else headers | {"Authorization": authorization}
            async with ground.world.session.request(
                endpoint.method, url, headers=sent, json=ground.body(endpoint)
            ) as response:
                body = await response.read()
                assert response.status == 401, endpoint.name
                assert not any(secret.encode() in body for secret in ground.secrets)


async def test_without_the_scope(ground: Ground) -> None:
    for endpoint in endpoints(ground):
        if not endpoint.scope:
            continue
        made = await ground.world.embedding.products.add_key("shop", set(SCOPES) - {endpoint.scope})
        limited = ground.world.with_key(made)
        status, problem = await limited.ask(endpoint.method, ground.path(endpoint), ground.body(endpoint))
        assert (status, problem["code"]) == (403, "scope_missing"), endpoint.name
        await ground.world.embedding.products.revoke(made.key.id)
        assert (await limited.ask(endpoint.method, ground.path(endpoint)))[0] == 401


OWNED = {"chat", "message", "event", "webhook", "link", "report", "export", "erasure"}
"""Parts of paths that name something of a product's."""


async def test_with_another_products_key(ground: Ground) -> None:
    before = await _picture(ground)
    for endpoint in endpoints(ground):
        if endpoint.name == "rotateKey":
            continue
        status, answer = await ground.other.ask(endpoint.method, ground.path(endpoint), ground.body(endpoint))
        if OWNED & set(endpoint.parameters) or "person" in endpoint.parameters:
            assert status == 404, (endpoint.name, answer)
        else:
            assert status < 300, (endpoint.name, answer)
        written = str(answer)
        for secret in ground.secrets:
            assert secret not in written, (endpoint.name, secret)
    assert await _picture(ground) == before


async def test_ids_cannot_be_guessed(ground: Ground) -> None:
    """What is not there and what is another's look the same."""
    guesses = {
        "chat": ["00000000000000000000000000", "!room1:world", "!nothing:world", "ext:news", "ext:nothing"],
        "webhook": ["00000000000000000000000000"],
        "message": ["00000000000000000000000000"],
        "link": ["00000000000000000000000000"],
        "report": ["00000000000000000000000000"],
        "event": ["$nothing"],
        "export": ["00000000000000000000000000"],
        "erasure": ["00000000000000000000000000"],
    }
    for endpoint in endpoints(ground):
        owned = [name for name in endpoint.parameters if name in OWNED]
        if not owned:
            continue
        real = await ground.other.ask(endpoint.method, ground.path(endpoint), ground.body(endpoint))
        for guess in guesses[owned[0]]:
            path = ground.path(endpoint).replace(ground.params[owned[0]], guess)
            assert await ground.other.ask(endpoint.method, path, ground.body(endpoint)) == real, endpoint.name


async def _picture(ground: Ground) -> list[Any]:
    """What the product sees of its own."""
    chat = ground.params["chat"]
    paths = ["/product", "/people", "/chats", f"/chats/{chat}", f"/chats/{chat}/members", "/webhooks"]
    paths += [f"/chats/{chat}/members?membership=ban", f"/webhooks/{ground.params['webhook']}/deliveries"]
    return [await ground.shop.ask("GET", path) for path in paths]


async def test_it_is_so_on_both_databases(database: Database) -> None:
    """What belongs to whom is a question of SQL."""
    async with ApiWorld(database) as world:
        shop, other = await world.product(), await world.product("other")
        chat = await shop.client.chats.create("group", "Tea", external_id="tea")
        hook = await shop.client.webhooks.create("https://example.org/", ["ping"])
        for path in (f"/chats/{chat.id}", "/chats/ext:tea", f"/chats/{chat.room_id}/members", f"/webhooks/{hook.id}"):
            assert (await other.ask("GET", path))[0] == 404
            assert (await shop.ask("GET", path))[0] == 200
