"""The bot's conversations: which bill, what to do with it, whose phone, what is paid by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from bots.bills.book import made_of
from bots.bills.paying import TOP_UP, Paying, Wanted
from bots.bills.saving import NAME_MAX, Saving
from bots.bills.texts import CATEGORIES, View, card, check_part, check_top_up, read_field, read_money, read_phone, typed
from bots.domain.bills import Action, BillerInfo, Category, Field, State, TopUp, canonical
from bots.domain.money import Money
from bots.framework import Context, Dialog, InvalidValue, ParseEnv, Plugin, dialog
from bots.framework.i18n import _

OFFERED: Final = timedelta(days=7)
"""How long a bill that was shown can be answered."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whose bill, or whose phone."""

    biller: str
    fields: dict[str, str]
    saved_id: str = ""


def nickname(text: str) -> str:
    """A name for a saved account. Raises InvalidValue."""
    name = " ".join(text.split())
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or canonical(name).isdecimal() or not canonical(name):
        raise InvalidValue("bills.nickname", _("A name has up to {most} characters, not only digits."), most=NAME_MAX)
    return name


class Conversations(Plugin):
    """The dialogs, for the plugin to inherit."""

    paying: Paying
    saving: Saving

    # A bill

    @dialog
    async def pay(self, d: Dialog) -> None:
        """From a category to the question to its biller."""
        chosen = await self._saved_one(d, top_ups=False)
        if chosen is None:
            labels = {d.t(CATEGORIES[each]): each for each in self.paying.billers.categories()}
            if not labels:
                await d.end(d.t("There are no billers here yet."))
            category = await d.choose(d.t("What would you like to pay?"), labels)
            info = await self._biller(d, d.t("To whom?"), category)
            fields = {}
            for field in info.fields:
                question = d.t("{label}, please. It looks like this: {example}", label=d.t(field.label),
                               example=field.example)  # fmt: skip
                fields[field.key] = await d.ask(question, parse=_reader(field))
            chosen = Chosen(info.id, fields)
        await d.do("look up", self._look_up, d.id, chosen)
        await d.say(d.t("I ask {biller} for the bill.", biller=self._name(chosen.biller)))

    async def _look_up(self, ctx: Context, cause: str, chosen: Chosen) -> None:
        wanted = Wanted(
            made_of(cause, "bill"), ctx.sender, ctx.room_id, chosen.biller, dict(chosen.fields),
            saved_id=chosen.saved_id,
        )  # fmt: skip
        self.paying.look_up(ctx, wanted)

    async def _biller(self, d: Dialog, question: str, category: Category) -> BillerInfo:
        offered = self.paying.billers.of(category)
        chosen = await d.choose(question, {each.name: each.id for each in offered})
        return next(each for each in offered if each.id == chosen)

    async def _saved_one(self, d: Dialog, *, top_ups: bool) -> Chosen | None:
        """One of the person's saved accounts, if there are any and one is meant."""
        saved = await d.do("saved", self._saved, top_ups)
        if not saved:
            return None
        options = {**{name: number for number, (name, _chosen) in enumerate(saved)}, d.t("Another one"): -1}
        number = await d.choose(d.t("Which one?"), options)
        return None if number < 0 else saved[number][1]

    async def _saved(self, ctx: Context, top_ups: bool) -> list[tuple[str, Chosen]]:
        found = []
        for each in await self.saving.list(ctx, ctx.sender):
            biller = self.paying.billers.get(each.row.biller)
            if biller is not None and (biller.info.top_up is not None) == top_ups:
                found.append((each.nickname, Chosen(each.row.biller, dict(each.fields), each.id)))
        return found

    @dialog(timeout=OFFERED)
    async def offer(self, d: Dialog, bill_id: str, why: str = "") -> None:
        """What the biller asks for, and what to do about it."""
        view = await d.do("view", self._view, bill_id)
        if view is None:
            await d.end(d.t("This bill is not open any more. Type “pay” to look it up again."))
        await self._decide(d, view, why)

    async def _view(self, ctx: Context, bill_id: str) -> View | None:
        stored = await self.paying.get(ctx, bill_id)
        if stored is None or stored.state is not State.SHOWN:
            return None
        return await self.paying.view(ctx, stored)

    async def _decide(self, d: Dialog, view: View, why: str = "") -> None:
        while True:
            question = card(view, _Words(d))
            options = {d.t("Pay {amount}", amount=view.amount): "pay"}
            if view.minimum is not None and view.minimum < view.amount:
                options[d.t("Pay a part")] = "part"
            if not view.saved:
                options[d.t("Save it under a name")] = "save"
            options[d.t("Not now")] = "no"
            answer = await d.choose(f"{why}\n\n{question}" if why else question, options)
            if answer != "save":
                break
            view = await self._save_it(d, view)
        if answer == "no":
            await d.do("cancel", self._cancel, view.id)
            await d.end(d.t("Nothing was paid."))
        amount = view.amount if answer == "pay" else await self._part(d, view)
        refused = await d.do("claim", self._claim, view.id, amount)
        if refused:
            await d.end(d.t(REFUSED[refused]))

    async def _part(self, d: Dialog, view: View) -> Money:
        def read(text: str, env: ParseEnv) -> Money:
            return read_money(text, view.amount.currency, env)

        def fits(amount: Money) -> None:
            check_part(view, amount)

        return await d.ask(d.t("How much of it?"), parse=read, validate=fits)

    async def _save_it(self, d: Dialog, view: View) -> View:
        while True:
            name = await d.ask(d.t("Under which name?"), parse=nickname)
            refused = await d.do("save", self._save, view.id, name)
            if refused != "taken":
                break
            await d.say(d.t("You have one of this name already."))
        if refused == "many":
            await d.say(d.t("You have as many saved accounts as I keep. Type “remove” and a name to make room."))
        else:
            await d.say(d.t("Saved as “{name}”. Type “remind {typed} 3” to be reminded before its bills are due.",
                            name=name, typed=typed(name)))  # fmt: skip
        return replace(view, saved=True)

    async def _save(self, ctx: Context, bill_id: str, name: str) -> str:
        stored = await self.paying.get(ctx, bill_id)
        if stored is None:
            return "many"
        row = stored.row
        wanted = Wanted(row.id, ctx.sender, ctx.room_id, row.biller, dict(stored.fields))
        saved = await self.saving.save(ctx, wanted, name)
        return saved if saved in {"taken", "many"} else ""

    async def _cancel(self, ctx: Context, bill_id: str) -> None:
        stored = await self.paying.get(ctx, bill_id)
        if stored is not None and stored.state is State.SHOWN:
            self.paying.move(ctx, stored, Action.CANCEL)

    async def _claim(self, ctx: Context, bill_id: str, amount: Money) -> str:
        stored = await self.paying.get(ctx, bill_id)
        return "gone" if stored is None else await self.paying.claim(ctx, stored, amount)

    # A mobile phone

    @dialog
    async def top_up(self, d: Dialog) -> None:
        """From the operator to the confirmation."""
        chosen = await self._saved_one(d, top_ups=True)
        if chosen is None:
            if not self.paying.billers.of(Category.TOP_UP):
                await d.end(d.t("There are no mobile operators here yet."))
            info = await self._biller(d, d.t("Which operator?"), Category.TOP_UP)
            plan = _sold(info).plan

            def read(text: str) -> str:
                return read_phone(plan, text)

            question = d.t("Which mobile number? It looks like this: {example}", example=plan.example)
            chosen = Chosen(info.id, {"phone": await d.ask(question, parse=read)})
        biller = self.paying.billers.get(chosen.biller)
        if biller is None:
            await d.end(d.t("There are no mobile operators here yet."))
        amount = await self._credit(d, _sold(biller.info))
        await self._decide(d, await d.do("top up", self._top_up, d.id, chosen, amount))

    async def _credit(self, d: Dialog, sold: TopUp) -> Money:
        if sold.amounts:
            options: dict[str, Money | None] = {d.t("{amount}", amount=each): each for each in sold.amounts}
            if sold.least is not None:
                options[d.t("Another amount")] = None
            chosen = await d.choose(d.t("How much?"), options)
            if chosen is not None:
                return chosen

        def read(text: str, env: ParseEnv) -> Money:
            return read_money(text, sold.currency, env)

        def fits(amount: Money) -> None:
            check_top_up(sold, amount)

        return await d.ask(
            d.t("How much, from {least} to {most}?", least=sold.least, most=sold.most), parse=read, validate=fits
        )

    async def _top_up(self, ctx: Context, cause: str, chosen: Chosen, amount: Money) -> View:
        wanted = Wanted(
            made_of(cause, "top up"), ctx.sender, ctx.room_id, chosen.biller, dict(chosen.fields), TOP_UP,
            chosen.saved_id,
        )  # fmt: skip
        return self.paying.top_up(ctx, wanted, amount)

    # What is paid by itself

    @dialog
    async def autopay_for(self, d: Dialog, account_id: str, name: str, cap: Money) -> None:
        """What the person allows, before the wallet asks."""
        words = d.t(
            "Bills of “{name}” up to {cap} would be paid by themselves the day before they are due. I tell you the day "
            "before; what is more than {cap} I ask about. You can stop it at any time: “autopay {typed} off”. Shall I?",
            name=name,
            typed=typed(name),
            cap=cap,
        )
        if not await d.confirm(words):
            await d.end(d.t("Nothing is paid by itself."))
        key = made_of(d.id, "mandate")
        if not await d.do("want", self._want_mandate, account_id, cap, key):
            await d.end(d.t("There is no such saved account any more."))

    async def _want_mandate(self, ctx: Context, account_id: str, cap: Money, key: str) -> bool:
        account = await self.saving.get(ctx, account_id)
        if account is None:
            return False
        await self.saving.end_mandate(ctx, account)
        self.saving.want_mandate(ctx, account, cap, key)
        return True

    def _name(self, biller_id: str) -> str:
        biller = self.paying.billers.get(biller_id)
        return biller_id if biller is None else biller.info.name


class _Words:
    """A dialog's texts as a translator."""

    language = ""

    def __init__(self, d: Dialog) -> None:
        self.t: Callable[..., str] = d.t
        self.n: Callable[..., str] = d.n


def _reader(field: Field) -> Callable[[str], str]:
    def read(text: str) -> str:
        return read_field(field, text)

    return read


def _sold(info: BillerInfo) -> TopUp:
    assert info.top_up is not None
    return info.top_up


REFUSED: Final = {
    "paid": _("This bill is paid already."),
    "busy": _("This bill is being paid just now."),
    "yours": _("This bill waits in your chat with the wallet: confirm it there, or decline it."),
    "gone": _("This bill is not open any more. Type “pay” to look it up again."),
}
