"""Puts the demo city into the database: each merchant once, with all they sell, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from sqlalchemy import Connection

from appservice.database import Database
from bots.commerce.importing import ImportPlan, planned
from bots.commerce.seed.reading import Seed
from bots.store import imports, merchants

__all__ = ["plant"]

log = logging.getLogger(__name__)


async def plant(database: Database, seeds: Sequence[Seed], now: int) -> int:
    """Put in whoever of them is not there yet; how many were put in. What the merchants have changed since stays.

    Raises:
        DatabaseError: not all of them could be put in; the others are there, and the next start goes on.
        ValueError: a menu has a fault.
    """
    made = 0
    for seed in seeds:
        who = seed.merchant
        if await database.read(lambda connection, who=who: _there(connection, who.bot, who.id, who.slug)):  # type: ignore[misc]
            continue
        plan = await asyncio.to_thread(
            planned, seed.menu, f"{who.slug}.yaml", [], [], currency=who.currency, language=who.language
        )
        if plan.errors:
            fault = plan.errors[0]
            raise ValueError(f"{who.slug}.yaml:{fault.line}: {fault.column}: {fault.message}")
        await database.write(lambda connection, seed=seed, plan=plan: _put(connection, seed, plan, now))  # type: ignore[misc]
        made += 1
    if made:
        log.info("the demo city has new merchants", extra={"count": made})
    return made


def _there(connection: Connection, bot: str, merchant_id: str, slug: str) -> bool:
    by_slug = merchants.by_slug(connection, bot, slug)
    return by_slug is not None or merchants.get(connection, bot, merchant_id) is not None


def _put(connection: Connection, seed: Seed, plan: ImportPlan, now: int) -> None:
    who = seed.merchant
    merchants.apply(connection, who, now)
    change = imports.Change(
        {each.key: (None, each) for each in plan.added},
        {each.key: (None, each) for each in plan.categories},
        plan.counted,
    )
    # There is nothing that a merchant could want to have undone.
    imports.apply(connection, who.id, change, now, undoable=False)
