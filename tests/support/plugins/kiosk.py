"""A bot that sells and gives money back, for the tests of payments on the real stack."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from bots.domain.invoices import Line
from bots.domain.money import Money
from bots.domain.payments import PaymentState
from bots.framework import Context, Dialog, PaymentChange, Plugin, Setup, command, dialog, joined, payment_changed
from bots.payments.merchants import Merchants, account_of


class Kiosk(Plugin):
    """Sells newspapers at 3 EUR, and books that are on order."""

    name = "kiosk"
    scopes = frozenset({"payments.charge", "state"})

    def __init__(self, setup: Setup) -> None:
        self._merchants = setup.service(Merchants)

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say so."""
        ctx.say("Hello! “paper” sells you one, “book” orders one, “back” gives your money back.")

    @command("paper", help="Buy a newspaper")
    async def paper(self, ctx: Context) -> None:
        """At once."""
        ctx.start(self.sell, account_of(ctx))

    @dialog
    async def sell(self, d: Dialog, account: str) -> None:
        """Sell one."""
        if await d.pay(Money(300, "EUR"), to=account, memo="A newspaper"):
            await d.say("Here is your newspaper.")
        else:
            await d.say("No newspaper, then.")

    @command("book", help="Order a book")
    async def book(self, ctx: Context) -> None:
        """The money is held until the book is there, and taken then."""
        line = Line("A book", Money(1070, "EUR"), tax=Decimal("0.07"))
        payment = await self._merchants.hold(
            ctx, ctx.sender, [line], key=ctx.event.event_id, accept_within=timedelta(hours=1)
        )
        ctx.user_state.set("book", payment.id)
        ctx.say("Confirm it in your wallet.")

    @payment_changed
    async def changed(self, ctx: Context, change: PaymentChange) -> None:
        """It is there at once."""
        if change.state == PaymentState.HELD.value:
            await self._merchants.capture(ctx, change.payment)

    @command("back", help="Give the book back")
    async def back(self, ctx: Context) -> None:
        """The whole amount, to where it came from."""
        payment = await ctx.user_state.get("book")
        await self._merchants.refund(ctx, payment, reason="given back", key=f"back {payment}")
        ctx.say("Your money is on its way.")
