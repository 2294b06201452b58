"""Words, quotes and escapes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bots.framework.arguments.errors import ArgumentError, shorten
from bots.framework.arguments.mentions import Pill

QUOTES: Final = {
    '"': '"',
    "'": "'",
    "“": "”“",
    "”": "”",
    "‘": "’",
    "„": "“”",
    "‚": "‘’",
    "«": "»",
    "»": "«",
    "‹": "›",
    "›": "‹",
    "「": "」",
    "『": "』",
}
"""Every mark that opens a quotation, and those that close it."""

_LENIENT: Final = frozenset("'‘‚›»”")
"""Marks that also stand for themselves: an apostrophe, or the end of a quotation. Without a partner they are plain
text."""
_CLOSING: Final = frozenset("".join(QUOTES.values()))
_ESCAPABLE: Final = frozenset(QUOTES) | _CLOSING | frozenset("\\=-[")
_KEY: Final = re.compile(r"(--)?([^\W\d][\w-]*)(=)?")
_LINK: Final = re.compile(r"\[[^\]\n]*\]\((https://matrix\.to/#/[^)\s]+|matrix:[^)\s]+)\)(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Token:
    """One word or quotation. ``start`` and ``end`` are its place in the text; ``mention`` the user id of a pill."""

    text: str
    start: int
    end: int
    quoted: bool = False
    mention: str | None = None


def quote(text: str) -> str:
    """The text as one quoted word: what is read back is exactly ``text``."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def skip_space(text: str, at: int) -> int:
    """The place of the next character that is not white space."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def key_at(text: str, at: int) -> tuple[str, str, int] | None:
    """A ``key=`` or ``--key`` or ``--key=`` at this place: its form (``=``, ``--``, ``--=``), the key, and where it
    ends."""
    match = _KEY.match(text, at)
    if match is None or not (match[1] or match[3]):
        return None
    if not match[3] and match.end() < len(text) and not text[match.end()].isspace():
        return None
    return (match[1] or "") + (match[3] or ""), match[2], match.end()


def token_at(text: str, at: int, pills: Sequence[Pill] = ()) -> Token:
    """The token that begins at this place, which holds no white space. Raises :class:`ArgumentError` for an open
    quotation."""
    for pill in pills:
        end = at + len(pill.name)
        if pill.at == at and text.startswith(pill.name, at):
            # Clients put a comma or colon behind a name that begins a message.
            end += end < len(text) and text[end] in ",:"
            return Token(pill.name, at, end, quoted=True, mention=pill.user_id)
    if link := _LINK.match(text, at):
        return Token(link[1], at, link.end(), quoted=True)
    closers = QUOTES.get(text[at])
    if closers is not None:
        quoted = _quoted(text, at, closers)
        if quoted is not None:
            return quoted
        if text[at] not in _LENIENT:
            raise ArgumentError(
                "argument.unclosed_quote",
                "The quotation that begins with {given} does not end: add {mark}.",
                given=shorten(text[at:], 20),
                mark=closers[0],
            )
    return _bare(text, at)


def _quoted(text: str, start: int, closers: str) -> Token | None:
    """A quotation. Its end is a closing mark at the end of a word, so that an apostrophe within is no end."""
    found: list[str] = []
    at = start + 1
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text) and (text[at + 1] in _ESCAPABLE or text[at + 1].isspace()):
            found.append(text[at + 1])
            at += 2
            continue
        if char in closers and (at + 1 == len(text) or text[at + 1].isspace()):
            return Token("".join(found), start, at + 1, quoted=True)
        found.append(char)
        at += 1
    return None


def _bare(text: str, start: int) -> Token:
    found: list[str] = []
    at = start
    escaped = False
    while at < len(text) and not text[at].isspace():
        if text[at] == "\\" and at + 1 < len(text) and (text[at + 1] in _ESCAPABLE or text[at + 1].isspace()):
            at += 1
            escaped = True
        found.append(text[at])
        at += 1
    return Token("".join(found), start, at, quoted=escaped)
