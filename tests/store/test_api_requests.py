"""What products ask for about their people: suspensions, copies of all that is held, erasure."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, LargeBinary, select

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bots.store.tables import metadata
from bridge.actor import Actor
from bridge.client import ApiError, RialtoClient
from bridge.store.moderation_tables import moderation_suspensions
from bridge.store.product_tables import api_requests
from bridge.store.rights_tables import rights_requests
from tests.support.api import ApiWorld, Product

MO = "@mo:world"
AWAY = HomeserverError(503, "M_UNKNOWN", "away (test)")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ApiWorld]:
    async with ApiWorld(database, messenger={"moderation": {"moderators": [MO]}}) as made:
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


async def code_of(call: Any) -> tuple[int, str]:
    """With which status and code a call is refused."""
    with pytest.raises(ApiError) as refused:
        await call
    return refused.value.status, refused.value.code


async def rows(database: Database, table: Any) -> list[Any]:
    return await database.read(lambda connection: list(connection.execute(select(table)).mappings()))


async def tables_with(database: Database, word: str) -> set[str]:
    """The tables in which a word stands, in any row."""

    def read(connection: Connection) -> set[str]:
        found = set()
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for column, value in row.items():
                    binary = isinstance(table.c[str(column)].type, LargeBinary) and value
                    if word in (bytes(value).decode("utf-8", "replace") if binary else str(value)):
                        found.add(table.name)
        return found

    return await database.read(read)


async def finish(world: ApiWorld, times: int = 1) -> None:
    """What was asked for is done."""
    for _ in range(times):
        await world.pass_time(seconds=16)
        await world.messenger.rights.run_due()
        await world.settle()


# Suspensions


async def test_a_person_is_suspended_and_released(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    assert await code_of(shop.client.people.suspension("ada")) == (404, "not_suspended")
    made = await shop.client.people.suspend("ada", "spam\nagain")
    assert (made.state, made.reason, made.since) == ("suspended", "spam\nagain", world.clock.now_ms())
    assert world.accounts.suspended == {ada.user_id}
    world.clock.advance(seconds=5)
    assert await shop.client.people.suspend(ada.user_id, "another word") == made  # the first word counts
    assert await shop.client.people.suspension("ada") == made
    await shop.client.people.unsuspend("ada")
    assert world.accounts.suspended == frozenset()
    assert await code_of(shop.client.people.unsuspend("ada")) == (404, "not_suspended")
    assert await rows(world.database, moderation_suspensions) == []
    found = [each async for each in shop.client.audit.all()]
    assert [(each.action, each.outcome) for each in reversed(found)] == [
        ("person.create", "done"),
        ("person.suspend", "decided"),
        ("person.suspend", "done"),
        ("person.unsuspend", "decided"),
        ("person.unsuspend", "done"),
    ]
    assert found[3].subject == ada.user_id and found[3].details == {"reason": "spam\nagain"}


async def test_only_accounts_that_were_made_for_the_product(
    world: ApiWorld, shop: Product, openid: dict[str, str]
) -> None:
    openid["t"] = "@alice:world"
    await shop.client.people.link("alice", "t")
    await shop.client.people.create("ada")
    other = await world.product("other")
    for product, person, refused in (
        (shop, "alice", (422, "person_linked")),
        (shop, "@alice:world", (422, "person_linked")),
        (shop, "@bob:world", (404, "no_such_person")),
        (other, "ada", (404, "no_such_person")),
        (other, "@alice:world", (404, "no_such_person")),
    ):
        assert await code_of(product.client.people.suspend(person, "why")) == refused
        assert await code_of(product.client.people.unsuspend(person)) == refused
    assert world.accounts.suspended == frozenset()
    for reason in ("", " ", "a\x07b", "x" * 1_001, None):
        assert (await shop.ask("PUT", "/people/ada/suspension", {"reason": reason}))[0] == 422
    world.accounts.available = False
    assert (await shop.ask("PUT", "/people/ada/suspension", {"reason": "x"}))[1]["code"] == "no_administration"
    world.accounts.available = True


async def test_what_moderators_have_suspended_is_theirs_to_lift(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    moderation, mo = world.messenger.moderation, Actor.person(MO)
    decided = await moderation.report("@bob:world", "", ada.user_id, "rude")
    await moderation.act(mo, decided.id, "suspend")
    assert world.accounts.suspended == {ada.user_id}
    assert await code_of(shop.client.people.unsuspend("ada")) == (404, "not_suspended")
    await shop.client.people.suspend("ada", "spam")
    await shop.client.people.unsuspend("ada")
    assert world.accounts.suspended == {ada.user_id}
    # And the other way round: an appeal that is granted does not lift what the product has said.
    await shop.client.people.suspend("ada", "spam")
    await moderation.appeal(ada.user_id, decided.id, "I was right")
    await moderation.answer_appeal(mo, decided.id, True)
    assert world.accounts.suspended == {ada.user_id}
    await shop.client.people.unsuspend("ada")
    assert world.accounts.suspended == frozenset()


async def test_a_suspension_is_carried_out_later_and_once(database: Database) -> None:
    async with ApiWorld(database) as world:
        shop = await world.product()
        ada = await shop.client.people.create("ada")
        world.accounts.error = AWAY
        made = await shop.client.people.suspend("ada", "spam")
        assert made.state == "suspending" and world.accounts.suspended == frozenset()
        await world.restart(kill=True)
        shop = world.with_key(shop.made)
        suspensions = world.messenger.moderating.suspensions
        world.accounts.error = None
        assert await suspensions.run_due() == 0  # not before its time
        world.clock.advance(seconds=15)
        assert await suspensions.run_due() == 1 and await suspensions.run_due() == 0
        assert world.accounts.suspended == {ada.user_id}
        assert (await shop.client.people.suspension("ada")).state == "suspended"
        world.accounts.error = AWAY
        assert (await shop.ask("DELETE", "/people/ada/suspension", key="lift"))[0] == 204
        assert (await shop.client.people.suspension("ada")).state == "lifting"
        # Another word before it is done: it stays suspended.
        world.accounts.error = None
        assert (await shop.client.people.suspend("ada", "no")).state == "suspended"
        assert world.accounts.suspended == {ada.user_id}


async def test_an_account_that_cannot_be_suspended_is_not(world: ApiWorld, shop: Product) -> None:
    await shop.client.people.create("ada")
    for error, refused in (
        (HomeserverError(404, "M_NOT_FOUND", "no user (test)"), (422, "no_such_account")),
        (HomeserverError(400, "M_UNKNOWN", "no (test)"), (422, "homeserver_refused")),
    ):
        world.accounts.error = error
        assert await code_of(shop.client.people.suspend("ada", "spam")) == refused
        assert await rows(world.database, moderation_suspensions) == []
    world.accounts.error = None
    await shop.client.people.suspend("ada", "spam")
    world.accounts.error = error
    assert await code_of(shop.client.people.unsuspend("ada")) == (422, "homeserver_refused")
    assert (await shop.client.people.suspension("ada")).state == "suspended"
    world.accounts.error = None


# A copy


async def test_a_copy_is_made_and_fetched_by_a_link(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada", display_name="Ada")
    await shop.client.people.suspend("ada", "because of spam")
    made = await shop.client.people.export("ada")
    assert (made.state, made.url, made.total) == ("waiting", None, 0)
    assert (await shop.client.people.export("ada")).id == made.id  # one is being made
    await finish(world)
    ready = await shop.client.people.get_export(made.id)
    assert ready.state == "done" and ready.done == ready.total > 0 and ready.size and ready.finished_at
    assert ready.url and ready.url_expires_at == world.clock.now_ms() + 600_000
    response = await world.session.get(world.url + ready.url[ready.url.index("/api/v1") :])
    assert (response.status, response.content_type) == (200, "application/zip")
    assert response.headers["Content-Disposition"] == 'attachment; filename="data.zip"'
    assert response.headers["Cache-Control"] == "no-store" and "Access-Control-Allow-Origin" not in response.headers
    data = await response.read()
    assert len(data) == ready.size and await shop.client.people.fetch(made) == data
    archive = zipfile.ZipFile(io.BytesIO(data))
    known = json.loads(archive.read("products/known-as.json"))
    assert [(each["external_id"], each["display_name"]) for each in known] == [("ada", "Ada")]
    assert json.loads(archive.read("moderation/suspensions.json"))[0]["reason"] == "because of spam"
    assert "export.ready" in world.codes(ada.user_id)


async def test_links_that_lead_nowhere(world: ApiWorld, shop: Product) -> None:
    await shop.client.people.create("ada")
    made = await shop.client.people.export("ada")
    await finish(world)
    ready = await shop.client.people.get_export(made.id)
    word = (ready.url or "").rpartition("/")[2]
    request_id, until, mark = word.split(".")
    later = f"{int(until) + 1:013}"
    another = "A" if mark[0] != "A" else "B"
    async with RialtoClient(world.url) as nobody:
        for wrong in (
            f"{request_id}.{later}.{mark}",
            f"{request_id}.{until}.{another}{mark[1:]}",
            f"01JM3ZK8V4T9N2Q6R7S8T9V0WX.{until}.{mark}",
            f"{request_id}.{until}",
            "nonsense",
        ):
            path = f"/archives/{wrong}"
            assert (await code_of(nobody.people._transport.request("GET", path, accept="*/*")))[0] == 404
        good = f"/archives/{word}"
        assert await nobody.people._transport.request("GET", good, accept="*/*")
        assert (await code_of(nobody.people._transport.request("GET", good, accept="text/html")))[0] == 406
        world.clock.advance(minutes=10)
        assert await code_of(nobody.people._transport.request("GET", good, accept="*/*")) == (404, "no_archive")
    # A new link as long as there is the archive.
    assert await shop.client.people.fetch(made)
    world.clock.advance(days=8)
    await world.messenger.rights.run_due()
    gone = await shop.client.people.get_export(made.id)
    assert (gone.state, gone.size, gone.url) == ("done", None, None)


async def test_a_product_sees_only_what_it_has_asked_for(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    other = await world.product("other")
    rights = world.messenger.rights
    own = await rights.start_export(ada.user_id)
    assert await code_of(shop.client.people.export("ada")) == (409, "request_under_way")
    assert await code_of(shop.client.people.get_export(own.id)) == (404, "no_such_request")
    await finish(world)
    made = await shop.client.people.export("ada")
    assert await code_of(other.client.people.get_export(made.id)) == (404, "no_such_request")
    assert await code_of(shop.client.people.get_erasure(made.id)) == (404, "no_such_request")
    for person in ("ada", ada.user_id):
        assert await code_of(other.client.people.export(person)) == (404, "no_such_person")
        assert await code_of(other.client.people.erase(person)) == (404, "no_such_person")
    assert await code_of(shop.client.people.export("@bob:world")) == (404, "no_such_person")
    assert await code_of(shop.client.people.erase("@bob:world")) == (404, "no_such_person")


async def test_a_product_uses_up_its_own_number_of_copies(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    for _ in range(3):
        await shop.client.people.export("ada")
        await finish(world)
    assert await code_of(shop.client.people.export("ada")) == (429, "too_many_exports")
    await world.messenger.rights.start_export(ada.user_id)


async def test_of_a_linked_account_the_person_asks(world: ApiWorld, shop: Product, openid: dict[str, str]) -> None:
    openid |= {"linking": "@alice:world", "asking": "@alice:world", "bobs": "@bob:world", "more": "@alice:world"}
    await shop.client.people.link("alice", "linking")
    for ask in (shop.client.people.export, shop.client.people.erase):
        for token, code in (
            (None, "person_linked"),
            ("nonsense", "openid_token_invalid"),
            ("bobs", "openid_token_invalid"),
            ("linking", "openid_token_used"),
        ):
            assert await code_of(ask("alice", openid_token=token)) == (422, code)
    assert await rows(world.database, rights_requests) == []
    made = await shop.client.people.export("alice", openid_token="asking")
    assert await code_of(shop.client.people.erase("alice", openid_token="asking")) == (422, "openid_token_used")
    await finish(world)
    assert await shop.client.people.fetch(made)
    assert (await shop.client.people.erase("alice", openid_token="more")).state == "waiting"
    # Who is linked again by the same token is the same person.
    assert (await shop.client.people.link("alice", "linking")).user_id == "@alice:world"


# To be forgotten


async def test_a_person_is_erased_everywhere(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada", display_name="Ada Lovelace")
    world.accounts.media["file"] = ada.user_id
    news = await shop.client.chats.create("channel", "News", public=True, owner="ada")
    person = world.person(ada.user_id[1:].partition(":")[0])
    await person.joins(news.room_id)
    said = await person.says(news.room_id, "my own words")
    await shop.client.people.suspend("ada", "spam")
    await shop.client.people.sign_in("ada")
    await world.settle()
    assert await tables_with(world.database, ada.user_id)
    made = await shop.client.people.erase("ada")
    assert (made.state, made.done) == ("waiting", 0)
    assert (await shop.client.people.erase("ada")).id == made.id
    await finish(world)
    erased = await shop.client.people.get_erasure(made.id)
    assert (erased.state, erased.problem) == ("sweeping", None) and erased.done == erased.total > 0
    assert world.accounts.deactivated == [ada.user_id] and world.accounts.media == {}
    assert world.room(news.room_id).membership(ada.user_id) == "leave"
    event = next(each for each in world.room(news.room_id).timeline if each["event_id"] == said)
    assert event["content"] == {}
    assert await code_of(shop.client.people.get("ada")) == (404, "no_such_person")
    for _ in range(4):
        await world.pass_time(days=1)
        await world.messenger.rights.run_due()
        await world.settle()
    assert (await shop.client.people.get_erasure(made.id)).state == "done"
    assert await tables_with(world.database, ada.user_id) == set()
    assert await tables_with(world.database, "Lovelace") == set()
    assert (await world.messenger.audit.verify()).whole


async def test_an_erasure_that_is_in_the_way_of_something_is_refused(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada")
    group = await shop.client.chats.create("group", "Tea", owner="ada")
    await world.person(ada.user_id[1:].partition(":")[0]).joins(group.room_id)
    await shop.client.retention.hold(group.id, "court")
    status, problem = await shop.ask("POST", "/people/ada/erasures", {})
    assert (status, problem["code"]) == (422, "erasure_refused") and "legal hold" in problem["detail"]
    await shop.client.retention.release(group.id)
    made = await shop.client.people.erase("ada")
    await shop.client.retention.hold(group.id, "court")  # it came later, and counts all the same
    await finish(world)
    failed = await shop.client.people.get_erasure(made.id)
    assert (failed.state, failed.problem) == ("failed", "legal_hold")
    assert (await shop.client.people.get("ada")).deactivated_at is None and world.accounts.deactivated == []


async def test_the_same_request_is_one_also_after_a_crash(database: Database) -> None:
    async with ApiWorld(database) as world:
        shop = await world.product()
        await shop.client.people.create("ada")
        _, first = await shop.ask("POST", "/people/ada/exports", {}, key="copy")
        await world.restart(kill=True)
        shop = world.with_key(shop.made)
        await finish(world)
        assert await shop.ask("POST", "/people/ada/exports", {}, key="copy") == (202, first)
        assert len(await rows(world.database, rights_requests)) == 1
        assert all(row["status"] for row in await rows(world.database, api_requests))
