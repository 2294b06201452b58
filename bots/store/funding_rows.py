"""Rows of top-ups, payouts and refunds, as :mod:`bots.store.funding` reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bots.domain.funding import PayoutState, RefundState, TopUpState
from bots.domain.money import Money


@dataclass(frozen=True, slots=True)
class TopUpRow:
    """A top-up. ``link``: where the person pays, "" where there is no such page."""

    id: str
    key: str
    person: str
    provider: str
    amount: Money
    state: TopUpState
    idempotency_key: str
    provider_id: str | None
    link: str
    credited: Money
    suspended: Money
    refunded: Money
    returned: Money
    reason: str
    attempts: int
    next_at: int | None
    expires_at: int
    created_at: int
    changed_at: int
    changes: int
    told: int


@dataclass(frozen=True, slots=True)
class CreditRow:
    """Money that came in for a top-up. ``held``: on the suspense account."""

    provider: str
    movement: str
    top_up: str
    amount: Money
    transfer: str
    held: bool
    releases: int
    at: int


@dataclass(frozen=True, slots=True)
class PayoutRow:
    """Money that goes out: a cash-out, or a transfer that goes back to whom it came from."""

    id: str
    kind: str
    person: str
    provider: str
    amount: Money
    state: PayoutState
    destination: Mapping[str, str]
    idempotency_key: str
    provider_id: str | None
    batch: str | None
    settled: bool
    reason: str
    attempts: int
    next_at: int | None
    created_at: int
    changed_at: int
    changes: int
    told: int


@dataclass(frozen=True, slots=True)
class RefundRow:
    """Money of a top-up that goes back to where it came from."""

    id: str
    key: str
    top_up: str
    provider: str
    amount: Money
    state: RefundState
    idempotency_key: str
    provider_id: str | None
    suspense: bool
    movement: str
    reason: str
    attempts: int
    next_at: int | None
    created_at: int
    changed_at: int
