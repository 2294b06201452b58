"""Rules of moderation policy lists (specification, "Moderation policy lists"; MSC2313), and whom they match. Pure.

Lists come from strangers: a pattern takes time in proportion to its length times the text's, whatever stands in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

MOST_ENTITY: Final = 255
MOST_REASON: Final = 500
BAN: Final = "m.ban"
"""The only recommendation of the specification; whatever else stands there is not followed."""
_BANS: Final = (BAN, "org.matrix.mjolnir.ban")
_GLOBS: Final = frozenset("*?")


class Kind(StrEnum):
    """What a rule is about."""

    USER = "user"
    ROOM = "room"
    SERVER = "server"

    @property
    def type(self) -> str:
        """Of its state event."""
        return f"m.policy.rule.{self.value}"


TYPES: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        **{kind.type: kind for kind in Kind},
        # From before the specification; lists that are older than it still have them.
        **{f"m.room.rule.{kind.value}": kind for kind in Kind},
        **{f"org.matrix.mjolnir.rule.{kind.value}": kind for kind in Kind},
    }
)
"""The kind of rule that a state event's type stands for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Ban what an entity matches."""

    kind: Kind
    entity: str
    """A user id, room id or alias, server name; ``*`` and ``?`` stand for any characters, and for any one."""
    reason: str = ""

    @classmethod
    def parse(cls, event_type: str, content: Mapping[str, Any]) -> Rule | None:
        """The rule of a state event; None for what is not followed: emptied, broken, of another recommendation."""
        kind, entity = TYPES.get(event_type), content.get("entity")
        recommendation, reason = content.get("recommendation"), content.get("reason")
        if kind is None or recommendation not in _BANS or not isinstance(entity, str):
            return None
        if not 0 < len(entity) <= MOST_ENTITY or not entity.isprintable():
            return None
        words = reason if isinstance(reason, str) else ""
        return cls(kind, entity, "".join(each for each in words if each.isprintable())[:MOST_REASON])

    @property
    def content(self) -> dict[str, str]:
        """Of its state event."""
        return {"entity": self.entity, "recommendation": BAN, "reason": self.reason}

    def matches(self, text: str) -> bool:
        """Whether it is about a user, a room or a server."""
        if self.kind is Kind.SERVER:
            return matches(self.entity.lower(), without_port(text).lower())
        return matches(self.entity, text)


def matches(pattern: str, text: str) -> bool:
    """Whether a whole text is what a pattern says: ``*`` is any characters or none, ``?`` any one.

    No regular expression: with many ``*`` a stranger's pattern would take for ever.
    """
    p = t = 0
    star, mark = -1, 0
    while t < len(text):
        if p < len(pattern) and pattern[p] == "*":
            star, mark = p, t
            p += 1
        elif p < len(pattern) and pattern[p] in {"?", text[t]}:
            p, t = p + 1, t + 1
        elif star >= 0:
            # The last star takes one character more. Earlier ones need not: they took as little as they could.
            p, mark = star + 1, mark + 1
            t = mark
        else:
            return False
    return all(each == "*" for each in pattern[p:])


def is_pattern(entity: str) -> bool:
    """Whether an entity may stand for several."""
    return not _GLOBS.isdisjoint(entity)


def server_of(user_id: str) -> str:
    """The server of a user id, with its port."""
    return user_id.partition(":")[2]


def without_port(server: str) -> str:
    """A server name as rules are matched with it: a port does not count (specification, "m.room.server_acl")."""
    if server.startswith("["):
        return server.partition("]")[0] + "]"
    return server.partition(":")[0]


class Rules:
    """Many rules, asked of every arrival: exact ones are found at once, patterns one after the other."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._exact: dict[tuple[Kind, str], Rule] = {}
        self._patterns: dict[Kind, list[Rule]] = {kind: [] for kind in Kind}
        for rule in rules:
            if is_pattern(rule.entity):
                self._patterns[rule.kind].append(rule)
            else:
                entity = rule.entity.lower() if rule.kind is Kind.SERVER else rule.entity
                self._exact.setdefault((rule.kind, entity), rule)

    def __len__(self) -> int:
        return len(self._exact) + sum(map(len, self._patterns.values()))

    def __iter__(self) -> Iterator[Rule]:
        yield from self._exact.values()
        for found in self._patterns.values():
            yield from found

    def about_user(self, user_id: str) -> Rule | None:
        """The rule that bans a user: their own, or their server's."""
        return self._find(Kind.USER, user_id) or self._find(Kind.SERVER, without_port(server_of(user_id)).lower())

    def about_room(self, name: str) -> Rule | None:
        """The rule that bans a room, by its id or an alias."""
        return self._find(Kind.ROOM, name)

    def _find(self, kind: Kind, text: str) -> Rule | None:
        found = self._exact.get((kind, text))
        if found is None:
            found = next((rule for rule in self._patterns[kind] if rule.matches(text)), None)
        return found


def spares(rule: Rule, server_name: str, people: Iterable[str]) -> bool:
    """Whether a rule leaves alone whom no list may ban here: our own homeserver as a whole, and some people.

    A list is a stranger's: one that bans ``*`` must not empty every chat.
    """
    if rule.kind is Kind.SERVER and rule.matches(server_name):
        return False
    if rule.kind is Kind.USER:
        # A pattern that takes in anybody of our server takes in somebody who is not there.
        nobody = f"@\u2060nobody\u2060:{server_name}"
        if is_pattern(rule.entity) and rule.matches(nobody):
            return False
        return not any(rule.matches(person) for person in people)
    return True
