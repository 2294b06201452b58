"""Everything of money, put together: what bots are handed of it, its pages, and what runs by itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from appservice.config import Config, ConfigError, Problem
from appservice.config.problems import dotted
from appservice.database import Database
from appservice.metrics import Metrics
from appservice.sealing import Sealer, derived_key
from bots.framework.clock import Clock
from bots.framework.http import HttpClient
from bots.framework.i18n import Catalogues
from bots.framework.schedules import RaiseEvents
from bots.framework.web import WebServer
from bots.pages import PREFIX as PAGES
from bots.pages import Links, Pages
from bots.pages.app import KnowsPeople
from bots.payments.approvals import ApprovePayment, Confirmable, ConfirmAction, Names
from bots.payments.deadlines import Deadlines
from bots.payments.funding import Funding
from bots.payments.funding_books import Books
from bots.payments.funding_web import PREFIX as PROVIDERS
from bots.payments.funding_web import FundingWeb
from bots.payments.guard import Guard
from bots.payments.ledger import Ledger
from bots.payments.merchants import MerchantAccounts, MerchantPayouts, Merchants
from bots.payments.pin_page import SetPin
from bots.payments.pins import Pins, telling
from bots.payments.providers import ProviderConfig, make_providers
from bots.payments.providers.sandbox import SandboxPage, SandboxProvider
from bots.payments.rates import Rates
from bots.payments.receipts import Receipts
from bots.payments.reconciliation import Gauge, Reconciliation
from bots.payments.rights import Rights
from bots.payments.rights_parts import MONEY_BOTS, register_parts
from bots.payments.sanctions import HttpSanctions, NoSanctions
from bots.payments.service import Payments
from bots.payments.settings import PaymentSettings, settings_of
from bots.payments.statements import Statements
from bots.payments.till import Till
from bridge.audit import Audit

SECTION: Final = "payments"


def read_settings(config: Config) -> PaymentSettings:
    """The section ``payments``.

    Raises:
        ConfigError: what stands there cannot be used.
    """
    settings, wrong = settings_of(config.payments)
    if settings is None:
        raise ConfigError(
            Problem(config.place_of((SECTION, *path)), dotted((SECTION, *path)), reason) for path, reason in wrong
        )
    return settings


@dataclass(frozen=True, slots=True)
class Ground:
    """What money stands on.

    Attributes:
        wallet: the name of the wallet's consumer: who hears of every payment.
        names: the name that people know somebody by, for pages.
    """

    config: Config
    database: Database
    raise_events: RaiseEvents
    clock: Clock
    http: HttpClient
    people: KnowsPeople
    catalogues: Catalogues
    metrics: Metrics
    web: WebServer
    wallet: str
    names: Names


class Treasury:
    """The services of money. :meth:`start` them when the database is there, after the bots."""

    def __init__(self, ground: Ground) -> None:
        """
        Raises:
            ConfigError: the configuration of money cannot be used.
        """
        config, database, clock = ground.config, ground.database, ground.clock
        section = config.payments
        settings = read_settings(config)
        pickle_key = config.encryption.pickle_key.get_secret_value()
        sealer = Sealer(pickle_key, "payments")
        self.settings = settings
        self.ledger = Ledger(database, clock)
        self.guard = Guard.of(section)
        self.audit = Audit(database, sealer)
        sanctions = HttpSanctions(section.sanctions_url, ground.http, clock) if section.sanctions_url else None
        self.links = Links(pickle_key)
        self.pins = Pins(
            database,
            self.links,
            self.audit.append,
            clock,
            raise_events=ground.raise_events,
            pickle_key=pickle_key,
            url=ground.web.url,
            tell=telling(ground.wallet),
        )
        till = Till(
            database,
            ground.raise_events,
            self.ledger,
            self.guard,
            self.audit,
            sealer,
            clock,
            settings,
            secret=derived_key(pickle_key, "payments codes"),
            wallet=ground.wallet,
            sanctions=sanctions,
        )
        self.payments = Payments(till, pins=self.pins)
        self.deadlines = Deadlines(self.payments)
        self.rates = Rates(section.rates, ground.http, database, clock)
        self.receipts = Receipts(database, sealer)
        self.statements = Statements(database, self.ledger, sealer)
        self.rights = Rights(clock, self.ledger, self.guard)
        register_parts(self.rights, pickle_key, [bot.instance for bot in config.bots if bot.plugin in MONEY_BOTS])
        try:
            providers = make_providers(
                section,
                database=database,
                sealer=sealer,
                clock=clock,
                links=self.links,
                url=ground.web.url,
                pickle_key=pickle_key,
            )
        except ProviderConfig as error:
            place = config.place_of((SECTION, "providers"))
            raise ConfigError([Problem(place, "", error.human)]) from error
        self.funding = Funding(
            database=database,
            raise_events=ground.raise_events,
            ledger=self.ledger,
            guard=self.guard,
            books=Books(self.ledger, self.guard, self.audit),
            sealer=sealer,
            clock=clock,
            randomness=secrets.token_bytes,
            providers=providers,
            consumer=ground.wallet,
            sanctions=sanctions or NoSanctions(),
        )
        self.funding.payments = self.payments
        self.payments.cash_outs = self.funding.begin
        self.reconciliation = Reconciliation(
            database,
            self.ledger,
            sealer,
            clock,
            providers,
            section.providers.reconcile_every,
            _Gauge(ground.metrics),
        )
        self._ground = ground
        self._sandbox = providers.get("sandbox")

    @property
    def provided(self) -> dict[str, Mapping[type, Any]]:
        """What each scope gives a plugin."""
        return {
            "payments.charge": {Merchants: Merchants(self.payments)},
            "payments.read": {MerchantAccounts: MerchantAccounts(self.payments)},
            "payments.send": {MerchantPayouts: MerchantPayouts(self.payments)},
            "payments.wallet": {
                Payments: self.payments,
                Ledger: self.ledger,
                Guard: self.guard,
                Audit: self.audit,
                Pins: self.pins,
                Funding: self.funding,
                Rates: self.rates,
                Receipts: self.receipts,
                Statements: self.statements,
                PaymentSettings: self.settings,
            },
        }

    def mount(self, actions: Mapping[str, Confirmable]) -> None:
        """Put the pages of money, and what providers call, on the listener.

        Args:
            actions: what a person can confirm by the PIN beside payments, by name.
        """
        ground = self._ground
        pages = Pages(
            self.links,
            ground.database,
            ground.people,
            ground.catalogues,
            ground.clock,
            pickle_key=ground.config.encryption.pickle_key.get_secret_value(),
            public_url=ground.config.web.public_url,
        )
        pages.add(SetPin(self.pins))
        pages.add(ApprovePayment(self.pins, self.payments, ground.names))
        pages.add(ConfirmAction(self.pins, actions))
        if isinstance(self._sandbox, SandboxProvider):
            pages.add(SandboxPage(self._sandbox))
        ground.web.mount(PAGES, pages.app())
        outside: web.Application = FundingWeb(self.funding, ground.catalogues, ground.config.web.public_url).app()
        ground.web.mount(PROVIDERS, outside)

    async def start(self) -> None:
        """Begin what happens by itself."""
        await self.funding.start()
        await self.deadlines.start()
        await self.reconciliation.start()

    async def stop(self) -> None:
        """End; what is due stays in the database."""
        await self.reconciliation.stop()
        await self.deadlines.stop()
        await self.funding.stop()


class _Gauge(Gauge):
    """Tells the metrics of differences with providers."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def set(self, provider: str, differences: int) -> None:
        self._metrics.payments_differences.labels(provider).set(differences)
