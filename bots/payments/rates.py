"""Exchange rates: from the configuration, or the reference rates of the European Central Bank once a day."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from appservice.config.money import Rates as RatesSettings
from appservice.database import Database, DatabaseError
from appservice.errors import RialtoError
from bots.domain.currencies import CURRENCIES
from bots.domain.exchange import ExchangeError, Sheet, convert, mid_rate, rate_of, sheet
from bots.domain.money import Money
from bots.domain.statements import Node, StatementError
from bots.framework.clock import Clock
from bots.framework.http.client import HttpClient
from bots.framework.http.errors import HttpError
from bots.payments.providers.xml import read_tree
from bots.store import funding as sql

log = logging.getLogger(__name__)

ECB: Final = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"
FRESH_MS: Final = 3_600_000
"""How long rates are used before they are asked for anew."""
RETRY_MS: Final = 60_000
"""How long after a failure nobody asks again."""
STALE_DAYS: Final = 4
"""Older rates are not used: over a weekend with a holiday the last ones are four days old."""
MAX_BYTES: Final = 1024 * 1024


class RatesConfig(RialtoError):
    """The rates of the configuration cannot be used."""

    code = "config_rates"


@dataclass(frozen=True, slots=True)
class Quote:
    """What an exchange gives, until ``valid_until`` (ms since the epoch).

    Attributes:
        rate: that is applied; ``mid``: without the spread; both shortened for display.
        spread: taken off the mid rate, as a part of one.
        cost: what the mid rate would give more, in the currency that is taken.
        day: of the rates; ``source``: who says so.
    """

    gives: Money
    takes: Money
    rate: Decimal
    mid: Decimal
    spread: Decimal
    cost: Money
    valid_until: int
    source: str
    day: date

    def valid(self, now: int) -> bool:
        """Whether it still holds."""
        return now < self.valid_until


class Rates:
    """Says what an amount is worth in another currency."""

    def __init__(self, settings: RatesSettings, http: HttpClient, database: Database, clock: Clock) -> None:
        """
        Raises:
            RatesConfig: a pair names a currency that there is not, or the spread is none.
        """
        self._kind: Literal["none", "fixed", "http"] = settings.source
        self._url = settings.url or ECB
        self._spread = Fraction(settings.spread)
        self._ttl_ms = int(settings.quote_ttl * 1000)
        self._http = http
        self._database = database
        self._clock = clock
        self._fixed = {(pair[:3], pair[4:]): rate_of(text) for pair, text in settings.fixed.items()}
        for pair in self._fixed:
            unknown = [code for code in pair if code not in CURRENCIES]
            if unknown or pair[0] == pair[1]:
                raise RatesConfig(f"payments.rates.fixed: {'/'.join(pair)} is no pair of two currencies of ISO 4217")
        if not 0 <= self._spread < 1:
            raise RatesConfig("payments.rates.spread is a part of one, such as 0.005 for half a percent")
        self._sheet: Sheet | None = None
        self._fetched_at = 0
        self._failed_at = 0
        self._asking = asyncio.Lock()

    @property
    def offered(self) -> bool:
        """Whether money is exchanged at all."""
        return self._kind != "none"

    async def quote(self, source: Money, to: str) -> Quote:
        """What ``source`` becomes in another currency.

        Raises:
            ExchangeError: there is no rate, it is too old, or nothing would be left.
            MoneyError: there is no such currency.
        """
        Money.zero(to)
        rates = await self._rates()
        made = convert(source, to, mid_rate(rates, source.currency, to), self._spread)
        return Quote(
            gives=made.gives,
            takes=made.takes,
            rate=made.rate,
            mid=made.mid,
            spread=Decimal(self._spread.numerator) / Decimal(self._spread.denominator),
            cost=made.cost,
            valid_until=self._clock.now_ms() + self._ttl_ms,
            source=rates.source,
            day=rates.day,
        )

    async def _rates(self) -> Sheet:
        today = self._clock.now().date()
        if self._kind == "none":
            raise ExchangeError("exchange.no_source")
        if self._kind == "fixed":
            return Sheet(today, self._fixed, "the operator")
        rates = await self._current()
        if rates is None:
            raise ExchangeError("exchange.unavailable")
        if today - rates.day > timedelta(days=STALE_DAYS):
            raise ExchangeError("exchange.stale", day=rates.day.isoformat())
        return rates

    async def _current(self) -> Sheet | None:
        """The newest rates that there are; asked for when they are not fresh."""
        async with self._asking:
            now = self._clock.now_ms()
            if self._sheet is None:
                await self._recall()
            if self._sheet is not None and now - self._fetched_at < FRESH_MS:
                return self._sheet
            if self._failed_at and now - self._failed_at < RETRY_MS:
                return self._sheet
            try:
                response = await self._http.get(self._url, max_bytes=MAX_BYTES, headers={"Accept": "application/xml"})
                day, texts = read_ecb(read_tree(response.body))
                fetched = sheet(day, "EUR", texts.items(), self._url)
            except (HttpError, StatementError, ValueError) as error:
                log.warning("the exchange rates cannot be had: %s", type(error).__name__)
                self._failed_at = now
                return self._sheet
            self._sheet, self._fetched_at, self._failed_at = fetched, now, 0
            try:
                await self._database.write(
                    lambda connection: sql.save_rates(connection, self._url, day.isoformat(), texts, now)
                )
            except DatabaseError as error:  # they are for the next start: this one has them
                log.warning("the exchange rates could not be kept: %s", error)
            return self._sheet

    async def _recall(self) -> None:
        """What was fetched before the start."""
        kept = await self._database.read(lambda connection: sql.rates(connection, self._url))
        if kept is not None:
            day, texts, self._fetched_at = kept
            self._sheet = sheet(date.fromisoformat(day), "EUR", texts.items(), self._url)


def read_ecb(document: Node) -> tuple[date, dict[str, str]]:
    """The day and the rates of the ECB's file ("eurofxref-daily.xml"): how many of each currency a euro is worth.

    Raises:
        StatementError: it is none.
    """
    daily = document.first("Cube/Cube")
    if daily is None:
        raise StatementError(document.line, "these are no reference rates")
    try:
        day = date.fromisoformat(daily.attributes.get("time", ""))
    except ValueError:
        raise StatementError(daily.line, "the rates have no day") from None
    found: dict[str, str] = {}
    for cube in daily.all("Cube"):
        code, text = cube.attributes.get("currency", ""), cube.attributes.get("rate", "")
        try:
            rate_of(text)
        except ValueError:
            raise StatementError(cube.line, "a rate is none") from None
        if code in found:
            raise StatementError(cube.line, "a currency has two rates")
        found[code] = text
    if not found:
        raise StatementError(daily.line, "there are no rates")
    return day, found
