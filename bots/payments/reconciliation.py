"""Compares the ledger with the providers: every movement there has its movement here, and the other way round.

What differs is listed and counted (``rialto_payments_differences``), never set right by itself. A movement that is
younger than :data:`GRACE_MS` may still be on its way from one to the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from appservice.sealing import Sealer
from bots.domain.funding import DAY_MS, Difference, PayoutState, TopUpState
from bots.domain.ledger import AccountKind, Line
from bots.domain.money import Money
from bots.framework.clock import Clock
from bots.payments.funding_books import line_transfer, provider_owner, refund_transfer
from bots.payments.ledger import Ledger
from bots.payments.providers.base import Provider, ProviderMovement, ProviderRefused, ProviderUnknown
from bots.store import differences as store
from bots.store import funding as sql
from bots.store.differences import DifferenceRow

log = logging.getLogger(__name__)

LOOKBACK_MS: Final = 7 * DAY_MS
MARGIN_MS: Final = 2 * DAY_MS
"""How much further than it judges a comparison looks, for what is near its edge."""
GRACE_MS: Final = 10 * 60_000
STUCK_MS: Final = DAY_MS
"""How long something may be unknown until that is a difference."""
PAGE: Final = 500
PAUSE_S: Final = 60.0


class Gauge:
    """What the metrics are told; nothing here."""

    def set(self, provider: str, differences: int) -> None:
        """How many differences a provider has."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found. ``failed``: providers that could not be compared, and why; theirs stay as they were."""

    differences: Sequence[DifferenceRow]
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Books:
    """The ledger's movements of one provider: by transfer, and by what they refer to."""

    by_transfer: Mapping[str, Line]
    by_reference: Mapping[str, Line]


class Reconciliation:
    """The comparison, again and again."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        sealer: Sealer,
        clock: Clock,
        providers: Mapping[str, Provider],
        every_s: float,
        gauge: Gauge | None = None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._sealer = sealer
        self._clock = clock
        self._providers = dict(providers)
        self._every_ms = int(every_s * 1000)
        self._gauge = gauge or Gauge()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Compare now and then."""
        self._task = asyncio.create_task(self._run_on(), name="reconciliation")

    async def stop(self) -> None:
        """Compare no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run_on(self) -> None:
        while True:
            try:
                await self.run()
            except DatabaseError as error:
                log.warning("the comparison with the providers waits for the database: %s", error)
                await asyncio.sleep(PAUSE_S)
                continue
            except Exception:  # a defect must not end the comparison for good
                log.exception("the comparison with the providers failed")
            await self._clock.wait_until(self._clock.now_ms() + self._every_ms)

    async def run(self) -> Result:
        """Compare with every provider; all differences that are open afterwards."""
        failed: dict[str, str] = {}
        for name, provider in self._providers.items():
            try:
                await self._compare(name, provider)
            except (ProviderUnknown, ProviderRefused) as error:
                failed[name] = error.human
                log.warning("a provider cannot be compared: %s", error, extra={"provider": name})
        return Result(await self.differences(), failed)

    async def differences(self) -> list[DifferenceRow]:
        """Those that are open."""
        return await self._database.read(store.open_of)

    async def _compare(self, name: str, provider: Provider) -> None:
        now = self._clock.now_ms()
        oldest = await self._database.read(lambda connection: store.oldest(connection, name))
        since = now - LOOKBACK_MS
        if oldest is not None:
            since = min(since, oldest)
        theirs = await provider.movements(since - MARGIN_MS, now + 1)
        ours = await self._books(name, since - MARGIN_MS)
        found: list[DifferenceRow] = []
        seen: set[str] = set()
        for movement in theirs:
            line = await self._line_of(name, movement, ours)
            if line is not None:
                seen.add(line.transfer_id)
            young = movement.at > now - GRACE_MS
            if movement.at < since or (line is None and young):
                continue
            difference = _compared(name, movement, line)
            if difference is not None:
                found.append(difference)
        for line in ours.by_transfer.values():
            judged = since <= line.at <= now - GRACE_MS
            if line.transfer_id not in seen and judged and not await self._there(provider, name, line):
                found.append(_missing_there(name, line))
        found.extend(await self._database.read(lambda connection: self._stuck(connection, name, now)))
        kept = await self._database.write(lambda connection: store.note(connection, name, found, now))
        self._gauge.set(name, kept)
        for row in found:
            log.error(
                "the ledger and a provider differ",
                extra={"provider": name, "kind": row.kind.value, "subject": row.subject},
            )

    async def _books(self, name: str, since: int) -> _Books:
        """The ledger's movements on the accounts of a provider."""
        by_transfer: dict[str, Line] = {}
        by_reference: dict[str, Line] = {}
        for account in await self._ledger.accounts(provider_owner(name)):
            if account.kind is not AccountKind.PROVIDER:
                continue
            before: int | None = None
            while True:
                page = await self._ledger.statement(account.id, since=since, before_seq=before, limit=PAGE)
                for line in page:
                    by_transfer[line.transfer_id] = line
                    by_reference[line.reference] = line
                if len(page) < PAGE:
                    break
                before = page[-1].seq
        return _Books(by_transfer, by_reference)

    async def _line_of(self, name: str, movement: ProviderMovement, ours: _Books) -> Line | None:
        """The ledger's movement that belongs to a provider's."""
        if movement.kind == "payout":
            return ours.by_reference.get(movement.key)
        if movement.kind == "top_up":
            credit = await self._database.read(lambda connection: sql.credit(connection, name, movement.key))
            return None if credit is None else ours.by_transfer.get(credit.transfer)
        if movement.kind == "refund":
            refund = await self._database.read(lambda connection: sql.refund(connection, provider_id=movement.key))
            return None if refund is None else ours.by_transfer.get(refund_transfer(refund.id))
        return ours.by_transfer.get(line_transfer(name, movement.key))

    async def _there(self, provider: Provider, name: str, line: Line) -> bool:
        """Whether a top-up of which no movement was listed is known to the provider when it is asked for itself: it was
        credited long after it was paid."""
        if line.kind != "top_up":
            return False
        row = await self._database.read(lambda connection: sql.top_up(connection, self._sealer, line.reference))
        if row is None or row.provider_id is None:
            return False
        payment = await provider.fetch(row.provider_id, row.id)
        credits = await self._database.read(lambda connection: sql.credits_of(connection, row.id))
        expected = {(one.movement, one.amount) for one in credits if one.transfer == line.transfer_id}
        return bool(expected) and expected <= {(one.id, one.amount) for one in payment.received}

    def _stuck(self, connection: Connection, name: str, now: int) -> list[DifferenceRow]:
        """What has been unknown for long or waits for the operator, and payouts whose end the ledger does not take."""
        found = []
        for top_up in sql.top_ups_in(connection, self._sealer, name, TopUpState.UNKNOWN, now - STUCK_MS):
            found.append(_state(name, top_up.id, top_up.amount, f"top_up unknown {top_up.reason}", top_up.changed_at))
        for top_up in sql.suspended(connection, self._sealer):
            if top_up.provider == name:
                detail = f"top_up suspended {top_up.reason}"
                found.append(_state(name, top_up.id, top_up.suspended, detail, top_up.changed_at))
        for payout in sql.payouts_in(connection, self._sealer, name, states=[PayoutState.UNKNOWN], lock=False):
            if payout.changed_at <= now - STUCK_MS:
                detail = f"payout unknown {payout.reason}"
                found.append(_state(name, payout.id, payout.amount, detail, payout.changed_at))
        for payout in sql.unsettled(connection, self._sealer, 1_000):
            if payout.provider == name and payout.changed_at <= now - GRACE_MS:
                detail = f"payout {payout.state.value} and not settled"
                found.append(_state(name, payout.id, payout.amount, detail, payout.changed_at))
        return found


def _state(name: str, subject: str, amount: Money, detail: str, at: int) -> DifferenceRow:
    """Both know of it, and it is not where it should be."""
    return DifferenceRow(
        name, Difference.STATE, subject, amount.currency, amount.minor, amount.minor, detail.strip(), at
    )


def _compared(name: str, movement: ProviderMovement, line: Line | None) -> DifferenceRow | None:
    """What differs between a provider's movement and the ledger's."""
    theirs = movement.amount
    if line is None:
        detail = f"{movement.kind} {movement.detail}".strip()
        return DifferenceRow(
            name, Difference.MISSING_HERE, movement.id, theirs.currency, None, theirs.minor, detail, movement.at
        )
    # What comes in at the provider is a debit of its account in the ledger: it owes us more.
    ours = -line.amount
    if ours != theirs:
        return DifferenceRow(
            name,
            Difference.AMOUNT,
            movement.id,
            theirs.currency,
            ours.minor,
            theirs.minor,
            f"{movement.kind} {ours.currency}",
            movement.at,
        )
    return None


def _missing_there(name: str, line: Line) -> DifferenceRow:
    ours = -line.amount
    return DifferenceRow(
        name, Difference.MISSING_THERE, line.transfer_id, ours.currency, ours.minor, None, line.kind, line.at
    )
