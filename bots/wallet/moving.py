"""Money in, money out, and from one currency to another."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from bots.domain.currencies import CURRENCIES
from bots.domain.epc import IBAN_LENGTHS, SepaError, grouped, iban, masked
from bots.domain.exchange import ExchangeError
from bots.domain.money import Money
from bots.domain.payments import Capture, PaymentKind, Proposal
from bots.framework import Context, InvalidValue, Key
from bots.framework.arguments import fold, money
from bots.framework.content import clean
from bots.framework.i18n import _
from bots.payments.funding_values import Offer, TopUp
from bots.payments.providers.bank import qr_png
from bots.payments.rates import Quote
from bots.wallet import words
from bots.wallet.arrivals import page, page_key
from bots.wallet.chats import Hearer, aside
from bots.wallet.limits import refuse_beyond
from bots.wallet.means import Means
from bots.wallet.paying import Paying
from bots.wallet.problems import Discreet

ACCOUNT: Final = Key("account", dict[str, str], default={}, secret=True)
"""Where a person's money went last: iban and name."""
_IBAN: Final = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?=[ \dA-Za-z])")


class Moving:
    """Top-ups, cash-outs, exchange."""

    def __init__(self, means: Means, paying: Paying) -> None:
        self._means = means
        self._paying = paying

    # In

    async def top_up(self, ctx: Context, text: str) -> None:
        """ "50 EUR", "50 EUR by bank": a page, or what a transfer needs."""
        rest, chosen = self._by(ctx, text)
        order = words.order(rest, self._means.env(ctx), {}, ctx.user_id)
        if order.amount is None:
            raise InvalidValue("wallet.no_amount", _("How much? Write an amount, such as 20 EUR."), clear=True)
        amount = self._means.offered(order.amount)
        offers = [each for each in self._means.funding.offers() if each.tops_up and _takes(each, amount)]
        to = await aside(ctx)
        if not offers:
            to.tell(ctx, to.t("Nobody brings {currency} in here.", currency=amount.currency))
            return
        if chosen is None and len(offers) > 1:
            ways = [f"• top up {amount} by {each.name} – {each.title}" for each in offers]
            to.tell(ctx, "\n".join([to.t("How do you want to pay?"), *ways]))
            return
        provider = chosen or offers[0]
        begun = await self._means.funding.top_up(ctx.sender, amount, provider.name, f"top-up:{ctx.event.event_id}")
        if begun.instructions:
            await self._transfer(ctx, to, begun)
        elif begun.link:
            to.tell(ctx, page(to, begun, provider.title), key=page_key(begun))
        else:
            to.tell(ctx, to.t("{provider} does not answer right now. I go on by myself and tell you.",
                              provider=provider.title))  # fmt: skip

    async def _transfer(self, ctx: Context, to: Hearer, begun: TopUp) -> None:
        """What a bank transfer needs, as text and as the code that banks' apps read."""
        given = begun.instructions
        lines = [
            to.t("Transfer {amount} from your bank:", amount=begun.amount),
            to.t("To: {name}", name=given.get("name", "")),
            to.t("IBAN: {iban}", iban=grouped(given.get("iban", ""))),
        ]
        if given.get("bic"):
            lines.append(to.t("BIC: {bic}", bic=given["bic"]))
        lines += [
            to.t("Reference: {reference}", reference=given.get("reference", "")),
            to.t("Without exactly this reference I do not know that it is yours. I tell you when the money is here."),
        ]
        if given.get("qr"):
            picture = await asyncio.to_thread(qr_png, given["qr"])
            await ctx.send_image(picture, "transfer.png", caption=to.t("For your bank's app"), room_id=to.room_id)
        to.tell(ctx, "\n".join(lines))

    def _by(self, ctx: Context, text: str) -> tuple[str, Offer | None]:
        """A text without the provider that it ends with, and the provider."""
        said = text.split()
        known = {
            fold(name): each for each in self._means.funding.offers() for name in (each.name, *each.title.split()[:1])
        }
        vocabulary = self._means.env(ctx).vocabulary(words.WORDS)
        for cut in range(len(said) - 1, 0, -1):
            if vocabulary.get(said[cut - 1]) in {"by", "with"}:
                name = fold(" ".join(said[cut:]))
                found = known.get(name) or next((v for v in known.values() if fold(v.title) == name), None)
                if found is None:
                    raise InvalidValue(
                        "wallet.no_provider",
                        _("I know no “{given}”. There is: {names}."),
                        given=clean(" ".join(said[cut:]))[:40],
                        names=[each.name for each in self._means.funding.offers()],
                    )
                return " ".join(said[: cut - 1]), found
        return text, None

    # Out

    async def cash_out(self, ctx: Context, text: str) -> None:
        """ "50 EUR to DE89 … Bob Example", "50 EUR": where the money went last."""
        rest, chosen = self._by(ctx, text)
        amount, destination = await self._wanted(ctx, rest)
        self._means.offered(amount)
        offers = [each for each in self._means.funding.offers() if each.pays_out and _takes(each, amount)]
        fitting = [each for each in offers if not each.needs_iban or destination]
        if chosen is None and not offers:
            raise Discreet("wallet.no_way_out", _("Nobody pays {currency} out here."), currency=amount.currency)
        if chosen is None and not fitting:
            raise InvalidValue("wallet.where", _("Where to? Write an IBAN, and the name of its holder."), clear=True)
        # An account that was named is meant.
        provider = chosen or next((each for each in fitting if each.needs_iban == bool(destination)), fitting[0])
        given = destination if provider.needs_iban else {}
        self._means.funding.check_cash_out(amount, provider.name, given)
        await refuse_beyond(ctx, self._means, amount)
        payment = await self._means.payments.propose(
            Proposal(
                kind=PaymentKind.CASH_OUT,
                payer=ctx.sender,
                payee=f"provider:{provider.name}",
                amount=amount,
                memo=f"{given['name']}, {masked(given['iban'])}" if given else "",
                key=f"cash:{ctx.event.event_id}",
                initiator=ctx.sender,
                expires_at=ctx.now_ms() + self._means.settings.code_ttl,
                capture=Capture.BY_MERCHANT,
            )
        )
        await self._means.funding.prepare(payment.id, ctx.sender, amount, provider.name, given)
        if given:
            ctx.user_state.set(ACCOUNT, given)
        await self._paying.ask(ctx, payment, await aside(ctx))

    async def _wanted(self, ctx: Context, text: str) -> tuple[Money, dict[str, str]]:
        """The amount, and the account: the one that is named, or the one of last time."""
        found = _IBAN.search(text)
        before = text[: found.start()] if found is not None else text
        order = words.order(before, self._means.env(ctx), {}, ctx.user_id)
        if order.amount is None:
            raise InvalidValue("wallet.no_amount", _("How much? Write an amount, such as 20 EUR."), clear=True)
        if found is None:
            if order.memo:
                raise InvalidValue(
                    "wallet.where", _("Where to? Write an IBAN, and the name of its holder."), clear=True
                )
            last = await ctx.user_state.get(ACCOUNT)
            return order.amount, dict(last)
        number, behind = _iban(text[found.start() :])
        name = " ".join(clean(behind).strip(" ,;").split()) or order.memo
        known = await ctx.user_state.get(ACCOUNT)
        if not name and known.get("iban") == number:
            name = known["name"]
        if not name:
            raise InvalidValue("wallet.holder", _("Whose account is it? Write the name of its holder behind the IBAN."))
        return order.amount, {"iban": number, "name": name[:70]}

    # From one currency to another

    async def exchange(self, ctx: Context, text: str) -> None:
        """ "20 EUR to USD" """
        amount, target = self._exchanged(ctx, text)
        self._means.offered(amount)
        self._means.offered(Money.zero(target))
        await refuse_beyond(ctx, self._means, amount)
        quote = await self._means.rates.quote(amount, target)
        now = ctx.now_ms()
        payment = await self._means.payments.propose(
            Proposal(
                kind=PaymentKind.EXCHANGE,
                payer=ctx.sender,
                payee=ctx.sender,
                amount=quote.gives,
                received=quote.takes,
                memo="",
                # With other rates it is another offer: nobody has seen the one of before.
                key=f"exchange:{ctx.event.event_id}:{quote.takes.minor}",
                initiator=ctx.sender,
                expires_at=min(quote.valid_until, now + self._means.settings.code_ttl),
            )
        )
        to = await aside(ctx)
        await self._paying.ask(ctx, payment, to, _rate(to, quote))

    def _exchanged(self, ctx: Context, text: str) -> tuple[Money, str]:
        said = text.split()
        if len(said) < 2:
            raise InvalidValue("wallet.exchange", _("How much, and into which currency?"), clear=True)
        target = said.pop().upper()
        if target not in CURRENCIES:
            raise InvalidValue(
                "money.unknown_currency", _("“{given}” is not a currency that I know."), given=clean(target)[:20]
            )
        between = self._means.env(ctx).vocabulary(words.WORDS).get(said[-1])
        said_so = between in {"to", "for"} or said[-1].lower() in {"in", "into", "→"}
        if said_so:
            said.pop()
        if len(said) < (1 if said_so else 2):  # “20 USD” is an amount, and says nothing of what it should become
            raise InvalidValue("wallet.exchange", _("How much, and into which currency?"), clear=True)
        amount = money(" ".join(said), self._means.env(ctx))
        if amount.minor <= 0:
            raise InvalidValue("wallet.nothing", _("An amount has to be more than nothing."), clear=True)
        if amount.currency == target:
            raise ExchangeError("exchange.same_currency", source=target)
        return amount, target


def _takes(offer: Offer, amount: Money) -> bool:
    return offer.currencies is None or amount.currency in offer.currencies


def _iban(text: str) -> tuple[str, str]:
    """The IBAN that a text begins with, and what stands behind it: people write it in groups.

    Raises:
        InvalidValue: it is none.
    """
    groups = text.split()
    length = IBAN_LENGTHS.get(groups[0][:2].upper(), 0)
    taken, number = 0, ""
    while taken < len(groups) and (not taken or len(number) < length):
        number += groups[taken].strip(",;")
        taken += 1
    try:
        return iban(number), " ".join(groups[taken:])
    except SepaError as error:
        values: dict[str, Any] = dict(error.values)
        raise InvalidValue(error.code, error.msgid, clear=True, **values) from None


def _rate(to: Hearer, quote: Quote) -> list[str]:
    """What the rate is, and what it costs."""
    gives, takes = quote.gives.currency, quote.takes.currency
    percent = f"{(quote.spread * 100).normalize():f}"
    return [
        to.t("Rate: 1 {gives} is {rate} {takes}.", gives=gives, rate=quote.rate, takes=takes),
        to.t("The mid rate is {mid}; the spread of {percent} % costs you {cost}.", mid=quote.mid, percent=percent,
             cost=quote.cost),
        to.t("By the rates of {day}, from {source}.", day=quote.day, source=quote.source),
    ]  # fmt: skip
