"""Cursors: where the next page begins. Opaque and signed: one that was not given out for the same list is none."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any, Final

from appservice import json
from appservice.sealing import derived_key
from bridge.api.problems import Problem

_SIGNATURE: Final = 12
_LONGEST: Final = 1_000


class Cursors:
    """Makes cursors and reads them."""

    def __init__(self, pickle_key: str) -> None:
        self._key = derived_key(pickle_key, "api-cursors")

    def make(self, place: str, *values: int | str) -> str:
        """A cursor.

        Args:
            place: the list that it is of: the operation and what it is about. A cursor is good nowhere else.
            values: the sort key of the last item.
        """
        data = json.dumps(list(values))
        return base64.urlsafe_b64encode(self._signature(place, data) + data).decode().rstrip("=")

    def read(self, place: str, cursor: str | None) -> list[Any] | None:
        """What :meth:`make` was given; None for the first page.

        Raises:
            Problem: it is no cursor of this list.
        """
        if cursor is None:
            return None
        try:
            if len(cursor) > _LONGEST or not cursor.isascii():
                raise ValueError
            both = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise _wrong() from None
        data = both[_SIGNATURE:]
        if not hmac.compare_digest(both[:_SIGNATURE], self._signature(place, data)):
            raise _wrong()
        found = json.loads(data)
        return found if isinstance(found, list) else None

    def _signature(self, place: str, data: bytes) -> bytes:
        return hmac.digest(self._key, place.encode() + b"\0" + data, "sha256")[:_SIGNATURE]


def _wrong() -> Problem:
    return Problem(400, "bad_cursor", "The cursor is not one of this list.")
