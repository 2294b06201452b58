"""Limits, freezes and sanction lists: one question inside the commit that moves the money.

The order within a transaction: :meth:`Guard.lock` with everybody whose movements are checked, :meth:`Guard.check`,
then the ledger, then :meth:`Guard.record`, and the audit log last. Whoever keeps to it neither passes a limit together
with somebody else nor waits for somebody who waits for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from appservice.config.money import Amounts, Payments, Tier
from appservice.errors import RialtoError
from bots.domain.limits import HOUR_MS, Allowance, GuardRefusal, Limits, Period, Usage, Window
from bots.domain.money import Money
from bots.framework.clock import from_ms
from bots.payments.sanctions import Verdict
from bots.store import guard as store
from bots.store.guard import MovementRow

__all__ = [
    "Direction",
    "Guard",
    "GuardRefusal",
    "HeldByOthers",
    "Movement",
    "MovementConflict",
    "Standing",
    "limits_of",
]

Direction = Literal["out", "in"]
KEEP_MS = 400 * 24 * HOUR_MS
"""How long movements are kept that may still be given back: over a year."""


class MovementConflict(RialtoError):
    """A movement with the same id was counted with other content."""

    code = "movement_conflict"


class HeldByOthers(RialtoError):
    """Somebody wants to end a hold that is not theirs to end."""

    code = "wallet_held"


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that leaves a person or comes to them. ``id``: the caller's, stable, the same for both directions.

    ``kind``: payment, invoice, cash_out, top_up, exchange or bill.
    """

    id: str
    person: str
    direction: Direction
    amount: Money
    counterpart: str
    kind: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person may do now, in one currency."""

    tier: int
    frozen: bool
    held: bool
    offered: bool
    allowances: tuple[Allowance, ...]
    per_hour: int
    per_hour_left: int
    per_hour_resets: datetime | None


class Guard:
    """What each person may pay and hold."""

    def __init__(self, tiers: Sequence[Limits], *, screening: bool = False) -> None:
        """
        Args:
            tiers: the limits of each tier; everybody begins with the first.
            screening: whether sanction lists are asked: then a payment without their verdict is refused.
        """
        if not tiers:
            raise ValueError("limits need one tier at least")
        self._tiers = tuple(tiers)
        self._screening = screening

    @classmethod
    def of(cls, settings: Payments) -> Guard:
        """As the configuration says."""
        return cls([limits_of(tier) for tier in settings.tiers], screening=bool(settings.sanctions_url))

    def lock(self, connection: Connection, people: Iterable[str], now: int) -> None:
        """Let nobody else check or record movements of these people until the transaction ends.

        :meth:`check` locks its own person too. Call this first when there are several, and before a balance is read
        that is handed to :meth:`check`.
        """
        store.lock(connection, people, now)

    def check(
        self,
        connection: Connection,
        movement: Movement,
        now: int,
        *,
        balance: Money | None = None,
        verdict: Verdict | None = None,
    ) -> GuardRefusal | None:
        """Why a movement must not be; None: it may, and nothing of it is counted yet. One that is counted may.

        Args:
            connection: the transaction that will move the money.
            movement: what is to move.
            now: ms since the epoch.
            balance: for direction ``in``: what the person holds, with what is on its way to them. Read after
                :meth:`lock`.
            verdict: what the sanction lists say, asked before the transaction.
        """
        store.lock(connection, (movement.person,), now)
        if store.movement(connection, movement.id, movement.direction) is not None:
            return None
        if (refusal := self._screened(verdict)) is not None:
            return refusal
        row = store.person(connection, movement.person)
        limits = self._limits(row.tier)
        if movement.direction == "in":
            if not limits.balance:
                return None
            if balance is None:
                raise ValueError("the balance is needed to tell whether a wallet has room")
            return limits.incoming(movement.amount, balance, own=movement.kind in {"top_up", "exchange"})
        if row.held_at is not None:
            return GuardRefusal("guard.held")
        if row.frozen_at is not None:
            return GuardRefusal("guard.frozen")
        usage = self._usage(connection, movement.person, movement.amount.currency, limits, now)
        return limits.outgoing(movement.amount, usage, now)

    def record(self, connection: Connection, movement: Movement, now: int) -> None:
        """Count a movement. The same one again changes nothing.

        Raises:
            MovementConflict: its id was counted with another person, counterpart, kind or amount.
        """
        minor, currency = movement.amount.minor, movement.amount.currency
        if minor <= 0:
            raise ValueError("what moves is more than nothing")
        row = MovementRow(
            movement.id,
            movement.direction,
            movement.person,
            movement.counterpart,
            movement.kind,
            currency,
            minor,
            minor,
            now,
        )
        if store.count(connection, row):
            return
        known = store.movement(connection, movement.id, movement.direction)
        if known is None or _content(known) != _content(row):
            raise MovementConflict("this movement was counted before, and was another one", movement=movement.id)

    def release(self, connection: Connection, movement_id: str, *, keep: Money | None = None) -> None:
        """Give back what a movement counts in its day and month: its hold was voided, or captured in part.

        ``keep``: what of it was taken after all. Twice the same changes nothing, and it never counts more than before.
        How many payments there were within an hour stays.
        """
        store.uncount(connection, movement_id, 0 if keep is None else max(keep.minor, 0))

    def freeze(self, connection: Connection, person: str, by: str, now: int) -> None:
        """Let nothing leave a wallet. By its person: frozen. By somebody else: held, which the person cannot end.

        What comes in still comes in.
        """
        store.lock(connection, (person,), now)
        row = store.person(connection, person)
        if by == person and row.frozen_at is None:
            store.change_person(connection, person, now, frozen_at=now)
        elif by != person and row.held_at is None:
            store.change_person(connection, person, now, held_at=now, held_by=by)

    def unfreeze(self, connection: Connection, person: str, by: str, now: int) -> None:
        """End the person's own freeze, or as somebody else the hold. The other one of the two stays.

        Raises:
            HeldByOthers: the person asks, and somebody else holds the wallet.
        """
        store.lock(connection, (person,), now)
        row = store.person(connection, person)
        if by != person:
            store.change_person(connection, person, now, held_at=None, held_by=None)
            return
        if row.held_at is not None:
            raise HeldByOthers("the wallet is held by the operator")
        store.change_person(connection, person, now, frozen_at=None)

    def is_frozen(self, connection: Connection, person: str) -> bool:
        """Whether nothing may leave a wallet, whoever said so."""
        row = store.person(connection, person)
        return row.frozen_at is not None or row.held_at is not None

    def tier_of(self, connection: Connection, person: str) -> int:
        """A person's tier, from 0; the highest there is when the configuration has fewer by now."""
        return min(store.person(connection, person).tier, len(self._tiers) - 1)

    def set_tier(self, connection: Connection, person: str, tier: int, now: int) -> None:
        """Move a person to a tier.

        Raises:
            ValueError: there is no such tier.
        """
        if not 0 <= tier < len(self._tiers):
            raise ValueError(f"there is no tier {tier}: they go from 0 to {len(self._tiers) - 1}")
        store.change_person(connection, person, now, tier=tier)

    def offers(self, connection: Connection, person: str, currency: str) -> bool:
        """Whether a person's tier offers payments in a currency."""
        return self._limits(store.person(connection, person).tier).offers(currency)

    def standing(self, connection: Connection, person: str, balance: Money, now: int) -> Standing:
        """What is left of every limit in the balance's currency. Only reads."""
        row = store.person(connection, person)
        limits = self._limits(row.tier)
        usage = self._usage(connection, person, balance.currency, limits, now)
        left = limits.per_hour - len(usage.recent)
        return Standing(
            tier=self.tier_of(connection, person),
            frozen=row.frozen_at is not None,
            held=row.held_at is not None,
            offered=limits.offers(balance.currency),
            allowances=limits.allowances(usage, balance, now),
            per_hour=limits.per_hour,
            per_hour_left=left,
            per_hour_resets=None if left else from_ms(min(usage.recent) + HOUR_MS),
        )

    def purge(self, connection: Connection, now: int, limit: int = 500) -> int:
        """Forget up to ``limit`` old days, months and movements each; how many."""
        return store.purge(connection, now - KEEP_MS, limit)

    def _screened(self, verdict: Verdict | None) -> GuardRefusal | None:
        if verdict is Verdict.HIT:
            return GuardRefusal("guard.sanctions_hit")
        if verdict is Verdict.UNKNOWN or (verdict is None and self._screening):
            return GuardRefusal("guard.sanctions_unknown")
        return None

    def _limits(self, tier: int) -> Limits:
        return self._tiers[min(tier, len(self._tiers) - 1)]

    def _usage(self, connection: Connection, person: str, currency: str, limits: Limits, now: int) -> Usage:
        day, month = Window.at(Period.DAY, now), Window.at(Period.MONTH, now)
        return Usage(
            store.spent(connection, person, currency, day),
            store.spent(connection, person, currency, month),
            store.recent(connection, person, now - HOUR_MS, limits.per_hour),
        )


def limits_of(tier: Tier) -> Limits:
    """The limits of a tier of the configuration."""
    return Limits(
        per_transfer=_minor(tier.per_transfer),
        per_day=_minor(tier.per_day),
        per_month=_minor(tier.per_month),
        balance=_minor(tier.balance),
        per_hour=tier.transfers_per_hour,
    )


def _minor(amounts: Amounts) -> dict[str, int]:
    return {currency: Money.of(text, currency).minor for currency, text in amounts.items()}


def _content(row: MovementRow) -> tuple[object, ...]:
    return (row.person, row.counterpart, row.kind, row.currency, row.amount)
