"""A wallet opens at its first use: no form, the first tier, a few words with its limits."""

from __future__ import annotations

from typing import Final

from bots.framework import Context, Key
from bots.framework.own_chat import alone
from bots.wallet import limits
from bots.wallet.chats import Hearer, hearer
from bots.wallet.means import Means

OPENED: Final = Key("opened", bool, default=False)


async def open_wallet(ctx: Context, means: Means, person: str) -> None:
    """Open a person's wallet, if it is not open: what was held for them is theirs now."""
    state = ctx.states.user(person)
    if await state.get(OPENED):
        return
    account = await means.ledger.account(person, means.settings.default_currency)
    await means.payments.open_wallet(person)
    state.set(OPENED, True)
    here = person == ctx.sender and await alone(ctx)
    to = Hearer(person, ctx.room_id, ctx.translator) if here else await hearer(ctx, person)
    standing = await limits.standing(ctx, means, account)
    lines = [
        to.t("Welcome! Your wallet is open."),
        *limits.words_of(to, standing),
        to.t("“top up 20 EUR” brings money in, “pay @bob 20 EUR” pays, “pin” sets a PIN, “help” shows all I can do."),
        to.t("I only take money out when you have typed a code here. I never ask for codes, PINs or cards."),
    ]
    to.tell(ctx, "\n".join(lines), key=f"wallet welcome {person}")


async def greet(ctx: Context) -> None:
    """What the wallet says where it comes into a room."""
    if len(await ctx.humans()) > 1:
        lines = [
            ctx.t("Hello, I am the wallet. “!pay”, “!request” and “!split” work here."),
            ctx.t("Codes and balances I show each of you in private."),
        ]
        ctx.say("\n".join(lines))
        return
    ctx.say(ctx.t("Hello, I keep your money. “help” shows what I can do, “balance” opens your wallet."))
