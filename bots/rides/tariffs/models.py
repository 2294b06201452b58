"""What stands in a tariff's file, piece by piece; each piece becomes one of :mod:`bots.domain.tariffs`.

Amounts are in major units, as people write them: ``3.20`` or ``"3.20 EUR"``. The currency of the file comes in by the
validation's context (``currency``; None: it is not known).
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from bots.domain.currencies import CURRENCIES
from bots.domain.money import Money, MoneyError
from bots.domain.places import RADIUS_MAX_M, Circle, PlaceError, Point, Polygon, Shape
from bots.domain.tariffs import (
    AMOUNT_MAX,
    DAY,
    NAME_MAX,
    SURGE_MOST,
    WEEK,
    CancelFee,
    MissFee,
    Rates,
    SurgePoint,
    SurgeRules,
    Tax,
    Window,
)

__all__ = [
    "AreaIn",
    "CancelIn",
    "ClassIn",
    "Head",
    "MissIn",
    "RatesIn",
    "SurgeIn",
    "TaxIn",
    "hours_of",
    "moment",
]

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN: Final = re.compile(r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? )?(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)")
_NAME: Final = r"^[a-z][a-z0-9_-]{0,39}$"


def moment(minute: int, *, ends: bool = False) -> str:
    """A minute of the week as people read it: "Mon 06:00"; where something ends at midnight, "Sun 24:00"."""
    day, rest = divmod(minute, DAY)
    if ends and not rest:
        day, rest = day - 1, DAY
    return f"{DAYS[day].capitalize()} {rest // 60:02}:{rest % 60:02}"


def hours_of(value: Any) -> tuple[Window, ...]:
    """ "always", or a list of spans such as "mon-fri 06:00-22:00". One that ends at or before its beginning ends on the
    next day. Raises ValueError."""
    if value == "always":
        return (Window(0, WEEK),)
    spans = [value] if isinstance(value, str) else value
    if not isinstance(spans, list | tuple) or not spans:
        raise ValueError('needs "always", or spans such as "mon-fri 06:00-22:00"')
    return tuple(window for span in spans for window in _windows(span))


def _windows(span: Any) -> list[Window]:
    found = _SPAN.fullmatch(" ".join(span.lower().split())) if isinstance(span, str) else None
    if found is None:
        raise ValueError(f'needs spans such as "mon-fri 06:00-22:00", got {span!r:.60}')
    first = found["first"] or "mon"
    last = found["last"] or found["first"] or "sun"
    if first not in DAYS or last not in DAYS:
        raise ValueError(f"needs days from {', '.join(DAYS)}, got {span!r}")
    begin, end = _minute(found["begin"]), _minute(found["end"])
    if begin == DAY:
        raise ValueError(f"begins at 24:00: write 00:00 of the next day, in {span!r}")
    length = end - begin if end > begin else end - begin + DAY
    windows: list[Window] = []
    index, count = DAYS.index(first), (DAYS.index(last) - DAYS.index(first)) % 7 + 1
    for day in range(index, index + count):
        start = day % 7 * DAY + begin
        windows.append(Window(start, min(start + length, WEEK)))
        if start + length > WEEK:  # Sunday night ends on Monday
            windows.append(Window(0, start + length - WEEK))
    return windows


def _minute(text: str) -> int:
    hour, minute = int(text[:2]), int(text[3:])
    if minute > 59 or hour * 60 + minute > DAY:
        raise ValueError(f"needs times from 00:00 to 24:00, got {text!r}")
    return hour * 60 + minute


def _amount(value: Any, info: ValidationInfo) -> int:
    currency: str | None = (info.context or {}).get("currency")
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    number, _, code = text.partition(" ")
    try:
        decimal = Decimal(number)
    except InvalidOperation:
        raise ValueError(f"needs an amount such as 3.20, got {value!r:.60}") from None
    if code and currency and code.strip() != currency:
        raise ValueError(f"is in {code.strip()[:10]!r}, and the tariff is in {currency}")
    if not decimal.is_finite() or decimal < 0:
        raise ValueError(f"needs an amount that is not below nought, got {value!r:.60}")
    if currency is None:
        return 0  # the currency is wrong, and said to be: which amounts it allows nobody knows
    try:
        minor = Money.of(decimal, currency).minor
    except MoneyError as error:
        raise ValueError(f"{_lower(error.human)} Got {value!r:.60}") from None
    if minor > AMOUNT_MAX:
        raise ValueError("is too large")
    return minor


def _lower(sentence: str) -> str:
    """A sentence as it goes on behind a key; names of currencies stay as they are."""
    return sentence if sentence[:3].isupper() and sentence[:3].isalpha() else sentence[:1].lower() + sentence[1:]


def _points(value: Any) -> int:
    """Percent as basis points."""
    number = Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is None or not number.is_finite() or not 0 <= number <= 100:
        raise ValueError(f"needs a number from 0 to 100 (percent), got {value!r:.60}")
    if (number * 100) % 1:
        raise ValueError(f"has at most two decimals, got {value!r}")
    return int(number * 100)


def _currency(value: Any) -> str:
    if value not in CURRENCIES:
        raise ValueError(f"needs the code of a currency (ISO 4217) such as EUR, got {value!r:.60}")
    return str(value)


def _zone(value: Any) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError, TypeError):
        raise ValueError(f"needs a time zone such as Europe/Berlin, got {value!r:.60}") from None
    return str(value)


def _point(value: Any) -> Point:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"needs [latitude, longitude], got {value!r:.60}")
    try:
        return Point(*value)
    except PlaceError as error:
        raise ValueError(f"{_lower(error.human)} Got {value!r:.60}") from None


Amount = Annotated[int, BeforeValidator(_amount)]
Percent = Annotated[int, BeforeValidator(_points)]
PointIn = Annotated[Point, BeforeValidator(_point)]
Name = Annotated[str, Field(pattern=_NAME)]


class _Piece(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


class Head(_Piece):
    """What a file says of the tariff as a whole."""

    name: str = Field(min_length=1, max_length=NAME_MAX)
    currency: Annotated[str, BeforeValidator(_currency)]
    time_zone: Annotated[str, BeforeValidator(_zone)]
    platform_percent: Percent = 2000
    quote_seconds: int = Field(90, ge=30, le=120)
    waiting_minutes_held: int = Field(0, ge=0, le=60)
    longest_km: int = Field(300, ge=1, le=5000)


class TaxIn(_Piece):
    """A tax."""

    name: str = Field(min_length=1, max_length=NAME_MAX)
    percent: Percent
    included: bool = True

    def made(self) -> Tax:
        """As the domain has it."""
        return Tax(self.name, self.percent, self.included)


class AreaIn(_Piece):
    """A circle (``centre`` and ``radius_km``) or a polygon (``corners``)."""

    name: str = Field(min_length=1, max_length=NAME_MAX)
    centre: PointIn | None = None
    radius_km: float | None = Field(None, gt=0, le=RADIUS_MAX_M / 1000, allow_inf_nan=False, strict=False)
    corners: tuple[PointIn, ...] = Field((), strict=False)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self.shape()
        return self

    def shape(self) -> Shape:
        """Where it is. Raises ValueError."""
        if bool(self.corners) == (self.centre is not None) or (self.centre is None) != (self.radius_km is None):
            raise ValueError("needs a centre and radius_km, or corners")
        try:
            if self.centre is not None and self.radius_km is not None:
                return Circle(self.centre, self.radius_km * 1000)
            return Polygon(self.corners)
        except PlaceError as error:
            raise ValueError(f"cannot be: {_lower(error.human)}") from None


class RatesIn(_Piece):
    """What a class costs in some hours of a zone."""

    hours: Annotated[tuple[Window, ...], BeforeValidator(hours_of)]
    zone: str = ""
    base: Amount
    per_km: Amount
    per_minute: Amount
    minimum: Amount = 0
    booking_fee: Amount = 0
    waiting_per_minute: Amount = 0
    free_waiting_minutes: int = Field(3, ge=0, le=60)

    def made(self) -> Rates:
        """As the domain has it."""
        return Rates(
            windows=self.hours,
            base=self.base,
            per_km=self.per_km,
            per_minute=self.per_minute,
            minimum=self.minimum,
            booking_fee=self.booking_fee,
            waiting_per_minute=self.waiting_per_minute,
            free_minutes=self.free_waiting_minutes,
        )


class ClassIn(_Piece):
    """What somebody can order."""

    name: Name
    label: str = Field("", max_length=NAME_MAX)
    seats: int = Field(ge=0, le=60)


class PointOfSurge(_Piece):
    """At so many who wait for a hundred free drivers, it costs so many percent."""

    waiting_per_100: int = Field(ge=1, le=10_000)
    percent: int = Field(ge=100, le=SURGE_MOST)


class SurgeIn(_Piece):
    """How the price rises."""

    cap_percent: int = Field(ge=100, le=SURGE_MOST)
    step_percent: int = Field(10, ge=1, le=100)
    least_waiting: int = Field(3, ge=1, le=1000)
    smoothing_percent: int = Field(30, ge=1, le=100)
    points: tuple[PointOfSurge, ...] = Field((), max_length=20, strict=False)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self.made()
        return self

    def made(self) -> SurgeRules:
        """As the domain has it. Raises ValueError."""
        ratios = [each.waiting_per_100 for each in self.points]
        percents = [each.percent for each in self.points]
        if ratios != sorted(set(ratios)) or percents != sorted(percents):
            raise ValueError("needs points whose waiting_per_100 rises, and whose percent does not fall")
        points = tuple(SurgePoint(each.waiting_per_100, each.percent) for each in self.points)
        return SurgeRules(points, self.step_percent, self.cap_percent, self.least_waiting, self.smoothing_percent)


class CancelIn(_Piece):
    """What it costs to cancel late."""

    free_seconds: int = Field(120, ge=0, le=3600)
    late_seconds: int = Field(300, ge=0, le=3600)
    fixed: Amount = 0
    per_km: Amount = 0
    per_minute: Amount = 0
    cap: Amount

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.cap < self.fixed:
            raise ValueError("has a cap that is below its fixed fee")
        return self

    def made(self) -> CancelFee:
        """As the domain has it."""
        return CancelFee(self.free_seconds, self.late_seconds, self.fixed, self.per_km, self.per_minute, self.cap)


class MissIn(_Piece):
    """What it costs not to come."""

    grace_minutes: int = Field(5, ge=1, le=60)
    fixed: Amount

    def made(self) -> MissFee:
        """As the domain has it."""
        return MissFee(self.grace_minutes, self.fixed)
