"""The wallet."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from bots.domain.exchange import ExchangeError
from bots.domain.invoices import InvoiceError
from bots.domain.money import MoneyError
from bots.domain.payments import PaymentRefused
from bots.framework import (
    Context,
    InvalidValue,
    PaymentChange,
    Plugin,
    RateLimit,
    Rest,
    Setup,
    command,
    edited,
    joined,
    media,
    member,
    message,
    middleware,
    own_chat,
    payment_changed,
    timer,
)
from bots.framework.arguments import ArgumentError
from bots.framework.funding_changes import FundingChange
from bots.framework.handlers import funding_changed
from bots.framework.i18n import _
from bots.payments.funding_values import FundingRefused
from bots.payments.receipts import NoReceipt
from bots.payments.statements import StatementError
from bots.wallet import limits, words
from bots.wallet.acquaintances import Acquaintances
from bots.wallet.arrivals import Arrivals, pin_changed
from bots.wallet.guarding import card_seen
from bots.wallet.looking import Looking
from bots.wallet.means import Means
from bots.wallet.moving import Moving
from bots.wallet.notices import Notices
from bots.wallet.opening import greet, open_wallet
from bots.wallet.paying import Paying, code_in
from bots.wallet.problems import Discreet, discreet, explain
from bots.wallet.requesting import REMIND, Requesting
from bots.wallet.safety import Safety
from bots.wallet.scanning import Scanning
from bots.wallet.subscribing import Subscribing


class Wallet(Plugin):
    """People's money: they pay, ask, share, bring it in and take it out. Money leaves by a code or a PIN alone."""

    name = "wallet"
    summary = "Your wallet: pay, ask for money, share bills, top up and cash out."
    scopes = frozenset({"payments.wallet", "rooms.create", "state", "schedules", "media", "people.read"})

    def __init__(self, setup: Setup) -> None:
        self._means = means = Means.of(setup)
        self._paying = Paying(means)
        self._requesting = Requesting(means, self._paying)
        self._scanning = Scanning(means, self._paying)
        self._moving = Moving(means, self._paying)
        self._looking = Looking(means)
        self._safety = Safety(means)
        self._subscribing = Subscribing(means)
        self._acquaintances = Acquaintances(means, self._paying)
        self._arrivals = Arrivals(means)
        self._notices = Notices(means, self._paying, self._requesting)

    # Around everything

    @middleware
    async def around(self, ctx: Context, call_next: Any) -> None:
        """No card numbers; and whoever uses the wallet for the first time has one from then on."""
        if ctx.incoming is not None and await card_seen(ctx):
            return
        if ctx.incoming is not None and ctx.addressed and ctx.incoming.kind == "text":
            await own_chat.remember(ctx)
            await open_wallet(ctx, self._means, ctx.sender)
        await call_next()

    async def _do(self, ctx: Context, work: Awaitable[None], example: str = "") -> None:
        """Do what was asked for, or say why not."""
        try:
            await work
        except (InvalidValue, ArgumentError) as problem:
            await explain(ctx, problem, example)
        except (PaymentRefused, ExchangeError, InvoiceError, FundingRefused, StatementError) as refused:
            await explain(ctx, discreet(refused))
        except NoReceipt as none:
            await explain(ctx, Discreet(none.code, none.msgid))
        except MoneyError as error:
            await explain(ctx, InvalidValue.of_money(error), example)

    @joined
    async def arrived(self, ctx: Context) -> None:
        """A few words about itself."""
        await greet(ctx)

    @member
    async def moved(self, ctx: Context, user_id: str, membership: str) -> None:
        """Who comes into their own chat with the wallet uses it: what was held for them is theirs."""
        members = await ctx.members()
        if membership == "join" and set(members) == {user_id, ctx.user_id} and await ctx.encrypted():
            await open_wallet(ctx, self._means, user_id)

    # Paying and being paid

    @command("pay", help=_("Pay somebody: pay @bob 20 EUR for lunch"), aliases=("send",))
    async def pay(self, ctx: Context, whom_how_much_what_for: Rest = "") -> None:
        """Pay somebody: “pay @bob 20 EUR for lunch”. “pay 3” pays request 3. A code follows in your own chat."""
        await self._do(ctx, self._paying.pay(ctx, whom_how_much_what_for), "pay @bob 20 EUR for lunch")

    @command("request", help=_("Ask for money: request 12 EUR from @bob for pizza"), aliases=("ask",))
    async def request(self, ctx: Context, how_much_from_whom_what_for: Rest = "") -> None:
        """Ask for money: “request 12 EUR from @bob for pizza”. Several people are each asked for the amount."""
        await self._do(ctx, self._requesting.request(ctx, how_much_from_whom_what_for), "request 12 EUR from @bob")

    @command("split", help=_("Share what you have paid: split 90 EUR with @bob @carol for dinner"))
    async def split(self, ctx: Context, how_much_with_whom_what_for: Rest = "") -> None:
        """Share equally: “split 90 EUR with @bob @carol”, your own share among them; “between” leaves you out.
        In a group without names: with everybody."""
        await self._do(ctx, self._requesting.split(ctx, how_much_with_whom_what_for), "split 90 EUR with @bob @carol")

    @command("qr", help=_("Make a QR code that somebody can pay: qr 5 EUR for coffee"))
    async def qr(self, ctx: Context, how_much_what_for: Rest = "") -> None:
        """A QR code for an amount: the first who scans it, or sends me a photo of it, can pay it."""
        await self._do(ctx, self._scanning.make(ctx, how_much_what_for), "qr 5 EUR for coffee")

    @command("requests", help=_("Show the requests that are open"))
    async def requests(self, ctx: Context) -> None:
        """What you are asked for, and what you have asked for, with their numbers."""
        await self._do(ctx, self._requesting.show(ctx))

    @command("remind", help=_("Remind somebody of your request: remind 3"))
    async def remind(self, ctx: Context, number: Rest = "") -> None:
        """Remind whoever you have asked, once a day at most."""
        await self._do(ctx, self._requesting.remind(ctx, number), "remind 3")

    @command("confirm", help=_("Confirm with the code that I have shown you: confirm 123456"))
    async def confirm(self, ctx: Context, code: Rest = "") -> None:
        """Confirm a payment. The code alone does the same. Both count only in your own chat with me."""
        await self._do(ctx, self._paying.confirm(ctx, code))

    @command("decline", help=_("Do not pay what you are asked for: decline 3"))
    async def decline(self, ctx: Context, number: Rest = "") -> None:
        """Decline a request, or without a number what you were asked last."""
        await self._do(ctx, self._paying.decline(ctx, number), "decline 3")

    @command("cancel", help=_("Take back a request, or drop a payment: cancel 3"))
    async def cancel(self, ctx: Context, number: Rest = "") -> None:
        """Take back what you have asked for; without a number, drop the payment that waits for your code."""
        await self._do(ctx, self._paying.cancel(ctx, number), "cancel 3")

    @command("undo", help=_("Get back what you have paid by mistake"))
    async def undo(self, ctx: Context) -> None:
        """Money that was paid cannot be called back; whoever has it can be asked for it."""
        await self._do(ctx, self._looking.undo(ctx))

    @command("subscriptions", help=_("Show who may charge you by themselves"))
    async def subscriptions(self, ctx: Context) -> None:
        """What you have agreed to be charged, with numbers."""
        await self._do(ctx, self._subscribing.show(ctx))

    @command("unsubscribe", help=_("End a subscription: unsubscribe 3"))
    async def unsubscribe(self, ctx: Context, number: Rest = "") -> None:
        """End a subscription at once."""
        await self._do(ctx, self._subscribing.end(ctx, number), "unsubscribe 3")

    @command("resume", help=_("Go on with a subscription that was paused: resume 3"))
    async def resume(self, ctx: Context, number: Rest = "") -> None:
        """Go on with a subscription that was paused because a charge did not work."""
        await self._do(ctx, self._subscribing.resume(ctx, number), "resume 3")

    # Money in and out

    @command("top up", help=_("Bring money in: top up 50 EUR"), aliases=("topup", "deposit"))
    async def top_up(self, ctx: Context, how_much_by_what: Rest = "") -> None:
        """Bring money in: “top up 50 EUR”, “top up 50 EUR by bank”. A page follows; never write card numbers here."""
        await self._do(ctx, self._moving.top_up(ctx, how_much_by_what), "top up 50 EUR")

    @command("cash out", help=_("Take money out: cash out 50 EUR to an IBAN"), aliases=("cashout", "withdraw"))
    async def cash_out(self, ctx: Context, how_much_where_to: Rest = "") -> None:
        """Take money out to a bank account: its IBAN, and the name of its holder behind it. A code follows."""
        await self._do(
            ctx, self._moving.cash_out(ctx, how_much_where_to), "cash out 50 EUR to DE89370400440532013000 Bob Example"
        )

    @command("exchange", help=_("Exchange currencies: exchange 20 EUR to USD"), aliases=("convert",))
    async def exchange(self, ctx: Context, how_much_to_what: Rest = "") -> None:
        """Exchange one currency for another. The rate and what it costs are shown before a code is asked for."""
        await self._do(ctx, self._moving.exchange(ctx, how_much_to_what), "exchange 20 EUR to USD")

    # Looking

    @command("balance", help=_("Show what you have"))
    async def balance(self, ctx: Context) -> None:
        """What is in your wallet, in each currency."""
        await self._do(ctx, self._looking.balance(ctx))

    @command("history", help=_("Show your latest payments, or search them: history lunch"))
    async def history(self, ctx: Context, words_to_find: Rest = "") -> None:
        """The latest payments; with words those that they are found in: a name, an id, what it was for."""
        await self._do(ctx, self._looking.history(ctx, words_to_find))

    @command("statement", help=_("All that moved in a month: statement march, statement march csv"))
    async def statement(self, ctx: Context, month_and_format: Rest = "") -> None:
        """All that moved in a month. Behind it “csv” or “beancount” gives a file."""
        await self._do(ctx, self._looking.statement(ctx, month_and_format), "statement march csv")

    @command("receipt", help=_("Show a receipt, as text and as PDF; without a number the latest"))
    async def receipt(self, ctx: Context, number: Rest = "") -> None:
        """The receipt of a payment by its number, or of the latest one."""
        await self._do(ctx, self._looking.receipt(ctx, number))

    @command("limits", help=_("Show your limits, and what is left of them"))
    async def limits(self, ctx: Context) -> None:
        """What you may pay at once, in a day, in a month, and when it begins anew."""
        await self._do(ctx, limits.show(ctx, self._means))

    # Safety

    @command("freeze", help=_("Stop everything that leaves your wallet, at once"))
    async def freeze(self, ctx: Context) -> None:
        """Nothing leaves your wallet any more, until you say “unfreeze” and enter your PIN."""
        await self._do(ctx, self._safety.freeze(ctx))

    @command("unfreeze", help=_("Use your wallet again, by your PIN"))
    async def unfreeze(self, ctx: Context) -> None:
        """A link follows to a page that asks for your PIN."""
        await self._do(ctx, self._safety.unfreeze(ctx))

    @command("pin", help=_("Set or change your PIN, on a page"))
    async def pin(self, ctx: Context) -> None:
        """A link follows to a page where you set your PIN. Never write it into a chat."""
        await self._do(ctx, self._safety.pin(ctx))

    # People

    @command("payees", help=_("Show the people whom you pay"))
    async def payees(self, ctx: Context) -> None:
        """Whom you have saved, and whom you have paid before."""
        await self._do(ctx, self._acquaintances.show(ctx))

    @command("save", help=_("Save somebody under a name: save @bob as Bob"))
    async def save(self, ctx: Context, whom_as_what: Rest = "") -> None:
        """Save somebody: “save @bob as Bob”, and “pay Bob 20 EUR” works from then on."""
        await self._do(ctx, self._acquaintances.save(ctx, whom_as_what), "save @bob as Bob")

    @command("trust", help=_("Trust somebody: trust @bob"))
    async def trust(self, ctx: Context, whom: Rest = "") -> None:
        """No more warnings that you have never paid them. A code is still asked for each time."""
        await self._do(ctx, self._acquaintances.trust(ctx, whom, True), "trust @bob")

    @command("untrust", help=_("Trust somebody no more: untrust @bob"))
    async def untrust(self, ctx: Context, whom: Rest = "") -> None:
        """Warnings come again."""
        await self._do(ctx, self._acquaintances.trust(ctx, whom, False), "untrust @bob")

    @command("forget", help=_("Forget somebody you have saved: forget Bob"))
    async def forget(self, ctx: Context, whom: Rest = "") -> None:
        """Take somebody out of the people whom you have saved."""
        await self._do(ctx, self._acquaintances.forget(ctx, whom))

    # What is no command

    @message(addressed=True)
    async def other(self, ctx: Context) -> None:
        """A code alone, or a link or token of a request; whatever else is answered with help."""
        if code_in(ctx.rest) is not None:
            await self._do(ctx, self._paying.confirm(ctx, ctx.rest))
        elif (token := words.token_of(ctx.rest)) is not None:
            await self._do(ctx, self._paying.scan(ctx, token))
        else:
            ctx.decline()

    @message(addressed=False)
    async def overheard(self, ctx: Context) -> None:
        """What people say to one another is not for the wallet; it has looked for card numbers alone."""

    @edited
    async def edited_text(self, ctx: Context, event_id: str) -> None:
        """An edit is for nobody here either: it confirms nothing, and is looked through for card numbers alone."""

    @media(kinds=["image"], limit=RateLimit(10, per=60))
    async def photo(self, ctx: Context) -> None:
        """A photo of a QR code."""
        await self._do(ctx, self._scanning.photo(ctx))

    # What happens by itself

    @payment_changed
    async def changed(self, ctx: Context, change: PaymentChange) -> None:
        """Tell people of their payments."""
        await self._notices.changed(ctx, change)

    @timer(REMIND)
    async def reminded(self, ctx: Context, data: Any) -> None:
        """Remind of a request."""
        await self._requesting.reminded(ctx, data)

    @funding_changed
    async def arrived_money(self, ctx: Context, change: FundingChange) -> None:
        """Tell people of money that comes from outside."""
        await self._arrivals.changed(ctx, change)

    @timer("pin")
    async def pin_changed(self, ctx: Context, data: Any) -> None:
        """Tell people that their PIN has changed."""
        await pin_changed(ctx, data)
