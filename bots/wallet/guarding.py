"""Card numbers do not belong into a chat: who writes one is warned, and the message goes where the wallet may take it
away. The number itself is not kept, not repeated and not logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from appservice.homeserver import HomeserverError, path
from bots.domain import cards
from bots.framework import Context

CREATORS: Final = frozenset({"12", "org.matrix.hydra.11"})
"""Room versions in which who made a room stands above its power levels (MSC4289)."""


async def card_seen(ctx: Context) -> bool:
    """Whether the message at hand holds a card's number; the person is warned then."""
    if not cards.find(ctx.text) and not _in_caption(ctx.content):
        return False
    if await may_redact(ctx):
        ctx.redact(ctx.event.event_id, reason="card number")
        seen = ctx.t("⚠️ That looked like a card number, so I have removed your message.")
    else:
        seen = ctx.t("⚠️ That looks like a card number. Please delete your message.")
    more = ctx.t("Never write card numbers in a chat: nobody needs them here. “top up” links to a safe page.")
    ctx.say(f"{seen}\n{more}")
    return True


def _in_caption(content: Mapping[str, Any]) -> bool:
    html = content.get("formatted_body")
    return isinstance(html, str) and bool(cards.find(html))


async def may_redact(ctx: Context) -> bool:
    """Whether the wallet has the power to take messages of others away (specification, "m.room.power_levels")."""
    levels = await _state(ctx, "m.room.power_levels")
    if levels is None:
        return False
    if await _created(ctx):
        return True
    users = levels.get("users")
    mine = users.get(ctx.user_id, levels.get("users_default", 0)) if isinstance(users, dict) else 0
    needed = levels.get("redact", 50)
    events = levels.get("events")
    sending = events.get("m.room.redaction", levels.get("events_default", 0)) if isinstance(events, dict) else 0
    return all(isinstance(each, int) for each in (mine, needed, sending)) and mine >= max(needed, sending)


async def _created(ctx: Context) -> bool:
    """Whether the wallet has made the room, of a version in which that is power without end."""
    create = await _state(ctx, "m.room.create") or {}
    if create.get("room_version") not in CREATORS:
        return False
    more = create.get("additional_creators")
    if isinstance(more, list) and ctx.user_id in more:
        return True
    # Of these versions a room's id is that of the event that made it.
    return await ctx.services.rooms.sender_of(ctx.room_id, "$" + ctx.room_id[1:], ctx.user_id) == ctx.user_id


async def _state(ctx: Context, event_type: str) -> Mapping[str, Any] | None:
    url = path("/_matrix/client/v3/rooms", ctx.room_id, "state", event_type, "")
    try:
        answer = await ctx.services.homeserver.request("GET", url, user_id=ctx.user_id)
    except HomeserverError as error:
        if error.temporary:
            raise
        return None
    return answer if isinstance(answer, dict) else None
