"""People of products: made, linked, signed in, deactivated; seen by their own product only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.client import ApiError, RialtoClient
from bridge.identity.rights import Part
from bridge.store.product_tables import product_people, sign_in_tokens
from tests.support.api import ApiWorld, Product
from tests.support.messenger import PICKLE_KEY


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ApiWorld]:
    async with ApiWorld(database) as made:
        yield made


@pytest.fixture
async def shop(world: ApiWorld) -> Product:
    return await world.product()


@pytest.fixture
def openid(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """OpenID tokens that the homeserver knows, and whose they are."""
    known: dict[str, str] = {}

    async def owner(token: str) -> str | None:
        return known.get(token)

    monkeypatch.setattr(world.embedding.people, "_openid", owner)
    return known


async def test_a_person_is_made_once(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada", display_name="Ada")
    assert ada.managed and ada.user_id.startswith("@shop_") and "ada" not in ada.user_id
    assert world.accounts.users == {ada.user_id: {"displayname": "Ada"}}
    assert await shop.client.people.create("ada", display_name="Somebody else") == ada
    assert await shop.client.people.get("ada") == await shop.client.people.get(ada.user_id) == ada
    assert [entry.action async for entry in shop.client.audit.all()] == ["person.create"]


async def test_many_at_the_same_time_make_one(world: ApiWorld, shop: Product) -> None:
    made = await asyncio.gather(*(shop.client.people.create("ada") for _ in range(8)))
    assert len({person.user_id for person in made}) == 1 and len(world.accounts.users) == 1


async def test_a_page_after_the_other_gives_everybody_once(world: ApiWorld, shop: Product) -> None:
    for number in range(7):
        await shop.client.people.create(f"p{number}")
        if number % 3 == 0:
            world.clock.advance(seconds=1)
    found: list[str] = []
    after = ""
    while True:
        _, page = await shop.ask("GET", f"/people?limit=2{after}")
        found += [person["external_id"] for person in page["items"]]
        assert len(page["items"]) <= 2
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == ["p6", "p5", "p4", "p3", "p2", "p1", "p0"]
    assert [person.external_id async for person in shop.client.people.all()] == found


async def test_products_do_not_see_each_others_people(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    other = await world.product("other")
    for path in ("/people/ada", f"/people/{ada.user_id}"):
        for method, body in (("GET", None), ("PATCH", {"display_name": "x"}), ("DELETE", None)):
            status, problem = await other.ask(method, path, body)
            assert (status, problem["code"]) == (404, "no_such_person")
        assert (await other.ask("POST", f"{path}/sign-in", {}))[0] == 404
    assert (await other.ask("GET", "/people"))[1]["items"] == []
    assert world.accounts.deactivated == []


async def test_renaming(world: ApiWorld, shop: Product) -> None:
    await shop.client.people.create("ada", display_name="Ada")
    assert (await shop.client.people.rename("ada", "  Ada L. ")).display_name == "Ada L."
    assert list(world.accounts.users.values()) == [{"displayname": "Ada L."}]


async def test_signing_in_takes_a_token_once(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    token = await shop.client.people.sign_in("ada")
    assert token.expires_at == world.clock.now_ms() + 120_000
    stored = str([dict(row) for row in await _rows(world.database, sign_in_tokens)])
    assert token.token not in stored
    async with RialtoClient(world.url) as device:
        signed = await device.people.exchange(token.token)
        assert (signed.user_id, signed.type) == (ada.user_id, "m.login.token")
        assert signed.login_token == f"login-1-{ada.user_id}"
        with pytest.raises(ApiError) as refused:
            await device.people.exchange(token.token)
        assert (refused.value.status, refused.value.code) == (404, "sign_in_token_invalid")
        with pytest.raises(ApiError, match="sign_in_token_invalid"):
            await device.people.exchange("invented")
    assert world.accounts.tokens == 1


async def test_of_many_devices_with_one_token_one_signs_in(world: ApiWorld, shop: Product) -> None:
    await shop.client.people.create("ada")
    token = await shop.client.people.sign_in("ada")
    answers = await asyncio.gather(*(shop.ask("POST", "/sign-in", {"token": token.token}) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [200] + [404] * 7


async def test_a_sign_in_token_ends(world: ApiWorld, shop: Product) -> None:
    await shop.client.people.create("ada")
    token = await shop.client.people.sign_in("ada", expires_in=10)
    world.clock.advance(seconds=10)
    assert (await shop.ask("POST", "/sign-in", {"token": token.token}))[0] == 404
    world.clock.advance(hours=2)
    while await world.embedding.purge():
        pass
    assert await _rows(world.database, sign_in_tokens) == []


async def test_a_homeserver_that_is_away_uses_no_token_up(world: ApiWorld, shop: Product) -> None:
    await shop.client.people.create("ada")
    token = await shop.client.people.sign_in("ada")
    world.accounts.error = HomeserverError(0, "UNREACHABLE", "away")
    assert (await shop.ask("POST", "/sign-in", {"token": token.token}))[0] == 503
    world.accounts.error = None
    assert (await shop.ask("POST", "/sign-in", {"token": token.token}))[0] == 200


async def test_who_is_deactivated_is_out(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    token = await shop.client.people.sign_in("ada")
    await shop.client.people.deactivate("ada")
    await shop.client.people.deactivate("ada")
    assert world.accounts.deactivated == [ada.user_id]
    assert (await shop.client.people.get("ada")).deactivated_at == world.clock.now_ms()
    assert (await shop.ask("POST", "/sign-in", {"token": token.token}))[0] == 404
    assert (await shop.ask("POST", "/people/ada/sign-in", {}))[0] == 404
    status, problem = await shop.ask("POST", "/people", {"external_id": "ada"})
    assert (status, problem["code"]) == (409, "person_exists")


async def test_a_person_links_their_own_account(world: ApiWorld, shop: Product, openid: dict[str, str]) -> None:
    openid["token of carol"] = "@carol:world"
    carol = await shop.client.people.link("c-1", "token of carol")
    assert (carol.user_id, carol.managed) == ("@carol:world", False)
    assert await shop.client.people.link("c-1", "token of carol") == carol
    for call in (shop.client.people.sign_in("c-1"), shop.client.people.rename("c-1", "C")):
        with pytest.raises(ApiError) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (422, "person_linked")
    await shop.client.people.deactivate("c-1")
    assert world.accounts.deactivated == []
    assert (await shop.ask("GET", "/people/c-1"))[0] == 404


async def test_an_account_is_linked_by_nobody_but_its_owner(
    world: ApiWorld, shop: Product, openid: dict[str, str]
) -> None:
    openid |= {"bot": "@rialto:world", "steward": "@_rialto:world", "far": "@carol:elsewhere", "carol": "@carol:world"}
    for token in ("invented", "bot", "steward", "far"):
        with pytest.raises(ApiError) as refused:
            await shop.client.people.link("c-1", token)
        assert (refused.value.status, refused.value.code) == (422, "openid_token_invalid")
    await shop.client.people.link("c-1", "carol")
    for external_id in ("c-2", "c-1"):
        openid["dave"] = "@dave:world"
        with pytest.raises(ApiError) as refused:
            await shop.client.people.link(external_id, "carol" if external_id == "c-2" else "dave")
        assert (refused.value.status, refused.value.code) == (409, "person_exists")
    assert [row["user_id"] for row in await _rows(world.database, product_people)] == ["@carol:world"]


async def test_without_an_administrator_nobody_is_made(world: ApiWorld, shop: Product) -> None:
    world.accounts.available = False
    status, problem = await shop.ask("POST", "/people", {"external_id": "ada"})
    assert (status, problem["code"]) == (422, "no_administration")
    assert await _rows(world.database, product_people) == []


ATTACKS = [
    "'; DROP TABLE products; --",
    '" OR ""="',
    "<script>alert(1)</script>",
    "{{7*7}} ${7*7} %s %n",
    "../../etc/passwd",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "العربية עברית हिन्दी 中文 😀👩‍👩‍👧",
    "ﬁ ligature \u00e9 e\u0301",
    "a" * 100,
]


@pytest.mark.parametrize("text", ATTACKS)
async def test_names_are_text_and_nothing_else(world: ApiWorld, shop: Product, text: str) -> None:
    ada = await shop.client.people.create("ada", display_name=text)
    assert ada.display_name == text and (await shop.client.people.get("ada")).display_name == text
    response = await shop.respond("GET", "/people/ada")
    assert response.content_type == "application/json"
    assert json.loads(await response.read())["display_name"] == text
    assert len(await _rows(world.database, product_people)) == 1


async def _rows(database: Database, table: Any) -> Any:
    return await database.read(lambda connection: connection.execute(select(table)).mappings().all())


async def test_who_is_erased_is_nowhere(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    bob = await shop.client.people.create("bob")
    await shop.client.people.sign_in("ada")
    _, made = await shop.ask("POST", "/people", {"external_id": "ada"}, key="again")
    assert made["user_id"] == ada.user_id
    hook = await shop.client.webhooks.create("https://example.org/", ["member.invited"])
    group = await shop.client.chats.create("group", "Tea")
    for person in ("ada", "bob"):
        await shop.client.members.add(group.id, person)
    await world.settle()
    part = Part(PICKLE_KEY)
    exported = await world.database.read(lambda connection: list(part.export(connection, ada.user_id)))
    assert [row["external_id"] for row in exported[0][1]] == ["ada"]
    await world.database.write(lambda connection: part.erase(connection, ada.user_id, "erased:1"))
    assert (await shop.ask("GET", "/people/ada"))[0] == 404 and (await shop.client.people.get("bob")) == bob
    assert await _rows(world.database, sign_in_tokens) == []
    states = [each.state async for each in shop.client.webhooks.deliveries(hook.id)]
    assert sorted(states) == ["failed", "pending"]
    status, problem = await shop.ask("POST", "/people", {"external_id": "ada"}, key="again")
    assert (status, problem["code"]) == (410, "erased")


async def test_a_device_in_a_browser_may_exchange_its_token(world: ApiWorld, shop: Product) -> None:
    url = f"{world.url}/api/v1/sign-in"
    async with world.session.options(url, headers={"Origin": "https://shop.example.org"}) as response:
        assert response.status == 204 and response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Type" in response.headers["Access-Control-Allow-Headers"]
    async with world.session.post(url, json={"token": "x"}) as response:
        assert response.status == 404 and response.headers["Access-Control-Allow-Origin"] == "*"
    async with world.session.options(f"{world.url}/api/v1/people") as response:
        assert response.status == 405
    assert "Access-Control-Allow-Origin" not in (await shop.respond("GET", "/people")).headers
