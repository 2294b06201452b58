"""A merchant's money: what there is, what moved, and having it paid out to an owner's wallet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from bots.commerce.desk.base import PAGE, DeskBase, env_of, read_money, refused
from bots.domain.ledger import Line
from bots.domain.merchants import Merchant, Staff
from bots.domain.money import Money
from bots.domain.payments import PaymentState
from bots.framework import Context, Dialog, InvalidValue, Rest, command, dialog, timer
from bots.framework.clock import from_ms
from bots.framework.context import TIMER_FIRED
from bots.framework.i18n import _
from bots.payments.merchants import PaymentRefused

KINDS: Final = {"refund": _("refund"), "fee": _("fee")}
"""What moved money, as people read it, beside sales and payouts."""


@dataclass(frozen=True, slots=True)
class Purse:
    """What the question about a payout needs to know."""

    amount: Money
    left: Money
    name: str
    person: str


def kind_of(line: Line) -> str:
    """What a line of a statement is."""
    return KINDS.get(line.kind, _("sale") if line.amount.minor > 0 else _("payout"))


class Payouts(DeskBase):
    """The commands about a merchant's money, for the plugin to inherit."""

    @command("balance", help=_("Staff room: what can be paid out"), hidden=True)
    async def desk_balance(self, ctx: Context) -> None:
        """What there is in your account here, and can be paid out."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is not None:
            ctx.say(ctx.t("There is {amount} to be paid out.", amount=await self._desk_has(ctx, merchant)))

    @command("payout", help=_("Staff room: have money paid out: payout 100"), hidden=True)
    async def desk_payout(self, ctx: Context, amount: Rest = "") -> None:
        """Have money paid out to your own wallet: “payout 100”, or “payout” for all there is. For owners."""
        merchant = await self.at_desk(ctx, Staff.OWNER)
        if merchant is None:
            return
        left = await self._desk_has(ctx, merchant)
        try:
            wanted = read_money(merchant.currency)(amount, env_of(ctx, merchant)) if amount else left
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        if not left or wanted.minor <= 0:
            ctx.say(ctx.t("There is nothing to be paid out."))
        elif wanted > left:
            ctx.say(ctx.t("Only {amount} can be paid out now.", amount=left))
        else:
            ctx.start(self.desk_paying_out, merchant.id, Purse(wanted, left, merchant.name, ctx.sender))

    @dialog
    async def desk_paying_out(self, d: Dialog, merchant_id: str, purse: Purse) -> None:
        """Whether the money really is to go, and where."""
        words = d.t(
            "Pay {amount} of {merchant} out to the wallet of {person}? {left} would stay.",
            amount=purse.amount,
            merchant=purse.name,
            person=purse.person,
            left=purse.left - purse.amount,
        )
        if not await d.confirm(words):
            await d.end(d.t("Nothing was paid out."))
        key = await d.step("key", self.desk.trade.new_id)
        if not await d.do("payout", self._desk_ask_payout, merchant_id, purse, f"payout/{key}"):
            await d.end(d.t("Only an owner may do that."))
        await d.say(d.t("The money is on its way."))

    async def _desk_ask_payout(self, ctx: Context, merchant_id: str, purse: Purse, key: str) -> bool:
        """Note it with the decision, to be done after the commit; however often that is tried, it is one payout."""
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is None or not await self.desk_may(ctx, merchant, ctx.sender, Staff.OWNER):
            return False
        data = {
            "merchant": merchant_id,
            "person": ctx.sender,
            "amount": purse.amount.minor,
            "currency": purse.amount.currency,
            "key": key,
        }
        self._desk_later(ctx, data)
        self.desk_audited(
            ctx, "merchant.payout", f"merchant:{merchant_id}", "asked", person=ctx.sender, amount=str(purse.amount),
            key=key,
        )  # fmt: skip
        return True

    def _desk_later(self, ctx: Context, data: dict[str, Any]) -> None:
        call = {"name": "desk payout", "data": data}
        room = f"~desk/{data['merchant']}"
        ctx.schedules.at(ctx.now(), TIMER_FIRED, call, key=data["key"], room=room, person=data["person"])

    @timer("desk payout")
    async def desk_pay_out(self, ctx: Context, data: dict[str, Any]) -> None:
        """Pay out what an owner has asked for; the same again is the same payout."""
        merchant = await self.desk.sellers.get(ctx, data["merchant"])
        if merchant is None:
            return
        amount, person = Money(int(data["amount"]), str(data["currency"])), str(data["person"])
        say, outcome = self.desk_words_for(ctx, merchant), "paid"
        try:
            # The memo is the same whenever it is tried: a payment of a key is compared with the one that is there.
            payment = await self.desk.payouts.pay(
                ctx, person, amount, key=str(data["key"]), memo=merchant.slug, sub=merchant.slug
            )
        except PaymentRefused as error:
            outcome = f"refused:{error.code}"
            words = say.t("Nothing was paid out: {reason}", reason=refused(error, say))  # type: ignore[arg-type]
        else:
            words = say.t("{amount} was paid out to {person}.", amount=amount, person=person)
            if payment.state is PaymentState.HELD:
                outcome = "held"
                words = say.t(
                    "{amount} waits for {person} to open a wallet; otherwise it comes back.",
                    amount=amount,
                    person=person,
                )
        self.desk_audited(
            ctx, "merchant.payout", f"merchant:{merchant.id}", outcome, person, amount=str(amount), key=data["key"]
        )
        ctx.say(words, room_id=merchant.room_id, notice=False)

    @command("statement", help=_("Staff room: what moved in your account"), hidden=True)
    async def desk_statement(self, ctx: Context, page: str = "") -> None:
        """What moved in your account, the newest first; “statement more” goes on."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        before = None
        if page.casefold() in {"more", ctx.t("more").casefold()}:
            before = await ctx.member_state.get("desk.statement", None, as_=int)
        lines = await self.desk.accounts.statement(
            ctx, merchant.currency, sub=merchant.slug, before_seq=before, limit=PAGE + 1
        )
        if not lines:
            ctx.say(ctx.t("Nothing has moved."))
            return
        words = [self._desk_moved(ctx, merchant, line) for line in lines[:PAGE]]
        if len(lines) > PAGE:
            ctx.member_state.set("desk.statement", lines[PAGE - 1].seq)
            words.append(ctx.t("For more: “statement more”"))
        ctx.say("\n".join(words))

    def _desk_moved(self, ctx: Context, merchant: Merchant, line: Line) -> str:
        at = from_ms(line.at).astimezone(ZoneInfo(merchant.hours.zone))
        return ctx.t(
            "{date}: {what} {amount}, then {balance}",
            date=at,
            what=ctx.t(kind_of(line)),
            amount=line.amount,
            balance=line.balance,
        )

    async def _desk_has(self, ctx: Context, merchant: Merchant) -> Money:
        return await self.desk.accounts.balance(ctx, merchant.currency, sub=merchant.slug)
