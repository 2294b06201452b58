"""``rialto people`` on a database with somebody's money in it: every part gives out and forgets."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from appservice.claim import Claim
from appservice.cli import main
from appservice.database import Database, open_database
from appservice.migrate import upgrade
from appservice.sealing import Sealer
from bots.domain.ledger import AccountKind
from bots.domain.money import Money
from bots.domain.payments import Capture, PaymentKind, PaymentState, Proposal, proposed
from bots.framework.clock import ManualClock
from bots.payments.ledger import Ledger, Transfer
from bots.payments.records import row_of
from bots.store import payments as payments_store
from bots.store.bill_tables import bill_accounts, bills
from bots.store.funding_tables import funding_payouts, funding_top_ups
from bots.store.page_tables import pins
from bots.store.tables import plugin_state
from bridge.audit import Audit
from bridge.domain.kinds import Kind
from bridge.store import chats as chats_store
from bridge.store import retention as retention_store
from bridge.store.chats import Chat, Member
from bridge.store.privacy_tables import privacy_settings
from bridge.store.retention import Hold

KEY = "a pickle key for tests"
ALICE, BOB = "@alice:localhost", "@bob:localhost"
SECRET, IBAN, METER = "under the third arch", "DE89370400440532013000", "meter 4711"
CLOCK = ManualClock()


def on(file: Path, work: Callable[[Database], Awaitable[Any]]) -> Any:
    """Work on the database beside a configuration."""

    async def run() -> Any:
        database = open_database(f"sqlite:///{file.parent / 'rialto.db'}")
        await database.start()
        try:
            return await work(database)
        finally:
            await database.stop()

    return asyncio.run(run())


async def fill(database: Database) -> None:
    """Alice got 20 euros and paid them to Bob; she has a PIN, a cash-out, a bill and a saved account."""
    await upgrade(database)
    sealer, now = Sealer(KEY, "payments"), CLOCK.now_ms()
    ledger = Ledger(database, CLOCK)
    provider = await ledger.account("provider:test", "EUR", AccountKind.PROVIDER)
    alice, bob = await ledger.account(ALICE, "EUR"), await ledger.account(BOB, "EUR")
    amount = Money(2000, "EUR")
    await ledger.execute([Transfer("t1", provider.id, alice.id, amount, "top_up")])
    await ledger.execute([Transfer("P1:1", alice.id, bob.id, amount, "payment", "P1")])
    proposal = Proposal(
        PaymentKind.TRANSFER,
        ALICE,
        BOB,
        amount,
        SECRET,
        "k",
        ALICE,
        now + 1,
        capture=Capture.AT_ONCE,
        origin_room="!r:x",
    )
    payment = replace(
        proposed(proposal, "P1", now, paid_before=False), state=PaymentState.PAID, captured=amount, moved="P1:1"
    )

    def work(connection: Any) -> None:
        payments_store.add(connection, row_of(payment, sealer))
        connection.execute(insert(privacy_settings), {"user_id": ALICE, "what": "write", "audience": "contacts"})
        connection.execute(insert(pins), {"person": ALICE, "hash": "$argon2id$", "changed_at": now})
        row: dict[str, Any] = {"person": ALICE, "provider": "bank", "currency": "EUR", "amount": 5, "reason": ""}
        times = {"created_at": now, "changed_at": now, "attempts": 0, "changes": 1, "told": 1}
        more = {"id": "T1", "key": "t", "state": "succeeded", "idempotency_key": "i", "expires_at": now, "credited": 5}
        connection.execute(insert(funding_top_ups), {**row, **times, **more})
        where = sealer.seal(json.dumps({"iban": IBAN}).encode(), "funding_payouts:C1")
        more = {
            "id": "C1",
            "kind": "cash_out",
            "state": "paid",
            "destination": where,
            "idempotency_key": "j",
            "settled": 1,
        }
        connection.execute(insert(funding_payouts), {**row, **times, **more})
        held = {"fields": {"meter": METER}, "period": "", "reference": "", "receipt": ""}
        bill: dict[str, Any] = {
            "bot": "bills",
            "person": ALICE,
            "room_id": "!r:x",
            "biller": "power",
            "account": "digest",
        }
        bill |= {"created_at": now, "revision": 1, "currency": "EUR"}
        sealed = sealer.seal(json.dumps(held).encode(), "bills:B1")
        paid = {"id": "B1", "origin": "person", "sealed": sealed, "state": "paid", "attempts": 1}
        connection.execute(insert(bills), {**bill, **paid, "asked_at": now, "updated_at": now})
        sealed = sealer.seal(json.dumps({"nickname": "home", "fields": {"meter": METER}}).encode(), "bill_accounts:A1")
        connection.execute(insert(bill_accounts), {**bill, "id": "A1", "nickname": "digest", "sealed": sealed})

        place = {"scope": f"user:{ALICE}", "version": 1, "updated_at": now}
        value = Sealer(KEY, "state").seal(json.dumps([SECRET]).encode(), f"purse\0user:{ALICE}\0payees")
        connection.execute(
            insert(plugin_state), {**place, "plugin": "purse", "key": "payees", "value": value, "sealed": 1}
        )
        connection.execute(insert(plugin_state), {**place, "plugin": "purse", "key": "n", "value": b"3", "sealed": 0})

    await database.write(work)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That database, to be copied."""
    folder = tmp_path_factory.mktemp("filled")
    on(folder / "config.yaml", fill)
    return folder / "rialto.db"


@pytest.fixture
def config(filled: Path, tmp_path: Path) -> Path:
    """A configuration, and that database."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"appservice:\n  as_token: {'a' * 20}\n  hs_token: {'h' * 20}\n"
        f"encryption:\n  pickle_key: {KEY}\ndatabase:\n  url: sqlite:///{tmp_path / 'rialto.db'}\n"
        "bots:\n  - {plugin: wallet, name: purse, localpart: purse, display_name: Purse}\n"
    )
    shutil.copy(filled, tmp_path / "rialto.db")
    return file


def run(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and what was written."""
    code = main(["people", *arguments, "-c", str(config)])
    return code, capsys.readouterr().out


def actions(config: Path) -> list[tuple[str, str, str]]:
    """What the audit log says, the first first."""

    async def work(database: Database) -> list[tuple[str, str, str]]:
        audit = Audit(database, Sealer(KEY, "payments"))
        assert (await audit.verify()).whole and (await Ledger(database, CLOCK).verify()).whole
        return [(each.actor, each.action, each.outcome) for each in reversed(await audit.list())]

    found: list[tuple[str, str, str]] = on(config, work)
    return found


def test_show_tier_hold_and_release(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, config, "show", ALICE)
    assert code == 0 and out.splitlines()[:2] == ["tier 0", "balance       0.00 EUR"]
    assert "per_day       300.00 EUR of 300.00 EUR left until " in out
    assert run(capsys, config, "tier", ALICE, "1") == (0, f"{ALICE} is in tier 1\n")
    assert run(capsys, config, "tier", ALICE, "7")[0] == 2
    assert run(capsys, config, "hold", ALICE)[0] == 0
    shown = json.loads(run(capsys, config, "show", ALICE, "--json")[1])
    assert (shown["tier"], shown["held"], shown["frozen"]) == (1, True, False)
    assert shown["limits"][0] == {"limit": "per_transfer", "of": "5000.00 EUR", "left": "5000.00 EUR", "resets": None}
    assert "held" in run(capsys, config, "show", ALICE)[1].splitlines()[0]
    assert run(capsys, config, "release", ALICE)[0] == 0
    assert run(capsys, config, "show", "alice")[0] == 2
    assert actions(config) == [
        ("operator", "guard.tier", "set"),
        ("operator", "guard.hold", "held"),
        ("operator", "guard.release", "released"),
    ]


def test_export_has_what_every_part_knows(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "alice.zip"
    code = main(["people", "export", ALICE, "-o", str(file), "--json", "-c", str(config)])
    captured = capsys.readouterr()
    assert code == 0 and json.loads(captured.out)["bytes"] == file.stat().st_size
    assert file.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        tables = {name[:-5]: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")}
    # Of the messenger, of bots, of the stores of keys,
    assert tables["privacy/settings"] == [{"user_id": ALICE, "what": "write", "audience": "contacts"}]
    assert {"retention/rules", "keys/devices", "engine/unfinished-events"} <= tables.keys()
    # and of money.
    assert tables["money/payments/payments"][0]["memo"] == SECRET
    assert tables["money/payments/payments"][0]["amount"] == "20.00 EUR"
    assert tables["money/funding/cash_outs"][0]["entered"] == {"iban": IBAN}
    assert tables["money/funding/top_ups"][0]["credited"] == "0.05"
    assert tables["money/bills/bills"][0]["entered"]["fields"] == {"meter": METER}
    assert tables["money/bills/accounts"][0]["entered"]["nickname"] == "home"
    assert tables["money/pages/pins"] == [{"changed_at": "2026-01-01T00:00:00.000+00:00", "locked_until": None}]
    assert [note["value"] for note in tables["money/bots/notes"]] == [3, [SECRET]]
    assert [line["amount"] for line in tables["money/ledger/statement"]] == ["-20.00", "20.00"]
    assert b"argon2" not in file.read_bytes()
    assert actions(config) == [("system", "rights.export", "done")]
    steps = [json.loads(line) for line in captured.err.splitlines()]
    assert [each["done"] for each in steps] == list(range(len(steps)))
    assert steps[-1] == {"done": steps[0]["total"], "total": steps[0]["total"], "stage": ""}


def test_who_is_erased_is_nowhere(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config.parent / "rialto.db"
    assert run(capsys, config, "erase", BOB)[0] == 1
    code, out = run(capsys, config, "erase", ALICE)
    assert code == 0 and "can be erased" in out and occurs(file, ALICE)
    code, out = run(capsys, config, "erase", ALICE, "--yes", "--json")
    answer = json.loads(out)
    name = answer.pop("pseudonym")
    # Nobody has given Rialto the homeserver's accounts; and what comes late is looked for by the service.
    assert code == 0
    assert answer == {"person": ALICE, "erased": True, "state": "sweeping", "problems": ["account_open"]}
    assert not occurs(file, ALICE) and not occurs(file, "!r:x") and occurs(file, name) and occurs(file, BOB)
    assert actions(config) == [("system", "rights.ask", "erase"), ("system", "rights.erase", "done")]

    async def left(database: Database) -> list[str]:
        sealer = Sealer(KEY, "payments")
        row = await database.read(lambda connection: payments_store.get(connection, "P1"))
        assert row is not None
        return [sealer.open(bytes(row["details"]), "payments:P1").decode(), row["payer"]]

    details, payer = on(config, left)
    assert SECRET not in details and payer == name


def test_a_service_that_runs_does_it_itself(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def service(database: Database) -> None:
        claim = Claim(f"sqlite:///{config.parent / 'rialto.db'}")
        await claim.take()
        try:
            code = await asyncio.to_thread(
                main, ["people", "erase", ALICE, "--yes", "--json", "--wait", "0.3", "-c", str(config)]
            )
            answer = json.loads(capsys.readouterr().out)
            assert (code, answer["erased"], answer["state"]) == (1, False, "waiting")
        finally:
            await claim.release()

    on(config, service)
    assert occurs(config.parent / "rialto.db", ALICE)
    # What was asked for stays asked for: when none runs, the command does it.
    code, out = run(capsys, config, "erase", ALICE, "--yes")
    assert code == 0 and " is erased:" in out and "their account is not closed" in out
    assert not occurs(config.parent / "rialto.db", ALICE)


def test_money_is_looked_at_without_a_wallet(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace("plugin: wallet", "plugin: echo"))
    assert run(capsys, config, "erase", BOB, "--json")[0] == 1
    assert run(capsys, config, "erase", ALICE, "--yes", "--json")[0] == 0
    assert not occurs(config.parent / "rialto.db", "under the third arch")


def test_a_legal_hold_keeps_somebody(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def held(database: Database) -> None:
        def work(connection: Any) -> None:
            chat = Chat("!c:localhost", "CHAT", Kind.GROUP, False, True, "", ALICE, 1)
            chats_store.add(connection, chat, 1)
            chats_store.set_member(connection, Member("!c:localhost", ALICE, "join", 100, "", 1))
            retention_store.hold(connection, Hold("!c:localhost", "", "a case", "system", 1))

        await database.write(work)

    on(config, held)
    code, out = run(capsys, config, "erase", ALICE, "--yes", "--json")
    assert (code, json.loads(out)) == (1, {"erased": False, "obstacles": ["legal_hold"]})


def occurs(file: Path, text: str) -> bool:
    """Whether a text is in any table."""
    with sqlite3.connect(file) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    return text in dump or text.encode().hex().upper() in dump


@pytest.mark.parametrize(
    ("table", "state", "code"),
    [
        ("payments", "proposed", "rights.open_payments"),
        ("funding_top_ups", "pending", "rights.open_funding"),
        ("funding_payouts", "sent", "rights.open_funding"),
        ("bills", "held", "rights.open_bills"),
    ],
)
def test_what_is_open_keeps_somebody(
    config: Path, capsys: pytest.CaptureFixture[str], table: str, state: str, code: str
) -> None:
    with sqlite3.connect(config.parent / "rialto.db") as connection:
        connection.execute(f"UPDATE {table} SET state = ?", (state,))
    connection.close()
    exit_code, out = run(capsys, config, "erase", ALICE, "--yes", "--json")
    assert exit_code == 1 and json.loads(out) == {"erased": False, "obstacles": [code]}
    assert run(capsys, config, "erase", ALICE, "--yes")[1].endswith(": 1.\n")
