"""What was said in a room, as the homeserver has it: decrypted with a person's keys, in its order."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import nio
from nio.exceptions import EncryptionError

from tests.support.human import Human

UNREADABLE = "<unreadable>"


async def history(human: Human, room_id: str) -> list[dict[str, Any]]:
    """All events of a room, oldest first."""
    found: list[dict[str, Any]] = []
    start = ""
    while True:
        path = f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/messages?dir=f&limit=500{start}"
        answer = await human.request("GET", path)
        found.extend(answer["chunk"])
        if "end" not in answer or not answer["chunk"]:
            return found
        start = f"&from={quote(answer['end'], safe='')}"


def text_of(human: Human, room_id: str, raw: dict[str, Any]) -> str | None:
    """The text of a message, decrypted when need be; None for other events."""
    if raw["type"] == "m.room.encrypted":
        event = nio.Event.parse_encrypted_event(raw)
        event.room_id = room_id
        try:
            raw = human.nio.decrypt_event(event).source
        except EncryptionError:
            return UNREADABLE
    if raw["type"] != "m.room.message" or raw["content"].get("msgtype") not in {"m.text", "m.notice"}:
        return None
    return str(raw["content"]["body"])


async def answers(human: Human, room_id: str, bot: str) -> list[str]:
    """The bot's texts in a room, in the order of the homeserver."""
    texts = [text_of(human, room_id, raw) for raw in await history(human, room_id) if raw["sender"] == bot]
    return [text for text in texts if text is not None]
