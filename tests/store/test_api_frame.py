"""The frame of the API on both databases: keys, scopes, rates, bodies, idempotency, problems as documented."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.api.endpoints import Call
from bridge.api.models.people import NewPerson
from bridge.identity.products import MadeKey, Products
from bridge.store.product_tables import api_requests, product_keys, product_people
from tests.support.api import ApiWorld, Product

PERSON = {"external_id": "ada"}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ApiWorld]:
    async with ApiWorld(database) as made:
        yield made


@pytest.fixture
async def shop(world: ApiWorld) -> Product:
    return await world.product()


def rows(database: Database, table: Any) -> Any:
    return database.read(lambda connection: connection.execute(select(table)).mappings().all())


async def test_a_key_says_whose_it_is(shop: Product) -> None:
    found = await shop.client.product.get()
    assert (found.name, found.title, found.key.id) == ("shop", "Shop", shop.made.key.id)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer x", "Basic {key}", "{key}", "Bearer {key}x", "Bearer {other}", "Bearer {key}\t"],
)
async def test_without_a_good_key_nothing(world: ApiWorld, shop: Product, header: str | None) -> None:
    other = Products(world.database, world.messenger.audit, world.clock, "another pickle key")
    forged = await other.add("forger", "Forger", ["people.read"])
    headers = {} if header is None else {"Authorization": header.format(key=shop.key, other=forged.text)}
    async with world.session.get(world.url + "/api/v1/product", headers=headers) as response:
        if header == "Bearer {key}\t":
            assert response.status == 200  # white space around it is not of it
            return
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.content_type == "application/problem+json"
        assert (await response.json(content_type=None))["code"] == "no_such_key"


async def test_the_database_does_not_know_the_key(world: ApiWorld, shop: Product) -> None:
    found = str([dict(row) for row in await rows(world.database, product_keys)])
    assert shop.key not in found and shop.key.split("_")[2][:20] not in found


async def test_a_rotation_has_no_gap(world: ApiWorld, shop: Product) -> None:
    rotated = await shop.client.product.rotate_key(overlap=3600)
    new = world.with_key(MadeKey(replace(shop.made.key, id=rotated.id), rotated.key))
    assert (await new.client.product.get()).key.scopes == sorted(shop.made.key.scopes)
    assert (await shop.client.product.get()).key.expires_at == rotated.old_expires_at
    status, problem = await shop.ask("POST", "/product/key/rotate", {})
    assert (status, problem["code"]) == (409, "key_rotated")
    world.clock.advance(seconds=3601)
    assert (await shop.ask("GET", "/product"))[0] == 401
    assert (await new.ask("GET", "/product"))[0] == 200


async def test_a_rotation_whose_answer_was_lost_gives_the_same_key(world: ApiWorld, shop: Product) -> None:
    _, first = await shop.ask("POST", "/product/key/rotate", {}, key="rotate-1")
    # As after a crash between the rotation and the record of its answer.
    await world.database.write(lambda connection: connection.execute(api_requests.delete()))
    status, again = await shop.ask("POST", "/product/key/rotate", {}, key="rotate-1")
    assert (status, again["key"], again["id"]) == (200, first["key"], first["id"])


async def test_a_revoked_key_is_refused_at_once(world: ApiWorld, shop: Product) -> None:
    assert (await shop.ask("GET", "/product"))[0] == 200
    await world.embedding.products.revoke(shop.made.key.id)
    assert (await shop.ask("GET", "/product"))[0] == 401


async def test_a_key_that_another_process_revoked_is_refused_a_second_later(world: ApiWorld, shop: Product) -> None:
    assert (await shop.ask("GET", "/product"))[0] == 200
    now = world.clock.now_ms()
    await world.database.write(lambda connection: connection.execute(update(product_keys).values(revoked_at=now)))
    world.clock.advance(seconds=1)
    assert (await shop.ask("GET", "/product"))[0] == 401


async def test_each_scope_counts(world: ApiWorld) -> None:
    reader = await world.product("reader", ["people.read"])
    assert (await reader.ask("GET", "/people"))[0] == 200
    status, problem = await reader.ask("POST", "/people", PERSON)
    assert (status, problem["code"]) == (403, "scope_missing") and "people.write" in problem["detail"]


async def test_rates_are_told_and_kept(database: Database) -> None:
    async with ApiWorld(database, api={"reads_per_minute": 3, "writes_per_minute": 2}) as world:
        shop, other = await world.product(), await world.product("other")
        left = []
        for _ in range(3):
            response = await shop.respond("GET", "/product")
            left.append(int(response.headers["RateLimit-Remaining"]))
            assert response.headers["RateLimit-Limit"] == "3" and response.headers["RateLimit-Policy"] == "3;w=60"
        assert left == [2, 1, 0]
        response = await shop.respond("GET", "/product")
        assert response.status == 429 and 1 <= int(response.headers["Retry-After"]) <= 21
        assert (await response.json(content_type=None))["code"] == "too_many"
        assert (await shop.ask("POST", "/people", PERSON))[0] == 201  # writes are counted by themselves
        assert (await other.ask("GET", "/product"))[0] == 200  # and each key


# Idempotency


async def test_the_same_request_twice_happens_once(world: ApiWorld, shop: Product) -> None:
    first = await shop.respond("POST", "/people", {"external_id": "ada", "display_name": "Ada"}, key="one")
    world.clock.advance(hours=23)
    again = await shop.respond("POST", "/people", {"display_name": "Ada", "external_id": "ada"}, key="one")
    assert (first.status, again.status) == (201, 201)
    assert await first.read() == await again.read()
    assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"


async def test_a_key_is_for_one_request(shop: Product) -> None:
    assert (await shop.ask("POST", "/people", PERSON, key="one"))[0] == 201
    for method, path, body in (
        ("POST", "/people", {"external_id": "bob"}),
        ("PATCH", "/people/ada", {"display_name": "A"}),
        ("DELETE", "/people/ada", None),
    ):
        status, problem = await shop.ask(method, path, body, key="one")
        assert (status, problem["code"]) == (422, "idempotency_key_reused")
    assert (await shop.client.people.get("ada")).deactivated_at is None


async def test_keys_of_products_do_not_meet(world: ApiWorld, shop: Product) -> None:
    other = await world.product("other")
    _, ours = await shop.ask("POST", "/people", PERSON, key="one")
    status, theirs = await other.ask("POST", "/people", PERSON, key="one")
    assert status == 201 and ours["user_id"] != theirs["user_id"]


async def test_a_post_needs_a_key(world: ApiWorld, shop: Product) -> None:
    headers = {"Authorization": f"Bearer {shop.key}"}
    url = world.url + "/api/v1/people"
    async with world.session.post(url, headers=headers, json=PERSON) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (400, "no_idempotency_key")
    for bad in ("a b", "ä", "x" * 256):
        async with world.session.post(url, headers=headers | {"Idempotency-Key": bad}, json=PERSON) as response:
            assert (response.status, (await response.json(content_type=None))["code"]) == (400, "bad_idempotency_key")
    assert await rows(world.database, product_people) == []


async def test_what_was_refused_stays_refused_for_its_key(shop: Product) -> None:
    status, problem = await shop.ask("DELETE", "/people/ada", key="gone")
    assert (status, problem["code"]) == (404, "no_such_person")
    await shop.client.people.create("ada")
    assert await shop.ask("DELETE", "/people/ada", key="gone") == (404, problem)
    assert (await shop.ask("DELETE", "/people/ada", key="other"))[0] == 204


async def test_what_failed_for_a_moment_is_tried_again(world: ApiWorld, shop: Product) -> None:
    world.accounts.error = HomeserverError(0, "UNREACHABLE", "away")
    response = await shop.respond("POST", "/people", PERSON, key="one")
    assert response.status == 503 and "Retry-After" in response.headers
    world.accounts.error = None
    assert (await shop.ask("POST", "/people", PERSON, key="one"))[0] == 201


async def test_of_twins_one_works_and_the_other_waits(world: ApiWorld, shop: Product) -> None:
    begun, go_on, runs = asyncio.Event(), asyncio.Event(), 0
    original = world.accounts.put_user

    async def slow(user_id: str, **values: Any) -> dict[str, Any]:
        nonlocal runs
        runs += 1
        begun.set()
        await go_on.wait()
        return await original(user_id, **values)

    world.accounts.put_user = slow  # type: ignore[method-assign]
    twins = [asyncio.create_task(shop.respond("POST", "/people", PERSON, key="one")) for _ in range(5)]
    await begun.wait()
    await asyncio.sleep(0.05)
    assert not any(twin.done() for twin in twins)
    go_on.set()
    answers = await asyncio.gather(*twins)
    assert [answer.status for answer in answers] == [201] * 5 and runs == 1
    assert len({await answer.read() for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 4


async def test_a_twin_that_waits_too_long_is_told_to_come_back(world: ApiWorld, shop: Product) -> None:
    world.embedding.idempotency._wait_s = 0.05
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(user_id: str, **values: Any) -> dict[str, Any]:
        begun.set()
        await go_on.wait()
        return {}

    world.accounts.put_user = slow  # type: ignore[method-assign]
    first = asyncio.create_task(shop.respond("POST", "/people", PERSON, key="one"))
    await begun.wait()
    twin = await shop.respond("POST", "/people", PERSON, key="one")
    assert twin.status == 409 and "Retry-After" in twin.headers
    assert (await twin.json(content_type=None))["code"] == "request_in_progress"
    go_on.set()
    assert (await first).status == 201


async def test_after_a_crash_the_same_key_goes_on(world: ApiWorld, shop: Product) -> None:
    async def dies(user_id: str, **values: Any) -> dict[str, Any]:
        raise asyncio.CancelledError

    world.accounts.put_user = dies  # type: ignore[method-assign]

    def release_nothing(_connection: Connection, *_: Any) -> None:
        """A process that is gone releases nothing."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridge.api.idempotency.store.release", release_nothing)
        with pytest.raises(Exception, match="Server disconnected"):
            await shop.respond("POST", "/people", PERSON, key="one")
    kept = (await rows(world.database, api_requests))[0]
    assert kept["status"] is None
    assert [row["ready"] for row in await rows(world.database, product_people)] == [False]
    before = (await rows(world.database, product_people))[0]["user_id"]
    made = shop.made
    await world.restart(kill=True)
    shop = world.with_key(made)
    world.accounts.put_user = type(world.accounts).put_user.__get__(world.accounts)  # type: ignore[method-assign]
    status, person = await shop.ask("POST", "/people", PERSON, key="one")
    assert (status, person["user_id"]) == (201, before)
    assert list(world.accounts.users) == [before]


async def test_answers_are_kept_sealed_and_for_a_day(world: ApiWorld, shop: Product) -> None:
    await shop.client.people.create("ada")
    _, token = await shop.ask("POST", "/people/ada/sign-in", {}, key="sign-in")
    kept = str([dict(row) for row in await rows(world.database, api_requests)])
    assert token["token"] not in kept and "sign-in" not in kept
    assert (await shop.ask("POST", "/people/ada/sign-in", {}, key="sign-in"))[1] == token
    world.clock.advance(hours=24, seconds=1)
    while await world.embedding.purge():
        pass
    assert await rows(world.database, api_requests) == []


# Bodies, queries, paths


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 415),
        (b"{", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"external_id": "ada", "more": 1}', 422),
        (b'{"external_id": 5}', 422),
        (b'{"external_id": "\\ud800"}', 422),
        (b'{"external_id": "a\\u0000b"}', 422),
        (b'{"external_id": "@ada:example.org"}', 422),
        (b'{"external_id": "ada", "display_name": "a\\nb"}', 422),
        (b'{"external_id": "ada", "display_name": "\\u202eevil"}', 422),
        (b'{"external_id": "ada", "display_name": "\\ud83d"}', 422),
        (b'{"external_id": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
        (b'{"external_id": "' + b"a" * 300_000 + b'"}', 413),
        (b'{"external_id": NaN}', 400),
        (b"\xff\xfe", 400),
    ],
)
async def test_bodies_that_are_not_as_they_must_be(world: ApiWorld, shop: Product, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"} if body else {}
    response = await shop.respond("POST", "/people", headers=headers, data=body)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    found = json.loads(await response.read())
    assert found["status"] == status and found["type"] == f"urn:rialto:problem:{found['code']}"
    assert "Traceback" not in str(found)
    assert await rows(world.database, product_people) == []


async def test_a_problem_says_what_is_wrong_where_and_not_what_was_sent(shop: Product) -> None:
    _, problem = await shop.ask("POST", "/people", {"external_id": "se cret", "display_name": 5})
    assert {each["pointer"] for each in problem["errors"]} == {"/external_id", "/display_name"}
    assert "se cret" not in str(problem)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/people?limit=0", 400),
        ("GET", "/people?limit=201", 400),
        ("GET", "/people?limit=x", 400),
        ("GET", "/people?limit=1&limit=2", 400),
        ("GET", "/people?after=AAAA", 400),
        ("GET", "/people?after=", 400),
        ("GET", "/people?more=1", 400),
        ("GET", "/product?x=1", 400),
        ("GET", "/nothing", 404),
        ("GET", "/people/%00", 404),
        ("GET", "/people/a%2Fb", 404),
        ("GET", "/people/a%0Ab", 404),
        ("GET", "/people/' OR 1=1 --", 404),
        ("GET", "/people/%F0%9F%98%80", 404),
        ("GET", "/chats/../product", 200),
        ("PUT", "/people", 405),
        ("HEAD", "/people", 405),
        ("OPTIONS", "/people", 405),
        ("TRACE", "/people", 405),
    ],
)
async def test_paths_and_queries(shop: Product, method: str, path: str, status: int) -> None:
    response = await shop.respond(method, path)
    assert response.status == status
    if status != 200:
        assert response.content_type == "application/problem+json"
    if status == 405:
        assert response.headers["Allow"]


async def test_a_compressed_body_is_refused(shop: Product) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await shop.respond("POST", "/people", headers=headers, data=b"\x1f\x8b")
    assert response.status == 415


async def test_a_defect_of_ours_says_nothing(world: ApiWorld, shop: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret word")

    monkeypatch.setattr(world.embedding.people, "page", broken)
    status, problem = await shop.ask("GET", "/people")
    assert (status, problem["code"]) == (500, "internal") and "secret" not in str(problem)


async def test_a_handler_that_takes_too_long_is_ended(
    world: ApiWorld, shop: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.api.app.HANDLER_S", 0.05)

    async def slow(_call: Call[NewPerson, None]) -> None:
        await asyncio.sleep(5)

    monkeypatch.setattr(world.embedding.people, "create", slow)
    monkeypatch.setattr(world.embedding.people, "page", lambda *_: slow(None))  # type: ignore[arg-type]
    response = await shop.respond("GET", "/people")
    assert response.status == 503 and "Retry-After" in response.headers
