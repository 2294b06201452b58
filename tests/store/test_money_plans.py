"""What is looked up again and again is found by an index, however much there is: the plans of SQLite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from sqlalchemy import Connection, event

from appservice.database import Database
from appservice.sealing import Sealer
from bots.domain.funding import PayoutState, TopUpState
from bots.store import bills, funding, ledger, payments, sandbox, subscriptions
from bots.store.funding_tables import funding_top_ups

SEALER: Final = Sealer("pickle", "payments")
FEW: Final = ("_untold", "_release", "_suspended")
HOT: Final[dict[str, Callable[[Connection], Any]]] = {
    "codes": lambda c: payments.codes(c, "@a:b", "!r:b", 1),
    "payments due": lambda c: payments.due(c, 1, 10),
    "payments of a person": lambda c: payments.page(c, "@a:b"),
    "payments open": lambda c: payments.open_of(c, "@a:b", ["proposed"]),
    "payments held": lambda c: payments.held_for(c, "@a:b", "transfer", "held"),
    "paid before": lambda c: payments.paid_before(c, "@a:b", "@c:b", ["paid"]),
    "wallets behind": lambda c: payments.behind(c, 10),
    "subscriptions due": lambda c: subscriptions.due(c, 1, 10),
    "holds due": lambda c: ledger.expire(c, 1, 10),
    "top-ups due": lambda c: funding.due(c, funding_top_ups, 1, 10),
    "funding's next": funding.next_due,
    "untold": lambda c: funding.untold(c, SEALER, 10),
    "to release": lambda c: funding.to_release(c, 10),
    "unsettled": lambda c: funding.unsettled(c, SEALER, 10),
    "suspended": lambda c: funding.suspended(c, SEALER),
    "top-ups in a state": lambda c: funding.top_ups_in(c, SEALER, "stripe", TopUpState.UNKNOWN, 1),
    "payouts in a state": lambda c: funding.payouts_in(c, SEALER, "bank", states=[PayoutState.UNKNOWN], lock=False),
    "play money": lambda c: sandbox.of_reference(c, "x", "payout"),
    "a bill paid in parts": lambda c: bills.paid_of(c, "bills", "claim", "paid"),
    "bills of a person": lambda c: bills.of_person(c, "bills", "@a:b", ["paid"], 10),
    "bills in a state": lambda c: bills.in_state(c, "bills", "unknown", 10),
}


@pytest.mark.parametrize("name", HOT)
async def test_nothing_is_looked_through(database: Database, name: str) -> None:
    if database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by its statistics")
    work, plans = HOT[name], list[str]()

    def explain(connection: Connection) -> None:
        statements: list[tuple[str, Any]] = []

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
            statements.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", note)
        work(connection)
        event.remove(connection, "before_cursor_execute", note)
        for statement, parameters in statements:
            plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.append(" / ".join(row[3] for row in plan))

    await database.read(explain)
    assert plans
    # An index of the few rows that are meant is looked through as a whole.
    assert not any("SCAN" in each and not each.endswith(FEW) for each in plans), plans
    # All that a provider or a bot has ever had is no less.
    assert not any(part in each for each in plans for part in ("(provider=?)", "(bot=?)")), plans


async def test_the_payments_of_one_bill_are_found_by_the_bill(database: Database) -> None:
    if database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by its statistics")

    def explain(connection: Connection) -> str:
        statement = "EXPLAIN QUERY PLAN SELECT paying FROM bills WHERE bot = 'b' AND claim = 'c' AND state = 'paid'"
        return " / ".join(row[3] for row in connection.exec_driver_sql(statement))

    assert "claim=?" in await database.read(explain)
