"""A payments service over a real database, with a clock that stands still and codes that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from appservice.events import InternalEvent
from appservice.sealing import Sealer
from bots.domain.ledger import AccountKind, Transfer
from bots.domain.limits import Limits
from bots.domain.money import Money
from bots.domain.payments import Capture, Payment, PaymentKind, Proposal
from bots.framework.clock import ManualClock
from bots.payments.guard import Guard
from bots.payments.ledger import Ledger
from bots.payments.outcomes import Confirmed
from bots.payments.service import Payments
from bots.payments.settings import PaymentSettings
from bots.payments.till import Till
from bridge.audit import Audit, AuditEntry

ALICE, BOB, CAROL = "@alice:example.org", "@bob:example.org", "@carol:example.org"
ROOM, BOB_ROOM = "!alice-wallet:example.org", "!bob-wallet:example.org"
WALLET = "wallet:@wallet:example.org"
SHOP, SHOP_CONSUMER = "bot:shop", "shop:@shop:example.org"
HOUR, DAY = 3_600_000, 86_400_000


def eur(minor: int) -> Money:
    """So many cents."""
    return Money(minor, "EUR")


class Links:
    """Stands in for the PIN pages."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, float]] = []

    async def approval_link(self, payment_id: str, person: str, ttl_s: float) -> str:
        """A link that leads nowhere."""
        self.made.append((payment_id, person, ttl_s))
        return f"https://pay.example.org/approve/{len(self.made)}"


class World:
    """Everything that payments stand on. ``raise_events`` commits as the service does, and can be made to fail.

    Attributes:
        told: the events of every commit that was kept, each once by its key, as the inbox does.
    """

    def __init__(self, database: Database, *, limits: Limits | None = None, **settings: Any) -> None:
        self.database = database
        self.clock = ManualClock()
        self.ledger = Ledger(database, self.clock)
        self.guard = Guard([limits or Limits()])
        self.audit = Audit(database, Sealer("pickle", "audit"))
        given: dict[str, Any] = {"currencies": ("EUR", "USD"), "fee": Fraction(0)} | settings
        self.settings = PaymentSettings(**given)
        self.told: dict[str, InternalEvent] = {}
        self.fail_before = 0
        """So many commits are not kept."""
        self.fail_after = 0
        """So many commits are kept, and nobody hears of it."""
        self.drawn = 100_000
        self.links = Links()
        self.payments = self.again()

    def again(self) -> Payments:
        """The service after a restart: nothing but the database is the same."""
        till = Till(
            self.database,
            self.raise_events,
            self.ledger,
            self.guard,
            self.audit,
            Sealer("pickle", "payments"),
            self.clock,
            self.settings,
            secret=b"secret" * 6,
            wallet=WALLET,
        )
        return Payments(till, pins=self.links, randbelow=self._draw)

    def _draw(self, below: int) -> int:
        self.drawn += 1
        return self.drawn

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        """Commit what ``work`` does."""
        if self.fail_before:
            self.fail_before -= 1

            def torn(connection: Connection) -> None:
                list(work(connection))
                raise DatabaseError("killed before the commit (test)")

            await self.database.write(torn)
        events = await self.database.write(lambda connection: list(work(connection)))
        for event in events:
            self.told.setdefault(event.event_id, event)
        if self.fail_after:
            self.fail_after -= 1
            raise DatabaseError("killed after the commit (test)")

    # What tests do

    async def give(self, person: str, amount: Money) -> None:
        """Top up a wallet, and open it."""
        await self.payments.open_wallet(person)
        source = await self.ledger.account("provider:test", amount.currency, AccountKind.PROVIDER)
        wallet = await self.ledger.account(person, amount.currency)
        number = wallet.credits + wallet.debits
        (outcome,) = await self.ledger.execute(
            [Transfer(f"give:{person}:{amount.currency}:{number}", source.id, wallet.id, amount, "top_up")]
        )
        assert outcome.done

    async def balance(self, owner: str, currency: str = "EUR", kind: AccountKind | None = None) -> int:
        """What an owner has, in minor units."""
        known = {"fees": AccountKind.FEES, "exchange": AccountKind.EXCHANGE}
        other = AccountKind.PERSON if owner.startswith("@") else AccountKind.MERCHANT
        account = await self.ledger.account(owner, currency, kind or known.get(owner, other))
        return account.balance.minor

    async def available(self, person: str) -> int:
        """What a person can spend."""
        return (await self.ledger.account(person, "EUR")).available.minor

    def proposal(self, amount: int = 1000, *, key: str = "k1", **more: Any) -> Proposal:
        """Alice pays Bob, unless told otherwise."""
        values: dict[str, Any] = {
            "kind": PaymentKind.TRANSFER,
            "payer": ALICE,
            "payee": BOB,
            "amount": eur(amount),
            "memo": "lunch",
            "key": key,
            "initiator": ALICE,
            "expires_at": self.clock.now_ms() + DAY,
        }
        return Proposal(**(values | more))

    def invoice(self, amount: int = 1000, *, key: str = "i1", held: bool = False, **more: Any) -> Proposal:
        """Alice pays the shop."""
        values: dict[str, Any] = {
            "kind": PaymentKind.INVOICE,
            "payee": SHOP,
            "initiator": SHOP,
            "consumer": SHOP_CONSUMER,
        }
        if held:
            values |= {"capture": Capture.BY_MERCHANT, "accept_within": HOUR}
        return self.proposal(amount, key=key, **(values | more))

    async def pays(self, payment: Payment, event: str = "$pays", room: str = ROOM) -> Confirmed:
        """The payer asks for a code and types it."""
        challenge = await self.payments.challenge(payment.id, payment.payer, room)
        assert challenge.code is not None
        return await self.payments.confirm(
            payer=payment.payer, code=challenge.code, room_id=room, event_id=f"{event}:{payment.id}"
        )

    async def sound(self) -> None:
        """The books balance, and the audit log is whole."""
        report = await self.ledger.verify()
        assert not report.problems, report
        assert (await self.audit.verify()).whole

    async def audited(self, payment: Payment) -> list[str]:
        """What the audit log has of a payment, the first first."""
        entries: list[AuditEntry] = await self.audit.list(subject=f"payment:{payment.id}")
        return [f"{entry.action} {entry.outcome}" for entry in reversed(entries)]

    def told_of(self, payment: Payment, who: str) -> list[str]:
        """The states that somebody was told of a payment, in order."""
        events = [event for event in self.told.values() if event.content.get("payment") == payment.id]
        return [str(event.content["state"]) for event in events if event.key.endswith(f":{who}")]
