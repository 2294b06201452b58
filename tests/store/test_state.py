"""What plugins remember: typed, sealed, within the unit of work, and nothing lost when two write at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from appservice.database import Database
from appservice.events import Event
from appservice.sealing import SealBroken, Sealer
from appservice.unit import UnitOfWork
from bots.framework import state as framework
from bots.framework.clock import ManualClock
from bots.framework.people import People, Person, PersonError
from bots.framework.state import MAX_KEY, MAX_VALUE, Key, Scope, State, StateConflict, StateError, States, Store
from bots.store import people as people_sql
from bots.store import switches
from bots.store.switches import Switch
from bots.store.tables import plugin_state
from tests.store.conftest import MakeEngine
from tests.store.harness import ALICE, BOT, ROOM, FakeConsumer, FlakyDatabase, config, message, rows


class Order(BaseModel):
    drink: str
    size: int = 1


class Desk:
    """A store on a database, whose units are committed as the engine does."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock()
        self.store = Store(database, Sealer("a pickle key for tests", "state"), self.clock.now_ms)
        self.units = 0

    def open(self, plugin: str = "coffee") -> States:
        self.units += 1
        return self.store.open(plugin, UnitOfWork(f"$event{self.units}", "bot", BOT, self.commit))

    async def commit(self, unit: UnitOfWork) -> None:
        operations, callbacks = list(unit.operations), unit.callbacks
        await self.database.write(lambda connection: [operation(connection) for operation in operations])
        for callback in callbacks:
            callback()
        unit.cleared()

    async def write(self, change: Callable[[State], Any], scope: Scope | None = None) -> None:
        states = self.open()
        result = change(State(states, scope or Scope.plugin()))
        if result is not None:
            await result
        await self.commit(states.unit)

    @property
    def state(self) -> State:
        """The plugin's, as the next handler sees it."""
        return self.open().plugin


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


# --- values


async def test_a_value_is_there_after_the_commit_and_not_before(desk: Desk) -> None:
    states = desk.open()
    states.plugin.set("motto", "good coffee")
    assert await states.plugin.get("motto") == "good coffee"
    assert await desk.state.get("motto") is None
    await desk.commit(states.unit)
    assert await desk.state.get("motto") == "good coffee"
    assert await desk.state.get("none", 7) == 7


async def test_scopes_and_plugins_do_not_meet(desk: Desk) -> None:
    scopes = [
        Scope.plugin(),
        Scope.room(ROOM),
        Scope.room("!other:localhost"),
        Scope.user(ALICE),
        Scope.member(ROOM, ALICE),
    ]
    for number, scope in enumerate(scopes):
        await desk.write(lambda state, number=number: state.set("n", number), scope)  # type: ignore[misc]
    for number, scope in enumerate(scopes):
        assert await State(desk.open(), scope).get("n") == number
        assert await State(desk.open("tea"), scope).get("n") is None
    assert {row["scope"] for row in await rows(desk.database, plugin_state)} == {
        "",
        f"room:{ROOM}",
        "room:!other:localhost",
        f"user:{ALICE}",
        f"member:{ROOM} {ALICE}",
    }
    states = desk.open()
    assert await states.room(ROOM).get("n") == 1
    assert await states.user(ALICE).get("n") == 3
    assert await states.member(ROOM, ALICE).get("n") == 4


ORDERS: Key[list[Order]] = Key("orders", list[Order], default=[])
BIRTHDAY = Key("birthday", date)
TOKEN = Key("token", str, secret=True)


async def test_types_come_back_as_they_went(desk: Desk) -> None:
    assert await desk.state.get(ORDERS) == []
    assert await desk.state.get(BIRTHDAY) is None

    def change(state: State) -> None:
        state.set(ORDERS, [Order(drink="flat white", size=2)])
        state.set(BIRTHDAY, date(1990, 2, 3))

    await desk.write(change)
    assert await desk.state.get(ORDERS) == [Order(drink="flat white", size=2)]
    assert await desk.state.get(BIRTHDAY) == date(1990, 2, 3)
    assert await desk.state.get("birthday", as_=date) == date(1990, 2, 3)
    assert await desk.state.get("birthday") == "1990-02-03"


async def test_a_default_is_a_fresh_one_each_time(desk: Desk) -> None:
    (await desk.state.get(ORDERS)).append(Order(drink="tea"))
    assert await desk.state.get(ORDERS) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (ORDERS, ["espresso"]),
        (BIRTHDAY, "1990-02-03"),
        (Key("n", int, default=0), "5"),
        (Key("x", float, default=0.0), float("nan")),
        ("plain", (1, 2)),
        ("plain", {"when": date(2026, 1, 1)}),
        ("plain", {1: "one"}),
        ("plain", object()),
        ("plain", "\ud800"),
        ("plain", b"\xff"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(desk: Desk, key: Any, value: Any) -> None:
    state = desk.open().plugin
    with pytest.raises(StateError, match=r"plugin coffee: the plugin state '.*' cannot hold this"):
        state.set(key, value)


async def test_a_stored_value_that_no_longer_fits_names_its_place_and_not_itself(desk: Desk) -> None:
    await desk.write(
        lambda state: state.set("order", {"drink": "SECRET WORDS", "size": "SECRET SIZE"}), Scope.room(ROOM)
    )
    with pytest.raises(StateError) as caught:
        await desk.open().room(ROOM).get("order", as_=Order)
    assert str(caught.value) == (
        "plugin coffee: the room state 'order' holds a value that does not fit its type any more (int_parsing)"
    )
    assert "SECRET" not in repr(caught.value.fields) + str(caught.value)
    assert caught.value.fields == {"plugin": "coffee", "scope": "room", "key": "order"}
    assert caught.value.__cause__ is None


async def test_nothing_lies_readable_but_counters(desk: Desk) -> None:
    def change(state: State) -> None:
        state.set("words", "what Alice said")
        state.set(TOKEN, "hunter2 hunter2")
        state.add("cups", 3)

    await desk.write(change, Scope.user(ALICE))
    stored = {row["key"]: row for row in await rows(desk.database, plugin_state)}
    assert {key: row["sealed"] for key, row in stored.items()} == {"words": 1, "token": 1, "cups": 0}
    assert stored["cups"]["value"] == b"3"
    assert not any(b"Alice" in row["value"] or b"hunter" in row["value"] for row in stored.values())
    other = Store(desk.database, Sealer("another pickle key", "state"), desk.clock.now_ms)
    with pytest.raises(SealBroken):
        await other.open("coffee", UnitOfWork("$e", "bot", BOT)).user(ALICE).get("words")
    with pytest.raises(StateError, match="is secret"):
        desk.state.add(Key("pin", int, default=0, secret=True))


async def test_bounds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    state = desk.state
    state.set("k" * MAX_KEY, "v" * (MAX_VALUE - 2))
    with pytest.raises(StateError, match="65537 bytes: 65536 are the most"):
        state.set("k", "v" * (MAX_VALUE - 1))
    for key in ("", "k" * (MAX_KEY + 1), "a\nb", "a\0b"):
        with pytest.raises(StateError, match="printable text of 1 to 255"):
            state.set(key, 1)
    for scope in ("", "two words", "x" * 300):
        with pytest.raises(StateError, match="Matrix identifiers"):
            Scope.room(scope)
    with pytest.raises(StateError, match="kept for between"):
        state.set("k", 1, ttl=timedelta(0))
    with pytest.raises(StateError, match="cannot be of the type"):
        Key("k", Desk)
    monkeypatch.setattr(framework, "MAX_KEYS", 2)
    await desk.write(lambda state: state.set("a", 1))
    await desk.write(lambda state: state.add("b"))
    with pytest.raises(StateError, match="one too many: a scope holds 2 keys"):
        await desk.write(lambda state: state.set("c", 1))
    with pytest.raises(StateError, match="one too many"):
        await desk.write(lambda state: state.add("c"))
    await desk.write(lambda state: state.add("b"))
    await desk.write(lambda state: state.set("c", 1), Scope.room(ROOM))


async def test_keys_by_prefix_with_what_the_unit_has_done(desk: Desk) -> None:
    for key in ("a:1", "a:2", "A:3", "b%", "b_x"):
        await desk.write(lambda state, key=key: state.set(key, 1))  # type: ignore[misc]
    assert await desk.state.keys("a:") == ["a:1", "a:2"]
    assert await desk.state.keys("b%") == ["b%"]
    state = desk.open().plugin
    state.delete("a:1")
    state.set("a:0", 1)
    state.add("a:9")
    assert await state.keys("a") == ["a:0", "a:2", "a:9"]
    assert await state.keys() == ["A:3", "a:0", "a:2", "a:9", "b%", "b_x"]


async def test_delete(desk: Desk) -> None:
    await desk.write(lambda state: state.set("a", 1))
    states = desk.open()
    states.plugin.delete("a")
    assert await states.plugin.get("a", "gone") == "gone"
    await desk.commit(states.unit)
    assert await desk.state.get("a", "gone") == "gone"
    assert await rows(desk.database, plugin_state) == []


async def test_after_a_checkpoint_the_database_is_read_again(desk: Desk) -> None:
    states = desk.open()
    states.plugin.set("a", 1)
    await states.unit.checkpoint()
    await desk.write(lambda state: state.set("a", 2))
    assert await states.plugin.get("a") == 2
    states.plugin.set("b", 1)
    states.unit.cleared()
    states.discard()
    assert await states.plugin.get("b") is None


# --- time to live


async def test_what_has_expired_is_absent_and_goes(desk: Desk) -> None:
    code = Key("code", str, ttl=timedelta(minutes=5))
    await desk.write(lambda state: state.set(code, "1234"))
    await desk.write(lambda state: state.add("tries", ttl=timedelta(minutes=5)))
    await desk.write(lambda state: state.set("stays", 1))
    desk.clock.advance(minutes=4)
    await desk.write(lambda state: state.add("tries", ttl=timedelta(minutes=5)))
    assert (await desk.state.get(code), await desk.state.count("tries")) == ("1234", 2)
    assert await desk.store.purge(desk.clock.now_ms()) == 0
    desk.clock.advance(minutes=1)
    assert (await desk.state.get(code), await desk.state.count("tries")) == (None, 0)
    assert await desk.state.keys() == ["stays"]
    await desk.write(lambda state: state.add("tries"))
    assert await desk.state.count("tries") == 1
    assert await desk.store.purge(desk.clock.now_ms()) == 1
    assert [row["key"] for row in await rows(desk.database, plugin_state)] == ["stays", "tries"]


async def test_purging_goes_in_portions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework, "PURGE_AT_ONCE", 3)
    for n in range(8):
        await desk.write(lambda state, n=n: state.set(f"k{n}", n, ttl=timedelta(seconds=1)))  # type: ignore[misc]
    desk.clock.advance(seconds=2)
    assert await desk.store.purge(desk.clock.now_ms()) == 8


# --- two at once


async def test_counters_see_their_own_unit(desk: Desk) -> None:
    await desk.write(lambda state: state.add("n", 5))
    states = desk.open()
    states.plugin.add("n")
    states.plugin.add("n", 2)
    assert await states.plugin.count("n") == 8
    states.plugin.set("n", 100)
    states.plugin.add("n", -1)
    assert await states.plugin.count("n") == await states.plugin.get("n", as_=int) == 99
    await desk.commit(states.unit)
    assert await desk.state.count("n") == 99


async def test_what_is_no_counter(desk: Desk) -> None:
    await desk.write(lambda state: state.set("n", "many"))
    with pytest.raises(StateError, match="is no counter"):
        await desk.state.count("n")
    with pytest.raises(StateError, match="is no counter"):
        await desk.write(lambda state: state.add("n"))
    for amount in (1.5, True, 2**63):
        with pytest.raises(StateError, match="63 bits"):
            desk.state.add("m", amount)  # type: ignore[arg-type]
    await desk.write(lambda state: state.add("m", 2**63 - 1))
    with pytest.raises(StateError, match="63 bits"):
        await desk.write(lambda state: state.add("m"))


async def test_additions_at_the_same_time_are_all_counted(desk: Desk) -> None:
    units = [desk.open() for _ in range(40)]
    for states in units:
        states.plugin.add("n")
    await asyncio.gather(*(desk.commit(states.unit) for states in units))
    assert await desk.state.count("n") == 40


async def test_of_those_who_set_it_first_at_the_same_time_one_does(desk: Desk) -> None:
    units = [desk.open() for _ in range(10)]
    for number, states in enumerate(units):
        states.plugin.compare_and_set("turn", None, number)
    outcomes = await asyncio.gather(*(desk.commit(states.unit) for states in units), return_exceptions=True)
    assert [type(each) for each in outcomes if each is not None] == [StateConflict] * 9
    assert await desk.state.get("turn") == outcomes.index(None)


async def test_compare_and_set(desk: Desk) -> None:
    await desk.write(lambda state: state.compare_and_set("turn", None, "alice"))
    await desk.write(lambda state: state.compare_and_set("turn", "alice", "bob"))
    with pytest.raises(StateConflict, match="plugin coffee: the plugin state 'turn' was changed by somebody else"):
        await desk.write(lambda state: state.compare_and_set("turn", "alice", "carol"))
    assert await desk.state.get("turn") == "bob"
    await desk.write(lambda state: state.compare_and_set(ORDERS, [], [Order(drink="tea")]))
    with pytest.raises(StateConflict):
        await desk.write(lambda state: state.compare_and_set(ORDERS, [], [Order(drink="water")]))
    assert await desk.state.get(ORDERS) == [Order(drink="tea")]


async def test_compare_and_set_after_what_the_unit_has_set_itself(desk: Desk) -> None:
    def change(state: State) -> None:
        state.set("turn", "alice")
        state.compare_and_set("turn", "alice", "bob")

    await desk.write(change)
    assert await desk.state.get("turn") == "bob"


async def test_an_update_that_was_overtaken_is_refused(desk: Desk) -> None:
    def more(orders: list[Order]) -> list[Order]:
        orders.append(Order(drink="tea"))
        return orders

    first, second = desk.open(), desk.open()
    await first.plugin.update(ORDERS, more)
    await second.plugin.update(ORDERS, more)
    await desk.commit(first.unit)
    with pytest.raises(StateConflict):
        await desk.commit(second.unit)
    assert await desk.state.get(ORDERS) == [Order(drink="tea")]
    await desk.write(lambda state: state.update(ORDERS, more))
    assert await desk.state.get(ORDERS) == [Order(drink="tea")] * 2


async def test_a_type_that_has_grown_can_be_updated(desk: Desk) -> None:
    await desk.write(lambda state: state.set("order", {"drink": "tea"}))
    key = Key("order", Order)

    def larger(order: Order | None) -> Order | None:
        assert order is not None
        return order.model_copy(update={"size": order.size + 1})

    await desk.write(lambda state: state.update(key, larger))
    assert await desk.state.get(key) == Order(drink="tea", size=2)
    await desk.write(lambda state: state.compare_and_set(key, Order(drink="tea", size=2), Order(drink="water")))
    assert await desk.state.get(key) == Order(drink="water")


async def test_in_the_engine_nothing_is_lost_and_nothing_counted_twice(
    engine: MakeEngine, flaky: FlakyDatabase
) -> None:
    """Rooms side by side change one list and one counter, while commits fail before, after and late."""
    desk = Desk(flaky)
    key: Key[list[str]] = Key("seen", list[str], default=[])

    async def handler(event: Event, unit: UnitOfWork) -> None:
        states = desk.store.open("coffee", unit)
        states.plugin.add("n")
        states.room(event.room_id).add("n")
        await states.plugin.update(key, lambda seen: [*seen, event.event_id])

    made = await engine(config(attempts=100, backoff=0.002), [FakeConsumer(handler=handler)])
    faults = ["before", None, "after", None, "late", None, "after", "before", None, "late", None, None] * 2
    events = [message(f"$e{room}.{number}", f"!r{room}:localhost") for number in range(6) for room in range(4)]
    await made.deliver(*events)
    flaky.fail(*faults)
    await made.settled()
    state = desk.state
    assert await state.count("n") == 24
    seen = await state.get(key)
    assert sorted(seen) == sorted(event["event_id"] for event in events)
    assert [await desk.open().room(f"!r{room}:localhost").count("n") for room in range(4)] == [6] * 4


# --- people


async def test_people_say_their_language_and_zone(desk: Desk) -> None:
    people = People(desk.database, desk.clock)
    assert await people.get(ALICE) == Person()
    unit = UnitOfWork("$e", "bot", BOT)
    people.set_language(unit, ALICE, "pt_br")
    people.set_zone(unit, ALICE, "Europe/Lisbon")
    assert await people.get(ALICE) == Person()
    await desk.commit(unit)
    assert await people.get(ALICE) == Person("pt-BR", "Europe/Lisbon")
    people.set_language(unit, ALICE, None)
    await desk.commit(unit)
    assert await people.get(ALICE) == Person(None, "Europe/Lisbon")
    assert await People(desk.database, desk.clock).get(ALICE) == Person(None, "Europe/Lisbon")
    with pytest.raises(PersonError, match="like en or pt-BR"):
        people.set_language(unit, ALICE, "no tag at all")
    with pytest.raises(PersonError, match="there is no time zone"):
        people.set_zone(unit, ALICE, "Europe/Atlantis")


class CountingDatabase(FlakyDatabase):
    """Counts what is read, and can hold a read back."""

    reads = 0
    gate: asyncio.Event | None = None

    async def read(self, work: Callable[..., Any]) -> Any:
        self.reads += 1
        result = await super().read(work)
        if self.gate is not None:
            await self.gate.wait()
        return result


async def test_people_are_remembered_and_never_wrongly(database: Database) -> None:
    counting = CountingDatabase(database)
    desk = Desk(counting)
    people = People(counting, desk.clock, capacity=2)
    for _ in range(3):
        await people.get(ALICE)
    assert counting.reads == 1
    for user in ("@b:localhost", "@c:localhost", ALICE):
        await people.get(user)
    assert counting.reads == 4
    # A look-up that began before a change and ends after it is not remembered.
    counting.gate = asyncio.Event()
    await people.get(ALICE)
    unit = UnitOfWork("$e", "bot", BOT)
    looking = asyncio.create_task(people.get("@d:localhost"))
    await asyncio.sleep(0)
    people.set_language(unit, "@d:localhost", "de")
    await desk.commit(unit)
    counting.gate.set()
    await looking
    assert (await people.get("@d:localhost")).language == "de"
    # The commit happened, but its answer was lost: nobody calls back.
    people.set_language(unit, "@d:localhost", "fr")
    operations = list(unit.operations)
    await people.get("@d:localhost")
    await database.write(lambda connection: [operation(connection) for operation in operations])
    assert (await people.get("@d:localhost")).language == "fr"
    desk.clock.advance(hours=1)
    assert (await people.get("@d:localhost")).language == "fr"
    before = counting.reads
    assert (await people.get("@d:localhost")).language == "fr"
    assert counting.reads == before
    assert await database.read(lambda connection: people_sql.read(connection, "@d:localhost").language) == "fr"


# --- switches


async def test_switches(database: Database) -> None:
    everywhere = Switch("coffee", switches.EVERYWHERE, False, "broken", "operator", 5)
    room = Switch("coffee", switches.room_scope(ROOM), True, "", ALICE, 6)
    other = Switch("tea", switches.server_scope("example.org"), True)
    for each in (everywhere, room, other):
        await database.write(lambda connection, each=each: switches.put(connection, each))  # type: ignore[misc]
    assert await database.read(switches.load) == [everywhere, room, other]
    await database.write(lambda connection: switches.put(connection, Switch("coffee", "", True, changed_at=9)))
    found = await database.read(lambda connection: switches.load(connection, "coffee"))
    assert found == [Switch("coffee", "", True, changed_at=9), room]
    assert await database.write(lambda connection: switches.remove(connection, "coffee", room.scope))
    assert not await database.write(lambda connection: switches.remove(connection, "coffee", room.scope))
