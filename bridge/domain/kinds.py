"""The kinds of chats, and what room each of them is. One table maps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from bridge.domain.roles import ADMIN, MODERATOR, OWNER, READER, STEWARD, WRITER

ROOM_VERSION: Final = "11"
"""Version 12 gives creators a power that older clients do not show."""
MEGOLM: Final = "m.megolm.v1.aes-sha2"
CHAT_STATE: Final = "chat.rialto.chat"
"""State event that tells clients what a room is: ``{"kind": …, "public": …}``. State key: empty."""


class Kind(StrEnum):
    """What a chat is."""

    DIRECT = "direct"
    """Two people."""
    GROUP = "group"
    CHANNEL = "channel"
    """Few post, many read."""
    SERVICE = "service"
    """A person and a bot."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The room of a kind (specification, "Room events").

    Attributes:
        join_rule: ``m.room.join_rules``.
        history: ``m.room.history_visibility``.
        encrypted: whether messages are end-to-end encrypted. A public channel's are not: everybody may read them.
        users_default: power of a member.
        events_default: power that a message needs.
        listed: whether it may stand in the homeserver's directory.
    """

    join_rule: str
    history: str
    encrypted: bool
    users_default: int
    events_default: int
    listed: bool = False


PLANS: Final[Mapping[tuple[Kind, bool], Plan]] = MappingProxyType(
    {
        (Kind.DIRECT, False): Plan("invite", "invited", True, WRITER, WRITER),
        (Kind.GROUP, False): Plan("knock", "invited", True, WRITER, WRITER),
        (Kind.GROUP, True): Plan("public", "shared", True, WRITER, WRITER, listed=True),
        (Kind.CHANNEL, False): Plan("knock", "shared", True, READER, WRITER),
        (Kind.CHANNEL, True): Plan("public", "world_readable", False, READER, WRITER, listed=True),
        (Kind.SERVICE, False): Plan("invite", "invited", True, WRITER, WRITER),
    }
)
"""By kind, and whether it is public. What is not in it cannot be made."""


def power_levels(plan: Plan, steward: str, owners: Mapping[str, int]) -> dict[str, Any]:
    """``m.room.power_levels`` of a new chat: the steward stands above everybody, so that it can undo what they did.

    Args:
        owners: user id to power: who else has more than ``users_default``.
    """
    return {
        "users": {steward: STEWARD, **owners},
        "users_default": plan.users_default,
        "events_default": plan.events_default,
        "state_default": ADMIN,
        "ban": MODERATOR,
        "kick": MODERATOR,
        "redact": MODERATOR,
        "invite": MODERATOR if plan.events_default > plan.users_default else plan.users_default,
        "notifications": {"room": MODERATOR},
        "events": {
            "m.reaction": min(plan.users_default, WRITER),
            "m.room.redaction": min(plan.users_default, WRITER),
            "m.room.name": ADMIN,
            "m.room.topic": ADMIN,
            "m.room.avatar": ADMIN,
            "m.room.pinned_events": MODERATOR,
            "m.room.power_levels": OWNER,
            "m.room.history_visibility": OWNER,
            "m.room.encryption": OWNER,
            "m.room.server_acl": OWNER,
            "m.room.tombstone": STEWARD,
            "m.room.join_rules": STEWARD,
            CHAT_STATE: STEWARD,
        },
    }
