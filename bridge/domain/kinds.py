"""The kinds of chats, and what room each of them is. One table maps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from bridge.domain.roles import ADMIN, MODERATOR, OWNER, POWER, READER, STEWARD, WRITER, Role

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
        invite: power that inviting needs. Two people stay two, unless both agree that an owner brings a bot.
        listed: whether it may stand in the homeserver's directory.
        maker: the role of who made it.
        others: the role of whom they made it with.
    """

    join_rule: str
    history: str
    encrypted: bool
    users_default: int
    events_default: int
    invite: int
    listed: bool = False
    maker: Role = Role.OWNER
    others: Role | None = None


PLANS: Final[Mapping[tuple[Kind, bool], Plan]] = MappingProxyType(
    {
        (Kind.DIRECT, False): Plan("invite", "invited", True, WRITER, WRITER, OWNER, others=Role.OWNER),
        (Kind.GROUP, False): Plan("knock", "invited", True, WRITER, WRITER, WRITER),
        (Kind.GROUP, True): Plan("public", "shared", True, WRITER, WRITER, WRITER, listed=True),
        (Kind.CHANNEL, False): Plan("knock", "shared", True, READER, WRITER, MODERATOR),
        (Kind.CHANNEL, True): Plan("public", "world_readable", False, READER, WRITER, MODERATOR, listed=True),
        (Kind.SERVICE, False): Plan("invite", "invited", True, WRITER, WRITER, OWNER, maker=Role.WRITER),
    }
)
"""By kind, and whether it is public. What is not in it cannot be made."""


def chat_state(kind: Kind, *, public: bool, **more: Any) -> dict[str, Any]:
    """Content of :data:`CHAT_STATE`."""
    return {"kind": kind.value, "public": public, **more}


def power_levels(plan: Plan, steward: str, roles: Mapping[str, Role]) -> dict[str, Any]:
    """``m.room.power_levels`` of a new chat: the steward stands above everybody, so that it can undo what they did.

    Args:
        roles: by user id: who else has more than ``users_default``.
    """
    powers = {user_id: POWER[role] for user_id, role in roles.items()}
    everybody = min(plan.users_default, WRITER)
    return {
        "users": {steward: STEWARD} | {user: power for user, power in powers.items() if power > plan.users_default},
        "users_default": plan.users_default,
        "events_default": plan.events_default,
        "state_default": ADMIN,
        "ban": MODERATOR,
        "kick": MODERATOR,
        "redact": MODERATOR,
        "invite": plan.invite,
        "notifications": {"room": MODERATOR},
        "events": {
            "m.reaction": everybody,
            "m.room.redaction": everybody,
            # Who may write may call (MSC3401, MSC4143).
            "org.matrix.msc3401.call.member": plan.events_default,
            "org.matrix.msc4143.rtc.member": plan.events_default,
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
