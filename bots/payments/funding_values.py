"""What top-ups and cash-outs are to those who ask for them, and what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from appservice.errors import RialtoError
from bots.domain.epc import SepaError, iban
from bots.domain.funding import MESSAGES, PayoutState, TopUpState
from bots.domain.money import Money
from bots.payments.guard import GuardRefusal
from bots.payments.providers.base import Provider, ProviderRefused
from bots.store.funding_rows import PayoutRow, TopUpRow

FIRST_ASK_MS: Final = 60_000
"""How long whoever has made something asks for it alone."""


class FundingRefused(RialtoError):
    """A top-up or cash-out that cannot be. ``msgid`` with ``values`` is the sentence for people."""

    code = "funding_refused"

    def __init__(self, code: str, msgid: str, values: Mapping[str, Any]) -> None:
        super().__init__(msgid.format(**values), reason=code)
        self.code = code
        self.msgid = msgid
        self.values = values

    @classmethod
    def of(cls, code: str, **values: Any) -> FundingRefused:
        """One of :data:`bots.domain.funding.MESSAGES`."""
        return cls(code, MESSAGES[code], values)

    @classmethod
    def by_guard(cls, refusal: GuardRefusal) -> FundingRefused:
        """What the guard refuses."""
        error = cls.of("funding.refused", provider="Rialto")
        error.code, error.msgid, error.values = refusal.code, refusal.msgid, refusal.values
        return error


@dataclass(frozen=True, slots=True)
class TopUp:
    """A top-up as the wallet shows it.

    Attributes:
        link: the page on which the person pays; "" where there is none, or not yet.
        instructions: of a bank transfer: name, iban, bic, reference, and the payload of the QR code (``qr``).
        credited: is in the wallet by now; ``suspended``: came in, and waits for the operator.
        change: counts the changes, as the events do.
    """

    id: str
    person: str
    provider: str
    amount: Money
    state: TopUpState
    link: str
    instructions: Mapping[str, str]
    credited: Money
    suspended: Money
    refunded: Money
    reason: str
    expires_at: int
    created_at: int
    change: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider, as the wallet offers it."""

    name: str
    title: str
    currencies: frozenset[str] | None
    tops_up: bool
    pays_out: bool
    needs_iban: bool


def check_amount(provider: Provider, amount: Money) -> None:
    """Whether a provider moves an amount. Raises :class:`FundingRefused`."""
    if amount.minor <= 0:
        raise FundingRefused.of("funding.not_positive")
    if provider.currencies is not None and amount.currency not in provider.currencies:
        raise FundingRefused.of("funding.currency", provider=provider.title, currency=amount.currency)
    smallest, largest = provider.bounds(amount.currency)
    if smallest is not None and amount < smallest:
        raise FundingRefused.of("funding.smallest", provider=provider.title, amount=smallest)
    if largest is not None and amount > largest:
        raise FundingRefused.of("funding.largest", provider=provider.title, amount=largest)
    try:
        provider.check(amount)
    except ProviderRefused:
        raise FundingRefused.of("funding.amount", provider=provider.title) from None


def check_destination(provider: Provider, destination: Mapping[str, str]) -> None:
    """Whether a provider pays out to there. Raises :class:`FundingRefused`."""
    if provider.name != "bank":
        return
    try:
        iban(destination.get("iban", ""))
    except SepaError as error:
        raise FundingRefused(error.code, error.msgid, error.values) from None
    if not destination.get("name", "").strip():
        raise FundingRefused.of("funding.destination")


def top_up_row(
    top_up_id: str, key: str, person: str, amount: Money, provider: Provider, idempotency_key: str, now: int
) -> TopUpRow:
    """A new top-up, of which the provider has not heard."""
    nothing = Money.zero(amount.currency)
    return TopUpRow(
        id=top_up_id,
        key=key,
        person=person,
        provider=provider.name,
        amount=amount,
        state=TopUpState.CREATED,
        idempotency_key=idempotency_key,
        provider_id=None,
        link="",
        credited=nothing,
        suspended=nothing,
        refunded=nothing,
        returned=nothing,
        reason="",
        attempts=0,
        next_at=now + FIRST_ASK_MS,
        expires_at=now + provider.ttl_s * 1000,
        created_at=now,
        changed_at=now,
        changes=0,
        told=0,
    )


def payout_row(
    payout_id: str,
    person: str,
    amount: Money,
    provider: str,
    destination: Mapping[str, str],
    idempotency_key: str,
    now: int,
) -> PayoutRow:
    """A payout that its person has not confirmed."""
    kept = {key: value.strip() for key, value in destination.items() if key in {"name", "iban"}}
    if "iban" in kept:
        kept["iban"] = "".join(kept["iban"].split()).upper()
    return PayoutRow(
        id=payout_id,
        kind="cash_out",
        person=person,
        provider=provider,
        amount=amount,
        state=PayoutState.PROPOSED,
        destination=kept,
        idempotency_key=idempotency_key,
        provider_id=None,
        batch=None,
        settled=False,
        reason="",
        attempts=0,
        next_at=None,
        created_at=now,
        changed_at=now,
        changes=0,
        told=0,
    )


def shown(row: TopUpRow, provider: Provider | None) -> TopUp:
    """A top-up as the wallet shows it."""
    open_still = row.state in {TopUpState.CREATED, TopUpState.PENDING, TopUpState.UNKNOWN}
    instructions: Mapping[str, str] = {}
    if provider is not None and row.provider_id is not None and open_still:
        instructions = provider.instructions(row.provider_id, row.amount)
    return TopUp(
        id=row.id,
        person=row.person,
        provider=row.provider,
        amount=row.amount,
        state=row.state,
        link=row.link if open_still else "",
        instructions=instructions,
        credited=row.credited,
        suspended=row.suspended,
        refunded=row.refunded + row.returned,
        reason=row.reason,
        expires_at=row.expires_at,
        created_at=row.created_at,
        change=row.changes,
    )
