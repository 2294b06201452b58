"""What a plugin may do beyond answering in its own rooms: every scope there is, in one table.

A plugin declares the scopes it needs. Harmless ones come with the declaration; each other one stands in the
configuration, in ``scopes`` of the bot, by its name or as ``payments.*``. The bots that come with Rialto have what they
declare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope. ``harmless``: the operator need not grant it. ``reserved``: the operator cannot, and only bots that
    come with Rialto have it.
    """

    name: str
    words: str
    """What it lets a plugin do; follows “may”."""
    harmless: bool = False
    reserved: bool = False


SCOPES: Final = {
    scope.name: scope
    for scope in (
        Scope("state", "remember things", harmless=True),
        Scope("schedules", "act at a time of its own", harmless=True),
        Scope("media", "read files that people send it, and send files", harmless=True),
        Scope("people.read", "know the language and the time zone that a person has chosen", harmless=True),
        Scope("services.list", "know which bots there are", harmless=True),
        Scope("webhooks", "be called by other services under /hooks/, by signed requests", harmless=True),
        Scope("http", "call other services over the network"),
        Scope("location.read", "learn where people are when they share a location"),
        Scope("rooms.create", "make rooms and chats, and invite people into them"),
        Scope("payments.read", "see the balance and the transfers of its own account"),
        Scope("payments.charge", "ask people for payments to its account"),
        Scope("payments.send", "pay out of its own account"),
        Scope("payments.wallet", "hold people's wallets: see and move what they confirm", reserved=True),
        Scope("bills.book", "keep people's accounts with billers", reserved=True),
        Scope("commerce.trade", "keep merchants, what they sell, and people's carts and orders", reserved=True),
        Scope("fleet", "keep drivers, and trips of people and things", reserved=True),
        Scope("messenger.manage", "manage people's chats for them, and tell them what happens there", reserved=True),
        Scope("admin.plugins", "list, enable and disable plugins for operators"),
    )
}
"""Every scope by its name."""


def covers(grant: str, scope: str) -> bool:
    """Whether a grant (``http``, ``payments.*``) is for a scope."""
    return grant == scope or (grant.endswith(".*") and scope.startswith(grant[:-1]))


def unknown(name: str, *, pattern: bool = False) -> str | None:
    """Why a name is no scope, or None when it is one.

    Args:
        pattern: ``payments.*`` is one too.
    """
    if name in SCOPES or (pattern and name.endswith(".*") and any(covers(name, scope) for scope in SCOPES)):
        return None
    near = get_close_matches(name, SCOPES, 1)
    hint = f", did you mean {near[0]!r}?" if near else f"; there are {', '.join(SCOPES)}"
    return f"{name!r} is no scope{hint}"


def granted(
    declared: Iterable[str], grants: Iterable[str], *, trusted: bool = False
) -> tuple[frozenset[str], list[str]]:
    """What a plugin gets of what it declares, and what it would need to be granted.

    Args:
        grants: the operator's.
        trusted: it comes with Rialto.
    """
    grants, has, lacks = list(grants), set(), []
    for scope in sorted(declared):
        known = SCOPES[scope]
        if trusted or known.harmless or (not known.reserved and any(covers(grant, scope) for grant in grants)):
            has.add(scope)
        else:
            lacks.append(scope)
    return frozenset(has), lacks
