"""Cases of a buyer: a complaint with photos, something that goes back, a cancellation after the order was accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appservice import json
from bots.commerce.buying.carts import CartKeeping
from bots.commerce.buying.words import counting, explain, joined, sentence, short
from bots.commerce.hand import Reader
from bots.domain.cases import PHOTOS_MAX, TEXT_MAX, WORDS, Case, CaseAction, CaseKind, CaseRefused
from bots.domain.orders import OrderRefused, OrderState
from bots.framework import Context, Dialog, Option, Rest, Said, command, dialog
from bots.framework.i18n import Translator, _, fold

KINDS: Final[Mapping[CaseKind, str]] = {
    CaseKind.CANCELLATION: _("Cancellation"),
    CaseKind.RETURN: _("Return"),
    CaseKind.COMPLAINT: _("Complaint"),
}
WHOLE: Final = "whole"
PHOTO_MAX: Final = 4_000
"""Characters of what opens a photo."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Of an order: what each line is, and how many of it there are."""

    number: str
    names: tuple[str, ...]
    quantities: tuple[int, ...]


class Complaining(CartKeeping):
    """Cases, for the plugin to inherit."""

    @command("complain", help=_("Complain about an order: complain 7KD2F"), aliases=("complaint",))
    async def complain_now(self, ctx: Context, number: Rest = "") -> None:
        """Tell the merchant what is wrong with an order, with photos if you like."""
        order = await self.order_named(ctx, number)
        if order is not None:
            ctx.start(self.complaining, order.id)

    @command("return", help=_("Give something of an order back: return 7KD2F"), aliases=("give back",))
    async def return_now(self, ctx: Context, number: Rest = "") -> None:
        """Give something back that was delivered: the merchant says whether and how."""
        order = await self.order_named(ctx, number)
        if order is None:
            return
        if order.state is not OrderState.DELIVERED:
            ctx.say(ctx.t("Only what was delivered can go back; order {number} is not, or too long ago.",
                          number=order.number))  # fmt: skip
            return
        ctx.start(self.returning, order.id)

    # The dialogs

    @dialog
    async def complaining(self, d: Dialog, order_id: str) -> None:
        """What is wrong, with what, and how that looks."""
        lines = await self.look(d, "lines", self._lines, order_id)
        about = await self._about(d, lines, d.t("What is it about?"))
        text = await d.ask(d.t("What is the matter?"), parse=_reason)
        photos = await ask_for_photos(d)
        await d.say(await d.do("open", self._open_case, order_id, CaseKind.COMPLAINT, text, about, photos))

    @dialog
    async def returning(self, d: Dialog, order_id: str) -> None:
        """What goes back, and why."""
        lines = await self.look(d, "lines", self._lines, order_id)
        about = await self._about(d, lines, d.t("What would you like to give back?"))
        text = await d.ask(d.t("Why does it go back?"), parse=_reason)
        photos = await ask_for_photos(d)
        await d.say(await d.do("open", self._open_case, order_id, CaseKind.RETURN, text, about, photos))

    @dialog
    async def ask_to_cancel(self, d: Dialog, order_id: str) -> None:
        """Ask the merchant to cancel an order that they have accepted."""
        question = d.t("The merchant has accepted it already, and is asked. Why should it be cancelled?")
        text = await d.ask(question, parse=_reason)
        await d.say(await d.do("open", self._open_case, order_id, CaseKind.CANCELLATION, text, {}, []))

    async def _lines(self, reader: Reader, order_id: str) -> Lines:
        order = await self.market.orders.get(reader, order_id)
        if order is None:
            return Lines("", (), ())
        return Lines(
            order.number, tuple(each.label for each in order.lines), tuple(each.quantity for each in order.lines)
        )

    async def _about(self, d: Dialog, lines: Lines, question: str) -> dict[int, int]:
        """How many of which lines, by number from 1; empty: the whole order."""
        if len(lines.names) == 1 and lines.quantities[0] == 1:
            return {}
        options = [
            Option(f"line-{number}", short(name, 100), d.t("{count} ×", count=count))
            for number, (name, count) in enumerate(zip(lines.names, lines.quantities, strict=True), 1)
        ]
        options.append(Option(WHOLE, d.t("The whole order")))
        picked = [each.value for each in await d.choose_many(question, options)]
        if WHOLE in picked:
            return {}
        about = {}
        for value in picked:
            number = int(value.removeprefix("line-"))
            most = lines.quantities[number - 1]
            about[number] = most
            if most > 1:
                name = short(lines.names[number - 1], 200)
                about[number] = await d.ask(d.t("How many of “{name}”?", name=name), parse=counting(most))
        return about

    async def _open_case(
        self, ctx: Context, order_id: str, kind: CaseKind, text: str, lines: dict[int, int], photos: list[str]
    ) -> str:
        order = await self.market.orders.get(ctx, order_id)
        if order is None:
            return ctx.t("There is no such order any more.")
        try:
            await self.market.cases.open(ctx, order, kind, text, lines, photos)
        except (CaseRefused, OrderRefused) as error:
            return sentence(ctx.translator, error)
        return ctx.t("The merchant is asked. I tell you what they say.")

    # Afterwards

    def case_text(self, say: Translator, case: Case) -> str:
        """A case as its buyer reads it."""
        head = say.t("{kind}: {state}", kind=say.t(KINDS[case.kind]), state=say.t(WORDS[case.state]))
        answer = say.t("Their answer: {answer}", answer=short(case.answer, 300)) if case.answer else ""
        amount = say.t("You get back: {amount}", amount=case.amount) if case.amount is not None else ""
        return joined([head, answer, amount], "\n")

    async def answer_case(self, ctx: Context, case_id: str, what: str) -> str:
        """Withdraw a case, or have the operator decide it; what is said of it."""
        case = await self.market.cases.get(ctx, case_id)
        if case is None:
            return ctx.t("There is no such case any more.")
        action = CaseAction.WITHDRAW if what == "withdraw" else CaseAction.ESCALATE
        try:
            await self.market.cases.act(ctx, case, action, by=ctx.sender)
        except CaseRefused as error:
            return sentence(ctx.translator, error)
        return ctx.t("Withdrawn.") if what == "withdraw" else ctx.t("The operator is asked to decide.")


async def ask_for_photos(d: Dialog) -> list[str]:
    """Up to five photos: what opens each, as it is kept."""
    photos: list[str] = []
    done = d.t("done")
    while len(photos) < PHOTOS_MAX:
        question = d.t("You can send a photo now. Type “{done}” to go on without.", done=done)
        if photos:
            question = d.t("Another photo? Type “{done}” when that was all.", done=done)
        said = await d.ask(question, parse=Said)
        photo = photo_of(said)
        if photo:
            photos.append(photo)
        elif fold(said.text) in {fold(done), "done", "no", "-"}:
            break
        else:
            await d.say(d.t("That was no photo."))
    return photos


def photo_of(said: Said) -> str:
    """What opens a picture: the JSON of an EncryptedFile, or a bare address; empty when it is none."""
    content = said.content
    if content.get("msgtype") != "m.image":
        return ""
    file, url = content.get("file"), content.get("url")
    text = json.dumps(file).decode() if isinstance(file, dict) else url if isinstance(url, str) else ""
    return text if len(text) <= PHOTO_MAX else ""


def _reason(text: str) -> str:
    words = text.strip()
    if not 1 <= len(words) <= TEXT_MAX:
        raise explain(CaseRefused("case.text", most=TEXT_MAX))
    return words
