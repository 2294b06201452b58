"""A database belongs to one service at a time."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from appservice.claim import LOCK_KEY, Claim, DatabaseInUse

# pg_locks shows the locks of every database: other tests hold theirs at the same time.
HOLDER = (
    "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    "WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()"
)


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
        holder = await other.fetchval(HOLDER)
        await other.execute("SELECT pg_terminate_backend($1)", holder)
        async with asyncio.timeout(20):
            while True:
                if await other.fetchval(HOLDER) not in {None, holder}:
                    break
                await asyncio.sleep(0.05)
        assert not await other.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY)
    finally:
        await other.close()
        await claim.release()
