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
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection

from appservice.database import DatabaseError, SQLiteDatabase
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

# Mostly two people, and amounts that meet their balances: what is rare otherwise happens often.
PAIRS = (
    *[("alice", "bob")] * 6,
    *[("bob", "alice")] * 3,
    *(("provider", "alice"), ("provider", "bob"), ("alice", "carol"), ("carol", "bob"), ("bob", "bob"), ("yen", "bob")),
)
ACTS = (
    *["transfer"] * 3,
    *["hold"] * 4,
    *["resolve"] * 4,
    *["expire"] * 2,
    *["reverse"] * 2,
    *("chain", "at_once", "repeat", "conflict", "change"),
)
DYING = st.sampled_from([*[None] * 5, "before", "in", "after"])
pairs = st.sampled_from(PAIRS)
amounts = st.sampled_from([1, 20, 30, 50, 50, 100]) | st.integers(0, 120)
payments = st.tuples(pairs, amounts)
PENDINGS = st.lists(st.booleans(), min_size=2, max_size=4)


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
        self.set_terms("bob", False, 150)

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

    @rule(data=st.data(), what=st.sampled_from(ACTS), dies=DYING)
    def act(self, data: st.DataObject, what: str, dies: str | None) -> None:
        # One rule: hypothesis would leave some of several out of each run, and these need each other.
        getattr(self, what)(data, dies)

    def payment(self, data: st.DataObject, **rest: Any) -> Transfer:
        (debit, credit), amount = data.draw(payments)
        return self.new(self.ids[debit], self.ids[credit], amount, **rest)

    def transfer(self, data: st.DataObject, dies: str | None) -> None:
        self.check([[self.payment(data)]], dies)

    def hold(self, data: st.DataObject, dies: str | None) -> None:
        ends = data.draw(st.sampled_from([None, 1, 2]))
        expires = None if ends is None else self.clock.now_ms() + ends
        self.check([[self.payment(data, pending=True, expires_at=expires)]], dies)

    def chain(self, data: st.DataObject, dies: str | None) -> None:
        made: list[Command] = [self.payment(data, pending=pending) for pending in data.draw(PENDINGS)]
        for each in made[:1]:
            if isinstance(each, Transfer) and each.pending:
                self.count += 1
                made.append(Post(f"t{self.count}", each.id))
        self.check([made], dies)

    def at_once(self, data: st.DataObject, dies: str | None) -> None:
        made: list[list[Command]] = [[self.payment(data, pending=pending)] for pending in data.draw(PENDINGS)]
        self.check([*made, made[0]], dies)

    def resolve(self, data: st.DataObject, dies: str | None) -> None:
        still = [id_ for id_, hold in self.model.holds.items() if hold.state == "open"]
        choices = (still if data.draw(st.integers(0, 3)) else list(self.model.holds)) or ["nothing"]
        pending = data.draw(st.sampled_from(choices))
        self.count += 1
        command: Command = Void(f"t{self.count}", pending)
        if data.draw(st.integers(0, 2)):
            amount = data.draw(st.none() | amounts)
            command = Post(f"t{self.count}", pending, None if amount is None else Money(amount, "EUR"))
        self.check([[command]], dies)

    def reverse(self, data: st.DataObject, dies: str | None) -> None:
        again = data.draw(st.booleans()) and len(self.model.taken_back) > 0
        original = data.draw(st.sampled_from(list(self.model.taken_back if again else self.model.moved)))
        debit, credit, moved = self.model.moved[original]
        sides = (credit, debit) if data.draw(st.integers(0, 5)) else (debit, credit)
        self.check([[self.new(*sides, min(data.draw(amounts), moved + 1), reverses=original)]], dies)

    def repeat(self, data: st.DataObject, dies: str | None) -> None:
        self.check([data.draw(st.sampled_from(self.chains))], dies)

    def conflict(self, data: st.DataObject, _: str | None) -> None:
        first, *rest = data.draw(st.sampled_from(self.chains))
        other = replace(first, kind=f"{first.kind}!") if isinstance(first, Transfer) else Void(first.id, "x")
        self.check([[other, *rest]])

    def expire(self, data: st.DataObject, dies: str | None) -> None:
        self.clock.advance(milliseconds=data.draw(st.integers(1, 2)))
        now = self.clock.now_ms()
        due = {id_ for id_, hold in self.model.holds.items() if hold.state == "open" and (hold.ends or now + 1) <= now}
        if due and dies is None:  # before it is swept
            self.count += 1
            self.check([[Post(f"t{self.count}", min(due))]])
        for id_ in due:
            self.model.end(self.model.holds[id_], "expired")

        async def sweep() -> set[str]:
            return set(await self.database.write(lambda connection: self.ledger.expire(connection, now)))

        if dies is not None:
            self.database.dies = dies
            try:
                self.run(sweep())
            except (DatabaseError, Crash):
                self.run(self.database.stop())
                self.start()
        found = self.run(sweep())
        assert found == due or (dies == "after" and found == set())

    def change(self, data: st.DataObject, _: str | None) -> None:
        name = data.draw(st.sampled_from(NAMES))
        self.set_terms(name, not data.draw(st.integers(0, 4)), data.draw(st.none() | st.integers(100, 200)))

    def set_terms(self, name: str, frozen: bool, ceiling: int | None) -> None:
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
    max_examples=35,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
