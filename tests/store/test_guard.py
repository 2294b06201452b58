"""Limits, freezes and sanction lists, on both databases, and two payments at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from appservice.config.money import Payments, Tier
from appservice.database import Database
from bots.domain.limits import HOUR_MS, GuardRefusal, Limits
from bots.domain.money import Money
from bots.framework.clock import ManualClock
from bots.payments.guard import Guard, HeldByOthers, Movement, MovementConflict, limits_of
from bots.payments.sanctions import Verdict
from bots.store.guard_tables import guard_movements, guard_usage
from tests.store.harness import rows

T = TypeVar("T")
ALICE, BOB = "@alice:localhost", "@bob:localhost"
OPERATOR = "operator"
NOW = ManualClock().now_ms() + 12 * HOUR_MS  # noon
TIERS = (
    Limits({"EUR": 150_00}, {"EUR": 300_00}, {"EUR": 1000_00}, {"EUR": 1000_00}, per_hour=3),
    Limits(per_hour=100),
)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def pay(name: str, minor: int, *, currency: str = "EUR", person: str = ALICE) -> Movement:
    return Movement(name, person, "out", Money(minor, currency), BOB, "payment")


class Desk:
    """A guard on a database; each call is a transaction."""

    def __init__(self, database: Database, guard: Guard) -> None:
        self.database = database
        self.guard = guard

    async def spend(self, movement: Movement, now: int = NOW) -> GuardRefusal | None:
        def work(connection: Connection) -> GuardRefusal | None:
            refusal = self.guard.check(connection, movement, now)
            if refusal is None:
                self.guard.record(connection, movement, now)
            return refusal

        return await self.database.write(work)

    async def receive(self, minor: int, balance: int, kind: str = "payment") -> GuardRefusal | None:
        movement = Movement(f"in{minor}{balance}", ALICE, "in", eur(minor), BOB, kind)
        return await self.write(lambda connection: self.guard.check(connection, movement, NOW, balance=eur(balance)))

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.database.write(work)

    async def spent(self) -> dict[str, int]:
        return {row["span"].split(":")[0]: row["spent"] for row in await rows(self.database, guard_usage)}


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, Guard(TIERS))


async def test_each_limit_says_what_is_left_and_until_when(desk: Desk) -> None:
    refusal = await desk.spend(pay("p1", 150_01))
    assert refusal is not None and refusal.code == "guard.per_transfer"
    assert await desk.spend(pay("p2", 150_00)) is None
    assert await desk.spend(pay("p3", 100_00)) is None
    refusal = await desk.spend(pay("p4", 50_01))
    assert refusal is not None
    assert (refusal.code, refusal.human) == (
        "guard.per_day",
        "Your payments of a day are 300.00 EUR at most: 50.00 EUR are left until 2026-01-02 00:00 UTC.",
    )
    assert await desk.spend(pay("p5", 50_00)) is None
    refusal = await desk.spend(pay("p6", 1), NOW + HOUR_MS - 1)
    assert refusal is not None and refusal.code == "guard.per_day"
    for day in (1, 2):
        for number in (1, 2):
            assert await desk.spend(pay(f"d{day}{number}", 150_00), NOW + day * 24 * HOUR_MS) is None
    refusal = await desk.spend(pay("p7", 100_01), NOW + 3 * 24 * HOUR_MS)
    assert refusal is not None and (refusal.code, refusal.values["left"]) == ("guard.per_month", eur(100_00))
    assert f"{refusal.values['resets']:%Y-%m-%d %H:%M}" == "2026-02-01 00:00"


async def test_velocity_is_of_any_sixty_minutes(desk: Desk) -> None:
    for number in range(3):
        assert await desk.spend(pay(f"p{number}", 1), NOW + number * 60_000) is None
    refusal = await desk.spend(pay("p4", 1), NOW + HOUR_MS - 1)
    assert refusal is not None
    assert refusal.human == "You can make 3 payments within an hour. The next one is possible at 2026-01-01 13:00 UTC."
    assert await desk.spend(pay("p4", 1), NOW + HOUR_MS) is None


async def test_a_currency_that_the_tier_does_not_name_is_not_offered(desk: Desk) -> None:
    refusal = await desk.spend(pay("p1", 1, currency="USD"))
    assert refusal is not None and refusal.human == "Payments in USD are not offered to you."
    await desk.write(lambda connection: desk.guard.set_tier(connection, ALICE, 1, NOW))
    assert await desk.spend(pay("p2", 1_000_000, currency="USD")) is None


async def test_the_same_movement_counts_once(desk: Desk) -> None:
    for _ in range(2):
        assert await desk.spend(pay("p1", 150_00)) is None
    assert await desk.spent() == {"day": 150_00, "month": 150_00}
    # Recorded though it would not be allowed now: what was decided stays decided.
    await desk.write(lambda connection: desk.guard.freeze(connection, ALICE, ALICE, NOW))
    assert await desk.spend(pay("p1", 150_00)) is None
    for other in (pay("p1", 150_01), pay("p1", 150_00, person=BOB)):
        with pytest.raises(MovementConflict):
            await desk.write(lambda connection, other=other: desk.guard.record(connection, other, NOW))  # type: ignore[misc]
    assert await desk.spent() == {"day": 150_00, "month": 150_00}


async def test_what_is_voided_or_captured_in_part_counts_no_more(desk: Desk) -> None:
    await desk.spend(pay("p1", 150_00))
    await desk.spend(pay("p2", 150_00))
    for _ in range(2):
        await desk.write(lambda connection: desk.guard.release(connection, "p1"))
        await desk.write(lambda connection: desk.guard.release(connection, "p2", keep=eur(40_00)))
    await desk.write(lambda connection: desk.guard.release(connection, "p2", keep=eur(90_00)))
    await desk.write(lambda connection: desk.guard.release(connection, "unknown"))
    assert await desk.spent() == {"day": 40_00, "month": 40_00}
    assert [row["counted"] for row in await rows(desk.database, guard_movements)] == [0, 40_00]
    # The two attempts still count within the hour.
    assert await desk.spend(pay("p3", 1)) is None
    refusal = await desk.spend(pay("p4", 1))
    assert refusal is not None and refusal.code == "guard.per_hour"


async def test_a_hold_of_yesterday_is_given_back_to_yesterday(desk: Desk) -> None:
    tomorrow = NOW + 24 * HOUR_MS
    await desk.spend(pay("p1", 100_00))
    await desk.spend(pay("p2", 10_00), tomorrow)
    await desk.write(lambda connection: desk.guard.release(connection, "p1"))
    spans = {row["span"]: row["spent"] for row in await rows(desk.database, guard_usage)}
    assert spans == {"day:2026-01-01": 0, "day:2026-01-02": 10_00, "month:2026-01": 10_00}


async def test_a_balance_has_a_ceiling(desk: Desk) -> None:
    assert await desk.receive(100_00, 900_00) is None
    refusal = await desk.receive(100_01, 900_00)
    assert refusal is not None and (refusal.code, dict(refusal.values)) == ("guard.balance", {})
    refusal = await desk.receive(100_01, 900_00, "top_up")
    assert refusal is not None
    assert refusal.human == "Your wallet holds 1000.00 EUR at most: 100.00 EUR more are possible."
    with pytest.raises(ValueError, match="balance is needed"):
        movement = Movement("x", ALICE, "in", eur(1), BOB, "payment")
        await desk.write(lambda connection: desk.guard.check(connection, movement, NOW))


async def test_what_comes_in_spends_nothing(desk: Desk) -> None:
    movement = Movement("p1", ALICE, "in", eur(100_00), BOB, "payment")
    await desk.write(lambda connection: desk.guard.record(connection, movement, NOW))
    assert await desk.spent() == {}
    await desk.spend(pay("p1", 50_00))
    assert await desk.spent() == {"day": 50_00, "month": 50_00}
    await desk.write(lambda connection: desk.guard.release(connection, "p1"))
    assert await desk.spent() == {"day": 0, "month": 0}


async def test_freezing_is_the_persons_and_holding_is_not(desk: Desk) -> None:
    guard = desk.guard
    await desk.write(lambda connection: guard.freeze(connection, ALICE, ALICE, NOW))
    refusal = await desk.spend(pay("p1", 1))
    assert refusal is not None and refusal.code == "guard.frozen"
    assert await desk.receive(1, 0) is None
    await desk.write(lambda connection: guard.freeze(connection, ALICE, OPERATOR, NOW))
    with pytest.raises(HeldByOthers):
        await desk.write(lambda connection: guard.unfreeze(connection, ALICE, ALICE, NOW))
    await desk.write(lambda connection: guard.unfreeze(connection, ALICE, OPERATOR, NOW))
    assert await desk.database.read(lambda connection: guard.is_frozen(connection, ALICE))
    await desk.write(lambda connection: guard.unfreeze(connection, ALICE, ALICE, NOW))
    assert not await desk.database.read(lambda connection: guard.is_frozen(connection, ALICE))
    assert await desk.spend(pay("p1", 1)) is None


async def test_sanction_lists_are_heard(desk: Desk) -> None:
    def asked(guard: Guard, verdict: Verdict | None) -> Callable[[Connection], str]:
        def work(connection: Connection) -> str:
            refusal = guard.check(connection, pay("p1", 1), NOW, verdict=verdict)
            return refusal.code if refusal else "ok"

        return work

    strict = Guard(TIERS, screening=True)
    expected = {
        Verdict.CLEAR: "ok",
        Verdict.HIT: "guard.sanctions_hit",
        Verdict.UNKNOWN: "guard.sanctions_unknown",
        None: "guard.sanctions_unknown",
    }
    for verdict, code in expected.items():
        assert await desk.write(asked(strict, verdict)) == code
    assert await desk.write(asked(desk.guard, None)) == "ok"
    assert await desk.write(asked(desk.guard, Verdict.HIT)) == "guard.sanctions_hit"


async def test_tiers_come_from_the_configuration(desk: Desk) -> None:
    settings = Payments(tiers=(Tier(per_day={"JPY": "5000", "KWD": "1.250"}, transfers_per_hour=2),))
    assert limits_of(settings.tiers[0]) == Limits(per_day={"JPY": 5000, "KWD": 1250}, per_hour=2)
    guard = Guard.of(settings)
    await desk.write(lambda connection: desk.guard.set_tier(connection, ALICE, 1, NOW))
    assert await desk.database.read(lambda connection: guard.tier_of(connection, ALICE)) == 0
    with pytest.raises(ValueError, match="there is no tier 1"):
        await desk.write(lambda connection: guard.set_tier(connection, ALICE, 1, NOW))


async def test_standing_is_what_a_person_is_told(desk: Desk) -> None:
    for number in range(3):
        await desk.spend(pay(f"p{number}", 20_00), NOW + number)
    standing = await desk.database.read(lambda connection: desk.guard.standing(connection, ALICE, eur(70_00), NOW + 9))
    left = {each.name: (each.limit.minor, each.left.minor, each.resets is not None) for each in standing.allowances}
    assert left == {
        "per_transfer": (150_00, 150_00, False),
        "per_day": (300_00, 240_00, True),
        "per_month": (1000_00, 940_00, True),
        "balance": (1000_00, 930_00, False),
    }
    assert (standing.per_hour, standing.per_hour_left) == (3, 0)
    assert standing.per_hour_resets is not None and f"{standing.per_hour_resets:%H:%M}" == "13:00"
    assert not standing.frozen and standing.offered


async def test_many_at_once_never_pass_a_limit_together(database: Database) -> None:
    desk = Desk(database, Guard([Limits({"EUR": 50_00}, {"EUR": 300_00}, per_hour=100)]))
    outcomes = await asyncio.gather(*(desk.spend(pay(f"p{number}", 40_00)) for number in range(16)))
    assert outcomes.count(None) == 7
    assert await desk.spent() == {"day": 280_00, "month": 280_00}


async def test_many_at_once_never_pass_the_velocity(desk: Desk) -> None:
    outcomes = await asyncio.gather(*(desk.spend(pay(f"p{number}", 1)) for number in range(12)))
    assert outcomes.count(None) == 3


async def test_two_who_pay_each_other_do_not_wait_for_each_other(desk: Desk) -> None:
    async def exchange(number: int) -> None:
        people = (ALICE, BOB) if number % 2 else (BOB, ALICE)

        def work(connection: Connection) -> None:
            desk.guard.lock(connection, people, NOW)
            for person in people:
                movement = pay(f"p{number}{person}", 1, person=person)
                desk.guard.check(connection, movement, NOW)
                desk.guard.record(connection, movement, NOW)

        await desk.write(work)

    async with asyncio.timeout(30):
        await asyncio.gather(*(exchange(number) for number in range(12)))
    assert {row["spent"] for row in await rows(desk.database, guard_usage)} == {12}


async def test_what_is_old_goes(desk: Desk) -> None:
    await desk.spend(pay("p1", 1))
    later = NOW + 450 * 24 * HOUR_MS
    await desk.spend(pay("p2", 1), later)
    assert await desk.write(lambda connection: desk.guard.purge(connection, later)) == 3
    assert [row["id"] for row in await rows(desk.database, guard_movements)] == ["p2"]
    assert len(await rows(desk.database, guard_usage)) == 2
