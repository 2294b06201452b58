"""Internal events that others than the homeserver raise: what was kept is worked, whoever waited for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection

from appservice.database import DatabaseError
from appservice.events import Event, InternalEvent
from appservice.service import Service
from tests.store.conftest import MakeEngine
from tests.store.harness import ALICE, Engine, FakeConsumer, FlakyDatabase, until

TIMER = "rialto.timer"


class Hearing(FakeConsumer):
    """Hears of internal events."""

    def wants(self, event: Event) -> bool:
        return event.type == TIMER


async def silent(_event: Event, _unit: Any) -> None:
    """Answers nothing."""


def service_of(engine: Engine) -> Service:
    """As much of the service as raises events."""
    made = Service.__new__(Service)
    made.inbox, made.worker, made.writer, made._tasks = engine.inbox, engine.worker, engine.writer, []
    return made


def event(key: str, consumer: str) -> InternalEvent:
    return InternalEvent(key=key, consumer=consumer, room_id="~timers", type=TIMER, content={}, sender=ALICE)


async def test_what_was_kept_is_worked_although_the_caller_was_cut_off(engine: MakeEngine) -> None:
    """A handler that takes too long is cancelled while its commit is under way."""
    consumer = Hearing(handler=silent)
    one = await engine(consumers=[consumer])
    service = service_of(one)
    wanted = event("k", consumer.name)
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(_connection: Connection) -> list[InternalEvent]:
        loop.call_soon_threadsafe(began.set)
        return [wanted]

    caller = asyncio.create_task(service.raise_events(work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait_for(began.wait(), 5)
    await until(lambda: consumer.handled == [wanted.event_id], "the event was worked")
    await asyncio.gather(*service._tasks)


async def test_what_was_kept_is_worked_although_the_answer_was_lost(engine: MakeEngine, flaky: FlakyDatabase) -> None:
    consumer = Hearing(handler=silent)
    one = await engine(consumers=[consumer])
    service = service_of(one)
    wanted = event("k", consumer.name)
    flaky.fail("after")
    with pytest.raises(DatabaseError):
        await service.raise_events(lambda _connection: [wanted])
    await service.raise_events(lambda _connection: [wanted])
    await until(lambda: consumer.handled == [wanted.event_id], "the event was worked")
    await asyncio.gather(*service._tasks)
