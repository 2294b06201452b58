"""What a person may pay: asked before a code is shown, so that nobody confirms what will be refused; and shown."""

from __future__ import annotations

from typing import Final

from bots.domain.ledger import Account
from bots.domain.limits import GuardRefusal
from bots.domain.money import Money
from bots.framework import Context
from bots.framework.i18n import _
from bots.payments.guard import Standing
from bots.wallet.chats import Hearer, aside
from bots.wallet.means import Means
from bots.wallet.problems import Discreet, discreet

_RESETTING: Final = ("per_transfer", "per_day", "per_month")


async def standing(ctx: Context, means: Means, account: Account) -> Standing:
    """What the person may do now, in an account's currency."""
    balance, now = account.balance, ctx.now_ms()
    return await ctx.query(lambda connection: means.guard.standing(connection, account.owner, balance, now))


async def refuse_beyond(ctx: Context, means: Means, amount: Money) -> None:
    """That the person at hand can pay an amount as things stand. What counts is asked again when the money moves.

    Raises:
        Discreet: they cannot: frozen, over a limit (which, how much is left, when it resets), or not enough money.
    """
    account = await means.ledger.account(ctx.sender, amount.currency)
    refusal = _refusal(await standing(ctx, means, account), amount)
    if refusal is not None:
        raise discreet(refusal)
    if amount > account.available:
        raise Discreet(
            "wallet.too_little",
            _("You have {available} to spend, and this is {amount}: {missing} is missing. “top up” brings money in."),
            clear=True,
            available=account.available,
            amount=amount,
            missing=amount - account.available,
        )


def _refusal(now: Standing, amount: Money) -> GuardRefusal | None:
    """Why an amount does not fit into what is left; the guard's sentences."""
    if now.held:
        return GuardRefusal("guard.held")
    if now.frozen:
        return GuardRefusal("guard.frozen")
    if not now.offered:
        return GuardRefusal("guard.not_offered", {"currency": amount.currency})
    for each in now.allowances:
        if each.name not in _RESETTING or amount <= each.left:
            continue
        if each.name == "per_transfer":
            return GuardRefusal("guard.per_transfer", {"limit": each.limit, "amount": amount})
        return GuardRefusal(f"guard.{each.name}", {"limit": each.limit, "left": each.left, "resets": each.resets})
    if now.per_hour_left <= 0:
        return GuardRefusal("guard.per_hour", {"limit": now.per_hour, "resets": now.per_hour_resets})
    return None


async def show(ctx: Context, means: Means) -> None:
    """Every limit of the person, how much is left of it, and when it is whole again."""
    to = await aside(ctx)
    lines: list[str] = []
    hourly: Standing | None = None
    for currency in means.currencies:
        account = await means.ledger.account(ctx.sender, currency)
        hourly = await standing(ctx, means, account)
        lines += words_of(to, hourly)
    if hourly is not None:
        lines.append(
            to.n(
                "• One payment within an hour: {left} left",
                "• {count} payments within an hour: {left} left",
                hourly.per_hour,
                left=max(hourly.per_hour_left, 0),
            )
        )
    to.tell(ctx, "\n".join([to.t("Your limits:"), *lines]))


def words_of(to: Hearer, now: Standing) -> list[str]:
    """The limits of one currency, a line each."""
    lines = []
    for each in now.allowances:
        if each.name == "per_transfer":
            lines.append(to.t("• One payment: {limit}", limit=each.limit))
        elif each.name == "per_day":
            lines.append(to.t("• A day: {limit}, {left} left until {resets}", limit=each.limit, left=each.left,
                              resets=each.resets))  # fmt: skip
        elif each.name == "per_month":
            lines.append(to.t("• A month: {limit}, {left} left until {resets}", limit=each.limit, left=each.left,
                              resets=each.resets))  # fmt: skip
        else:
            lines.append(to.t("• In your wallet: {limit}, {left} more", limit=each.limit, left=each.left))
    return lines
