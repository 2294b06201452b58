"""Chats, members and the audit log by the API, as a product uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from appservice.database import Database
from bridge.client import ApiError
from tests.support.api import ApiWorld, Product


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ApiWorld]:
    async with ApiWorld(database) as made:
        yield made


@pytest.fixture
async def shop(world: ApiWorld) -> Product:
    return await world.product()


async def code_of(call: object) -> str:
    """With which code a call is refused."""
    with pytest.raises(ApiError) as refused:
        await call  # type: ignore[misc]
    return refused.value.code


async def test_a_group_of_a_products_people(world: ApiWorld, shop: Product) -> None:
    ada = await shop.client.people.create("ada", display_name="Ada")
    bob = await shop.client.people.create("bob", display_name="Bob")
    group = await shop.client.chats.create(
        "group", "Tea", topic="Green", owner="ada", members=["bob"], external_id="g1"
    )
    assert (group.kind, group.name, group.encrypted, group.public, group.external_id) == (
        "group", "Tea", True, False, "g1",
    )  # fmt: skip
    await world.settle()
    state = world.room(group.room_id).state
    assert ("m.room.encryption", "") in state
    for name in (group.id, group.room_id, "ext:g1"):
        assert (await shop.client.chats.get(name)).id == group.id
    invited = [each async for each in shop.client.members.all(group.id)]
    assert invited == []
    for person in (ada, bob):
        await world.person(person.user_id[1:].partition(":")[0]).joins(group.room_id)
    members = {each.external_id: each async for each in shop.client.members.all(group.id)}
    assert members["ada"].role == "owner" and members["bob"].role == "writer"
    assert (await shop.client.chats.get(group.id)).members == 2  # the steward is none


async def test_the_same_key_makes_the_same_chat(world: ApiWorld, shop: Product) -> None:
    made = await asyncio.gather(
        *(shop.ask("POST", "/chats", {"kind": "group", "name": "T"}, key="k") for _ in range(4))
    )
    assert len({chat["room_id"] for _, chat in made}) == 1
    again = await shop.client.chats.create("group", "T")
    assert again.room_id not in {chat["room_id"] for _, chat in made}


async def test_products_do_not_see_each_others_chats(world: ApiWorld, shop: Product) -> None:
    other = await world.product("other")
    public = await shop.client.chats.create("channel", "News", public=True, alias="news", external_id="n")
    alice = world.person("alice")
    await alice.joins(public.room_id)
    assert [chat.id async for chat in other.client.chats.all()] == []
    for name in (public.id, public.room_id, "ext:n"):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"name": "Stolen"}),
            ("DELETE", "", None),
            ("GET", "/members", None),
            ("POST", "/members", {"person": "@eve:world"}),
            ("DELETE", f"/members/{alice.user_id}", None),
            ("PUT", f"/bans/{alice.user_id}", {}),
            ("POST", "/messages", {"text": "spam"}),
        ):
            status, problem = await other.ask(method, f"/chats/{name}{path}", body)
            assert (status, problem["code"]) == (404, "no_such_chat"), (method, path)
    assert (await other.ask("GET", f"/audit?chat={public.id}"))[0] == 404
    assert (await shop.client.chats.get("ext:n")).name == "News"
    # The same own id is another chat for another product.
    assert (await other.client.chats.create("group", "Mine", external_id="n")).id != public.id


async def test_people_s_own_chats_are_no_products(world: ApiWorld, shop: Product) -> None:
    from bridge.actor import Actor
    from bridge.domain.kinds import Kind

    alice = world.person("alice")
    chat = await world.chats.create(Actor.person(alice.user_id), Kind.CHANNEL, name="Open", public=True, key="1")
    assert (await shop.ask("GET", f"/chats/{chat.id}"))[0] == 404
    assert (await shop.ask("GET", "/chats"))[1]["items"] == []


async def test_changing_a_chat(world: ApiWorld, shop: Product) -> None:
    chat = await shop.client.chats.create("group", "Tea")
    changed = await shop.client.chats.change(
        chat.id, name="Coffee", topic="Black\nand strong", avatar_url="mxc://world/abc", slow_mode=30
    )
    assert (changed.name, changed.topic, changed.avatar_url, changed.slow_mode) == (
        "Coffee", "Black\nand strong", "mxc://world/abc", 30,
    )  # fmt: skip
    assert world.room(chat.room_id).state["m.room.name", ""]["content"]["name"] == "Coffee"
    archived = await shop.client.chats.change(chat.id, archived=True)
    assert archived.archived_at == world.clock.now_ms()
    assert (await shop.client.chats.change(chat.id, archived=False)).archived_at is None
    assert (await shop.client.chats.change(chat.id)).name == "Coffee"


async def test_pins(world: ApiWorld, shop: Product) -> None:
    news = await shop.client.chats.create("channel", "News", public=True)
    sent = await shop.client.messages.send(news.id, "Welcome")
    await world.settle()
    await world.embedding.settle()
    event_id = (await shop.client.messages.get(news.id, sent.id)).event_id
    assert event_id is not None
    await shop.client.chats.pin(news.id, event_id)
    assert world.room(news.room_id).state["m.room.pinned_events", ""]["content"]["pinned"] == [event_id]
    assert await code_of(shop.client.chats.pin(news.id, "$nothing")) == "no_such_message"
    await shop.client.chats.unpin(news.id, event_id)
    assert world.room(news.room_id).state["m.room.pinned_events", ""]["content"]["pinned"] == []


async def test_a_deleted_chat_is_gone(world: ApiWorld, shop: Product) -> None:
    chat = await shop.client.chats.create("group", "Tea", external_id="t")
    await shop.client.chats.delete(chat.id)
    for name in (chat.id, chat.room_id, "ext:t"):
        assert await code_of(shop.client.chats.get(name)) == "no_such_chat"
    assert [each.id async for each in shop.client.chats.all()] == []


async def test_an_upgraded_chat_keeps_its_id(world: ApiWorld, shop: Product) -> None:
    chat = await shop.client.chats.create("group", "Tea", external_id="t")
    upgraded = await shop.client.chats.upgrade(chat.id)
    assert upgraded.id == chat.id and upgraded.room_id != chat.room_id
    assert (await shop.client.chats.get("ext:t")).room_id == upgraded.room_id


async def test_pages_of_chats(world: ApiWorld, shop: Product) -> None:
    names: list[str] = []
    for number in range(5):
        kind = "group" if number % 2 else "channel"
        names.insert(0, (await shop.client.chats.create(kind, f"C{number}")).name)  # type: ignore[arg-type]
        world.clock.advance(seconds=1)
    found, after = [], ""
    while True:
        _, page = await shop.ask("GET", f"/chats?limit=2{after}")
        found += [chat["name"] for chat in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == names
    assert [chat.name async for chat in shop.client.chats.all(kind="group")] == ["C3", "C1"]
    assert (await shop.ask("GET", "/chats?after=nonsense"))[0] == 400


async def test_members_are_led(world: ApiWorld, shop: Product) -> None:
    group = await shop.client.chats.create("group", "Tea")
    alice, bob = world.person("alice"), world.person("bob")
    added = await shop.client.members.add(group.id, alice.user_id, role="admin")
    assert (added.membership, added.role) == ("invite", "admin")
    await shop.client.members.add(group.id, bob.user_id)
    for person in (alice, bob):
        await person.joins(group.room_id)
    assert (await shop.client.members.get(group.id, alice.user_id)).role == "admin"
    assert (await shop.client.members.set_role(group.id, bob.user_id, "moderator")).role == "moderator"
    muted = await shop.client.members.mute(group.id, bob.user_id, 60)
    assert muted.muted_until == world.clock.now_ms() + 60_000
    assert (await shop.client.members.unmute(group.id, bob.user_id)).muted_until is None
    page = await shop.client.members.page(group.id, limit=1)
    assert len(page.items) == 1 and page.next is not None
    rest = await shop.client.members.page(group.id, limit=10, after=page.next)
    assert page.items[0].user_id not in {each.user_id for each in rest.items}
    assert [each.user_id async for each in shop.client.members.all(group.id, query="ALI")] == [alice.user_id]
    await shop.client.members.remove(group.id, bob.user_id, reason="enough")
    await world.settle()
    assert await code_of(shop.client.members.get(group.id, bob.user_id)) == "no_such_member"
    await shop.client.members.ban(group.id, bob.user_id)
    assert await code_of(shop.client.members.add(group.id, bob.user_id)) == "is_banned"
    await shop.client.members.unban(group.id, bob.user_id)
    await shop.client.members.transfer(group.id, alice.user_id)
    await world.settle()
    assert (await shop.client.members.get(group.id, alice.user_id)).role == "owner"


async def test_members_may_be_named_by_the_products_own_ids(world: ApiWorld, shop: Product) -> None:
    group = await shop.client.chats.create("group", "Tea")
    ada = await shop.client.people.create("ada")
    await shop.client.members.add(group.id, "ada")
    assert world.room(group.room_id).membership(ada.user_id) == "invite"
    assert await code_of(shop.client.members.add(group.id, "nobody")) == "no_such_person"
    other = await world.product("other")
    theirs = await other.client.chats.create("group", "Theirs")
    assert await code_of(other.client.members.add(theirs.id, "ada")) == "no_such_person"


async def test_the_audit_log_of_a_product(world: ApiWorld, shop: Product) -> None:
    other = await world.product("other")
    await other.client.chats.create("group", "Theirs")
    group = await shop.client.chats.create("group", "Tea")
    await shop.client.chats.change(group.id, name="Coffee")
    own = [entry async for entry in shop.client.audit.all()]
    assert [entry.action for entry in own] == ["chat.change", "chat.create"]
    assert {entry.actor for entry in own} == {"product:shop"}
    about = [entry.action async for entry in shop.client.audit.all(chat=group.id)]
    assert about == ["chat.change", "chat.create"]
    assert [entry async for entry in shop.client.audit.all(since=world.clock.now_ms() + 1)] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "planet", "name": "x"}, "bad_body"),
        ({"kind": "group"}, "name_missing"),
        ({"kind": "group", "name": "   "}, "name_missing"),
        ({"kind": "direct", "name": "x", "public": True}, "kind_not_public"),
        ({"kind": "direct", "name": "x"}, "two_people"),
        ({"kind": "group", "name": "x", "alias": "x-y"}, "alias_not_public"),
        ({"kind": "group", "name": "x", "members": ["nobody"]}, "no_such_person"),
        ({"kind": "group", "name": "x", "members": ["@a:b"] * 101}, "bad_body"),
        ({"kind": "group", "name": "x" * 201}, "bad_body"),
        ({"kind": "group", "name": "a\u202eb"}, "bad_body"),
        ({"kind": "group", "name": "a\u0007b"}, "bad_body"),
        ({"kind": "group", "name": "x", "external_id": "a b"}, "bad_body"),
        ({"kind": "group", "name": "x", "public": "yes"}, "bad_body"),
    ],
)
async def test_chats_that_cannot_be(shop: Product, body: dict[str, object], code: str) -> None:
    status, problem = await shop.ask("POST", "/chats", body)
    assert 400 <= status < 500 and problem["code"] == code
    assert (await shop.ask("GET", "/chats"))[1]["items"] == []


async def test_an_external_id_is_one_chats(shop: Product) -> None:
    await shop.client.chats.create("group", "Tea", external_id="g")
    assert (await shop.ask("POST", "/chats", {"kind": "group", "name": "B", "external_id": "g"}))[0] == 409
