"""What the hub is told to tell people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appservice.events import Event


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person is to hear (:mod:`bridge.notices`).

    Attributes:
        code: what has happened; the words for it are the hub's.
        values: what stands in the sentence.
        person: whom it is told: ``ctx.sender``; "" for a room that the hub is in, ``ctx.room_id``.
        key: stable for its cause.
    """

    code: str
    values: Mapping[str, Any]
    person: str
    key: str

    @classmethod
    def of(cls, event: Event) -> Notice:
        """What an internal event says."""
        content: Mapping[str, Any] = event.content
        values = content.get("values")
        return cls(
            code=str(content.get("code", "")),
            values=values if isinstance(values, dict) else {},
            person=event.sender,
            key=event.event_id,
        )
