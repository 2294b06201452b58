"""Search on both databases: what is found, by whom, and that what is gone is gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from appservice.database import Database, SQLiteDatabase
from appservice.e2ee.errors import DecryptionFailed
from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import Kind as ChatKind
from bridge.domain.roles import Role
from bridge.domain.search import Kind, Place, Question, Said, Scope, Terms, lookup
from bridge.errors import NotAllowed, NotFound, Refused, TooMany
from bridge.search import history as history_module
from bridge.search.service import Hit
from bridge.store import search as store
from bridge.store.chats import Chat
from bridge.store.search import Document
from bridge.store.search_tables import FTS, search_documents
from tests.support.messenger import HUB, PICKLE_KEY, STEWARD, MessengerWorld, Person

TERMS = Terms(b"k" * 32)
PLACE = Place("c1", workspace="shop")


def message(number: int, body: str, at: int | None = None, chat: str = "c1", sender: str = "@alice:world") -> Any:
    document = Document(f"${number}", f"!{chat}", chat, sender, "text", body)
    terms = TERMS.of(Said(body, Kind.TEXT), sender, Place(chat, workspace="shop"), number if at is None else at)
    return document, number if at is None else at, terms


async def put(database: Database, messages: Iterable[Any]) -> int:
    kept = list(messages)
    return await database.write(lambda connection: store.add(connection, kept))


async def ask(database: Database, question: Question, scope: Scope | None = None, **options: Any) -> list[str]:
    what = lookup(TERMS, question, scope or Scope(workspace="shop"))
    assert what is not None

    def read(connection: Connection) -> list[Document]:
        ids = store.search(connection, what, since=question.since, until=question.until, **{"limit": 1_000, **options})
        assert ids == sorted(ids, reverse=True)
        return store.load(connection, ids)

    return [document.event_id for document in await database.read(read)]


# --- the index


async def test_words_are_found_the_newest_first(database: Database) -> None:
    await put(database, [message(1, "green tea"), message(2, "black tea"), message(3, "coffee")])
    assert await ask(database, Question(("tea",))) == ["$2", "$1"]
    assert await ask(database, Question(("black", "tea"))) == ["$2"]
    assert await ask(database, Question(("green", "coffee"))) == []
    assert await ask(database, Question()) == ["$3", "$2", "$1"]


async def test_a_message_is_kept_once(database: Database) -> None:
    assert await put(database, [message(1, "tea"), message(1, "tea")]) == 1
    assert await put(database, [message(1, "coffee"), message(2, "tea")]) == 1
    assert await ask(database, Question(("tea",))) == ["$2", "$1"]
    assert await ask(database, Question(("coffee",))) == []


async def test_many_messages_of_one_millisecond(database: Database) -> None:
    await put(database, [message(number, "tea", at=5) for number in range(50)])
    await put(database, [message(number, "tea", at=5) for number in range(50, 100)])
    assert len(await ask(database, Question(("tea",), since=5, until=5))) == 100
    assert await ask(database, Question(("tea",), since=6)) == []
    assert await ask(database, Question(("tea",), until=4)) == []


async def test_pages_have_everything_once(database: Database) -> None:
    await put(database, [message(number, "tea", at=number // 3) for number in range(100)])
    what = lookup(TERMS, Question(("tea",)), Scope(workspace="shop"))
    assert what is not None
    found: list[int] = []
    before = None
    while True:
        page = await database.read(
            lambda connection, before=before: store.search(connection, what, before=before, limit=7)  # type: ignore[misc]
        )
        found += page
        if len(page) < 7:
            break
        before = page[-1]
    assert len(found) == 100 == len(set(found))


async def test_a_changed_message_is_found_by_what_it_says_now(database: Database) -> None:
    await put(database, [message(1, "tea"), message(2, "tea")])
    terms = TERMS.of(Said("coffee", Kind.TEXT), "@alice:world", PLACE, 1)
    assert await database.write(lambda connection: store.change(connection, "$1", "$9", "coffee", None, terms))
    assert not await database.write(lambda connection: store.change(connection, "$8", "$9", "coffee", None, terms))
    assert await ask(database, Question(("tea",))) == ["$2"]
    assert await ask(database, Question(("coffee",))) == ["$1"]
    changed = await database.read(lambda connection: store.edited_by(connection, "$9"))
    assert changed is not None
    assert (changed.event_id, changed.body) == ("$1", "coffee")


async def test_what_is_removed_is_gone(database: Database) -> None:
    await put(database, [message(number, "tea", chat=f"c{number % 2}", sender=f"@{number}:x") for number in range(10)])
    assert await database.write(lambda connection: store.remove(connection, ["$1", "$2", "$unknown"])) == 2
    assert await database.write(lambda connection: store.remove_sender(connection, "@3:x")) == 1
    assert await database.write(lambda connection: store.remove_chat(connection, "c0", 2)) == 2
    assert await database.write(lambda connection: store.remove_chat(connection, "c0", 100)) == 2
    assert await ask(database, Question(("tea",))) == ["$9", "$7", "$5"]
    if isinstance(database, SQLiteDatabase):
        # FTS5 was told exactly what it had been told to keep.
        check = text(f"INSERT INTO {FTS} ({FTS}, rank) VALUES ('integrity-check', 1)")
        await database.write(lambda connection: connection.execute(check))


async def test_nothing_in_the_index_can_be_read(database: Database) -> None:
    await put(database, [message(1, "saffron")])
    await database.write(lambda connection: store.remove(connection, ["$1"]))
    if isinstance(database, SQLiteDatabase):
        pages = await database.read(
            lambda connection: list(connection.execute(text(f"SELECT block FROM {FTS}_data")).scalars())
        )
        assert b"saffron" not in b"".join(pages)
        assert TERMS.word("saffron").encode() in b"".join(pages)  # a trace stays, and says nothing
    rows = await database.read(lambda connection: list(connection.execute(search_documents.select())))
    assert rows == []


words = st.lists(st.sampled_from(["tea", "coffee", "milk", "sugar"]), max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kept=st.lists(st.tuples(words, st.integers(0, 9), st.integers(0, 2), st.integers(0, 2)), max_size=30),
    gone=st.sets(st.integers(0, 29)),
    asked=words,
    chat=st.none() | st.integers(0, 2),
    sender=st.none() | st.integers(0, 2),
    since=st.none() | st.integers(0, 9),
    limit=st.integers(1, 40),
)
async def test_exactly_what_matches_is_found(
    database: Database,
    kept: list[tuple[list[str], int, int, int]],
    gone: set[int],
    asked: list[str],
    chat: int | None,
    sender: int | None,
    since: int | None,
    limit: int,
) -> None:
    """As looking at each message would find it, whatever the index does."""
    await database.write(lambda connection: store.remove(connection, [f"${number}" for number in range(30)]))
    await put(
        database,
        [
            message(number, " ".join(body), at=at, chat=f"c{where}", sender=f"@{who}:x")
            for number, (body, at, where, who) in enumerate(kept)
        ],
    )
    await database.write(lambda connection: store.remove(connection, [f"${number}" for number in gone]))
    question = Question(tuple(dict.fromkeys(asked)), "" if sender is None else f"@{sender}:x", None, since, None)
    scope = Scope(workspace="shop") if chat is None else Scope(frozenset({f"c{chat}"}))
    right = {
        f"${number}"
        for number, (body, at, where, who) in enumerate(kept)
        if number not in gone
        and set(asked) <= set(body)
        and where == (where if chat is None else chat)
        and who == (who if sender is None else sender)
        and at >= (since or 0)
    }
    assert set(await ask(database, question, scope)) == right
    assert len(await ask(database, question, scope, limit=limit)) == min(limit, len(right))


async def test_words_far_back_are_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the newest messages, which PostgreSQL looks at one by one."""
    for name in ("NEWEST", "NEWEST_APART"):
        monkeypatch.setattr(store, name, 5)
    await put(database, [message(number, "tea" if number % 7 == 0 else "coffee") for number in range(100)])
    right = [f"${number}" for number in range(99, -1, -1) if number % 7 == 0]
    assert await ask(database, Question(("tea",))) == right
    assert await ask(database, Question(("tea",)), limit=4) == right[:4]
    assert await ask(database, Question(("tea",), sender="@alice:world")) == right


@pytest.mark.parametrize("every", [2, 9, 40])
async def test_words_of_years_are_found_in_their_order(
    database: Database, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    for name, value in (("NEWEST", 5), ("NEWEST_APART", 5), ("MOST_LOOKED_AT", 12), ("MOST_APART", 12), ("QUIET", 1)):
        monkeypatch.setattr(store, name, value)
    day = 86_400_000
    kept = [
        message(number, "tea" if number % every == 0 else "milk", at=number * 3 * day, chat=f"c{number % 4}")
        for number in range(600)
    ]
    await put(database, kept)
    right = [number for number in range(599, -1, -1) if number % every == 0]
    for scope, there in (
        (Scope(workspace="shop"), {0, 1, 2, 3}),
        (Scope(frozenset({"c0"})), {0}),
        (Scope(frozenset({"c0", "c1"})), {0, 1}),
        (Scope(frozenset({"c0", "c1", "c2", "c3", *(f"none{number}" for number in range(20))})), {0, 1, 2, 3}),
        (Scope(frozenset({"c1", *(f"none{number}" for number in range(20))})), {1}),
    ):
        wanted = [f"${number}" for number in right if number % 4 in there]
        for limit in (3, 21, 1_000):
            assert await ask(database, Question(("tea",)), scope, limit=limit) == wanted[:limit]
        late = Question(("tea",), since=300 * day, until=900 * day)
        assert await ask(database, late, scope) == [each for each in wanted if 100 <= int(each[1:]) <= 300]
        assert len(await ask(database, Question(), scope, limit=50)) == 50


# --- in chats


async def channel(world: MessengerWorld, *people: Person, key: str = "news") -> Chat:
    owner = Actor.person(people[0].user_id)
    chat = await world.chats.create(owner, ChatKind.CHANNEL, name="News", public=True, key=key)
    for person in people:
        await person.joins(chat.room_id)
    await world.settle()
    return chat


async def service(world: MessengerWorld, person: Person) -> Chat:
    room_id = await world.purposes.direct(person.user_id, HUB, "Rialto")
    await person.joins(room_id)
    await world.messenger.member_feature.run_due()
    chat = world.messenger.registry.get(room_id)
    assert chat is not None
    return chat


async def found(world: MessengerWorld, person: Person, words: str, **options: Any) -> list[str]:
    page = await world.messenger.search.search(Actor.person(person.user_id), words, **options)
    return [hit.text for hit in page.items]


async def test_messages_are_found_as_they_come(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        said = await alice.says(chat.room_id, "Crème brûlée at noon")
        page = await world.messenger.search.search(Actor.person(alice.user_id), "creme NOON")
        number = await world.messenger.delivery.head(chat)
        assert list(page.items) == [
            Hit(
                chat.id, chat.room_id, said, alice.user_id, world.clock.now_ms(), Kind.TEXT, number,
                "Crème brûlée at noon", [(0, 5), (16, 20)],
            )
        ]  # fmt: skip
        assert page.next is None


async def test_edits_and_redactions_count_at_once(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await channel(world, alice, bob)
        said = await alice.says(chat.room_id, "the first tea")

        def edit(body: str) -> dict[str, Any]:
            new = {"msgtype": "m.text", "body": body}
            return {"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": said}}

        await alice.says(chat.room_id, "* the second coffee", **edit("the second coffee"))
        assert await found(world, alice, "tea") == []
        assert await found(world, alice, "coffee") == ["the second coffee"]
        levels = {**world.room(chat.room_id).content("m.room.power_levels"), "events_default": -10}
        world.homeserver.put_state(world.room(chat.room_id), STEWARD, "m.room.power_levels", "", levels)
        await bob.says(chat.room_id, "* evil milk", **edit("evil milk"))  # nobody edits what others say
        assert await found(world, alice, "milk") == []
        assert await found(world, alice, "coffee") == ["the second coffee"]
        await alice.redacts(chat.room_id, said)
        assert await found(world, alice, "coffee") == []
        assert await found(world, alice, "the") == []
        rows = await database.read(lambda connection: list(connection.execute(search_documents.select())))
        assert rows == []


async def test_an_edit_that_is_redacted_gives_back_what_was_said(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        said = await alice.says(chat.room_id, "tea")
        new = {"msgtype": "m.text", "body": "secret"}
        relation = {"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": said}}
        edit = await alice.says(chat.room_id, "* secret", **relation)
        assert await found(world, alice, "secret") == ["secret"]
        await alice.redacts(chat.room_id, edit)
        assert await found(world, alice, "secret") == []
        assert await found(world, alice, "tea") == ["tea"]


async def test_what_is_hidden_is_not_shown(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        await alice.says(
            chat.room_id, "the butler did it", formatted_body="<span data-mx-spoiler>the butler did it</span>"
        )
        assert await found(world, alice, "butler") == []
        assert await found(world, alice, "", chat=chat) == [""]


async def test_by_person_kind_and_time(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await channel(world, alice, bob)
        await world.members.set_role(Actor.person(alice.user_id), chat, bob.user_id, Role.WRITER)
        await alice.says(chat.room_id, "tea from alice")
        await world.pass_time(days=1)
        middle = world.clock.now_ms()
        await bob.says(chat.room_id, "tea from bob https://example.org")
        await bob.sends(chat.room_id, "m.room.message", {"msgtype": "m.image", "body": "tea.png"})
        assert await found(world, alice, "tea", sender=alice.user_id) == ["tea from alice"]
        assert await found(world, alice, "tea", kind=Kind.IMAGE) == ["tea.png"]
        assert await found(world, alice, "tea", kind=Kind.LINK) == ["tea from bob https://example.org"]
        assert await found(world, alice, "tea", until=middle - 1) == ["tea from alice"]
        assert await found(world, alice, "tea", since=middle, kind=Kind.TEXT) == ["tea from bob https://example.org"]
        assert await found(world, alice, "", sender=alice.user_id) == ["tea from alice"]


async def test_pages_of_answers(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        for number in range(7):
            await alice.says(chat.room_id, f"tea {number}")
        actor, search = Actor.person(alice.user_id), world.messenger.search
        shown: list[str] = []
        after = None
        while True:
            page = await search.search(actor, "tea", chat=chat, after=after, limit=3)
            shown += [hit.text for hit in page.items]
            after = page.next
            if after is None:
                break
        assert sorted(shown) == [f"tea {number}" for number in range(7)]
        for cursor in ("x", "é", "WzFd" * 2_000, "WyJhIl0"):
            with pytest.raises(Refused) as error:
                await search.search(actor, "tea", after=cursor)
            assert error.value.code == "bad_cursor"


async def test_everybody_finds_only_what_they_may_see(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, eve = world.person("alice"), world.person("eve")
        public = await channel(world, alice)
        await alice.says(public.room_id, "tea for all")
        product = Actor.of_product("shop")
        own = await world.chats.create(product, ChatKind.CHANNEL, name="Shop", public=True, key="1")
        other = await world.chats.create(
            Actor.of_product("rival"), ChatKind.CHANNEL, name="Rival", public=True, key="1"
        )
        await world.settle()
        for chat in (own, other):
            world.homeserver.send(
                world.room(chat.room_id),
                STEWARD,
                "m.room.message",
                {"msgtype": "m.notice", "body": f"tea of {chat.name}"},
            )
        await world.settle()
        search = world.messenger.search
        assert await found(world, eve, "tea") == []  # in none of these
        assert await found(world, eve, "tea", chat=public) == ["tea for all"]  # which everybody may read
        assert await found(world, alice, "tea") == ["tea for all"]
        assert [hit.text for hit in (await search.search(product, "tea")).items] == ["tea of Shop"]
        with pytest.raises(NotFound):
            await search.search(product, "tea", chat=other)
        with pytest.raises(NotFound):
            await search.search(product, "tea", chat=public)
        with pytest.raises(Refused):
            await search.search(SYSTEM, "tea")
        await world.chats.delete(product, own)
        assert list((await search.search(product, "tea")).items) == []
        while await world.messenger.searching.past.run_due():
            pass
        assert await database.read(lambda connection: store.deleted(connection, 10)) == []


async def test_what_is_encrypted_between_people_is_not_searched(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, eve = world.person("alice"), world.person("eve")
        chat = await world.chats.create(Actor.person(alice.user_id), ChatKind.GROUP, name="Tea", key="1")
        await alice.joins(chat.room_id)
        await alice.says(chat.room_id, "secret")
        with pytest.raises(Refused) as error:
            await found(world, alice, "secret", chat=chat)
        assert error.value.code == "not_searchable"
        with pytest.raises(Refused) as error:
            await world.messenger.search.allow(alice.user_id, chat)
        assert error.value.code == "not_searchable"
        with pytest.raises(NotFound):
            await found(world, eve, "secret", chat=chat)
        rows = await database.read(lambda connection: list(connection.execute(search_documents.select())))
        assert rows == []


@pytest.mark.parametrize(
    "words", ["' OR 1=1 --", '"; DROP TABLE search_documents; --', "tea* NOT (x)", "a AND b", "<b>x</b>", "\0x", "%_x"]
)
async def test_questions_are_words_and_nothing_else(database: Database, words: str) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        await alice.says(chat.room_id, f"{words.replace(chr(0), '')} and more")
        assert len(await found(world, alice, words)) == 1
        assert await found(world, alice, "tea milk") == []


async def test_questions_that_make_no_sense(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        await channel(world, alice)
        for words, code in (("!!!", "question_without_words"), ("x" * 1_000, "question_too_long")):
            with pytest.raises(Refused) as error:
                await found(world, alice, words)
            assert error.value.code == code


async def test_a_question_that_takes_too_long_is_ended(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        await channel(world, alice)

        def slow(*_: object, **__: object) -> list[int]:
            raise store.Slow

        monkeypatch.setattr(store, "search", slow)
        with pytest.raises(TooMany) as error:
            await found(world, alice, "tea")
        assert error.value.code == "search_slow"


async def test_switched_off(database: Database) -> None:
    async with MessengerWorld(database, messenger={"search": {"enabled": False}}) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        await alice.says(chat.room_id, "tea")
        with pytest.raises(Refused) as error:
            await found(world, alice, "tea")
        assert error.value.code == "search_off"
        rows = await database.read(lambda connection: list(connection.execute(search_documents.select())))
        assert rows == []


# --- chats with services


async def test_a_chat_with_a_service_is_searched_with_leave_only(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, eve = world.person("alice"), world.person("eve")
        chat = await service(world, alice)
        await alice.says(chat.room_id, "before")
        with pytest.raises(Refused) as error:
            await found(world, alice, "secret", chat=chat)
        assert error.value.code == "search_off"
        with pytest.raises(NotFound):
            await world.messenger.search.allow(eve.user_id, chat)
        await world.messenger.search.allow(alice.user_id, chat)
        await world.messenger.search.allow(alice.user_id, chat)
        assert world.messenger.search.allowed(chat)
        # A text that nobody but the bot can read: the world calls it by a number.
        said = await alice.says(chat.room_id, "x")
        sent = world.room(chat.room_id).event(said)
        assert sent is not None
        told = sent["content"]["ciphertext"]
        assert await found(world, alice, "secret", chat=chat) == [told]
        assert await found(world, alice, "secret") == [told]
        assert await found(world, eve, "secret") == []
        with pytest.raises(NotFound):
            await found(world, eve, "secret", chat=chat)
        with pytest.raises(Refused):
            await world.messenger.search.search(SYSTEM, "secret", chat=chat)
        await world.restart()
        assert await found(world, alice, told) == [told]
        row = await database.read(lambda connection: connection.execute(search_documents.select()).mappings().one())
        assert row["event_id"] == said
        assert row["body"] == ""
        assert "secret" not in str(dict(row))
        assert Terms(PICKLE_KEY.encode()).word("secret") not in str(row["terms"])
        await alice.redacts(chat.room_id, said)
        assert await found(world, alice, "secret") == []


async def test_leave_that_is_taken_back_leaves_nothing(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, eve = world.person("alice"), world.person("eve")
        chat = await service(world, alice)
        await world.messenger.search.allow(alice.user_id, chat)
        await alice.says(chat.room_id, "x")
        with pytest.raises((NotFound, NotAllowed)):
            await world.messenger.search.disallow(eve.user_id, chat)
        await world.messenger.search.disallow(alice.user_id, chat)
        await alice.says(chat.room_id, "y")
        rows = await database.read(lambda connection: list(connection.execute(search_documents.select())))
        assert rows == []
        assert not world.messenger.search.allowed(chat)
        actions = [entry.action for entry in await world.messenger.audit.list(subject=f"chat:{chat.id}")]
        assert actions[:2] == ["search.disallow", "search.allow"]


async def test_what_can_never_be_read_is_passed_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await service(world, alice)
        await world.messenger.search.allow(alice.user_id, chat)

        async def never(_user_id: str, _event: object) -> dict[str, Any]:
            raise DecryptionFailed("bad_message", "never")

        monkeypatch.setattr(world.messenger.searching._feature._reading, "_decrypt", never)
        await alice.says(chat.room_id, "x")
        assert await found(world, alice, "", chat=chat) == []


# --- the past


async def adopted(world: MessengerWorld, owner: Person, count: int) -> tuple[Chat, list[str]]:
    room = world.homeserver.create(owner.user_id, {"name": "Old", "preset": "private_chat"})
    said = [await owner.says(room.room_id, f"old tea {number}") for number in range(count)]
    levels = {**room.content("m.room.power_levels"), "users": {owner.user_id: 100, STEWARD: 100}}
    world.homeserver.put_state(room, owner.user_id, "m.room.power_levels", "", levels)
    await owner.invites(room.room_id, STEWARD)
    chat = await world.chats.adopt(Actor.person(owner.user_id), room.room_id)
    await world.settle()
    await world.messenger.member_feature.run_due()
    return chat, said


async def test_the_past_of_an_adopted_room_is_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "PAGE", 4)
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat, said = await adopted(world, alice, 10)
        await alice.redacts(chat.room_id, said[3])
        await alice.says(chat.room_id, "new tea")
        past = world.messenger.searching.past
        for _ in range(2):
            assert await past.run_due()
        await world.restart(kill=True)
        past = world.messenger.searching.past
        while await past.run_due():
            pass
        right = ["new tea", *(f"old tea {number}" for number in range(9, -1, -1) if number != 3)]
        assert sorted(await found(world, alice, "tea", chat=chat)) == sorted(right)
        kept = await database.read(lambda connection: store.history(connection, chat.id))
        assert kept is not None
        assert kept.done_at is not None
        assert await past.run_due() == 0


async def test_who_came_later_does_not_find_the_past(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat, _ = await adopted(world, alice, 3)
        while await world.messenger.searching.past.run_due():
            pass
        await world.pass_time(minutes=1)
        await alice.invites(chat.room_id, bob)
        await bob.joins(chat.room_id)
        await world.pass_time(minutes=1)
        await alice.says(chat.room_id, "new tea")
        for options in ({}, {"chat": chat}):
            assert await found(world, bob, "tea", **options) == ["new tea"]


async def test_what_is_redacted_while_the_past_comes_in_stays_out(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat, said = await adopted(world, alice, 5)
        real = world.homeserver.request

        async def slow(method: str, path: str, **options: Any) -> Any:
            answer = await real(method, path, **options)
            if path.endswith("/messages"):
                await alice.redacts(chat.room_id, said[2])
            return answer

        world.homeserver.request = slow  # type: ignore[method-assign]
        try:
            assert await world.messenger.searching.past.run_due()
        finally:
            world.homeserver.request = real  # type: ignore[method-assign]
        assert "old tea 2" not in await found(world, alice, "tea", chat=chat)
        assert "old tea 3" in await found(world, alice, "tea", chat=chat)


async def test_an_upgraded_chat_is_found_whole(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        old = await alice.says(chat.room_id, "old tea")
        new = await world.chats.upgrade(Actor.person(alice.user_id), chat)
        await alice.joins(new.room_id)
        await world.settle()
        await alice.says(new.room_id, "new tea")
        assert sorted(await found(world, alice, "tea", chat=new)) == ["new tea", "old tea"]
        room = world.room(chat.room_id)
        world.homeserver.redact_in(room, STEWARD, old, None)  # a timer, say
        await world.settle()
        assert await found(world, alice, "tea", chat=new) == ["new tea"]


# --- rights


async def test_a_person_is_handed_out_and_erased(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        public, private = await channel(world, alice), await service(world, alice)
        await world.messenger.search.allow(alice.user_id, private)
        await alice.says(public.room_id, "tea")
        await alice.says(private.room_id, "x")
        part = world.messenger.searching.part
        files = dict(await database.read(lambda connection: list(part.export(connection, alice.user_id))))
        assert {row["text"] for row in files["search/messages-0001.json"]} >= {"tea"}
        assert len(files["search/messages-0001.json"]) == 2
        assert [row["chat"] for row in files["search/leave.json"]] == [private.id]
        await database.write(lambda connection: part.erase(connection, alice.user_id, "erased:x"))
        rows = await database.read(lambda connection: list(connection.execute(search_documents.select())))
        assert alice.user_id not in str(rows)
        files = dict(await database.read(lambda connection: list(part.export(connection, alice.user_id))))
        assert files == {"search/leave.json": []}


async def test_many_rooms_at_once(database: Database) -> None:
    """Indexing and asking beside each other."""
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chats = [await channel(world, alice, key=str(number)) for number in range(4)]
        dice = random.Random(1)

        async def talk(chat: Chat) -> None:
            for number in range(8):
                await alice.says(chat.room_id, f"tea {number}")
                if dice.random() < 0.5:
                    await found(world, alice, "tea")

        await asyncio.gather(*(talk(chat) for chat in chats))
        page = await world.messenger.search.search(Actor.person(alice.user_id), "tea", limit=100)
        assert len(page.items) == 32
