"""A fleet on a bench: the real services on a database in memory, with handlers that a test runs one by one.

A handler is what a plugin's is: it reads, collects, and commits once; who was slower than another one runs again. Money
is a wallet of integers that holds, captures, voids and refunds by the rules of the real one (:class:`Purse`), so that a
model can look into it at every step.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from appservice.clock import ManualClock
from appservice.events import Event, InternalEvent
from appservice.unit import UnitOfWork
from bots.commerce.trade import Trade
from bots.domain.money import Money
from bots.domain.payments import Capture, Payment, PaymentKind, PaymentRefused, PaymentState
from bots.fleet import Fleet, Fleets, Terms, TripNews, news_events
from bots.framework import Context, Setup
from bots.framework.testing.memory import MemoryDatabase
from bots.payments.merchants import MerchantPayouts, Merchants
from bots.rides.tariffs.reading import default_tariff
from bots.routing.settings import RoutingSettings
from bots.store.busy import TradeBusy

__all__ = ["Bench", "Purse"]

T = TypeVar("T")

CONSUMER: Final = "rides:@rides:world"
ATTEMPTS: Final = 5
P = PaymentState


class Purse:
    """Wallets, holds and the bot's account, in cents."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.wallets: dict[str, int] = {}
        self.bot = 0
        self.payments: dict[str, Payment] = {}
        """By key."""
        self.paid_out: dict[str, int] = {}
        """By key."""
        self.captures: dict[str, int] = {}
        self.changed: list[Payment] = []
        """Payments whose change the plugin has not heard of."""
        self._ids = itertools.count(1)

    @property
    def held(self) -> int:
        """What is held of all."""
        return sum(each.amount.minor for each in self.payments.values() if each.state is P.HELD)

    @property
    def total(self) -> int:
        """All there is: it never changes."""
        return sum(self.wallets.values()) + self.bot + self.held

    # As Merchants

    async def by_key(self, ctx: Any, key: str) -> Payment | None:
        """The payment of a key."""
        return self.payments.get(key)

    async def payment(self, ctx: Any, payment_id: str) -> Payment | None:
        """A payment by its id."""
        return next((each for each in self.payments.values() if each.id == payment_id), None)

    async def hold(
        self, ctx: Any, payer: str, lines: Any, *, key: str, memo: str, expires: timedelta, accept_within: timedelta
    ) -> Payment:
        """Ask for a hold."""
        return self._ask(payer, lines[0].price, key, memo, expires, Capture.BY_MERCHANT)

    async def invoice(self, ctx: Any, payer: str, lines: Any, *, key: str, memo: str, expires: timedelta) -> Payment:
        """Ask for money."""
        return self._ask(payer, lines[0].price, key, memo, expires, Capture.AT_ONCE)

    def _ask(self, payer: str, amount: Money, key: str, memo: str, expires: timedelta, capture: Capture) -> Payment:
        if key in self.payments:
            found = self.payments[key]
            assert (found.payer, found.amount, found.memo) == (payer, amount, memo), "one key, one payment"
            return found
        now, zero = self.clock.now_ms(), Money.zero(amount.currency)
        made = Payment(
            f"P{next(self._ids)}", PaymentKind.INVOICE, P.PROPOSED, payer, "bot:rides", amount, zero, None, memo, (),
            f"bot:rides:{key}", "bot:rides", "", "", "", "", now, now + expires // timedelta(milliseconds=1), None,
            zero, zero, 0, None, capture,
        )  # fmt: skip
        self.payments[key] = made
        return made

    def _put(self, payment: Payment, **changes: Any) -> Payment:
        after = replace(payment, **changes)
        self.payments[payment.key.removeprefix("bot:rides:")] = after
        self.changed.append(after)
        return after

    async def capture(self, ctx: Any, payment_id: str, amount: Money) -> Payment:
        """Take a part of what is held."""
        found = await self.payment(ctx, payment_id)
        assert found is not None
        assert 0 < amount.minor <= found.amount.minor, "never more than was confirmed, and never nothing"
        if found.state is P.PAID and found.captured == amount:
            return found
        if found.state is not P.HELD:
            raise PaymentRefused("payments.wrong_state")
        self.captures[found.key] = self.captures.get(found.key, 0) + 1
        self.wallets[found.payer] += found.amount.minor - amount.minor
        self.bot += amount.minor
        return self._put(found, state=P.PAID, captured=amount)

    async def void(self, ctx: Any, payment_id: str, reason: str) -> Payment:
        """Give a hold up."""
        found = await self.payment(ctx, payment_id)
        assert found is not None
        if found.state in {P.VOIDED, P.CANCELLED}:
            return found
        if found.state is P.PROPOSED:
            return self._put(found, state=P.CANCELLED)
        if found.state is not P.HELD:
            raise PaymentRefused("payments.wrong_state")
        self.wallets[found.payer] += found.amount.minor
        return self._put(found, state=P.VOIDED)

    async def refund(self, ctx: Any, payment_id: str, amount: Money, *, reason: str, key: str) -> None:
        """Give back of what was taken."""
        found = await self.payment(ctx, payment_id)
        assert found is not None
        if key in self.paid_out:
            assert self.paid_out[key] == amount.minor, "one key, one refund"
            return
        if amount > found.captured - found.refunded or amount.minor > self.bot:
            raise PaymentRefused("payments.exceeds_paid", left=found.captured - found.refunded)
        self.paid_out[key] = amount.minor
        self.bot -= amount.minor
        self.wallets[found.payer] += amount.minor
        back = found.refunded + amount
        self._put(found, state=P.REFUNDED if back == found.captured else P.PARTLY_REFUNDED, refunded=back)

    async def pay(self, ctx: Any, person: str, amount: Money, *, key: str, memo: str = "") -> None:
        """Pay somebody, once for a key."""
        assert amount.minor > 0
        if key in self.paid_out:
            assert self.paid_out[key] == amount.minor, "one key, one payment"
            return
        if amount.minor > self.bot:
            raise PaymentRefused("payments.exceeds_balance_payee")
        self.paid_out[key] = amount.minor
        self.bot -= amount.minor
        self.wallets[person] = self.wallets.get(person, 0) + amount.minor

    # As the payer

    def open_of(self, person: str) -> Payment | None:
        """What somebody is asked for last."""
        found = [each for each in self.payments.values() if each.payer == person and each.state is P.PROPOSED]
        return found[-1] if found else None

    def confirm(self, payment: Payment) -> None:
        """The payer confirms: the money is held, or paid; too late, or without the money, it is not."""
        if payment.expires_at <= self.clock.now_ms():
            self._put(payment, state=P.EXPIRED)
        elif self.wallets[payment.payer] < payment.amount.minor:
            return
        elif payment.capture is Capture.AT_ONCE:
            self.wallets[payment.payer] -= payment.amount.minor
            self.bot += payment.amount.minor
            self._put(payment, state=P.PAID, captured=payment.amount)
        else:
            self.wallets[payment.payer] -= payment.amount.minor
            self._put(payment, state=P.HELD)

    def decline(self, payment: Payment) -> None:
        """The payer does not want to."""
        self._put(payment, state=P.DECLINED)

    def expire(self) -> None:
        """What was not confirmed in time cannot be any more."""
        for each in list(self.payments.values()):
            if each.state is P.PROPOSED and each.expires_at <= self.clock.now_ms():
                self._put(each, state=P.EXPIRED)


@dataclass(order=True)
class _Timer:
    due: int
    number: int
    key: str
    content: Mapping[str, Any]


class _Scheduler:
    """Timers of the consumer: one for a key."""

    def __init__(self) -> None:
        self.timers: dict[str, _Timer] = {}
        self._numbers = itertools.count()

    def set(self, unit: UnitOfWork, *, consumer: str, key: str, due_at: int, content: Any, **_more: Any) -> None:
        timer = _Timer(due_at, next(self._numbers), key, content)
        unit.store(lambda _connection: self.timers.__setitem__(key, timer))

    def cancel(self, unit: UnitOfWork, *, consumer: str, key: str) -> None:
        unit.store(lambda _connection: self.timers.pop(key, None))

    def of(self, *_args: Any) -> Any:
        async def listed(prefix: str) -> list[Any]:
            return [SimpleNamespace(key=key) for key in self.timers if key.startswith(prefix)]

        return SimpleNamespace(list=listed)


class Bench:
    """One fleet, and handlers that are run one by one."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase()
        self.purse = Purse(self.clock)
        self.inbox: list[InternalEvent] = []
        self.kill_each = 0
        """Every so many-th handler is killed before its commit, and runs again; 0: none."""
        self._handled = 0
        self.client_paid: dict[str, int] = {}
        """What clients have paid drivers, by trip."""
        self._heard: set[str] = set()
        self._events = itertools.count()
        entropy = random.Random(7)
        self.trade = Trade(
            "the pickle key of a bench", self.database, self.raise_events, self.clock, randomness=entropy.randbytes
        )
        self.scheduler = _Scheduler()
        self.fleet: Fleet = Fleets(self.trade, {"rides": CONSUMER}).of()
        setup = Setup("rides", "@rides:world", None, {Merchants: self.purse, MerchantPayouts: self.purse})
        self.fleet.attach(setup, terms=terms or Terms(), tariff=default_tariff(), router=RoutingSettings().make(None))

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read: the bench is what services read through."""
        return await self.database.read(work)

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        """What rounds do: a commit with events."""
        self._take(await self.database.write(lambda connection: list(work(connection))))

    def _take(self, events: Iterable[InternalEvent]) -> None:
        for event in events:
            if event.key not in self._heard:
                self._heard.add(event.key)
                self.inbox.append(event)

    # Handlers

    def context(self, person: str = "", consumer: str = CONSUMER) -> Context:
        """A handler's context; nothing happens before :meth:`commit`."""
        services: Any = SimpleNamespace(clock=self.clock, database=self.database, scheduler=self.scheduler)
        event = Event(f"$e{next(self._events)}", "!room:world", person, "test", {}, self.clock.now_ms())
        unit = UnitOfWork(event.event_id, consumer, "@rides:world")
        translator: Any = None
        return Context(
            event, unit, "@rides:world", services, translator, instance=consumer.partition(":")[0], consumer=consumer
        )

    async def commit(self, ctx: Context) -> None:
        """All of it, or nothing. Raises TradeBusy: somebody was faster."""
        unit = ctx.unit

        def write(connection: Connection) -> None:
            for operation in unit.operations:
                operation(connection)

        timers = dict(self.scheduler.timers)
        try:
            await self.database.write(write)
        except BaseException:
            self.scheduler.timers = timers
            raise
        self._take(unit.events)
        for callback in unit.callbacks:
            callback()
        unit.cleared()

    async def handle(self, work: Callable[[Context], Awaitable[T]], person: str = "", consumer: str = CONSUMER) -> T:
        """A handler, again where somebody was faster. What the domain refuses is raised, and nothing has happened."""
        for _attempt in range(ATTEMPTS):
            ctx = self.context(person, consumer)
            result = await work(ctx)
            self._handled += 1
            if self.kill_each and self._handled % self.kill_each == 0:
                continue  # killed before its commit: what it did to the purse stays, and it runs again
            try:
                await self.commit(ctx)
            except TradeBusy:
                continue
            return result
        raise AssertionError("a handler was refused its commit for ever")

    async def race(self, *works: Callable[[Context], Awaitable[Any]]) -> list[Any]:
        """Handlers that have read before any of them has written; in the commit the first is the first."""
        contexts = [self.context() for _work in works]
        results: list[Any] = []
        for ctx, work in zip(contexts, works, strict=True):
            try:
                results.append(await work(ctx))
            except ValueError as refused:
                ctx.unit.cleared()
                results.append(refused)
        for number, (ctx, work) in enumerate(zip(contexts, works, strict=True)):
            if isinstance(results[number], ValueError):
                continue
            try:
                await self.commit(ctx)
            except TradeBusy:
                try:
                    results[number] = await self.handle(work)
                except ValueError as refused:
                    results[number] = refused
        return results

    # What happens by itself

    async def settle(self) -> None:
        """All that is to happen now: events, payments that have changed, timers that are due."""
        for _turn in range(2_000):
            if self.inbox:
                content = self.inbox.pop(0).content
                await self.hear(content["data"])
            elif self.purse.changed:
                payment = self.purse.changed.pop(0)
                change: Any = SimpleNamespace(about="state", payment=payment.id, state=payment.state.value)
                await self.handle(lambda ctx, change=change: self.fleet.trips.payment_changed(ctx, change))  # type: ignore[misc]
            else:
                due = [each for each in self.scheduler.timers.values() if each.due <= self.clock.now_ms()]
                if not due:
                    return
                timer = heapq.nsmallest(1, due)[0]
                if self.scheduler.timers.get(timer.key) is timer:
                    del self.scheduler.timers[timer.key]
                await self.hear(timer.content["data"])
        raise AssertionError("it does not come to rest")

    async def hear(self, call: Mapping[str, Any]) -> None:
        """A timer of the plugin's, or an event."""
        name, data = call["name"], call["data"]
        if name == "fleet_client":
            await self.client(news_events.trip_in(data))
            return
        heard = {
            "fleet_settle": lambda ctx: self.fleet.trips.settle(ctx, data["trip"]),
            "fleet_deadline": lambda ctx: self.fleet.trips.deadline(ctx, data["trip"]),
            "fleet_trip": lambda ctx: self.fleet.trips.hear(ctx, news_events.trip_in(data)),
            "fleet_offer": lambda ctx: self.fleet.offers.hear(ctx, news_events.offer_in(data)),
            "fleet_driver": lambda ctx: self.fleet.drivers.hear(ctx, news_events.driver_in(data)),
        }
        await self.handle(heard[name])

    async def client(self, news: TripNews) -> None:
        """A client hears of its trip, and pays the driver once it is told to."""
        trip = news.after
        if trip.owed:
            self.client_paid[trip.id] = trip.earning.minor

            async def paid(ctx: Context) -> None:
                now = await self.fleet.trips.get(ctx, trip.id)
                if now is not None:
                    await self.fleet.trips.paid_by_client(ctx, now)

            await self.handle(paid, consumer=trip.client)

    async def round(self) -> None:
        """A round of dispatch."""
        await self.fleet.rounds.once()

    async def sweep(self) -> None:
        """What happens each minute."""
        await self.handle(self.fleet.trips.sweep)
        await self.handle(self.fleet.drivers.sweep)
