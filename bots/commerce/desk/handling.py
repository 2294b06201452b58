"""What the staff does with orders: by commands, by reactions to their cards, by replies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from bots.commerce.desk.base import ROLES, refused
from bots.commerce.desk.cards import (
    DOES,
    STAFF_STATES,
    actions_of,
    card_of,
    meant_before,
    show_card,
    which,
)
from bots.commerce.desk.disputes import DOES as CASE_DOES
from bots.commerce.desk.disputes import PREFIX, Disputes
from bots.commerce.telling import buyer_words, line_text, staff_card
from bots.domain.merchants import Merchant, MerchantError, Staff
from bots.domain.numerals import typed_digits
from bots.domain.orders import WORDS, Fulfilment, Order, OrderRefused, OrderState
from bots.framework import Context, Dialog, InvalidValue, Rest, command, dialog
from bots.framework.choices.matching import CHOICE
from bots.framework.clock import from_ms
from bots.framework.i18n import _

REASON_MAX: Final = 300
OPEN_MAX: Final = 50
TRACKING_MAX: Final = 100
PAIRS: Final = re.compile(r"(\d{1,3})\s*[:=]\s*(\d{1,3})")
REASONS: Final = (_("Something is sold out"), _("Too much to do"), _("We are closed"), _("We do not deliver there"))
CASE_KEYS: Final = frozenset(key for _label, key in CASE_DOES.values())
LATER: Final = frozenset({"reject", "failed", "call off"})
"""What wants a reason."""
LISTED: Final = (
    *STAFF_STATES, OrderState.DELIVERED, OrderState.REJECTED, OrderState.TIMED_OUT, OrderState.CANCELLED,
    OrderState.RETURNED, OrderState.CONCLUDED,
)  # fmt: skip


class Handling(Disputes):
    """Orders at the desk, for the plugin to inherit. Its own commands ``orders`` and ``order`` begin with
    :meth:`desk_orders` and :meth:`desk_order`, which say whether they were meant."""

    async def desk_orders(self, ctx: Context, text: str = "") -> bool:
        """In a staff room: the orders that wait for something, or with a word like “delivered” those of that state."""
        if await self.desk_of(ctx) is None:
            return False
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return True
        wanted = text.strip().casefold()
        states = [state for state in LISTED if wanted and wanted in {state.value, ctx.t(WORDS[state]).casefold()}]
        found = await self.desk.orders.of_merchant(ctx, merchant.id, states or list(STAFF_STATES), limit=OPEN_MAX)
        lines = [
            ctx.t(
                "{number}: {state}, {total}, {count} lines, {time}",
                number=order.number,
                state=ctx.t(WORDS[order.state]),
                total=order.total,
                count=len(order.lines),
                time=order.placed_at,
            )
            for order in found
        ]
        ctx.say("\n".join(lines) if lines else ctx.t("No order waits for you."))
        return True

    async def desk_order(self, ctx: Context, number: str) -> bool:
        """In a staff room: the card of an order, with what can be done."""
        if await self.desk_of(ctx) is None:
            return False
        merchant = await self.at_desk(ctx)
        order = None if merchant is None else await self._desk_numbered(ctx, merchant, number)
        if merchant is not None and order is not None:
            await show_card(ctx, order, ctx.room_id, ctx.translator)
        return True

    async def _desk_numbered(self, ctx: Context, merchant: Merchant, number: str) -> Order | None:
        wanted = number.strip().lstrip("#")[:40]
        order = await self.desk.orders.by_number(ctx, wanted, merchant_id=merchant.id)
        if order is None or order.state is OrderState.PLACED:
            ctx.say(ctx.t("There is no order {number}.", number=wanted))
            return None
        return order

    # Commands

    @command("accept", help=_("Staff room: accept an order: accept 17 30"), hidden=True)
    async def desk_accept(self, ctx: Context, number: str = "", minutes: str = "") -> None:
        """Accept an order; it is ready in so many minutes, or in your usual time."""
        await self._desk_command(ctx, number, "accept", minutes)

    @command("reject", help=_("Staff room: reject an order: reject 17 no cheese"), hidden=True)
    async def desk_reject(self, ctx: Context, number: str = "", reason: Rest = "") -> None:
        """Reject an order. The buyer is told why, and gets their money back."""
        await self._desk_command(ctx, number, "reject", reason)

    @command("amend", help=_("Staff room: something is missing: amend 17 2:1"), aliases=("out",), hidden=True)
    async def desk_amend(self, ctx: Context, number: str = "", text: Rest = "") -> None:
        """Of some lines of an order there is less, or nothing: “amend 17 2:1 3:0”, or “amend 17”, and I ask. The buyer
        says whether they want what is left."""
        await self._desk_command(ctx, number, "amend", text)

    @command("ready", help=_("Staff room: an order is ready: ready 17"), hidden=True)
    async def desk_ready(self, ctx: Context, number: str = "") -> None:
        """An order is cooked or packed."""
        await self._desk_command(ctx, number, "ready", "")

    @command("dispatch", help=_("Staff room: an order is on its way: dispatch 17"), aliases=("shipped",), hidden=True)
    async def desk_dispatch(self, ctx: Context, number: str = "", tracking: Rest = "") -> None:
        """An order is on its way: “shipped 17 00340434161094022115” with the tracking number of a parcel."""
        await self._desk_command(ctx, number, "dispatch", tracking)

    @command("delivered", help=_("Staff room: an order was handed over: delivered 17 4821"), hidden=True)
    async def desk_delivered(self, ctx: Context, number: str = "", pin: Rest = "") -> None:
        """An order was handed over. Who fetches one tells you their PIN: “delivered 17 4821”. Who cannot tell it gets
        it from a manager: “delivered 17 without PIN”; the buyer is told."""
        await self._desk_command(ctx, number, "delivered", pin)

    @command("failed", help=_("Staff room: an order could not be handed over: failed 17 nobody there"), hidden=True)
    async def desk_failed(self, ctx: Context, number: str = "", reason: Rest = "") -> None:
        """An order could not be handed over."""
        await self._desk_command(ctx, number, "failed", reason)

    @command("try again", help=_("Staff room: bring an order once more: try again 17"), hidden=True)
    async def desk_again(self, ctx: Context, number: str = "") -> None:
        """Bring an order that could not be handed over once more."""
        await self._desk_command(ctx, number, "again", "")

    @command("came back", help=_("Staff room: an order has come back: came back 17"), hidden=True)
    async def desk_back(self, ctx: Context, number: str = "") -> None:
        """An order that could not be handed over is with you again. The buyer gets their money back."""
        await self._desk_command(ctx, number, "back", "")

    @command("call off", help=_("Staff room: call an accepted order off: call off 17 the oven broke"), hidden=True)
    async def desk_call_off(self, ctx: Context, number: str = "", reason: Rest = "") -> None:
        """Call an order off that you have accepted. The buyer is told why, and gets their money back."""
        await self._desk_command(ctx, number, "call off", reason)

    async def _desk_command(self, ctx: Context, number: str, word: str, rest: str) -> None:
        """Do something with the order of a number, or with the one whose card is answered."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        answered = ctx.reply_to or CHOICE in ctx.content or not number
        order = (await self._desk_answered(ctx, merchant, word))[0] if answered else None
        if order is not None:
            rest = f"{number} {rest}" if number and number.upper() != order.number.upper() else rest
        elif number:
            order = await self._desk_numbered(ctx, merchant, number)
        else:
            ctx.say(ctx.t("Of which order? Write for example “{word} 7KD2F”, or reply to its card.", word=word))
        if order is not None:
            await self._desk_does(ctx, merchant, order, word, rest.strip())

    # Cards

    async def desk_reacted(self, ctx: Context, merchant: Merchant, key: str, event_id: str) -> None:
        """A reaction in the staff room: perhaps to a card."""
        word = meant_before(key)
        card = await card_of(ctx, event_id) if word or key in CASE_KEYS else ""
        if card.startswith(PREFIX):
            await self.desk_case_answered(ctx, merchant, card.removeprefix(PREFIX), reaction=key)
            return
        order = await self.desk.orders.get(ctx, card) if card and word else None
        if order is None or await self.at_desk(ctx) is None:
            return
        word = which(order, ctx.translator, reaction=key) or word
        await self._desk_does(ctx, merchant, order, word, "")

    async def desk_said(self, ctx: Context, merchant: Merchant) -> bool:
        """A text in the staff room that is no command: whether it was an answer to a card.

        A reply to a card is; a number alone too where one order waits.
        """
        card, text = await self._desk_card_answered(ctx)
        if card.startswith(PREFIX):
            return await self.desk_case_answered(ctx, merchant, card.removeprefix(PREFIX), text=text)
        order, text = await self._desk_answered(ctx, merchant)
        if order is None and not card and ctx.addressed and re.match(r"\d{1,2}\b", text):
            ctx.say(ctx.t("Of which order? Write for example “{word} 7KD2F”, or reply to its card.", word="accept"))
            return True
        if order is None:
            return False
        if not card and not ctx.addressed and not re.fullmatch(r"\d{1,2}(?:\s+\d{1,4})?", text):
            return False  # “2 people are ill” is said among the staff
        # “1 40”, “2 no cheese”: the choice, and what belongs to it.
        first, _space, rest = text.partition(" ")
        word = which(order, ctx.translator, text=text)
        if word:
            rest = ""
        else:
            word = which(order, ctx.translator, text=first)
        if not word:
            return False
        if await self.at_desk(ctx) is not None:
            await self._desk_does(ctx, merchant, order, word, rest)
        return True

    async def _desk_answered(self, ctx: Context, merchant: Merchant, word: str = "") -> tuple[Order | None, str]:
        """The order whose card a message answers, and with what.

        Args:
            word: what is to be done with it, where that is known: one of several orders may be the only one for it.
        """
        card, text = await self._desk_card_answered(ctx)
        if card or ctx.reply_to:
            order = await self.desk.orders.get(ctx, card) if card else None
            return (order if order is not None and order.merchant == merchant.id else None), text
        if not word and not re.match(r"\d{1,2}\b", text):
            return None, text
        waiting = await self.desk.orders.of_merchant(ctx, merchant.id, list(STAFF_STATES), limit=OPEN_MAX)
        waiting = [order for order in waiting if (word in actions_of(order) if word else actions_of(order))]
        return (waiting[0] if len(waiting) == 1 else None), text

    async def _desk_card_answered(self, ctx: Context) -> tuple[str, str]:
        """Of what the card is that a message replies to, or whose button was pressed; and what it says."""
        text = ctx.rest.strip()
        given = ctx.content.get(CHOICE)
        if isinstance(given, Mapping):
            prompt, values = given.get("prompt"), given.get("values")
            if isinstance(prompt, str) and isinstance(values, list) and values and isinstance(values[0], str):
                return prompt[:60], values[0].replace("-", " ")
        return (await card_of(ctx, ctx.reply_to) if ctx.reply_to else ""), text

    # Doing

    async def _desk_does(self, ctx: Context, merchant: Merchant, order: Order, word: str, rest: str) -> None:
        """Do it, or ask for what is needed to."""
        if word not in actions_of(order):
            await self._desk_told_how_it_stands(ctx, order)
            return
        rest = " ".join(rest.split())
        if word == "accept":
            await self._desk_accept(ctx, merchant, order, rest)
        elif word == "amend":
            pairs = {int(number): int(count) for number, count in PAIRS.findall(rest)}
            if pairs:
                await self._desk_amend(ctx, order, pairs)
            else:
                ctx.start(self.desk_amending, order.id, order.revision)
        elif word in LATER and not rest:
            ctx.start(self.desk_reasoning, order.id, word, order.number)
        elif word == "delivered" and order.delivery.kind is Fulfilment.PICKUP:
            await self._desk_fetched(ctx, merchant, order, rest)
        elif word == "dispatch" and order.delivery.kind is Fulfilment.PARCEL and not rest:
            ctx.start(self.desk_tracking, order.id, order.number)
        else:
            changes: dict[str, Any] = {"reason": rest[:REASON_MAX]} if word in LATER else {}
            if word == "dispatch" and rest not in {"", "-"}:
                changes = {"tracking": rest[:TRACKING_MAX]}
            await self._desk_act(ctx, order, word, **changes)

    async def _desk_fetched(self, ctx: Context, merchant: Merchant, order: Order, said: str) -> None:
        """Somebody fetches an order: they have told its PIN, or a manager answers for them."""
        if not said:
            ctx.start(self.desk_counter, order.id, order.number)
            return
        plain = said.casefold()
        if plain in {each.casefold() for each in ("-", "without PIN", ctx.t("without PIN"))}:
            if not await self.desk_may(ctx, merchant, ctx.sender, Staff.MANAGER):
                ctx.say(ctx.t("Only who is {role} or above may do that here.", role=ctx.t(ROLES[Staff.MANAGER])))
                return
            self.desk_audited(ctx, "order.without_pin", f"order:{order.id}", "delivered", merchant=merchant.id)
            words = await buyer_words(ctx, order)
            ctx.say(words.t("Order {number} was handed over without your PIN.", number=order.number),
                    room_id=order.room_id)  # fmt: skip
        else:
            try:
                right = await self.desk.orders.say_pin(ctx, order, typed_digits(said), ctx.sender)
            except OrderRefused as error:
                ctx.say(refused(error, ctx))
                return
            if not right:
                ctx.say(ctx.t("That is not the PIN of order {number}. Please ask again.", number=order.number))
                return
        await self._desk_act(ctx, order, "delivered")

    async def _desk_accept(self, ctx: Context, merchant: Merchant, order: Order, rest: str) -> None:
        match = re.match(r"(\d{1,4})\b", rest)
        minutes = int(match[1]) if match else merchant.prepare
        if not 1 <= minutes <= 1440 or (rest and match is None):
            ctx.say(refused(MerchantError("merchant.minutes"), ctx))
            return
        ready = from_ms(ctx.now_ms()) + timedelta(minutes=minutes)
        if order.delivery.wanted is not None and not match:
            ready = order.delivery.wanted
        await self._desk_act(ctx, order, "accept", prepared_at=ready)

    async def _desk_act(self, ctx: Context, order: Order, word: str, **changes: Any) -> None:
        action, _label, _key = DOES[word]
        try:
            after = await self.desk.orders.act(ctx, order, action, by=ctx.sender, **changes)
        except OrderRefused as error:
            ctx.say(refused(error, ctx))
            return
        await self._desk_done(ctx, after)

    async def _desk_amend(self, ctx: Context, order: Order, quantities: Mapping[int, int]) -> None:
        try:
            after = await self.desk.orders.amend(ctx, order, dict(quantities), ctx.sender)
        except OrderRefused as error:
            ctx.say(refused(error, ctx))
            return
        await self._desk_done(ctx, after)

    async def _desk_done(self, ctx: Context, order: Order) -> None:
        """Tell the room what was done, and what comes next."""
        words = ctx.t(
            "Order {number}: {state} ({person})",
            number=order.number,
            state=ctx.t(WORDS[order.state]),
            person=await ctx.display_name(),
        )
        if not actions_of(order):
            ctx.say(words)
            return
        await show_card(ctx, order, ctx.room_id, ctx.translator, words)

    async def _desk_told_how_it_stands(self, ctx: Context, order: Order) -> None:
        refusal = OrderRefused("order.refused", state=WORDS[order.state])
        ctx.say(f"{refused(refusal, ctx)}\n\n{staff_card(order, ctx.translator)}")

    # What is asked for

    @dialog(timeout=timedelta(minutes=15))
    async def desk_reasoning(self, d: Dialog, order_id: str, word: str, number: str) -> None:
        """Why: the buyer is told."""
        options = {**{d.t(text): text for text in REASONS}, d.t("Something else"): ""}
        reason = await d.choose(d.t("Why? The buyer of order {number} is told.", number=number), options)
        words = d.t(reason) if reason else await d.ask(d.t("Please say it in a few words."), validate=_short)
        await d.do("act", self._desk_act_later, order_id, word, {"reason": words[:REASON_MAX]})

    @dialog(timeout=timedelta(minutes=15))
    async def desk_tracking(self, d: Dialog, order_id: str, number: str) -> None:
        """By which number a parcel can be followed."""
        words = await d.ask(
            d.t("What is the tracking number of order {number}? “-” for none.", number=number), validate=_short
        )
        await d.do(
            "act",
            self._desk_act_later,
            order_id,
            "dispatch",
            {} if words == "-" else {"tracking": words[:TRACKING_MAX]},
        )

    @dialog(timeout=timedelta(minutes=15))
    async def desk_counter(self, d: Dialog, order_id: str, number: str) -> None:
        """Which PIN somebody has told who fetches an order."""
        said = await d.ask(
            d.t("Which PIN does the buyer of order {number} tell you? “-” if they cannot.", number=number),
            validate=_short,
        )
        await d.do("fetched", self._desk_fetched_later, order_id, said)

    async def _desk_fetched_later(self, ctx: Context, order_id: str, said: str) -> None:
        order = await self._desk_still(ctx, order_id)
        if order is None:
            return
        if "delivered" not in actions_of(order):
            await self._desk_told_how_it_stands(ctx, order)
            return
        merchant = await self.desk.sellers.get(ctx, order.merchant)
        assert merchant is not None, "somebody may still act for it"
        await self._desk_fetched(ctx, merchant, order, said.strip() or "-")

    async def _desk_act_later(self, ctx: Context, order_id: str, word: str, changes: Mapping[str, str]) -> None:
        order = await self._desk_still(ctx, order_id)
        if order is None:
            return
        if word in actions_of(order):
            await self._desk_act(ctx, order, word, **changes)
        else:
            await self._desk_told_how_it_stands(ctx, order)

    async def _desk_still(self, ctx: Context, order_id: str) -> Order | None:
        """An order, if the person may still act for its merchant."""
        order = await self.desk.orders.get(ctx, order_id)
        merchant = None if order is None else await self.desk.sellers.get(ctx, order.merchant)
        if order is None or merchant is None or not await self.desk_may(ctx, merchant, ctx.sender):
            return None
        return order

    @dialog(timeout=timedelta(minutes=15))
    async def desk_amending(self, d: Dialog, order_id: str, revision: int) -> None:
        """Of which lines there is less."""
        lines = await d.do("lines", self._desk_lines, order_id)
        if not lines:
            await d.end(d.t("There is no such order any more."))
        missing = await d.choose_many(
            d.t("Of what is there less, or nothing?"), {text: index for index, (text, _count) in enumerate(lines)}
        )
        quantities: dict[int, int] = {}
        for index in missing:
            text, most = lines[index]
            left = 0
            if most > 1:
                question = d.t("How many are there of “{line}”? From 0 to {most}.", line=text, most=most - 1)
                left = await d.ask(question, parse=counter(most))
            quantities[index + 1] = left
        hide = await d.confirm(d.t("Shall I also take what is gone off the list for now?"))
        await d.do("amend", self._desk_amend_later, order_id, revision, quantities, hide)

    async def _desk_lines(self, ctx: Context, order_id: str) -> list[tuple[str, int]]:
        order = await self._desk_still(ctx, order_id)
        if order is None:
            return []
        return [
            (line_text(number, line, ctx.translator).splitlines()[0].partition(". ")[2], line.quantity)
            for number, line in enumerate(order.lines, 1)
        ]

    async def _desk_amend_later(
        self, ctx: Context, order_id: str, revision: int, quantities: Mapping[int, int], hide: bool
    ) -> None:
        order = await self._desk_still(ctx, order_id)
        if order is None:
            return
        if "amend" not in actions_of(order) or order.revision != revision:
            await self._desk_told_how_it_stands(ctx, order)
            return
        if hide:
            for number, count in quantities.items():
                line = order.lines[number - 1]
                if count == 0:
                    self.desk.shelf.set_available(ctx, order.merchant, line.product, line.variant, False)
        await self._desk_amend(ctx, order, quantities)


def counter(most: int) -> Callable[[str], int]:
    """A parser of how many are left: fewer than there were."""

    def read(text: str) -> int:
        digits = text.strip()
        if not digits.isdecimal() or len(digits) > 4 or int(digits) >= most:
            raise InvalidValue("desk.count", _("Please write a number from 0 to {most}."), clear=True, most=most - 1)
        return int(digits)

    return read


def _short(text: str) -> None:
    if len(text) > REASON_MAX:
        raise InvalidValue("desk.long", _("Please write up to {most} characters."), clear=True, most=REASON_MAX)
