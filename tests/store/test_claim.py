"""A database belongs to one service at a time."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from appservice.claim import LOCK_KEY, Claim, DatabaseInUse


async def test_a_second_service_is_refused_until_the_first_ends(database_url: str) -> None:
    first, second = Claim(database_url), Claim(database_url)
    await first.take()
    with pytest.raises(DatabaseInUse):
        await second.take(wait=0.3)
    waiting = asyncio.create_task(second.take(wait=20))
    await first.release()
    await waiting
    await second.release()


async def test_a_lost_connection_takes_the_claim_anew(postgres_url: str) -> None:
    claim = Claim(postgres_url)
    await claim.take()
    other = await asyncpg.connect(postgres_url)
    try:
        holder = await other.fetchval("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
        await other.execute("SELECT pg_terminate_backend($1)", holder)
        async with asyncio.timeout(20):
            while True:
                held = await other.fetch("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
                if held and held[0]["pid"] != holder:
                    break
                await asyncio.sleep(0.05)
        assert not await other.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY)
    finally:
        await other.close()
        await claim.release()
