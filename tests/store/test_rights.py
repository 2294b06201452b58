"""What money gives out of people, and forgets with the books whole, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, select

from appservice.database import Database
from appservice.sealing import Sealer
from bots.domain.ledger import AccountKind
from bots.domain.limits import Limits
from bots.domain.money import Money
from bots.framework.clock import ManualClock
from bots.payments import rights as module
from bots.payments.guard import Guard, Movement
from bots.payments.ledger import Ledger, Transfer, Void
from bots.payments.rights import ErasureRefused, Obstacle, Rights, Table
from bots.store.tables import metadata, people
from bridge.audit import ERASED, Audit, pseudonym
from tests.store.harness import rows

ALICE, BOB = "@alice:localhost", "@bob:localhost"
SECRET = "under the third arch"


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


class Desk:
    """A ledger, a guard and an audit log with two people in them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock()
        self.ledger = Ledger(database, self.clock)
        self.guard = Guard([Limits(per_hour=100)])
        self.audit = Audit(database, Sealer("a pickle key for tests", "payments"))
        self.rights = Rights(self.clock, self.ledger, self.guard)

    async def begin(self) -> None:
        """Alice gets 30 euros and pays all of it to Bob."""
        provider = await self.ledger.account("provider:test", "EUR", AccountKind.PROVIDER)
        alice, bob = await self.ledger.account(ALICE, "EUR"), await self.ledger.account(BOB, "EUR")
        await self.ledger.execute([Transfer("top_up", provider.id, alice.id, eur(30_00), "top_up")])
        await self.pay("P1", alice.id, bob.id, 30_00)

    async def pay(self, name: str, debit: str, credit: str, minor: int) -> None:
        now = self.clock.now_ms()

        def work(connection: Connection) -> None:
            movement = Movement(name, ALICE, "out", eur(minor), BOB, "payment")
            assert self.guard.check(connection, movement, now) is None
            transfer = Transfer(name, debit, credit, eur(minor), "payment", name)
            assert self.ledger.apply(connection, [transfer], now)[0].done
            self.guard.record(connection, movement, now)
            details = {"to": BOB, "memo": SECRET}
            self.audit.append(
                connection,
                at=now,
                actor=ALICE,
                action="payment.confirm",
                subject=f"payment:{name}",
                outcome="paid",
                details=details,
            )

        await self.database.write(work)

    async def export(self, person: str) -> dict[str, list[Mapping[str, Any]]]:
        """All tables of money with a person in them."""

        def read(connection: Connection) -> dict[str, list[Mapping[str, Any]]]:
            return {name: list(found) for name, found in self.rights.tables(connection, person)}

        return await self.database.read(read)

    async def obstacles(self, person: str) -> list[str]:
        """The codes of what keeps somebody."""
        found = await self.database.read(lambda connection: self.rights.blocked(connection, person))
        return [each.code for each in found]

    async def erase(self, person: str) -> str:
        """Forget somebody, as the messenger does for all areas; the pseudonym."""
        name, now = pseudonym(), self.clock.now_ms()

        def work(connection: Connection) -> None:
            self.rights.forget(connection, person, name)
            self.audit.erase(connection, person, name)
            self.audit.append(connection, at=now, actor=name, action=ERASED, subject=name, outcome="done")

        await self.database.write(work)
        return name

    async def everything(self) -> str:
        """All rows of all tables."""
        return repr([await rows(self.database, table) for table in metadata.sorted_tables])


@pytest.fixture
async def desk(database: Database) -> Desk:
    desk = Desk(database)
    await desk.begin()
    return desk


async def test_everything_that_is_known_is_given_out(desk: Desk) -> None:
    await desk.database.write(lambda connection: desk.guard.freeze(connection, ALICE, ALICE, desk.clock.now_ms()))
    tables = await desk.export(ALICE)
    assert {name: len(found) for name, found in tables.items()} == {
        "guard/person": 1,
        "guard/usage": 2,
        "guard/movements": 1,
        "ledger/accounts": 1,
        "ledger/statement": 2,
    }
    assert [(line["kind"], line["amount"], line["balance"]) for line in tables["ledger/statement"]] == [
        ("payment", "-30.00", "0.00"),
        ("top_up", "30.00", "30.00"),
    ]
    assert tables["guard/person"][0]["frozen_at"] == desk.clock.now_ms()


async def test_of_somebody_unknown_nothing_is_known(desk: Desk) -> None:
    tables = await desk.export("@carol:localhost")
    assert sum(map(len, tables.values())) == 1
    assert tables["ledger/accounts"] == []


async def test_a_long_statement_is_read_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    provider, alice = (
        await desk.ledger.account("provider:test", "EUR", AccountKind.PROVIDER),
        await desk.ledger.account(ALICE, "EUR"),
    )
    for number in range(5):
        await desk.ledger.execute([Transfer(f"t{number}", provider.id, alice.id, eur(1), "top_up")])
    assert len((await desk.export(ALICE))["ledger/statement"]) == 7


async def test_who_is_erased_is_nowhere_and_the_books_are_whole(desk: Desk) -> None:
    before = await desk.ledger.verify()
    assert before.whole
    name = await desk.erase(ALICE)
    found = await desk.everything()
    assert name.startswith("erased:") and name in found
    assert ALICE not in found and BOB in found
    ledger, audit = await desk.ledger.verify(), await desk.audit.verify()
    assert ledger.whole and audit.whole
    (last, first) = await desk.audit.list()
    assert (last.actor, last.action, last.subject) == (name, ERASED, name)
    assert (first.actor, first.details) == (name, None)
    # Bob's statement still adds up, and says that it was somebody who is gone.
    bob = await desk.ledger.account(BOB, "EUR")
    (line,) = await desk.ledger.statement(bob.id)
    assert (line.counterpart_owner, line.balance) == (name, eur(30_00))
    (account,) = await desk.ledger.accounts(name)
    assert account.closed
    # Whoever comes back begins anew.
    assert (await desk.ledger.account(ALICE, "EUR")).balance == eur(0)


async def test_money_in_the_wallet_or_on_its_way_keeps_somebody(desk: Desk) -> None:
    with pytest.raises(ErasureRefused, match=r"There is 30\.00 EUR in the wallet") as caught:
        await desk.erase(BOB)
    assert [each.code for each in caught.value.obstacles] == ["rights.balance"]
    alice, bob = await desk.ledger.account(ALICE, "EUR"), await desk.ledger.account(BOB, "EUR")
    await desk.ledger.execute([Transfer("hold", bob.id, alice.id, eur(5_00), "hold", pending=True)])
    for person, codes in ((BOB, ["rights.balance", "rights.pending"]), (ALICE, ["rights.pending"])):
        assert await desk.obstacles(person) == codes
    with pytest.raises(ErasureRefused, match=r"5\.00 EUR is set aside or on its way"):
        await desk.erase(ALICE)
    assert ALICE in await desk.everything()
    await desk.ledger.execute([Void("void", "hold")])
    await desk.erase(ALICE)


async def test_who_is_held_by_the_operator_is_not_erased(desk: Desk) -> None:
    await desk.database.write(lambda connection: desk.guard.freeze(connection, ALICE, "operator", 1))
    with pytest.raises(ErasureRefused, match="held by the operator"):
        await desk.erase(ALICE)


class Part:
    """Another part's tables: the people that the platform knows."""

    def __init__(self) -> None:
        self.obstacles: Sequence[Obstacle] = ()

    def export(self, connection: Connection, person: str) -> Mapping[str, Table]:
        def languages() -> Iterator[Mapping[str, Any]]:
            for row in connection.execute(select(people.c.language).where(people.c.user_id == person)):
                yield {"language": row.language, "more": [1, None]}

        return {"languages": languages()}

    def erase(self, connection: Connection, person: str, name: str, now: int) -> None:
        connection.execute(people.update().where(people.c.user_id == person).values(user_id=name, changed_at=now))

    def blocked(self, _connection: Connection, _person: str) -> Sequence[Obstacle]:
        return self.obstacles


async def test_other_parts_take_part_in_the_same_commit(desk: Desk) -> None:
    part = Part()
    desk.rights.register("platform", part.export, part.erase, part.blocked)
    with pytest.raises(ValueError, match="registered already"):
        desk.rights.register("ledger", part.export, part.erase)
    row = {"user_id": ALICE, "language": "=de", "changed_at": 1}
    await desk.database.write(lambda connection: connection.execute(people.insert(), row))
    assert (await desk.export(ALICE))["platform/languages"] == [{"language": "=de", "more": [1, None]}]
    part.obstacles = (Obstacle("x.y", "An order of {amount} is open.", {"amount": "5 EUR"}),)
    with pytest.raises(ErasureRefused, match=r"An order of 5 EUR is open\."):
        await desk.erase(ALICE)
    part.obstacles = ()

    def fails(_connection: Connection, _person: str, _name: str, _now: int) -> None:
        raise LookupError

    desk.rights.register("broken", lambda _c, _p: {}, fails)
    with pytest.raises(LookupError):
        await desk.erase(ALICE)
    assert ALICE in await desk.everything()
    assert (await desk.audit.list())[0].action == "payment.confirm"


async def test_a_payment_at_the_same_time_is_before_or_after(desk: Desk) -> None:
    """Whoever wins: no money is left under the pseudonym, and the books are whole."""
    provider = await desk.ledger.account("provider:test", "EUR", AccountKind.PROVIDER)
    alice = await desk.ledger.account(ALICE, "EUR")

    async def top_up(number: int) -> None:
        now = desk.clock.now_ms()

        def work(connection: Connection) -> None:
            desk.guard.lock(connection, (ALICE,), now)
            desk.ledger.apply(connection, [Transfer(f"t{number}", provider.id, alice.id, eur(1), "top_up")], now)

        await desk.database.write(work)

    results = await asyncio.gather(*(top_up(number) for number in range(3)), desk.erase(ALICE), return_exceptions=True)
    name = results[-1]
    if isinstance(name, str):
        assert (await desk.ledger.accounts(name))[0].balance == eur(0)
    else:
        assert isinstance(name, ErasureRefused)
    assert (await desk.ledger.verify()).whole and (await desk.audit.verify()).whole
