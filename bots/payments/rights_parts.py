"""What the other parts of money know of a person, and how they forget it: payments, PINs, funding, bills."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.sealing import SealBroken, Sealer
from bots.domain.bills import MOVING
from bots.domain.bills import State as BillState
from bots.domain.funding import PayoutState, TopUpState
from bots.domain.money import Money
from bots.domain.payments import PaymentState
from bots.domain.rights import Obstacle
from bots.framework.clock import from_ms
from bots.payments.records import payment_of, row_of
from bots.payments.rights import Rights, Table
from bots.store import funding as funding_store
from bots.store import pages as pages_store
from bots.store import payments as payments_store
from bots.store import rights as store
from bots.store import subscriptions as subscriptions_store

__all__ = ["MONEY_BOTS", "register_parts"]

MONEY_BOTS: Final = frozenset({"wallet", "bills"})
"""Plugins whose notes of a person are about money."""

_OPEN_PAYMENTS: Final = frozenset({PaymentState.PROPOSED.value, PaymentState.HELD.value})
_OPEN_TOP_UPS: Final = frozenset({TopUpState.CREATED.value, TopUpState.PENDING.value, TopUpState.UNKNOWN.value})
_OPEN_CASH_OUTS: Final = frozenset({each.value for each in PayoutState} - {"proposed", "paid", "failed"})
_OPEN_BILLS: Final = frozenset(each.value for each in (BillState.FETCHING, *MOVING))


def register_parts(rights: Rights, pickle_key: str, bots: Sequence[str] = ()) -> None:
    """Have all parts take part that keep tables of money with people in them.

    Args:
        bots: the instances of bots of money, whose notes of a person go too: saved payees, the chat to write to.
    """
    sealer = Sealer(pickle_key, "payments")
    payments = _Payments(sealer)
    rights.register("payments", payments.export, payments.erase, payments.blocked)
    rights.register(
        "pages", _pages_export, lambda connection, who, _name, _now: pages_store.forget_person(connection, who)
    )
    rights.register(
        "funding",
        _Sealed(sealer).funding,
        lambda connection, who, name, _now: funding_store.rename_person(connection, who, name),
        _blocked({"top_ups": _OPEN_TOP_UPS, "cash_outs": _OPEN_CASH_OUTS}, "rights.open_funding"),
    )
    rights.register(
        "bills",
        _Sealed(sealer).bills,
        lambda connection, who, name, _now: store.forget_bills(connection, who, name),
        _blocked({"bills": _OPEN_BILLS}, "rights.open_bills"),
    )

    notes = Sealer(pickle_key, "state")
    rights.register(
        "bots",
        lambda connection, who: {"notes": _notes(connection, bots, who, notes)},
        lambda connection, who, _name, _now: store.forget_notes(connection, bots, who),
    )


def _notes(connection: Connection, bots: Sequence[str], person: str, sealer: Sealer) -> Iterator[Mapping[str, Any]]:
    """What bots have noted of a person, as they noted it."""
    for row in store.notes_of(connection, bots, person):
        value = bytes(row["value"])
        if row["sealed"]:  # the place is that of bots.framework.state
            value = _text(sealer, value, f"{row['plugin']}\0{row['scope']}\0{row['key']}").encode()
        yield {"bot": row["plugin"], "key": row["key"], "value": json.loads(value) if value else None}


def _blocked(tables: Mapping[str, frozenset[str]], code: str) -> Callable[[Connection, str], Sequence[Obstacle]]:
    def blocked(connection: Connection, person: str) -> Sequence[Obstacle]:
        count = sum(store.in_state(connection, name, person, states) for name, states in tables.items())
        return (Obstacle.of(code, count=count),) if count else ()

    return blocked


class _Payments:
    """Payments and subscriptions."""

    blocked = staticmethod(_blocked({"payments": _OPEN_PAYMENTS}, "rights.open_payments"))

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def export(self, connection: Connection, person: str) -> Mapping[str, Table]:
        """Payments with what was written, refunds, subscriptions, the wallet itself."""
        columns = (
            "id",
            "state",
            "payer",
            "payee",
            "currency",
            "amount",
            "every",
            "unit",
            "next_at",
            "memo",
            "created_at",
        )
        return {
            "payments": self._payments(connection, person),
            "refunds": map(_plain, store.refunds_of(connection, person)),
            "subscriptions": (
                _plain({**row, "memo": _text(self._sealer, row["memo"], f"subscriptions:{row['id']}")})
                for row in store.rows_of(connection, "subscriptions", person, columns)
            ),
            "wallet": map(_plain, store.rows_of(connection, "wallet", person, ("opened_at",))),
            "confirming": map(_plain, store.rows_of(connection, "confirming", person, ("failed_at", "locked_until"))),
        }

    def _payments(self, connection: Connection, person: str) -> Iterator[Mapping[str, Any]]:
        for row in store.rows_of(connection, "payments", person, _all("payments")):
            payment = payment_of(row, self._sealer)
            yield {
                "id": payment.id,
                "kind": payment.kind.value,
                "state": payment.state.value,
                "payer": payment.payer,
                "payee": payment.payee,
                "amount": str(payment.amount),
                "captured": str(payment.captured),
                "refunded": str(payment.refunded),
                "received": None if payment.received is None else str(payment.received),
                "memo": payment.memo,
                "lines": [[line.name, line.quantity, str(line.amount)] for line in payment.lines],
                "created_at": _time(payment.created_at),
                "confirmed_at": _time(payment.confirmed_at),
            }

    def erase(self, connection: Connection, person: str, name: str, _now: int) -> None:
        """The memos go, and the chats that it was asked for in; what merchants sold stays with its lines."""
        for row in store.rows_of(connection, "payments", person, _all("payments")):
            payment = replace(payment_of(row, self._sealer), memo="")
            details = row_of(payment, self._sealer)["details"]
            revision = payment.revision + 1
            store.blank(
                connection, "payments", payment.id, details=details, origin_room="", reply_room="", revision=revision
            )
        for row in store.rows_of(connection, "subscriptions", person, ("id",)):
            memo = self._sealer.seal(b"", f"subscriptions:{row['id']}")
            store.blank(connection, "subscriptions", row["id"], memo=memo)
        payments_store.rename(connection, person, name)
        subscriptions_store.rename(connection, person, name)


def _pages_export(connection: Connection, person: str) -> Mapping[str, Table]:
    # The PIN itself is nobody's to read: that there is one, and since when.
    return {"pins": map(_plain, store.rows_of(connection, "pins", person, ("changed_at", "locked_until")))}


class _Sealed:
    """Tables with a sealed column."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def funding(self, connection: Connection, person: str) -> Mapping[str, Table]:
        """Top-ups and cash-outs with where they went."""
        common = ("id", "provider", "currency", "amount", "state", "provider_id", "created_at", "changed_at")
        return {
            "top_ups": map(_plain, store.rows_of(connection, "top_ups", person, (*common, "credited", "refunded"))),
            "cash_outs": self._opened(connection, person, "cash_outs", "funding_payouts", "destination", common),
        }

    def bills(self, connection: Connection, person: str) -> Mapping[str, Table]:
        """Bills and saved accounts with what the person entered."""
        common = ("id", "biller", "currency", "created_at")
        of_bills = (*common, "state", "origin", "amount", "paying", "due_on", "payment_id")
        return {
            "bills": self._opened(connection, person, "bills", "bills", "sealed", of_bills),
            "accounts": self._opened(
                connection, person, "accounts", "bill_accounts", "sealed", (*common, "remind_days", "cap")
            ),
        }

    def _opened(
        self, connection: Connection, person: str, name: str, context: str, column: str, columns: Sequence[str]
    ) -> Iterator[Mapping[str, Any]]:
        for row in store.rows_of(connection, name, person, (*columns, column)):
            sealed = row.pop(column)
            text = _text(self._sealer, sealed, f"{context}:{row['id']}")
            yield {**_plain(row), "entered": json.loads(text) if text else None}


def _text(sealer: Sealer, sealed: bytes, context: str) -> str:
    try:
        return sealer.open(bytes(sealed), context).decode() if sealed else ""
    except SealBroken:
        return ""


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row as people read it: times in ISO 8601, amounts in major units where their currency is known."""
    currency = row.get("currency")
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, int) and (name.endswith("_at") or name in {"at", "locked_until"}):
            found[name] = _time(value)
        elif isinstance(value, int) and currency and name in _AMOUNTS:
            found[name] = f"{Money(value, currency).amount:f}"
        else:
            found[name] = value
    return found


_AMOUNTS: Final = frozenset({"amount", "credited", "refunded", "paying", "cap"})


def _time(at: int | None) -> str | None:
    return None if at is None else from_ms(at).isoformat(timespec="milliseconds")


def _all(name: str) -> tuple[str, ...]:
    table = store.PEOPLE.table(name)
    return tuple(table.c.keys())
