"""Roles of members, and the power levels that stand for them (specification, "m.room.power_levels")."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

STEWARD: Final = 150
OWNER: Final = 100
ADMIN: Final = 75
MODERATOR: Final = 50
WRITER: Final = 0
READER: Final = -10
ARCHIVED: Final = 140
"""Power that writing needs in a chat that is archived: the steward's alone."""
LOWEST: Final = -1_000
"""Powers beyond are nobody's: a homeserver takes any number."""


class Role(IntEnum):
    """What a member may do; each may do what those before it may."""

    READER = 1
    """Reads and reacts."""
    WRITER = 2
    MODERATOR = 3
    """Removes messages and members, pins, mutes, answers join requests."""
    ADMIN = 4
    """Changes what the chat is called and how it works, promotes up to moderators, makes invite links."""
    OWNER = 5
    """Everything: promotes admins, hands the chat over, deletes it."""

    @property
    def word(self) -> str:
        """``reader``, ``owner``, …: as the API and commands write it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Role | None:
        """The role of a word; None when it is none."""
        return cls.__members__.get(word.upper())


POWER: Final[Mapping[Role, int]] = {
    Role.OWNER: OWNER,
    Role.ADMIN: ADMIN,
    Role.MODERATOR: MODERATOR,
    Role.WRITER: WRITER,
    Role.READER: READER,
}


def number(value: object, default: int) -> int:
    """A power level as it should be; anything else is the default."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def level_of(user_id: str, levels: Mapping[str, Any]) -> int:
    """A user's power in ``m.room.power_levels`` content."""
    users = levels.get("users")
    default = number(levels.get("users_default"), 0)
    return number(users.get(user_id), default) if isinstance(users, Mapping) else default


def role_of(user_id: str, levels: Mapping[str, Any]) -> Role:
    """The role that a user's power amounts to, also in rooms that Rialto did not make."""
    level = level_of(user_id, levels)
    for role in (Role.OWNER, Role.ADMIN, Role.MODERATOR):
        if level >= POWER[role]:
            return role
    return Role.WRITER if level >= number(levels.get("events_default"), 0) else Role.READER


def with_role(levels: Mapping[str, Any], user_id: str, role: Role) -> dict[str, Any]:
    """Power levels in which a user has a role. Everything else stays as it is.

    Where writing needs a moderator's power (an archived chat, some rooms that were adopted) writers get the usual one:
    never what would let them do more than write.
    """
    default = number(levels.get("users_default"), 0)
    needed = number(levels.get("events_default"), 0)
    level = POWER[role]
    if role is Role.WRITER:
        level = max(needed if needed < MODERATOR else WRITER, default)
    elif role is Role.READER:
        level = min(default, READER) if needed >= MODERATOR else default if default < needed else needed - 10
    return with_level(levels, user_id, level)


def muted_level(levels: Mapping[str, Any]) -> int:
    """The power of who may do nothing that needs power: below every event that members may send."""
    events = levels.get("events")
    needed = [number(level, 0) for level in events.values()] if isinstance(events, Mapping) else []
    usual = number(levels.get("users_default"), 0), number(levels.get("events_default"), 0)
    return max(min(*usual, *needed) - 10, LOWEST)


def with_level(levels: Mapping[str, Any], user_id: str, level: int) -> dict[str, Any]:
    """Power levels in which a user has a power. Everything else stays as it is."""
    users = levels.get("users")
    users = dict(users) if isinstance(users, Mapping) else {}
    if level == number(levels.get("users_default"), 0):
        users.pop(user_id, None)
    else:
        users[user_id] = level
    return {**levels, "users": users}


def owners(levels: Mapping[str, Any]) -> list[str]:
    """Who has the power of an owner, the steward among them."""
    users = levels.get("users")
    found = users if isinstance(users, Mapping) else {}
    return [user_id for user_id, level in found.items() if number(level, 0) >= OWNER]


def bounds(role: Role, levels: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The powers that amount to a role: at least the first, below the second; None: no bound."""
    writes = number(levels.get("events_default"), 0)
    above: dict[Role, int | None] = {
        Role.READER: min(writes, MODERATOR),
        Role.WRITER: MODERATOR,
        Role.MODERATOR: ADMIN,
        Role.ADMIN: OWNER,
        Role.OWNER: None,
    }
    below = {Role.READER: None, Role.WRITER: writes}.get(role, POWER[role])
    return below, above[role]
