"""The cart in conversation: shown with the prices of the moment, changed line by line, and back again.

What is changed names the version that was seen; when another one came in between, the cart is shown again and nothing
is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from bots.commerce.buying.base import OFFERED, PAGE, ROUNDS
from bots.commerce.buying.coupons import Couponing
from bots.commerce.buying.extras import Extras, choose_extras
from bots.commerce.buying.shown import ShownLine, changes_of, not_had, shown_line, totals_of
from bots.commerce.buying.undo import can_take_back, remember, taken_back
from bots.commerce.buying.words import QUESTION_MAX, explain, joined, read_count, sentence, short
from bots.commerce.engines.base import EngineFailed
from bots.commerce.hand import Reader
from bots.domain.carts import NOTE_MAX, QUANTITY_MAX, Cart, CartError, CartLine
from bots.domain.catalogue import Choice
from bots.framework import Context, Dialog, Option, Rest, command, dialog
from bots.framework.i18n import _

NO_NOTE: Final = "-"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a cart: ``quantity`` (0 takes the line out), ``note``, ``extras`` of a line, or ``empty``.

    Attributes:
        number: of the line, from 1.
        person: whose lines, of a cart of a group that is emptied; empty: everybody's.
    """

    kind: str
    number: int = 0
    count: int = 0
    words: str = ""
    choices: tuple[Choice, ...] = ()
    person: str = ""

    def of(self, cart: Cart) -> Cart:
        """The cart after it. Raises CartError."""
        if self.kind == "quantity":
            return cart.set_quantity(self.number, self.count)
        if self.kind == "empty":
            kept = tuple(line for line in cart.lines if self.person and line.person != self.person)
            return Cart(kept, cart.version + 1)
        line = cart.line(self.number)
        changed = replace(line, note=self.words) if self.kind == "note" else replace(
            line, choices=self.choices, shown=None
        )  # fmt: skip
        at = self.number - 1
        return Cart((*cart.lines[:at], changed, *cart.lines[at + 1 :]), cart.version + 1)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of lines that were to be put into a cart, in the person's language, and how many things are in it
    now."""

    refusals: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    things: int = 0


@dataclass(frozen=True, slots=True)
class ShownCart:
    """A cart in the person's words, as a dialog keeps it. ``undo``: whether its last change can be taken back."""

    version: int
    text: str
    lines: tuple[ShownLine, ...]
    undo: bool = False


class CartKeeping(Couponing):
    """The cart, for the plugin to inherit."""

    browse_word: ClassVar[str] = "browse"
    """The command that shows what there is to buy."""

    # Commands

    @command("cart", help=_("Show your cart"), aliases=("basket",))
    async def cart_now(self, ctx: Context) -> None:
        """Show what is in your cart, with the prices of now; pick a line to change it."""
        if await self.private(ctx):
            await self.show_cart(ctx, ctx.sender)

    @command("cart remove", help=_("Take a line out of your cart: cart remove 2"))
    async def cart_remove(self, ctx: Context, line: int) -> None:
        """Take a line out of your cart, by its number; “cart undo” puts it back."""
        await self._edit_now(ctx, Edit("quantity", line))

    @command("cart quantity", help=_("Have so many of a line: cart quantity 2 5"), aliases=("cart set",))
    async def cart_quantity(self, ctx: Context, line: int, quantity: int) -> None:
        """Have so many of a line of your cart: first its number, then how many; 0 takes it out."""
        await self._edit_now(ctx, Edit("quantity", line, quantity))

    @command("cart note", help=_("Tell the merchant about a line: cart note 2 in red, please"))
    async def cart_note(self, ctx: Context, line: int, note: Rest = "") -> None:
        """Write a note to the merchant about a line; without words it is taken away."""
        await self._edit_now(ctx, Edit("note", line, words=" ".join(note.split())))

    @command("cart empty", help=_("Empty your cart"), aliases=("cart clear",))
    async def cart_empty(self, ctx: Context) -> None:
        """Take everything out of your cart; “cart undo” puts it back."""
        await self._edit_now(ctx, Edit("empty"))

    @command("undo", help=_("Take the last change of your cart back"), aliases=("cart undo",))
    async def undo_cart(self, ctx: Context) -> None:
        """Have your cart as it was before its last change."""
        if not await self.private(ctx):
            return
        await self.show_cart(ctx, ctx.sender, lead=await self._take_back(ctx, ctx.sender))

    async def _take_back(self, ctx: Context, owner: str) -> str:
        """Have a cart as it was before its last change; what is said of it."""
        before = await self.market.baskets.get(ctx, owner)
        after = await taken_back(ctx, before, owner)
        if after is None:
            return ctx.t("There is nothing to take back.")
        self.market.baskets.put(ctx, owner, before, after)
        return ctx.t("The cart is as it was before.")

    async def _edit_now(self, ctx: Context, edit: Edit) -> None:
        if not await self.private(ctx):
            return
        cart = await self.market.baskets.get(ctx, ctx.sender)
        await self.show_cart(ctx, ctx.sender, lead=await self._apply(ctx, ctx.sender, cart.version, edit))

    # Showing

    async def show_cart(self, ctx: Context, person: str, *, lead: str = "") -> None:
        """Show a cart in the room of the event.

        Args:
            person: whose: a user id, or ``group:ROOM``.
            lead: what is said first.
        """
        ctx.start(self.cart_at_hand, person, "", lead)

    @dialog(timeout=OFFERED)
    async def cart_at_hand(self, d: Dialog, owner: str, person: str = "", lead: str = "") -> None:
        """A cart, and what to do about it.

        Args:
            owner: whose: a user id, or ``group:ROOM``.
            person: only this one's lines, in the cart of a group.
            lead: what is said first.
        """
        for _round in range(ROUNDS):
            await self.stored(d)
            shown = await d.do("cart", self._shown, owner, person, lead)
            if not shown.lines:
                await d.end(shown.text)
            picked = await d.choose(shown.text, self._cart_options(d, shown, person), page_size=_page(shown))
            if picked.value in {"checkout", "ready"}:
                await d.do("leave", self._leave_cart, owner)
                return
            if picked.value == "empty":
                lead = await d.do("change", self._apply, owner, shown.version, Edit("empty", person=person))
            elif picked.value == "coupon":
                lead = await self.ask_for_coupon(d, owner)
            elif picked.value == "undo":
                lead = await d.do("undo", self._take_back, owner)
            else:
                line = next(each for each in shown.lines if _value(each) == picked.value)
                lead = await self._edit(d, owner, shown, line)
        await d.do("go on", self._cart_again, owner, person, lead)

    async def _cart_again(self, ctx: Context, owner: str, person: str, lead: str) -> None:
        ctx.start(self.cart_at_hand, owner, person, lead)

    async def _leave_cart(self, ctx: Context, owner: str) -> None:
        await self.begin_checkout(ctx, owner)

    def _cart_options(self, d: Dialog, shown: ShownCart, person: str) -> list[Option]:
        options = [Option(_value(line), line.label, line.about) for line in shown.lines]
        if not person:
            options.append(Option("checkout", d.t("Check out"), key="✅"))
            options.append(Option("coupon", d.t("Enter a coupon")))
        options.append(Option("empty", d.t("Empty the cart")))
        if shown.undo:
            options.append(Option("undo", d.t("Take the last change back"), key="↩️"))
        return options

    async def _shown(self, ctx: Context, owner: str, person: str, lead: str) -> ShownCart:
        """The cart in words; from now on the person has seen these prices."""
        cart = await self.market.baskets.get(ctx, owner)
        try:
            priced = await self.market.baskets.priced(ctx, cart, ctx.sender)
        except EngineFailed as error:
            return ShownCart(cart.version, joined([lead, sentence(ctx.translator, error)], "\n\n"), ())
        mine = [each for each in priced if not person or each.line.person == person]
        if not mine:
            empty = ctx.t("The cart is empty. Type “{word}” to look round.", word=self.browse_word)
            return ShownCart(cart.version, joined([lead, empty], "\n\n"), ())
        names = await self.names(ctx, [each.line.merchant for each in mine])
        several = len(names) > 1
        lines = tuple(shown_line(ctx.translator, each, names[each.line.merchant] if several else "") for each in mine)
        seen = cart.seen({each.index: each.price for each in mine if each.price is not None})
        if seen != cart:
            self.market.baskets.put(ctx, owner, cart, seen)
        text = joined(
            [lead, ctx.t("Your cart:"), *changes_of(ctx.translator, mine), *totals_of(ctx.translator, mine, names)],
            "\n",
        )
        return ShownCart(cart.version, short(text, QUESTION_MAX), lines, await can_take_back(ctx, cart, owner))

    async def names(self, reader: Reader, merchants: Sequence[str]) -> dict[str, str]:
        """What merchants are called, by id."""
        ids = dict.fromkeys(merchants)
        found = await self.market.sellers.many(reader, ids)
        return {each: found[each].name if each in found else each for each in ids}

    # Changing

    async def _edit(self, d: Dialog, owner: str, shown: ShownCart, line: ShownLine) -> str:
        """Have one line changed; what is said before the cart is shown again."""
        groups = await self.look(d, "extras", self._extras_of_line, owner, shown.version, line.number)
        edit = await self._wanted_edit(d, line, groups)
        if edit is None:
            return ""
        return await d.do("change", self._apply, owner, shown.version, edit)

    async def _wanted_edit(self, d: Dialog, line: ShownLine, groups: list[Extras]) -> Edit | None:
        options = [Option("quantity", d.t("Change how many")), Option("note", d.t("Write a note"))]
        if groups and not any(each.impossible for each in groups):
            options.append(Option("extras", d.t("Choose other extras")))
        options += [Option("remove", d.t("Take it out"), key="🗑️"), Option("back", d.t("Back to the cart"), key="⬅️")]
        what = (await d.choose(joined([line.label, line.about], "\n"), options)).value
        if what == "quantity":
            return Edit(what, line.number, await d.ask(d.t("How many? 0 takes it out."), parse=_quantity))
        if what == "note":
            question = d.t("What should the merchant know? “-” takes the note away.")
            return Edit(what, line.number, words=await d.ask(question, parse=_note))
        if what == "extras":
            return Edit(what, line.number, choices=await choose_extras(d, groups))
        return Edit("quantity", line.number) if what == "remove" else None

    async def _extras_of_line(self, reader: Reader, owner: str, version: int, number: int) -> list[Extras]:
        cart = await self.market.baskets.get(reader, owner)
        if cart.version != version or number > len(cart.lines):
            return []
        line = cart.line(number)
        return await self.extras_of(reader, line.merchant, line.product)

    async def extras_of(self, reader: Reader, merchant: str, product: str) -> list[Extras]:
        """What can be chosen with a product now, group by group."""
        found = await self.market.shelf.product(reader, merchant, product)
        return [] if found is None else [Extras.of(group) for group in found.groups]

    async def _apply(self, ctx: Context, owner: str, version: int, edit: Edit) -> str:
        """Change the cart that was seen; what is said of it."""
        before = await self.market.baskets.get(ctx, owner)
        try:
            after = edit.of(before.at(version))
        except CartError as error:
            return sentence(ctx.translator, error)
        self.market.baskets.put(ctx, owner, before, after)
        remember(ctx, owner, before, after)
        if edit.kind == "empty":
            return ctx.t("Everything is taken out. “cart undo” puts it back.")
        return (
            ctx.t("Taken out. “cart undo” puts it back.")
            if edit.kind == "quantity" and not edit.count
            else ctx.t("Changed.")
        )

    async def put_in(self, ctx: Context, owner: str, lines: Sequence[CartLine]) -> Added:
        """Put lines into a cart, with the prices of now; what cannot be had stays out."""
        say, refusals = ctx.translator, []
        before = await self.market.baskets.get(ctx, owner)
        after = before
        for line in lines:
            try:
                after = after.add(line)
            except CartError as error:
                refusals.append(sentence(say, error))
        try:
            priced = await self.market.baskets.priced(ctx, after, ctx.sender)
        except EngineFailed as error:
            return Added((sentence(say, error),), (), sum(line.quantity for line in before.lines))
        wanted = {line.same: line.quantity for line in lines}
        kept, labels = [], []
        for each in priced:
            if each.line.same not in wanted:
                kept.append(each.line)
            elif each.price is None:
                refusals.append(not_had(say, each))
            else:
                kept.append(replace(each.line, shown=each.price))
                name = short(joined([each.name, ", ".join(each.extras)], " – "), 200)
                labels.append(say.t("{count} × {name}", count=wanted[each.line.same], name=name))
        if labels:
            after = Cart(tuple(kept), before.version + 1)
            self.market.baskets.put(ctx, owner, before, after)
            remember(ctx, owner, before, after)
        return Added(tuple(refusals), tuple(labels), sum(each.quantity for each in kept))


def _value(line: ShownLine) -> str:
    return f"line-{line.number}"


def _page(shown: ShownCart) -> int:
    """Ten lines at most stand on a page, and what can be done with them beside."""
    return PAGE + 4 if len(shown.lines) <= PAGE else PAGE


def _quantity(text: str) -> int:
    return read_count(text, QUANTITY_MAX, 0)


def _note(text: str) -> str:
    words = " ".join(text.split())
    if len(words) > NOTE_MAX:
        raise explain(CartError("cart.note", most=NOTE_MAX))
    return "" if words == NO_NOTE else words
