"""Top-ups and cash-outs over a real database, with the sandbox, a stand-in for Stripe, and a bank of files."""

from __future__ import annotations

import itertools
from typing import Any

from appservice.database import Database
from appservice.sealing import Sealer
from bots.domain.limits import Limits
from bots.domain.money import Money
from bots.domain.payments import Capture, Payment, PaymentKind, PaymentState
from bots.pages.links import Links
from bots.payments.funding import Funding
from bots.payments.funding_books import Books, provider_owner
from bots.payments.ledger import AccountKind
from bots.payments.providers.bank import BankAccount, BankProvider
from bots.payments.providers.bank_desk import BankDesk
from bots.payments.providers.base import Provider
from bots.payments.providers.sandbox import SandboxProvider
from bots.payments.providers.stripe import StripeProvider
from bots.payments.reconciliation import Reconciliation
from bridge.audit import Audit
from tests.store.payments_world import ALICE, WALLET, World, eur
from tests.support.bank_samples import IBAN
from tests.support.fake_stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

DESTINATION = {"name": "Alice Müller", "iban": "GB29 NWBK 6016 1331 9268 19"}


class Verdicts:
    """Sanction lists that say what a test wants."""

    def __init__(self) -> None:
        from bots.payments.sanctions import Verdict

        self.verdict = Verdict.CLEAR

    async def ask(self, person: str, counterpart: str) -> Any:
        return self.verdict


class FundingWorld(World):
    """Everything that top-ups and cash-outs stand on. ``restart`` forgets all that is not in the database."""

    def __init__(
        self,
        database: Database,
        *,
        stripe: FakeStripe | None = None,
        limits: Limits | None = None,
        pickle_key: str = "pickle",
    ) -> None:
        super().__init__(database, limits=limits)
        self.sealer = Sealer(pickle_key, "payments")
        self.audit = Audit(database, self.sealer)
        self.numbers = itertools.count(1)
        self.verdicts = Verdicts()
        self.sandbox = SandboxProvider(
            database, self.clock, Links(pickle_key), "https://rialto.example{}".format, pickle_key, self.random
        )
        account = BankAccount(IBAN, "Rialto e.V.", "COBADEFFXXX")
        self.bank = BankProvider(account, database, self.sealer, self.clock)
        self.desk = BankDesk(account, database, self.sealer, self.clock)
        self.providers: dict[str, Provider] = {"sandbox": self.sandbox, "bank": self.bank}
        if stripe is not None:
            url = "https://rialto.example{}".format
            self.providers["stripe"] = StripeProvider(SECRET_KEY, WEBHOOK_SECRET, stripe.url, url, retries=0)
        self.funding = self.restart()

    def random(self, size: int) -> bytes:
        """Different each time, and the same in each run."""
        return next(self.numbers).to_bytes(size, "big")

    def restart(self) -> Funding:
        """The service after a crash."""
        self.payments = self.again()
        self.funding = Funding(
            database=self.database,
            raise_events=self.raise_events,
            ledger=self.ledger,
            guard=self.guard,
            books=Books(self.ledger, self.guard, self.audit),
            sealer=self.sealer,
            clock=self.clock,
            randomness=self.random,
            providers=self.providers,
            consumer=WALLET,
            sanctions=self.verdicts,
        )
        self.funding.payments = self.payments
        self.payments.cash_outs = self.funding.begin
        return self.funding

    def reconciliation(self) -> Reconciliation:
        """The comparison."""
        return Reconciliation(self.database, self.ledger, self.sealer, self.clock, self.providers, 3600)

    async def settle_all(self, times: int = 10) -> None:
        """Do what is due, until there is nothing."""
        for _ in range(times):
            if not await self.funding.run_once():
                return

    async def provider_balance(self, name: str) -> int:
        """What a provider owes us, as a number below nought."""
        account = await self.ledger.account(provider_owner(name), "EUR", AccountKind.PROVIDER)
        return account.balance.minor

    async def suspense(self) -> int:
        """What is on the suspense account."""
        return (await self.ledger.account("suspense", "EUR", AccountKind.SUSPENSE)).balance.minor

    async def cash_out(self, amount: int, provider: str, key: str = "out") -> Payment:
        """Alice confirms that she takes money out, and it is begun."""
        proposal = self.proposal(
            amount,
            key=key,
            kind=PaymentKind.CASH_OUT,
            payee=provider_owner(provider),
            capture=Capture.BY_MERCHANT,
        )
        payment = await self.payments.propose(proposal)
        destination = DESTINATION if provider == "bank" else {}
        await self.funding.prepare(payment.id, ALICE, eur(amount), provider, destination)
        if (await self.found(payment)).state is PaymentState.PROPOSED:
            await self.pays(payment)
        await self.funding.begin(await self.found(payment))
        return payment

    async def found(self, payment: Payment) -> Payment:
        """The payment as it stands."""
        known = await self.payments.get(payment.id)
        assert known is not None
        return known

    def told_states(self, item: str) -> list[str]:
        """The states that the wallet was told of a top-up or cash-out, in order."""
        events = [event for event in self.told.values() if event.content.get("id") == item]
        return [str(event.content["state"]) for event in events]


def room_for(minor: int) -> Limits:
    """A wallet that holds so many cents at most."""
    return Limits(balance={"EUR": minor})


def euros(amount: Money) -> str:
    """As statements write it."""
    return f"{amount.amount:.2f}"
