"""Billers that are made up, with every outcome that real ones have: for trying out, and for tests.

They keep nothing: the last digit of the first field says what happens, the rest follows from the question itself.

| last digit | what happens |
|---|---|
| 0, 1 | a bill, and paying it works |
| 2 | paying fails |
| 3 | nobody knows whether it was paid; after 90 s it was |
| 4 | nobody knows; after 90 s it was not |
| 5 | the bill takes 15 s to be found |
| 6 | no bill |
| 7 | paid already |
| 8 | parts are taken |
| 9 | the amount changes before it is paid |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final

from bots.bills.billers.base import (
    Answered,
    Changed,
    Failed,
    Fetched,
    FetchRequest,
    Found,
    NothingDue,
    NotYet,
    Paid,
    PayRequest,
    Unknown,
)
from bots.domain.bills import PHONE_PLANS, Bill, BillerInfo, Category, Field, TopUp, canonical, identity
from bots.domain.money import Money
from bots.framework.i18n import _

SLOW_MS: Final = 15_000
UNCLEAR_MS: Final = 90_000
DUE_DAY: Final = 28
DEARER: Final = 500
"""Minor units."""

CUSTOMER: Final = _("Customer number")
CONTRACT: Final = _("Contract number")
POSTCODE: Final = _("Postcode")
FIELDS: Final[Mapping[Category, tuple[Field, ...]]] = {
    Category.ELECTRICITY: (Field("customer", CUSTOMER, "[0-9]{8}", "20415871"),),
    Category.WATER: (Field("contract", CONTRACT, "W[0-9]{6}", "W204151"),),
    Category.GAS: (
        Field("meter", _("Meter number"), "[0-9]{10}", "4410257381"),
        Field("postcode", POSTCODE, "[0-9]{5}", "10115"),
    ),
    Category.INTERNET: (Field("customer", CUSTOMER, "[A-Z]{2}[0-9]{6}", "SN204151"),),
    Category.PHONE: (Field("contract", CONTRACT, "[0-9]{9}", "204158711"),),
    Category.TAXES: (
        Field("taxpayer", _("Tax number"), "[0-9]{11}", "20415871321"),
        Field("assessment", _("Assessment number"), "[A-Z][0-9]{4}", "B2041"),
    ),
    Category.RENT: (Field("lease", _("Lease number"), "L[0-9]{6}", "L204151"),),
    Category.INSURANCE: (Field("policy", _("Policy number"), "P[0-9]{7}", "P2041581"),),
}
NAMES: Final = (
    ("example-power", "Example Power", Category.ELECTRICITY),
    ("sample-grid", "Sample Grid", Category.ELECTRICITY),
    ("example-water", "Example Waterworks", Category.WATER),
    ("placeholder-gas", "Placeholder Gas", Category.GAS),
    ("specimen-net", "Specimen Net", Category.INTERNET),
    ("example-phone", "Example Phone", Category.PHONE),
    ("sample-town", "Sample Town Treasury", Category.TAXES),
    ("mock-housing", "Mock Housing", Category.RENT),
    ("specimen-mutual", "Specimen Mutual", Category.INSURANCE),
)
OPERATORS: Final = (
    ("example-mobile", "Example Mobile", "DE", (1000, 1500, 2000, 3000), None),
    ("sample-mobile", "Sample Mobile", "DE", (), (500, 10000)),
    ("specimen-mobile", "Specimen Mobile", "FR", (500, 1000, 2500), None),
    ("placeholder-mobile", "Placeholder Mobile", "ES", (1000, 2000), (500, 5000)),
    ("mock-mobile", "Mock Mobile", "PL", (500, 1000, 2500, 5000), None),
)


class SimulatedBiller:
    """One of them."""

    def __init__(self, info: BillerInfo, currency: str) -> None:
        self._info = info
        self._currency = currency

    @property
    def info(self) -> BillerInfo:
        """As people see it."""
        return self._info

    async def fetch(self, request: FetchRequest) -> Fetched:
        """See the table above."""
        outcome = self._outcome(request.fields)
        if outcome == 5 and request.now - request.asked_at < SLOW_MS:
            return NotYet(5)
        if outcome == 6:
            return NothingDue()
        bill = self._bill(request.fields, request.now)
        left = bill.amount.minor - request.paid.get(canonical(bill.period), 0)
        if outcome == 7 or left <= 0:
            return NothingDue(paid=True, receipt=self._receipt("already", request.fields))
        minimum = Money(min(DEARER, left), self._currency) if outcome == 8 else None
        return Found(Bill(bill.period, Money(left, self._currency), bill.due, minimum, bill.reference))

    async def pay(self, request: PayRequest) -> Answered:
        """See the table above."""
        outcome = self._outcome(request.fields)
        if outcome == 2:
            return Failed()
        if outcome in {3, 4}:
            return Unknown("simulated")
        if outcome == 9 and self._info.top_up is None:
            bill = self._bill(request.fields, request.asked_at)
            if request.amount == bill.amount:
                dearer = Money(bill.amount.minor + DEARER, self._currency)
                return Changed(Bill(bill.period, dearer, bill.due, None, bill.reference))
        return Paid(self._receipt(request.key, request.fields))

    async def status(self, request: PayRequest) -> Answered:
        """See the table above."""
        if self._outcome(request.fields) not in {3, 4}:
            return await self.pay(request)
        if request.now - request.asked_at < UNCLEAR_MS:
            return Unknown("simulated")
        failed = self._outcome(request.fields) == 4
        return Failed() if failed else Paid(self._receipt(request.key, request.fields))

    def _outcome(self, fields: Mapping[str, str]) -> int:
        first = next(iter(fields.values()), "0")
        return int("".join(each for each in first if each.isdigit())[-1:] or "0")

    def _bill(self, fields: Mapping[str, str], now: int) -> Bill:
        """The bill of the month, or after its day the one of the next."""
        today = datetime.fromtimestamp(now / 1000, UTC).date()
        due = date(today.year, today.month, DUE_DAY)
        if today > due:
            due = date(today.year + today.month // 12, today.month % 12 + 1, DUE_DAY)
        period = f"{due:%Y-%m}"
        number = int.from_bytes(sha256(identity(self._info.id, fields, period).encode()).digest()[:4])
        return Bill(period, Money(1500 + number % 9000, self._currency), due, None, f"INV-{number % 10**6:06}")

    def _receipt(self, key: str, fields: Mapping[str, str]) -> str:
        digest = sha256(f"{key}\0{identity(self._info.id, fields)}".encode()).hexdigest()
        return f"SIM-{digest[:8].upper()}"


def simulated(currency: str) -> list[SimulatedBiller]:
    """All of them, in one currency."""
    bills = [BillerInfo(each, name, category, FIELDS[category]) for each, name, category in NAMES]
    for each, name, country, amounts, span in OPERATORS:
        least, most = (None, None) if span is None else (Money(span[0], currency), Money(span[1], currency))
        sold = TopUp(PHONE_PLANS[country], tuple(Money(minor, currency) for minor in amounts), least, most)
        bills.append(BillerInfo(each, name, Category.TOP_UP, (), sold))
    return [SimulatedBiller(info, currency) for info in bills]
