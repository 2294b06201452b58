"""Limits of what people pay: of one payment, of a day, of a month, of a balance, and how many within an hour.

Days and months are those of UTC. An amount is only ever compared with limits of its own currency. Where a field of a
tier names currencies, it names all that are offered: an amount in another one is refused, because a limit in one
currency alone would be no limit for whoever pays in a second one. Where a field names none, there is no such limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from bots.domain.money import LARGEST, Money

__all__ = ["HOUR_MS", "MESSAGES", "Allowance", "GuardRefusal", "Limits", "Period", "Usage", "Window"]

HOUR_MS: Final = 3_600_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "guard.frozen": "Your wallet is frozen. Nothing leaves it until you say “unfreeze”.",
        "guard.held": "Your wallet is held by the operator: until they release it, nothing leaves it.",
        "guard.not_offered": "Payments in {currency} are not offered to you.",
        "guard.per_transfer": "One payment is {limit} at most, and this one is {amount}.",
        "guard.per_day": "Your payments of a day are {limit} at most: {left} are left until {resets}.",
        "guard.per_month": "Your payments of a month are {limit} at most: {left} are left until {resets}.",
        "guard.per_hour": "You can make {limit} payments within an hour. The next one is possible at {resets}.",
        "guard.balance": "The wallet that this goes to has no room for this amount.",
        "guard.balance_own": "Your wallet holds {limit} at most: {left} more are possible.",
        "guard.sanctions_hit": "This payment cannot be made. Please contact the operator.",
        "guard.sanctions_unknown": "This payment could not be checked as the law asks. Please try again later.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class Period(StrEnum):
    """Over what a limit counts."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Window:
    """A day or a month of UTC: from ``starts`` (ms since the epoch) to before ``ends``."""

    period: Period
    key: str
    """``day:2026-11-28`` or ``month:2026-11``."""
    starts: int
    ends: int

    @classmethod
    def at(cls, period: Period, now: int) -> Window:
        """The one that a point in time lies in."""
        midnight = (_EPOCH + timedelta(milliseconds=now)).replace(hour=0, minute=0, second=0, microsecond=0)
        if period is Period.DAY:
            return cls(period, f"day:{midnight:%Y-%m-%d}", _ms(midnight), _ms(midnight + timedelta(days=1)))
        first = midnight.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
        return cls(period, f"month:{first:%Y-%m}", _ms(first), _ms(after))


@dataclass(frozen=True, slots=True)
class Usage:
    """What a person has paid in one currency, in minor units, and the times (ms) of payments within the last hour.

    Of the times only the latest ``Limits.per_hour`` need to be there.
    """

    day: int = 0
    month: int = 0
    recent: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class GuardRefusal:
    """Why a payment is not made. ``msgid`` with ``values`` is the sentence for people; ``code`` is for logs.

    ``values`` hold amounts and points in time as such, for whoever writes them in a language.
    """

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.code not in MESSAGES:
            raise ValueError(f"no such refusal: {self.code}")

    @property
    def msgid(self) -> str:
        """The sentence, to be translated and filled in."""
        return MESSAGES[self.code]

    @property
    def human(self) -> str:
        """The sentence in English."""
        return self.msgid.format(**{key: _written(value) for key, value in self.values.items()})


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit of a person as it stands: ``left`` until ``resets`` (None: it does not reset by itself)."""

    name: Literal["per_transfer", "per_day", "per_month", "balance"]
    limit: Money
    left: Money
    resets: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a tier, in minor units by currency; an empty field is no limit.

    ``per_hour``: payments within an hour, of all currencies together.
    """

    per_transfer: Mapping[str, int] = field(default_factory=dict)
    per_day: Mapping[str, int] = field(default_factory=dict)
    per_month: Mapping[str, int] = field(default_factory=dict)
    balance: Mapping[str, int] = field(default_factory=dict)
    per_hour: int = 30

    def __post_init__(self) -> None:
        for amounts in (self.per_transfer, self.per_day, self.per_month, self.balance):
            for currency, minor in amounts.items():
                if Money(minor, currency) < Money.zero(currency):
                    raise ValueError("a limit is not below nought")
        if self.per_hour < 1:
            raise ValueError("a tier allows one payment within an hour at least")

    def outgoing(self, amount: Money, usage: Usage, now: int) -> GuardRefusal | None:
        """Whether a payment fits beside what was paid before; the refusal when it does not."""
        _positive(amount)
        currency = amount.currency
        if any(fields and currency not in fields for fields in (self.per_transfer, self.per_day, self.per_month)):
            return GuardRefusal("guard.not_offered", {"currency": currency})
        once = self.per_transfer.get(currency, LARGEST)
        if amount.minor > once:
            return GuardRefusal("guard.per_transfer", {"limit": Money(once, currency), "amount": amount})
        windows = ((Period.DAY, self.per_day, usage.day), (Period.MONTH, self.per_month, usage.month))
        for period, limits, used in windows:
            limit = limits.get(currency)
            if limit is not None and used + amount.minor > limit:
                left = Money(max(limit - used, 0), currency)
                values = {"limit": Money(limit, currency), "left": left, "resets": _end(period, now)}
                return GuardRefusal(f"guard.per_{period}", values)
        return self._velocity(usage.recent, now)

    def incoming(self, amount: Money, balance: Money, *, own: bool) -> GuardRefusal | None:
        """Whether a wallet that holds ``balance`` (with what is on its way to it) has room for more.

        ``own``: the sentence is for the wallet's own person; otherwise for one who pays, who must not learn what is in
        somebody else's wallet.
        """
        _positive(amount)
        if not self.balance:
            return None
        limit = self.balance.get(amount.currency)
        if limit is None:
            return GuardRefusal("guard.not_offered", {"currency": amount.currency})
        ceiling = Money(limit, amount.currency)
        if balance.minor + amount.minor <= limit and balance.currency == amount.currency:
            return None
        if not own:
            return GuardRefusal("guard.balance")
        left = max(ceiling - balance, Money.zero(amount.currency))
        return GuardRefusal("guard.balance_own", {"limit": ceiling, "left": left})

    def allowances(self, usage: Usage, balance: Money, now: int) -> tuple[Allowance, ...]:
        """What is left in the balance's currency, of every limit there is."""
        currency = balance.currency
        found: list[Allowance] = []
        if (once := self.per_transfer.get(currency)) is not None:
            found.append(Allowance("per_transfer", Money(once, currency), Money(once, currency)))
        if (limit := self.per_day.get(currency)) is not None:
            left = Money(max(limit - usage.day, 0), currency)
            found.append(Allowance("per_day", Money(limit, currency), left, _end(Period.DAY, now)))
        if (limit := self.per_month.get(currency)) is not None:
            left = Money(max(limit - usage.month, 0), currency)
            found.append(Allowance("per_month", Money(limit, currency), left, _end(Period.MONTH, now)))
        if (limit := self.balance.get(currency)) is not None:
            left = Money(max(limit - balance.minor, 0), currency)
            found.append(Allowance("balance", Money(limit, currency), left))
        return tuple(found)

    def offers(self, currency: str) -> bool:
        """Whether payments in a currency are possible at all."""
        fields = (self.per_transfer, self.per_day, self.per_month, self.balance)
        return all(not each or currency in each for each in fields)

    def _velocity(self, recent: Sequence[int], now: int) -> GuardRefusal | None:
        counted = sorted(at for at in recent if now - HOUR_MS < at)
        if len(counted) < self.per_hour:
            return None
        # The next one fits when of the latest ones the first is an hour old.
        free_at = counted[len(counted) - self.per_hour] + HOUR_MS
        return GuardRefusal("guard.per_hour", {"limit": self.per_hour, "resets": _moment(free_at)})


def _end(period: Period, now: int) -> datetime:
    return _moment(Window.at(period, now).ends)


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _positive(amount: Money) -> None:
    if amount.minor <= 0:
        raise ValueError("what moves is more than nothing")


def _written(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else str(value)
