"""Pages of ours behind a real listener, with a database of the test's own and a clock to move."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import Connection

from appservice.config.models import Web
from appservice.database import Database, open_database
from appservice.events import InternalEvent
from bots.domain.money import Money
from bots.domain.payments import Payment, PaymentKind, PaymentRefused, PaymentState, Proposal, Refusal, proposed
from bots.framework.clock import ManualClock
from bots.framework.i18n import Catalogues
from bots.framework.people import Person
from bots.framework.web import WebServer
from bots.pages import PREFIX, HostedPage, Links, Pages
from bots.payments.approvals import ApprovePayment, Approver, ConfirmAction, unfreezing
from bots.payments.outcomes import Also, Confirmed, ConfirmOutcome
from bots.payments.pin_page import SetPin
from bots.payments.pins import Pins, telling
from bots.store.tables import metadata

ALICE = "@alice:example.org"
BOB = "@bob:example.org"
KEY = "a pickle key for the tests"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""Argon2id that takes no time."""
CSRF = re.compile('name="csrf" value="([0-9a-f]{64})"')
TITLE = re.compile("<h1>(.*?)</h1>", re.DOTALL)


class FakePeople:
    """What people have said of themselves."""

    def __init__(self) -> None:
        self.known: dict[str, Person] = {}

    async def get(self, user_id: str) -> Person:
        return self.known.get(user_id, Person())


class Log:
    """The log of decisions, as a list."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str, str, Mapping[str, Any]]] = []

    def append(
        self,
        connection: Connection,
        *,
        at: int,
        actor: str,
        action: str,
        subject: str,
        outcome: str,
        details: Mapping[str, Any],
    ) -> None:
        self.entries.append((actor, action, subject, outcome, details))

    @property
    def outcomes(self) -> list[str]:
        return [outcome for _, _, _, outcome, _ in self.entries]


class FakePayments:
    """Payments in memory; links are used up in commits of the real database."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self._database = database
        self._clock = clock
        self.payments: dict[str, Payment] = {}
        self.refusal: Refusal | None = None
        self.paid = 0

    def propose(self, minor: int = 8550, memo: str = "Rent for June", **changes: Any) -> Payment:
        number = len(self.payments) + 1
        now = self._clock.now_ms()
        wanted = Proposal(
            kind=PaymentKind.TRANSFER,
            payer=ALICE,
            payee=BOB,
            amount=Money(minor, "EUR"),
            memo=memo,
            key=str(number),
            initiator=ALICE,
            expires_at=now + 600_000,
        )
        made = proposed(replace(wanted, **changes), f"01PAYMENT{number:017}", now, paid_before=False)
        self.payments[made.id] = made
        return made

    async def get(self, payment_id: str) -> Payment | None:
        return self.payments.get(payment_id)

    async def approve(self, payment_id: str, payer: str, also: Also) -> Confirmed:
        if self.refusal is not None:
            return Confirmed(ConfirmOutcome.REFUSED, self.payments[payment_id], refusal=self.refusal)
        return Confirmed(ConfirmOutcome.PAID, await self._end(payment_id, PaymentState.PAID, also))

    async def decline(self, payment_id: str, payer: str, also: Also) -> Payment:
        return await self._end(payment_id, PaymentState.DECLINED, also)

    async def _end(self, payment_id: str, state: PaymentState, also: Also) -> Payment:
        def work(connection: Connection) -> Payment:
            also(connection)
            payment = self.payments[payment_id]
            if not payment.open:
                raise PaymentRefused("payments.wrong_state", state=payment.state.value)
            ended = self.payments[payment_id] = replace(payment, state=state)
            self.paid += state is PaymentState.PAID
            return ended

        return await self._database.write(work)


class Site:
    """The listener with pages; every link is a whole address."""

    def __init__(
        self,
        database: Database,
        *,
        hasher: PasswordHasher = QUICK,
        public_url: str = "",
        clock: ManualClock | None = None,
        payments: Approver | None = None,
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.database = database
        self.local = f"http://127.0.0.1:{port}"
        self.clock = clock or ManualClock()
        self.seconds = 0.0
        self.people = FakePeople()
        self.log = Log()
        self.events: list[InternalEvent] = []
        self.links = Links(KEY)
        self.web = WebServer(Web(enabled=True, listen=f"127.0.0.1:{port}", public_url=public_url or self.local))
        self.pins = Pins(
            database,
            self.links,
            self.log.append,
            self.clock,
            raise_events=self.raise_events,
            pickle_key=KEY,
            url=self.web.url,
            tell=telling("bot:wallet"),
            hasher=hasher,
        )
        self.payments = FakePayments(database, self.clock)
        self.names = {BOB: "Bob Marley"}
        self.unfrozen: list[str] = []
        self.pages = Pages(
            self.links,
            database,
            self.people,
            Catalogues(),
            self.clock,
            pickle_key=KEY,
            public_url=public_url or self.local,
            monotonic=lambda: self.seconds,
        )
        self.add(SetPin(self.pins))
        self.add(ApprovePayment(self.pins, payments or self.payments, self.name))
        self.add(ConfirmAction(self.pins, {"unfreeze": unfreezing(self.unfreeze)}))
        self.web.mount(PREFIX, self.pages.app())

    def add(self, page: HostedPage) -> None:
        """One more page."""
        self.pages.add(page)

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        self.events += await self.database.write(lambda connection: list(work(connection)))

    async def name(self, owner: str) -> str:
        return self.names.get(owner, "")

    async def unfreeze(self, person: str, also: Also) -> None:
        await self.database.write(also)
        self.unfrozen.append(person)

    async def approval(self, payment: Payment, ttl_s: float = 300) -> str:
        """The address where Alice approves a payment."""
        return await self.pins.approval_link(payment.id, ALICE, ttl_s)

    async def link(self, purpose: str, person: str = ALICE, subject: str = "", ttl_s: float = 60) -> str:
        """The address of any page."""

        def work(connection: Connection) -> str:
            now = self.clock.now_ms()
            return self.links.issue(connection, purpose=purpose, person=person, subject=subject, ttl_s=ttl_s, now=now)

        return self.web.url(await self.database.write(work))


@asynccontextmanager
async def running_site(folder: Path, **options: Any) -> AsyncIterator[Site]:
    """A site on a new SQLite database."""
    database = open_database(f"sqlite:///{folder / 'pages.db'}")
    await database.start()
    await database.write(metadata.create_all)
    made = Site(database, **options)
    await made.web.start()
    try:
        yield made
    finally:
        await made.web.stop()
        await database.stop()
