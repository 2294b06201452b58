"""What the homeserver's module is told of people, so that it can enforce it without asking each time."""

from __future__ import annotations

from typing import Any, Final

from bridge.domain.privacy import What, rule
from bridge.store.privacy import Said

SEEN: Final = (What.PRESENCE, What.LAST_SEEN)


def rules_of(said: Said) -> dict[str, Any]:
    """``{"presence": bool, "presence_except": [...], "receipts": False, …}``; empty for who hides nothing."""
    made: dict[str, Any] = {}
    relations = list(said.relations.items())
    for what in SEEN:
        everybody, others = rule(said.settings, what, relations)
        if not everybody or others:
            made[what.value] = everybody
            made[f"{what.value}_except"] = others
    if not rule(said.settings, What.RECEIPTS, ())[0]:
        made["receipts"] = False
    return made
