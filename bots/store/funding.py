"""SQL of top-ups, cash-outs and refunds. What a change means is for :mod:`bots.payments.funding` to say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, delete, func, literal, or_, select, update

from appservice.database import insert_ignore
from appservice.sealing import Sealer
from appservice.store.upsert import upsert
from bots.domain.funding import PayoutState, RefundState, TopUpState
from bots.domain.money import Money
from bots.store.funding_rows import CreditRow, PayoutRow, RefundRow, TopUpRow
from bots.store.funding_tables import (
    bank_lines,
    exchange_rates,
    funding_credits,
    funding_events,
    funding_payouts,
    funding_refunds,
    funding_top_ups,
)

# Top-ups


def add_top_up(connection: Connection, sealer: Sealer, row: TopUpRow) -> bool:
    """Store a new one; False: there is one with its key, or its id."""
    values = {
        "id": row.id,
        "key": row.key,
        "person": row.person,
        "provider": row.provider,
        "currency": row.amount.currency,
        "amount": row.amount.minor,
        "state": row.state.value,
        "idempotency_key": row.idempotency_key,
        "provider_id": row.provider_id,
        "link": _sealed_link(sealer, row.id, row.link),
        "next_at": row.next_at,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
    }
    return bool(connection.execute(insert_ignore(connection, funding_top_ups, "key").values(values)).rowcount)


def top_up(connection: Connection, sealer: Sealer, top_up_id: str, *, lock: bool = False) -> TopUpRow | None:
    """One of them. ``lock``: nobody else changes it until the transaction ends."""
    query = select(funding_top_ups).where(funding_top_ups.c.id == top_up_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _top_up(sealer, row)


def top_up_of_key(connection: Connection, sealer: Sealer, key: str) -> TopUpRow | None:
    """That of a caller's key."""
    row = connection.execute(select(funding_top_ups).where(funding_top_ups.c.key == key)).one_or_none()
    return None if row is None else _top_up(sealer, row)


def top_up_at(connection: Connection, sealer: Sealer, provider: str, provider_id: str) -> TopUpRow | None:
    """That which a provider knows by an id."""
    query = select(funding_top_ups).where(
        funding_top_ups.c.provider == provider, funding_top_ups.c.provider_id == provider_id
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _top_up(sealer, row)


def top_ups_of(connection: Connection, sealer: Sealer, person: str, limit: int) -> list[TopUpRow]:
    """A person's, the newest first."""
    query = select(funding_top_ups).where(funding_top_ups.c.person == person)
    query = query.order_by(funding_top_ups.c.created_at.desc(), funding_top_ups.c.id.desc()).limit(limit)
    return [_top_up(sealer, row) for row in connection.execute(query)]


def change_top_up(
    connection: Connection, sealer: Sealer, top_up_id: str, *, link: str | None = None, **values: Any
) -> None:
    """Set columns of one."""
    if link is not None:
        values["link"] = _sealed_link(sealer, top_up_id, link)
    connection.execute(update(funding_top_ups).where(funding_top_ups.c.id == top_up_id).values(values))


def wake_top_up(connection: Connection, provider: str, *, top_up_id: str = "", provider_id: str = "", now: int) -> bool:
    """Have the provider asked at once; whether there is one with this id, ours or the provider's."""
    query = update(funding_top_ups).where(
        funding_top_ups.c.provider == provider,
        or_(funding_top_ups.c.id == top_up_id, funding_top_ups.c.provider_id == provider_id),
    )
    return bool(connection.execute(query.values(next_at=now)).rowcount)


def top_ups_in(
    connection: Connection, sealer: Sealer, provider: str, state: TopUpState, before: int, limit: int = 1_000
) -> list[TopUpRow]:
    """A provider's that have been in a state since before a time."""
    query = select(funding_top_ups).where(
        funding_top_ups.c.provider == provider,
        funding_top_ups.c.state == state.value,
        funding_top_ups.c.changed_at <= before,
    )
    return [_top_up(sealer, row) for row in connection.execute(query.order_by(funding_top_ups.c.id).limit(limit))]


def suspended(connection: Connection, sealer: Sealer, limit: int = 1_000) -> list[TopUpRow]:
    """Those of which something lies on the suspense account."""
    query = select(funding_top_ups).where(funding_top_ups.c.suspended > _literal(0))
    return [_top_up(sealer, row) for row in connection.execute(query.order_by(funding_top_ups.c.id).limit(limit))]


# What came in


def add_credit(connection: Connection, row: CreditRow) -> bool:
    """Note that money came in; False: it is noted."""
    values = {
        "provider": row.provider,
        "movement": row.movement,
        "top_up": row.top_up,
        "currency": row.amount.currency,
        "amount": row.amount.minor,
        "transfer": row.transfer,
        "held": int(row.held),
        "at": row.at,
    }
    statement = insert_ignore(connection, funding_credits, "provider", "movement")
    return bool(connection.execute(statement.values(values)).rowcount)


def credit(connection: Connection, provider: str, movement: str) -> CreditRow | None:
    """What is noted of a movement."""
    query = select(funding_credits).where(
        funding_credits.c.provider == provider, funding_credits.c.movement == movement
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _credit(row)


def credits_of(connection: Connection, top_up_id: str) -> list[CreditRow]:
    """What came in for a top-up, in its order."""
    query = select(funding_credits).where(funding_credits.c.top_up == top_up_id)
    return [
        _credit(row) for row in connection.execute(query.order_by(funding_credits.c.at, funding_credits.c.movement))
    ]


def ask_release(connection: Connection, top_up_id: str) -> int:
    """Have what is held of a top-up moved to its wallet; how many movements these are."""
    query = update(funding_credits).where(funding_credits.c.top_up == top_up_id, funding_credits.c.held == 1)
    return int(connection.execute(query.values(release=1)).rowcount)


def to_release(connection: Connection, limit: int) -> list[CreditRow]:
    """What the operator wants moved to its wallet."""
    query = select(funding_credits).where(funding_credits.c.release == _literal(1), funding_credits.c.held == 1)
    return [_credit(row) for row in connection.execute(query.limit(limit))]


def change_credit(connection: Connection, row: CreditRow, **values: Any) -> None:
    """Set columns of one."""
    connection.execute(
        update(funding_credits)
        .where(funding_credits.c.provider == row.provider, funding_credits.c.movement == row.movement)
        .values(values)
    )


# Payouts


def add_payout(connection: Connection, sealer: Sealer, row: PayoutRow) -> bool:
    """Store a new one; False: it is there."""
    values = {
        "id": row.id,
        "kind": row.kind,
        "person": row.person,
        "provider": row.provider,
        "currency": row.amount.currency,
        "amount": row.amount.minor,
        "state": row.state.value,
        "destination": sealer.seal(json.dumps(dict(row.destination)).encode(), f"funding_payouts:{row.id}"),
        "idempotency_key": row.idempotency_key,
        "next_at": row.next_at,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
    }
    return bool(connection.execute(insert_ignore(connection, funding_payouts, "id").values(values)).rowcount)


def payout(connection: Connection, sealer: Sealer, payout_id: str, *, lock: bool = False) -> PayoutRow | None:
    """One of them."""
    query = select(funding_payouts).where(funding_payouts.c.id == payout_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _payout(sealer, row)


def payouts_in(
    connection: Connection,
    sealer: Sealer,
    provider: str,
    *,
    states: Sequence[PayoutState] = (),
    batch: str = "",
    lock: bool = True,
) -> list[PayoutRow]:
    """A provider's in these states, or of a batch, in the order in which they were made."""
    query = select(funding_payouts).where(funding_payouts.c.provider == provider)
    if states:
        query = query.where(funding_payouts.c.state.in_([state.value for state in states]))
    if batch:
        query = query.where(funding_payouts.c.batch == batch)
    query = query.order_by(funding_payouts.c.id)
    return [_payout(sealer, row) for row in connection.execute(query.with_for_update() if lock else query)]


def change_payout(connection: Connection, payout_id: str, **values: Any) -> None:
    """Set columns of one."""
    connection.execute(update(funding_payouts).where(funding_payouts.c.id == payout_id).values(values))


def wake_payout(connection: Connection, provider: str, *, payout_id: str = "", provider_id: str = "", now: int) -> bool:
    """Have the provider asked at once; whether there is such a payout."""
    query = update(funding_payouts).where(
        funding_payouts.c.provider == provider,
        or_(funding_payouts.c.id == payout_id, funding_payouts.c.provider_id == provider_id),
    )
    return bool(connection.execute(query.values(next_at=now)).rowcount)


def unsettled(connection: Connection, sealer: Sealer, limit: int) -> list[PayoutRow]:
    """Those that have ended, which the ledger does not know yet."""
    ended = [PayoutState.PAID.value, PayoutState.FAILED.value]
    query = select(funding_payouts).where(funding_payouts.c.state.in_(ended), funding_payouts.c.settled == _literal(0))
    return [_payout(sealer, row) for row in connection.execute(query.order_by(funding_payouts.c.id).limit(limit))]


# Refunds


def add_refund(connection: Connection, row: RefundRow) -> bool:
    """Store a new one; False: there is one with its key."""
    values = {
        "id": row.id,
        "key": row.key,
        "top_up": row.top_up,
        "currency": row.amount.currency,
        "amount": row.amount.minor,
        "state": row.state.value,
        "idempotency_key": row.idempotency_key,
        "provider": row.provider,
        "suspense": int(row.suspense),
        "movement": row.movement,
        "next_at": row.next_at,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
    }
    return bool(connection.execute(insert_ignore(connection, funding_refunds, "key").values(values)).rowcount)


def refund(
    connection: Connection, *, refund_id: str = "", key: str = "", provider_id: str = "", lock: bool = False
) -> RefundRow | None:
    """One of them, by its id, its key, or the provider's id."""
    table = funding_refunds
    column, value = (
        (table.c.id, refund_id) if refund_id else (table.c.key, key) if key else (table.c.provider_id, provider_id)
    )
    query = select(table).where(column == value)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _refund(row)


def change_refund(connection: Connection, refund_id: str, **values: Any) -> None:
    """Set columns of one."""
    connection.execute(update(funding_refunds).where(funding_refunds.c.id == refund_id).values(values))


def wake_refund(connection: Connection, provider: str, *, provider_id: str, now: int) -> bool:
    """Have the provider asked at once; whether there is such a refund."""
    query = update(funding_refunds).where(
        funding_refunds.c.provider == provider, funding_refunds.c.provider_id == provider_id
    )
    return bool(connection.execute(query.values(next_at=now)).rowcount)


# What is to be done


def due(connection: Connection, table: Table, now: int, limit: int) -> list[str]:
    """The ids of what a provider is to be asked about."""
    query = select(table.c.id).where(table.c.next_at <= now).order_by(table.c.next_at, table.c.id).limit(limit)
    return list(connection.execute(query).scalars())


def next_due(connection: Connection) -> int | None:
    """When a provider is to be asked next."""
    moments = [
        connection.execute(select(func.min(table.c.next_at))).scalar()
        for table in (funding_top_ups, funding_payouts, funding_refunds)
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def untold(connection: Connection, sealer: Sealer, limit: int) -> tuple[list[TopUpRow], list[PayoutRow]]:
    """Top-ups and payouts of which a change was not announced."""
    top_ups = select(funding_top_ups).where(funding_top_ups.c.told < funding_top_ups.c.changes).limit(limit)
    payouts = select(funding_payouts).where(funding_payouts.c.told < funding_payouts.c.changes).limit(limit)
    return (
        [_top_up(sealer, row) for row in connection.execute(top_ups)],
        [_payout(sealer, row) for row in connection.execute(payouts)],
    )


def remember_event(connection: Connection, provider: str, event_id: str, now: int) -> bool:
    """Note a provider's message; False: it was noted before."""
    statement = insert_ignore(connection, funding_events, "provider", "event_id")
    values = {"provider": provider, "event_id": event_id, "at": now}
    return bool(connection.execute(statement.values(values)).rowcount)


def forget_events(connection: Connection, before: int) -> None:
    """Forget messages of long ago."""
    connection.execute(delete(funding_events).where(funding_events.c.at < before))


def rename_person(connection: Connection, person: str, pseudonym: str) -> None:
    """Put a pseudonym in a person's place; what says where their money came from and went is dropped."""
    theirs = select(funding_top_ups.c.id).where(funding_top_ups.c.person == person)
    connection.execute(update(bank_lines).where(bank_lines.c.matched_to.in_(theirs)).values(details=b""))
    connection.execute(
        update(funding_top_ups).where(funding_top_ups.c.person == person).values(person=pseudonym, link=None)
    )
    ended = [PayoutState.PAID.value, PayoutState.FAILED.value]
    connection.execute(
        update(funding_payouts)
        .where(funding_payouts.c.person == person, funding_payouts.c.state.in_(ended))
        .values(destination=b"")
    )
    connection.execute(update(funding_payouts).where(funding_payouts.c.person == person).values(person=pseudonym))


# Rates


def save_rates(connection: Connection, source: str, day: str, rates: Mapping[str, str], now: int) -> None:
    """Keep the rates of a day."""
    row = {"source": source, "day": day, "rates": json.dumps(dict(rates), sort_keys=True), "fetched_at": now}
    upsert(connection, exchange_rates, row)


def rates(connection: Connection, source: str) -> tuple[str, dict[str, str], int] | None:
    """The last rates: day, currency to rate, when they were fetched."""
    row = connection.execute(select(exchange_rates).where(exchange_rates.c.source == source)).one_or_none()
    return None if row is None else (row.day, json.loads(row.rates), row.fetched_at)


def _literal(value: int) -> ColumnElement[int]:
    """A number that stands in the statement: an index of some rows is used when it can be seen that they are meant."""
    return literal(value, literal_execute=True)


def _sealed_link(sealer: Sealer, top_up_id: str, link: str) -> bytes | None:
    return sealer.seal(link.encode(), f"funding_top_ups:{top_up_id}") if link else None


def _top_up(sealer: Sealer, row: Row[Any]) -> TopUpRow:
    link = "" if row.link is None else sealer.open(bytes(row.link), f"funding_top_ups:{row.id}").decode()
    return TopUpRow(
        id=row.id,
        key=row.key,
        person=row.person,
        provider=row.provider,
        amount=Money(row.amount, row.currency),
        state=TopUpState(row.state),
        idempotency_key=row.idempotency_key,
        provider_id=row.provider_id,
        link=link,
        credited=Money(row.credited, row.currency),
        suspended=Money(row.suspended, row.currency),
        refunded=Money(row.refunded, row.currency),
        returned=Money(row.returned, row.currency),
        reason=row.reason,
        attempts=row.attempts,
        next_at=row.next_at,
        expires_at=row.expires_at,
        created_at=row.created_at,
        changed_at=row.changed_at,
        changes=row.changes,
        told=row.told,
    )


def _credit(row: Row[Any]) -> CreditRow:
    amount = Money(row.amount, row.currency)
    return CreditRow(row.provider, row.movement, row.top_up, amount, row.transfer, bool(row.held), row.releases, row.at)


def _payout(sealer: Sealer, row: Row[Any]) -> PayoutRow:
    sealed = bytes(row.destination)
    return PayoutRow(
        id=row.id,
        kind=row.kind,
        person=row.person,
        provider=row.provider,
        amount=Money(row.amount, row.currency),
        state=PayoutState(row.state),
        destination=json.loads(sealer.open(sealed, f"funding_payouts:{row.id}")) if sealed else {},
        idempotency_key=row.idempotency_key,
        provider_id=row.provider_id,
        batch=row.batch,
        settled=bool(row.settled),
        reason=row.reason,
        attempts=row.attempts,
        next_at=row.next_at,
        created_at=row.created_at,
        changed_at=row.changed_at,
        changes=row.changes,
        told=row.told,
    )


def _refund(row: Row[Any]) -> RefundRow:
    return RefundRow(
        id=row.id,
        key=row.key,
        top_up=row.top_up,
        provider=row.provider,
        amount=Money(row.amount, row.currency),
        state=RefundState(row.state),
        idempotency_key=row.idempotency_key,
        provider_id=row.provider_id,
        suspense=bool(row.suspense),
        movement=row.movement,
        reason=row.reason,
        attempts=row.attempts,
        next_at=row.next_at,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


def postpone(connection: Connection, table: str, item: str, attempts: int, next_at: int) -> None:
    """Have a provider asked about something later, unless it is not to be asked any more."""
    known = {each.name: each for each in (funding_top_ups, funding_payouts, funding_refunds)}[table]
    connection.execute(
        update(known).where(known.c.id == item, known.c.next_at.is_not(None)).values(attempts=attempts, next_at=next_at)
    )


def untell(connection: Connection, item: str) -> None:
    """Have the last change of a top-up or payout announced by the service, which was made without it."""
    for table in (funding_top_ups, funding_payouts):
        connection.execute(update(table).where(table.c.id == item).values(told=table.c.changes - 1))
