"""A buyer's orders: the list, one with what can be done about it, an amendment that is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bots.commerce.buying.base import OFFERED, PAGE, ROUNDS
from bots.commerce.buying.complaining import Complaining
from bots.commerce.buying.rating import Rating
from bots.commerce.buying.words import QUESTION_MAX, further, joined, sentence, short
from bots.commerce.hand import Reader
from bots.commerce.orders import Happened
from bots.commerce.telling import buyer_card, buyer_words, lines_text
from bots.domain.carts import QUANTITY_MAX, CartLine
from bots.domain.cases import CLOSED, CaseState
from bots.domain.money import Money
from bots.domain.orders import ENDED, WORDS, Action, Fulfilment, Order, OrderRefused, OrderState
from bots.framework import Context, Dialog, Option, Rest, command, dialog, timer
from bots.framework.context import TIMER_FIRED
from bots.framework.i18n import Translator, _

AMENDED: Final = "buyer_amended"
MORE: Final = "more"
S = OrderState
CANCELLABLE: Final = frozenset({S.PLACED, S.PAID, S.AMENDED})
"""The buyer does it alone."""
BY_CONSENT: Final = frozenset({S.ACCEPTED, S.READY})
"""The merchant is asked."""
COMPLAINTS: Final = frozenset({S.DISPATCHED, S.FAILED, S.DELIVERED})
HAD: Final = frozenset({S.DELIVERED, S.CONCLUDED})


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order in a list. ``state``: English, of the domain's words."""

    id: str
    number: str
    merchant: str
    state: str
    total: Money


@dataclass(frozen=True, slots=True)
class OrderList:
    """A page of orders. ``next``: the id of the last one, when there are more."""

    rows: tuple[OrderRow, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """An order in its buyer's words. ``case``: the id of an open one of it; ``actions``: what can be done now."""

    number: str
    text: str
    actions: tuple[str, ...]
    case: str = ""


class Following(Complaining, Rating):
    """A buyer's orders, for the plugin to inherit. Its own commands ``orders`` and ``order`` call
    :meth:`my_orders` and :meth:`my_order`."""

    async def my_orders(self, ctx: Context) -> None:
        """Show the person's orders, the newest first."""
        if await self.private(ctx):
            ctx.start(self.order_list)

    async def my_order(self, ctx: Context, number: str) -> None:
        """Show one of the person's orders."""
        order = await self.order_named(ctx, number)
        if order is not None:
            ctx.start(self.order_at_hand, order.id)

    @command("cancel", help=_("Cancel an order: cancel 7KD2F"), aliases=("cancel order",))
    async def cancel_order(self, ctx: Context, number: Rest = "") -> None:
        """Cancel an order by its number: at once as long as the merchant has not accepted it, afterwards with their
        consent."""
        order = await self.order_named(ctx, number)
        if order is None:
            return
        if order.state in BY_CONSENT:
            ctx.start(self.ask_to_cancel, order.id)
        else:
            ctx.start(self.cancelling, order.id)

    @command("track", help=_("See where an order is: track 7KD2F"))
    async def track_order(self, ctx: Context, number: Rest = "") -> None:
        """Show how an order stands; without a number the one that you have placed last."""
        await self.my_order(ctx, number)

    @command("reorder", help=_("Order the same again: reorder 7KD2F"), aliases=("order again",))
    async def reorder_now(self, ctx: Context, number: Rest = "") -> None:
        """Put what you have ordered once into your cart again, at the prices of now."""
        order = await self.order_named(ctx, number)
        if order is not None:
            await self.reorder(ctx, order.id)

    async def reorder(self, ctx: Context, order_id: str) -> None:
        """Put the lines of an order into the cart, and show it."""
        order = await self.market.orders.get(ctx, order_id)
        if order is None or order.buyer != ctx.sender:
            return
        lines = [
            CartLine(order.merchant, line.product, line.variant, min(line.quantity, QUANTITY_MAX), line.choices)
            for line in order.was or order.lines
        ]
        added = await self.put_in(ctx, ctx.sender, lines)
        lead = ctx.t("In the cart: {what}", what=list(added.labels)) if added.labels else ""
        await self.show_cart(ctx, ctx.sender, lead=joined([lead, *added.refusals], "\n"))

    async def my_cases(self, ctx: Context) -> None:
        """Show the person's complaints, returns and cancellations, the newest first."""
        if not await self.private(ctx):
            return
        lines = []
        for case in await self.market.cases.of_buyer(ctx, ctx.sender, PAGE):
            order = await self.market.orders.get(ctx, case.order)
            if order is not None:
                text = self.case_text(ctx.translator, case)
                lines.append(ctx.t("Order {number}. {case}", number=order.number, case=text))
        if not lines:
            ctx.say(ctx.t("You have no complaints and no returns."))
            return
        ctx.say("\n".join([*lines, ctx.t("Type “order” and its number to do something about one.")]))

    # The list

    @dialog(timeout=OFFERED)
    async def order_list(self, d: Dialog, before: str = "") -> None:
        """The orders, page by page."""
        for _round in range(ROUNDS):
            page = await self.look(d, "orders", self._read_orders, d.person, before)
            if not page.rows:
                await d.end(d.t("You have ordered nothing here yet."))
            options = [self._order_option(d, row) for row in page.rows]
            if page.next:
                options.append(further(d, MORE))
            picked = (await d.choose(d.t("Your orders:"), options, page_size=PAGE + 1)).value
            if picked != MORE:
                await d.do("open", self._open_order, picked)
                return
            before = page.next

    async def _open_order(self, ctx: Context, order_id: str) -> None:
        ctx.start(self.order_at_hand, order_id)

    def _order_option(self, d: Dialog, row: OrderRow) -> Option:
        label = d.t("{number} from {merchant}", number=row.number, merchant=short(row.merchant, 60))
        about = joined([d.t(row.state), d.t("{amount}", amount=row.total)])
        return Option(row.id, label, about, aliases=(row.number,))

    async def _read_orders(self, reader: Reader, person: str, before: str) -> OrderList:
        found = await self.market.orders.of_buyer(reader, person, before=before, limit=PAGE + 1)
        names = await self.names(reader, [each.merchant for each in found])
        rows = tuple(
            OrderRow(each.id, each.number, names[each.merchant], WORDS[each.state], each.total) for each in found[:PAGE]
        )
        return OrderList(rows, rows[-1].id if len(found) > PAGE else "")

    # One order

    @dialog(timeout=OFFERED)
    async def order_at_hand(self, d: Dialog, order_id: str) -> None:
        """An order, and what to do about it."""
        shown = await d.do("order", self._shown_order, order_id)
        if shown is None:
            await d.end(d.t("There is no such order any more."))
        options = self._order_options(d, shown)
        question = shown.text
        if len(question) > QUESTION_MAX:
            await d.say(question)
            question = d.t("Order {number}: what would you like to do?", number=shown.number)
        if not options:
            await d.end(question if question == shown.text else None)
        picked = (await d.choose(question, options)).value
        if picked in {"withdraw", "escalate"}:
            words = await d.do("case", self.answer_case, shown.case, picked)
            await d.end(words)
        await d.do("act", self._act, order_id, picked)

    def _order_options(self, d: Dialog, shown: ShownOrder) -> list[Option]:
        labels = self.order_labels(d)
        return [Option(action, labels[action]) for action in shown.actions]

    def order_labels(self, d: Dialog) -> dict[str, str]:
        """What a buyer can do with an order, as they read it."""
        return {
            "agree": d.t("Yes, I want what is left"),
            "cancel": d.t("Cancel it"),
            "consent": d.t("Ask to cancel it"),
            "complain": d.t("Complain"),
            "return": d.t("Give it back"),
            "rate": d.t("Rate it"),
            "withdraw": d.t("Withdraw the case"),
            "escalate": d.t("Ask the operator to decide"),
            "reorder": d.t("Order the same again"),
            "invoice": d.t("Show the invoice"),
        }

    async def _shown_order(self, ctx: Context, order_id: str) -> ShownOrder | None:
        order = await self.market.orders.get(ctx, order_id)
        if order is None or order.buyer != ctx.sender:
            return None
        merchant = await self.market.sellers.get(ctx, order.merchant)
        cases = await self.market.cases.of_order(ctx, order.id)
        open_case = next((each for each in cases if each.state not in CLOSED), None)
        words = [buyer_card(order, merchant, ctx.translator)]
        if order.state is S.AMENDED and order.deadline is not None:
            words.append(ctx.t("Please say until {time} whether you want that.", time=order.deadline))
        words += [self.case_text(ctx.translator, each) for each in cases]
        pin = self.market.orders.pickup_pin(order)
        if pin and order.state in {S.ACCEPTED, S.READY}:
            words.append(ctx.t("Your PIN, for when you fetch it: {pin}", pin=pin))
        actions = _actions(order)
        if open_case is not None:
            actions = [each for each in actions if each not in {"complain", "return", "consent"}]
            actions.append("escalate" if open_case.state is CaseState.REFUSED else "withdraw")
        elif order.state in HAD and not await self.market.ratings.rated(ctx, order.id):
            actions.insert(0, "rate")
        if order.total and order.state is not S.AMENDED:
            actions.append("invoice")
        return ShownOrder(
            order.number, joined(words, "\n\n"), tuple(actions), "" if open_case is None else open_case.id
        )

    async def _act(self, ctx: Context, order_id: str, what: str) -> None:
        if what == "agree":
            await self._agree(ctx, order_id)
        elif what == "invoice":
            await self._say_invoice(ctx, order_id)
        elif what == "cancel":
            ctx.start(self.cancelling, order_id)
        elif what == "consent":
            ctx.start(self.ask_to_cancel, order_id)
        elif what == "complain":
            ctx.start(self.complaining, order_id)
        elif what == "return":
            ctx.start(self.returning, order_id)
        elif what == "rate":
            ctx.start(self.rating, order_id)
        else:
            await self.reorder(ctx, order_id)

    async def _say_invoice(self, ctx: Context, order_id: str) -> None:
        order = await self.market.orders.get(ctx, order_id)
        if order is not None:
            merchant = await self.market.orders.merchant(ctx, order)
            ctx.say(invoice_text(ctx.translator, order, merchant.name))

    async def _agree(self, ctx: Context, order_id: str) -> None:
        order = await self.market.orders.get(ctx, order_id)
        if order is None:
            return
        try:
            await self.market.orders.agree(ctx, order)
        except OrderRefused as error:
            ctx.say(sentence(ctx.translator, error))
            return
        ctx.say(ctx.t("Thank you. What was held before goes back, and you are asked to pay what is left."))

    # Cancelling

    @dialog(timeout=OFFERED)
    async def cancelling(self, d: Dialog, order_id: str) -> None:
        """Cancel an order that the merchant has not accepted."""
        if not await d.confirm(d.t("Shall I cancel this order?")):
            await d.end(d.t("The order stays as it is."))
        await d.say(await d.do("cancel", self._cancel, order_id))

    async def _cancel(self, ctx: Context, order_id: str) -> str:
        order = await self.market.orders.get(ctx, order_id)
        if order is None:
            return ctx.t("There is no such order any more.")
        try:
            await self.market.orders.act(ctx, order, Action.CANCEL, by=ctx.sender)
        except OrderRefused as error:
            return sentence(ctx.translator, error)
        if order.state is S.PLACED:
            return ctx.t("Order {number} is cancelled. Nothing was paid.", number=order.number)
        return ctx.t("Order {number} is cancelled. Your money comes back.", number=order.number)

    # What happens without the buyer

    async def after_action(self, ctx: Context, what: Happened) -> None:
        """A hook of :class:`~bots.commerce.orders.Orders`: a buyer is asked about an amendment, and for a rating."""
        order = what.after
        if what.action is Action.AMEND:
            call = {"name": AMENDED, "data": {"order": order.id}}
            ctx.schedules.at(
                ctx.now(), TIMER_FIRED, call, key=f"{AMENDED}/{order.id}", person=order.buyer, room=order.room_id
            )
        elif what.action is Action.DELIVER:
            words = await buyer_words(ctx, order)
            ctx.say(words.t("How was it? Type “rate {number}”.", number=order.number), room_id=order.room_id)

    @timer(AMENDED)
    async def buyer_amended(self, ctx: Context, data: dict[str, Any]) -> None:
        """Ask the buyer whether they want what is left."""
        order = await self.market.orders.get(ctx, data["order"])
        if order is not None and order.state is S.AMENDED:
            ctx.start(self.order_at_hand, order.id)


def invoice_text(say: Translator, order: Order, merchant: str) -> str:
    """An order's lines with their taxes, each rate by itself."""
    invoice = order.invoice(order.delivery.option or merchant)
    head = say.t("Invoice of order {number} from {merchant}, {date}", number=order.number, merchant=merchant,
                 date=order.placed_at.date())  # fmt: skip
    taxes = [
        say.t("Of this {tax} tax at {rate}, {net} net", tax=each.tax, rate=f"{(each.rate * 100).normalize():f} %",
              net=each.net)
        for each in invoice.taxes if each.rate
    ]  # fmt: skip
    return joined([head, *lines_text(order, say), *taxes], "\n")


def _actions(order: Order) -> list[str]:
    """What the buyer can do with an order as it stands."""
    if order.state is S.AMENDED:
        return ["agree", "cancel"]
    if order.state in CANCELLABLE:
        return ["cancel"]
    if order.state in BY_CONSENT:
        return ["consent", "complain"]
    found = ["complain"] if order.state in COMPLAINTS else []
    if order.state is S.DELIVERED and order.delivery.kind is not Fulfilment.DIGITAL:
        found.append("return")
    return [*found, "reorder"] if order.state in ENDED | HAD else found
