"""The ledger against a model of a few dictionaries: random operations, with crashes before, in and after the commit."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection

from appservice.database import Database, DatabaseError, SQLiteDatabase
from appservice.store.tables import metadata
from bots.domain.money import Money
from bots.framework.clock import ManualClock
from bots.payments.ledger import (
    AccountKind,
    Command,
    IdConflict,
    Ledger,
    Outcome,
    Post,
    Refusal,
    Result,
    Transfer,
    Void,
)
from bots.store import ledger_sql as sql
from bots.store.ledger_tables import ledger_accounts, ledger_head, ledger_journal, ledger_pending
from tests.store.ledger_world import NOW

T = TypeVar("T")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""What is tested is the end of a process, not a power cut: nothing needs to reach a disk."""
NAMES = ("alice", "bob", "carol", "yen", "provider")
TABLES = [ledger_accounts, ledger_head, ledger_journal, ledger_pending]

names = st.sampled_from(NAMES)
amounts = st.integers(0, 120) | st.sampled_from([1, 50, 100])


class Crash(Exception):
    """The process ends here."""


class Mortal(SQLiteDatabase):
    """A database whose process dies at the next write, when a test says so."""

    dies: str | None = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        dies, self.dies = self.dies, self.dies and "before"  # a process that is dead does nothing more
        if dies == "before":
            raise DatabaseError("gone before")
        if dies == "in":

            def half(connection: Connection) -> T:
                work(connection)
                raise Crash

            return await super().write(half)
        result = await super().write(work)
        if dies == "after":
            raise DatabaseError("gone after")
        return result


@dataclass
class Side:
    """What the model knows of an account."""

    currency: str
    floor: int | None
    ceiling: int | None = None
    frozen: bool = False
    balance: int = 0
    out: int = 0
    """Held on its way out."""
    coming: int = 0


@dataclass
class Hold:
    debit: str
    credit: str
    amount: int
    ends: int | None
    state: str = "open"
    moved: int = 0


@dataclass
class Model:
    """The rules once more, as short as can be."""

    sides: dict[str, Side]
    results: dict[str, tuple[Command, Refusal | None]] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    moved: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    taken_back: dict[str, int] = field(default_factory=dict)

    def take(self, chain: Sequence[Command], now: int) -> list[Refusal | None] | type[IdConflict]:
        seen = [self.results.get(each.id) for each in chain]
        if any(each is not None and each[0] != command for each, command in zip(seen, chain, strict=True)):
            return IdConflict
        if all(seen):
            return [each[1] for each in seen if each]
        if any(seen):
            return IdConflict
        trial = Model(
            {name: replace(side) for name, side in self.sides.items()},
            self.results,
            {id_: replace(hold) for id_, hold in self.holds.items()},
            dict(self.moved),
            dict(self.taken_back),
        )
        refusals: list[Refusal | None] = [None] * len(chain)
        for index, command in enumerate(chain):
            refusal = trial.one(command, now)
            if refusal is not None:
                refusals = [Refusal.LINKED_FAILED] * len(chain)
                refusals[index] = refusal
                break
        else:
            self.sides, self.holds, self.moved, self.taken_back = (
                trial.sides,
                trial.holds,
                trial.moved,
                trial.taken_back,
            )
        for command, refusal in zip(chain, refusals, strict=True):
            self.results[command.id] = command, refusal
        return refusals

    def one(self, command: Command, now: int) -> Refusal | None:
        if isinstance(command, Transfer):
            return self.transfer(command, now)
        hold = self.holds.get(command.pending_id)
        if hold is None:
            return Refusal.PENDING_UNKNOWN
        if hold.state != "open":
            return Refusal.PENDING_EXPIRED if hold.state == "expired" else Refusal.PENDING_RESOLVED
        if isinstance(command, Void):
            self.end(hold, "void")
            return None
        if hold.ends is not None and hold.ends <= now:
            return Refusal.PENDING_EXPIRED
        amount = hold.amount if command.amount is None else command.amount.minor
        if amount <= 0:
            return Refusal.NOT_POSITIVE
        if amount > hold.amount:
            return Refusal.EXCEEDS_PENDING
        self.end(hold, "posted")
        hold.moved = amount
        self.move(command.pending_id, hold.debit, hold.credit, amount)
        return None

    def transfer(self, t: Transfer, now: int) -> Refusal | None:
        amount, debit, credit = t.amount.minor, self.sides[t.debit], self.sides[t.credit]
        left = None
        if t.reverses is not None and t.reverses in self.moved:
            left = self.moved[t.reverses][2] - self.taken_back.get(t.reverses, 0)
        checks = (
            (amount <= 0, Refusal.NOT_POSITIVE),
            (t.debit == t.credit, Refusal.SAME_ACCOUNT),
            (debit.frozen or credit.frozen, Refusal.ACCOUNT_FROZEN),
            (not debit.currency == t.amount.currency == credit.currency, Refusal.CURRENCY_MISMATCH),
            (t.expires_at is not None and t.expires_at <= now, Refusal.PENDING_EXPIRED),
            (t.reverses is not None and left is None, Refusal.ORIGINAL_UNKNOWN),
            (left is not None and self.moved[t.reverses or ""][:2] != (t.credit, t.debit), Refusal.ORIGINAL_MISMATCH),
            (left is not None and left == 0, Refusal.ALREADY_REVERSED),
            (left is not None and amount > left, Refusal.EXCEEDS_ORIGINAL),
            (debit.floor is not None and debit.balance - debit.out - amount < debit.floor, Refusal.EXCEEDS_BALANCE),
            (
                credit.ceiling is not None and credit.balance + credit.coming + amount > credit.ceiling,
                Refusal.EXCEEDS_CEILING,
            ),
        )
        for wrong, refusal in checks:
            if wrong:
                return refusal
        if t.pending:
            debit.out += amount
            credit.coming += amount
            self.holds[t.id] = Hold(t.debit, t.credit, amount, t.expires_at)
            return None
        self.move(t.id, t.debit, t.credit, amount)
        if t.reverses is not None:
            self.taken_back[t.reverses] = self.taken_back.get(t.reverses, 0) + amount
        return None

    def move(self, id_: str, debit: str, credit: str, amount: int) -> None:
        self.sides[debit].balance -= amount
        self.sides[credit].balance += amount
        self.moved[id_] = debit, credit, amount

    def end(self, hold: Hold, state: str) -> None:
        hold.state = state
        self.sides[hold.debit].out -= hold.amount
        self.sides[hold.credit].coming -= hold.amount


class LedgerMachine(RuleBasedStateMachine):
    """Does to the ledger and to the model the same."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(prefix="rialto-ledger-", dir=MEMORY)
        self.clock = ManualClock(NOW)
        self.chains: list[list[Command]] = []
        self.count = 0
        self.database: Mortal
        self.ledger: Ledger
        self.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def start(self) -> None:
        self.database = Mortal(Path(self.folder.name) / "ledger.db")
        self.run(self.database.start())
        self.ledger = Ledger(self.database, self.clock)

    @initialize()
    def begin(self) -> None:
        self.run(self.database.write(lambda connection: metadata.create_all(connection, tables=TABLES)))
        self.ids: dict[str, str] = {}
        sides = {}
        for name in NAMES:
            currency = "JPY" if name == "yen" else "EUR"
            kind = AccountKind.PROVIDER if name == "provider" else AccountKind.PERSON
            account = self.run(self.ledger.account(f"@{name}:localhost", currency, kind))
            self.ids[name] = account.id
            sides[account.id] = Side(currency, account.floor)
        self.model = Model(sides)
        self.check([[self.new(self.ids["provider"], self.ids[name], 100)] for name in ("alice", "bob")])

    def new(self, debit: str, credit: str, amount: int, **rest: Any) -> Transfer:
        self.count += 1
        return Transfer(f"t{self.count}", debit, credit, Money(amount, "EUR"), "payment", **rest)

    def check(self, chains: Sequence[list[Command]], dies: str | None = None) -> None:
        """Take chains at once. When the process dies, another one takes the same again."""

        async def at_once() -> list[Any]:
            return await asyncio.gather(*(self.ledger.execute(chain) for chain in chains), return_exceptions=True)

        self.chains += [list(chain) for chain in chains]
        if dies is not None:
            self.database.dies = dies
            self.run(at_once())
            self.run(self.database.stop())
            self.start()
        before = {each.id for chain in chains for each in chain if each.id in self.model.results}
        expected = [self.model.take(chain, self.clock.now_ms()) for chain in chains]
        for chain, outcome, expects in zip(chains, self.run(at_once()), expected, strict=True):
            if expects is IdConflict:
                assert isinstance(outcome, IdConflict)
                continue
            assert not isinstance(outcome, BaseException), outcome
            self.compare(chain, outcome, expects, before, dies)  # type: ignore[arg-type]
            before |= {each.id for each in chain}

    def compare(
        self,
        chain: Sequence[Command],
        outcomes: Sequence[Outcome],
        expected: Sequence[Refusal | None],
        before: set[str],
        dies: str | None,
    ) -> None:
        assert [each.refusal for each in outcomes] == list(expected)
        for command, outcome in zip(chain, outcomes, strict=True):
            if outcome.refusal is not None:
                assert outcome.result is Result.REFUSED
            elif command.id in before:
                assert outcome.result is Result.EXISTS
            elif dies is None:
                assert outcome.result is Result.CREATED

    dying = st.sampled_from([None, None, None, "before", "in", "after"])

    @rule(
        debit=names, credit=names, amount=amounts, pending=st.booleans(), ends=st.none() | st.integers(1, 3), dies=dying
    )
    def transfer(self, debit: str, credit: str, amount: int, pending: bool, ends: int | None, dies: str | None) -> None:
        expires = None if ends is None or not pending else self.clock.now_ms() + ends
        self.check([[self.new(self.ids[debit], self.ids[credit], amount, pending=pending, expires_at=expires)]], dies)

    @rule(pairs=st.lists(st.tuples(names, names, amounts, st.booleans()), min_size=2, max_size=4), dies=dying)
    def chain(self, pairs: list[tuple[str, str, int, bool]], dies: str | None) -> None:
        made = [self.new(self.ids[a], self.ids[b], amount, pending=pending) for a, b, amount, pending in pairs]
        self.check([[*made]], dies)

    @rule(pairs=st.lists(st.tuples(names, names, amounts), min_size=2, max_size=6), dies=dying)
    def at_once(self, pairs: list[tuple[str, str, int]], dies: str | None) -> None:
        made: list[list[Command]] = [[self.new(self.ids[a], self.ids[b], amount)] for a, b, amount in pairs]
        self.check([*made, made[0]], dies)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), amount=st.none() | amounts, void=st.booleans(), dies=dying)
    def resolve(self, data: st.DataObject, amount: int | None, void: bool, dies: str | None) -> None:
        pending = data.draw(st.sampled_from(sorted(self.model.holds)))
        self.count += 1
        money = None if amount is None else Money(amount, "EUR")
        command = Void(f"t{self.count}", pending) if void else Post(f"t{self.count}", pending, money)
        self.check([[command]], dies)

    @precondition(lambda self: self.model.moved)
    @rule(data=st.data(), amount=amounts, straight=st.sampled_from([False] * 4 + [True]), dies=dying)
    def reverse(self, data: st.DataObject, amount: int, straight: bool, dies: str | None) -> None:
        original = data.draw(st.sampled_from(sorted(self.model.moved)))
        debit, credit, moved = self.model.moved[original]
        sides = (debit, credit) if straight else (credit, debit)
        self.check([[self.new(*sides, min(amount, moved + 1), reverses=original)]], dies)

    @rule(data=st.data(), dies=dying)
    def repeat(self, data: st.DataObject, dies: str | None) -> None:
        self.check([data.draw(st.sampled_from(self.chains))], dies)

    @rule(data=st.data())
    def conflict(self, data: st.DataObject) -> None:
        chain = data.draw(st.sampled_from(self.chains))
        other = [
            replace(chain[0], kind="tip") if isinstance(chain[0], Transfer) else Void(chain[0].id, "x"),
            *chain[1:],
        ]
        self.check([other])

    @rule(ms=st.integers(0, 2), dies=dying)
    def expire(self, ms: int, dies: str | None) -> None:
        self.clock.advance(milliseconds=ms)
        now = self.clock.now_ms()
        due = {id_ for id_, hold in self.model.holds.items() if hold.state == "open" and (hold.ends or now + 1) <= now}
        for id_ in due:
            self.model.end(self.model.holds[id_], "expired")

        async def work(database: Database) -> set[str]:
            return set(await database.write(lambda connection: self.ledger.expire(connection, now)))

        if dies is not None:
            self.database.dies = dies
            try:
                self.run(work(self.database))
            except (DatabaseError, Crash):
                self.run(self.database.stop())
                self.start()
        found = self.run(work(self.database))
        assert found == due or (dies == "after" and found == set())

    @rule(name=names, frozen=st.booleans(), ceiling=st.none() | st.integers(50, 200))
    def change(self, name: str, frozen: bool, ceiling: int | None) -> None:
        id_, side = self.ids[name], self.model.sides[self.ids[name]]
        side.frozen, side.ceiling = frozen, ceiling
        now = self.clock.now_ms()

        def work(connection: Connection) -> None:
            self.ledger.set_frozen(connection, id_, frozen, now)
            self.ledger.set_limits(connection, id_, side.floor, ceiling, now)

        self.run(self.database.write(work))

    @invariant()
    def the_accounts_are_the_model_s(self) -> None:
        if not hasattr(self, "model"):
            return
        ids = list(self.model.sides)
        found = self.run(self.database.read(lambda connection: sql.accounts(connection, ids)))
        for id_, side in self.model.sides.items():
            account = found[id_]
            is_ = (account.net, account.pending_debits, account.pending_credits, account.frozen, account.ceiling)
            assert is_ == (side.balance, side.out, side.coming, side.frozen, side.ceiling)

    def teardown(self) -> None:
        try:
            if hasattr(self, "model"):
                report = self.run(self.ledger.verify())
                assert report.whole, report.problems
                assert report.pending == sum(hold.state == "open" for hold in self.model.holds.values())
        finally:
            self.run(self.database.stop())
            self.loop.close()
            self.folder.cleanup()


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
