"""Where the wallet talks with a person alone, and how it talks to somebody who has said nothing just now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from bots.framework import Context
from bots.framework import content as contents
from bots.framework.i18n import Translator
from bots.framework.own_chat import alone, own_chat

DOMAIN: Final = "wallet"
"""The wallet's catalogues."""


@dataclass(frozen=True, slots=True)
class Hearer:
    """A person, their own chat with the wallet, and texts in their language."""

    person: str
    room_id: str
    texts: Translator

    def t(self, text: str, /, **values: Any) -> str:
        """A text in their language."""
        return self.texts.t(text, **values)

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        """A text for ``count`` things in their language."""
        return self.texts.n(one, many, count, **values)

    def tell(self, ctx: Context, text: str, *, key: str | None = None, ring: bool = False) -> str:
        """Say something to them; with a ``key`` once, ever. With ``ring`` as a message that clients ring for."""
        content: Mapping[str, Any] = contents.text(text, notice=not ring)
        if ring:
            content = contents.mentioning(content, self.person)
        return ctx.send(content, room_id=self.room_id, key=key)


async def hearer(ctx: Context, person: str) -> Hearer:
    """Somebody to be told something.

    Raises:
        HomeserverError: their chat could not be made now.
    """
    known = await ctx.services.people.get(person)
    texts = ctx.services.catalogues.translator(known.language, DOMAIN, ZoneInfo(known.zone or "UTC"))
    return Hearer(person, await own_chat(ctx, person), texts)


async def aside(ctx: Context) -> Hearer:
    """The person at hand where nobody else reads; a group hears that they were answered elsewhere.

    Raises:
        HomeserverError: their chat could not be made now.
    """
    if await alone(ctx):
        return Hearer(ctx.sender, ctx.room_id, ctx.translator)
    found = await hearer(ctx, ctx.sender)
    ctx.say(ctx.t("✓ I have answered you in our own chat."))
    return found
