"""The sandbox: play money, with every way in which a payment can end. Never where real people pay.

Its page is one of ours, its bank a table. How a payment ends is chosen on the page; what is to happen later happens by
the table, also after a restart. Its messages are signed like those of a real provider, and can come twice and in the
wrong order.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, cast

from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from appservice.sealing import derived_key
from bots.domain.funding import Seen
from bots.domain.money import Money
from bots.framework.clock import Clock
from bots.pages.app import HostedPage, Visit
from bots.pages.forms import Form
from bots.pages.links import Links
from bots.pages.page import Button, Choice, Fact, Field, FieldKind, Mark, Page
from bots.payments.providers.base import (
    Created,
    CreateRequest,
    PayoutRequest,
    Provider,
    ProviderEvent,
    ProviderMovement,
    ProviderPayment,
    ProviderPayout,
    ProviderRefused,
    Received,
    WebhookRefused,
)
from bots.store import sandbox as sql
from bots.store.sandbox import SandboxRow
from bridge.domain.ulids import ENTROPY_BYTES, ulid

log = logging.getLogger(__name__)

PURPOSE: Final = "sandbox-pay"
SIGNATURE: Final = "X-Sandbox-Signature"
LATE_MS: Final = 2 * 60_000
"""How long a late success takes."""
PAYOUT_MS: Final = 30_000
FAILING_MINOR: Final = 13
"""A payout whose amount ends in these minor units fails: 20.13 EUR."""

_FINAL: Final = frozenset({Seen.SUCCEEDED, Seen.DECLINED, Seen.EXPIRED})
Deliver = Callable[[bytes, Mapping[str, str]], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a payment can end. ``later``: what it becomes after :data:`LATE_MS`."""

    state: Seen
    later: Seen | None = None
    copies: int = 1
    """How often its message is sent; more than once also in the wrong order."""


ENDINGS: Final[Mapping[str, Ending]] = {
    "success": Ending(Seen.SUCCEEDED),
    "decline": Ending(Seen.DECLINED),
    "late": Ending(Seen.PENDING, Seen.SUCCEEDED),
    "late_decline": Ending(Seen.PENDING, Seen.DECLINED),
    "reserve": Ending(Seen.AUTHORISED),
    "unknown": Ending(Seen.UNKNOWN),
    "repeated": Ending(Seen.SUCCEEDED, copies=3),
    "silent": Ending(Seen.SUCCEEDED, copies=0),
}


class SandboxProvider(Provider):
    """Takes and pays play money."""

    name = "sandbox"
    title = "Play money"
    pays_out = True
    refunds = True

    def __init__(
        self,
        database: Database,
        clock: Clock,
        links: Links,
        url: Callable[[str], str],
        pickle_key: str,
        randomness: Callable[[int], bytes],
    ) -> None:
        """
        Args:
            links: to the page on which a payment ends.
            url: the address of a path as the outside sees it.
            pickle_key: what the key of its messages is made of.
        """
        self._database = database
        self._clock = clock
        self._links = links
        self._url = url
        self._key = derived_key(pickle_key, "sandbox")
        self._randomness = randomness
        self.deliver: Deliver | None = None
        """Takes its messages, as the webhook would."""

    @property
    def currencies(self) -> frozenset[str] | None:
        return None

    # What our side asks

    async def create(self, request: CreateRequest) -> Created:
        now = self._clock.now_ms()

        def work(connection: Connection) -> tuple[SandboxRow, str]:
            row = self._add(
                connection, request.key, "payment", request.top_up, request.amount, Seen.PENDING, request.expires_at
            )
            seconds = max((request.expires_at - now) / 1000, 1)
            path = self._links.issue(
                connection, purpose=PURPOSE, person=request.person, subject=row.id, ttl_s=seconds, now=now
            )
            return row, path

        row, path = await self._database.write(work)
        return Created(row.id, self._url(path))

    async def fetch(self, payment_id: str, top_up: str) -> ProviderPayment:
        row = await self._row(payment_id, "payment")
        if row is None or row.reference != top_up:
            return ProviderPayment(payment_id, Seen.UNKNOWN, reason="not_found")
        return self._payment(row)

    async def capture(self, payment_id: str, key: str) -> ProviderPayment:
        def work(connection: Connection) -> SandboxRow | None:
            row = sql.get(connection, payment_id, lock=True)
            if row is not None and row.state is Seen.AUTHORISED:
                self._end(connection, row, Seen.SUCCEEDED)
            return sql.get(connection, payment_id)

        row = await self._database.write(work)
        if row is None or row.state is not Seen.SUCCEEDED:
            raise ProviderRefused("there is nothing to capture", reason="not_authorised")
        return self._payment(row)

    async def refund(self, payment_id: str, received: str, amount: Money, key: str) -> ProviderPayout:
        def work(connection: Connection) -> SandboxRow | None:
            payment = sql.get(connection, payment_id, lock=True)
            earlier = sql.of_reference(connection, payment_id, "refund")
            known = next((row for row in earlier if row.key == key), None)
            if known is not None:
                return known
            left = 0 if payment is None else payment.amount.minor - sum(row.amount.minor for row in earlier)
            if payment is None or payment.state is not Seen.SUCCEEDED or amount.minor > left:
                return None
            return self._add(connection, key, "refund", payment_id, amount, Seen.SUCCEEDED)

        row = await self._database.write(work)
        if row is None:
            raise ProviderRefused("more would go back than was paid", reason="exceeds_payment")
        return ProviderPayout(row.id, row.state)

    async def fetch_refund(self, refund_id: str) -> ProviderPayout:
        row = await self._row(refund_id, "refund")
        return ProviderPayout(refund_id, Seen.UNKNOWN if row is None else row.state)

    async def payout(self, request: PayoutRequest) -> ProviderPayout:
        fails = request.amount.minor % 100 == FAILING_MINOR
        due = self._clock.now_ms() + PAYOUT_MS

        def work(connection: Connection) -> SandboxRow:
            row = self._add(connection, request.key, "payout", request.id, request.amount, Seen.PENDING)
            if row.due_at is None and row.state is Seen.PENDING:
                state = Seen.DECLINED if fails else Seen.SUCCEEDED
                sql.change(connection, row.id, due_at=due, due_state=state.value)
            return row

        row = await self._database.write(work)
        return ProviderPayout(row.id, row.state)

    async def fetch_payout(self, payout_id: str, provider_id: str | None) -> ProviderPayout:
        found = await self._database.read(lambda connection: sql.of_reference(connection, payout_id, "payout"))
        return ProviderPayout(found[0].id, found[0].state) if found else ProviderPayout(None, Seen.UNKNOWN)

    async def webhook(self, body: bytes, headers: Mapping[str, str]) -> Sequence[ProviderEvent]:
        if not hmac.compare_digest(self._signature(body).encode(), headers.get(SIGNATURE, "").encode()):
            raise WebhookRefused("the message is not signed by the sandbox")
        message = json.loads(body)
        kind = "top_up" if message["kind"] == "payment" else message["kind"]
        subject = cast(Literal["top_up", "payout", "refund"], kind)
        return [ProviderEvent(message["event"], subject, message["reference"], message["id"])]

    async def movements(self, since: int, until: int) -> Sequence[ProviderMovement]:
        rows = await self._database.read(lambda connection: sql.moved(connection, since, until))
        return [_movement(row) for row in rows if row.moved_at is not None]

    # What its bank does

    async def settle(self, payment_id: str, ending: str) -> bool:
        """Have a payment end so; False: it has ended, or there is none. For its page and the operator."""
        return await self._settle(payment_id, ENDINGS[ending])

    async def run_due(self) -> int:
        """Let happen what is due; how many payments and payouts changed."""
        now = self._clock.now_ms()

        def work(connection: Connection) -> list[SandboxRow]:
            rows = sql.due(connection, now)
            for row in rows:
                self._end(connection, row, Seen(row.due_state))
            return rows

        if await self.next_due(now) is None:
            return 0
        rows = await self._database.write(work)
        for row in rows:
            await self._tell(row, Seen(row.due_state))
        return len(rows)

    async def next_due(self, until: int | None = None) -> int | None:
        """When something is due next, in ms since the epoch; only up to ``until``."""
        due = await self._database.read(sql.next_due)
        return due if due is not None and (until is None or due <= until) else None

    async def _settle(self, payment_id: str, ending: Ending, first: Callable[[Connection], None] | None = None) -> bool:
        now = self._clock.now_ms()

        def work(connection: Connection) -> SandboxRow | None:
            if first is not None:
                first(connection)
            row = sql.get(connection, payment_id, lock=True)
            if row is None or row.state in _FINAL:
                return None
            if ending.later is not None:
                due = {"due_at": now + LATE_MS, "due_state": ending.later.value}
                sql.change(connection, row.id, state=ending.state.value, expires_at=None, **due)
            else:
                self._end(connection, row, ending.state)
            return row

        row = await self._database.write(work)
        if row is not None:
            await self._tell(row, ending.state, copies=ending.copies)
        return row is not None

    def _end(self, connection: Connection, row: SandboxRow, state: Seen) -> None:
        moved = self._clock.now_ms() if state is Seen.SUCCEEDED else None
        sql.change(connection, row.id, state=state.value, due_at=None, due_state="", moved_at=moved, expires_at=None)

    def _add(
        self,
        connection: Connection,
        key: str,
        kind: str,
        reference: str,
        amount: Money,
        state: Seen,
        expires_at: int | None = None,
    ) -> SandboxRow:
        now = self._clock.now_ms()
        made = SandboxRow(
            id=f"sandbox_{ulid(now, self._randomness(ENTROPY_BYTES))}",
            key=key,
            kind=kind,
            reference=reference,
            amount=amount,
            state=state,
            due_at=None,
            due_state="",
            expires_at=expires_at,
            created_at=now,
            moved_at=now if state is Seen.SUCCEEDED else None,
        )
        row = sql.add(connection, made)
        if (row.kind, row.reference, row.amount) != (kind, reference, amount):
            raise ProviderRefused("the idempotency key is in use for something else", reason="key_reused")
        return row

    async def row(self, payment_id: str) -> SandboxRow | None:
        """A payment, for its page."""
        return await self._row(payment_id, "payment")

    async def _row(self, payment_id: str, kind: str) -> SandboxRow | None:
        row = await self._database.read(lambda connection: sql.get(connection, payment_id))
        return row if row is not None and row.kind == kind else None

    def _payment(self, row: SandboxRow) -> ProviderPayment:
        over = row.expires_at is not None and row.expires_at <= self._clock.now_ms()
        if row.state is Seen.PENDING and row.due_at is None and over:
            return ProviderPayment(row.id, Seen.EXPIRED)
        received = (Received(row.id, row.amount),) if row.state is Seen.SUCCEEDED else ()
        return ProviderPayment(row.id, row.state, received, "card_declined" if row.state is Seen.DECLINED else "")

    def _signature(self, body: bytes) -> str:
        return hmac.new(self._key, body, sha256).hexdigest()

    async def _tell(self, row: SandboxRow, state: Seen, *, copies: int = 1) -> None:
        """Send the messages of a change. Who gets none asks by itself after a while."""
        if self.deliver is None or not copies:
            return
        states = [state] if copies == 1 else [state, Seen.PENDING, *[state] * (copies - 1)]
        for told in states:
            event = f"{row.id}:{told.value}"
            message = {"event": event, "kind": row.kind, "id": row.id, "reference": row.reference, "state": told.value}
            body = json.dumps(message).encode()
            try:
                await self.deliver(body, {SIGNATURE: self._signature(body)})
            except DatabaseError as error:  # as with any provider: who was not told asks
                log.warning("a message of the sandbox could not be kept: %s", error)


def _movement(row: SandboxRow) -> ProviderMovement:
    at = row.moved_at or row.created_at
    if row.kind == "payment":
        return ProviderMovement(row.id, "top_up", row.id, row.amount, at)
    if row.kind == "payout":
        return ProviderMovement(row.id, "payout", row.reference, -row.amount, at)
    return ProviderMovement(row.id, "refund", row.id, -row.amount, at)


class SandboxPage(HostedPage):
    """Where a payment in play money ends, as its visitor chooses."""

    purpose = PURPOSE

    def __init__(self, provider: SandboxProvider) -> None:
        self._provider = provider

    async def show(self, visit: Visit) -> Page:
        row = await self._provider.row(visit.subject)
        if row is None or row.state in _FINAL or row.due_at is not None:
            return self._over(visit)
        return self._form(visit, row)

    async def submit(self, visit: Visit, form: Form) -> Page:
        ending = ENDINGS.get(form["ending"])
        row = await self._provider.row(visit.subject)
        if row is None:
            return self._over(visit)
        if ending is None:
            return self._form(visit, row, visit.t("Please choose how the payment is to end."))
        if not await self._provider._settle(visit.subject, ending, visit.redeem):
            return self._over(visit)
        return Page(
            title=visit.t("That is settled"),
            mark=Mark.WAITING if ending.state in {Seen.PENDING, Seen.UNKNOWN} else Mark.DONE,
            lead=visit.t("You can go back to your chat: the wallet says there how it went."),
            closing=visit.t("This was play money."),
        )

    async def over(self, visit: Visit) -> Page | None:
        return self._over(visit)

    def _form(self, visit: Visit, row: SandboxRow, problem: str = "") -> Page:
        t = visit.t
        choices = (
            Choice("success", t("It succeeds")),
            Choice("decline", t("It is declined")),
            Choice("late", t("It succeeds late"), t("Nothing is known for two minutes.")),
            Choice("late_decline", t("It is declined late"), t("Nothing is known for two minutes.")),
            Choice("reserve", t("The money is reserved"), t("The service has to take it.")),
            Choice("unknown", t("Nobody knows"), t("Until the operator says how it ended.")),
            Choice("repeated", t("It succeeds, told three times"), t("And in the wrong order.")),
            Choice("silent", t("It succeeds, and nobody is told"), t("The service has to ask.")),
        )
        return Page(
            title=t("Pay with play money"),
            lead=t("This is a test page. No money moves, whatever you choose. Never type card or bank data here."),
            amount=visit.formats.money(row.amount),
            facts=(Fact(t("To"), t("Your wallet"), visit.person),),
            fields=(Field("ending", t("How does the payment end?"), FieldKind.CHOICE, error=problem, choices=choices),),
            buttons=(Button("pay", t("Pay with play money")),),
        )

    def _over(self, visit: Visit) -> Page:
        return Page(
            title=visit.t("This payment has ended"),
            mark=Mark.DONE,
            lead=visit.t("You can go back to your chat: the wallet says there how it went."),
        )
