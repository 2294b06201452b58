"""The bills bot."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from bots.bills.billers import Billers
from bots.bills.book import Account, Book, StoredBill, made_of
from bots.bills.cashier import NOT_TAKEN, Cashier, Refused
from bots.bills.conversations import REFUSED, Conversations, nickname
from bots.bills.paying import AUTOPAY, LOOK, Paying, Wanted
from bots.bills.saving import ASKED, REMINDED, TOLD, Notice, Saving
from bots.bills.settings import Settings
from bots.bills.texts import STATES, card, closed, read_money, settled, typed
from bots.domain.bills import State
from bots.domain.payments import ENDED, Payment, PaymentKind, PaymentState
from bots.framework import (
    Context,
    InvalidValue,
    PaymentChange,
    RateLimit,
    Rest,
    Setup,
    WebhookCall,
    command,
    every,
    joined,
    message,
    middleware,
    payment_changed,
    timer,
    webhook,
)
from bots.framework.http import HttpClient
from bots.framework.i18n import _
from bots.framework.permissions import Role
from bots.store import bills as sql
from bots.store.bills import BillRow

log = logging.getLogger(__name__)

SHOWN_MOST: Final = 10
"""Bills in one list."""
LOOKED_UP: Final = RateLimit(40, per=3600)
"""Bills that one person may look up: nobody finds account numbers by trying."""
OFF: Final = frozenset({"off", "0", "no", "never", "stop"})


class Bills(Conversations):
    """Pays people's bills and tops up their phones, reminds them, and pays by itself what they allow."""

    name = "bills"
    summary = _("Pays your bills and tops up mobile phones, and reminds you in time.")
    Settings = Settings
    scopes = frozenset({"state", "schedules", "people.read", "webhooks", "http", "payments.charge", "bills.book"})

    def __init__(self, setup: Setup) -> None:
        settings: Settings = setup.settings or Settings()
        self._book = setup.service(Book)
        billers: Billers = settings.make(setup.service(HttpClient) if settings.billers else None)
        cashier = Cashier(setup, timedelta(days=settings.confirm_days))
        self.paying = Paying(setup.instance, self._book, billers, cashier)
        self.saving = Saving(self.paying, settings.look_at)

    @middleware
    async def private(self, ctx: Context, call_next: Any) -> None:
        """Whose bills these are is nobody else's affair."""
        if ctx.room_id.startswith("!") and not ctx.event.internal and len(await ctx.humans()) > 1:
            if ctx.event.type != "m.room.member" and ctx.addressed:
                ctx.say(ctx.t("Bills are private: please write to me in a chat of our own."))
            return
        await call_next()

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what it is for."""
        ctx.say(
            ctx.t(
                "Hello! I pay your bills and top up mobile phones. Type “pay”, “topup” or “accounts”, or “help” for "
                "everything else."
            )
        )

    # Paying

    @command("pay", help=_("Pay a bill"), aliases=("bill", "new"), limit=LOOKED_UP)
    async def pay_bill(self, ctx: Context, name: Rest = "") -> None:
        """Pay a bill: pick one of your saved accounts, or a biller; or “pay” and the name of a saved account."""
        if not name:
            ctx.start(self.pay)
            return
        account = await self._account(ctx, name)
        biller = None if account is None else self.paying.billers.get(account.row.biller)
        if account is None:
            return
        if biller is None:
            ctx.say(ctx.t("This biller is not offered any more."))
        elif biller.info.top_up is not None:
            ctx.start(self.top_up)
        else:
            row = account.row
            wanted = Wanted(
                made_of(ctx.event.event_id, "pay"), ctx.sender, ctx.room_id, row.biller, dict(account.fields),
                saved_id=row.id,
            )  # fmt: skip
            self.paying.look_up(ctx, wanted)
            ctx.say(ctx.t("I ask {biller} for the bill.", biller=biller.info.name))

    @command("topup", help=_("Top up a mobile phone"), aliases=("top up", "recharge"), limit=LOOKED_UP)
    async def top_up_phone(self, ctx: Context) -> None:
        """Buy credit for a mobile phone: pick the operator, the number and the amount."""
        ctx.start(self.top_up)

    @message(addressed=True)
    async def other(self, ctx: Context) -> None:
        """Whatever else: help."""
        ctx.decline()

    # Saved accounts

    @command("accounts", help=_("Show your saved accounts"), aliases=("saved", "list"))
    async def accounts(self, ctx: Context) -> None:
        """Show the accounts that you have saved, how you are reminded, and what is paid by itself."""
        found = await self.saving.list(ctx, ctx.sender)
        lines = [f"{number}. {self._described(ctx, each)}" for number, each in enumerate(found, 1)]
        if not lines:
            ctx.say(ctx.t("You have saved no accounts. When I show you a bill, pick “Save it under a name”."))
            return
        ctx.say("\n".join(lines))

    def _described(self, ctx: Context, account: Account) -> str:
        biller = self.paying.billers.get(account.row.biller)
        words = ctx.t(
            "{name}: {biller}, account {account}",
            name=account.nickname,
            biller=account.row.biller if biller is None else biller.info.name,
            account=", ".join(account.fields.values()),
        )
        days, cap = account.row.remind_days, account.cap
        if days is not None:
            words += "; " + ctx.n("reminder {count} day before", "reminder {count} days before", days)
        if cap is not None and account.row.mandate_id is not None:
            words += "; " + ctx.t("paid by itself up to {cap}", cap=cap)
        elif cap is not None:
            words += "; " + ctx.t("to be paid by itself up to {cap}, once you confirm it in the wallet", cap=cap)
        return words

    @command("rename", help=_("Rename a saved account: rename home flat"))
    async def rename(self, ctx: Context, name: str, new_name: Rest) -> None:
        """Give a saved account another name. The first one is its name or its number in the list."""
        account = await self._account(ctx, name)
        if account is None:
            return
        try:
            wanted = nickname(new_name)
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        if await self.saving.rename(ctx, account, wanted):
            ctx.say(ctx.t("Renamed: {name}", name=wanted))
        else:
            ctx.say(ctx.t("You have one of this name already."))

    @command("remove", help=_("Remove a saved account"), aliases=("delete", "forget"))
    async def remove(self, ctx: Context, name: Rest) -> None:
        """Forget a saved account with its reminders; nothing of it is paid by itself any more."""
        account = await self._account(ctx, name)
        if account is not None:
            await self.saving.remove(ctx, account)
            ctx.say(ctx.t("Removed: {name}", name=account.nickname))

    @command("remind", help=_("Be reminded before bills are due: remind home 3"))
    async def remind(self, ctx: Context, name: str, days: str = "3") -> None:
        """Be reminded so many days before the bills of a saved account are due: “remind home 3”, “remind home off”."""
        account = await self._account(ctx, name)
        if account is None:
            return
        if days.casefold() in OFF:
            self.saving.remind(ctx, account, None)
            ctx.say(ctx.t("You are not reminded of “{name}” any more.", name=account.nickname))
        elif days.isdecimal() and 1 <= int(days[:3]) <= 28:
            self.saving.remind(ctx, account, int(days))
            ctx.say(
                ctx.n(
                    "You will be reminded of “{name}” {count} day before a bill is due.",
                    "You will be reminded of “{name}” {count} days before a bill is due.",
                    int(days),
                    name=account.nickname,
                )
            )
        else:
            ctx.say(ctx.t("Say how many days before, from 1 to 28, or “off”."))

    @command("autopay", help=_("Have bills paid by themselves: autopay home 80 EUR"))
    async def autopay(self, ctx: Context, name: str, cap: Rest = "") -> None:
        """Have the bills of a saved account paid by themselves up to an amount: “autopay home 80 EUR”, and “autopay
        home off” to stop it."""
        account = await self._account(ctx, name)
        if account is None:
            return
        biller = self.paying.billers.get(account.row.biller)
        if cap.strip().casefold() in OFF:
            await self.saving.stop_autopay(ctx, account)
            ctx.say(ctx.t("Nothing of “{name}” is paid by itself any more.", name=account.nickname))
        elif biller is None or biller.info.top_up is not None:
            ctx.say(ctx.t("That works for bills only."))
        else:
            try:
                most = read_money(cap, ctx.services.default_currency or "EUR", ctx.env())
            except InvalidValue as error:
                ctx.say(error.say(ctx.translator))
                return
            if most.minor <= 0:
                ctx.say(ctx.t("Say up to which amount, such as: autopay {typed} 80 EUR", typed=typed(account.nickname)))
                return
            ctx.start(self.autopay_for, account.id, account.nickname, most)

    async def _account(self, ctx: Context, name: str) -> Account | None:
        account = await self.saving.find(ctx, ctx.sender, name)
        if account is None:
            ctx.say(ctx.t("You have no saved account “{name}”. “accounts” shows those you have.", name=name[:40]))
        return account

    # What was

    @command("receipts", help=_("Show the receipts of your bills"))
    async def receipts(self, ctx: Context) -> None:
        """Show what was paid here, with the billers' receipt numbers, the newest first."""
        lines = []
        for stored in await self._of_person(ctx, [State.PAID]):
            lines.append(
                ctx.t(
                    "{date}: {amount} to {biller}, receipt {receipt}",
                    date=self._day(ctx, stored.row.updated_at),
                    amount=stored.paying,
                    biller=self.paying.name_of(stored),
                    receipt=stored.receipt,
                )
            )
        ctx.say("\n".join(lines) if lines else ctx.t("You have paid nothing here yet."))

    @command("history", help=_("Show what became of your bills"))
    async def history(self, ctx: Context) -> None:
        """Show the last bills that you wanted to pay here, and what became of them."""
        lines = []
        for stored in await self._of_person(ctx, list(STATES)):
            values = {
                "date": self._day(ctx, stored.row.created_at),
                "amount": stored.paying,
                "biller": self.paying.name_of(stored),
                "state": ctx.t(STATES[stored.state]),
            }
            lines.append(ctx.t("{date}: {amount} to {biller}: {state}", **values))
        ctx.say("\n".join(lines) if lines else ctx.t("You have paid nothing here yet."))

    async def _of_person(self, ctx: Context, states: list[State]) -> list[StoredBill]:
        wanted = [each.value for each in states]

        def read(connection: Any) -> list[BillRow]:
            return sql.of_person(connection, self.paying.bot, ctx.sender, wanted, SHOWN_MOST * 2)

        found = [self._book.bill(row) for row in await ctx.query(read)]
        return [each for each in found if each.row.paying][:SHOWN_MOST]

    def _day(self, ctx: Context, at: int) -> date:
        return datetime.fromtimestamp(at / 1000, UTC).astimezone(ctx.now().tzinfo).date()

    # For operators

    @command("bills unknown", help=_("Payments that billers have not confirmed"), permission=Role.OPERATOR)
    async def unknown(self, ctx: Context) -> None:
        """Payments of which nobody knows whether the biller has them; their money stays held."""

        def read(connection: Any) -> list[BillRow]:
            return sql.in_state(connection, self.paying.bot, State.UNKNOWN.value, 50)

        lines = []
        for row in await ctx.query(read):
            stored = self._book.bill(row)
            lines.append(
                ctx.t(
                    "{id}: {amount} to {biller} of {person}, since {date}, asked {count} times ({reason})",
                    id=row.id,
                    amount=stored.paying,
                    biller=row.biller,
                    person=row.person,
                    date=self._day(ctx, row.asked_at),
                    count=row.attempts,
                    reason=row.reason,
                )
            )
        ctx.say("\n".join(lines) if lines else ctx.t("Every biller has answered."))

    @command("bills ask", help=_("Ask a biller again at once: bills ask ID"), permission=Role.OPERATOR)
    async def ask_again(self, ctx: Context, bill_id: str) -> None:
        """Ask the biller of an unclear payment again, now."""
        stored = await self.paying.get(ctx, bill_id)
        if stored is None or stored.state is not State.UNKNOWN:
            ctx.say(ctx.t("There is no such payment that waits for its biller."))
            return
        self.paying.soon(ctx, "settle", stored, ctx.now_ms())
        ctx.say(ctx.t("The biller is asked now."))

    @every(timedelta(minutes=1))
    async def wake(self, ctx: Context) -> None:
        """Count what is unclear, and ask about what was forgotten."""
        self._book.count_unknown(self.paying.bot, await self.paying.wake(ctx))

    # What happens by itself

    @webhook("confirmed", secret="webhook_secret")  # noqa: S106 - the name of a setting is no secret
    async def confirmed(self, ctx: Context, call: WebhookCall) -> None:
        """A biller says that it knows more of a payment. It is asked, and only what it answers then counts: one biller
        says nothing of another's payments, and what comes twice or out of order does no harm."""
        payload = call.json
        payment = payload.get("payment") if isinstance(payload, dict) else None
        stored = await self.paying.get(ctx, payment) if isinstance(payment, str) and len(payment) < 65 else None
        if stored is not None and stored.state is State.UNKNOWN:
            self.paying.soon(ctx, "settle", stored, ctx.now_ms())

    @timer("fetch")
    async def fetch(self, ctx: Context, data: dict[str, Any]) -> None:
        """Ask a biller for a bill."""
        stored = await self.paying.get(ctx, data["bill"])
        if stored is None or stored.state is not State.FETCHING:
            return
        after = await self.paying.fetch(ctx, stored)
        if after is None:
            return
        if after.row.origin == LOOK:
            self.paying.soon(ctx, "looked", after, ctx.now_ms())
        else:
            self.paying.show(ctx, after)

    @timer("still")
    async def still(self, ctx: Context, data: dict[str, Any]) -> None:
        """A biller takes its time."""
        stored = await self.paying.get(ctx, data["bill"])
        if stored is not None and stored.state is State.FETCHING:
            ctx.say(ctx.t("Still checking. I show you the bill as soon as {biller} answers.",
                          biller=self.paying.name_of(stored)))  # fmt: skip

    @timer("shown")
    async def shown(self, ctx: Context, data: dict[str, Any]) -> None:
        """Show what a biller has answered."""
        stored = await self.paying.get(ctx, data["bill"])
        if stored is None:
            return
        if stored.state is State.SHOWN:
            taken = await self.paying.taken(ctx, stored)
            if not taken:
                ctx.start(self.offer, stored.id, await self._why(ctx, stored, data.get("why", "")))
                return
            view = await self.paying.view(ctx, stored)
            ctx.say(f"{card(view, ctx.translator)}\n\n{ctx.t(REFUSED[taken])}")
        elif stored.state is State.CLOSED:
            ctx.say(closed(stored, self.paying.name_of(stored), ctx.translator))

    async def _why(self, ctx: Context, stored: StoredBill, why: str) -> str:
        """What is said before a bill that nobody has looked up."""
        if why == "changed":
            return ctx.t("{biller} asks for another amount now, so nothing was paid. Here is the bill again.",
                         biller=self.paying.name_of(stored))  # fmt: skip
        account = await self.saving.get(ctx, stored.row.saved_id) if why else None
        if account is None:
            return ""
        if why == ASKED and account.cap is not None:
            return ctx.t("A bill of “{name}” is more than the {cap} that you allowed: I do not pay it by myself.",
                         name=account.nickname, cap=account.cap)  # fmt: skip
        return ctx.t("A bill of “{name}” is to be paid.", name=account.nickname)

    @timer("settle")
    async def settle(self, ctx: Context, data: dict[str, Any]) -> None:
        """Tell a biller of a payment that is held, or ask it what became of one."""
        stored = await self.paying.get(ctx, data["bill"])
        if stored is None or stored.state not in {State.HELD, State.UNKNOWN}:
            return
        first = stored.state is State.HELD
        answer = await self.paying.settle(ctx, stored)
        words = settled(stored, self.paying.name_of(stored), answer, ctx.translator, first=first)
        if words:
            ctx.say(words, room_id=stored.row.room_id, notice=False)

    # The wallet

    @payment_changed
    async def moved(self, ctx: Context, change: PaymentChange) -> None:
        """A payment or a mandate has changed in the wallet."""
        payment = await self.paying.cashier.payment(ctx, change.payment)
        if payment is None or change.about != "state":
            return
        if payment.kind is PaymentKind.MANDATE:
            await self._mandate_moved(ctx, payment)
            return
        stored = await self.paying.of_payment(ctx, payment.id, self.paying.cashier.key_of(payment))
        if stored is None:
            return
        if stored.state is State.PROPOSED and payment.state is PaymentState.HELD:
            self.paying.held(ctx, stored, payment.id)
        elif stored.state is State.PROPOSED and payment.state in ENDED and stored.row.origin != AUTOPAY:
            self.paying.released(ctx, stored, payment.state.value)
            words = ctx.t("Nothing was paid to {biller}.", biller=self.paying.name_of(stored))
            ctx.say(words, room_id=stored.row.room_id)
        elif stored.state is State.CANCELLED and payment.state is PaymentState.HELD:
            await self.paying.cashier.give_up(ctx, payment.id)
        elif stored.state in {State.HELD, State.UNKNOWN} and payment.state in ENDED and payment.reason != NOT_TAKEN:
            log.error("held money of a bill went back before its biller answered", extra={"bill": stored.id})

    async def _mandate_moved(self, ctx: Context, payment: Payment) -> None:
        account = await self.saving.of_mandate(ctx, self.paying.cashier.key_of(payment))
        held = payment.state is PaymentState.HELD
        if account is None or account.cap is None:
            if held:  # confirmed after it was not wanted any more
                await self.paying.cashier.give_up(ctx, payment.id)
            return
        room_id = account.row.room_id
        if held and account.row.mandate_id is None:
            self.saving.allowed(ctx, account, payment.id)
            words = ctx.t("Bills of “{name}” up to {cap} are paid by themselves from now on.", name=account.nickname,
                          cap=account.cap)  # fmt: skip
            ctx.say(words, room_id=room_id)
        elif payment.state in ENDED:
            self.saving.disallowed(ctx, account)
            ctx.say(ctx.t("Nothing of “{name}” is paid by itself any more.", name=account.nickname), room_id=room_id)

    # Saved accounts, every day

    @timer("look")
    async def look(self, ctx: Context, data: dict[str, Any]) -> None:
        """Ask for the bill of a saved account."""
        account = await self.saving.get(ctx, data["account"])
        if account is not None:
            self.saving.look(ctx, account)

    @timer("looked")
    async def looked(self, ctx: Context, data: dict[str, Any]) -> None:
        """Remind, tell, ask or pay."""
        stored = await self.paying.get(ctx, data["bill"])
        if stored is None or stored.state is not State.SHOWN:
            return
        notice = await self.saving.looked(ctx, stored)
        if notice is None:
            return
        if notice.kind == TOLD:
            ctx.say(self._told(ctx, stored, notice), room_id=stored.row.room_id, notice=False)
        elif notice.kind in {ASKED, REMINDED}:
            self.paying.show(ctx, stored, why=notice.kind)

    def _told(self, ctx: Context, stored: StoredBill, notice: Notice) -> str:
        return ctx.t(
            "On {date} I pay {amount} to {biller} for “{name}”. To stop it: “autopay {typed} off”.",
            date=notice.on,
            amount=stored.bill.amount,
            biller=self.paying.name_of(stored),
            name=notice.account.nickname,
            typed=typed(notice.account.nickname),
        )

    # Asking the wallet

    @timer("propose")
    async def propose(self, ctx: Context, data: dict[str, Any]) -> None:
        """Have the wallet ask for the confirmation of a bill, or take its money under a mandate."""
        stored = await self.paying.get(ctx, data["bill"])
        if stored is None or stored.state is not State.PROPOSED or stored.row.payment_id is not None:
            return
        biller, room_id = self.paying.name_of(stored), stored.row.room_id
        try:
            if stored.row.origin == AUTOPAY:
                await self.saving.charge(ctx, stored)
                return
            await self.paying.propose(ctx, stored)
        except Refused as error:
            words = ctx.t("{biller} was not paid: {reason}", biller=biller, reason=error.say(ctx))
            ctx.say(words, room_id=room_id, notice=False)
            return
        words = ctx.t("Please confirm {amount} in your chat with the wallet.", amount=stored.paying)
        ctx.say(words, room_id=room_id)

    @timer("mandate")
    async def mandate(self, ctx: Context, data: dict[str, Any]) -> None:
        """Have the wallet ask whether the bills of an account may be paid by themselves."""
        account = await self.saving.get(ctx, data["account"])
        if account is None:
            return
        try:
            if await self.saving.ask_for_mandate(ctx, account):
                ctx.say(ctx.t("Please confirm it in your chat with the wallet."), room_id=account.row.room_id)
        except Refused as error:
            ctx.say(error.say(ctx), room_id=account.row.room_id)
