"""User ids and room aliases, as they are written, completed and linked."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

_SERVER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::\d{1,5})?")
_USER: Final = re.compile(r"@[\x21-\x39\x3b-\x7e]{0,254}")
_MATRIX_TO: Final = re.compile(r"https?://matrix\.to/#/([^?/]+)", re.IGNORECASE)
_MATRIX_URI: Final = re.compile(r"matrix:(?://[^/]*/)?(u|user|r|room)/([^?/]+)", re.IGNORECASE)


class UserID(str):
    """A Matrix user id, ``@localpart:server`` (specification, "User identifiers"; historical localparts too)."""

    __slots__ = ()

    @property
    def localpart(self) -> str:
        """What stands before the server."""
        return self[1 : self.index(":")]

    @property
    def server_name(self) -> str:
        """The server."""
        return self[self.index(":") + 1 :]


class RoomAlias(str):
    """A Matrix room alias, ``#name:server`` (specification, "Room aliases")."""

    __slots__ = ()

    @property
    def localpart(self) -> str:
        """What stands before the server."""
        return self[1 : self.index(":")]

    @property
    def server_name(self) -> str:
        """The server."""
        return self[self.index(":") + 1 :]


def linked_identifier(link: str) -> str | None:
    """The ``@user`` or ``#alias`` that a matrix.to link or a matrix: URI leads to."""
    if match := _MATRIX_TO.fullmatch(link.partition("?")[0].rstrip("/")):
        identifier = unquote(match[1])
        return identifier if identifier[:1] in {"@", "#"} else None
    if match := _MATRIX_URI.fullmatch(link.partition("?")[0].rstrip("/")):
        return ("@" if match[1].lower().startswith("u") else "#") + unquote(match[2])
    return None


def read_user(text: str, server_name: str) -> UserID | None:
    """The user id that a text is: whole, linked, or bare and then of ``server_name``. None when it is none."""
    word = linked_identifier(text) or text
    name, colon, server = word.partition(":")
    if not colon:
        # New localparts are lower case; a bare name is written as people write names.
        name, server = name.lower(), server_name
    whole = f"{name}:{server}"
    fits = _USER.fullmatch(name) and len(name) > 1 and _SERVER.fullmatch(server) and len(whole.encode()) <= 255
    return UserID(whole) if fits else None


def read_alias(text: str, server_name: str) -> RoomAlias | None:
    """The room alias that a text is: whole, linked, or bare and then of ``server_name``. None when it is none."""
    word = linked_identifier(text) or text
    name, colon, server = word.partition(":")
    whole = f"{name}:{server if colon else server_name}"
    server = server if colon else server_name
    fits = len(name) > 1 and name[0] == "#" and not re.search(r"[\s\x00]", name) and _SERVER.fullmatch(server)
    return RoomAlias(whole) if fits and len(whole.encode()) <= 255 else None
