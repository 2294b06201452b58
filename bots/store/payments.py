"""SQL of payments, their codes, confirmations and refunds, and of people's wallets. What rows mean is the service's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, case, delete, func, or_, select, update

from appservice.database import insert_ignore
from bots.store.payment_tables import (
    payment_codes,
    payment_confirmations,
    payment_people,
    payment_refunds,
    payments,
    wallets,
)

CODES_MAX: Final = 100
"""Codes that one that was typed is compared with: the latest."""


class PaymentChanged(RuntimeError):
    """A payment was changed by somebody else since it was read: nothing of the transaction may be kept."""


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A code, or a link to the PIN page, that a payer was given."""

    payment_id: str
    number: int
    payer: str
    room_id: str
    way: str
    digest: bytes
    state: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person's wrong codes."""

    failures: int = 0
    level: int = 0
    failed_at: int | None = None
    locked_until: int | None = None


@dataclass(frozen=True, slots=True)
class RefundRow:
    """A refund that was made."""

    payment_id: str
    key: str
    amount: int
    fee: int
    asked: str
    transfer: str
    reason: bytes
    at: int


# Payments


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add a payment; False when there is one of its key already."""
    return connection.execute(insert_ignore(connection, payments, "key"), dict(row)).rowcount > 0


def get(connection: Connection, payment_id: str, *, lock: bool = False) -> RowMapping | None:
    """One payment; with ``lock`` nobody else changes it until the transaction ends."""
    query = select(payments).where(payments.c.id == payment_id)
    return connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()


def by_key(connection: Connection, key: str, *, lock: bool = False) -> RowMapping | None:
    """The payment of a key."""
    query = select(payments).where(payments.c.key == key)
    return connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()


def change(connection: Connection, payment_id: str, revision: int, values: Mapping[str, Any]) -> None:
    """Write a payment that was read at ``revision``.

    Raises:
        PaymentChanged: it is another one by now.
    """
    where = (payments.c.id == payment_id, payments.c.revision == revision)
    if connection.execute(update(payments).where(*where).values(**values, revision=revision + 1)).rowcount != 1:
        raise PaymentChanged(payment_id)


def open_of(connection: Connection, payer: str, states: Collection[str]) -> Sequence[RowMapping]:
    """A payer's payments in some states, the oldest first."""
    query = select(payments).where(payments.c.payer == payer, payments.c.state.in_(states))
    return connection.execute(query.order_by(payments.c.id)).mappings().all()


def held_for(connection: Connection, payee: str, kind: str, state: str) -> Sequence[str]:
    """The ids of payments of a kind and state to a payee."""
    query = select(payments.c.id).where(payments.c.payee == payee, payments.c.state == state, payments.c.kind == kind)
    return connection.execute(query.order_by(payments.c.id)).scalars().all()


def requests_of(connection: Connection, initiator: str, state: str) -> int:
    """How many of the payments that a person asked others for are in a state."""
    query = select(func.count()).where(
        payments.c.initiator == initiator, payments.c.state == state, payments.c.payee == initiator
    )
    return int(connection.execute(query).scalar_one())


def asked_in_vain(connection: Connection, initiator: str, payer: str, states: Collection[str], since: int) -> int:
    """How often somebody has asked a person for money since then, and it came to nothing."""
    table = payments.c
    query = select(func.count()).where(
        table.payer == payer,
        table.state.in_(states),
        table.initiator == initiator,
        table.payee == initiator,
        table.created_at >= since,
    )
    return int(connection.execute(query).scalar_one())


def asked_by(connection: Connection, initiator: str, state: str) -> Sequence[RowMapping]:
    """The payments in a state that a person asked others for, the oldest first."""
    where = (payments.c.initiator == initiator, payments.c.state == state, payments.c.payee == initiator)
    return connection.execute(select(payments).where(*where).order_by(payments.c.id)).mappings().all()


def charged(connection: Connection, mandate: str, payer: str, since: int, *, but: str, held: str) -> int:
    """What was charged under a mandate since then and has not been given up, in minor units.

    Args:
        but: the keys of charges that do not count begin so.
        held: the state of one whose whole amount counts.
    """
    table = payments.c
    minor = case((table.state == held, table.amount), else_=table.captured)
    query = select(func.coalesce(func.sum(minor), 0)).where(
        table.payer == payer,
        table.mandate == mandate,
        table.created_at >= since,
        table.key.not_like(f"{but}%"),
    )
    return int(connection.execute(query).scalar_one())


def of_group(connection: Connection, group: str) -> Sequence[RowMapping]:
    """The shares of a split."""
    query = select(payments).where(payments.c.group_id == group).order_by(payments.c.id)
    return connection.execute(query).mappings().all()


def paid_before(connection: Connection, payer: str, payee: str, states: Collection[str]) -> bool:
    """Whether a person has paid somebody."""
    query = select(payments.c.id).where(
        payments.c.payer == payer, payments.c.payee == payee, payments.c.state.in_(states)
    )
    return connection.execute(query.limit(1)).scalar() is not None


def page(
    connection: Connection,
    person: str,
    *,
    since: int | None = None,
    until: int | None = None,
    before: str | None = None,
    limit: int = 100,
) -> Sequence[RowMapping]:
    """Payments that a person takes part in, the latest first."""
    where: list[ColumnElement[bool]] = [or_(payments.c.payer == person, payments.c.payee == person)]
    if since is not None:
        where.append(payments.c.created_at >= since)
    if until is not None:
        where.append(payments.c.created_at < until)
    if before is not None:
        where.append(payments.c.id < before)
    query = select(payments).where(*where).order_by(payments.c.id.desc()).limit(limit)
    return connection.execute(query).mappings().all()


def due(connection: Connection, now: int, limit: int) -> Sequence[str]:
    """The ids of payments about which something is to be done, the longest due first."""
    query = select(payments.c.id).where(payments.c.due_at <= now).order_by(payments.c.due_at, payments.c.id)
    return connection.execute(query.limit(limit)).scalars().all()


def next_due(connection: Connection) -> int | None:
    """When something is to be done next."""
    query = select(payments.c.due_at).where(payments.c.due_at.is_not(None)).order_by(payments.c.due_at).limit(1)
    return connection.execute(query).scalar()


def withdraw(connection: Connection, key: str, consumer: str, now: int) -> bool:
    """Note that a consumer does not want its payment any more; whether there is such a one."""
    where = (payments.c.key == key, payments.c.consumer == consumer, payments.c.withdrawn_at.is_(None))
    values = {"withdrawn_at": now, "due_at": now, "revision": payments.c.revision + 1}
    return connection.execute(update(payments).where(*where).values(values)).rowcount > 0


# Codes


def add_code(connection: Connection, row: CodeRow) -> None:
    """Keep a code; every older one of the payment is replaced."""
    where = (payment_codes.c.payment_id == row.payment_id, payment_codes.c.state == "open")
    connection.execute(update(payment_codes).where(*where).values(state="replaced"))
    connection.execute(payment_codes.insert().values(_values(row)))


def last_number(connection: Connection, payment_id: str) -> int:
    """The number of the last code of a payment; 0: it has none."""
    query = select(func.max(payment_codes.c.number)).where(payment_codes.c.payment_id == payment_id)
    return connection.execute(query).scalar() or 0


def codes(connection: Connection, payer: str, room_id: str, since: int) -> list[CodeRow]:
    """What a payer was given, and what was shown in a room, the latest first."""
    mine = or_(payment_codes.c.payer == payer, payment_codes.c.room_id == room_id)
    query = select(payment_codes).where(mine, payment_codes.c.created_at >= since)
    query = query.order_by(payment_codes.c.created_at.desc(), payment_codes.c.number.desc()).limit(CODES_MAX)
    rows = connection.execute(query)
    return [CodeRow(**{**row, "digest": bytes(row["digest"])}) for row in rows.mappings()]


def page_of(connection: Connection, payment_id: str, payer: str) -> CodeRow | None:
    """The open way to the PIN page that a payer has for a payment."""
    query = select(payment_codes).where(
        payment_codes.c.payment_id == payment_id,
        payment_codes.c.payer == payer,
        payment_codes.c.way == "page",
        payment_codes.c.state == "open",
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else CodeRow(**{**row, "digest": bytes(row["digest"])})


def use_code(connection: Connection, code: CodeRow) -> bool:
    """Consume a code; False when that has happened already."""
    where = (
        payment_codes.c.payment_id == code.payment_id,
        payment_codes.c.number == code.number,
        payment_codes.c.state == "open",
    )
    return connection.execute(update(payment_codes).where(*where).values(state="used")).rowcount > 0


def end_codes(connection: Connection, payer: str) -> None:
    """No open code of a person is good any more."""
    where = (payment_codes.c.payer == payer, payment_codes.c.state == "open", payment_codes.c.way == "code")
    connection.execute(update(payment_codes).where(*where).values(state="replaced"))


# Confirmations


def confirmation(connection: Connection, event_id: str) -> RowMapping | None:
    """What a message was answered."""
    query = select(payment_confirmations).where(payment_confirmations.c.event_id == event_id)
    return connection.execute(query).mappings().one_or_none()


def add_confirmation(connection: Connection, row: Mapping[str, Any]) -> None:
    """Keep what a message was answered."""
    connection.execute(payment_confirmations.insert().values(dict(row)))


# People


def lock_person(connection: Connection, name: str) -> PersonRow:
    """A person's wrong codes, and nobody else changes them until the transaction ends."""
    connection.execute(insert_ignore(connection, payment_people, "person"), {"person": name})
    query = select(payment_people).where(payment_people.c.person == name).with_for_update()
    row = connection.execute(query).mappings().one()
    return PersonRow(row["failures"], row["level"], row["failed_at"], row["locked_until"])


def change_person(connection: Connection, name: str, **values: int | None) -> None:
    """Change a person's row, which is locked."""
    connection.execute(update(payment_people).where(payment_people.c.person == name).values(**values))


def is_open(connection: Connection, name: str) -> bool:
    """Whether a person has a wallet."""
    query = select(wallets.c.opened_at).where(wallets.c.person == name)
    return connection.execute(query).scalar() is not None


def lock_wallet(connection: Connection, name: str) -> bool:
    """The same, and it is not opened until the transaction ends."""
    connection.execute(insert_ignore(connection, wallets, "person"), {"person": name, "behind": 0})
    return (
        connection.execute(select(wallets.c.opened_at).where(wallets.c.person == name).with_for_update()).scalar()
        is not None
    )


def open_wallet(connection: Connection, name: str, now: int) -> None:
    """Open a wallet, which is locked: what is held for it is to be posted."""
    connection.execute(update(wallets).where(wallets.c.person == name).values(opened_at=now, behind=1))


def caught_up(connection: Connection, name: str) -> None:
    """What was held for a wallet is posted."""
    connection.execute(update(wallets).where(wallets.c.person == name).values(behind=0))


def behind(connection: Connection, limit: int) -> Sequence[str]:
    """People whose wallets are open, while something may still be held for them."""
    query = select(wallets.c.person).where(wallets.c.behind == 1).order_by(wallets.c.person)
    return connection.execute(query.limit(limit)).scalars().all()


# Refunds


def refund(connection: Connection, payment_id: str, key: str) -> RefundRow | None:
    """The refund of a key."""
    where = (payment_refunds.c.payment_id == payment_id, payment_refunds.c.key == key)
    row = connection.execute(select(payment_refunds).where(*where)).mappings().one_or_none()
    return None if row is None else RefundRow(**{**row, "reason": bytes(row["reason"])})


def add_refund(connection: Connection, row: RefundRow) -> None:
    """Keep a refund that was made."""
    connection.execute(payment_refunds.insert().values(_values(row)))


def refunds(connection: Connection, payment_id: str) -> list[RefundRow]:
    """The refunds of a payment, the first first."""
    query = select(payment_refunds).where(payment_refunds.c.payment_id == payment_id).order_by(payment_refunds.c.at)
    return [RefundRow(**{**row, "reason": bytes(row["reason"])}) for row in connection.execute(query).mappings()]


# Housekeeping and erasure


def purge(connection: Connection, before: int) -> int:
    """Forget codes and answers from before ``before``; how many."""
    old = connection.execute(delete(payment_codes).where(payment_codes.c.expires_at < before)).rowcount
    return old + connection.execute(delete(payment_confirmations).where(payment_confirmations.c.at < before)).rowcount


def rename(connection: Connection, name: str, pseudonym: str) -> None:
    """Put a pseudonym in a person's place wherever payments name them, and forget their codes and answers."""
    for column in (payments.c.payer, payments.c.payee, payments.c.initiator):
        connection.execute(update(payments).where(column == name).values({column.name: pseudonym}))
    connection.execute(delete(payment_codes).where(payment_codes.c.payer == name))
    connection.execute(delete(payment_confirmations).where(payment_confirmations.c.payer == name))
    connection.execute(delete(payment_people).where(payment_people.c.person == name))
    connection.execute(delete(wallets).where(wallets.c.person == name))


def _values(row: CodeRow | RefundRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}
