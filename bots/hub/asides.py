"""Where the hub talks with a person alone: what is theirs only, and what happens to them, is said there."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from appservice import json
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from bots.framework import Context, Key
from bots.framework.context import DIALOG_STARTS
from bots.framework.dialogs import codec

CHAT: Final = Key("chat", str, default="", secret=True)
"""Where a person has talked with the hub alone last: they look there."""


async def alone(ctx: Context) -> bool:
    """Whether the room is encrypted and holds the person and the hub, and nobody who could listen."""
    members = await ctx.members()
    return set(members) == {ctx.sender, ctx.user_id} and await ctx.encrypted()


async def remember(ctx: Context) -> None:
    """Note where the person talks with the hub alone."""
    if await ctx.user_state.get(CHAT) != ctx.room_id and await alone(ctx):
        ctx.user_state.set(CHAT, ctx.room_id)


async def own_chat(ctx: Context, person: str) -> str:
    """The chat of a person and the hub alone: where they have talked last, or one that is made, with an invitation.

    Raises:
        HomeserverError: it could not be made now.
    """
    known = await ctx.states.user(person).get(CHAT)
    if known and await _usable(ctx, known, person):
        return known
    return await ctx.direct(person)


def begin(ctx: Context, room_id: str, dialog: Callable[..., Any], *args: Any, person: str = "") -> None:
    """Begin a dialog with the person at hand in another room than this, after what is done here.

    Args:
        person: with somebody else.
    """
    cause = f"{ctx.event.event_id}\0{room_id}\0{getattr(dialog, '__name__', '')}"
    content = {
        "name": getattr(dialog, "__name__", ""),
        "people": [],
        "arguments": json.loads(codec.dumps([list(args), {}])),
    }
    key = f"dialog:{sha256(cause.encode()).hexdigest()[:40]}"
    ctx.unit.emit(InternalEvent(key, ctx.consumer, room_id, DIALOG_STARTS, content, person or ctx.sender))


async def _usable(ctx: Context, room_id: str, person: str) -> bool:
    try:
        members = await ctx.members(room_id)
        return dict(members) == {person: "join", ctx.user_id: "join"} and await ctx.services.rooms.is_encrypted(room_id)
    except HomeserverError as error:
        if error.temporary:
            raise
        return False
