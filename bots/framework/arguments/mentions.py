"""People that a message mentions: pills of the formatted body and the list of m.mentions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from bots.framework.arguments.identifiers import linked_identifier

_LONGEST = 65_536
"""Characters of a formatted body that are looked at: what a Matrix event can hold."""
_MOST = 50
"""Pills of a message that are looked at, and places of each name in a text: a bound on the work for one message."""


@dataclass(frozen=True, slots=True)
class Pill:
    """A person mentioned by a link: the name that stands in the text, where, and the user id."""

    name: str
    user_id: str
    at: int = -1


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Pill] = []
        self._user_id: str | None = None
        self._text: list[str] = []
        self._in_reply = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "mx-reply":
            self._in_reply += 1
        elif tag == "a" and not self._in_reply:
            linked = linked_identifier(dict(attrs).get("href") or "")
            self._user_id, self._text = (linked if linked and linked.startswith("@") else None), []

    def handle_endtag(self, tag: str) -> None:
        if tag == "mx-reply":
            self._in_reply = max(0, self._in_reply - 1)
        elif tag == "a" and self._user_id is not None:
            if name := "".join(self._text).strip():
                self.found.append(Pill(name, self._user_id))
            self._user_id = None

    def handle_data(self, data: str) -> None:
        if self._user_id is not None:
            self._text.append(data)


def pills_of(content: Mapping[str, Any]) -> list[Pill]:
    """The pills of a message in their order."""
    html = content.get("formatted_body")
    if content.get("format") != "org.matrix.custom.html" or not isinstance(html, str) or "<a" not in html:
        return []
    links = _Links()
    links.feed(html[:_LONGEST])
    return links.found[:_MOST]


def mentioned(content: Mapping[str, Any]) -> list[str]:
    """The user ids of m.mentions (specification, "User and room mentions")."""
    mentions = content.get("m.mentions")
    users = mentions.get("user_ids") if isinstance(mentions, Mapping) else None
    return [user for user in users if isinstance(user, str)] if isinstance(users, list) else []


def place_pills(text: str, content: Mapping[str, Any]) -> list[Pill]:
    """The pills with their places in a text, which is the end of the message's body.

    Of two people with one name the last in the message are those in the text. Longer names come first, so that “Ann”
    does
    not take the place of “Ann Lee”.
    """
    placed: list[Pill] = []
    by_name: dict[str, list[str]] = {}
    for pill in pills_of(content):
        by_name.setdefault(pill.name, []).append(pill.user_id)
    for name in sorted(by_name, key=len, reverse=True):
        users = by_name[name]
        at = len(text)
        for _ in range(_MOST):
            if not users or (at := text.rfind(name, 0, at)) < 0:
                break
            end = at + len(name)
            free = all(end <= other.at or at >= other.at + len(other.name) for other in placed)
            if (
                free
                and (at == 0 or text[at - 1].isspace() or text[at - 1] == "=")
                and (end == len(text) or not text[end].isalnum())
            ):
                placed.append(Pill(name, users.pop(), at))
    return placed
