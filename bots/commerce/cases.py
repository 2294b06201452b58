"""Cases: what a buyer wants after an order was accepted, decided by the merchant or the operator.

As with orders, the state is stored first; what is to be given back follows by the timer "case_settle", once for the
key of the case, however often that is tried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from appservice.clock import from_ms, to_ms
from bots.commerce import telling
from bots.commerce.hand import Reader
from bots.commerce.orders import Orders, order_room
from bots.commerce.records import money_in
from bots.commerce.trade import Trade
from bots.domain.cases import (
    CLOSED,
    Case,
    CaseAction,
    CaseKind,
    CaseRefused,
    CaseState,
    advance,
    begin,
    worth,
)
from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import NEXT as ORDER_NEXT
from bots.domain.orders import Action, Order
from bots.framework import Context
from bots.framework.context import TIMER_FIRED
from bots.framework.i18n import Translator, _
from bots.store import cases as sql
from bots.store.cases import CaseRow

__all__ = ["CaseHook", "Cases", "Filed", "Waits", "case_card"]

PLACE: Final = "order_cases"
SETTLE: Final = "case_settle"
AGAIN: Final = timedelta(minutes=10)
UNSETTLED: Final = timedelta(minutes=10)
SWEPT_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Waits:
    """How long cases wait.

    Attributes:
        merchant: for the merchant's answer; then the operator is asked.
        goods: for goods that come back; then the case is closed.
        buyer: for the buyer of whom something was refused, to ask the operator; then the case is closed.
    """

    merchant: timedelta = timedelta(days=3)
    goods: timedelta = timedelta(days=30)
    buyer: timedelta = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Filed:
    """Something that happened to a case. ``before``: None when it was opened; ``by``: empty: it happened by itself."""

    before: Case | None
    after: Case
    order: Order
    merchant: Merchant
    by: str = ""


CaseHook = Callable[[Context, Filed], Awaitable[None]]
"""Told of every action, in the handler that does it."""

KINDS: Final[Mapping[CaseKind, str]] = MappingProxyType(
    {
        CaseKind.CANCELLATION: _("The buyer of order {number} wants to cancel it."),
        CaseKind.RETURN: _("The buyer of order {number} wants to give it back."),
        CaseKind.COMPLAINT: _("The buyer of order {number} complains."),
    }
)
"""What the staff reads."""
TO_BUYER: Final[Mapping[CaseState, str]] = MappingProxyType(
    {
        CaseState.APPROVED: _("{merchant} takes back what you bought with order {number}: please send it."),
        CaseState.SETTLED: _("{merchant} has settled your case about order {number}."),
        CaseState.REFUSED: _("{merchant} has refused what you want about order {number}. You can ask the operator."),
        CaseState.ESCALATED: _("The operator decides your case about order {number}."),
        CaseState.CLOSED: _("Your case about order {number} is closed."),
    }
)
TO_STAFF: Final[Mapping[CaseState, str]] = MappingProxyType(
    {
        CaseState.APPROVED: _("The return of order {number} is approved."),
        CaseState.SETTLED: _("The case about order {number} is settled."),
        CaseState.ESCALATED: _("The operator decides the case about order {number}."),
        CaseState.WITHDRAWN: _("The buyer has withdrawn the case about order {number}."),
        CaseState.CLOSED: _("The case about order {number} is closed."),
    }
)


class Cases:
    """One for a plugin."""

    def __init__(self, trade: Trade, orders: Orders, waits: Waits | None = None) -> None:
        self._trade = trade
        self._orders = orders
        self._waits = waits or Waits()
        self.hooks: list[CaseHook] = []

    # Reading

    async def get(self, reader: Reader, case_id: str) -> Case | None:
        """A case by its id."""
        row = await reader.query(lambda connection: sql.get(connection, self._orders.bot, case_id))
        return None if row is None else self._case(row)

    async def of_order(self, reader: Reader, order_id: str) -> list[Case]:
        """The cases of an order, the oldest first."""
        return self._all(await reader.query(lambda connection: sql.of_order(connection, order_id)))

    async def of_merchant(
        self, reader: Reader, merchant_id: str, states: Collection[CaseState] = (CaseState.OPEN,), limit: int = 50
    ) -> list[Case]:
        """A merchant's cases in some states, the oldest first."""
        wanted, bot = [each.value for each in states], self._orders.bot
        return self._all(await reader.query(lambda c: sql.of_merchant(c, bot, merchant_id, wanted, limit)))

    async def escalated(self, reader: Reader, limit: int = 50) -> list[Case]:
        """What waits for the operator, the oldest first."""
        return await self.of_merchant(reader, "", (CaseState.ESCALATED,), limit)

    async def of_buyer(self, reader: Reader, person: str, limit: int = 10) -> list[Case]:
        """A person's cases, the newest first."""
        bot = self._orders.bot
        return self._all(await reader.query(lambda connection: sql.of_person(connection, bot, person, limit)))

    async def given_back(self, reader: Reader, merchant_id: str, since: datetime, until: datetime) -> list[Money]:
        """What a merchant gave back by cases that were settled from a moment on and before another."""
        begin_ms, end_ms = to_ms(since), to_ms(until)
        rows = await reader.query(lambda connection: sql.given_back(connection, merchant_id, begin_ms, end_ms))
        return [Money(amount, currency) for _order, currency, amount, _at in rows]

    # Writing, in the commit of what is at hand

    async def open(
        self,
        ctx: Context,
        order: Order,
        kind: CaseKind,
        text: str,
        lines: Mapping[int, int] | None = None,
        photos: Sequence[str] = (),
    ) -> Case:
        """Open a case about an order, of its buyer. The staff is told.

        Args:
            lines: how many of which lines (by number, from 1); without them it is about the whole order.
            photos: see :class:`bots.domain.cases.Case`.

        Raises:
            CaseRefused, OrderRefused: it cannot be opened.
        """
        now = ctx.now()
        case = Case(
            id=self._trade.new_id(),
            order=order.id,
            kind=kind,
            state=CaseState.OPEN,
            text=text,
            opened_at=now,
            updated_at=now,
            lines=lines or {},
            photos=tuple(photos),
            deadline=now + self._waits.merchant,
            version=1,
        )
        begin(case, order, await self.of_order(ctx, order.id))
        row = self._row(case, order, settled=True)
        ctx.store(lambda connection: sql.add(connection, row, order.version))
        await self._told(ctx, Filed(None, case, order, await self._orders.merchant(ctx, order), order.buyer))
        return case

    async def act(
        self,
        ctx: Context,
        case: Case,
        action: CaseAction,
        *,
        amount: Money | None = None,
        answer: str = "",
        by: str = "",
    ) -> Case:
        """Have something happen to a case: people are told, and what is to be given back follows.

        To settle a cancellation calls the order off; to settle the return of a whole order takes it back: then all that
        was paid comes back, and ``amount`` counts for nothing.

        Args:
            amount: what is given back; None: nothing.
            answer: in the merchant's or the operator's words.
            by: the user id of who does it. Empty: it happens by itself.

        Raises:
            CaseRefused: it does not follow on the state, or more is to be given back than was paid.
        """
        order = await self._orders.get(ctx, case.order)
        if order is None:
            raise LookupError(f"a case has its order: {case.id}")
        merchant = await self._orders.merchant(ctx, order)
        settles = action is CaseAction.SETTLE
        follows = _order_action(case) if settles else None
        if follows is None or (order.state, follows) not in ORDER_NEXT:
            follows = None
        else:
            amount = None  # it comes back with the order
        if amount is not None and not 0 < amount.minor <= order.total.minor:
            raise CaseRefused("case.amount")
        changes: dict[str, Any] = {"version": case.version + 1, "amount": amount if settles else case.amount}
        if answer:
            changes["answer"] = answer
        after = advance(case, action, ctx.now(), **changes)
        wait = self._within(after)
        after = replace(after, deadline=None if wait is None else ctx.now() + wait)
        refund = settles and amount is not None and follows is None
        row = self._row(after, order, settled=not refund)
        ctx.store(lambda connection: sql.change(connection, row, case.version))
        if follows is not None:
            await self._orders.act(ctx, order, follows, by=by, reason=answer)
        if refund:
            self._settle_at(ctx, after, order, ctx.now())
        await self._told(ctx, Filed(case, after, order, merchant, by))
        return after

    async def worth(self, reader: Reader, order: Order, lines: Mapping[int, int]) -> Money:
        """What so many of some lines were paid with; see :func:`bots.domain.cases.worth`."""
        return worth(order, lines, await self.of_order(reader, order.id))

    def _within(self, case: Case) -> timedelta | None:
        waits = {CaseState.APPROVED: self._waits.goods, CaseState.REFUSED: self._waits.buyer}
        return waits.get(case.state)

    # What happens by itself

    async def settle(self, ctx: Context, case_id: str) -> None:
        """Give back what a case says. The timer "case_settle"; may be repeated for ever."""
        case = await self.get(ctx, case_id)
        order = None if case is None else await self._orders.get(ctx, case.order)
        if case is None or order is None or case.state is not CaseState.SETTLED or case.amount is None:
            return
        purse = self._orders.purse(order)
        brought = await purse.give(ctx, order, case.amount, case.id, "case")
        if not brought.done:
            self._settle_at(ctx, case, order, ctx.now() + AGAIN)
            return
        ctx.store(lambda connection: sql.settled(connection, case.id, case.version))
        words = await telling.buyer_words(ctx, order)
        ctx.say(telling.refund_text(case.amount, order, words), room_id=order.room_id, notice=False)

    async def sweep(self, ctx: Context) -> None:
        """What nobody has answered goes on by itself; refunds that were forgotten are made."""
        now = ctx.now()
        due, unsettled = to_ms(now), to_ms(now - UNSETTLED)
        rows = await ctx.query(lambda c: sql.late(c, self._orders.bot, due, unsettled, SWEPT_MAX))
        there = {each.key for each in await ctx.schedules.list(f"{SETTLE}/")}
        for row in rows:
            case = self._case(row)
            if case.deadline is not None and case.deadline < now and case.state not in CLOSED:
                action = CaseAction.ESCALATE if case.state is CaseState.OPEN else CaseAction.CLOSE
                await self.act(ctx, case, action)
            elif not row.settled and f"{SETTLE}/{case.id}" not in there:
                order = await self._orders.get(ctx, case.order)
                if order is not None:
                    self._settle_at(ctx, case, order, now)

    def _settle_at(self, ctx: Context, case: Case, order: Order, at: datetime) -> None:
        call = {"name": SETTLE, "data": {"case": case.id}}
        room = order_room(order.id)
        ctx.schedules.at(at, TIMER_FIRED, call, key=f"{SETTLE}/{case.id}", room=room, person=order.buyer)

    # Telling

    async def _told(self, ctx: Context, filed: Filed) -> None:
        case, order, merchant = filed.after, filed.order, filed.merchant
        words = await telling.buyer_words(ctx, order)
        text = TO_BUYER.get(case.state, "")
        if text and filed.by != order.buyer:
            lines = [words.t(text, merchant=merchant.name, number=order.number)]
            if case.answer:
                lines.append(words.t("They say: {answer}", answer=case.answer))
            ctx.say("\n".join(lines), room_id=order.room_id, notice=False)
        if merchant.room_id and ctx.room_id != merchant.room_id:
            theirs = telling.staff_words(ctx, merchant)
            text = TO_STAFF.get(case.state, "")
            if filed.before is None:
                ctx.say(case_card(case, order, theirs), room_id=merchant.room_id, notice=False)
            elif text:
                ctx.say(theirs.t(text, number=order.number), room_id=merchant.room_id)
        for hook in self.hooks:
            await hook(ctx, filed)

    # Rows

    def _all(self, rows: Sequence[CaseRow]) -> list[Case]:
        return [self._case(row) for row in rows]

    def _row(self, case: Case, order: Order, *, settled: bool) -> CaseRow:
        held = {
            "text": case.text,
            "lines": [[number, quantity] for number, quantity in case.lines.items()],
            "photos": list(case.photos),
            "answer": case.answer,
        }
        return CaseRow(
            id=case.id,
            bot=self._orders.bot,
            order_id=order.id,
            merchant=order.merchant,
            person=order.buyer,
            kind=case.kind.value,
            state=case.state.value,
            currency=order.currency,
            amount=None if case.amount is None else case.amount.minor,
            settled=int(settled),
            deadline=None if case.deadline is None else to_ms(case.deadline),
            opened_at=to_ms(case.opened_at),
            updated_at=to_ms(case.updated_at),
            version=case.version,
            sealed=self._trade.seal(PLACE, case.id, held),
        )

    def _case(self, row: CaseRow) -> Case:
        held = self._trade.open(PLACE, row.id, row.sealed)
        return Case(
            id=row.id,
            order=row.order_id,
            kind=CaseKind(row.kind),
            state=CaseState(row.state),
            text=held["text"],
            opened_at=from_ms(row.opened_at),
            updated_at=from_ms(row.updated_at),
            lines={int(number): int(quantity) for number, quantity in held["lines"]},
            photos=tuple(held["photos"]),
            amount=money_in(None if row.amount is None else [row.amount, row.currency]),
            answer=held["answer"],
            deadline=None if row.deadline is None else from_ms(row.deadline),
            version=row.version,
        )


def case_card(case: Case, order: Order, words: Translator) -> str:
    """A case as the staff sees it."""
    lines = [words.t(KINDS[case.kind], number=order.number)]
    for number, quantity in case.lines.items():
        name = order.line(number).label
        lines.append(words.t("{number}. {quantity} × {name}", number=str(number), quantity=quantity, name=name))
    lines.append(words.t("They say: {answer}", answer=case.text))
    if case.photos:
        lines.append(words.n("With {count} photo.", "With {count} photos.", len(case.photos)))
    return "\n".join(lines)


def _order_action(case: Case) -> Action | None:
    """What happens to the order of a case that is settled."""
    if case.kind is CaseKind.CANCELLATION:
        return Action.CALL_OFF
    return Action.TAKE_BACK if case.kind is CaseKind.RETURN and not case.lines else None
