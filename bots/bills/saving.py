"""Saved accounts: their names, reminders, and bills that are paid by themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from bots.bills.book import Account, StoredBill, made_of
from bots.bills.cashier import Refused
from bots.bills.paying import LOOK, Paying, Wanted
from bots.domain.bills import Decision, canonical, decide, pay_on, to_remind
from bots.domain.money import Money
from bots.framework import Context
from bots.framework.context import TIMER_FIRED
from bots.store import bills as sql
from bots.store.bills import AccountRow

log = logging.getLogger(__name__)

MOST: Final = 50
"""Saved accounts of one person."""
NAME_MAX: Final = 40

REMINDED: Final = "reminded"
TOLD: Final = "told"
ASKED: Final = "asked"
CHARGED: Final = "paid"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person is to hear about a bill of a saved account.

    Attributes:
        kind: reminded, told, asked or paid.
        on: of ``told``: the day on which it is paid.
    """

    kind: str
    account: Account
    on: date | None = None


class Saving:
    """What happens to saved accounts. One for a plugin."""

    def __init__(self, paying: Paying, hour: int) -> None:
        """
        Args:
            hour: of a person's day, at which their accounts are looked at.
        """
        self._paying = paying
        self._bot = paying.bot
        self._book = paying.book
        self._hour = hour

    # Reading

    async def list(self, ctx: Context, person: str) -> list[Account]:
        """A person's accounts, the oldest first."""
        rows = await ctx.query(lambda connection: sql.accounts(connection, self._bot, person))
        return [self._book.account(row) for row in rows]

    async def get(self, ctx: Context, account_id: str) -> Account | None:
        """An account by its id."""
        row = await ctx.query(lambda connection: sql.saved(connection, self._bot, account_id))
        return None if row is None else self._book.account(row)

    async def find(self, ctx: Context, person: str, text: str) -> Account | None:
        """A person's account by its name, or its number in the list."""
        accounts = await self.list(ctx, person)
        wanted = canonical(text)
        for account in accounts:
            if canonical(account.nickname) == wanted:
                return account
        number = int(wanted) if wanted.isdecimal() and len(wanted) < 4 else 0
        return accounts[number - 1] if 1 <= number <= len(accounts) else None

    # Names

    async def save(self, ctx: Context, wanted: Wanted, nickname: str) -> str:
        """Save the account of a bill; why that cannot be (``taken``, ``many``), or its id."""
        accounts = await self.list(ctx, wanted.person)
        if any(canonical(each.nickname) == canonical(nickname) for each in accounts):
            return "taken"
        if len(accounts) >= MOST:
            return "many"
        row = AccountRow(
            id=made_of(wanted.bill_id, "account", canonical(nickname)),
            bot=self._bot,
            person=wanted.person,
            room_id=wanted.room_id,
            biller=wanted.biller,
            account=self._book.account_of(wanted.biller, wanted.fields),
            nickname="",
            sealed=b"",
            remind_days=None,
            cap=None,
            currency="",
            mandate=None,
            mandate_id=None,
            created_at=ctx.now_ms(),
        )
        named = self._book.named(row, nickname, wanted.fields)
        ctx.store(lambda connection: sql.save(connection, named))
        return row.id

    async def rename(self, ctx: Context, account: Account, nickname: str) -> bool:
        """Give an account another name; False when another one has it."""
        accounts = await self.list(ctx, account.row.person)
        if any(each.id != account.id and canonical(each.nickname) == canonical(nickname) for each in accounts):
            return False
        self._write(ctx, account, self._book.named(account.row, nickname, account.fields))
        return True

    async def remove(self, ctx: Context, account: Account) -> None:
        """Forget an account, its reminders, and that its bills are paid by themselves."""
        await self.end_mandate(ctx, account)
        ctx.schedules.cancel(_watch_key(account.id))
        ctx.store(lambda connection: sql.forget(connection, account.id))

    # Reminders and autopay

    def remind(self, ctx: Context, account: Account, days: int | None) -> None:
        """Remind of its bills so many days before they are due; None: never."""
        self._write(ctx, account, replace(account.row, remind_days=days))

    def want_mandate(self, ctx: Context, account: Account, cap: Money, key: str) -> None:
        """The person wants its bills paid by themselves up to ``cap``, and has yet to allow it in the wallet."""
        row = replace(account.row, cap=cap.minor, currency=cap.currency, mandate=key, mandate_id=None)
        self._write(ctx, account, row)
        call = {"name": "mandate", "data": {"account": account.id}}
        ctx.schedules.at(
            ctx.now(), TIMER_FIRED, call, key=f"mandate/{account.id}", person=row.person, room=f"~bills/{account.id}"
        )

    async def ask_for_mandate(self, ctx: Context, account: Account) -> bool:
        """Have the wallet ask the person; False when it is not wanted any more. Raises Refused: it does not ask."""
        row, cap = account.row, account.cap
        if row.mandate is None or row.mandate_id is not None or cap is None:
            return False
        biller = self._paying.billers.get(row.biller)
        words = f"{row.biller if biller is None else biller.info.name}: {account.nickname}"
        try:
            await self._paying.cashier.mandate(ctx, row.person, cap, row.mandate, biller=row.biller, name=words)
        except Refused:
            self.disallowed(ctx, account)
            raise
        return True

    async def of_mandate(self, ctx: Context, key: str) -> Account | None:
        """The account whose bills are paid under a mandate."""
        row = await ctx.query(lambda connection: sql.of_mandate(connection, self._bot, key))
        return None if row is None else self._book.account(row)

    def allowed(self, ctx: Context, account: Account, mandate_id: str) -> None:
        """The person has allowed it."""
        self._write(ctx, account, replace(account.row, mandate_id=mandate_id))

    def disallowed(self, ctx: Context, account: Account) -> None:
        """The person has not, or not any more."""
        self._write(ctx, account, _without_mandate(account.row))

    async def stop_autopay(self, ctx: Context, account: Account) -> None:
        """Pay nothing by itself any more."""
        await self.end_mandate(ctx, account)
        self._write(ctx, account, _without_mandate(account.row))

    async def end_mandate(self, ctx: Context, account: Account) -> None:
        """The wallet pays nothing more under the mandate."""
        if account.row.mandate_id is not None:
            await self._paying.cashier.give_up(ctx, account.row.mandate_id)

    def _write(self, ctx: Context, before: Account, after: AccountRow) -> None:
        row = before.row
        ctx.store(lambda connection: sql.change_saved(connection, row, after))
        self._watch(ctx, after)

    def _watch(self, ctx: Context, row: AccountRow) -> None:
        """Look at the account every day by the person's clock, as long as there is a reason to."""
        key = _watch_key(row.id)
        if row.remind_days is None and row.mandate_id is None:
            ctx.schedules.cancel(key)
            return
        call = {"name": "look", "data": {"account": row.id}}
        rule = f"0 {self._hour} * * *"
        ctx.schedules.cron(rule, TIMER_FIRED, call, key=key, person=row.person, room=f"~bills/{row.id}")

    # What a look brings

    def look(self, ctx: Context, account: Account) -> None:
        """Ask for the bill of an account."""
        row = account.row
        self._paying.look_up(
            ctx,
            Wanted(
                made_of(row.id, "look", ctx.now().date().isoformat(), str(ctx.event.event_id)),
                row.person,
                row.room_id,
                row.biller,
                dict(account.fields),
                LOOK,
                row.id,
            ),
        )

    async def looked(self, ctx: Context, stored: StoredBill) -> Notice | None:
        """What is to be said about a bill that a look has found. What is to be paid by itself is begun here."""
        account = await self.get(ctx, stored.row.saved_id)
        claim, bot = stored.row.claim, self._bot
        taken = await ctx.query(lambda connection: sql.claimed(connection, bot, claim))
        notice = None
        if account is not None and taken is None:
            notes = await ctx.query(lambda connection: sql.notes(connection, account.id, claim))
            if account.cap is not None and account.row.mandate_id is not None and CHARGED not in notes:
                notice = self._by_itself(account, account.cap, stored, ctx.now().date(), notes)
            else:
                notice = self._reminder(account, stored, ctx.now().date(), notes)
        if account is not None and notice is not None:
            self._note(ctx, account, stored, notice.kind, ctx.now().date())
            if notice.kind == CHARGED:
                await self._charge(ctx, stored)
        if notice is None or notice.kind == TOLD:  # nobody needs what was looked up
            ctx.store(lambda connection: sql.drop(connection, stored.row))
        return notice

    def _by_itself(
        self, account: Account, cap: Money, stored: StoredBill, today: date, notes: Mapping[str, str]
    ) -> Notice | None:
        """What is done today about a bill that may be paid by itself."""
        told = date.fromisoformat(notes[TOLD]) if TOLD in notes else None
        decision = decide(cap, stored.bill, today, told)
        if decision is Decision.TELL:
            return Notice(TOLD, account, pay_on(stored.bill, today))
        if decision is Decision.PAY:
            return Notice(CHARGED, account)
        return Notice(ASKED, account) if decision is Decision.ASK and ASKED not in notes else None

    def _reminder(self, account: Account, stored: StoredBill, today: date, notes: Mapping[str, str]) -> Notice | None:
        """Whether a person is reminded of a bill today: once, unless they have heard of it otherwise."""
        days = account.row.remind_days
        if days is None or notes.keys() & {REMINDED, ASKED, CHARGED}:
            return None
        return Notice(REMINDED, account) if to_remind(stored.bill.due, today, days) else None

    async def _charge(self, ctx: Context, stored: StoredBill) -> None:
        """Once for a bill, whatever becomes of it: what could not be paid by itself is left to the person."""
        await self._paying.claim(ctx, stored, stored.bill.amount, mandate=True)

    async def charge(self, ctx: Context, stored: StoredBill) -> None:
        """Take the money of a bill under its mandate. Raises Refused: that is not possible; the person may pay it."""
        account = await self.get(ctx, stored.row.saved_id)
        if account is None or account.row.mandate_id is None:
            self._paying.released(ctx, stored, "mandate")
            return
        try:
            payment_id = await self._paying.cashier.charge(
                ctx, stored, account.row.mandate_id, self._paying.name_of(stored)
            )
        except Refused:
            self._paying.released(ctx, stored, "refused")
            raise
        self._paying.proposed(ctx, stored, payment_id)

    def _note(self, ctx: Context, account: Account, stored: StoredBill, kind: str, today: date) -> None:
        claim, day = stored.row.claim, today.isoformat()
        ctx.store(lambda connection: sql.note(connection, account.id, claim, kind, day))


def _without_mandate(row: AccountRow) -> AccountRow:
    return replace(row, cap=None, currency="", mandate=None, mandate_id=None)


def _watch_key(account_id: str) -> str:
    return f"look/{account_id}"
