"""What the wallet works with: the services of money, which no other bot is handed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

from bots.domain.money import Money
from bots.framework import Context, ParseEnv, Setup
from bots.framework.i18n import _
from bots.payments.funding import Funding
from bots.payments.guard import Guard
from bots.payments.ledger import Ledger
from bots.payments.pins import Pins
from bots.payments.rates import Rates
from bots.payments.receipts import Receipts
from bots.payments.service import Payments
from bots.payments.settings import PaymentSettings
from bots.payments.statements import Statements
from bots.wallet.payees import Registry
from bots.wallet.problems import Discreet
from bridge.audit import Audit


class SharedRooms(Protocol):
    """Knows who meets where: :class:`appservice.rooms.Rooms`."""

    async def shared(self, one: str, other: str, bot: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Means:
    """The services, by what they are."""

    payments: Payments
    ledger: Ledger
    guard: Guard
    audit: Audit
    pins: Pins
    funding: Funding
    rates: Rates
    receipts: Receipts
    statements: Statements
    settings: PaymentSettings
    registry: Registry
    rooms: SharedRooms

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """As the composition gives them for the scope ``payments.wallet``.

        Raises:
            ScopeMissing: one of them is not there.
        """
        return cls(
            payments=setup.service(Payments),
            ledger=setup.service(Ledger),
            guard=setup.service(Guard),
            audit=setup.service(Audit),
            pins=setup.service(Pins),
            funding=setup.service(Funding),
            rates=setup.service(Rates),
            receipts=setup.service(Receipts),
            statements=setup.service(Statements),
            settings=setup.service(PaymentSettings),
            registry=setup.service(Registry),
            rooms=setup.service(SharedRooms),  # type: ignore[type-abstract]
        )

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies that wallets hold, the usual one first."""
        usual = self.settings.default_currency
        return (usual, *(each for each in self.settings.currencies if each != usual))

    def env(self, ctx: Context) -> ParseEnv:
        """What texts are read with: an amount without a currency is one of the usual."""
        return replace(ctx.env(), default_currency=self.settings.default_currency)

    def provider(self, owner: str) -> str:
        """The name of a provider by its account; "" for what is none."""
        name = owner.removeprefix("provider:")
        return "" if name == owner else next((e.title for e in self.funding.offers() if e.name == name), name)

    async def full(self, ctx: Context, owner: str) -> str:
        """Whose an account is, for people: name and id."""
        return self.provider(owner) or await self.registry.full(ctx, owner)

    async def name(self, ctx: Context, owner: str) -> str:
        """The name alone; "" for none."""
        if (bot := self.registry.merchant(owner)) is not None:
            return bot.name
        return self.provider(owner) or await self.registry.name(ctx, owner)

    def offered(self, amount: Money) -> Money:
        """The amount, when wallets hold its currency.

        Raises:
            InvalidValue: they do not.
        """
        if amount.currency not in self.currencies:
            raise Discreet(
                "wallet.currency",
                _("Wallets here hold {currencies}, and not {currency}."),
                clear=True,
                currencies=list(self.currencies),
                currency=amount.currency,
            )
        return amount
