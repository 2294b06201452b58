"""What a handler may do."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection

from appservice.events import Event
from appservice.media import Media
from appservice.rooms import Rooms
from appservice.unit import UNSENT, UnitOfWork, transaction_id

_REPLY_FALLBACK = re.compile(r"\A(?:> .*\n)+\n?")


class Context:
    """One event, and the effects of answering it. Effects happen when the handler has returned, all or none."""

    def __init__(
        self,
        event: Event,
        unit: UnitOfWork,
        user_id: str,
        consumer: str,
        rooms: Rooms,
        media: Media,
        content: Mapping[str, Any] | None = None,
    ) -> None:
        self.event = event
        self.user_id = user_id
        self.content: Mapping[str, Any] = event.content if content is None else content
        """The content at hand; of an edit the new content."""
        self.addressed = True
        """Whether a text is meant for this bot: everything is in a chat with one person."""
        self.rest = ""
        """The text without the bot's name or the command prefix before it."""
        self.names: Collection[str] = ()
        """The names of the plugin's commands."""
        self._unit = unit
        self._consumer = consumer
        self._rooms = rooms
        self._media = media

    @property
    def sender(self) -> str:
        """The user id of the person."""
        return self.event.sender

    @property
    def room_id(self) -> str:
        """The room of the event."""
        return self.event.room_id

    @property
    def text(self) -> str:
        """The plain body, without the quotation that old clients put before a reply."""
        body = self.content.get("body")
        if not isinstance(body, str):
            return ""
        relation = self.content.get("m.relates_to")
        if isinstance(relation, dict) and "m.in_reply_to" in relation:
            body = _REPLY_FALLBACK.sub("", body)
        return body

    def unknown_command(self) -> str:
        """What to say to a text that is no command, with the nearest command when one is near."""
        word = self.rest.partition(" ")[0]
        near = get_close_matches(word.casefold(), self.names, 1)
        hint = f" Did you mean “{near[0]}”?" if near else ""
        return f"I do not know “{word[:40]}”.{hint} Type “help” to see what I can do."

    async def encrypted(self) -> bool:
        """Whether the room is encrypted."""
        return await self._rooms.is_encrypted(self.room_id)

    async def humans(self) -> list[str]:
        """The people in the room, joined or invited."""
        return list(await self._rooms.humans(self.room_id))

    def say(self, text: str, *, html: str | None = None, room_id: str | None = None) -> str:
        """Send a notice. ``text`` is complete in itself; ``html`` makes it nicer where it is shown."""
        content: dict[str, Any] = {"msgtype": "m.notice", "body": text}
        if html is not None:
            content |= {"format": "org.matrix.custom.html", "formatted_body": html}
        return self.send(content, room_id=room_id)

    def send(self, content: Mapping[str, Any], *, room_id: str | None = None) -> str:
        """Send a message event; returns a reference that stands for its event id.

        It mentions nobody but those in its own ``m.mentions``: names and @room in the body, which people may have
        written, count for clients only where that is missing (specification, "User and room mentions").
        """
        return self._unit.send(room_id or self.room_id, {"m.mentions": {}, **content})

    def edit(self, reference: str, content: Mapping[str, Any]) -> str:
        """Replace a message of the bot's own."""
        return self._unit.edit(self.room_id, reference, {"m.mentions": {}, **content})

    def redact(self, event_id: str, *, reason: str | None = None) -> str:
        """Redact an event; needs the power to, but for the bot's own."""
        return self._unit.redact(self.room_id, event_id, reason=reason)

    def react(self, key: str) -> str:
        """React to the event at hand."""
        return self._unit.react(self.room_id, self.event.event_id, key)

    def answer_to(self, event_id: str, ordinal: int = 0) -> str:
        """The reference of the bot's own ``ordinal``-th message in answer to an earlier event."""
        return UNSENT + transaction_id(event_id, self._consumer, ordinal)

    def store(self, operation: Callable[[Connection], None]) -> None:
        """Write to the database together with the other effects."""
        self._unit.store(operation)

    async def download(self) -> bytes:
        """The bytes of the message's media, decrypted."""
        return await self._media.download(self.user_id, self.content)

    async def send_media(self, data: bytes, like: Mapping[str, Any]) -> str:
        """Send media with body, type and info of ``like``; encrypted in an encrypted room."""
        info = like.get("info")
        info = (
            {key: value for key, value in info.items() if not key.startswith("thumbnail")}
            if isinstance(info, dict)
            else {}
        )
        mimetype = info.get("mimetype")
        upload = await self._media.upload(
            self.user_id,
            data,
            mimetype if isinstance(mimetype, str) else "application/octet-stream",
            encrypted=await self.encrypted(),
        )
        content: dict[str, Any] = {
            "msgtype": like.get("msgtype", "m.file"),
            "body": body if isinstance(body := like.get("body"), str) else "file",
            "info": info,
            **upload.content,
        }
        if isinstance(like.get("filename"), str):
            content["filename"] = like["filename"]
        return self.send(content)
