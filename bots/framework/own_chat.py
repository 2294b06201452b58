"""A person's own encrypted chat with a bot: what is theirs only is said there, where nobody else reads."""

from __future__ import annotations

from typing import Final

from appservice.homeserver import HomeserverError
from bots.framework.context import Context
from bots.framework.state import Key

CHAT: Final = Key("chat", str, default="", secret=True)
"""Where a person has talked with the bot alone last: they look there."""


async def alone(ctx: Context) -> bool:
    """Whether the room is encrypted and holds the person and the bot, and nobody who could listen."""
    members = await ctx.members()
    return set(members) == {ctx.sender, ctx.user_id} and await ctx.encrypted()


async def remember(ctx: Context) -> None:
    """Note where the person talks with the bot alone."""
    noted = ctx.services.noted
    if noted.at(ctx.instance, ctx.sender, ctx.room_id, ctx.now_ms()):
        return
    if not await alone(ctx):  # what is known of rooms is in memory
        return
    if await ctx.user_state.get(CHAT) == ctx.room_id:
        noted.put(ctx.instance, ctx.sender, ctx.room_id, ctx.now_ms())
    else:
        noted.forget(ctx.instance, ctx.sender)
        ctx.user_state.set(CHAT, ctx.room_id)


async def met(ctx: Context) -> None:
    """Note the room as the chat of the one person in it who has none with the bot yet: they have just invited it."""
    humans = await ctx.humans()
    if len(humans) != 1:
        return
    (person,) = humans
    state = ctx.states.user(person)
    if not await state.get(CHAT) and set(await ctx.members()) == {person, ctx.user_id} and await ctx.encrypted():
        state.set(CHAT, ctx.room_id)


async def own_chat(ctx: Context, person: str) -> str:
    """The chat of a person and the bot alone: where they have talked last, or one that is made, with an invitation.

    Raises:
        HomeserverError: it could not be made now.
    """
    known = await ctx.states.user(person).get(CHAT)
    if known and await _usable(ctx, known, person):
        return known
    return await ctx.direct(person)


async def known_chat(ctx: Context, person: str) -> str:
    """The chat of a person and the bot alone where they have talked last; empty: there is none any more, or never was.
    Nobody is invited.

    Raises:
        HomeserverError: it cannot be asked now.
    """
    known = await ctx.states.user(person).get(CHAT)
    return known if known and await _usable(ctx, known, person) else ""


async def _usable(ctx: Context, room_id: str, person: str) -> bool:
    try:
        members = await ctx.members(room_id)
        return dict(members) == {person: "join", ctx.user_id: "join"} and await ctx.services.rooms.is_encrypted(room_id)
    except HomeserverError as error:
        if error.temporary:
            raise
        return False
