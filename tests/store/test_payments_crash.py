"""Crashes: a commit that is not kept, or one that is and nobody hears of it. The same call again is the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from appservice.database import Database, DatabaseError
from bots.domain.intervals import Interval, Unit
from bots.domain.payments import Capture, Payment, PaymentKind, PaymentState
from bots.payments.deadlines import Deadlines
from bots.payments.merchants import MerchantPayouts, Merchants
from bots.payments.outcomes import ConfirmOutcome
from bots.store import payments as store
from tests.store.payments_world import ALICE, BOB, CAROL, HOUR, ROOM, SHOP, SHOP_CONSUMER, World, eur

CTX = SimpleNamespace(instance="shop", consumer=SHOP_CONSUMER)
Call = Callable[[], Awaitable[Any]]


class Case:
    """One call: what is there before it, and what must be there after it, however often it was tried.

    ``state``: of the payment. ``balances``: of Alice, Bob, the shop and the fees. ``told``: how many more events.
    """

    def __init__(self, state: str, balances: tuple[int, int, int, int], told: int) -> None:
        self.state, self.balances, self.told = state, balances, told
        self.payment: Payment | None = None

    async def prepare(self, world: World) -> Call:
        raise NotImplementedError

    async def now(self, world: World) -> tuple[str, tuple[int, ...]]:
        state = ""
        if self.payment is not None:
            found = await world.payments.get(self.payment.id)
            state = "" if found is None else found.state.value
        owners = (ALICE, BOB, SHOP, "fees")
        return state, tuple([await world.balance(owner) for owner in owners])


class Propose(Case):
    async def prepare(self, world: World) -> Call:
        return lambda: world.payments.propose(world.proposal())


class Split(Case):
    async def prepare(self, world: World) -> Call:
        return lambda: world.payments.split(
            payee=BOB, people=[ALICE, CAROL], total=eur(100), memo="", key="s", origin_room="!g:example.org"
        )


class Confirm(Case):
    proposal: Callable[[World], Any] = staticmethod(lambda world: world.proposal())

    async def prepare(self, world: World) -> Call:
        self.payment = await world.payments.propose(self.proposal(world))
        code = (await world.payments.challenge(self.payment.id, ALICE, ROOM)).code
        assert code is not None

        async def call() -> Any:
            answer = await world.payments.confirm(payer=ALICE, code=code, room_id=ROOM, event_id="$e")
            return answer.outcome, answer.payment, answer.refusal

        return call


class ConfirmHold(Confirm):
    proposal = staticmethod(lambda world: world.invoice(held=True))


class ConfirmInvoice(Confirm):
    proposal = staticmethod(lambda world: world.invoice())


class ConfirmUnclaimed(Confirm):
    proposal = staticmethod(lambda world: world.proposal(payee=CAROL))


class ConfirmRefused(Confirm):
    proposal = staticmethod(lambda world: world.proposal(amount=4_999))

    async def prepare(self, world: World) -> Call:
        await world.pays(await world.payments.propose(world.proposal(4_900, key="first")))
        await world.pays(await world.payments.propose(world.proposal(4_900, key="second")))
        return await super().prepare(world)


class Approve(Case):
    async def prepare(self, world: World) -> Call:
        self.payment = await world.payments.propose(world.proposal(6_000))
        await world.payments.challenge(self.payment.id, ALICE, ROOM)
        payment_id = self.payment.id

        async def call() -> Any:
            answer = await world.payments.approve(payment_id, ALICE)
            assert answer.outcome in {ConfirmOutcome.PAID, ConfirmOutcome.ALREADY}
            return answer.payment

        return call


class Decline(Case):
    async def prepare(self, world: World) -> Call:
        self.payment = await world.payments.propose(world.proposal())
        return lambda: world.payments.decline(self.payment.id, ALICE)  # type: ignore[union-attr]


class Claim(Case):
    async def prepare(self, world: World) -> Call:
        self.payment = await world.payments.propose(world.proposal(payer="", initiator=BOB))
        return lambda: world.payments.claim(self.payment.id, ALICE)  # type: ignore[union-attr]


class Capture_(Case):
    async def prepare(self, world: World) -> Call:
        self.payment = await held(world)
        return lambda: Merchants(world.payments).capture(CTX, self.payment.id, eur(600))  # type: ignore[union-attr]


class Void_(Case):
    async def prepare(self, world: World) -> Call:
        self.payment = await held(world)
        return lambda: Merchants(world.payments).void(CTX, self.payment.id, "sold_out")  # type: ignore[union-attr]


class Refund_(Case):
    async def prepare(self, world: World) -> Call:
        self.payment = await world.payments.propose(world.invoice())
        await world.pays(self.payment)

        async def call() -> Any:
            refund = await Merchants(world.payments).refund(
                CTX,
                self.payment.id,  # type: ignore[union-attr]
                eur(500),
                reason="cold",
                key="r1",
            )
            return refund.payment, refund.amount, refund.transfer

        return call


class OpenWallet(Case):
    async def prepare(self, world: World) -> Call:
        self.payment = await world.payments.propose(world.proposal(payee=CAROL))
        await world.pays(self.payment)

        async def call() -> None:
            await world.payments.open_wallet(CAROL)

        return call


class Deadline(Case):
    async def prepare(self, world: World) -> Call:
        self.payment = await held(world)
        world.clock.advance(milliseconds=HOUR)

        async def call() -> None:
            await Deadlines(world.payments).run_due()

        return call


class Settle(Case):
    async def prepare(self, world: World) -> Call:
        proposal = world.proposal(kind=PaymentKind.CASH_OUT, payee="provider:bank", capture=Capture.BY_MERCHANT)
        self.payment = await world.payments.propose(proposal)
        await world.pays(self.payment)
        return lambda: world.payments.settle(self.payment.id)  # type: ignore[union-attr]


class Charge(Case):
    async def prepare(self, world: World) -> Call:
        mandate = await subscribed(world, every=None)

        async def call() -> Any:
            payment = await Merchants(world.payments).charge(CTX, mandate.id, eur(1_000), key="march")
            self.payment = payment
            return payment

        return call


class Period(Case):
    async def prepare(self, world: World) -> Call:
        mandate = await subscribed(world, every=Interval(1, Unit.MONTH))

        async def call() -> None:
            await Deadlines(world.payments).run_due()
            self.payment = await world.payments.by_key(f"subscription:{mandate.id}:0")

        return call


class PayOut(Case):
    async def prepare(self, world: World) -> Call:
        await world.pays(await world.payments.propose(world.invoice()))

        async def call() -> Any:
            self.payment = await MerchantPayouts(world.payments).pay(CTX, BOB, eur(500), key="p")
            return self.payment

        return call


async def held(world: World) -> Payment:
    payment = await world.payments.propose(world.invoice(held=True))
    assert (await world.pays(payment)).outcome is ConfirmOutcome.HELD
    return payment


async def subscribed(world: World, every: Interval | None) -> Payment:
    mandate = await Merchants(world.payments).subscribe(
        CTX, ALICE, eur(1_000), key="sub", memo="paper", every=every, remind=timedelta()
    )
    assert (await world.pays(mandate)).outcome is ConfirmOutcome.HELD
    return mandate


START = (10_000, 0, 0, 0)
CASES = [
    Propose("", START, 2),
    Split("", START, 4),
    Confirm("paid", (9_000, 1_000, 0, 0), 2),
    ConfirmHold("held", START, 2),
    ConfirmInvoice("paid", (9_000, 0, 900, 100), 2),
    ConfirmUnclaimed("held", START, 2),
    ConfirmRefused("proposed", (200, 9_800, 0, 0), 0),
    Approve("paid", (4_000, 6_000, 0, 0), 2),
    Decline("declined", START, 2),
    Claim("proposed", START, 2),
    Capture_("paid", (9_400, 0, 540, 60), 2),
    Void_("voided", START, 2),
    Refund_("partly_refunded", (9_500, 0, 450, 50), 2),
    OpenWallet("paid", (9_000, 0, 0, 0), 2),
    Deadline("voided", START, 2),
    Settle("paid", (9_000, 0, 0, 0), 1),
    Charge("paid", (9_000, 0, 900, 100), 2),
    Period("paid", (9_000, 0, 900, 100), 2),
    PayOut("paid", (9_000, 500, 400, 100), 2),
]


@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case).__name__.strip("_"))
async def test_a_crash(database: Database, case: Case, lost: str) -> None:
    world = World(database, fee=Fraction(1, 10))
    await world.give(ALICE, eur(10_000))
    await world.payments.open_wallet(BOB)
    call = await case.prepare(world)
    before, told = await case.now(world), len(world.told)
    setattr(world, f"fail_{lost}", 1)
    with pytest.raises(DatabaseError, match=lost):
        await call()
    if lost == "before":
        assert await case.now(world) == before
        assert len(world.told) == told
    world.payments = world.again()  # only what is stored is left
    result = await call()
    assert await case.now(world) == (case.state, case.balances)
    assert len(world.told) == told + case.told
    # However often it is called after that, it is the same.
    assert await call() == result
    assert await case.now(world) == (case.state, case.balances)
    assert len(world.told) == told + case.told
    await world.sound()


async def test_what_was_begun_when_a_wallet_opened_is_finished_by_the_deadlines(database: Database) -> None:
    """The wallet is open, and the service died before what was held for it was posted."""
    world = World(database)
    await world.give(ALICE, eur(10_000))
    payment = await world.payments.propose(world.proposal(payee=CAROL))
    await world.pays(payment)
    world.fail_after = 1
    with pytest.raises(DatabaseError):
        await world.payments.open_wallet(CAROL)
    assert await world.balance(CAROL) == 0
    world.payments = world.again()
    await Deadlines(world.payments).run_due()
    assert await world.balance(CAROL) == 1_000


async def test_the_same_work_done_twice_in_one_transaction_is_kept_once(world_twice: World) -> None:
    """The writer may undo a commit and do its work again by itself: the last run counts."""
    payment = await world_twice.payments.propose(world_twice.proposal())
    answer = await world_twice.pays(payment)
    assert answer.payment is not None
    assert answer.payment.state is PaymentState.PAID
    assert await world_twice.balance(BOB) == 1_000
    row = await world_twice.database.read(lambda connection: store.get(connection, payment.id))
    assert row is not None
    assert row["revision"] == 1


@pytest.fixture
async def world_twice(database: Database) -> World:
    """A writer that does everything a second time."""
    made = World(database)
    await made.give(ALICE, eur(10_000))
    await made.payments.open_wallet(BOB)
    commit = made.raise_events

    async def twice(work: Any) -> None:
        def again(connection: Any) -> Any:
            savepoint = connection.begin_nested()
            list(work(connection))
            savepoint.rollback()
            return work(connection)

        await commit(again)

    made.payments.till._raise_events = twice
    return made
