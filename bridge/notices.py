"""What the messenger has to tell people: by ``@rialto`` in their own chat with it, or by the steward in the chat.

The steward has no device, so what it says in an encrypted chat is not encrypted; it says nothing there but what the
homeserver knows anyway: who came, who was muted, which timer is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from appservice.events import InternalEvent
from appservice.unit import UnitOfWork

NOTICE: Final = "rialto.messenger.notice"
"""The internal event: ``{"code": …, "values": {…}}``, whose ``sender`` is the person to be told."""


class Notices:
    """Makes notices; they are told once for a key, in the order of the person."""

    def __init__(self, hub_consumer: str, steward: str) -> None:
        """
        Args:
            hub_consumer: the name of the consumer that tells them; '' when there is none: then nobody is told.
        """
        self._hub = hub_consumer
        self._steward = steward

    def event(self, key: str, person: str, code: str, values: Mapping[str, Any] | None = None) -> list[InternalEvent]:
        """The events to hand to ``raise_events``, or to ``unit.emit``: one, or none without ``@rialto``.

        Args:
            key: stable for the cause: a second notice with the same key is not told.
            code: what to say; ``bots/hub`` knows the words in each language.
            values: what stands in the sentence.
        """
        if not self._hub:
            return []
        content = {"code": code, "values": dict(values or {})}
        return [InternalEvent(f"notice:{key}", self._hub, f"person:{person}", NOTICE, content, person)]

    def tell(self, unit: UnitOfWork, person: str, code: str, values: Mapping[str, Any] | None = None) -> None:
        """Tell a person, as an effect of a unit of work."""
        for event in self.event(f"{unit.event_id} {unit.consumer} {person} {code}", person, code, values):
            unit.emit(event)

    def in_room(
        self, key: str, room_id: str, code: str, values: Mapping[str, Any] | None = None
    ) -> list[InternalEvent]:
        """The events by which ``@rialto`` says something in a room that it is in, encrypted where the room is.

        Args:
            key: stable for the cause, as for :meth:`event`.
        """
        if not self._hub:
            return []
        content = {"code": code, "values": dict(values or {})}
        return [InternalEvent(f"notice:{key}", self._hub, room_id, NOTICE, content)]

    def announce(self, unit: UnitOfWork, room_id: str, code: str, text: str, key: str | None = None) -> None:
        """Say something in a chat, as the steward, to everybody. Nothing private: it is not encrypted.

        Args:
            code: for clients that have words of their own.
            text: in English, for all others.
        """
        content = {"msgtype": "m.notice", "body": text, "m.mentions": {}, "chat.rialto.notice": {"code": code}}
        unit.send(room_id, content, user_id=self._steward, key=key)
