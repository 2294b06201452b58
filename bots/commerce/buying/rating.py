"""What buyers think of an order: stars, words, a photo."""

from __future__ import annotations

from typing import Final

from bots.commerce.buying.carts import CartKeeping
from bots.commerce.buying.complaining import photo_of
from bots.commerce.buying.words import explain
from bots.domain.cases import CaseRefused
from bots.domain.orders import OrderState
from bots.framework import Context, Dialog, Option, Rest, Said, command, dialog
from bots.framework.i18n import _, fold

HAD: Final = frozenset({OrderState.DELIVERED, OrderState.CONCLUDED})
TEXT_MAX: Final = 1_000


class Rating(CartKeeping):
    """Ratings, for the plugin to inherit."""

    @command("rate", help=_("Rate an order: rate 7KD2F"), aliases=("review",))
    async def rate_now(self, ctx: Context, number: Rest = "") -> None:
        """Say what you think of an order that was delivered: stars, words, and a photo if you like."""
        order = await self.order_named(ctx, number)
        if order is None:
            return
        if order.state not in HAD:
            ctx.say(ctx.t("Order {number} can be rated once it is delivered.", number=order.number))
        else:
            ctx.start(self.rating, order.id)

    @dialog
    async def rating(self, d: Dialog, order_id: str) -> None:
        """Stars, words, a photo."""
        options = [Option(str(count), "★" * count, key=f"{count}\ufe0f\u20e3") for count in range(1, 6)]
        stars = int((await d.choose(d.t("How many stars?"), options)).value)
        skip = d.t("skip")
        text = await d.ask(d.t("What would you tell others? Type “{skip}” to say nothing.", skip=skip), parse=_text)
        photo = ""
        said = await d.ask(d.t("You can send a photo now. Type “{skip}” to go on without.", skip=skip), parse=Said)
        if said.attachment is not None:
            photo = photo_of(said)
        silent = fold(text) in {fold(skip), "skip", "-"}
        await d.say(await d.do("rate", self._rate, order_id, stars, "" if silent else text, [photo] if photo else []))

    async def _rate(self, ctx: Context, order_id: str, stars: int, text: str, photos: list[str]) -> str:
        order = await self.market.orders.get(ctx, order_id)
        if order is None or order.buyer != ctx.sender or order.state not in HAD:
            return ctx.t("This order cannot be rated.")
        self.market.ratings.rate(ctx, order, stars, text, photos)
        return ctx.t("Thank you for rating order {number}.", number=order.number)


def _text(text: str) -> str:
    words = text.strip()
    if not 1 <= len(words) <= TEXT_MAX:
        raise explain(CaseRefused("case.text", most=TEXT_MAX))
    return words
