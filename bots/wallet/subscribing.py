"""What merchants may charge again and again: shown, ended, gone on with."""

from __future__ import annotations

from bots.framework import Context, InvalidValue
from bots.framework.i18n import _
from bots.payments.subscriptions import Subscription, SubscriptionState
from bots.wallet import numbers, sentences, words
from bots.wallet.chats import Hearer, aside
from bots.wallet.means import Means
from bots.wallet.problems import Discreet


class Subscribing:
    """Subscriptions of the person who pays."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._payments = means.payments

    async def show(self, ctx: Context) -> None:
        """Those in force, and those that are paused."""
        to = await aside(ctx)
        lines = [await self._line(ctx, to, each) for each in await self._payments.subscriptions.of(ctx.sender)]
        if not lines:
            to.tell(ctx, to.t("Nobody may charge you by themselves."))
            return
        how = to.t("“unsubscribe 3” ends number 3, “resume 3” goes on with it.")
        to.tell(ctx, "\n".join([to.t("These may charge you:"), *lines, how]))

    async def _line(self, ctx: Context, to: Hearer, each: Subscription) -> str:
        number = await numbers.number(ctx.user_state, each.id)
        name = await self._means.full(ctx, each.payee)
        if each.state is SubscriptionState.PAUSED:
            line = to.t("{number}. {amount} for {person}, paused", number=number, amount=each.amount, person=name)
        elif each.next_at:
            line = to.t("{number}. {amount} for {person}, next on {date}", number=number, amount=each.amount,
                        person=name, date=sentences.at(each.next_at).date())  # fmt: skip
        else:
            line = to.t("{number}. up to {amount} for {person}", number=number, amount=each.amount, person=name)
        return f"{line} · {each.memo}" if each.memo else line

    async def end(self, ctx: Context, text: str) -> None:
        """End one, at once."""
        number, subscription_id = await self._meant(ctx, text)
        await self._payments.revoke(subscription_id, ctx.sender)
        to = await aside(ctx)
        to.tell(ctx, to.t("Number {number} has ended: nothing is charged any more.", number=number))

    async def resume(self, ctx: Context, text: str) -> None:
        """Go on with one that is paused."""
        number, subscription_id = await self._meant(ctx, text)
        await self._payments.subscriptions.resume(subscription_id, ctx.sender)
        to = await aside(ctx)
        to.tell(ctx, to.t("Number {number} goes on.", number=number))

    async def _meant(self, ctx: Context, text: str) -> tuple[int, str]:
        wanted = words.number_of(text)
        if wanted is None:
            raise InvalidValue("wallet.which", _("Which one? Write its number, as “subscriptions” shows it."))
        subscription_id = await numbers.payment(ctx.user_state, wanted)
        known = {each.id for each in await self._payments.subscriptions.of(ctx.sender)}
        if subscription_id is None or subscription_id not in known:
            raise Discreet("wallet.no_subscription", _("You have no subscription {number}."), number=wanted)
        return wanted, subscription_id
