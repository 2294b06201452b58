"""``rialto payments`` on a database with top-ups in it; the service goes on with what was decided."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from appservice.cli import main
from appservice.database import open_database
from appservice.migrate import upgrade
from bots.domain.payments import PaymentState
from bots.framework.clock import SystemClock
from tests.store.funding_world import FundingWorld
from tests.store.payments_world import ALICE, eur
from tests.support.bank_samples import IBAN, camt_of

T = TypeVar("T")
KEY = "a pickle key for tests"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a bank account and play money, and a migrated database."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"appservice:\n  as_token: {'a' * 20}\n  hs_token: {'h' * 20}\n"
        f"encryption:\n  pickle_key: {KEY}\ndatabase:\n  url: sqlite:///{tmp_path / 'rialto.db'}\n"
        f"payments:\n  providers:\n    sandbox:\n      enabled: true\n"
        f"    bank:\n      iban: {IBAN}\n      name: Rialto e.V.\n"
    )
    return file


def with_world(config: Path, work: Callable[[FundingWorld], Awaitable[T]]) -> T:
    """Do something as the service would, in a process of its own, so to say."""

    async def run() -> T:
        database = open_database(f"sqlite:///{config.parent / 'rialto.db'}")
        await database.start()
        await upgrade(database)
        try:
            world = FundingWorld(database, pickle_key=KEY)
            world.clock.set(SystemClock().now_ms() + 1000)  # the command line knows no other clock
            return await work(world)
        finally:
            await database.stop()

    return asyncio.run(run())


@pytest.fixture
def payments(config: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run one, and read its JSON."""

    def run(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main(["payments", *arguments, "-c", str(config), "--json"]) == code
        out = capsys.readouterr().out
        return json.loads(out) if out else None

    return run


def test_from_a_statement_to_the_wallet(
    config: Path, payments: Callable[..., Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    top_up = with_world(config, lambda world: world.funding.top_up(ALICE, eur(5000), "bank", "k"))
    file = tmp_path / "november.xml"
    file.write_bytes(
        camt_of(
            ("50.00", "B1", "", top_up.instructions["reference"]), ("7.00", "B2", "", "hm"), ("-1.00", "B3", "", "fee")
        )
    )
    (done,) = payments("import", str(file))
    assert (done["lines"], done["matched"], done["unmatched"], done["repeated"]) == (3, 1, 2, False)
    (again,) = payments("import", str(file))
    assert (again["lines"], again["repeated"]) == (0, True)
    lines = {line["amount"]: line for line in payments("unmatched")}
    assert set(lines) == {"7.00", "-1.00"}
    assert payments("assign", lines["7.00"]["id"][:12], "@bob:example.org")["line"] == lines["7.00"]["id"][:12]
    payments("book", lines["-1.00"]["id"])
    assert payments("unmatched") == []
    assert main(["payments", "unmatched", "-c", str(config)]) == 0
    assert "no unmatched lines" in capsys.readouterr().out

    async def service(world: FundingWorld) -> tuple[int, int, int]:
        await world.settle_all()
        await world.sound()
        return await world.balance(ALICE), await world.balance("@bob:example.org"), await world.suspense()

    assert with_world(config, service) == (5000, 700, -100)


def test_a_broken_statement(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_world(config, _nothing)
    file = tmp_path / "broken.xml"
    file.write_bytes(camt_of(("50.00", "B1", "", "x"))[:-40])
    assert main(["payments", "import", str(file), "-c", str(config)]) == 1
    error = capsys.readouterr().err
    assert "broken.xml:" in error
    assert "Nothing was imported" in error
    assert main(["payments", "import", str(tmp_path / "none.xml"), "-c", str(config)]) == 2


async def _nothing(world: FundingWorld) -> None:
    """The database is there afterwards."""


def test_orders_for_the_bank(config: Path, payments: Callable[..., Any], tmp_path: Path) -> None:
    async def begin(world: FundingWorld) -> tuple[str, str]:
        await world.give(ALICE, eur(5000))
        out = [await world.cash_out(amount, "bank", key) for amount, key in ((1000, "a"), (500, "b"))]
        await world.settle_all()
        return out[0].id, out[1].id

    paid, failed = with_world(config, begin)
    file, copy = tmp_path / "orders.xml", tmp_path / "copy.xml"
    batch = payments("export-payouts", "-o", str(file))
    assert (batch["payouts"], batch["total"]) == (2, "15.00 EUR")
    assert paid.encode() in file.read_bytes()
    assert payments("export-payouts") == {"batch": None}
    payments("export-payouts", "--batch", batch["batch"], "-o", str(copy))
    assert copy.read_bytes() == file.read_bytes()
    payments("export-payouts", "--batch", "nothing", code=2)
    assert [one["batch"] for one in payments("batches")] == [batch["batch"]]
    payments("fail", failed)
    payments("fail", failed, code=1)
    statement = tmp_path / "statement.xml"
    statement.write_bytes(camt_of(("-10.00", "B1", paid, "out")))
    payments("import", str(statement))

    async def service(world: FundingWorld) -> list[PaymentState | None]:
        await world.settle_all()
        found = [await world.payments.get(payment) for payment in (paid, failed)]
        assert world.told_states(failed) == ["failed"]
        return [None if one is None else one.state for one in found]

    assert with_world(config, service) == [PaymentState.PAID, PaymentState.VOIDED]


def test_play_money_and_differences(config: Path, payments: Callable[..., Any]) -> None:
    top_up = with_world(config, lambda world: world.funding.top_up(ALICE, eur(2000), "sandbox", "k"))
    assert payments("differences") == []
    assert payments("sandbox", top_up.id, "success") == {"top_up": top_up.id, "changed": True}
    payments("sandbox", top_up.id, "decline", code=1)

    async def service(world: FundingWorld) -> int:
        await world.settle_all()
        return await world.balance(ALICE)

    assert with_world(config, service) == 2000
    assert payments("suspended") == []
    payments("release", top_up.id, code=1)
    refund = payments("refund", top_up.id, "5.00 EUR")
    assert refund["state"] == "done"
    assert payments("refund", top_up.id, "5.00 EUR")["refund"] == refund["refund"]
    payments("refund", top_up.id, "five", code=2)
    payments("refund", top_up.id, "500.00 EUR", code=1)

    async def afterwards(world: FundingWorld) -> tuple[int, list[str]]:
        await world.settle_all()
        await world.sound()
        return await world.balance(ALICE), world.told_states(top_up.id)

    balance, told = with_world(config, afterwards)
    assert balance == 1500
    assert told == ["succeeded"]  # of the refund, which the command line could not tell
    assert payments("reconcile", code=0) == []


def test_without_a_bank(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_world(config, _nothing)
    text = config.read_text()
    config.write_text(text[: text.index("    bank:")])
    assert main(["payments", "unmatched", "-c", str(config)]) == 2
    assert "payments.providers.bank.iban" in capsys.readouterr().err
    config.write_text(text.replace(IBAN, "DE00370400440532013000"))
    assert main(["payments", "unmatched", "-c", str(config)]) == 2
    assert "check digits" in capsys.readouterr().err
