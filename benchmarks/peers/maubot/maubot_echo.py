# mypy: ignore-errors
# maubot is installed in an environment of its own (benchmarks/peers/scratch.py), which mypy does not look into.
"""The peer: an echo plugin for maubot, run by ``python -m maubot.standalone`` with appservice transactions."""

from __future__ import annotations

from maubot import Plugin
from maubot.handlers import event
from mautrix.api import Method
from mautrix.types import EventType, MessageEvent, MessageType


class Echo(Plugin):
    """Answers text with the same text."""

    async def start(self) -> None:
        """maubot does not ask for a ping itself; the benchmark takes it for the sign that it is ready."""
        path = "_matrix/client/v1/appservice/rialto/ping"
        await self.client.api.request(Method.POST, path, {"transaction_id": "start"})

    @event.on(EventType.ROOM_MESSAGE)
    async def echo(self, evt: MessageEvent) -> None:
        """One message."""
        if evt.sender != self.client.mxid and evt.content.msgtype == MessageType.TEXT:
            # Events of transactions come without maubot's own methods, evt.respond among them.
            await self.client.send_text(evt.room_id, evt.content.body)
