"""Random events, handler failures and database faults: every event is answered once, and in the order of its room."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert

from appservice.database import Database, DatabaseError
from appservice.events import Event
from appservice.store.tables import InboxState, inbox, metadata
from appservice.store.tables import rooms as effects
from appservice.unit import UnitOfWork
from tests.store.harness import (
    BOT,
    OTHER,
    Engine,
    FakeConsumer,
    FakeCrypto,
    FakeHomeserver,
    FakeRooms,
    FlakyDatabase,
    Sent,
    config,
    message,
    opened,
    refusal,
    rows,
)

ROOMS = [f"!r{number}:localhost" for number in range(4)]
SECRET_ROOM = ROOMS[0]
ATTEMPTS = 3


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """Transactions of (room, failures of the first and of the second bot, with an effect in the database)."""
    event = st.tuples(
        st.sampled_from(ROOMS), st.integers(0, ATTEMPTS + 1), st.sampled_from([0, 0, 0, 1, 5]), st.booleans()
    )
    return {
        "transactions": draw(st.lists(st.lists(event, min_size=1, max_size=8), min_size=1, max_size=4)),
        "faults": draw(st.lists(st.sampled_from([None, None, "before", "after"]), max_size=25)),
        "sends": draw(st.lists(st.sampled_from([None, None, "refuse", "lose"]), max_size=25)),
        "restart": draw(st.booleans()),
        "two": draw(st.booleans()),
    }


class Handlers:
    """What the bots do: fail so often, then note an effect and answer."""

    def __init__(self, failures: dict[tuple[str, str], int], with_effect: set[str]) -> None:
        self.left = dict(failures)
        self.with_effect = with_effect

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        key = (unit.consumer, event.event_id)
        if self.left.get(key, 0) > 0:
            self.left[key] -= 1
            raise ValueError
        await asyncio.sleep(0)
        if event.event_id in self.with_effect:
            name = f"{unit.consumer}{event.event_id}"

            def operation(connection: Connection) -> None:
                connection.execute(insert(effects), {"shard": 0, "key": name, "room_id": "", "created_at": 0})

            unit.store(operation)
        unit.send(event.room_id, {"body": f"{event.event_id} by {unit.consumer}"})


def text(sent: Sent) -> str:
    """What a message says."""
    content = opened(sent) if sent.event_type == "m.room.encrypted" else sent.content
    return str(content["body"])


async def deliver(one: Engine, txn_id: str, events: list[dict[str, Any]]) -> None:
    """As the homeserver does: again until it is answered well; as the listener does: look after a lost answer."""
    uncertain = False
    while True:
        try:
            await one.deliver(*events, txn_id=txn_id)
            if uncertain:
                await one.worker.reconcile()
            return
        except DatabaseError:
            uncertain = True


async def play(plan: dict[str, Any], database: Database) -> None:
    """One run, and what must hold after it."""
    flaky = FlakyDatabase(database)
    faults, sends = list(plan["faults"]), list(plan["sends"])
    flaky.fault = lambda: faults.pop(0) if faults else None
    homeserver = FakeHomeserver()
    homeserver.problem = lambda _sent: refusal(503) if sends and sends.pop(0) == "refuse" else None
    homeserver.lost_answer = lambda _sent: refusal(0, "TIMEOUT") if sends and sends.pop(0) == "lose" else None
    failures: dict[tuple[str, str], int] = {}
    with_effect: set[str] = set()
    order: dict[str, list[str]] = defaultdict(list)
    transactions = []
    names = ["a", "b"] if plan["two"] else ["a"]
    for number, planned in enumerate(plan["transactions"]):
        events = []
        for index, (room, first, second, effect) in enumerate(planned):
            event_id = f"$t{number}e{index}"
            failures["a", event_id], failures["b", event_id] = first, second
            if effect:
                with_effect.add(event_id)
            order[room].append(event_id)
            events.append(message(event_id, room))
        transactions.append((f"t{number}", events))
    handlers = Handlers(failures, with_effect)
    settled = config(attempts=ATTEMPTS, backoff=0.001, backoff_max=0.002)

    def engine() -> Engine:
        users = [BOT, OTHER][: len(names)]
        consumers = [FakeConsumer(name, user, handlers.handle) for name, user in zip(names, users, strict=True)]
        rooms = FakeRooms(users, {SECRET_ROOM})
        return Engine(flaky, settled, consumers, homeserver, rooms, FakeCrypto())

    one = await engine().start()
    try:
        for number, (txn_id, events) in enumerate(transactions):
            await deliver(one, txn_id, events)
            if plan["restart"] and number == 0:
                await one.crash()
                one = await engine().start()
        await one.settled()
    finally:
        flaky.fault = lambda: None
        await one.crash()
    expected = {
        room: [
            f"sorry for {event_id} from {name}" if failures[name, event_id] >= ATTEMPTS else f"{event_id} by {name}"
            for event_id in event_ids
            for name in names
        ]
        for room, event_ids in order.items()
    }
    if plan["restart"] or plan["faults"]:  # they forget attempts that were not written down yet: an answer is as good
        said = {
            room: [text(sent).split()[2 if text(sent).startswith("sorry") else 0] for sent in homeserver.in_room(room)]
            for room in order
        }
        assert said == {room: [event_id for event_id in event_ids for _ in names] for room, event_ids in order.items()}
    else:
        assert {room: [text(sent) for sent in homeserver.in_room(room)] for room in order} == expected
    for row in await rows(database, inbox):
        assert row["state"] in {InboxState.DONE, InboxState.DEAD}, row
    done = [row["key"] for row in await rows(database, effects)]
    assert len(done) == len(set(done))
    answered = {text(sent) for sent in homeserver.events}
    assert set(done) == {
        f"{name}{event_id}" for name in names for event_id in with_effect if f"{event_id} by {name}" in answered
    }


@given(plan=plans())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
def test_every_event_is_answered_once_and_in_order(
    plan: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SQLite, a new file each time; hypothesis runs outside pytest's event loop."""
    from appservice.database import open_database

    async def run() -> None:
        folder: Path = tmp_path_factory.mktemp("random")
        database = open_database(f"sqlite:///{folder / 'rialto.db'}")
        await database.start()
        await database.write(metadata.create_all)
        try:
            await play(plan, database)
        finally:
            await database.stop()

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(12))
async def test_the_same_on_both_databases(database: Database, seed: int) -> None:
    """Plans from a fixed seed, for PostgreSQL's connections belong to the test's loop."""
    import random

    dice = random.Random(seed)
    plan = {
        "transactions": [
            [
                (dice.choice(ROOMS), dice.randint(0, 4), dice.choice([0, 0, 1, 5]), dice.random() < 0.5)
                for _ in range(dice.randint(1, 12))
            ]
            for _ in range(dice.randint(1, 5))
        ],
        "faults": [dice.choice([None, None, "before", "after"]) for _ in range(dice.randint(0, 40))],
        "sends": [dice.choice([None, None, "refuse", "lose"]) for _ in range(dice.randint(0, 40))],
        "restart": seed % 2 == 0,
        "two": seed % 3 != 0,
    }

    def clean(connection: Connection) -> None:
        for each in metadata.sorted_tables:
            connection.execute(delete(each))

    await database.write(clean)
    await play(plan, database)
