"""Bank transfers: a QR code and a reference out, account statements in, orders out.

What the bank knows is what its statements say, which the operator imports (:mod:`bots.payments.providers.bank_desk`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from appservice.database import Database
from appservice.sealing import Sealer
from bots.domain import pain001
from bots.domain.epc import (
    LARGEST,
    REFERENCE_BODY,
    SMALLEST,
    CreditTransfer,
    SepaError,
    bic,
    iban,
    payload,
    reference_of,
)
from bots.domain.funding import LineState, PayoutState, Seen
from bots.domain.money import Money
from bots.framework.clock import Clock
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
from bots.store import bank as bank_sql
from bots.store import funding as sql
from bots.store.bank import LineRow
from bots.store.funding_rows import PayoutRow
from bridge.domain.ulids import ALPHABET

NAME: Final = "bank"
TTL_S: Final = 14 * 86_400


@dataclass(frozen=True, slots=True)
class BankAccount:
    """The account that people transfer to. Raises :class:`SepaError`."""

    iban: str
    name: str
    bic: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "iban", iban(self.iban))
        object.__setattr__(self, "bic", bic(self.bic) if self.bic else "")
        CreditTransfer(self.name, self.iban, SMALLEST, self.bic)


def qr_png(text: str, *, scale: int = 8) -> bytes:
    """The QR code of a transfer as an image (EPC069-12: error correction M, version 13 at most, border of 4)."""
    import io

    file = io.BytesIO()
    _qr(text).save(file, kind="png", scale=scale, border=4)
    return file.getvalue()


def qr_svg(text: str) -> str:
    """The same as SVG."""
    made: str = _qr(text).svg_inline(scale=4, border=4, dark="#000", light="#fff")
    return made


def _qr(text: str):  # type: ignore[no-untyped-def]
    import segno

    return segno.make(text, error="m", boost_error=False, micro=False, encoding="utf-8", eci=False)


class BankProvider(Provider):
    """Transfers in EUR to and from one account."""

    name = NAME
    title = "Bank transfer"
    pays_out = True
    refunds = True
    ttl_s = TTL_S

    def __init__(self, account: BankAccount, database: Database, sealer: Sealer, clock: Clock) -> None:
        self.account = account
        self._database = database
        self._sealer = sealer
        self._clock = clock

    @property
    def currencies(self) -> frozenset[str] | None:
        return frozenset({"EUR"})

    def bounds(self, currency: str) -> tuple[Money | None, Money | None]:
        return (SMALLEST, LARGEST) if currency == "EUR" else (None, None)

    def instructions(self, payment_id: str, amount: Money) -> Mapping[str, str]:
        account = self.account
        transfer = CreditTransfer(account.name, account.iban, amount, account.bic, reference=payment_id)
        return {
            "name": account.name,
            "iban": account.iban,
            "bic": account.bic,
            "reference": payment_id,
            "qr": payload(transfer),
        }

    async def create(self, request: CreateRequest) -> Created:
        return Created(reference_for(request.top_up))

    async def fetch(self, payment_id: str, top_up: str) -> ProviderPayment:
        lines = await self._database.read(lambda connection: bank_sql.lines_of(connection, self._sealer, top_up))
        row = await self._database.read(lambda connection: sql.top_up(connection, self._sealer, top_up))
        received = tuple(Received(line.id, line.amount) for line in lines if line.amount.minor > 0)
        if received:
            return ProviderPayment(payment_id, Seen.SUCCEEDED, received)
        if row is not None and row.expires_at <= self._clock.now_ms():
            return ProviderPayment(payment_id, Seen.EXPIRED)
        return ProviderPayment(payment_id, Seen.PENDING)

    async def capture(self, payment_id: str, key: str) -> ProviderPayment:
        raise ProviderRefused("a bank transfer is not captured", reason="not_authorised")

    async def refund(self, payment_id: str, received: str, amount: Money, key: str) -> ProviderPayout:
        now = self._clock.now_ms()

        def work(connection: Connection) -> str | None:
            line = bank_sql.line(connection, self._sealer, received)
            if line is None or not line.details.get("iban") or amount > line.amount:
                return None
            payout_id = short_id("R", key)
            sql.add_payout(connection, self._sealer, payout_back(payout_id, "refund", line, amount, key, now))
            sql.change_payout(connection, payout_id, settled=1)  # the refund itself tells the ledger
            return payout_id

        payout_id = await self._database.write(work)
        if payout_id is None:
            raise ProviderRefused("nobody knows the account that it came from", reason="no_destination")
        return ProviderPayout(payout_id, Seen.PENDING)

    async def fetch_refund(self, refund_id: str) -> ProviderPayout:
        return await self.fetch_payout(refund_id, None)

    async def payout(self, request: PayoutRequest) -> ProviderPayout:
        try:
            iban(request.destination.get("iban", ""))
        except SepaError as error:
            raise ProviderRefused("the destination is no IBAN", reason=error.code) from None
        if not pain001.plain(request.destination.get("name", ""), 70):
            raise ProviderRefused("the destination has no name", reason="no_name")
        # It waits for the next file that is exported.
        return ProviderPayout(None, Seen.PENDING)

    async def fetch_payout(self, payout_id: str, provider_id: str | None) -> ProviderPayout:
        def work(connection: Connection) -> tuple[PayoutRow | None, list[LineRow]]:
            row = sql.payout(connection, self._sealer, payout_id)
            lines = bank_sql.lines_of(connection, self._sealer, payout_id)
            if row is not None and row.batch:
                lines += bank_sql.lines_of(connection, self._sealer, row.batch)
            return row, lines

        row, lines = await self._database.read(work)
        if any(line.amount.minor < 0 for line in lines):
            return ProviderPayout(payout_id, Seen.SUCCEEDED)
        if row is not None and row.state is PayoutState.FAILED:
            return ProviderPayout(payout_id, Seen.DECLINED, row.reason)
        return ProviderPayout(payout_id, Seen.PENDING)

    async def webhook(self, body: bytes, headers: Mapping[str, str]) -> Sequence[ProviderEvent]:
        raise WebhookRefused("a bank sends no messages")

    async def movements(self, since: int, until: int) -> Sequence[ProviderMovement]:
        def work(connection: Connection) -> list[ProviderMovement]:
            found: list[ProviderMovement] = []
            for line in bank_sql.lines_between(connection, self._sealer, since, until):
                found.extend(self._movements(connection, line))
            return found

        return await self._database.read(work)

    def _movements(self, connection: Connection, line: LineRow) -> list[ProviderMovement]:
        at = line.imported_at
        if line.state is not LineState.MATCHED or line.matched_to is None:
            return [ProviderMovement(line.id, "other", line.id, line.amount, at, line.reason or line.state.value)]
        if line.amount.minor > 0:
            return [ProviderMovement(line.id, "top_up", line.id, line.amount, at)]
        batch = bank_sql.batch(connection, self._sealer, line.matched_to)
        if batch is None:
            return [self._payout_movement(connection, line.id, line.matched_to, line.amount, at)]
        paid = sql.payouts_in(connection, self._sealer, NAME, batch=batch.id, lock=False)
        return [self._payout_movement(connection, f"{line.id}:{row.id}", row.id, -row.amount, at) for row in paid]

    def _payout_movement(
        self, connection: Connection, movement: str, payout_id: str, amount: Money, at: int
    ) -> ProviderMovement:
        row = sql.payout(connection, self._sealer, payout_id)
        kind = "refund" if row is not None and row.kind == "refund" else "payout"
        return ProviderMovement(movement, "refund" if kind == "refund" else "payout", payout_id, amount, at)


def reference_for(top_up: str) -> str:
    """The creditor reference of a top-up: the same whenever it is asked for."""
    number = int.from_bytes(sha256(top_up.encode()).digest())
    return reference_of("".join(ALPHABET[number >> 5 * place & 31] for place in range(REFERENCE_BODY)))


def short_id(mark: str, text: str) -> str:
    """An id of 26 characters that is made of a text."""
    return mark + sha256(text.encode()).hexdigest()[:25].upper()


def payout_back(payout_id: str, kind: str, line: LineRow, amount: Money, key: str, now: int) -> PayoutRow:
    """An order that sends money of a line back to whom it came from."""
    destination = {"name": line.details.get("name", "") or "Unknown", "iban": line.details.get("iban", "")}
    return PayoutRow(
        id=payout_id,
        kind=kind,
        person="",
        provider=NAME,
        amount=amount,
        state=PayoutState.SENT,
        destination=destination,
        idempotency_key=key,
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
