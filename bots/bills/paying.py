"""Asking billers, and what becomes of a payment. Whatever takes long happens in an order of its own for each bill, so
that a slow biller keeps nobody's chat waiting."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Final

from bots.bills.billers import Biller, Billers
from bots.bills.billers.base import (
    Changed,
    Failed,
    FetchRequest,
    Found,
    NeverHeard,
    NoAnswer,
    NoSuchAccount,
    NothingDue,
    NotYet,
    Paid,
    PayRequest,
    Unknown,
)
from bots.bills.book import Book, StoredBill, made_of
from bots.bills.cashier import Cashier, Refused
from bots.bills.texts import View, view_of
from bots.domain.bills import (
    FETCH_LIMIT_MS,
    STILL_MS,
    Action,
    Bill,
    State,
    advance,
    ask_again_ms,
    canonical,
    fetch_again_ms,
)
from bots.domain.money import Money
from bots.framework import Context
from bots.framework.clock import from_ms
from bots.framework.context import TIMER_FIRED
from bots.store import bills as sql
from bots.store.bills import BillRow

log = logging.getLogger(__name__)

PERSON: Final = "person"
TOP_UP: Final = "top_up"
LOOK: Final = "look"
"""Looked up by itself, for a saved account."""
AUTOPAY: Final = "autopay"
UNWANTED: Final = (State.SHOWN, State.CANCELLED, State.CLOSED)
KEPT_MS: Final = 30 * 86_400_000
"""What nobody wanted to pay is forgotten after so long."""
STUCK_MS: Final = 10 * 60_000
"""A bill that was to be asked about so long ago, and was not, is asked about again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An account whose bill is looked up."""

    bill_id: str
    person: str
    room_id: str
    biller: str
    fields: dict[str, str]
    origin: str = PERSON
    saved_id: str = ""


class Paying:
    """What happens to bills. One for a plugin; what it does goes through the context of the handler at hand."""

    def __init__(self, bot: str, book: Book, billers: Billers, cashier: Cashier) -> None:
        """
        Args:
            bot: the plugin instance.
        """
        self.bot = bot
        self.book = book
        self.billers = billers
        self.cashier = cashier

    # Reading

    async def get(self, ctx: Context, bill_id: str) -> StoredBill | None:
        """A bill by its id."""
        row = await ctx.query(lambda connection: sql.get(connection, self.bot, bill_id))
        return None if row is None else self.book.bill(row)

    async def of_payment(self, ctx: Context, payment_id: str, key: str) -> StoredBill | None:
        """The bill that a payment of the wallet is for."""
        row = await ctx.query(lambda connection: sql.of_payment(connection, self.bot, payment_id))
        return await self.get(ctx, key) if row is None else self.book.bill(row)

    async def paid_here(self, ctx: Context, stored: StoredBill) -> Money | None:
        """What was paid of this bill before."""
        row = stored.row
        found = await ctx.query(lambda connection: sql.paid_of(connection, self.bot, row.claim, State.PAID.value))
        minor = sum(amount for currency, amount in found if currency == row.currency)
        return Money(minor, row.currency) if minor else None

    async def view(self, ctx: Context, stored: StoredBill) -> View:
        """A bill as it is shown."""
        biller = self.billers.get(stored.row.biller)
        return view_of(stored, None if biller is None else biller.info, await self.paid_here(ctx, stored))

    def name_of(self, stored: StoredBill) -> str:
        """The biller's, as people know it."""
        biller = self.billers.get(stored.row.biller)
        return stored.row.biller if biller is None else biller.info.name

    # Looking a bill up

    def look_up(self, ctx: Context, wanted: Wanted) -> None:
        """Begin to ask for the bill of an account."""
        row = self._row(ctx, wanted, State.FETCHING)
        ctx.store(lambda connection: sql.add(connection, row))
        stored = StoredBill(row, wanted.fields)
        self.soon(ctx, "fetch", stored, ctx.now_ms())
        if wanted.origin == PERSON:
            self._at(ctx, "still", stored, ctx.now_ms() + STILL_MS, key=f"still/{row.id}", room=row.room_id)

    def top_up(self, ctx: Context, wanted: Wanted, amount: Money) -> View:
        """What is bought without a bill: it is a bill of its own, as often as people like."""
        stored = StoredBill(self._row(ctx, wanted, State.SHOWN), wanted.fields)
        stored = self.book.found(stored, Bill(wanted.bill_id, amount))
        ctx.store(lambda connection: sql.add(connection, stored.row))
        biller = self.billers.get(wanted.biller)
        return view_of(stored, None if biller is None else biller.info, None)

    def _row(self, ctx: Context, wanted: Wanted, state: State) -> BillRow:
        now = ctx.now_ms()
        return BillRow(
            id=wanted.bill_id,
            bot=self.bot,
            person=wanted.person,
            room_id=wanted.room_id,
            biller=wanted.biller,
            origin=wanted.origin,
            saved_id=wanted.saved_id,
            account=self.book.account_of(wanted.biller, wanted.fields),
            claim="",
            sealed=self.book.sealed(wanted.bill_id, wanted.fields),
            state=state.value,
            reason="",
            currency="",
            amount=0,
            minimum=None,
            paying=0,
            due_on=None,
            payment_id=None,
            attempts=0,
            asked_at=now,
            created_at=now,
            updated_at=now,
        )

    async def fetch(self, ctx: Context, stored: StoredBill) -> StoredBill | None:
        """Ask the biller for a bill; the bill when that came to an end: shown, or closed with a reason."""
        now, row = ctx.now_ms(), stored.row
        biller = self.billers.get(row.biller)
        answer: Any = NoAnswer("gone")
        if biller is not None:
            request = FetchRequest(row.id, stored.fields, row.asked_at, now, await self._paid_by_period(ctx, stored))
            answer = await biller.fetch(request)
            if isinstance(answer, NotYet | NoAnswer) and now - row.asked_at < FETCH_LIMIT_MS:
                pause = fetch_again_ms(row.attempts + 1)
                if isinstance(answer, NotYet) and answer.seconds is not None:
                    pause = answer.seconds * 1000
                self.soon(ctx, "fetch", stored, ctx.now_ms() + pause)
                self.write(ctx, stored, replace(row, attempts=row.attempts + 1))
                return None
        ctx.schedules.cancel(f"still/{row.id}")
        if isinstance(answer, Found):
            found = self.book.found(stored, answer.bill)
            return self.move(ctx, stored, Action.FIND, found)
        if row.origin == LOOK:
            ctx.store(lambda connection: sql.drop(connection, row))
            return None
        reason = "gone"
        if isinstance(answer, NothingDue):
            reason = "paid" if answer.paid else "none"
        elif isinstance(answer, NoSuchAccount):
            reason = "account"
        elif isinstance(answer, NotYet | NoAnswer) and biller is not None:
            reason = "silent"
        return self.move(ctx, stored, Action.CLOSE, replace(stored, row=replace(row, reason=reason)))

    async def _paid_by_period(self, ctx: Context, stored: StoredBill) -> dict[str, int]:
        """What was paid of the account's bills, for billers that keep nothing themselves."""
        row = stored.row

        def read(connection: Any) -> list[BillRow]:
            states = [State.PAID.value]
            return sql.of_person(connection, self.bot, row.person, states, 100, account=row.account)

        paid: dict[str, int] = {}
        for each in await ctx.query(read):
            period = canonical(self.book.bill(each).period)
            paid[period] = paid.get(period, 0) + each.paying
        return paid

    # Paying one

    async def claim(self, ctx: Context, stored: StoredBill, amount: Money, *, mandate: bool = False) -> str:
        """Make the bill this payment's, in the commit; why that cannot be, or an empty text.

        Two who do it at once: the commit of one fails, and the handler, run again, sees the other.
        """
        row = stored.row
        taken = await self.taken(ctx, stored)
        if taken:
            return taken
        if stored.state is not State.SHOWN:
            return "gone"
        ctx.store(lambda connection: sql.take(connection, self.bot, row.claim, row.id, ctx.now_ms()))
        origin = AUTOPAY if mandate else row.origin
        paying = replace(stored, row=replace(row, paying=amount.minor, origin=origin, attempts=0))
        self.move(ctx, stored, Action.PROPOSE, paying)
        # Whose the bill is must be durable before anything moves: the wallet is asked by the next event of this bill.
        self.soon(ctx, "propose", stored, ctx.now_ms())
        return ""

    async def taken(self, ctx: Context, stored: StoredBill) -> str:
        """Whether another payment has the bill: ``paid``, ``busy``, ``yours`` (it waits for this very person in the
        wallet), or an empty text."""
        row = stored.row

        def read(connection: Any) -> tuple[sql.Claim | None, BillRow | None]:
            claim = sql.claimed(connection, self.bot, row.claim)
            return claim, None if claim is None else sql.get(connection, self.bot, claim.bill_id)

        claim, other = await ctx.query(read)
        if claim is None or claim.bill_id == row.id:
            return ""
        if claim.settled:
            return "paid"
        waits = other is not None and other.state == State.PROPOSED.value and other.person == row.person
        return "yours" if waits else "busy"

    async def propose(self, ctx: Context, stored: StoredBill) -> None:
        """Have the wallet ask for the confirmation. Raises Refused: it does not, and the bill is anybody's again."""
        try:
            payment_id = await self.cashier.propose(ctx, stored, self.name_of(stored))
        except Refused:
            self.released(ctx, stored, "refused")
            raise
        self.proposed(ctx, stored, payment_id)

    def proposed(self, ctx: Context, stored: StoredBill, payment_id: str) -> None:
        """The wallet knows of it."""
        if stored.row.payment_id is None:
            self.write(ctx, stored, replace(stored.row, payment_id=payment_id))

    def held(self, ctx: Context, stored: StoredBill, payment_id: str) -> None:
        """The payer has confirmed: tell the biller."""
        row = replace(stored.row, payment_id=payment_id, asked_at=ctx.now_ms(), attempts=0)
        after = self.move(ctx, stored, Action.HOLD, replace(stored, row=row))
        self.soon(ctx, "settle", after, ctx.now_ms())

    def released(self, ctx: Context, stored: StoredBill, reason: str) -> None:
        """It will not be paid: whoever wants may pay it now."""
        self._give_up(ctx, stored, Action.RELEASE, reason)

    async def settle(self, ctx: Context, stored: StoredBill) -> Any:
        """Tell the biller, or ask it what became of the payment; what it says. The money follows in the same commit,
        or before it and then not twice."""
        biller, row = self.billers.get(stored.row.biller), stored.row
        answer = Unknown("gone") if biller is None else await self._answer(ctx, biller, stored)
        try:
            if isinstance(answer, Paid):
                await self.cashier.capture(ctx, stored)
            elif isinstance(answer, Failed | Changed):
                await self.cashier.void(ctx, stored)
        except Refused as error:
            log.error("the money of a bill cannot follow its biller", extra={"bill": row.id, "reason": error.code})
            answer = Unknown(error.code)
        if isinstance(answer, Paid):
            after = self.move(ctx, stored, Action.PAY, self.book.receipted(stored, answer.receipt))
            if row.paying < row.amount:  # the rest is still to be paid
                ctx.store(lambda connection: sql.release(connection, self.bot, row.claim, row.id))
            else:
                ctx.store(lambda connection: sql.settle(connection, self.bot, row.claim, row.id, ctx.now_ms()))
            log.info("a bill is paid", extra={"bill": after.id, "biller": row.biller, "asked": row.attempts + 1})
        elif isinstance(answer, Failed):
            self._give_up(ctx, stored, Action.FAIL, answer.reason)
        elif isinstance(answer, Changed):
            self._give_up(ctx, stored, Action.CHANGE, "changed")
            self._shown_anew(ctx, stored, answer.bill)
        else:
            reason = answer.reason if isinstance(answer, Unknown) else "lost"
            self.soon(ctx, "settle", stored, ctx.now_ms() + ask_again_ms(row.attempts + 1))
            doubtful = replace(stored, row=replace(row, attempts=row.attempts + 1, reason=reason))
            self.move(ctx, stored, Action.DOUBT, doubtful)
            log.warning(
                "a biller has not said whether a bill is paid: the money stays held",
                extra={"bill": row.id, "biller": row.biller, "asked": row.attempts + 1, "reason": reason},
            )
        return answer

    async def _answer(self, ctx: Context, biller: Biller, stored: StoredBill) -> Any:
        row, now = stored.row, ctx.now_ms()
        request = PayRequest(row.id, stored.fields, stored.period, stored.reference, stored.paying, row.asked_at, now)
        held = await self.cashier.holds(ctx, stored)
        answer = await (biller.pay(request) if held and stored.state is State.HELD else biller.status(request))
        if isinstance(answer, NeverHeard):
            # It knows nothing of this key, and takes it once: what may still be under way does no harm.
            answer = await biller.pay(request) if held else Failed("gone")
        return answer

    def _shown_anew(self, ctx: Context, stored: StoredBill, bill: Bill) -> None:
        """The bill with its new amount, to be confirmed again."""
        row = stored.row
        again = Wanted(
            made_of(row.id, "changed"), row.person, row.room_id, row.biller, dict(stored.fields), PERSON, row.saved_id
        )
        fresh = self.book.found(StoredBill(self._row(ctx, again, State.SHOWN), stored.fields), bill)
        ctx.store(lambda connection: sql.add(connection, fresh.row))
        self.show(ctx, fresh, why="changed")

    def _give_up(self, ctx: Context, stored: StoredBill, action: Action, reason: str) -> None:
        row = stored.row
        self.move(ctx, stored, action, replace(stored, row=replace(row, reason=reason)))
        ctx.store(lambda connection: sql.release(connection, self.bot, row.claim, row.id))

    # Writing

    def move(self, ctx: Context, before: StoredBill, action: Action, after: StoredBill | None = None) -> StoredBill:
        """Write the bill after an action. Raises BillError when it does not follow."""
        state = advance(before.state, action)
        row = replace((after or before).row, state=state.value)
        self.write(ctx, before, row)
        return replace(after or before, row=row)

    def write(self, ctx: Context, before: StoredBill, after: BillRow) -> None:
        """Write it, if it is still as it was."""
        row, now = before.row, ctx.now_ms()
        ctx.store(lambda connection: sql.change(connection, row, replace(after, updated_at=now)))

    # Schedules

    def soon(self, ctx: Context, name: str, stored: StoredBill, at: int) -> None:
        """Have a biller asked, in the order of the bill."""
        self._at(ctx, name, stored, at, key=f"bill/{stored.id}", room=order_of(stored.id))

    def show(self, ctx: Context, stored: StoredBill, why: str = "") -> None:
        """Have the person shown what was found, in the order of their chat."""
        self._at(ctx, "shown", stored, ctx.now_ms(), key=f"shown/{stored.id}", room=stored.row.room_id, why=why)

    def _at(self, ctx: Context, name: str, stored: StoredBill, at: int, *, key: str, room: str, why: str = "") -> None:
        call = {"name": name, "data": {"bill": stored.id, "why": why}}
        ctx.schedules.at(from_ms(at), TIMER_FIRED, call, key=key, room=room, person=stored.row.person)

    async def wake(self, ctx: Context) -> int:
        """Ask again about bills whose question was lost, by a handler that was given up; how many wait unclear."""

        def read(connection: Any) -> tuple[list[BillRow], int]:
            late: list[BillRow] = []
            for state in (State.FETCHING, State.PROPOSED, State.HELD, State.UNKNOWN):
                late += sql.in_state(connection, self.bot, state.value, 500)
            return late, sql.count_in(connection, self.bot, State.UNKNOWN.value)

        rows, unknown = await ctx.query(read)
        unwanted, before = [each.value for each in UNWANTED], ctx.now_ms() - KEPT_MS
        ctx.store(lambda connection: sql.purge(connection, self.bot, unwanted, before, 500))
        there = {each.key for each in await ctx.schedules.list("bill/")}
        names = {State.FETCHING.value: "fetch", State.PROPOSED.value: "propose"}
        for row in rows:
            waits = row.state == State.PROPOSED.value and row.payment_id is not None
            if not waits and row.updated_at + STUCK_MS < ctx.now_ms() and f"bill/{row.id}" not in there:
                self.soon(ctx, names.get(row.state, "settle"), self.book.bill(row), ctx.now_ms())
        return unknown


def order_of(bill_id: str) -> str:
    """What takes the place of a room for what happens to one bill."""
    return f"~bills/{bill_id}"
