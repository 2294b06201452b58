"""Complaints, returns and cancellations: what the staff decides, and the operator where that is not enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from appservice import json
from bots.commerce.cases import Cases, Filed, case_card
from bots.commerce.desk.base import DeskBase, env_of, read_money, refused
from bots.commerce.desk.cards import put_card
from bots.domain.cases import NEXT, WORDS, Case, CaseAction, CaseKind, CaseRefused, CaseState
from bots.domain.merchants import Merchant, Staff
from bots.domain.money import Money
from bots.domain.orders import Order, OrderRefused
from bots.framework import Context, Dialog, InvalidValue, Option, Rest, choices, command, dialog
from bots.framework.choices import ChoicePrompt
from bots.framework.i18n import Translator, _
from bots.framework.permissions import Role

PREFIX: Final = "case:"
"""Before the id of a case where an order's could stand."""
OPEN: Final = (CaseState.OPEN, CaseState.APPROVED, CaseState.ESCALATED)
LINES: Final = re.compile(r"(?:lines?|of)?\s*((?:\d{1,3}\s*[:x×]\s*\d{1,3}[\s,;]*)+)", re.IGNORECASE)
PAIR: Final = re.compile(r"(\d{1,3})\s*[:x×]\s*(\d{1,3})")
ANSWER_MAX: Final = 500
ALL: Final = frozenset({"all", "everything"})
DOES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "approve": (_("Approve"), "✅"),
        "refund": (_("Give money back"), "💶"),
        "refuse": (_("Refuse"), "❌"),
    }
)
"""What staff do with a case: by its word how it is called, and the reaction for it."""


class Disputes(DeskBase):
    """Cases at the desk, for the plugin to inherit. Its own command ``cases`` begins with :meth:`desk_cases`."""

    async def desk_cases(self, ctx: Context) -> bool:
        """In a staff room: the cases that wait."""
        if await self.desk_of(ctx) is None:
            return False
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return True
        lines = []
        for case in await self.desk.cases.of_merchant(ctx, merchant.id, OPEN):
            order = await self.desk.orders.get(ctx, case.order)
            if order is not None:
                lines.append(ctx.t("{number}: {state}", number=order.number, state=ctx.t(WORDS[case.state])))
        ctx.say("\n".join(lines) if lines else ctx.t("No case waits for you."))
        return True

    @command("case", help=_("Staff room: what the buyer of an order wants: case 7KD2F"), hidden=True)
    async def desk_case(self, ctx: Context, number: str) -> None:
        """What the buyer of an order wants put right, and what can be done."""
        merchant = await self.at_desk(ctx)
        found = None if merchant is None else await self._desk_case_of(ctx, merchant, number)
        if merchant is not None and found is not None:
            case, order = found
            ctx.say(case_card(case, order, ctx.translator))
            await self._desk_show_case(ctx, case, order, merchant, ctx.translator)

    @command("approve", help=_("Staff room: do what the buyer of an order wants: approve 7KD2F"), hidden=True)
    async def desk_approve(self, ctx: Context, number: str, words: Rest = "") -> None:
        """Cancel an order as its buyer wants, let it come back, or settle a complaint without money. When goods have
        come back, “approve” once more gives the money back."""
        await self._desk_case_command(ctx, number, "approve", words)

    @command("refuse", help=_("Staff room: refuse what the buyer of an order wants"), hidden=True)
    async def desk_refuse(self, ctx: Context, number: str, words: Rest = "") -> None:
        """Refuse what the buyer of an order wants, and say why. They can ask the operator."""
        await self._desk_case_command(ctx, number, "refuse", words)

    @command("refund", help=_("Staff room: give money back: refund 7KD2F 5.00"), hidden=True)
    async def desk_refund(self, ctx: Context, number: str, words: Rest = "") -> None:
        """Settle a case with money: “refund 7KD2F 5.00”, “refund 7KD2F lines 1:2 3:1” (two of line 1, one of line 3),
        “refund 7KD2F all”. Never more than was paid, and once."""
        await self._desk_case_command(ctx, number, "refund", words)

    async def _desk_case_command(self, ctx: Context, number: str, word: str, words: str) -> None:
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        found = None if merchant is None else await self._desk_case_of(ctx, merchant, number)
        if merchant is not None and found is not None:
            await self._desk_decide_case(ctx, merchant, *found, word, words.strip())

    async def _desk_case_of(self, ctx: Context, merchant: Merchant, number: str) -> tuple[Case, Order] | None:
        order = await self.desk.orders.by_number(ctx, number, merchant_id=merchant.id)
        cases = [] if order is None else await self.desk.cases.of_order(ctx, order.id)
        if order is None or not cases:
            ctx.say(ctx.t("The buyer of order {number} wants nothing.", number=number[:40]))
            return None
        return next((case for case in reversed(cases) if case.state in OPEN), cases[-1]), order

    # Cards

    async def desk_case_told(self, ctx: Context, filed: Filed) -> None:
        """A hook of the cases: what the staff can do with a new one, and a word to operators about one for them."""
        case, order, merchant = filed.after, filed.order, filed.merchant
        words = self.desk_words_for(ctx, merchant)
        if (filed.before is None and merchant.room_id) or (case.state is CaseState.APPROVED and merchant.room_id):
            await self._desk_show_case(ctx, case, order, merchant, words)
        elif case.state is CaseState.ESCALATED:

            def sentence(say: Translator) -> str:
                return "\n".join([say.t("A case waits for you:"), *self._desk_dispute(case, order, merchant, say)])

            await self.desk_tell_operators(ctx, sentence)

    async def _desk_show_case(
        self, ctx: Context, case: Case, order: Order, merchant: Merchant, words: Translator
    ) -> None:
        """What can be done with a case, and its photos."""
        for number, photo in enumerate(case.photos, 1):
            content = photo_of(photo, f"photo-{number}")
            if content is not None:
                ctx.send(content, room_id=merchant.room_id)
        prompt = case_prompt(case, order, words)
        if prompt is not None:
            keys = [DOES[option.value][1] for option in prompt.options]
            await put_card(ctx, prompt, keys, "", merchant.room_id, words, rings=False)

    async def desk_case_answered(
        self, ctx: Context, merchant: Merchant, case_id: str, *, text: str = "", reaction: str = ""
    ) -> bool:
        """An answer to the card of a case: whether it was one."""
        case = await self.desk.cases.get(ctx, case_id)
        order = None if case is None else await self.desk.orders.get(ctx, case.order)
        if case is None or order is None or order.merchant != merchant.id:
            return False
        prompt = case_prompt(case, order, ctx.translator)
        if prompt is None:
            ctx.say(refused(CaseRefused("case.refused", state=WORDS[case.state]), ctx))
            return True
        first, _space, rest = text.partition(" ")
        found = (
            choices.match_reaction(prompt, reaction) if reaction else choices.match_text(prompt, text, ctx.translator)
        )
        if not isinstance(found, choices.Picked) and rest:
            found = choices.match_text(prompt, first, ctx.translator)
        else:
            rest = ""
        if not isinstance(found, choices.Picked):
            return False
        if await self.at_desk(ctx, Staff.MANAGER) is not None:
            await self._desk_decide_case(ctx, merchant, case, order, found.values[0], rest.strip())
        return True

    # Deciding

    async def _desk_decide_case(
        self, ctx: Context, merchant: Merchant, case: Case, order: Order, word: str, words: str
    ) -> None:
        action = action_of(case, word)
        if action is None:
            ctx.say(refused(CaseRefused("case.refused", state=WORDS[case.state]), ctx))
        elif word == "refuse" and not words:
            ctx.start(self.desk_refusing, case.id, order.number)
        elif word == "refund" and not words:
            worth = await self.desk.cases.worth(ctx, order, case.lines)
            ctx.start(self.desk_refunding, case.id, order.number, order.total, worth)
        elif word == "refund":
            try:
                amount = await read_refund(words, order, merchant, ctx, self.desk.cases)
            except InvalidValue as error:
                ctx.say(error.say(ctx.translator))
            except OrderRefused as error:
                ctx.say(refused(error, ctx))
            else:
                await self._desk_act_on_case(ctx, case, action, amount, "")
        else:
            await self._desk_act_on_case(ctx, case, action, None, words[:ANSWER_MAX])

    async def _desk_act_on_case(
        self, ctx: Context, case: Case, action: CaseAction, amount: Money | None, answer: str
    ) -> bool:
        try:
            after = await self.desk.cases.act(ctx, case, action, amount=amount, answer=answer, by=ctx.sender)
        except (CaseRefused, OrderRefused) as error:
            ctx.say(refused(error, ctx))
            return False
        order = await self.desk.orders.get(ctx, case.order)
        assert order is not None, "a case has its order"
        words = ctx.t("Order {number}: {state}", number=order.number, state=ctx.t(WORDS[after.state]))
        if after.amount is not None:
            words += " " + ctx.t("{amount} goes back to the buyer.", amount=after.amount)
        ctx.say(words)
        details = {} if amount is None else {"amount": str(amount)}
        self.desk_audited(ctx, f"case.{action.value}", f"case:{case.id}", "done", order=order.id, **details)
        return True

    @dialog(timeout=timedelta(minutes=30))
    async def desk_refusing(self, d: Dialog, case_id: str, number: str) -> None:
        """Why something is refused."""
        words = await d.ask(d.t("Why do you refuse it? The buyer of order {number} reads that.", number=number),
                            validate=_short)  # fmt: skip
        await d.do("refuse", self._desk_case_later, case_id, "refuse", None, words)

    @dialog(timeout=timedelta(minutes=30))
    async def desk_refunding(self, d: Dialog, case_id: str, number: str, total: Money, worth: Money) -> None:
        """How much goes back."""
        offered = {d.t("{amount}", amount=worth): worth, d.t("{amount} (all)", amount=total): total}
        options: dict[str, Money | None] = {**offered, d.t("Another amount"): None}
        amount = await d.choose(d.t("How much goes back to the buyer of order {number}?", number=number), options)
        if amount is None:
            amount = await d.ask(d.t("How much, up to {most}?", most=total), parse=read_money(total.currency))
        if amount.minor <= 0 or amount > total:
            await d.end(d.t("The amount is above nought and not more than what was paid."))
        await d.do("refund", self._desk_case_later, case_id, "refund", amount, "")

    async def _desk_case_later(self, ctx: Context, case_id: str, word: str, amount: Money | None, answer: str) -> None:
        case = await self.desk.cases.get(ctx, case_id)
        order = None if case is None else await self.desk.orders.get(ctx, case.order)
        merchant = None if order is None else await self.desk.sellers.get(ctx, order.merchant)
        if case is None or merchant is None or not await self.desk_may(ctx, merchant, ctx.sender, Staff.MANAGER):
            return
        action = action_of(case, word)
        if action is None:
            ctx.say(refused(CaseRefused("case.refused", state=WORDS[case.state]), ctx))
            return
        await self._desk_act_on_case(ctx, case, action, amount, answer)

    # Operators

    @command("disputes", help=_("Cases that wait for you"), permission=Role.OPERATOR)
    async def desk_disputes(self, ctx: Context) -> None:
        """Cases that merchant and buyer could not settle."""
        lines = []
        for case in await self.desk.cases.escalated(ctx):
            order = await self.desk.orders.get(ctx, case.order)
            merchant = None if order is None else await self.desk.sellers.get(ctx, order.merchant)
            if order is not None and merchant is not None:
                lines += [*self._desk_dispute(case, order, merchant, ctx.translator), ""]
        ctx.say("\n".join(lines).strip() if lines else ctx.t("There are none."))

    def _desk_dispute(self, case: Case, order: Order, merchant: Merchant, say: Translator) -> list[str]:
        lines = [
            say.t("{merchant}, {total}", merchant=merchant.name, total=order.total),
            case_card(case, order, say),
        ]
        if case.answer:
            lines.append(say.t("The merchant: {answer}", answer=case.answer))
        lines.append(say.t("“disputes settle {id} AMOUNT” or “disputes close {id} REASON”", id=case.id))
        return lines

    @command("disputes settle", help=_("Decide for the buyer"), permission=Role.OPERATOR)
    async def desk_dispute_settle(self, ctx: Context, case_id: str, amount: Rest = "") -> None:
        """Decide a case for the buyer: with an amount that goes back to them, or “all”."""
        await self._desk_operate(ctx, case_id, CaseAction.SETTLE, amount)

    @command("disputes close", help=_("Decide for the merchant"), permission=Role.OPERATOR)
    async def desk_dispute_close(self, ctx: Context, case_id: str, reason: Rest = "") -> None:
        """Decide a case for the merchant; the buyer reads the reason."""
        if not reason.strip():
            ctx.say(ctx.t("Please say why: the buyer is told."))
            return
        await self._desk_operate(ctx, case_id, CaseAction.CLOSE, reason)

    async def _desk_operate(self, ctx: Context, case_id: str, action: CaseAction, words: str) -> None:
        case = await self.desk.cases.get(ctx, case_id.strip().upper()[:40])
        order = None if case is None else await self.desk.orders.get(ctx, case.order)
        merchant = None if order is None else await self.desk.sellers.get(ctx, order.merchant)
        if case is None or order is None or merchant is None or case.state is not CaseState.ESCALATED:
            ctx.say(ctx.t("There is no such case that waits for you."))
            return
        amount = None
        if action is CaseAction.SETTLE and words.strip():
            try:
                amount = await read_refund(words, order, merchant, ctx, self.desk.cases)
            except InvalidValue as error:
                ctx.say(error.say(ctx.translator))
                return
            except OrderRefused as error:
                ctx.say(refused(error, ctx))
                return
        answer = " ".join(words.split())[:ANSWER_MAX] if action is CaseAction.CLOSE else ""
        await self._desk_act_on_case(ctx, case, action, amount, answer)


def action_of(case: Case, word: str) -> CaseAction | None:
    """What a word does to a case as it stands; None: nothing."""
    if word == "refuse":
        action = CaseAction.REFUSE if case.state is CaseState.OPEN else CaseAction.CLOSE
        possible = case.state in {CaseState.OPEN, CaseState.APPROVED}
    elif word == "approve" and case.kind is CaseKind.RETURN and case.state is CaseState.OPEN:
        action, possible = CaseAction.APPROVE, True
    else:
        # What is with the operator is the operator's to decide.
        action, possible = CaseAction.SETTLE, case.state is not CaseState.ESCALATED
    return action if possible and (case.state, action) in NEXT else None


def case_prompt(case: Case, order: Order, words: Translator) -> ChoicePrompt | None:
    """What can be done with a case; None: nothing."""
    found = [word for word in DOES if action_of(case, word) is not None]
    if case.kind is CaseKind.CANCELLATION:
        found = [word for word in found if word != "refund"]  # all of it comes back
    if not found or case.state not in {CaseState.OPEN, CaseState.APPROVED}:
        return None
    options = [Option(word, words.t(DOES[word][0]), key=DOES[word][1], aliases=(word,)) for word in found]
    return ChoicePrompt(
        words.t("What now with the case about order {number}?", number=order.number), options, id=f"{PREFIX}{case.id}"
    )


async def read_refund(words: str, order: Order, merchant: Merchant, ctx: Context, cases: Cases) -> Money:
    """An amount, “all”, or what some lines were paid with. Raises InvalidValue, OrderRefused."""
    plain = words.strip().casefold()
    if plain in {*ALL, ctx.t("all").casefold()}:
        return order.total
    if LINES.fullmatch(plain):
        lines = {int(number): int(count) for number, count in PAIR.findall(plain)}
        for number in lines:
            order.line(number)
        amount = await cases.worth(ctx, order, lines)
    else:
        amount = read_money(merchant.currency)(words, env_of(ctx, merchant))
    if not 0 < amount.minor <= order.total.minor:
        raise InvalidValue("case.amount", _("The amount is above nought and not more than what was paid."), clear=True)
    return amount


def photo_of(photo: str, name: str) -> dict[str, Any] | None:
    """The message that shows a photo of a case; None: it is nothing that can be shown."""
    content: dict[str, Any] = {"msgtype": "m.image", "body": name}
    if photo.startswith("mxc://"):
        return {**content, "url": photo}
    try:
        file = json.loads(photo)
    except ValueError:
        return None
    return {**content, "file": file} if isinstance(file, dict) else None


def _short(text: str) -> None:
    if not text.strip() or len(text) > ANSWER_MAX:
        raise InvalidValue("desk.long", _("Please write up to {most} characters."), clear=True, most=ANSWER_MAX)
