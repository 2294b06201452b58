"""Asking providers what became of top-ups, payouts and refunds, and keeping what follows from it in one commit."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from appservice.errors import RialtoError
from appservice.events import InternalEvent
from appservice.sealing import Sealer
from bots.domain.funding import (
    PAYOUT,
    REFUND,
    TOP_UP,
    LineState,
    PayoutState,
    RefundState,
    Seen,
    TopUpState,
    pause_ms,
)
from bots.domain.payments import PaymentRefused
from bots.framework.clock import Clock
from bots.framework.funding_changes import FUNDING_CHANGED
from bots.payments.events import room_of
from bots.payments.funding_books import Books
from bots.payments.providers.bank import payout_back, short_id
from bots.payments.providers.base import (
    Created,
    CreateRequest,
    PayoutRequest,
    Provider,
    ProviderPayment,
    ProviderPayout,
    ProviderRefused,
    ProviderUnknown,
)
from bots.payments.sanctions import Sanctions, Verdict
from bots.store import bank as bank_sql
from bots.store import funding as sql
from bots.store.funding_rows import CreditRow, PayoutRow, RefundRow, TopUpRow
from bots.store.funding_tables import funding_payouts, funding_refunds, funding_top_ups

log = logging.getLogger(__name__)

BATCH: Final = 50
MISSING_MS: Final = 3_600_000
"""How long until something of a provider that is not configured any more is looked at again."""
_TOP_UP_OPEN: Final = frozenset({TopUpState.CREATED, TopUpState.PENDING, TopUpState.UNKNOWN})
_PAYOUT_OPEN: Final = frozenset({PayoutState.READY, PayoutState.SENT, PayoutState.UNKNOWN})
_REFUND_OPEN: Final = frozenset({RefundState.HELD, RefundState.SENT, RefundState.UNKNOWN})

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[object]]


class Settles(Protocol):
    """What :class:`bots.payments.service.Payments` does at the end of a cash-out. Twice the same changes nothing."""

    async def settle(self, payment_id: str) -> object: ...

    async def fail(self, payment_id: str, reason: str) -> object: ...


class Asking:
    """One question at a time; what comes of it is kept together with what follows."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        payments: Callable[[], Settles | None],
        *,
        database: Database,
        raise_events: RaiseEvents,
        books: Books,
        sealer: Sealer,
        clock: Clock,
        sanctions: Sanctions,
        consumer: str,
    ) -> None:
        self._providers = providers
        self._payments = payments
        self._database = database
        self._raise_events = raise_events
        self._books = books
        self._sealer = sealer
        self._clock = clock
        self._sanctions = sanctions
        self._consumer = consumer

    # Top-ups

    async def top_up(self, top_up_id: str, *, tell: bool = True) -> None:
        """Make the payment at the provider, or ask what became of it.

        Args:
            tell: raise an event; the caller tells the person otherwise.
        """
        row = await self._database.read(lambda connection: sql.top_up(connection, self._sealer, top_up_id))
        if row is None:
            return
        provider = self._providers.get(row.provider)
        if provider is None:
            await self._postpone(funding_top_ups.name, row.id, row.attempts, MISSING_MS)
            return
        try:
            if row.provider_id is None and row.expires_at > self._clock.now_ms():
                made = await provider.create(
                    CreateRequest(row.id, row.idempotency_key, row.person, row.amount, row.created_at, row.expires_at)
                )
                await self._created(row.id, made, tell)
                return
            seen = await self._fetched(provider, row)
        except ProviderUnknown as error:
            log.warning("a provider does not answer: %s", error, extra={"provider": row.provider, "top_up": row.id})
            await self._postpone(funding_top_ups.name, row.id, row.attempts)
            return
        except ProviderRefused as error:
            log.warning("a provider refuses a top-up: %s", error, extra={"provider": row.provider, "top_up": row.id})
            # What stands at the provider cannot have been refused: something is not known there.
            state = Seen.DECLINED if row.provider_id is None else Seen.UNKNOWN
            seen = ProviderPayment(row.provider_id or "", state, reason=str(error.fields.get("reason", "")))
        await self._seen(row, seen, tell)

    async def _fetched(self, provider: Provider, row: TopUpRow) -> ProviderPayment:
        if row.provider_id is None:
            # Nobody was ever shown where to pay. Should money come after all, its message names the top-up.
            return ProviderPayment("", Seen.EXPIRED)
        payment = await provider.fetch(row.provider_id, row.id)
        if payment.seen is Seen.AUTHORISED:
            payment = await provider.capture(row.provider_id, f"{row.idempotency_key}:capture")
        return payment

    async def _created(self, top_up_id: str, made: Created, tell: bool) -> None:
        now = self._clock.now_ms()

        def work(connection: Connection) -> list[InternalEvent]:
            row = sql.top_up(connection, self._sealer, top_up_id, lock=True)
            if row is None or row.provider_id is not None:
                return []
            state = TOP_UP.get((row.state, Seen.PENDING), row.state)
            values = {"provider_id": made.id, "link": made.link, "attempts": 0, "next_at": now + pause_ms(0)}
            return self._change_top_up(connection, row, state, now, tell=tell, **values)

        await self._commit(work)

    async def _seen(self, row: TopUpRow, payment: ProviderPayment, tell: bool) -> None:
        verdict = None
        if payment.received:
            verdict = await self._sanctions.ask(row.person, f"provider:{row.provider}")
            if verdict is Verdict.UNKNOWN:
                await self._postpone(funding_top_ups.name, row.id, row.attempts)
                return
        now = self._clock.now_ms()
        await self._commit(lambda connection: self._keep(connection, row, payment, now, verdict, tell))

    def _keep(
        self,
        connection: Connection,
        asked: TopUpRow,
        payment: ProviderPayment,
        now: int,
        verdict: Verdict | None,
        tell: bool,
    ) -> list[InternalEvent]:
        row = sql.top_up(connection, self._sealer, asked.id, lock=True)
        if row is None:
            return []
        seen, reason = payment.seen, payment.reason
        foreign = any(received.amount.currency != row.amount.currency for received in payment.received)
        if foreign or (seen is Seen.SUCCEEDED and not payment.received):
            seen, reason = Seen.UNKNOWN, "currency" if foreign else "nothing_received"
            log.error("a provider says something that cannot be", extra={"top_up": row.id, "reason": reason})
        credited, suspended = row.credited, row.suspended
        why = ""
        for received in payment.received if seen is Seen.SUCCEEDED else ():
            done = self._books.credit(connection, row, received, now, verdict)
            if done is None:
                continue
            if done.held:
                suspended, why = suspended + done.amount, done.why
            else:
                credited = credited + done.amount
        state = TOP_UP.get((row.state, seen), row.state)
        moved = (credited, suspended) != (row.credited, row.suspended)
        open_still = state in _TOP_UP_OPEN
        values: dict[str, Any] = {
            "attempts": row.attempts + 1,
            "next_at": _next(asked.next_at, row.next_at, now + pause_ms(row.attempts) if open_still else None),
            "reason": why or reason or (row.reason if not moved else ""),
        }
        if not moved and state is row.state:
            sql.change_top_up(connection, self._sealer, row.id, **values)
            return []
        values |= {"credited": credited.minor, "suspended": suspended.minor}
        events = self._change_top_up(connection, row, state, now, tell=tell, **values)
        self._books.note(connection, now, "top_up.change", f"top_up:{row.id}", state.value, why=why)
        return events

    def _change_top_up(
        self, connection: Connection, row: TopUpRow, state: TopUpState, now: int, *, tell: bool = True, **values: Any
    ) -> list[InternalEvent]:
        change = row.changes + 1
        sql.change_top_up(
            connection,
            self._sealer,
            row.id,
            state=state.value,
            changed_at=now,
            changes=change,
            told=change,
            **values,
        )
        return [self._event(row.id, "top_up", row.person, state.value, change)] if tell else []

    # Payouts

    async def payout(self, payout_id: str) -> None:
        """Have it paid out, or ask what became of it."""
        row = await self._database.read(lambda connection: sql.payout(connection, self._sealer, payout_id))
        if row is None:
            return
        provider = self._providers.get(row.provider)
        if provider is None:
            await self._postpone(funding_payouts.name, row.id, row.attempts, MISSING_MS)
            return
        try:
            if row.state is PayoutState.SENT:
                seen = await provider.fetch_payout(row.id, row.provider_id)
            else:
                request = PayoutRequest(row.id, row.idempotency_key, row.amount, row.destination)
                seen = await provider.payout(request)
        except ProviderUnknown as error:
            log.warning("a provider does not answer: %s", error, extra={"provider": row.provider, "payout": row.id})
            seen = ProviderPayout(row.provider_id, Seen.PENDING if row.state is PayoutState.SENT else Seen.UNKNOWN)
        except ProviderRefused as error:
            seen = ProviderPayout(row.provider_id, Seen.DECLINED, str(error.fields.get("reason", "")))
        now = self._clock.now_ms()
        await self._commit(lambda connection: self._keep_payout(connection, row, seen, now))

    def _keep_payout(
        self, connection: Connection, asked: PayoutRow, seen: ProviderPayout, now: int
    ) -> list[InternalEvent]:
        row = sql.payout(connection, self._sealer, asked.id, lock=True)
        if row is None:
            return []
        state = PAYOUT.get((row.state, seen.seen), row.state)
        values: dict[str, Any] = {
            "attempts": row.attempts + 1 if state is row.state else 0,
            "next_at": _next(
                asked.next_at, row.next_at, now + pause_ms(row.attempts) if state in _PAYOUT_OPEN else None
            ),
            "provider_id": seen.id or row.provider_id,
            "reason": seen.reason or row.reason,
        }
        if state is row.state:
            sql.change_payout(connection, row.id, **values)
            return []
        change = row.changes + 1
        sql.change_payout(connection, row.id, state=state.value, changed_at=now, changes=change, told=change, **values)
        self._books.note(connection, now, "payout.change", f"payout:{row.id}", state.value)
        return [self._event(row.id, "cash_out", row.person, state.value, change)] if row.person else []

    async def settlements(self) -> int:
        """Tell the ledger how payouts ended; how many it was told of."""
        rows = await self._database.read(lambda connection: sql.unsettled(connection, self._sealer, BATCH))
        done = 0
        for row in rows:
            try:
                done += await self._settled(row)
            except DatabaseError:
                raise
            except (
                RialtoError,
                PaymentRefused,
            ) as error:  # it is tried again; the operator sees it as a difference meanwhile
                log.error("the end of a payout could not be kept: %s", error, extra={"payout": row.id})
        return done

    async def _settled(self, row: PayoutRow) -> bool:
        paid = row.state is PayoutState.PAID
        now = self._clock.now_ms()
        if row.kind == "return":
            await self._database.write(lambda connection: self._settle_return(connection, row, paid, now))
            return True
        payments = self._payments()
        if payments is None:
            return False
        await (payments.settle(row.id) if paid else payments.fail(row.id, row.reason or "provider"))
        await self._database.write(lambda connection: sql.change_payout(connection, row.id, settled=1))
        return True

    def _settle_return(self, connection: Connection, row: PayoutRow, paid: bool, now: int) -> None:
        self._books.settle_return(connection, row, paid, now)
        sql.change_payout(connection, row.id, settled=1)

    # Refunds

    async def refund(self, refund_id: str) -> None:
        """Have money go back, or ask what became of it."""

        def read(connection: Connection) -> tuple[RefundRow | None, TopUpRow | None]:
            row = sql.refund(connection, refund_id=refund_id)
            return row, None if row is None else sql.top_up(connection, self._sealer, row.top_up)

        row, top_up = await self._database.read(read)
        if row is None or top_up is None:
            return
        provider = self._providers.get(row.provider)
        if provider is None:
            await self._postpone(funding_refunds.name, row.id, row.attempts, MISSING_MS)
            return
        try:
            if row.provider_id is not None:
                seen = await provider.fetch_refund(row.provider_id)
            else:
                seen = await provider.refund(top_up.provider_id or "", row.movement, row.amount, row.idempotency_key)
        except ProviderUnknown as error:
            log.warning("a provider does not answer: %s", error, extra={"provider": row.provider, "refund": row.id})
            seen = ProviderPayout(row.provider_id, Seen.UNKNOWN)
        except ProviderRefused as error:
            state = Seen.DECLINED if row.provider_id is None else Seen.UNKNOWN
            seen = ProviderPayout(row.provider_id, state, str(error.fields.get("reason", "")))
        now = self._clock.now_ms()
        await self._commit(lambda connection: self._keep_refund(connection, row, seen, now))

    def _keep_refund(
        self, connection: Connection, known: RefundRow, seen: ProviderPayout, now: int
    ) -> list[InternalEvent]:
        top_up = sql.top_up(connection, self._sealer, known.top_up, lock=True)
        row = sql.refund(connection, refund_id=known.id, lock=True)
        if row is None or top_up is None:
            return []
        state = REFUND.get((row.state, seen.seen), row.state)
        sql.change_refund(
            connection,
            row.id,
            state=state.value,
            attempts=row.attempts + 1,
            next_at=now + pause_ms(row.attempts) if state in _REFUND_OPEN else None,
            provider_id=seen.id or row.provider_id,
            reason=seen.reason or row.reason,
            changed_at=now,
        )
        if state is row.state or state in _REFUND_OPEN:
            return []
        self._books.settle_refund(connection, row, state is RefundState.DONE, now)
        values: dict[str, Any] = {}
        if state is RefundState.FAILED and row.suspense:
            values = {"suspended": (top_up.suspended + row.amount).minor}
            values["returned"] = (top_up.returned - row.amount).minor
            credit = sql.credit(connection, row.provider, row.movement)
            if credit is not None:
                sql.change_credit(connection, credit, held=1)
        elif state is RefundState.FAILED:
            values = {"refunded": (top_up.refunded - row.amount).minor}
        events = self._change_top_up(connection, top_up, top_up.state, now, **values)
        self._books.note(connection, now, "top_up.refund", f"top_up:{top_up.id}", state.value)
        return events

    # What the operator has decided

    async def lines(self) -> int:
        """Have the lines of statements in the ledger that the operator has decided about; how many."""
        rows = await self._database.read(lambda connection: bank_sql.to_book(connection, self._sealer, BATCH))
        for row in rows:
            await self._database.write(lambda connection, line=row.id: self._book(connection, line))  # type: ignore[misc]
        return len(rows)

    def _book(self, connection: Connection, line_id: str) -> None:
        now = self._clock.now_ms()
        line = bank_sql.line(connection, self._sealer, line_id, lock=True)
        if line is None or line.booked:
            return
        if line.state is LineState.RETURN:
            payout_id = short_id("L", line.id)
            payout = payout_back(payout_id, "return", line, line.amount, f"return:{line.id}", now)
            sql.add_payout(connection, self._sealer, payout)
            self._books.book_line(connection, line, "bank", now)
            self._books.hold_return(connection, payout, now)
        else:
            self._books.book_line(connection, line, "bank", now)
        bank_sql.change_line(connection, line.id, booked=1)
        self._books.note(connection, now, "bank.line", f"line:{line.id}", line.state.value, actor="operator")

    async def releases(self) -> int:
        """Move what the operator has released from the suspense account to its wallets; how many movements."""
        rows = await self._database.read(lambda connection: sql.to_release(connection, BATCH))
        done = 0
        for credit in rows:
            top_up_id = credit.top_up
            row = await self._database.read(
                lambda connection, one=top_up_id: sql.top_up(connection, self._sealer, one)  # type: ignore[misc]
            )
            if row is None:
                continue
            verdict = await self._sanctions.ask(row.person, f"provider:{row.provider}")
            await self._commit(
                lambda connection, one=credit, said=verdict: self._release(connection, one, said)  # type: ignore[misc]
            )
            done += 1
        return done

    def _release(self, connection: Connection, known: CreditRow, verdict: Verdict) -> list[InternalEvent]:
        now = self._clock.now_ms()
        row = sql.top_up(connection, self._sealer, known.top_up, lock=True)
        credit = sql.credit(connection, known.provider, known.movement)
        if row is None or credit is None or not credit.held:
            return []
        why = self._books.release(connection, row, credit, now, verdict)
        events: list[InternalEvent] = []
        if not why:
            values = {"credited": row.credited + credit.amount, "suspended": row.suspended - credit.amount}
            minor: dict[str, Any] = {name: money.minor for name, money in values.items()}
            events = self._change_top_up(connection, row, row.state, now, reason="", **minor)
        else:
            log.warning("money stays on the suspense account", extra={"top_up": row.id, "reason": why})
        self._books.note(
            connection,
            now,
            "top_up.release",
            f"top_up:{row.id}",
            "released" if not why else "kept",
            "operator",
            why=why,
        )
        return events

    # Small things

    async def announcements(self) -> int:
        """Raise the events of changes that were made without one, by the command line; how many."""
        top_ups, payouts = await self._database.read(lambda connection: sql.untold(connection, self._sealer, BATCH))
        if not top_ups and not payouts:
            return 0

        def work(connection: Connection) -> list[InternalEvent]:
            events = []
            for row in top_ups:
                sql.change_top_up(connection, self._sealer, row.id, told=row.changes)
                events.append(self._event(row.id, "top_up", row.person, row.state.value, row.changes))
            for payout in payouts:
                sql.change_payout(connection, payout.id, told=payout.changes)
                if payout.person:
                    events.append(self._event(payout.id, "cash_out", payout.person, payout.state.value, payout.changes))
            return events

        await self._commit(work)
        return len(top_ups) + len(payouts)

    async def later(self, item: str) -> None:
        """Ask about something later, whatever it is: a defect came between."""
        for table in (funding_top_ups, funding_payouts, funding_refunds):
            await self._postpone(table.name, item, 5)

    async def _postpone(self, table: str, item: str, attempts: int, pause: int | None = None) -> None:
        next_at = self._clock.now_ms() + (pause_ms(attempts) if pause is None else pause)
        await self._database.write(lambda connection: sql.postpone(connection, table, item, attempts + 1, next_at))

    async def _commit(self, work: Callable[[Connection], list[InternalEvent]]) -> None:
        await self._raise_events(work)

    def _event(self, item: str, kind: str, person: str, state: str, change: int) -> InternalEvent:
        return InternalEvent(
            key=f"funding:{item}:{change}",
            consumer=self._consumer,
            room_id=room_of(person),
            type=FUNDING_CHANGED,
            content={"id": item, "kind": kind, "person": person, "state": state, "change": change},
            sender=person,
        )


def _next(asked: int | None, found: int | None, wanted: int | None) -> int | None:
    """When a provider is asked next. A message that came since it was asked is younger than its answer."""
    return found if found is not None and found != asked else wanted
