"""``rialto ledger`` and its exports, on a database with a little of everything in it."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import update

from appservice.cli import main
from appservice.database import Database, open_database
from appservice.migrate import upgrade
from bots.domain.ledger_journal import MOVES
from bots.domain.money import Money
from bots.framework.clock import ManualClock
from bots.payments.ledger import AccountKind, Ledger, Post, Transfer
from bots.payments.ledger_export import COLUMNS, beancount, csv_lines
from bots.store.ledger_tables import ledger_journal
from tests.store.ledger_world import NOW, World, eur, ledgers_on

NASTY = 'say "hi"\\ \n=1+1, ümläut 💶'
MEMO = b"sealed by the caller"


async def fill(world: World) -> None:
    """Two currencies, a hold that is posted, a refusal, and names that a format could stumble over."""
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    shop = await world.ledger.account(f'bot:"{NASTY}', "EUR", AccountKind.MERCHANT)
    await world.person("alice", 2500, "JPY")
    await world.person("alice", 12345, "KWD")
    await world.done(Transfer("=cmd()", alice.id, bob.id, eur(105), "payment", "+reference", memo=MEMO))
    await world.done(world.pay(alice, shop, 500, NASTY, pending=True))
    world.clock.advance(days=40)
    await world.done(Post("-post", NASTY, eur(450)))
    await world.ledger.execute([world.pay(bob, alice, 9999, "@refused")])


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """A configuration, and its database."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"appservice:\n  as_token: {'a' * 20}\n  hs_token: {'h' * 20}\n"
        f"encryption:\n  pickle_key: a pickle key for tests\ndatabase:\n  url: sqlite:///{tmp_path / 'rialto.db'}\n"
    )
    file.chmod(0o600)
    database = open_database(f"sqlite:///{tmp_path / 'rialto.db'}")
    await database.start()
    await upgrade(database)
    clock = ManualClock(NOW)
    await fill(World([database], [Ledger(database, clock)], [clock]))
    await database.stop()
    return file


def rialto(config: Path, *arguments: str) -> int:
    return main(["ledger", *arguments, "-c", str(config)])


@pytest.fixture
def tampered(config: Path) -> Path:
    connection = sqlite3.connect(config.parent / "rialto.db")
    with connection:
        connection.execute("UPDATE ledger_journal SET amount = 106 WHERE id = '=cmd()'")
    connection.close()
    return config


# --- the command


def test_verify(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rialto(config, "verify") == 0
    out = capsys.readouterr().out
    assert "the books are whole" in out
    anchor = re.search(r"entry (\d+:[0-9a-f]{64})", out)
    assert anchor is not None
    assert rialto(config, "verify", "--anchor", anchor.group(1), "--json") == 0
    assert json.loads(capsys.readouterr().out)["whole"] is True
    assert rialto(config, "verify", "--anchor", f"1{anchor.group(1)}") == 1
    assert "is not the one that was there (anchor)" in capsys.readouterr().out
    assert rialto(config, "verify", "--anchor", "what") == 2


def test_verify_says_what_is_wrong(tampered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rialto(tampered, "verify") == 1
    out = capsys.readouterr().out
    assert re.search(r"^WRONG  entry \d+: it, or the one before it, is not as it was written \(hash\)$", out, re.M)
    assert "NOT whole" in out
    assert rialto(tampered, "verify", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["whole"] is False
    assert {problem["code"] for problem in report["problems"]} >= {"hash", "balance"}


def test_accounts(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rialto(config, "accounts", "--owner", "@alice:localhost", "--json") == 0
    found = {each["currency"]: each for each in json.loads(capsys.readouterr().out)}
    assert {code: each["balance"] for code, each in found.items()} == {"EUR": "4.45", "JPY": "2500", "KWD": "12.345"}
    assert found["EUR"]["kind"] == "person"
    assert rialto(config, "accounts", "--currency", "KWD") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert rialto(config, "accounts", "--owner", "nobody") == 0
    assert capsys.readouterr().out == "no accounts\n"


def test_statement(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rialto(config, "statement", "@alice:localhost", "--currency", "EUR", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(line["amount"], line["balance"]) for line in found["lines"]] == [
        ("-4.50", "4.45"),
        ("-1.05", "8.95"),
        ("10.00", "10.00"),
    ]
    assert rialto(config, "statement", found["account"]["id"], "--until", "2026-02-01", "-n", "1") == 0
    out = capsys.readouterr().out
    assert "=cmd()" in out
    assert len(out.splitlines()) == 2
    assert rialto(config, "statement", "@alice:localhost") == 2
    assert "has several accounts" in capsys.readouterr().err
    assert rialto(config, "statement", "nobody") == 2


def test_export_writes_a_file(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rialto(config, "export", "csv") == 0
    printed = capsys.readouterr().out
    target = tmp_path / "out.csv"
    assert rialto(config, "export", "csv", "-o", str(target)) == 0
    assert target.read_bytes().decode() == printed
    assert rialto(config, "export", "beancount", "-o", str(tmp_path / "no" / "folder")) == 2
    assert "cannot be written" in capsys.readouterr().err
    for words in (printed, target.read_text()):
        assert MEMO.decode() not in words


def test_a_database_that_is_not_there(tmp_path: Path, config: Path) -> None:
    here = f"sqlite:///{tmp_path / 'rialto.db'}"
    config.write_text(config.read_text().replace(here, "postgresql://nobody@127.0.0.1:1/nothing"))
    assert rialto(config, "verify") == 3


# --- the formats


async def text_of(lines: object) -> str:
    return "".join([line async for line in lines])  # type: ignore[attr-defined]


async def test_csv_is_the_whole_journal_and_no_formula(database: Database) -> None:
    async with ledgers_on(database, 1) as world:
        await fill(world)
        entries = await world.entries()
        rows = list(csv.DictReader(io.StringIO(await text_of(csv_lines(database)), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["seq"]) for row in rows] == [entry.seq for entry in entries]
    assert [row["hash"] for row in rows] == [entry.hash.hex() for entry in entries]
    by_id = {row["id"]: row for row in rows}
    assert by_id["'=cmd()"]["reference"] == "'+reference"
    assert by_id["'=cmd()"]["amount"] == "1.05"
    assert by_id["'=cmd()"]["debit_owner"] == "@alice:localhost"
    assert by_id[NASTY]["expires_at"] == ""
    assert by_id["'-post"]["at"] == "2026-02-10T00:00:00.000Z"
    assert by_id["'@refused"]["refusal"] == "exceeds_balance"
    for row in rows:
        for column, value in row.items():
            number = column in {"amount", "debit_after", "credit_after"}
            assert number or value[:1] not in {"=", "+", "-", "@"} or re.fullmatch(r"@[a-z]+:[a-z]+", value)


BEANCOUNT = re.compile(
    r"""
    ;;\ [^\n]*
    | option\ "[^"]*"\ "[^"]*"
    | \d{4}-\d\d-\d\d\ open\ [A-Z][A-Za-z]*(:[A-Z0-9][A-Za-z0-9-]*)+\ [A-Z]{3}
    | \d{4}-\d\d-\d\d\ \*\ "([^"\\\n]|\\.)*"
    | \d{4}-\d\d-\d\d\ balance\ [A-Z][A-Za-z]*(:[A-Z0-9][A-Za-z0-9-]*)+\ -?\d+(\.\d+)?\ [A-Z]{3}
    | \ \ [a-z]+:\ ("([^"\\\n]|\\.)*"|\d+)
    | \ \ [A-Z][A-Za-z]*(:[A-Z0-9][A-Za-z0-9-]*)+\ \ -?\d+(\.\d+)?\ [A-Z]{3}
    |
    """,
    re.VERBOSE,
)


async def test_beancount_balances_and_parses(database: Database) -> None:
    async with ledgers_on(database, 1) as world:
        await fill(world)
        entries = await world.entries()
        lines = (await text_of(beancount(database))).splitlines()
        owners = ("@alice:localhost", "@bob:localhost", "provider:sandbox", f'bot:"{NASTY}')
        accounts = {each.id: each for owner in owners for each in await world.ledger.accounts(owner)}
    assert [line for line in lines if BEANCOUNT.fullmatch(line) is None] == []
    postings = [line.split() for line in lines if re.match(r"  [A-Z]", line)]
    assert len(postings) == 2 * sum(entry.type in MOVES for entry in entries)
    sums: dict[tuple[str, str], Decimal] = {}
    for name, amount, currency in postings:
        sums[name, currency] = sums.get((name, currency), Decimal(0)) + Decimal(amount)
    balances = {tuple(line.split()[2:5:2]): Decimal(line.split()[3]) for line in lines if " balance " in line}
    assert balances == sums
    for (name, currency), value in sums.items():
        account = accounts[name.rpartition(":")[2]]
        assert -value == account.balance.amount
        assert currency == account.currency
    assert sum(value for (_, currency), value in sums.items() if currency == "KWD") == 0
    assert any(line.startswith("2026-02-11 balance ") for line in lines)
    assert '  owner: "bot:\\"say \\"hi\\"\\\\  =1+1, ümläut 💶"' in lines


async def test_what_is_erased_is_not_exported(database: Database) -> None:
    async with ledgers_on(database, 1) as world:
        await fill(world)
        ledger = world.ledger
        await world.write(lambda connection: ledger.rename_owner(connection, "@alice:localhost", "erased:1"))
        written = await text_of(csv_lines(database)) + await text_of(beancount(database))
        assert "alice" not in written
        assert "erased:1" in written
        assert Money(445, "EUR") in [each.balance for each in await ledger.accounts("erased:1")]
        await world.write(lambda c: c.execute(update(ledger_journal).values(memo=None)))
        await world.verified()
