"""Bank transfers: statements in, each line once and the whole file or nothing; orders out, each once."""

from __future__ import annotations

import pytest

from appservice.database import Database
from bots.domain.epc import read_payload
from bots.domain.funding import LineState, PayoutState, RefundState, TopUpState
from bots.domain.payments import PaymentState
from bots.payments.funding_values import TopUp
from bots.payments.providers.bank import reference_for
from bots.payments.providers.bank_desk import BankRefused, StatementRefused
from bots.payments.providers.xml import read_tree
from bots.store import bank as bank_sql
from bots.store import funding as sql
from bots.store.funding_tables import bank_lines, bank_statements, funding_top_ups
from tests.store.funding_world import FundingWorld, room_for
from tests.store.harness import rows
from tests.store.payments_world import ALICE, BOB, eur
from tests.support.bank_samples import IBAN, PAYER, camt_02, camt_of, mt940_german


@pytest.fixture
def world(database: Database) -> FundingWorld:
    return FundingWorld(database)


async def begun(world: FundingWorld, minor: int = 5000, key: str = "k") -> TopUp:
    return await world.funding.top_up(ALICE, eur(minor), "bank", key)


async def test_instructions_and_their_code(world: FundingWorld) -> None:
    top_up = await begun(world)
    assert (top_up.state, top_up.link) == (TopUpState.PENDING, "")
    found = top_up.instructions
    assert (found["iban"], found["name"], found["reference"]) == (IBAN, "Rialto e.V.", reference_for(top_up.id))
    transfer = read_payload(found["qr"])
    assert (transfer.iban, transfer.amount, transfer.reference) == (IBAN, eur(5000), found["reference"])
    assert (await world.funding.top_up(ALICE, eur(5000), "bank", "k")).instructions == found


@pytest.mark.parametrize("sample", [camt_02, mt940_german])
async def test_a_statement_credits_what_has_a_reference(world: FundingWorld, sample: object) -> None:
    top_up = await begun(world)
    data = sample(top_up.instructions["reference"])  # type: ignore[operator]
    imported = await world.desk.import_statement(data)
    assert (imported.lines, imported.matched, imported.unmatched) == (4, 1, 3)
    await world.settle_all()
    assert await world.balance(ALICE) == 5000
    assert world.told_states(top_up.id) == ["succeeded"]
    again = await world.desk.import_statement(data)
    assert (again.repeated, again.lines, again.known) == (True, 0, 4)
    await world.settle_all()
    assert await world.balance(ALICE) == 5000
    await world.sound()


async def test_the_same_entries_in_another_file_are_not_new(world: FundingWorld) -> None:
    top_up = await begun(world)
    reference = top_up.instructions["reference"]
    first = (("50.00", "B1", "E1", reference), ("3.00", "B2", "E2", "hello"))
    await world.desk.import_statement(camt_of(*first))
    whole_month = await world.desk.import_statement(camt_of(*first, ("4.00", "B3", "E3", "new"), number="MONTH"))
    assert (whole_month.lines, whole_month.known) == (1, 2)
    await world.settle_all()
    assert await world.balance(ALICE) == 5000


async def test_entries_without_a_reference_of_the_bank_are_looked_at(world: FundingWorld) -> None:
    top_up = await begun(world)
    alike = ("50.00", "NONREF", "", top_up.instructions["reference"])
    imported = await world.desk.import_statement(camt_of(alike, alike))
    # Two equal transfers on one day are two; the second one is nobody's guess.
    assert (imported.matched, imported.unmatched) == (1, 1)
    other = await world.desk.import_statement(camt_of(alike, number="S2", opening="1.00"))
    assert (other.lines, other.matched) == (1, 0)
    assert sorted(line.reason for line in await world.desk.unmatched()) == ["like_another", "paid_already"]
    await world.settle_all()
    assert await world.balance(ALICE) == 5000


async def test_what_is_wrong_imports_nothing(world: FundingWorld) -> None:
    top_up = await begun(world)
    good = camt_of(("50.00", "B1", "E1", top_up.instructions["reference"]), ("1.00", "B2", "", "x"))
    for data in (
        good[: len(good) * 3 // 4],
        good.replace(b"50.00", b"51.00"),
        camt_of(("50.00", "B1", "E1", top_up.instructions["reference"]), account="GB29NWBK60161331926819"),
        mt940_german(top_up.instructions["reference"])[:-60],
    ):
        with pytest.raises(StatementRefused) as caught:
            await world.desk.import_statement(data, "november.xml")
        assert caught.value.fields["line"] >= 1
        assert caught.value.human.startswith("november.xml:")
    assert await rows(world.database, bank_lines) == []
    assert await rows(world.database, bank_statements) == []
    assert (await world.desk.import_statement(good)).matched == 1


async def test_names_and_texts_of_people_are_sealed(world: FundingWorld) -> None:
    await world.desk.import_statement(camt_of(("50.00", "B1", "E1", "for the party")))
    (row,) = await rows(world.database, bank_lines)
    whole = repr(row).encode()
    for secret in (b"party", b"Payer", PAYER.encode()):
        assert secret not in whole
    (line,) = await world.desk.unmatched()
    assert line.details == {"name": "Payer", "iban": PAYER, "text": "for the party"}


async def test_another_amount_is_credited_as_it_came(world: FundingWorld) -> None:
    top_up = await begun(world)
    await world.desk.import_statement(camt_of(("12.34", "B1", "", top_up.instructions["reference"])))
    await world.settle_all()
    assert (await world.funding.get(top_up.id)).credited == eur(1234)


async def test_two_references_in_one_line_are_not_guessed_at(world: FundingWorld) -> None:
    first, second = await begun(world, key="a"), await begun(world, key="b")
    text = f"{first.instructions['reference']} {second.instructions['reference']}"
    await world.desk.import_statement(camt_of(("50.00", "B1", "", text)))
    assert [line.reason for line in await world.desk.unmatched()] == ["several_references"]


async def test_a_transfer_that_comes_after_weeks(world: FundingWorld) -> None:
    top_up = await begun(world)
    world.clock.advance(days=15)
    await world.settle_all()
    assert (await world.funding.get(top_up.id)).state is TopUpState.EXPIRED
    await world.desk.import_statement(camt_of(("50.00", "B1", "", top_up.instructions["reference"])))
    await world.settle_all()
    assert (await world.funding.get(top_up.id)).state is TopUpState.SUCCEEDED
    assert await world.balance(ALICE) == 5000


# --- what the operator decides


async def test_lines_are_given_to_top_ups_and_people(world: FundingWorld) -> None:
    top_up = await begun(world)
    await world.desk.import_statement(
        camt_of(("50.00", "B1", "", "forgot the reference"), ("7.00", "B2", "", "for Bob"), ("-3.00", "B3", "", "fee"))
    )
    lines = {line.amount.minor: line for line in await world.desk.unmatched()}
    assert await world.desk.assign(lines[5000].id[:10], top_up.instructions["reference"].lower()) == top_up.id
    await world.desk.assign(lines[700].id, BOB, "NEWTOPUP")
    with pytest.raises(BankRefused):
        await world.desk.assign(lines[5000].id, top_up.id)
    with pytest.raises(BankRefused):
        await world.desk.assign(lines[-300].id, BOB, "OTHER")
    for wrong in ("", "ffffffff", lines[-300].id[:3]):
        with pytest.raises(BankRefused):
            await world.desk.assign(wrong, top_up.id)
    await world.settle_all()
    assert (await world.balance(ALICE), await world.balance(BOB)) == (5000, 700)
    await world.desk.decide(lines[-300].id, LineState.BOOKED, "fee")
    await world.settle_all()
    assert await world.suspense() == -300
    assert await world.provider_balance("bank") == -5400
    assert await world.desk.unmatched() == []
    await world.sound()


async def test_a_second_transfer_is_given_to_the_same_top_up(world: FundingWorld) -> None:
    top_up = await begun(world)
    reference = top_up.instructions["reference"]
    await world.desk.import_statement(camt_of(("50.00", "B1", "", reference), ("50.00", "B2", "", reference)))
    await world.settle_all()
    (line,) = await world.desk.unmatched()
    await world.desk.assign(line.id, top_up.id)
    await world.settle_all()
    assert (await world.funding.get(top_up.id)).credited == eur(10_000)
    assert world.told_states(top_up.id) == ["succeeded", "succeeded"]


async def test_money_goes_back_to_whom_it_came_from(world: FundingWorld) -> None:
    await world.desk.import_statement(camt_of(("50.00", "B1", "", "who is this")))
    (line,) = await world.desk.unmatched()
    await world.desk.decide(line.id, LineState.RETURN, "not known")
    for _ in range(2):
        await world.settle_all()
    assert await world.suspense() == 5000
    batch = await world.desk.export("BATCH1")
    assert batch is not None
    order = read_tree(batch.content).first("CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf")
    assert order is not None
    assert (order.words("CdtrAcct/Id/IBAN"), order.words("Amt/InstdAmt")) == (PAYER, "50.00")
    await world.desk.import_statement(camt_of(("-50.00", "B2", order.words("PmtId/EndToEndId"), "return"), number="S2"))
    await world.settle_all()
    assert (await world.suspense(), await world.provider_balance("bank")) == (0, 0)
    await world.sound()


async def test_what_does_not_fit_in_the_wallet_goes_back(database: Database) -> None:
    world = FundingWorld(database, limits=room_for(6000))
    top_up = await begun(world)
    await world.give(ALICE, eur(3000))
    await world.desk.import_statement(camt_of(("50.00", "B1", "", top_up.instructions["reference"])))
    await world.settle_all()
    assert await world.suspense() == 5000
    refund = await world.funding.refund(top_up.id, eur(5000), "r")
    assert refund.state is RefundState.SENT
    batch = await world.desk.export("BATCH1")
    assert batch is not None
    order = read_tree(batch.content).first("CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf")
    assert order is not None
    await world.desk.import_statement(camt_of(("-50.00", "B2", order.words("PmtId/EndToEndId"), "return"), number="S2"))
    await world.settle_all()
    assert (await world.suspense(), await world.provider_balance("bank")) == (0, 0)
    await world.sound()


# --- orders


async def test_cash_outs_are_in_one_file_and_settled_by_the_statement(world: FundingWorld) -> None:
    await world.give(ALICE, eur(5000))
    payments = [await world.cash_out(amount, "bank", key) for amount, key in ((1000, "a"), (1234, "b"))]
    await world.settle_all()
    batch = await world.desk.export("BATCH1")
    assert batch is not None
    assert (batch.orders, batch.total) == (2, eur(2234))
    assert await world.desk.export("BATCH2") is None
    kept = await world.desk.batch("BATCH1")
    assert kept is not None
    assert kept.content == batch.content
    assert b"Alice Mueller" in batch.content
    assert [one.id for one in await world.desk.batches()] == ["BATCH1"]
    assert await world.available(ALICE) == 2766

    wrong = await world.desk.import_statement(camt_of(("-12.35", "B0", payments[1].id, "other amount"), number="S0"))
    assert wrong.matched == 0
    await world.desk.import_statement(
        camt_of(
            ("-10.00", "B1", payments[0].id, "out"), ("-12.34", "B2", payments[1].id, "out"), ("-5.00", "B3", "X", "?")
        )
    )
    await world.settle_all()
    for payment in payments:
        assert (await world.found(payment)).state is PaymentState.PAID
        assert world.told_states(payment.id) == ["sent", "paid"]
    assert await world.balance(ALICE) == 2766
    assert sorted(line.reason for line in await world.desk.unmatched()) == ["amount", "no_reference"]
    await world.sound()


async def test_a_bank_that_books_the_file_as_one(world: FundingWorld) -> None:
    await world.give(ALICE, eur(5000))
    payments = [await world.cash_out(amount, "bank", key) for amount, key in ((1000, "a"), (1234, "b"))]
    await world.settle_all()
    await world.desk.export("BATCH1")
    data = camt_of(("-22.34", "B1", "NOTPROVIDED", "batch")).replace(
        b"<EndToEndId>NOTPROVIDED</EndToEndId>", b"<PmtInfId>BATCH1</PmtInfId>"
    )
    assert (await world.desk.import_statement(data)).matched == 1
    await world.settle_all()
    assert [(await world.found(payment)).state for payment in payments] == [PaymentState.PAID] * 2


async def test_an_order_that_the_bank_rejects_goes_back(world: FundingWorld) -> None:
    await world.give(ALICE, eur(5000))
    payment = await world.cash_out(1000, "bank")
    await world.settle_all()
    await world.desk.export("BATCH1")
    await world.desk.fail(payment.id)
    await world.settle_all()
    assert (await world.found(payment)).state is PaymentState.VOIDED
    assert await world.available(ALICE) == 5000
    assert world.told_states(payment.id) == ["sent", "failed"]
    with pytest.raises(BankRefused):
        await world.desk.fail(payment.id)
    with pytest.raises(BankRefused):
        await world.desk.fail("NOTHING")


async def test_an_order_that_was_never_exported_is_not_settled(world: FundingWorld) -> None:
    await world.give(ALICE, eur(5000))
    payment = await world.cash_out(1000, "bank")
    await world.settle_all()
    await world.desk.import_statement(camt_of(("-10.00", "B1", payment.id, "out")))
    assert [line.reason for line in await world.desk.unmatched()] == ["not_ordered"]
    row = await world.funding.payout(payment.id)
    assert row is not None
    assert (row.state, row.destination["iban"]) == (PayoutState.SENT, PAYER)


async def test_a_person_is_erased(world: FundingWorld) -> None:
    await world.give(ALICE, eur(5000))
    top_up = await begun(world)
    await world.desk.import_statement(camt_of(("50.00", "B1", "", top_up.instructions["reference"])))
    payment = await world.cash_out(1000, "bank")
    await world.settle_all()
    await world.desk.fail(payment.id)
    await world.settle_all()
    await world.database.write(lambda connection: sql.rename_person(connection, ALICE, "~gone"))
    row = await world.funding.payout(payment.id)
    assert row is not None
    assert (row.person, row.destination) == ("~gone", {})
    assert [one["person"] for one in await rows(world.database, funding_top_ups)] == ["~gone"]
    lines = await world.database.read(lambda connection: bank_sql.lines_of(connection, world.sealer, top_up.id))
    assert [line.details for line in lines] == [{}]
