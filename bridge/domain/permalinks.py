"""Links that any Matrix client opens (specification, "matrix.to navigation"). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlencode

BASE: Final = "https://matrix.to/#/"


def permalink(name: str, event_id: str = "", *, via: Iterable[str] = ()) -> str:
    """The link to a room, an event of it, or a user.

    Args:
        name: the id of a room or a user, or an alias.
        via: servers by which a room is reached, for who is not in it.
    """
    parts = [name, event_id] if event_id else [name]
    query = urlencode([("via", server) for server in via])
    return BASE + "/".join(quote(part, safe="!@#$:~._-+=") for part in parts) + (f"?{query}" if query else "")
