"""What Rialto and a plugin outside its process say to each other: versions, bounds, frames, errors.

The protocol, message by message, is in ``docs/remote-plugins.md``. Text frames are JSON objects with a ``type``; binary
frames are pieces of a file: eight bytes that name the call (big-endian), then bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from appservice import json
from appservice.errors import RialtoError
from bots.framework import API_VERSION

PROTOCOLS: Final = (1,)
"""The versions of the protocol that this code speaks, the newest last."""
API: Final = API_VERSION
"""The version of the plugin API: what differs in the first number does not work together."""
PATH: Final = "/plugins/v1"

MAX_FRAME: Final = 1024 * 1024
"""Bytes of one frame that Rialto takes."""
MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of one frame that the plugin's side takes."""
CHUNK: Final = 256 * 1024
MAX_DEPTH: Final = 64
HANDSHAKE_S: Final = 10.0
HEARTBEAT_S: Final = 20.0
"""Seconds between two pings, both ways; half of it without a pong ends the connection."""
SEND_S: Final = 30.0
CALL_S: Final = 120.0
_ID: Final = Struct(">Q")


class Close(IntEnum):
    """Codes of the frame that closes the connection (RFC 6455, section 7.4)."""

    GOING_AWAY = 1001
    REFUSED = 1008
    TOO_BIG = 1009
    REPLACED = 4001
    """A newer connection of the same instance has taken over."""


class Refusal(RialtoError):
    """One side does what it must not. ``reason`` is stable; ``fatal`` ends the connection; ``again``: another may be
    opened later.
    """

    code = "remote_refused"

    def __init__(self, reason: str, human: str, *, fatal: bool = False, again: bool = True) -> None:
        super().__init__(human, reason=reason)
        self.reason = reason
        self.fatal = fatal
        self.again = again


class LinkLost(RialtoError):
    """The connection ended before the answer came."""

    code = "remote_link_lost"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may do, beyond the size of frames."""

    calls: int = 64
    """Calls under way at the same time."""
    frames_per_s: float = 2_000
    burst: int = 10_000
    """Frames at once, beyond their rate."""
    refusals: int = 20
    """What is refused until the connection is ended."""
    handlings: int = 64
    """Events that the plugin works at the same time."""
    messages: int = 1_000
    """Messages in one frame. What a handler may send altogether is the unit's own limit."""
    operations: int = 2_000
    """Writes in one frame."""
    file_bytes: int = 64 * 1024 * 1024
    """Bytes of files that are being received at the same time."""


def encode(frame: Mapping[str, Any]) -> str:
    """A frame as text."""
    return json.dumps(frame).decode()


def decode(text: str) -> dict[str, Any]:
    """A frame of its text.

    Raises:
        Refusal: it is none.
    """
    try:
        frame = json.loads(text)
    except json.JSONError:
        raise Refusal("malformed", "a frame is a JSON object; this one cannot be read", fatal=True) from None
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise Refusal("malformed", "a frame is a JSON object with a type", fatal=True)
    if _deeper(frame, MAX_DEPTH):
        raise Refusal("malformed", f"a frame is nested {MAX_DEPTH} levels deep at most", fatal=True)
    return frame


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(_deeper(item, levels - 1) for item in (value.values() if isinstance(value, dict) else value))


def piece(call: int, data: bytes) -> bytes:
    """A binary frame."""
    return _ID.pack(call) + data


def unpiece(frame: bytes) -> tuple[int, bytes]:
    """The call that a binary frame belongs to, and its bytes.

    Raises:
        Refusal: it is too short.
    """
    if len(frame) <= _ID.size:
        raise Refusal("malformed", "a binary frame is the number of its call and some bytes", fatal=True)
    return _ID.unpack_from(frame)[0], frame[_ID.size :]


class Fields:
    """The fields of an object that the other side sent, with their types checked."""

    __slots__ = ("_data", "_where")

    def __init__(self, data: Any, where: str) -> None:
        """
        Args:
            where: what the object is, for errors.

        Raises:
            Refusal: it is no object.
        """
        if not isinstance(data, dict):
            raise Refusal("malformed", f"{where} needs to be an object")
        self._data: dict[str, Any] = data
        self._where = where

    def text(self, name: str, *, most: int = 255, empty: bool = True, default: str | None = None) -> str:
        """A text without NUL."""
        value = self._data.get(name, default)
        if not isinstance(value, str) or len(value) > most or "\0" in value or not (empty or value):
            raise self._bad(name, f"a text of {'0' if empty else '1'} to {most} characters")
        return value

    def text_or_none(self, name: str, *, most: int = 255) -> str | None:
        """A text, or null."""
        return None if self._data.get(name) is None else self.text(name, most=most)

    def json(self, name: str, *, most: int) -> bytes:
        """A text that holds JSON, as its bytes."""
        value = self._data.get(name)
        if isinstance(value, str):
            try:
                data = value.encode()
                if len(data) <= most:
                    json.loads(data)
                    return data
            except (UnicodeEncodeError, json.JSONError):
                pass
        raise self._bad(name, f"JSON as a text of {most} bytes at most")

    def json_or_none(self, name: str, *, most: int) -> bytes | None:
        """As above, or null."""
        return None if self._data.get(name) is None else self.json(name, most=most)

    def number(self, name: str, *, least: int = 0, most: int = 2**53, default: int | None = None) -> int:
        """A whole number."""
        value = self._data.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._bad(name, f"a whole number from {least} to {most}")
        return value

    def number_or_none(self, name: str, *, least: int = 0, most: int = 2**53) -> int | None:
        """As above, or null."""
        return None if self._data.get(name) is None else self.number(name, least=least, most=most)

    def flag(self, name: str) -> bool:
        """True or false; false unless said."""
        value = self._data.get(name, False)
        if not isinstance(value, bool):
            raise self._bad(name, "true or false")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """An object."""
        value = self._data.get(name)
        if not isinstance(value, dict):
            raise self._bad(name, "an object")
        return value

    def inner(self, name: str) -> Fields:
        """An object, to be checked as well."""
        return Fields(self.mapping(name), f"{name} of {self._where}")

    def items(self, name: str, *, most: int) -> list[Any]:
        """A list; an empty one unless said."""
        value = self._data.get(name, [])
        if not isinstance(value, list) or len(value) > most:
            raise self._bad(name, f"a list of {most} at most")
        return value

    def objects(self, name: str, *, most: int) -> list[Fields]:
        """A list of objects."""
        return [Fields(each, f"an entry of {name}") for each in self.items(name, most=most)]

    def texts(self, name: str, *, most: int, length: int = 255) -> tuple[str, ...]:
        """A list of texts."""
        values = self.items(name, most=most)
        if not all(isinstance(each, str) and len(each) <= length and "\0" not in each for each in values):
            raise self._bad(name, f"a list of texts of {length} characters at most")
        return tuple(values)

    def raw(self, name: str) -> Any:
        """Whatever it is."""
        return self._data.get(name)

    def _bad(self, name: str, wanted: str) -> Refusal:
        return Refusal("malformed", f"{name} of {self._where} needs to be {wanted}")
