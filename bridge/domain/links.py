"""Invite links: what one is, when it lets nobody in any more, and the code that it is known by. Pure.

A code is 24 characters of Crockford's base32 (https://www.crockford.com/base32.html): 10 bytes that no one can guess,
and 5 that show that they were made here, so that a wrong code is refused without a look into the database. Both are
made of the link's id with a secret key: who reads the database has no code.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SHORTEST_S: Final = 60
LONGEST_S: Final = 366 * 86_400
MOST_USES: Final = 1_000_000
MOST_TITLE: Final = 100
MOST_REASON: Final = 500
"""Characters that are kept of what somebody writes who asks to join."""
LENGTH: Final = 24
"""Characters of a code."""
_BODY: Final = 10
_TAG: Final = 5
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LIKE: Final = str.maketrans({"i": "1", "l": "1", "o": "0", "-": None})
"""What people write for what they read."""
_CODE: Final = re.compile(rf"[{_ALPHABET}]{{{LENGTH}}}\Z")
_LONGEST_WRITTEN: Final = 2_000
_MOST_WORDS: Final = 60


class Ended(StrEnum):
    """Why a link lets nobody in."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    USED_UP = "used_up"


@dataclass(frozen=True, slots=True)
class Link:
    """An invite link. Times in ms.

    Attributes:
        chat_id: the chat's own id, which an upgrade of its room does not change.
        approval: somebody of the chat lets in each who comes by it.
        uses: how many may come by it; None: any number.
        used: how many have, those who ask or are invited among them.
        token: the code.
    """

    id: str
    chat_id: str
    created_by: str
    created_at: int
    title: str = ""
    approval: bool = False
    uses: int | None = None
    used: int = 0
    expires_at: int | None = None
    revoked_at: int | None = None
    token: str = ""

    def ended(self, now: int) -> Ended | None:
        """Why it lets nobody in any more; None: it does."""
        if self.revoked_at is not None:
            return Ended.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return Ended.EXPIRED
        if self.uses is not None and self.used >= self.uses:
            return Ended.USED_UP
        return None


class UseState(StrEnum):
    """How far somebody has come who uses a link."""

    ASKED = "asked"
    """Somebody has to let them in."""
    DUE = "due"
    """It is decided, and the homeserver has not invited them yet."""
    INVITED = "invited"
    JOINED = "joined"


class Codes:
    """Makes the codes of links, and recognises them."""

    def __init__(self, key: bytes) -> None:
        """
        Args:
            key: 32 bytes of this purpose.
        """
        self._key = key

    def of(self, link_id: str) -> str:
        """The code of a link."""
        body = hmac.digest(self._key, b"body\0" + link_id.encode(), "sha256")[:_BODY]
        return _written(body + self._tag(body))

    def read(self, text: str) -> str | None:
        """The code that somebody wrote, as it is made: whatever its case, with hyphens between. None for what was not
        made here.
        """
        if len(text) > 4 * LENGTH:
            return None
        word = text.strip().lower().translate(_LIKE)
        if not _CODE.match(word):
            return None
        whole = _bytes(word)
        return word if hmac.compare_digest(whole[_BODY:], self._tag(whole[:_BODY])) else None

    def find(self, text: str) -> str | None:
        """The first code in a text: as such, or as the end of a link."""
        for word in text[:_LONGEST_WRITTEN].split()[:_MOST_WORDS]:
            last = word.partition("?")[0].partition("#")[0].strip("<>()[]\"'“”„.,;:!").rstrip("/").rpartition("/")[2]
            found = self.read(last)
            if found is not None:
                return found
        return None

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"tag\0" + body, "sha256")[:_TAG]


def _written(data: bytes) -> str:
    number, length = int.from_bytes(data), len(data) * 8 // 5
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def _bytes(word: str) -> bytes:
    number = 0
    for character in word:
        number = number << 5 | _ALPHABET.index(character)
    return number.to_bytes(_BODY + _TAG)
