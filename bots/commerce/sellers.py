"""Merchants and their people, as the bots that sell see them."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from bots.commerce.hand import Hand, Reader
from bots.commerce.trade import Trade
from bots.domain.merchants import Merchant, MerchantAction, MerchantState, Staff, advance
from bots.domain.places import Point, Zone, distance_m
from bots.domain.searching import closeness, terms, wanted
from bots.store import catalogue_search
from bots.store import merchants as sql

__all__ = ["Near", "Sellers"]

AROUND_MAX: Final = 500
"""Merchants who may deliver to one place that are looked at."""


@dataclass(frozen=True, slots=True)
class Near:
    """A merchant who delivers to a place.

    Attributes:
        zone: the one of theirs that holds the place.
        metres: from them to the place as the crow flies; nought where nobody knows where they are.
        opens_at: when they open next (UTC); None: they are open.
    """

    merchant: Merchant
    zone: Zone
    metres: float
    opens_at: datetime | None


class Sellers:
    """The merchants of one bot."""

    def __init__(self, trade: Trade, instance: str) -> None:
        """
        Args:
            instance: the plugin instance that they sell through.
        """
        self.trade = trade
        self.instance = instance

    # Reading

    async def get(self, ctx: Reader, merchant_id: str) -> Merchant | None:
        """A merchant by their id."""
        return await ctx.query(lambda connection: sql.get(connection, self.instance, merchant_id))

    async def many(self, ctx: Reader, ids: Collection[str]) -> dict[str, Merchant]:
        """Merchants by their ids; those that are not there are missing."""
        return await ctx.query(lambda connection: sql.many(connection, self.instance, ids))

    async def by_slug(self, ctx: Reader, slug: str) -> Merchant | None:
        """A merchant by their short name."""
        return await ctx.query(lambda connection: sql.by_slug(connection, self.instance, slug))

    async def of_room(self, ctx: Reader, room_id: str) -> Merchant | None:
        """The merchant whose staff room this is."""
        return await ctx.query(lambda connection: sql.of_room(connection, self.instance, room_id))

    async def of_person(self, ctx: Reader, person: str) -> builtins.list[tuple[Merchant, Staff]]:
        """Whom somebody works for, and as what; the oldest first."""
        return await ctx.query(lambda connection: sql.of_person(connection, self.instance, person))

    async def staff(self, ctx: Reader, merchant_id: str) -> dict[str, Staff]:
        """Who works for a merchant, and as what."""
        return await ctx.query(lambda connection: sql.staff(connection, merchant_id))

    async def list(
        self, ctx: Reader, states: Collection[MerchantState], after: str = "", limit: int = 10
    ) -> builtins.list[Merchant]:
        """Merchants in these states, the oldest first; those behind the one whose id is ``after``."""
        return await ctx.query(lambda connection: sql.listed(connection, self.instance, states, after, limit))

    async def near(
        self,
        ctx: Reader,
        point: Point,
        at: datetime,
        *,
        tag: str = "",
        text: str = "",
        after: int = 0,
        limit: int = 10,
    ) -> builtins.list[Near]:
        """Who delivers to a place: who is open first, of those the nearest first; then who opens soonest.

        Args:
            at: when it is wanted (aware).
            tag: only those who have it, however it is written.
            text: only those whose name, tags, description or products answer this search.
            after: so many are left out.
        """

        def read(connection: Connection) -> tuple[builtins.list[Merchant], set[str]]:
            around = sql.around(connection, self.instance, MerchantState.ACTIVE, point, AROUND_MAX)
            hits = catalogue_search.sellers(connection, self.instance, text) if text else set()
            return around, hits

        around, sells = await ctx.query(read)
        found = []
        for merchant in around:
            zone = merchant.zone_of(point)
            if zone is None or (tag and not _tagged(merchant, tag)):
                continue
            if text and merchant.id not in sells and not _answers(merchant, text):
                continue
            begin = None if merchant.where is None else merchant.where.point
            metres = 0.0 if begin is None else distance_m(begin, point)
            opens_at = None if merchant.hours.open_at(at) else merchant.hours.opens_at(at)
            if opens_at is None and not merchant.hours.open_at(at):
                continue  # it does not open at all
            found.append(Near(merchant, zone, metres, opens_at))
        found.sort(key=lambda each: (each.opens_at is not None, each.opens_at or at, each.metres, each.merchant.id))
        return found[after : after + limit]

    # Writing, in the commit of what is at hand

    def apply(self, ctx: Hand, merchant: Merchant) -> None:
        """Store a new merchant; their owner works for them. In the commit TradeBusy: the short name is taken."""
        now = ctx.now_ms()
        ctx.store(lambda connection: sql.apply(connection, merchant, now))

    def change(self, ctx: Hand, before: Merchant, after: Merchant) -> Merchant:
        """Write a changed merchant; as it will be read. In the commit TradeBusy: it is not as it was read."""
        now = ctx.now_ms()
        ctx.store(lambda connection: sql.change(connection, before, after, now))
        return sql.changed(before, after)

    def act(self, ctx: Hand, merchant: Merchant, action: MerchantAction) -> Merchant:
        """Do something with a merchant. Raises MerchantError: it does not follow on how things stand."""
        return self.change(ctx, merchant, advance(merchant, action))

    def hire(self, ctx: Hand, merchant_id: str, person: str, role: Staff) -> None:
        """Let somebody work for a merchant, or give them another role."""
        ctx.store(lambda connection: sql.hire(connection, merchant_id, person, role))

    def dismiss(self, ctx: Hand, merchant_id: str, person: str) -> None:
        """Let somebody not work for a merchant any more."""
        ctx.store(lambda connection: sql.dismiss(connection, merchant_id, person))


def _forms(texts: Iterable[str]) -> set[str]:
    return {form for text in texts for forms in terms(text) for form in forms}


def _tagged(merchant: Merchant, tag: str) -> bool:
    asked = terms(tag)
    return any(terms(each) == asked for each in merchant.tags)


def _answers(merchant: Merchant, text: str) -> bool:
    """Whether every word of a search is one of theirs, or nearly."""
    words = _forms([merchant.name, merchant.description, *merchant.tags])
    asked = wanted(text)
    return bool(asked) and all(any(closeness(form, word) > 0 for form in forms for word in words) for forms in asked)
