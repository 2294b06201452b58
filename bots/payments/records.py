"""Payments as rows, and rows as payments: what people wrote is sealed on the way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from appservice import json
from appservice.sealing import Sealer
from bots.domain.money import Money
from bots.domain.payments import Capture, Line, Payment, PaymentKind, PaymentState, Refusal

PLAIN = (
    "id",
    "payer",
    "payee",
    "key",
    "fingerprint",
    "initiator",
    "origin_room",
    "consumer",
    "dialog",
    "reply_room",
    "mandate",
    "accept_within",
    "accept_by",
    "reason",
    "attempts",
    "hold",
    "moved",
    "fee_moved",
    "changes",
    "revision",
    "created_at",
    "expires_at",
    "confirmed_at",
    "withdrawn_at",
    "due_at",
    "updated_at",
)
"""Columns that hold what the payment's field of that name does."""


def row_of(payment: Payment, sealer: Sealer) -> dict[str, Any]:
    """The row of a payment."""
    row: dict[str, Any] = {name: getattr(payment, name) for name in PLAIN}
    received = payment.received
    return row | {
        "kind": payment.kind.value,
        "state": payment.state.value,
        "currency": payment.amount.currency,
        "amount": payment.amount.minor,
        "fee": payment.fee.minor,
        "received_currency": None if received is None else received.currency,
        "received": None if received is None else received.minor,
        "captured": payment.captured.minor,
        "refunded": payment.refunded.minor,
        "group_id": payment.group,
        "capture": payment.capture.value,
        "paid_before": None if payment.paid_before is None else int(payment.paid_before),
        "details": sealer.seal(json.dumps(_details(payment)), _context(payment.id)),
    }


def payment_of(row: Mapping[str, Any], sealer: Sealer) -> Payment:
    """The payment of a row.

    Raises:
        SealBroken: it was sealed with another key.
    """
    currency = row["currency"]
    details: dict[str, Any] = json.loads(sealer.open(bytes(row["details"]), _context(row["id"])))
    received = None if row["received"] is None else Money(row["received"], row["received_currency"])
    return Payment(
        kind=PaymentKind(row["kind"]),
        state=PaymentState(row["state"]),
        amount=Money(row["amount"], currency),
        fee=Money(row["fee"], currency),
        received=received,
        captured=Money(row["captured"], currency),
        refunded=Money(row["refunded"], currency),
        group=row["group_id"],
        capture=Capture(row["capture"]),
        paid_before=None if row["paid_before"] is None else bool(row["paid_before"]),
        memo=details["memo"],
        lines=tuple(_line(each, currency) for each in details.get("lines", ())),
        inclusive=details.get("inclusive", True),
        discount=_optional(details.get("discount"), currency),
        tip=_optional(details.get("tip"), currency),
        lines_refunded={int(index): count for index, count in details.get("lines_refunded", {}).items()},
        **{name: row[name] for name in PLAIN},
    )


def _details(payment: Payment) -> dict[str, Any]:
    details: dict[str, Any] = {"memo": payment.memo}
    if payment.lines:
        details["lines"] = [_stored(line) for line in payment.lines]
        details["inclusive"] = payment.inclusive
    for name, money in (("discount", payment.discount), ("tip", payment.tip)):
        if money is not None:
            details[name] = money.minor
    if payment.lines_refunded:
        details["lines_refunded"] = {str(index): count for index, count in payment.lines_refunded.items()}
    return details


def _stored(line: Line) -> list[Any]:
    stored = [line.name, line.price.minor, line.quantity, str(line.tax)]
    return [*stored, True] if line.full else stored


def _line(stored: list[Any], currency: str) -> Line:
    name, minor, quantity, tax, *full = stored
    return Line(name, Money(minor, currency), quantity, Decimal(tax), full=bool(full))


def _optional(minor: int | None, currency: str) -> Money | None:
    return None if minor is None else Money(minor, currency)


def _context(payment_id: str) -> str:
    return f"payments:{payment_id}"


# What a confirmation was answered, for when the same message comes again


def pack(left: int | None, until: int | None, refusal: Refusal | None) -> bytes:
    """An answer as JSON."""
    packed: dict[str, Any] = {"left": left, "until": until}
    if refusal is not None:
        values = {name: _packed(value) for name, value in refusal.values.items()}
        packed["refusal"] = [refusal.code, refusal.msgid, values, refusal.final]
    return json.dumps(packed)


def unpack(packed: bytes) -> tuple[int | None, int | None, Refusal | None]:
    """An answer again: how many are left, until when, and the refusal."""
    found: dict[str, Any] = json.loads(packed)
    refusal = None
    if "refusal" in found:
        code, msgid, values, final = found["refusal"]
        refusal = Refusal(code, msgid, {name: _unpacked(value) for name, value in values.items()}, final)
    return found["left"], found["until"], refusal


def _packed(value: Any) -> Any:
    if isinstance(value, Money):
        return {"money": [value.minor, value.currency]}
    if hasattr(value, "isoformat"):
        return {"at": value.isoformat()}
    return value if isinstance(value, int) else str(value)


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict) and "money" in value:
        return Money(*value["money"])
    if isinstance(value, dict):
        return datetime.fromisoformat(value["at"])
    return value
