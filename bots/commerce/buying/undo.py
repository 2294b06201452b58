"""Taking back: how a cart was before its last change, kept for a day."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from bots.domain.carts import Cart, CartLine
from bots.framework import Context, Key

_LARGEST: Final = 60_000
"""Bytes; a cart that is larger cannot be kept in one value, and its last change stays."""


@dataclass(frozen=True)
class Before:
    """A cart before a change. ``version``: of the cart after it: only what was changed last is taken back."""

    owner: str
    version: int
    lines: tuple[CartLine, ...]


BEFORE: Final = Key("cart before", Before, default=None, secret=True, ttl=timedelta(days=1))
_ADAPTER: Final = TypeAdapter(Before)


def remember(ctx: Context, owner: str, before: Cart, after: Cart) -> None:
    """Keep how a cart was, in the commit of its change."""
    kept = Before(owner, after.version, before.lines)
    if len(_ADAPTER.dump_json(kept)) <= _LARGEST:
        ctx.user_state.set(BEFORE, kept)
    else:
        ctx.user_state.delete(BEFORE)


async def can_take_back(ctx: Context, cart: Cart, owner: str) -> bool:
    """Whether the last change of a cart can be taken back."""
    kept = await ctx.user_state.get(BEFORE)
    return kept is not None and kept.owner == owner and kept.version == cart.version


async def taken_back(ctx: Context, cart: Cart, owner: str) -> Cart | None:
    """The cart as it was before its last change; None when that is not known any more."""
    kept = await ctx.user_state.get(BEFORE)
    if kept is None or kept.owner != owner or kept.version != cart.version:
        return None
    ctx.user_state.delete(BEFORE)
    return Cart(kept.lines, cart.version + 1)
