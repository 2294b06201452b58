"""What webhooks tell of: types of events, and when a delivery that failed is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "chat.created": "A chat was made.",
        "chat.changed": "Its name, topic or avatar changed.",
        "chat.deleted": "A chat was deleted for all.",
        "member.invited": "Somebody was invited.",
        "member.joined": "Somebody joined.",
        "member.left": "Somebody left, or was removed.",
        "member.banned": "Somebody was banned.",
        "member.asked": "Somebody asks to join.",
        "messages.counted": "How many messages were sent in a minute; not what they say.",
        "message.sent": "A message of the product's is at the homeserver.",
        "message.delivered": "Everything up to a number has arrived at somebody.",
        "message.read": "Somebody has read everything up to a number.",
        "message.failed": "A message of the product's could not be sent.",
        "ping": "A test that the product asked for.",
    }
)
"""Every type, and what it says. ``docs/api.md`` lists them."""

FIRST_PAUSE_S: Final = 10
LONGEST_PAUSE_S: Final = 3 * 3600
GIVE_UP_MS: Final = 3 * 86_400_000
"""A delivery that has failed for so long is given up, and a webhook that has taken nothing for so long is paused."""


class DeliveryState(IntEnum):
    """Where a delivery stands."""

    PENDING = 0
    DELIVERED = 1
    FAILED = 2


def pause_s(attempts: int, jitter: float) -> float:
    """Seconds until the next attempt after so many: doubled each time, and up to a fifth longer.

    Args:
        jitter: from 0 to 1.
    """
    return min(FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30), LONGEST_PAUSE_S) * (1 + jitter / 5)
