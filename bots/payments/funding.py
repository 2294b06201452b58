"""Top-ups and cash-outs: money that comes from providers and goes to them.

What is wanted is stored first, with its idempotency key; then the provider is asked, again and again with the same key
until it answers; what it says is stored together with what follows from it in the ledger and with the event for the
wallet. A crash between any two of these leaves something that the next run takes up. Messages of providers only make us
ask: nothing is believed that was not fetched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from appservice.errors import RialtoError
from appservice.sealing import Sealer
from bots.domain.funding import DAY_MS, PayoutState, RefundState, TopUpState
from bots.domain.money import Money
from bots.domain.payments import Payment
from bots.framework.clock import Clock
from bots.payments.funding_asking import Asking, RaiseEvents, Settles
from bots.payments.funding_books import Books
from bots.payments.funding_values import (
    FundingRefused,
    Offer,
    TopUp,
    check_amount,
    check_destination,
    payout_row,
    shown,
    top_up_row,
)
from bots.payments.guard import Guard, GuardRefusal, Movement
from bots.payments.ledger import AccountKind, Ledger
from bots.payments.providers.base import Provider, WebhookRefused
from bots.payments.providers.sandbox import SandboxProvider
from bots.payments.sanctions import Sanctions
from bots.store import funding as sql
from bots.store.funding_rows import PayoutRow, RefundRow, TopUpRow
from bots.store.funding_tables import funding_payouts, funding_refunds, funding_top_ups
from bridge.domain.ulids import ENTROPY_BYTES, ulid

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_MS: Final = 15_000
"""How long the service sleeps at most: the command line may have brought a statement."""
BATCH: Final = 50
AT_ONCE: Final = 8
"""Questions to providers at the same time."""
EVENTS_KEPT_MS: Final = 30 * DAY_MS
PAUSE_S: Final = 5.0


class Funding:
    """Top-ups and cash-outs. ``start`` it once; ``run_once`` is what it does again and again."""

    def __init__(
        self,
        *,
        database: Database,
        raise_events: RaiseEvents,
        ledger: Ledger,
        guard: Guard,
        books: Books,
        sealer: Sealer,
        clock: Clock,
        randomness: Callable[[int], bytes],
        providers: Mapping[str, Provider],
        consumer: str,
        sanctions: Sanctions,
    ) -> None:
        """
        Args:
            raise_events: runs a function in a commit and stores the events that it returns: ``Service.raise_events``.
            consumer: the name of the wallet's consumer, which hears of every change.
            randomness: gives so many random bytes, for ids and idempotency keys.
        """
        self.providers = dict(providers)
        self.payments: Settles | None = None
        """Hears how cash-outs end; set before the start, because each of the two knows the other."""
        self._database = database
        self._raise_events = raise_events
        self._ledger = ledger
        self._guard = guard
        self._books = books
        self._sealer = sealer
        self._clock = clock
        self._randomness = randomness
        self._sanctions = sanctions
        self._asking = Asking(
            self.providers,
            lambda: self.payments,
            database=database,
            raise_events=raise_events,
            books=books,
            sealer=sealer,
            clock=clock,
            sanctions=sanctions,
            consumer=consumer,
        )
        sandbox = self.providers.get("sandbox")
        self._sandbox = sandbox if isinstance(sandbox, SandboxProvider) else None
        if self._sandbox is not None:
            self._sandbox.deliver = partial(self.webhook, "sandbox")
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._forgot_at = 0

    def offers(self) -> list[Offer]:
        """The providers that there are."""
        return [
            Offer(one.name, one.title, one.currencies, True, one.pays_out, one.name == "bank")
            for one in self.providers.values()
        ]

    # Top-ups

    async def top_up(self, person: str, amount: Money, provider: str, key: str) -> TopUp:
        """Begin a top-up, or find the one that this key has begun. It is pending until the provider says otherwise.

        Without an answer of the provider it stays ``created``: it is asked again, and the wallet hears of it.

        Raises:
            FundingRefused: the provider does not take it, or the wallet has no room for it.
            DatabaseError: nothing was kept.
        """
        chosen = self._provider(provider)
        known = await self._database.read(lambda connection: sql.top_up_of_key(connection, self._sealer, key))
        if known is None:
            check_amount(chosen, amount)
            await self._check_room(person, amount, provider)
            known = await self._store_top_up(person, amount, chosen, key)
        if (known.person, known.amount, known.provider) != (person, amount, provider):
            raise FundingRefused.of("funding.conflict")
        if known.state is TopUpState.CREATED:
            await self._asking.top_up(known.id, tell=False)
        return await self.get(known.id)

    async def get(self, top_up_id: str) -> TopUp:
        """A top-up.

        Raises:
            FundingRefused: there is none.
        """
        row = await self._database.read(lambda connection: sql.top_up(connection, self._sealer, top_up_id))
        if row is None:
            raise FundingRefused.of("funding.unknown")
        return self._shown(row)

    async def top_ups(self, person: str, limit: int = 20) -> list[TopUp]:
        """A person's, the newest first."""
        rows = await self._database.read(lambda connection: sql.top_ups_of(connection, self._sealer, person, limit))
        return [self._shown(row) for row in rows]

    async def suspended(self) -> list[TopUp]:
        """Those of which money lies on the suspense account."""
        rows = await self._database.read(lambda connection: sql.suspended(connection, self._sealer))
        return [self._shown(row) for row in rows]

    async def release(self, top_up_id: str) -> int:
        """Have what came in for a top-up, and lies on the suspense account, moved to its wallet; how many movements.

        Where it still must not be in the wallet, it stays.
        """
        return await self._database.write(lambda connection: sql.ask_release(connection, top_up_id))

    async def refund(self, top_up_id: str, amount: Money, key: str, by: str = "operator") -> RefundRow:
        """Give back money of a top-up to where it came from: from the suspense account where it is there, else from the
        wallet. Twice the same key is one refund.

        Raises:
            FundingRefused: there is not so much, or the provider gives nothing back.
        """
        now = self._clock.now_ms()
        made = RefundRow(
            id=self._id(now),
            key=key,
            top_up=top_up_id,
            provider="",
            amount=amount,
            state=RefundState.HELD,
            idempotency_key=self._key(),
            provider_id=None,
            suspense=False,
            movement="",
            reason="",
            attempts=0,
            next_at=now,
            created_at=now,
            changed_at=now,
        )
        row = await self._database.write(lambda connection: self._hold_refund(connection, made, by, now))
        if row.state is RefundState.REFUSED:
            raise FundingRefused.of("funding.not_arrived")
        await self._asking.refund(row.id)
        found = await self._database.read(lambda connection: sql.refund(connection, refund_id=row.id))
        assert found is not None
        return found

    def _hold_refund(self, connection: Connection, made: RefundRow, by: str, now: int) -> RefundRow:
        top_up = sql.top_up(connection, self._sealer, made.top_up, lock=True)
        known = sql.refund(connection, key=made.key)
        if known is not None:
            if (known.top_up, known.amount) != (made.top_up, made.amount):
                raise FundingRefused.of("funding.conflict")
            return known
        if top_up is None:
            raise FundingRefused.of("funding.unknown")
        if not self._provider(top_up.provider).refunds or made.amount.minor <= 0:
            raise FundingRefused.of("funding.refused", provider=self._provider(top_up.provider).title)
        left = top_up.credited + top_up.suspended - top_up.refunded
        if made.amount.currency != top_up.amount.currency or made.amount > left:
            raise FundingRefused.of("funding.beyond", left=left)
        # From the suspense account a movement goes back as a whole, so that nothing of it can be released meanwhile.
        came_in = sql.credits_of(connection, top_up.id)
        source = next((one for one in came_in if one.held and one.amount == made.amount), None)
        suspense = source is not None
        if source is None:
            source = next((one for one in came_in if not one.held and one.amount >= made.amount), None)
        if source is None or (not suspense and made.amount > top_up.credited - top_up.refunded):
            raise FundingRefused.of("funding.beyond", left=left)
        refund = replace(made, provider=top_up.provider, suspense=suspense, movement=source.movement)
        why = self._books.hold_refund(connection, top_up, refund, now)
        if why:
            refund = replace(refund, state=RefundState.REFUSED, next_at=None)
        if not sql.add_refund(connection, refund):  # the key was used for another top-up at this very moment
            raise FundingRefused.of("funding.conflict")
        if why:
            sql.change_refund(connection, refund.id, reason=why)
        elif suspense:
            sql.change_credit(connection, source, held=0, release=0)
            sql.change_top_up(
                connection,
                self._sealer,
                top_up.id,
                suspended=(top_up.suspended - made.amount).minor,
                returned=(top_up.returned + made.amount).minor,
            )
        else:
            sql.change_top_up(connection, self._sealer, top_up.id, refunded=(top_up.refunded + made.amount).minor)
        self._books.note(connection, now, "top_up.refund", f"top_up:{top_up.id}", why or "held", actor=by)
        return refund

    # Cash-outs

    def check_cash_out(self, amount: Money, provider: str, destination: Mapping[str, str]) -> None:
        """Whether a provider pays out so.

        Raises:
            FundingRefused: it does not.
        """
        chosen = self._provider(provider)
        if not chosen.pays_out:
            raise FundingRefused.of("funding.no_cash_out", provider=chosen.title)
        check_amount(chosen, amount)
        check_destination(chosen, destination)

    async def prepare(
        self, payment_id: str, person: str, amount: Money, provider: str, destination: Mapping[str, str]
    ) -> None:
        """Note where the money of a cash-out goes, before its payer is asked to confirm. Twice the same is once.

        Args:
            payment_id: of the payment of kind CASH_OUT, whose payee is ``provider:NAME``.
            destination: ``name`` and ``iban`` for the bank; nothing for the sandbox.

        Raises:
            FundingRefused: the provider does not pay out so, or the payment goes elsewhere already.
        """
        self.check_cash_out(amount, provider, destination)
        row = payout_row(payment_id, person, amount, provider, destination, self._key(), self._clock.now_ms())
        await self._database.write(lambda connection: sql.add_payout(connection, self._sealer, row))
        known = await self._database.read(lambda connection: sql.payout(connection, self._sealer, payment_id))
        if known is None or (known.amount, known.provider, dict(known.destination)) != (
            amount,
            provider,
            dict(row.destination),
        ):
            raise FundingRefused.of("funding.conflict")

    async def begin(self, payment: Payment) -> None:
        """A cash-out is confirmed and held: have it paid out. Twice the same is once."""
        now = self._clock.now_ms()
        provider = payment.payee.removeprefix("provider:")

        def work(connection: Connection) -> None:
            row = sql.payout(connection, self._sealer, payment.id, lock=True)
            if row is None:
                made = payout_row(payment.id, payment.payer, payment.amount, provider, {}, self._key(), now)
                sql.add_payout(connection, self._sealer, replace(made, state=PayoutState.READY, next_at=now))
            elif row.state is PayoutState.PROPOSED:
                sql.change_payout(connection, row.id, state=PayoutState.READY.value, next_at=now, changed_at=now)

        await self._database.write(work)
        self.wake()

    async def payout(self, payment_id: str) -> PayoutRow | None:
        """The payout of a cash-out, if there is one."""
        return await self._database.read(lambda connection: sql.payout(connection, self._sealer, payment_id))

    # Messages of providers

    async def webhook(self, provider: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Take a message of a provider: note what it is about, to be asked for. How much of it is new.

        Raises:
            WebhookRefused: it is not proven to be the provider's.
            DatabaseError: it was not kept, and must come again.
        """
        chosen = self.providers.get(provider)
        if chosen is None:
            raise WebhookRefused("there is no such provider")
        events = await chosen.webhook(body, headers)
        now = self._clock.now_ms()

        def work(connection: Connection) -> int:
            fresh = 0
            for event in events:
                if not sql.remember_event(connection, provider, event.id, now):
                    continue
                fresh += 1
                if event.subject == "top_up":
                    self._hear_of_top_up(connection, provider, event.ours, event.theirs, now)
                elif event.subject == "payout":
                    sql.wake_payout(connection, provider, payout_id=event.ours, provider_id=event.theirs, now=now)
                else:
                    sql.wake_refund(connection, provider, provider_id=event.theirs, now=now)
            return fresh

        fresh = await self._database.write(work)
        if fresh:
            self.wake()
        return fresh

    def _hear_of_top_up(self, connection: Connection, provider: str, ours: str, theirs: str, now: int) -> None:
        row = sql.top_up(connection, self._sealer, ours, lock=True) if ours else None
        if row is not None and row.provider == provider and row.provider_id is None and theirs:
            # The answer to our call was lost. Whether it is ours is seen when it is fetched.
            sql.change_top_up(connection, self._sealer, row.id, provider_id=theirs)
        sql.wake_top_up(connection, provider, top_up_id=ours, provider_id=theirs, now=now)

    # Going on by itself

    async def start(self) -> None:
        """Open the providers, and go on with what the last run left."""
        for provider in self.providers.values():
            await provider.start()
        if self._sandbox is not None:
            log.warning("payments.providers.sandbox is enabled: wallets can be filled with play money")
        self._task = asyncio.create_task(self._run(), name="funding")

    async def stop(self) -> None:
        """Stop asking; what is under way is taken up by the next run."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        for provider in self.providers.values():
            await provider.stop()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                if await self.run_once():
                    continue
                due = await self._database.read(sql.next_due)
            except DatabaseError as error:
                log.warning("top-ups and cash-outs wait for the database: %s", error)
                await asyncio.sleep(PAUSE_S)
                continue
            except Exception:  # a defect in one must not end all the others
                log.exception("top-ups and cash-outs could not be gone on with")
                await asyncio.sleep(PAUSE_S)
                continue
            now = self._clock.now_ms()
            moment = now + LOOK_MS if due is None else min(max(due, now + 1), now + LOOK_MS)
            await self._clock.wait_until(moment, self._wake)

    async def run_once(self) -> int:
        """Do what is due now; how much it was."""
        done = 0 if self._sandbox is None else await self._sandbox.run_due()
        now = self._clock.now_ms()

        def due(connection: Connection) -> tuple[list[str], list[str], list[str]]:
            tables = (funding_top_ups, funding_payouts, funding_refunds)
            top_ups, payouts, refunds = (sql.due(connection, table, now, BATCH) for table in tables)
            return top_ups, payouts, refunds

        top_ups, payouts, refunds = await self._database.read(due)
        await self._each(self._asking.top_up, top_ups)
        await self._each(self._asking.payout, payouts)
        await self._each(self._asking.refund, refunds)
        done += len(top_ups) + len(payouts) + len(refunds)
        asking = self._asking
        for work in (asking.lines, asking.releases, asking.settlements, asking.announcements):
            done += await self._safely(work)
        if now - self._forgot_at > DAY_MS:
            self._forgot_at = now
            await self._database.write(lambda connection: sql.forget_events(connection, now - EVENTS_KEPT_MS))
        return done

    async def _safely(self, work: Callable[[], Awaitable[int]]) -> int:
        """One kind of work that the ledger does not take must not keep the others; it is tried again."""
        try:
            return await work()
        except DatabaseError:
            raise
        except RialtoError as error:
            log.error("what has to be in the ledger is refused: %s", error, extra=error.fields)
            return 0

    async def _each(self, ask: Callable[[str], Awaitable[None]], ids: Sequence[str]) -> None:
        """Ask about several at the same time. One that fails does not keep the others."""
        room = asyncio.Semaphore(AT_ONCE)

        gone: list[DatabaseError] = []
        failed: list[str] = []

        async def one(item: str) -> None:
            async with room:
                try:
                    await ask(item)
                except DatabaseError as error:
                    gone.append(error)
                except Exception:  # a defect in one must not end all the others; it is tried again later
                    log.exception("what became of it could not be found out", extra={"id": item})
                    failed.append(item)

        async with asyncio.TaskGroup() as group:
            for item in ids:
                group.create_task(one(item))
        if gone:
            raise gone[0]
        for item in failed:
            await self._asking.later(item)

    # Small things

    def _provider(self, name: str) -> Provider:
        found = self.providers.get(name)
        if found is None:
            raise FundingRefused.of("funding.no_provider")
        return found

    async def _check_room(self, person: str, amount: Money, provider: str) -> None:
        """Refuse at once what the wallet would have no room for; asked again when the money comes."""
        verdict = await self._sanctions.ask(person, f"provider:{provider}")
        now = self._clock.now_ms()

        def work(connection: Connection) -> GuardRefusal | None:
            self._guard.lock(connection, (person,), now)
            wallet = self._ledger.open(connection, person, amount.currency, AccountKind.PERSON, now)
            balance = Money(wallet.net + wallet.pending_credits, amount.currency)
            movement = Movement(f"room:{person}", person, "in", amount, f"provider:{provider}", "top_up")
            return self._guard.check(connection, movement, now, balance=balance, verdict=verdict)

        refusal = await self._database.write(work)
        if refusal is not None:
            raise FundingRefused.by_guard(refusal)

    async def _store_top_up(self, person: str, amount: Money, provider: Provider, key: str) -> TopUpRow:
        now = self._clock.now_ms()
        made = top_up_row(self._id(now), key, person, amount, provider, self._key(), now)

        def work(connection: Connection) -> TopUpRow | None:
            if sql.add_top_up(connection, self._sealer, made):
                self._books.note(
                    connection, now, "top_up.begin", f"top_up:{made.id}", "created", actor=person, amount=str(amount)
                )
            return sql.top_up_of_key(connection, self._sealer, key)

        row = await self._database.write(work)
        assert row is not None
        return row

    def _shown(self, row: TopUpRow) -> TopUp:
        return shown(row, self.providers.get(row.provider))

    def _id(self, now: int) -> str:
        return ulid(now, self._randomness(ENTROPY_BYTES))

    def _key(self) -> str:
        """An idempotency key: made before the first attempt, and stored."""
        return f"rialto-{self._randomness(16).hex()}"
