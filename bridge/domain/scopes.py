"""What a product's key may do. A key has scopes; an endpoint asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "people.read": "See the product's people.",
        "people.write": "Create, link, change and deactivate people.",
        "people.sign_in": "Make tokens with which a person's device signs in.",
        "people.suspend": "Suspend accounts that were made for the product, and lift that.",
        "people.export": "Have a copy made of all that is held about a person, and fetch it.",
        "people.erase": "Have people erased, everywhere.",
        "chats.read": "See the product's chats.",
        "chats.write": "Create, change, archive and delete chats.",
        "members.read": "See who is in the product's chats.",
        "members.write": "Add, promote, mute, remove and ban members; answer join requests.",
        "links.read": "See invite links.",
        "links.write": "Make and revoke invite links.",
        "timers.read": "See message timers.",
        "timers.write": "Set message timers.",
        "retention.read": "See how long messages are kept, and legal holds.",
        "retention.write": "Say how long messages are kept; hold and release chats.",
        "messages.read": "See the state of messages and the changes of a chat.",
        "messages.write": "Send notices into unencrypted channels and service chats; acknowledge delivery.",
        "search.read": "Search what the server may read.",
        "moderation.read": "See reports.",
        "moderation.write": "Act on reports.",
        "audit.read": "Search the audit log.",
        "webhooks.read": "See webhooks and their deliveries.",
        "webhooks.write": "Add, change and remove webhooks.",
        "keys.write": "Rotate the key itself.",
    }
)
"""Every scope, and what it is for. ``docs/api.md`` lists them."""


def unknown(scopes: Iterable[str]) -> list[str]:
    """Those that there are not."""
    return sorted(set(scopes) - set(SCOPES))


def matching(patterns: Iterable[str]) -> frozenset[str]:
    """The scopes that patterns mean: ``chats.read``, ``chats.*``, ``*.read``, ``*``.

    Raises:
        ValueError: one of them means none.
    """
    found: set[str] = set()
    for pattern in patterns:
        area, dot, right = pattern.partition(".")
        hits = (
            set(SCOPES)
            if pattern == "*"
            else {
                scope
                for scope in SCOPES
                if dot and area in {"*", scope.partition(".")[0]} and right in {"*", scope.partition(".")[2]}
            }
        )
        if not hits:
            raise ValueError(f"there is no scope {pattern!r}")
        found |= hits
    return frozenset(found)
