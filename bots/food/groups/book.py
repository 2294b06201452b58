"""The orders of groups as they are stored."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from appservice import json
from appservice.clock import from_ms, to_ms
from bots.commerce.hand import Hand, Reader
from bots.domain.group_orders import ACTIVE, GroupOrder, GroupState, Share, ShareState
from bots.domain.money import Money
from bots.store import group_orders as sql
from bots.store.group_orders import GroupRow

__all__ = ["GroupBook", "Stored"]


@dataclass(frozen=True, slots=True)
class Stored:
    """The order of a group, and its row as it was read."""

    row: GroupRow
    group: GroupOrder


class GroupBook:
    """Those of one plugin instance."""

    def __init__(self, bot: str) -> None:
        self.bot = bot

    async def get(self, reader: Reader, group_id: str) -> Stored | None:
        """One by its id."""
        return _opened(await reader.query(lambda connection: sql.get(connection, self.bot, group_id)))

    async def of_room(self, reader: Reader, room_id: str) -> Stored | None:
        """The one that a room has now."""
        return _opened(await reader.query(lambda connection: sql.of_room(connection, self.bot, room_id)))

    async def of_order(self, reader: Reader, order_id: str) -> Stored | None:
        """The one that has become this order."""
        return _opened(await reader.query(lambda connection: sql.of_order(connection, self.bot, order_id)))

    async def in_states(self, reader: Reader, states: Collection[GroupState], limit: int) -> list[Stored]:
        """Those in these states."""
        wanted = [each.value for each in states]
        rows = await reader.query(lambda connection: sql.in_states(connection, self.bot, wanted, limit))
        return [Stored(row, _group(row)) for row in rows]

    def add(self, hand: Hand, group: GroupOrder) -> None:
        """Store a new one; the commit raises TradeBusy when the room has one already."""
        row = self._row(group, revision=0)
        hand.store(lambda connection: sql.add(connection, row))

    def write(self, hand: Hand, before: Stored, after: GroupOrder) -> Stored:
        """Write one that is still as it was read; otherwise the commit raises TradeBusy."""
        row = self._row(after, revision=before.row.revision)
        hand.store(lambda connection: sql.change(connection, before.row, row))
        return Stored(replace(row, revision=row.revision + 1), after)

    def require(self, hand: Hand, group: GroupOrder) -> None:
        """What is done with the cart of a group counts only while its order is as it was read."""
        group_id, state = group.id, group.state.value
        hand.store(lambda connection: sql.require(connection, group_id, state))

    def _row(self, group: GroupOrder, *, revision: int) -> GroupRow:
        body = {"done": list(group.done), "shares": [_share_out(each) for each in group.shares]}
        return GroupRow(
            id=group.id,
            bot=self.bot,
            room_id=group.room_id,
            active=group.room_id if group.state in ACTIVE else None,
            merchant=group.merchant,
            host=group.host,
            state=group.state.value,
            order_id=group.order,
            deadline=None if group.deadline is None else to_ms(group.deadline),
            body=json.dumps(body).decode(),
            opened_at=to_ms(group.opened_at),
            updated_at=to_ms(group.updated_at),
            revision=revision,
        )


def _opened(row: GroupRow | None) -> Stored | None:
    return None if row is None else Stored(row, _group(row))


def _group(row: GroupRow) -> GroupOrder:
    body = json.loads(row.body)
    return GroupOrder(
        id=row.id,
        room_id=row.room_id,
        merchant=row.merchant,
        host=row.host,
        state=GroupState(row.state),
        opened_at=from_ms(row.opened_at),
        updated_at=from_ms(row.updated_at),
        deadline=_moment(row.deadline),
        done=tuple(body["done"]),
        order=row.order_id,
        shares=tuple(_share_in(each) for each in body["shares"]),
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def _share_out(share: Share) -> dict[str, Any]:
    held = asdict(share)
    money: dict[str, int | None] = {name: getattr(share, name).minor for name in ("goods", "fee", "tip")}
    money["discount"] = None if share.discount is None else share.discount.minor
    return {**held, **money, "currency": share.goods.currency, "state": share.state.value}


def _share_in(held: dict[str, Any]) -> Share:
    currency = held["currency"]
    return Share(
        number=held["number"],
        payer=held["payer"],
        person=held["person"],
        goods=Money(held["goods"], currency),
        fee=Money(held["fee"], currency),
        tip=Money(held["tip"], currency),
        state=ShareState(held["state"]),
        revision=held["revision"],
        payment=held["payment"],
        discount=Money(off, currency) if (off := held.get("discount")) else None,
    )
