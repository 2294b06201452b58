"""Payment providers: who holds the money of the outside. Which there are, the configuration says."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from appservice.config.money import Payments
from appservice.database import Database
from appservice.errors import RialtoError
from appservice.sealing import Sealer
from bots.domain.epc import SepaError
from bots.framework.clock import Clock
from bots.pages.links import Links
from bots.payments.providers.bank import BankAccount, BankProvider
from bots.payments.providers.base import Provider
from bots.payments.providers.sandbox import SandboxProvider
from bots.payments.providers.stripe import StripeProvider

__all__ = ["ProviderConfig", "bank_account", "make_providers"]


class ProviderConfig(RialtoError):
    """A provider cannot be used as it is configured."""

    code = "config_provider"


def bank_account(settings: Payments) -> BankAccount | None:
    """The account that people transfer to; None: there is none.

    Raises:
        ProviderConfig: its IBAN, BIC or name cannot be.
    """
    bank = settings.providers.bank
    if not bank.iban:
        return None
    try:
        return BankAccount(bank.iban, bank.name, bank.bic)
    except SepaError as error:
        raise ProviderConfig(f"payments.providers.bank: {error.human}", reason=error.code) from None


def make_providers(
    settings: Payments,
    *,
    database: Database,
    sealer: Sealer,
    clock: Clock,
    links: Links,
    url: Callable[[str], str],
    pickle_key: str,
    randomness: Callable[[int], bytes] = secrets.token_bytes,
) -> dict[str, Provider]:
    """The providers of the configuration, by name.

    Args:
        sealer: for the purpose ``payments``.
        url: the address of a path as the outside sees it.

    Raises:
        ProviderConfig: one cannot be used as it is configured.
        ProviderMissing: the library of one is not installed.
    """
    made: list[Provider] = []
    if settings.providers.sandbox.enabled:
        made.append(SandboxProvider(database, clock, links, url, pickle_key, randomness))
    stripe = settings.providers.stripe
    if stripe.secret_key.get_secret_value():
        made.append(
            StripeProvider(
                stripe.secret_key.get_secret_value(),
                stripe.webhook_secret.get_secret_value(),
                str(stripe.api_base),
                url,
                frozenset(settings.currencies),
            )
        )
    account = bank_account(settings)
    if account is not None:
        made.append(BankProvider(account, database, sealer, clock))
    return {provider.name: provider for provider in made}
