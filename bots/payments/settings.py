"""What the configuration says of payments, as amounts of money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from appservice.config.money import Payments
from appservice.config.problems import KeyPath
from bots.domain.currencies import CURRENCIES
from bots.domain.money import Money, MoneyError

DAY_MS: Final = 86_400_000
LIVE_KEYS: Final = ("sk_live_", "rk_live_")
"""How Stripe's keys for real money begin (https://docs.stripe.com/keys)."""


@dataclass(frozen=True, slots=True)
class PaymentSettings:
    """Durations are in milliseconds.

    Attributes:
        pin_above: by currency: from this amount on a PIN instead of a code.
        fee: what the platform takes of what merchants are paid, a part of one.
    """

    default_currency: str = "EUR"
    currencies: tuple[str, ...] = ("EUR",)
    pin_above: Mapping[str, Money] = field(default_factory=lambda: MappingProxyType({"EUR": Money(5000, "EUR")}))
    code_ttl: int = 300_000
    code_attempts: int = 3
    code_lock: int = 900_000
    request_ttl: int = 7 * DAY_MS
    requests_open: int = 20
    unclaimed_ttl: int = DAY_MS
    fee: Fraction = Fraction(0)

    def needs_pin(self, amount: Money) -> bool:
        """Whether an amount is confirmed by PIN."""
        least = self.pin_above.get(amount.currency)
        if least is not None:
            return amount >= least
        # A currency that nobody has thought of must not be the way around the PIN.
        return bool(self.pin_above)


def settings_of(payments: Payments) -> tuple[PaymentSettings | None, list[tuple[KeyPath, str]]]:
    """The settings, or what is wrong with them: where, and a reason that follows on the key."""
    wrong: list[tuple[KeyPath, str]] = []
    known = _known(payments.default_currency, ("default_currency",), wrong)
    for number, currency in enumerate(payments.currencies):
        _known(currency, ("currencies", str(number)), wrong)
    if not payments.currencies:
        wrong.append((("currencies",), "needs one currency at least"))
    elif known and payments.default_currency not in payments.currencies:
        wrong.append((("default_currency",), f"needs one of {', '.join(payments.currencies)}"))
    pins = _amounts(payments.pin_above, ("pin_above",), wrong)
    for number, tier in enumerate(payments.tiers):
        for name in ("per_transfer", "per_day", "per_month", "balance"):
            _amounts(getattr(tier, name), ("tiers", str(number), name), wrong)
    fee = Fraction(payments.fee)
    if fee >= 1:
        wrong.append((("fee",), f"needs a part of one such as 0.015, got {payments.fee}"))
    providers = payments.providers
    real = bool(providers.bank.iban) or providers.stripe.secret_key.get_secret_value().startswith(LIVE_KEYS)
    if providers.sandbox.enabled and real:
        reason = "is play money, and beside a bank account or a live key of Stripe it would be paid out or spent"
        wrong.append((("providers", "sandbox", "enabled"), reason))
    if wrong:
        return None, wrong
    made = PaymentSettings(
        default_currency=payments.default_currency,
        currencies=payments.currencies,
        pin_above=MappingProxyType(pins),
        code_ttl=_ms(payments.code_ttl),
        code_attempts=payments.code_attempts,
        code_lock=_ms(payments.code_lock),
        request_ttl=_ms(payments.request_ttl),
        requests_open=payments.requests_open,
        unclaimed_ttl=_ms(payments.unclaimed_ttl),
        fee=fee,
    )
    return made, []


def _known(currency: str, path: KeyPath, wrong: list[tuple[KeyPath, str]]) -> bool:
    if currency in CURRENCIES:
        return True
    wrong.append((path, f"needs the code of a currency (ISO 4217) such as EUR, got {currency!r}"))
    return False


def _amounts(amounts: Mapping[str, str], path: KeyPath, wrong: list[tuple[KeyPath, str]]) -> dict[str, Money]:
    found: dict[str, Money] = {}
    for currency, text in amounts.items():
        if not _known(currency, (*path, currency), wrong):
            continue
        try:
            found[currency] = Money.of(text, currency)
        except MoneyError as error:
            wrong.append(((*path, currency), f"is no amount: {error.human}"))
    return found


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
