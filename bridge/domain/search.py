"""What can be searched: which events, what of them, and how a question is put. Pure.

The index holds no words, but *terms*: short keyed digests of words and of who, where and what kind. A term tells
nothing to who has no key, also where the database leaves traces of what was deleted. Words of an encrypted chat are
made into terms together with the chat, so that the same word in two chats is two terms.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from bridge.domain.words import MOST_TEXT, wanted, words

MOST_WANTED: Final = 12
"""Words of a question."""
MOST_QUESTION: Final = 200
"""Characters of it."""
TERM_CHARACTERS: Final = 10
ID_BITS: Final = 20
"""Of a document's id, that tell apart those of one millisecond. The rest is the time: ids are in its order."""
SPAN_BITS: Final = 30
"""Of a time in ms: 12.4 days, the spans by which an index without an order is asked for the newest first."""
LATEST_MS: Final = 2**42 - 1
"""In 2109. What is said to be later was said wrong."""
MESSAGE_TYPES: Final = frozenset(
    {"m.room.message", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start", "m.room.encrypted"}
)
_LINK: Final = re.compile(r"\bhttps?://\S", re.IGNORECASE)
_POLLS: Final = ("m.poll", "m.poll.start", "org.matrix.msc3381.poll.start")


class Kind(StrEnum):
    """What a message is."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    FILE = "file"
    LOCATION = "location"
    POLL = "poll"
    STICKER = "sticker"
    LINK = "link"
    """A text with an address of the web in it; it is a text too."""


_KINDS: Final[Mapping[str, Kind]] = {
    "m.text": Kind.TEXT,
    "m.notice": Kind.TEXT,
    "m.emote": Kind.TEXT,
    "m.image": Kind.IMAGE,
    "m.video": Kind.VIDEO,
    "m.audio": Kind.AUDIO,
    "m.file": Kind.FILE,
    "m.location": Kind.LOCATION,
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says, as far as it can be looked for.

    Attributes:
        replaces: the message whose text it is from now on; '' for one of its own.
    """

    text: str
    kind: Kind
    replaces: str = ""

    @property
    def kinds(self) -> frozenset[Kind]:
        """Every kind that it is found as."""
        return frozenset({self.kind, Kind.LINK} if _LINK.search(self.text) else {self.kind})


def said(event_type: str, content: Mapping[str, Any]) -> Said | None:
    """What a message says; None for what is no message, is redacted, or says nothing that can be looked for.

    A caption, a file's name and the question of a poll are its text.
    """
    relates = content.get("m.relates_to")
    replaces = ""
    if isinstance(relates, Mapping) and relates.get("rel_type") == "m.replace":
        target, new = relates.get("event_id"), content.get("m.new_content")
        if not isinstance(target, str) or not isinstance(new, Mapping):
            return None
        replaces, content = target, new
    kind = _kind(event_type, content)
    if kind is None:
        return None
    text = _question(content) if kind is Kind.POLL else content.get("body")
    if not isinstance(text, str):
        return None
    if not replaces and isinstance(relates, Mapping) and isinstance(relates.get("m.in_reply_to"), Mapping):
        text = _without_fallback(text)
    return Said(_clean(text), kind, replaces)


def _kind(event_type: str, content: Mapping[str, Any]) -> Kind | None:
    if event_type == "m.room.message":
        kind = content.get("msgtype")
        return _KINDS.get(kind) if isinstance(kind, str) else None
    if event_type == "m.sticker":
        return Kind.STICKER
    return Kind.POLL if event_type in _POLLS else None


def _question(content: Mapping[str, Any]) -> object:
    for name in _POLLS:
        poll = content.get(name)
        question = poll.get("question") if isinstance(poll, Mapping) else None
        if isinstance(question, Mapping):
            for key in ("body", "org.matrix.msc1767.text"):
                if isinstance(question.get(key), str):
                    return question[key]
            texts = question.get("m.text")
            first = texts[0] if isinstance(texts, list) and texts else None
            return first.get("body") if isinstance(first, Mapping) else texts
    return None


def _without_fallback(text: str) -> str:
    """Without the quoted message that older clients put before a reply (specification 1.12)."""
    lines = text.split("\n")
    count = 0
    while count < len(lines) and lines[count].startswith("> "):
        count += 1
    return "\n".join(lines[count:]).lstrip("\n") if count else text


def _clean(text: str) -> str:
    """A text that every database can hold: no NUL, no lone surrogates."""
    return text[:MOST_TEXT].replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


class Terms:
    """Makes terms."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def word(self, word: str, chat_id: str = "") -> str:
        """Of a word. ``chat_id``: of an encrypted chat, in which alone this term is the word's."""
        return self._term("w", word, chat_id)

    def chat(self, chat_id: str) -> str:
        """Of everything in a chat."""
        return self._term("c", chat_id)

    def sender(self, user_id: str) -> str:
        """Of everything that somebody said."""
        return self._term("s", user_id)

    def kind(self, kind: Kind) -> str:
        """Of everything of a kind."""
        return self._term("k", kind.value)

    def workspace(self, name: str) -> str:
        """Of everything in the unencrypted chats of a product."""
        return self._term("p", name)

    def span(self, number: int) -> str:
        """Of everything in a span of time, see :func:`span_of`."""
        return self._term("t", str(number))

    def of(self, message: Said, sender: str, place: Place, at: int) -> list[str]:
        """Every term by which a message is found. ``at``: its time, ms."""
        own = place.chat_id if place.encrypted else ""
        found = [self.word(word, own) for word in words(message.text)]
        found += [self.chat(place.chat_id), self.sender(sender), *map(self.kind, sorted(message.kinds))]
        found.append(self.span(span_of(first_id(at))))
        if not place.encrypted:
            found.append(self.workspace(place.workspace))
        return list(dict.fromkeys(found))

    def _term(self, kind: str, text: str, place: str = "") -> str:
        digest = hmac.digest(self._key, f"{kind}\0{place}\0{text}".encode("utf-8", "replace"), "sha256")
        return b32encode(digest[:7])[:TERM_CHARACTERS].decode().lower()


@dataclass(frozen=True, slots=True)
class Place:
    """The chat that a message is in, as far as search must know it."""

    chat_id: str
    encrypted: bool = False
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class All:
    """Everything that all of these find. Never empty."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Everything that one of these finds. Never empty."""

    parts: tuple[Expression, ...]


Expression: TypeAlias = "str | All | AnyOf"
"""A term, or what is made of several."""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody looks for.

    Attributes:
        words: all of them must be there; empty: everything.
        since, until: ms, both included.
    """

    words: tuple[str, ...] = ()
    sender: str = ""
    kind: Kind | None = None
    since: int | None = None
    until: int | None = None

    @classmethod
    def of(
        cls,
        text: str,
        *,
        sender: str = "",
        kind: Kind | None = None,
        since: int | None = None,
        until: int | None = None,
    ) -> Question:
        """Read a question.

        Raises:
            ValueError: it is too long, has no word that could be looked for, or ends before it begins.
        """
        if len(text) > MOST_QUESTION:
            raise ValueError("question_too_long")
        found = wanted(text, MOST_WANTED)
        if text.strip() and not found:
            raise ValueError("question_without_words")
        if since is not None and until is not None and until < since:
            raise ValueError("question_ends_before_it_begins")
        return cls(tuple(found), sender, kind, since, until)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where somebody may look.

    Attributes:
        open: unencrypted chats, by id.
        sealed: encrypted chats that are searched with leave, by id.
        workspace: all unencrypted chats of a product, too; None: none but those that are named.
    """

    open: frozenset[str] = field(default_factory=frozenset)
    sealed: frozenset[str] = field(default_factory=frozenset)
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question as the index is asked it.

    Attributes:
        whole: finds exactly the answers.
        loose: finds the answers among the messages of ``chats``; None: all of these are answers.
        chats: the chats, by id, that the answers are in; empty when there are too many to be named.
        sender: who sent the answers; '' for anybody.
        span: makes the term of a span of time.
    """

    whole: Expression
    loose: Expression | None
    chats: frozenset[str]
    sender: str
    span: Callable[[int], str]


def lookup(terms: Terms, question: Question, scope: Scope) -> Lookup | None:
    """How the index is asked a question; None when there is nowhere to look."""
    more: list[Expression] = [terms.sender(question.sender)] if question.sender else []
    if question.kind is not None:
        more.append(terms.kind(question.kind))
    words: list[Expression] = list(map(terms.word, question.words))
    whole: list[Expression] = []
    loose: list[list[Expression]] = []
    where: list[Expression] = [terms.chat(chat_id) for chat_id in sorted(scope.open)]
    if scope.workspace is not None:
        where.append(terms.workspace(scope.workspace))
    if where:
        whole.append(_all([*words, _any(where), *more]))
        loose.append([*words, *more])
    for chat_id in sorted(scope.sealed):
        own: list[Expression] = [terms.word(word, chat_id) for word in question.words]
        whole.append(_all([*own, terms.chat(chat_id), *more]))
        loose.append([*own, *more])
    if not whole:
        return None
    chats = scope.open | scope.sealed if scope.workspace is None else frozenset()
    found = _any([_all(parts) for parts in loose]) if all(loose) else None
    return Lookup(_any(whole), found, chats, question.sender, terms.span)


def _any(parts: list[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _all(parts: list[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def as_fts5(what: Expression) -> str:
    """As SQLite reads it (FTS5, "Full-text Query Syntax"). Terms are lower-case letters and digits, so nothing in them
    means anything to it.
    """
    if isinstance(what, str):
        return f'"{what}"'
    word = " AND " if isinstance(what, All) else " OR "
    return "(" + word.join(map(as_fts5, what.parts)) + ")"


def as_tsquery(what: Expression) -> str:
    """As PostgreSQL reads it (``tsquery``)."""
    if isinstance(what, str):
        return f"'{what}'"
    word = " & " if isinstance(what, All) else " | "
    return "(" + word.join(map(as_tsquery, what.parts)) + ")"


def first_id(at: int) -> int:
    """The lowest id that a document of a time can have. ``at``: ms."""
    return max(0, min(at, LATEST_MS)) << ID_BITS


def span_of(document: int) -> int:
    """The number of the span of time that a document's id lies in."""
    return document >> ID_BITS + SPAN_BITS


def time_of(document: int) -> int:
    """The time (ms) that stands in a document's id."""
    return document >> ID_BITS
