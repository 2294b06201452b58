"""What buyers read of goods, carts and amounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from bots.commerce.engines.base import EngineFailed
from bots.domain import cases, merchants, orders
from bots.domain.money import Money, MoneyError
from bots.framework import Dialog, InvalidValue, Option, ParseEnv
from bots.framework.arguments import Text
from bots.framework.i18n import Translator, _

QUESTION_MAX: Final = 950
"""A question of a choice has 1,000 characters at most."""
COUNT: Final = _("That is no number from 1 to {most}.")
CURRENCY: Final = _("This is paid in {currency}.")
STATES: Final = frozenset({*orders.WORDS.values(), *merchants.WORDS.values(), *cases.WORDS.values()})
"""What the field ``state`` of a refusal holds: English words that are translated before they are put in."""


class Speaking:
    """A dialog's texts as a translator."""

    language = ""

    def __init__(self, d: Dialog) -> None:
        self.t: Callable[..., str] = d.t
        self.n: Callable[..., str] = d.n


def sentence(say: Translator, error: Any) -> str:
    """A refusal of the domain, or of a catalogue that is kept elsewhere, in the person's language."""
    if isinstance(error, EngineFailed):
        return say.t("The catalogue cannot be reached just now. Please try again in a moment.")
    values = {key: say.t(value) if _is_state(value) else value for key, value in error.values.items()}
    return say.t(error.msgid, **values)


def explain(error: Any) -> InvalidValue:
    """The same as a question says it, before it is asked again."""
    values: dict[str, Any] = {key: Text(value) if _is_state(value) else value for key, value in error.values.items()}
    return InvalidValue(error.code, error.msgid, clear=True, **values)


def _is_state(value: object) -> bool:
    return isinstance(value, str) and value in STATES


def short(text: str, most: int) -> str:
    """A text of so many characters at most, cut between words where there are some."""
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    return (cut.rpartition(" ")[0] if " " in cut[most // 2 :] else cut).rstrip() + "…"


def price_of(say: Translator, prices: Iterable[Money]) -> str:
    """What something costs: one price, or from the lowest on."""
    known = list(prices)
    least = min(known)
    return say.t("{price}" if max(known) == least else "from {price}", price=least)


def own_price(say: Translator, usual: Money | None) -> str:
    """That a price is this buyer's own, and what others pay; nothing where it is everybody's."""
    return "" if usual is None else say.t("your price, others pay {usual}", usual=usual)


def stars_of(say: Translator, average: float | None, count: int) -> str:
    """What buyers think of something; nothing when nobody has said."""
    if average is None or not count:
        return ""
    return say.n("★ {stars} ({count} rating)", "★ {stars} ({count} ratings)", count, stars=round(average, 1))


def left_of(say: Translator, left: int | None) -> str:
    """How much there is; nothing where there is no end of it."""
    if left is None:
        return ""
    return say.n("{count} left", "{count} left", left) if left else say.t("sold out")


def joined(parts: Iterable[str], between: str = " · ") -> str:
    """Those of the parts that say something, on one line."""
    return between.join(part for part in parts if part)


def read_count(text: str, most: int, least: int = 1) -> int:
    """How many. Raises InvalidValue."""
    digits = text.strip().rstrip("x×").strip()
    number = int(digits) if digits.isdecimal() and len(digits) <= 6 else -1
    if not least <= number <= most:
        raise InvalidValue("buying.count", COUNT, clear=True, most=most)
    return number


def counting(most: int, least: int = 1) -> Callable[[str], int]:
    """A parser of how many."""

    def read(text: str) -> int:
        return read_count(text, most, least)

    return read


def further(d: Dialog, value: str = "more") -> Option:
    """The option that shows the next page of a list."""
    return Option(value, d.t("Show more"), aliases=("more", d.t("more")))


def read_amount(text: str, currency: str, env: ParseEnv) -> Money:
    """An amount, in this currency where none is named. Raises InvalidValue."""
    try:
        amount = Money.parse(text, currency, env.translator.language)
    except MoneyError as error:
        raise InvalidValue.of_money(error) from None
    if amount.currency != currency:
        raise InvalidValue("buying.currency", CURRENCY, clear=True, currency=currency)
    return amount
