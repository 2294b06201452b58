"""Links on both databases: redeemed once, whoever is at the same time; undone with their commit; forgotten in time."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, select

from appservice.database import Database
from appservice.sealing import Sealer
from bots.framework.clock import ManualClock
from bots.framework.housekeeping import Housekeeping
from bots.framework.state import Store
from bots.pages import LinkInvalid, Links
from bots.store import pages as sql
from bots.store.page_tables import page_links, pins

ALICE = "@alice:example.org"
NOW = 1_800_000_000_000


@pytest.fixture
def links() -> Links:
    return Links("a pickle key for the tests")


async def issue(
    database: Database, links: Links, purpose: str = "pay", subject: str = "p1", person: str = ALICE, ttl_s: float = 60
) -> str:
    """The token of a new link."""

    def work(connection: Connection) -> str:
        return links.issue(connection, purpose=purpose, person=person, subject=subject, ttl_s=ttl_s, now=NOW)

    return (await database.write(work)).rpartition("/")[2]


async def redeem(database: Database, links: Links, token: str, purpose: str = "pay", now: int = NOW) -> str:
    """Whom it was for, or why not."""
    try:
        claim = await database.write(lambda connection: links.redeem(connection, token, purpose, now))
    except LinkInvalid as invalid:
        return invalid.why
    return f"{claim.person} {claim.subject}"


async def test_a_link_is_redeemed_once(database: Database, links: Links) -> None:
    token = await issue(database, links)
    for _ in range(3):
        claim = await database.read(lambda connection: links.peek(connection, token, "pay", NOW))
        assert (claim.person, claim.subject, claim.used) == (ALICE, "p1", False)
    assert await redeem(database, links, token) == f"{ALICE} p1"
    assert await redeem(database, links, token) == "used"
    with pytest.raises(LinkInvalid, match="used"):
        await database.read(lambda connection: links.peek(connection, token, "pay", NOW))
    assert (await database.read(lambda connection: links.look(connection, token, "pay", NOW))).used


async def test_of_many_at_the_same_time_one_redeems(database: Database, links: Links) -> None:
    for _ in range(5):
        token = await issue(database, links)
        results = await asyncio.gather(*(redeem(database, links, token) for _ in range(12)))
        assert sorted(results) == sorted([f"{ALICE} p1", *["used"] * 11])


async def test_a_link_stays_when_what_it_was_for_fails(database: Database, links: Links) -> None:
    token = await issue(database, links)

    def work(connection: Connection) -> None:
        links.redeem(connection, token, "pay", NOW)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await database.write(work)
    assert await redeem(database, links, token) == f"{ALICE} p1"


async def test_a_link_ends(database: Database, links: Links) -> None:
    token = await issue(database, links, ttl_s=60)
    assert await redeem(database, links, token, now=NOW + 60_000) == "expired"
    assert await redeem(database, links, token, now=NOW + 59_999) == f"{ALICE} p1"


async def test_a_link_is_good_for_its_purpose_only(database: Database, links: Links) -> None:
    token = await issue(database, links, purpose="pay")
    assert await redeem(database, links, token, purpose="pin") == "unknown"
    assert not links.genuine(token, "pin") and links.genuine(token, "pay")
    assert not Links("another pickle key").genuine(token, "pay")
    assert await redeem(database, links, token[:-4] + "AAAA") == "unknown"


async def test_newer_links_replace_older_ones_of_the_same(database: Database, links: Links) -> None:
    old, other = await issue(database, links), await issue(database, links, subject="p2")
    hers = await issue(database, links, person="@bob:example.org")
    used = await issue(database, links)
    await redeem(database, links, used)

    def withdraw(connection: Connection) -> int:
        return links.withdraw(connection, purpose="pay", person=ALICE, subject="p1", now=NOW)

    assert await database.write(withdraw) == 1
    assert await redeem(database, links, old) == "expired"
    assert await redeem(database, links, used) == "used"
    assert await redeem(database, links, other) == f"{ALICE} p2"
    assert await redeem(database, links, hers) == "@bob:example.org p1"


async def test_the_database_does_not_know_the_token(database: Database, links: Links) -> None:
    token = await issue(database, links)
    rows = await database.read(lambda connection: connection.execute(select(page_links)).all())
    assert len(rows) == 1
    assert not any(token[:43] in str(value) for value in rows[0])
    assert links.digest(token, "pay") == rows[0].digest


async def test_old_links_are_forgotten_some_at_a_time(database: Database, links: Links) -> None:
    for ttl_s in (1, 2, 3, 600):
        await issue(database, links, ttl_s=ttl_s)
    kept = await issue(database, links, ttl_s=600)
    before = NOW + 10_000
    assert await database.write(lambda connection: sql.purge_links(connection, before, 2)) == 2
    assert await database.write(lambda connection: sql.purge_links(connection, before, 2)) == 1
    assert await database.write(lambda connection: sql.purge_links(connection, before, 2)) == 0
    assert await redeem(database, links, kept) == f"{ALICE} p1"


async def test_housekeeping_forgets_links_a_week_after_their_end(database: Database, links: Links) -> None:
    clock = ManualClock(NOW)
    keeper = Housekeeping(database, Store(database, Sealer("x" * 16, "state"), clock.now_ms), clock)
    await issue(database, links, ttl_s=60)
    clock.advance(days=7, seconds=60)
    assert await keeper.tidy() == 0
    clock.advance(seconds=1)
    assert await keeper.tidy() == 1
    assert await database.read(lambda connection: connection.execute(select(page_links)).all()) == []


async def test_a_person_is_forgotten(database: Database, links: Links) -> None:
    mine, theirs = await issue(database, links), await issue(database, links, person="@bob:example.org")
    await database.write(lambda connection: sql.write_pin(connection, ALICE, "hash", NOW))
    await database.write(lambda connection: sql.forget_person(connection, ALICE))
    assert await redeem(database, links, mine) == "expired"
    assert await redeem(database, links, theirs) == "@bob:example.org p1"
    assert await database.read(lambda connection: connection.execute(select(pins)).all()) == []


@pytest.mark.parametrize(("purpose", "ttl_s"), [("", 60), ("Pay", 60), ("a/b", 60), ("a" * 41, 60), ("pay", 0)])
async def test_links_that_cannot_be(database: Database, links: Links, purpose: str, ttl_s: float) -> None:
    with pytest.raises(ValueError, match="a link needs"):
        await issue(database, links, purpose=purpose, ttl_s=ttl_s)


async def test_tokens_are_random(database: Database, links: Links) -> None:
    assert len({await issue(database, links) for _ in range(20)}) == 20
