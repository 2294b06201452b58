"""Pages of lists that may be long: so many items, and a cursor that the next page begins after."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

USUAL: Final = 50
MOST: Final = 200
"""Items of a page at most."""
MOST_CURSOR: Final = 2_048


class BadCursor(ValueError):
    """This is no cursor of this list."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list. ``next``: the cursor of what follows; None at the end."""

    items: Sequence[T]
    next: str | None = None


def cursor(*key: str | int) -> str:
    """The sort key of a page's last item, as an opaque word."""
    written = json.dumps(key, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(written).decode().rstrip("=")


def key_of(word: str, *kinds: type) -> tuple[str | int, ...]:
    """The sort key of a cursor.

    Args:
        kinds: the types of its parts, ``int`` or ``str``.

    Raises:
        BadCursor: it is none, or one of another list.
    """
    try:
        if len(word) > MOST_CURSOR:
            raise BadCursor("too long")
        found = json.loads(base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        raise BadCursor("this is no cursor") from None
    # A bool is an int to Python, and none to a database; a number must fit into one.
    if not isinstance(found, list) or len(found) != len(kinds):
        raise BadCursor("this is the cursor of another list")
    for part, kind in zip(found, kinds, strict=True):
        fits = (isinstance(part, int) and -(2**63) <= part < 2**63) or (isinstance(part, str) and "\0" not in part)
        if type(part) is not kind or not fits:
            raise BadCursor("this is the cursor of another list")
    return tuple(found)


def bounded(limit: int) -> int:
    """A page's size: at least 1, at most :data:`MOST`."""
    return max(1, min(limit, MOST))
