"""The words that the hub says and understands: of roles, kinds, lengths of time, refusals. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from bots.framework import InvalidValue, ParseEnv, UserID
from bots.framework.arguments import ArgumentError, fold, user
from bots.framework.arguments.durations import EXPECTED, duration_parts
from bots.framework.arguments.errors import Text
from bots.framework.arguments.identifiers import linked_identifier, read_user
from bots.framework.arguments.mentions import mentioned, place_pills
from bots.framework.arguments.tokens import skip_space, token_at
from bots.framework.content import clean
from bots.framework.i18n import _
from bridge.domain.kinds import Kind
from bridge.domain.roles import Role

ROLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "owner": _("owner"),
        "admin": _("admin"),
        "moderator": _("moderator"),
        "writer": _("writer"),
        "reader": _("reader"),
    }
)
KINDS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.DIRECT: _("direct chat"),
        Kind.GROUP: _("group"),
        Kind.CHANNEL: _("channel"),
        Kind.SERVICE: _("service"),
    }
)
ROLE_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "owner": "owner|owners",
        "admin": "admin|admins|administrator",
        "moderator": "moderator|moderators|mod",
        "writer": "writer|writers|member|members",
        "reader": "reader|readers",
    }
)
PLAIN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "off": "off|never|no|none",
        "to": "to|as",
        "in": "in",
        "for": "for",
        "from": "from|by",
        "since": "since|after",
        "until": "until|before",
        "read": "read|reading",
        "approval": "approval|approve",
        "uses": "use|uses|times",
        "forever": "forever|always",
        "everybody": "everybody|everyone|all",
        "nobody": "nobody",
        "contacts": "contacts|contact",
        "with": "with",
        "and": "and|&",
    }
)
VOCABULARIES = (ROLE_WORDS, PLAIN)

NAME: Final = 100
"""Characters of a chat's name that are shown."""
MOST_NAME: Final = 200
_ALIAS: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,49}")
NOBODY: Final = _("Whom? Write their id, such as @bob:example.org.")
_HASH: Final = re.compile(r"#(\S+)(?:\s+|$)")
_EVENT_LINK: Final = re.compile(
    r"(?:https?://matrix\.to/#/|matrix:roomid/)(!?[^/?\s]+)/(?:e/)?(\$?[^?\s]+)", re.IGNORECASE
)
_ROOM_LINK: Final = re.compile(r"(?:https?://matrix\.to/#/|matrix:roomid/)(!?[^/?\s]+)(?:\?\S*)?", re.IGNORECASE)
_DAYS: Final = MappingProxyType({"month": 30, "year": 365})
_SECONDS: Final = MappingProxyType({"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800})


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a link or a reply leads to."""

    room_id: str
    event_id: str


def chat_reference(text: str) -> tuple[str, str]:
    """“#2 1 day” is about chat “2”; ("", text) when no chat is named first."""
    found = _HASH.match(text.lstrip())
    return ("", text.strip()) if found is None else (found[1], text.lstrip()[found.end() :].strip())


def message_link(text: str) -> tuple[Message | None, str]:
    """The message that a link in a text leads to, and the text without it (specification, "matrix.to navigation")."""
    found = _EVENT_LINK.search(text)
    if found is None:
        return None, text
    room_id, event_id = unquote(found[1]), unquote(found[2])
    if room_id.startswith("#"):
        return None, text
    room_id = room_id if room_id.startswith("!") else f"!{room_id}"
    event_id = event_id if event_id.startswith("$") else f"${event_id}"
    end = found.end()
    while end < len(text) and not text[end].isspace():
        end += 1
    return Message(room_id, event_id), f"{text[: found.start()].rstrip()} {text[end:].lstrip()}".strip()


def room(text: str) -> str:
    """The room id or the address that a text is, whole or as a link; the text itself when it is neither."""
    text = text.strip()
    found = _ROOM_LINK.fullmatch(text)
    if found is None:
        return linked_identifier(text) or text
    name = unquote(found[1])
    return name if name[:1] in {"!", "#", "@"} else f"!{name}"


def person_first(text: str, env: ParseEnv) -> tuple[UserID | None, str]:
    """The person that a text begins with, and the rest; a bare name is nobody, unless the message mentions them."""
    text = text.strip()
    if not text:
        return None, ""
    try:
        token = token_at(text, 0, place_pills(text, env.content))
    except ArgumentError:
        return None, text
    rest = text[token.end :].strip()
    if token.mention is not None:
        return user(token.mention, env), rest
    word = token.text.rstrip(",;:")
    if word.startswith("@") or (linked_identifier(word) or "").startswith("@"):
        return user(word, env), rest
    if any(each[1:].partition(":")[0].casefold() == word.casefold() for each in mentioned(env.content)):
        return user(word, env), rest
    return None, text


def person(text: str, env: ParseEnv) -> UserID:
    """Somebody, as an answer to a question.

    Raises:
        InvalidValue: it is nobody's id.
    """
    found, rest = person_first(text, env)
    if found is not None and not rest:
        return found
    whole = read_user(text.strip(), env.server_name) if text.strip().startswith("@") else None
    if whole is None:
        raise InvalidValue("hub.nobody", NOBODY, clear=True)
    return whole


def people(text: str, env: ParseEnv) -> tuple[UserID, ...]:
    """Several people, by spaces or commas.

    Raises:
        InvalidValue: a word is nobody's id.
    """
    found: list[UserID] = []
    rest = text.replace(",", " ").strip()
    while rest:
        someone, rest = person_first(rest, env)
        if someone is None:
            raise InvalidValue("hub.nobody", NOBODY, clear=True)
        found.append(someone)
    return tuple(dict.fromkeys(found))


def people_or_nobody(text: str, env: ParseEnv) -> tuple[UserID, ...]:
    """Several people, or nobody, as an answer to a question.

    Raises:
        InvalidValue: a word is nobody's id.
    """
    if is_word("nobody", text, env) or is_word("off", text, env):
        return ()
    return people(text, env)


def name_and_people(text: str, env: ParseEnv, without: str) -> tuple[str, tuple[UserID, ...]]:
    """“Tea with @bob @carol”: what a chat is to be called, and who is named behind it.

    Args:
        without: the hub itself, which a message may mention.
    """
    pills = place_pills(text, env.content)
    found: list[UserID] = []
    kept: list[str] = []
    at = 0
    while (at := skip_space(text, at)) < len(text):
        try:
            token = token_at(text, at, pills)
        except ArgumentError:
            kept.append(text[at:].strip())
            break
        if token.mention is not None or (token.text.startswith("@") and not token.quoted and len(token.text) > 1):
            someone = user(token.mention or token.text.rstrip(",;"), env)
            if someone != without:
                found.append(someone)
        elif token.text not in {",", ";"}:
            kept.append(token.text)
        at = token.end
    while found and kept and env.vocabulary(PLAIN).get(kept[-1].lower()) in {"with", "and"}:
        kept.pop()
    return " ".join(kept).strip(), tuple(dict.fromkeys(found))


def check_name(text: str) -> None:
    """Whether a chat can be called so.

    Raises:
        ValueError: with a sentence.
    """
    if not text.strip() or len(text.strip()) > MOST_NAME or "\n" in text.strip():
        raise ValueError(_("A name is one line of up to 200 characters."))


def alias_or_none(text: str, env: ParseEnv) -> str:
    """The part of an address that people choose, "" for none.

    Raises:
        InvalidValue: it cannot be one.
    """
    word = text.strip().removeprefix("#").partition(":")[0].lower()
    if is_word("off", word, env):
        return ""
    if not _ALIAS.fullmatch(word):
        raise InvalidValue(
            "hub.alias", _("An address has 2 to 50 small letters, digits, dots, hyphens and underscores."), clear=True
        )
    return word


def role(text: str, env: ParseEnv) -> Role | None:
    """The role that a word names, also behind “to”."""
    words = text.split()
    if words and env.vocabulary(PLAIN).get(words[0].lower()) == "to":
        words = words[1:]
    name = env.vocabulary(ROLE_WORDS).get(" ".join(words).lower()) if words else None
    return None if name is None else Role.of(name)


def is_word(name: str, text: str, env: ParseEnv) -> bool:
    """Whether a text is one of the words for ``name`` of :data:`PLAIN`, in the person's language or in English."""
    return env.vocabulary(PLAIN).get(text.strip().lower()) == name


def seconds(text: str, env: ParseEnv) -> int:
    """A length of time in whole seconds; a month is 30 days here and a year 365.

    Raises:
        InvalidValue: it is none.
    """
    parts = duration_parts(text, env)
    if parts is None:
        raise InvalidValue.of(text, EXPECTED)
    whole = sum((amount * (_SECONDS.get(unit) or _DAYS[unit] * 86_400) for unit, amount in parts.items()), Decimal(0))
    if whole > 100 * 365 * 86_400:
        raise InvalidValue.of(text, EXPECTED)
    return int(whole)


def seconds_or_off(text: str, env: ParseEnv) -> int | None:
    """A length of time, or None for “off”.

    Raises:
        InvalidValue: it is neither.
    """
    return None if is_word("off", text, env) else seconds(text, env)


def seconds_or_forever(text: str, env: ParseEnv) -> int:
    """A length of time, 0 for “forever”; “for” may stand before it.

    Raises:
        InvalidValue: it is neither.
    """
    words = text.split()
    if words and env.vocabulary(PLAIN).get(words[0].lower()) == "for":
        words = words[1:]
    rest = " ".join(words)
    return 0 if is_word("forever", rest, env) else max(1, seconds(rest, env))


LENGTH_OR_OFF: Final = Text("a duration such as 1 day, or “off”")


def leading_seconds(text: str, env: ParseEnv) -> tuple[int | None, str]:
    """The longest length of time that a text begins with, and the rest; (None, text) for none."""
    words = text.split()
    for count in range(min(len(words), 6), 0, -1):
        if duration_parts(" ".join(words[:count]), env) is not None:
            return seconds(" ".join(words[:count]), env), " ".join(words[count:])
    return None, text.strip()


def length(whole: int) -> timedelta:
    """Seconds as they are said."""
    return timedelta(seconds=whole)


def one_line(text: str, most: int = NAME) -> str:
    """What people wrote, in one clean line."""
    line = " ".join(clean(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def numbered(lines: Iterable[str], first: int = 1) -> str:
    """A numbered list."""
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, first))


def same(one: str, other: str) -> bool:
    """Whether two names are the same to people."""
    return fold(one) == fold(other)


def room_link(room_id: str, event_id: str = "", via: str = "") -> str:
    """A link to a room, or to a message in it, that any client opens."""
    link = f"https://matrix.to/#/{room_id}" + (f"/{event_id}" if event_id else "")
    return f"{link}?via={via}" if via else link


def says_no(text: str) -> bool:
    """Whether an answer is a plain no."""
    return fold(text).strip(" .!") in {"no", "none", "nein", "non", "no.", "nie", "لا"}
