"""Tokens of drivers' apps: made in the chat, shown once, kept as a digest.

``rd_ID_SECRET``: the first part finds the row, the second proves it. 256 random bits need no slow digest.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections import OrderedDict
from hashlib import sha256
from typing import Final

from appservice.database import Database
from bots.framework import Context
from bots.framework.clock import Clock
from bots.store import driver_tokens as sql
from bots.store.driver_tokens import TokenRow

__all__ = ["Tokens"]

_TOKEN: Final = re.compile(r"rd_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
KNOWN: Final = 50_000
"""Tokens, and ids that are none, that are remembered for :data:`REMEMBERED_MS`."""
REMEMBERED_MS: Final = 10_000
"""In another process of the same installation a token counts so long after it was revoked."""


class Tokens:
    """The one object of tokens in the composition root; a plugin gets it by its scope ``fleet``."""

    def __init__(self, database: Database, clock: Clock, url: str = "") -> None:
        """
        Args:
            url: where apps send positions to, as the outside sees it.
        """
        self.url = url
        self._database = database
        self._clock = clock
        self._known: OrderedDict[str, tuple[TokenRow | None, int]] = OrderedDict()
        self._nobody = secrets.token_hex(32)

    def make(self, ctx: Context, person: str) -> str:
        """A new token of a driver, in place of the one before, in the commit of the handler at hand."""
        token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        token = f"rd_{token_id}_{secret}"
        row = TokenRow(token_id, ctx.instance, person, _digest(token), ctx.now_ms())
        ctx.store(lambda connection: sql.put(connection, row))
        ctx.unit.after_commit(lambda: self.forget(ctx.instance, person))
        return token

    def revoke(self, ctx: Context, person: str) -> None:
        """A driver's token counts no more, from the commit of the handler at hand on."""
        ctx.store(lambda connection: sql.revoke(connection, ctx.instance, person))
        ctx.unit.after_commit(lambda: self.forget(ctx.instance, person))

    async def has(self, ctx: Context, person: str) -> bool:
        """Whether a driver has a token."""
        return await ctx.query(lambda connection: sql.of_person(connection, ctx.instance, person)) is not None

    async def check(self, token: str) -> TokenRow | None:
        """Whose token it is; None: nobody's.

        Raises:
            DatabaseError: that cannot be known now.
        """
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        row = await self._find(match[1])
        # Whether there is such an id is not to be heard from how long it takes.
        right = hmac.compare_digest(_digest(token), self._nobody if row is None else row.digest)
        return row if right else None

    def forget(self, bot: str, person: str) -> None:
        """What is remembered of a driver's token is old."""
        for token_id, (row, _until) in list(self._known.items()):
            if row is not None and (row.bot, row.person) == (bot, person):
                del self._known[token_id]

    async def _find(self, token_id: str) -> TokenRow | None:
        now = self._clock.now_ms()
        known = self._known.get(token_id)
        if known is not None and now < known[1]:
            return known[0]
        row = await self._database.read(lambda connection: sql.find(connection, token_id))
        self._known[token_id] = (row, now + REMEMBERED_MS)
        self._known.move_to_end(token_id)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return row


def _digest(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()
