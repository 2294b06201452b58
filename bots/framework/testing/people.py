"""People of a world: they say what a test tells them to, and hear what bots say."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from appservice.e2ee import attachments
from bots.framework import choices
from bots.framework import content as contents
from bots.framework.testing.homeserver import Message, Room

if TYPE_CHECKING:
    from bots.framework.testing.world import World


class Person:
    """Somebody who talks with the bots, in their direct chat unless a room is named."""

    def __init__(self, world: World, user_id: str) -> None:
        self._world = world
        self.user_id = user_id
        """Theirs."""
        self.last: dict[str, Message] = {}
        """The last message heard, by room."""

    def __str__(self) -> str:
        return self.user_id

    async def says(
        self,
        text: str,
        *,
        room: Room | None = None,
        reply_to: Message | None = None,
        thread: Message | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> Message:
        """Send a text."""
        whole: dict[str, Any] = {"msgtype": "m.text", "body": text, **(content or {})}
        return await self._send("m.room.message", _related(whole, reply_to, thread), room)

    async def picks(self, answer: str | int, *, room: Room | None = None) -> Message:
        """Answer a choice by number or label."""
        return await self.says(str(answer), room=room)

    async def taps(self, value: str, *, room: Room | None = None) -> Message:
        """Press a button as Rialto's own clients draw it: a structured answer to the last choice."""
        place = await self._world.place(self, room)
        last = next(m for m in reversed(place.timeline) if choices.rendering.CHOICES in m.content)
        prompt = last.content[choices.rendering.CHOICES]["prompt"]
        answer = {"app.rialto.choice": {"prompt": prompt, "values": [value]}}
        return await self.says(value, room=room, content=answer)

    async def reacts(self, key: str, to: Message | None = None, *, room: Room | None = None) -> Message:
        """React to a message, the one heard last unless another is given."""
        target = to or await self._last(room)
        relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": target.event_id, "key": key}}
        return await self._send("m.reaction", relation, room)

    async def votes(self, *labels: str, poll: Message | None = None, room: Room | None = None) -> Message:
        """Vote in a poll, the one heard last unless another is given."""
        target = poll or await self._last(room)
        asked = contents.parse_poll(target.content)
        assert asked is not None, f"this is no poll: {target.body!r}"
        ids = [answer.id for answer in asked.answers if answer.text in labels]
        assert len(ids) == len(labels), f"the poll offers {[answer.text for answer in asked.answers]}"
        return await self._send(contents.POLL_RESPONSE, contents.poll_response(target.event_id, ids), room)

    async def sends_photo(
        self,
        data: bytes | None = None,
        name: str = "photo.png",
        *,
        room: Room | None = None,
        reply_to: Message | None = None,
        thread: Message | None = None,
    ) -> Message:
        """Send a picture, a small one unless its bytes are given."""
        if data is None:
            from PIL import Image

            buffer = io.BytesIO()
            Image.new("RGB", (8, 8), (200, 120, 40)).save(buffer, "PNG")
            data = buffer.getvalue()
        return await self._send_file("m.image", data, name, "image/png", room, reply_to, thread)

    async def sends_file(
        self,
        data: bytes,
        name: str,
        mimetype: str = "application/octet-stream",
        *,
        room: Room | None = None,
        reply_to: Message | None = None,
        thread: Message | None = None,
    ) -> Message:
        """Send a file."""
        return await self._send_file("m.file", data, name, mimetype, room, reply_to, thread)

    async def _send_file(
        self,
        msgtype: str,
        data: bytes,
        name: str,
        mimetype: str,
        room: Room | None,
        reply_to: Message | None,
        thread: Message | None,
    ) -> Message:
        address = await self._world.homeserver.request(
            "POST", "/_matrix/media/v3/upload", user_id=self.user_id, data=data
        )
        content = {
            "msgtype": msgtype,
            "body": name,
            "filename": name,
            "url": address["content_uri"],
            "info": {"mimetype": mimetype, "size": len(data)},
        }
        return await self._send("m.room.message", _related(content, reply_to, thread), room)

    async def shares_place(
        self, latitude: float, longitude: float, name: str = "", *, room: Room | None = None
    ) -> Message:
        """Share a location."""
        return await self._send("m.room.message", contents.location(contents.GeoPoint(latitude, longitude), name), room)

    async def edits(self, message: Message, text: str) -> Message:
        """Edit a message."""
        content = {
            "msgtype": "m.text",
            "body": f"* {text}",
            "m.new_content": {"msgtype": "m.text", "body": text},
            "m.relates_to": {"rel_type": "m.replace", "event_id": message.event_id},
        }
        return await self._send("m.room.message", content, self._world.homeserver.rooms[message.room_id])

    async def redacts(self, message: Message) -> Message:
        """Remove a message."""
        room = self._world.homeserver.rooms[message.room_id]
        return await self._send("m.room.redaction", {"redacts": message.event_id}, room)

    async def leaves(self, room: Room) -> Message:
        """Leave a room."""
        return await self._world.change_member(room, self.user_id, "leave")

    async def joins(self, room: Room) -> Message:
        """Join a room."""
        return await self._world.change_member(room, self.user_id, "join")

    async def hears(self, room: Room | None = None) -> Message:
        """The next message of a bot that this person has not heard; AssertionError when there is none."""
        message = await self._next(room)
        assert message is not None, "nothing more was said; so far:\n" + "\n".join(
            self._world.transcript(await self._world.place(self, room))
        )
        return message

    async def hears_all(self, room: Room | None = None) -> list[Message]:
        """Every message of bots that this person has not heard."""
        heard = []
        while (message := await self._next(room)) is not None:
            heard.append(message)
        return heard

    async def hears_nothing(self, room: Room | None = None) -> None:
        """AssertionError when a bot has said something that this person has not heard."""
        message = await self._next(room)
        assert message is None, f"heard {message.body!r}" if message else ""

    async def downloads(self, message: Message) -> bytes:
        """The bytes of a message's media, decrypted when they are encrypted (specification, "Sending encrypted
        attachments"); AssertionError when it has none, or the homeserver has not.

        Raises:
            AttachmentError: they are not what the message says.
        """
        content = message.replaced or message.content
        file = content.get("file")
        address = file.get("url") if isinstance(file, Mapping) else content.get("url")
        assert isinstance(address, str), f"this message has no media: {message.body!r}"
        data = self._world.homeserver.media.get(address.rpartition("/")[2])
        assert data is not None, f"nothing is stored at {address}"
        return attachments.decrypt(file, data) if isinstance(file, Mapping) else data

    async def _next(self, room: Room | None) -> Message | None:
        await self._world.settle()
        place = await self._world.place(self, room)
        position = place.read.get(self.user_id, 0)
        while position < len(place.timeline):
            message = place.timeline[position]
            position += 1
            place.read[self.user_id] = position
            if self._world.is_message_of_a_bot(message):
                self.last[place.room_id] = message
                return message
        return None

    async def _last(self, room: Room | None) -> Message:
        place = await self._world.place(self, room)
        while await self._next(room) is not None:
            pass
        assert place.room_id in self.last, "nothing was heard yet"
        return self.last[place.room_id]

    async def _send(self, event_type: str, content: Mapping[str, Any], room: Room | None) -> Message:
        place = await self._world.place(self, room)
        return await self._world.send(place, self.user_id, event_type, content)


def _related(content: dict[str, Any], reply_to: Message | None, thread: Message | None) -> dict[str, Any]:
    """A content as a reply or in a thread."""
    if reply_to is not None:
        content = contents.reply_to(content, reply_to.event_id)
    return content if thread is None else contents.in_thread(content, thread.event_id)
