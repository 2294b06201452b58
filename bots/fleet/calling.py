"""What is raised for a plugin to hear in a handler of its own, in the order of a room: by handlers and by rounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from appservice.clock import to_ms
from appservice.events import InternalEvent
from bots.framework import Context
from bots.framework.context import TIMER_FIRED

__all__ = ["CLIENT", "DEADLINE", "DRIVER", "OFFER", "SETTLE", "TRIP", "at", "event", "trip_room"]

TRIP: Final = "fleet_trip"
CLIENT: Final = "fleet_client"
OFFER: Final = "fleet_offer"
DRIVER: Final = "fleet_driver"
SETTLE: Final = "fleet_settle"
DEADLINE: Final = "fleet_deadline"
"""Names of timers, which :mod:`bots.fleet.handlers` hears."""


def trip_room(trip_id: str) -> str:
    """What takes the place of a room for what happens to one trip by itself: in order."""
    return f"~fleet/{trip_id}"


def event(consumer: str, key: str, name: str, data: Mapping[str, Any], *, room: str, person: str) -> InternalEvent:
    """Has ``@timer(name)`` of a plugin called once, at once; a second event of the same key is none."""
    content = {"schedule": key, "data": {"name": name, "data": dict(data)}}
    return InternalEvent(f"fleet:{consumer}:{key}", consumer, room, TIMER_FIRED, content, person)


def at(
    ctx: Context,
    consumer: str,
    when: datetime,
    name: str,
    data: Mapping[str, Any],
    *,
    key: str,
    room: str,
    person: str,
) -> None:
    """Has ``@timer(name)`` of a plugin called at a time, from the commit at hand on. One with the same key is
    replaced; two with the same data and time are one."""
    due = max(to_ms(when), ctx.now_ms())
    ctx.services.scheduler.set(
        ctx.unit,
        consumer=consumer,
        key=key,
        room_id=room,
        person=person,
        kind=TIMER_FIRED,
        due_at=due,
        content={"schedule": key, "due": due, "data": {"name": name, "data": dict(data)}},
    )
