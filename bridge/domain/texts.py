"""What people and products write into the fields of chats: names, descriptions, addresses. Checked in one place."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MOST_NAME: Final = 200
MOST_TOPIC: Final = 2_000
MOST_REASON: Final = 500
MOST_KEY: Final = 200
MOST_ID: Final = 255
"""Bytes of a Matrix identifier (specification, "Identifier grammar")."""
_ALIAS: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,49}\Z")
_PURPOSE: Final = re.compile(r"[a-z2-7]{24}\Z")
_USER: Final = re.compile(r"@[\x21-\x39\x3b-\x7e]+:(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_MEDIA: Final = re.compile(r"mxc://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?/[A-Za-z0-9_-]{1,200}\Z")
_OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the direction of what follows, beyond the end of the name too."""


class BadText(ValueError):
    """It cannot be used. ``code`` is stable: ``name_too_long``; the text is a sentence for people."""

    def __init__(self, code: str, human: str) -> None:
        super().__init__(human)
        self.code = code
        self.human = human


def _usable(text: str, what: str, *, lines: bool) -> str:
    for character in text:
        kind = unicodedata.category(character)
        # Cc: control characters; Cs: lone surrogates, which no database holds; Co and Cn show as nothing at all.
        if (kind in {"Cc", "Cs"} and not (lines and character in "\n\t")) or character in _OVERRIDES:
            raise BadText(f"{what}_invalid", f"The {what} holds a character that cannot be shown.")
        if kind in {"Zl", "Zp"}:
            raise BadText(f"{what}_invalid", f"The {what} holds a character that cannot be shown.")
    return text


def line(text: str, what: str = "name", *, most: int = MOST_NAME, empty: bool = False) -> str:
    """One line of text, without blanks around it.

    Raises:
        BadText: ``name_missing``, ``name_too_long``, ``name_invalid``.
    """
    found = _usable(unicodedata.normalize("NFC", text.strip()), what, lines=False)
    if not found and not empty:
        raise BadText(f"{what}_missing", f"The {what} is missing.")
    if len(found) > most:
        raise BadText(f"{what}_too_long", f"The {what} has {most} characters at most.")
    return found


def prose(text: str, what: str = "topic", *, most: int = MOST_TOPIC) -> str:
    """Lines of text; may be empty."""
    found = _usable(unicodedata.normalize("NFC", text.strip().replace("\r\n", "\n")), what, lines=True)
    if len(found) > most:
        raise BadText(f"{what}_too_long", f"The {what} has {most} characters at most.")
    return found


def alias(word: str) -> str:
    """The part of an alias that people choose; may be empty: none.

    The aliases of rooms that Rialto makes for a purpose are 24 characters of base32, and nobody else's to take.
    """
    if word and (not _ALIAS.match(word) or _PURPOSE.match(word)):
        raise BadText("alias_invalid", "An alias has 2 to 50 lower-case letters, digits, '.', '-' and '_'.")
    return word


def user_id(text: str) -> str:
    """A Matrix user id (specification, "User identifiers"; historical ones too)."""
    if len(text.encode("utf-8", "replace")) > MOST_ID or not _USER.match(text):
        raise BadText("user_invalid", "A person is named like @alice:example.org.")
    return text


def media(text: str) -> str:
    """An ``mxc://`` address; may be empty: none."""
    if text and not _MEDIA.match(text):
        raise BadText("avatar_invalid", "A picture is named by its mxc:// address.")
    return text


def folded(*texts: str) -> str:
    """Texts as they are looked for: without case, compatible characters alike."""
    return unicodedata.normalize("NFKC", "\n".join(texts)).casefold()
