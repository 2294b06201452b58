"""The shape of ``payments`` in ``config.yaml``: currencies, limits, confirmation, providers, rates.

Amounts are text in major units (``"50.00"``), each below the code of its currency (ISO 4217): a binary
fraction is no money.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr

from appservice.config.base import HttpUrl, Model, OptionalHttpUrl, Seconds

_CURRENCY: Final = re.compile("[A-Z]{3}")
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,4})?")
_RATE: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")


def _currency(value: str) -> str:
    if not _CURRENCY.fullmatch(value):
        raise ValueError(f"needs the code of a currency (ISO 4217) such as EUR, got {value!r}")
    return value


def _amount(value: str) -> str:
    if not _AMOUNT.fullmatch(value):
        raise ValueError(f"needs an amount such as 50.00, in quotes, got {value!r}")
    return value


def _rate(value: str) -> str:
    if not _RATE.fullmatch(value) or not value.strip("0."):
        raise ValueError(f"needs a rate above nought such as 1.0842, in quotes, got {value!r}")
    return value


def _part(value: str) -> str:
    if not re.fullmatch(r"0(?:\.[0-9]{1,12})?", value):
        raise ValueError(f"needs a part of one such as 0.015, in quotes, got {value!r}")
    return value


def _pair(value: str) -> str:
    if not re.fullmatch("[A-Z]{3}/[A-Z]{3}", value):
        raise ValueError(f"needs a pair such as EUR/USD, got {value!r}")
    return value


CurrencyCode = Annotated[str, AfterValidator(_currency)]
AmountText = Annotated[str, AfterValidator(_amount)]
RateText = Annotated[str, AfterValidator(_rate)]
PartText = Annotated[str, AfterValidator(_part)]
PairText = Annotated[str, AfterValidator(_pair)]
Amounts = dict[CurrencyCode, AmountText]


class Tier(Model):
    per_transfer: Amounts = Field({}, description="Of one payment at most, by currency; none named: no limit.")
    per_day: Amounts = Field({}, description="Of a person's payments of a day (UTC) at most.")
    per_month: Amounts = Field({}, description="Of a person's payments of a calendar month (UTC) at most.")
    balance: Amounts = Field({}, description="In a person's wallet at most.")
    transfers_per_hour: int = Field(30, ge=1, description="Payments of a person within an hour at most.")


DEFAULT_TIERS: Final[tuple[Tier, ...]] = (
    Tier(
        per_transfer={"EUR": "150.00"},
        per_day={"EUR": "300.00"},
        per_month={"EUR": "1000.00"},
        balance={"EUR": "1000.00"},
    ),
    Tier(
        per_transfer={"EUR": "5000.00"},
        per_day={"EUR": "10000.00"},
        per_month={"EUR": "50000.00"},
        balance={"EUR": "100000.00"},
        transfers_per_hour=120,
    ),
)


class Sandbox(Model):
    enabled: bool = Field(
        False, description="Top-ups and cash-outs that move no real money: for trying out, never in production."
    )


class Stripe(Model):
    secret_key: SecretStr = Field(SecretStr(""), description="The secret API key (sk_…); empty: Stripe is not offered.")
    webhook_secret: SecretStr = Field(SecretStr(""), description="The webhook endpoint's signing secret (whsec_…).")
    api_base: HttpUrl = Field("https://api.stripe.com", description="Where the API is; another one for tests.")


class Bank(Model):
    iban: str = Field("", description="The account that people transfer to; empty: bank transfer is not offered.")
    bic: str = Field("", description="Its BIC, where the country needs one.")
    name: str = Field("", max_length=70, description="The account holder, as banks know it.")


class Providers(Model):
    sandbox: Sandbox = Field(default_factory=Sandbox, description="Play money.")
    stripe: Stripe = Field(default_factory=Stripe, description="Cards by Stripe Checkout, on Stripe's own pages.")
    bank: Bank = Field(default_factory=Bank, description="Bank transfer: EPC QR codes out, statements in.")
    reconcile_every: Seconds = Field(3600, description="Seconds between two comparisons of ledger and providers.")


class Rates(Model):
    source: Literal["none", "fixed", "http"] = Field("none", description="Where exchange rates come from.")
    fixed: dict[PairText, RateText] = Field({}, description='Mid rates: {"EUR/USD": "1.0842"}.')
    url: OptionalHttpUrl = Field(
        "", description="The ECB's daily reference rates, or another address that serves the same XML."
    )
    spread: PartText = Field("0.005", description="What is taken off the mid rate, as a part of one.")
    quote_ttl: Seconds = Field(60, description="Seconds that a quoted rate holds.")


class Payments(Model):
    default_currency: CurrencyCode = Field("EUR", description="Where a person names no currency.")
    currencies: tuple[CurrencyCode, ...] = Field(("EUR",), description="Currencies that wallets hold.")
    tiers: tuple[Tier, ...] = Field(
        DEFAULT_TIERS, description="Limits by how well a person is known; everybody begins with the first."
    )
    pin_above: Amounts = Field(
        {"EUR": "50.00"},
        description="From this amount on a PIN on a page is asked for instead of a code in the chat, by currency.",
    )
    code_ttl: Seconds = Field(300, description="Seconds that a one-time code is good for.")
    code_attempts: int = Field(3, ge=1, le=10, description="Wrong codes of a person until confirming locks.")
    code_lock: Seconds = Field(900, description="Seconds that confirming locks for, longer each further time.")
    request_ttl: Seconds = Field(7 * 86_400, description="Seconds until an unanswered request for money expires.")
    requests_open: int = Field(20, ge=1, le=1000, description="Open requests of one person at most.")
    unclaimed_ttl: Seconds = Field(
        86_400, description="Seconds that money for somebody without a wallet is held before it goes back."
    )
    fee: PartText = Field("0", description="What the platform takes of a merchant's payments, as a part of one.")
    sanctions_url: OptionalHttpUrl = Field(
        "", description="A service that is asked about both people before money moves; empty: nobody is asked."
    )
    providers: Providers = Field(default_factory=Providers, description="How money comes in and goes out.")
    rates: Rates = Field(default_factory=Rates, description="Exchange between currencies.")
