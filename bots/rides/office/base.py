"""What all parts of the operator's side stand on: who operates, and what is noted of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

from bots.domain import drivers, trips
from bots.domain.currencies import CURRENCIES
from bots.domain.errors import DomainError
from bots.domain.money import Money, MoneyError
from bots.domain.trips import Trip
from bots.fleet.fleet import Fleet
from bots.framework import Context, Plugin
from bots.framework.arguments import InvalidValue
from bots.framework.i18n import Translation, Translator, _
from bots.framework.own_chat import alone, own_chat
from bridge.audit import Audit

__all__ = ["DOMAIN", "PAGE", "REASON_MAX", "OfficeBase", "one_line", "read_refund"]

DOMAIN: Final = "rides"
"""Of the texts."""
PAGE: Final = 10
"""Of a list."""
REASON_MAX: Final = 300
NUMBER_MAX: Final = 20
STATES: Final = frozenset({*trips.WORDS.values(), *drivers.WORDS.values(), *drivers.OFFER_WORDS.values()})
"""English words that a refusal holds, and that are translated before they are put in."""


class OfficeBase(Plugin):
    """For the parts of the office to inherit; :meth:`bots.rides.office.Office.open_office` sets what they need."""

    fleet: Fleet
    audit: Audit

    async def at_office(self, ctx: Context) -> bool:
        """Whether the operator is alone with the bot; otherwise they are told: it is about people who are not there."""
        if await alone(ctx):
            return True
        ctx.say(ctx.t("What riders and drivers do is nobody else's affair: please write to me in an encrypted chat of "
                      "our own."), reply=True)  # fmt: skip
        return False

    async def office_trip(self, ctx: Context, number: str) -> Trip | None:
        """A trip by its number, of anybody. None: they are told that there is none."""
        if not await self.at_office(ctx):
            return None
        trip = await self.fleet.trips.by_number(ctx, number)
        if trip is None:
            ctx.say(ctx.t("There is no trip {number}.", number=number.strip()[:NUMBER_MAX]))
        return trip

    async def office_words_of(self, ctx: Context, person: str) -> Translation:
        """Texts in the language and time zone of somebody."""
        known = await ctx.services.people.get(person)
        return ctx.services.catalogues.translator(known.language, DOMAIN, ZoneInfo(known.zone or "UTC"))

    async def tell_office(self, ctx: Context, sentence: Callable[[Translator], str]) -> None:
        """Tell each operator whom the configuration names, in their own chat and language."""
        roles = ctx.services.permissions.roles
        for person in dict.fromkeys((*roles.operator, *roles.admin)):
            if "*" not in person:
                words = sentence(await self.office_words_of(ctx, person))
                ctx.say(words, room_id=await own_chat(ctx, person), notice=False)

    def office_audited(self, ctx: Context, action: str, subject: str, **details: Any) -> None:
        """Note a decision in the audit log, in the commit that it belongs to."""
        at, who, audit = ctx.now_ms(), ctx.sender, self.audit

        def write(connection: Any) -> None:
            audit.append(connection, at=at, actor=who, action=action, subject=subject, outcome="done", details=details)

        ctx.store(write)

    def office_refused(self, ctx: Context, error: DomainError) -> None:
        """Say why something cannot be done. Nothing of it happens."""
        ctx.discard()
        values = {key: ctx.t(value) if value in STATES else value for key, value in error.values.items()}
        ctx.say(ctx.t(error.msgid, **values))


def read_amount(ctx: Context, text: str, currency: str) -> Money:
    """An amount above nought in a currency that need not be named. Raises InvalidValue."""
    try:
        amount = Money.parse(text, currency, ctx.translator.language)
    except MoneyError as error:
        raise InvalidValue.of_money(error) from None
    if amount.currency != currency or amount.minor <= 0:
        raise InvalidValue("office.amount", _("The amount is above nought, in {currency}."), clear=True,
                           currency=currency)  # fmt: skip
    return amount


def read_refund(ctx: Context, words: str, paid: Money) -> tuple[Money, bool, str]:
    """An amount (or “all”), whether “again” is said behind it, and the reason. Raises InvalidValue."""
    first, *rest = words.split() or [""]
    if rest and rest[0].upper() in CURRENCIES and any(char.isdigit() for char in first):
        first = f"{first} {rest.pop(0)}"
    again = bool(rest) and rest[0].casefold() in {"again", ctx.t("again").casefold()}
    everything = first.casefold() in {"all", "everything", ctx.t("all").casefold()}
    amount = paid if everything else read_amount(ctx, first, paid.currency)
    return amount, again, one_line(" ".join(rest[1:] if again else rest))


def one_line(words: str) -> str:
    """What somebody wrote, as a reason."""
    return " ".join(words.split())[:REASON_MAX]
