"""camt.053 and MT940: whole files are read, anything else is an error with its line."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.domain import camt053, mt940
from bots.domain.money import Money
from bots.domain.statements import Entry, StatementError, entry_ids, same_account
from bots.payments.providers.bank_desk import read_statements
from bots.payments.providers.xml import read_tree
from tests.support.bank_samples import IBAN, PAYER, camt_02, camt_08, camt_of, mt940_dutch, mt940_german


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def test_camt_of_version_2() -> None:
    form, (statement,) = read_statements(camt_02())
    assert form == "camt.053"
    assert (statement.account, statement.number) == (IBAN, "2026-11-27-1")
    assert (statement.opening, statement.closing) == (eur(100_000), eur(106_050))
    first, reversal, part, other = statement.entries
    assert (first.amount, first.booked_on, first.bank_reference) == (eur(5000), date(2026, 11, 27), "2026112700001")
    assert (first.name, first.iban, first.end_to_end) == ("Erika Müller", PAYER, "")
    assert first.text == "Aufladung RF18539007547034"
    assert (reversal.amount, reversal.reversal) == (eur(-2000), True)
    assert (part.amount, part.end_to_end, part.reference) == (eur(1000), "A-1", "RF18539007547034")
    assert (other.amount, other.end_to_end) == (eur(2050), "A-2")


def test_camt_of_version_8() -> None:
    _, (statement,) = read_statements(camt_08())
    (entry,) = statement.entries
    assert statement.opening == eur(-500)
    assert (entry.name, entry.iban, entry.text) == ("J. Doe", PAYER, "part one part two")
    assert (entry.end_to_end, entry.booked_on, entry.line) == ("TU-77", date(2026, 11, 28), 16)


def test_parts_that_do_not_add_up_are_one_entry_without_a_reference() -> None:
    data = camt_02().replace(b"20.50</Amt></TxAmt>", b"20.49</Amt></TxAmt>")
    _, (statement,) = read_statements(data)
    whole = statement.entries[-1]
    assert (whole.amount, whole.end_to_end, whole.reference, whole.text) == (eur(3050), "", "", "")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (b"1060.50", b"1060.51", 5, "the balances do not fit"),
        (b"<Sts>PDNG</Sts>", b"", 47, "whether it is booked"),
        (b"CLBD", b"CLAV", 5, "no closing balance"),
        (b"PRCD", b"XXXX", 5, "no opening balance"),
        (b'<Amt Ccy="EUR">50.00', b'<Amt Ccy="EUR">50.001', 15, "more decimals"),
        (b'<Amt Ccy="EUR">50.00', b'<Amt Ccy="XXY">50.00', 15, "currency is not known"),
        (b'<Amt Ccy="EUR">50.00', b'<Amt Ccy="USD">50.00', 5, "another currency"),
        (b'<Amt Ccy="EUR">50.00', b'<Amt Ccy="EUR">-50.00', 15, "an amount is none"),
        (b'<Amt Ccy="EUR">50.00', b'<Amt Ccy="EUR">1e2', 15, "an amount is none"),
        (b"<BookgDt><Dt>2026-11-27", b"<BookgDt><Dt>2026-13-27", 16, "a date is none"),
        (b"<RvslInd>true", b"<RvslInd>perhaps", 28, "reversal"),
        (b"<IBAN>DE89370400440532013000</IBAN></Id><Ccy>", b"</Id><Ccy>", 5, "names no account"),
        (b"BkToCstmrStmt>", b"BkToCstmrAcctRpt>", 2, "no camt.053"),
    ],
)
def test_camt_that_is_wrong(old: bytes, new: bytes, line: int, words: str) -> None:
    data = camt_02()
    assert old in data
    with pytest.raises(StatementError) as caught:
        read_statements(data.replace(old, new))
    assert caught.value.line == line
    assert words in caught.value.reason


@pytest.mark.parametrize(
    "data",
    [
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "y">]><Document>&x;</Document>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Document/>',
        b"<Document/>",
        b"<a>" * 500,
        b"<" + b"a" * 20,
        b'<?xml version="1.0" encoding="nonsense"?><Document/>',
        b"",
    ],
)
def test_files_that_are_none(data: bytes) -> None:
    with pytest.raises(StatementError) as caught:
        read_statements(data)
    assert caught.value.line >= 1


def test_a_german_mt940() -> None:
    form, (statement,) = read_statements(mt940_german())
    assert form == "mt940"
    assert (statement.account, statement.number) == ("37040044/0532013000", "00227/001")
    assert same_account(statement.account, IBAN)
    first, out, taken_back, given_back = statement.entries
    assert (first.amount, first.bank_reference, first.end_to_end) == (eur(5000), "2026112700001", "")
    assert (first.iban, first.name) == (PAYER, "ERIKA MUELLER")
    assert first.text == "Aufladung RF18539007547034"
    assert (out.amount, out.end_to_end, out.name) == (eur(-1234), "01JDPAYOUT", "BOB")
    assert (taken_back.amount, taken_back.reversal, taken_back.text) == (eur(-500), True, "/BACK/")
    assert (given_back.amount, given_back.reversal) == (eur(200), True)


def test_a_dutch_mt940() -> None:
    first, second = mt940.read(mt940_dutch().decode())
    (entry,) = first.entries
    assert (first.opening, first.closing, second.entries) == (eur(-10_000), eur(-9999), ())
    assert (entry.text, entry.name, entry.iban, entry.end_to_end) == ("RF18539007547034", "J. DOE", PAYER, "TU-77")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (":62F:C261127EUR1034,66", ":62F:C261127EUR1034,67", 15, "the balances do not fit"),
        (":62F:", ":63F:", 15, "no field 63F"),
        (":60F:C261126", ":60F:X261126", 5, "no balance"),
        (":60F:C261126EUR", ":60F:C261126EUX", 5, "no balance"),
        (":61:2611271127CR50,00", ":61:2611271127CR50.00", 6, "no entry"),
        (":61:2611271127CR50,00", ":61:2611271127CR50,001", 6, "more decimals"),
        (":61:2611271127CR50,00", ":61:2613271127CR50,00", 6, "a date is none"),
        (":25:37040044/0532013000\n", "", 2, "names no account"),
        (":60F:C261126EUR1000,00\n", "", 5, "before the opening"),
        (":28C:00227/001", "28C:00227/001", 15, ""),
    ],
)
def test_mt940_that_is_wrong(old: str, new: str, line: int, words: str) -> None:
    text = mt940_german().decode("latin-1")
    assert old in text
    changed = text.replace(old, new, 1)
    if not words:  # a line without a tag belongs to the field before it
        assert mt940.read(changed)[0].number == ""
        return
    with pytest.raises(StatementError) as caught:
        mt940.read(changed)
    assert (caught.value.line, words in caught.value.reason) == (line, True), caught.value


def test_statements_of_a_file_follow_each_other() -> None:
    text = (
        mt940_dutch()
        .decode()
        .replace(":60F:D261128EUR99,99\n:62F:D261128EUR99,99", ":60F:D261128EUR1,\n:62F:D261128EUR1,")
    )
    with pytest.raises(StatementError, match="the statement before closed with"):
        mt940.read(text)


@pytest.mark.parametrize("sample", [camt_02(), camt_08(), mt940_german(), mt940_dutch()])
def test_no_truncated_file_is_read(sample: bytes) -> None:
    whole = read_statements(sample)
    end = len(sample.rstrip())
    for cut in range(end):
        try:
            found = read_statements(sample[:cut])
        except StatementError as error:
            assert 1 <= error.line <= sample.count(b"\n") + 2
            continue
        # Whole statements may be cut off a file of several, or what follows the closing balance.
        assert whole[1][: len(found[1])] == found[1]
        assert found[1]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_files_are_clean_errors(data: st.DataObject) -> None:
    sample = bytearray(data.draw(st.sampled_from([camt_02(), camt_08(), mt940_german(), mt940_dutch()])))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(sample) - 1))
        sample[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        read_statements(bytes(sample))
    except StatementError as error:
        assert error.line >= 1
        assert error.reason


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_a_clean_error(data: bytes) -> None:
    with pytest.raises(StatementError):
        read_statements(data)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.from_regex(r":(20|25|28C|60F|61|86|62F|64):[A-Z0-9,/+?]{0,20}", fullmatch=True), max_size=12))
def test_fields_in_any_order_are_a_clean_error(lines: list[str]) -> None:
    with pytest.raises(StatementError):
        mt940.read("\n".join(lines))


amounts = st.integers(-10_000_000, 10_000_000).filter(bool)


@settings(max_examples=60, deadline=None)
@given(st.lists(amounts, max_size=8), st.integers(0, 1_000_000))
def test_what_a_bank_writes_is_read(minors: list[int], opening: int) -> None:
    rows = [(str(eur(minor).amount), f"B{number}", f"E{number}", "hello") for number, minor in enumerate(minors)]
    _, (statement,) = read_statements(camt_of(*rows, opening=str(eur(opening).amount)))
    assert [entry.amount.minor for entry in statement.entries] == minors
    assert statement.closing.minor == opening + sum(minors)


def entry(**fields: object) -> Entry:
    return Entry(1, date(2026, 11, 28), eur(500), **fields)  # type: ignore[arg-type]


def test_ids_of_entries() -> None:
    alike = entry(text="for lunch", name="Bob")
    ids = entry_ids(IBAN, [alike, alike, entry(bank_reference="B1"), entry(bank_reference="B2")])
    assert len({one for one, _ in ids}) == 4
    assert [certain for _, certain in ids] == [False, False, True, True]
    # The same entries in another file, and with other spaces, are the same.
    assert entry_ids(IBAN, [entry(text="for  lunch", name="BOB")])[0] == ids[0]
    assert (
        entry_ids(
            IBAN,
            [alike],
        )[0]
        == ids[0]
    )


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("DE89370400440532013000", True),
        ("DE89 3704 0044 0532 0130 00EUR", True),
        ("37040044/0532013000", True),
        ("37040044/532013000", True),
        ("0532013000", True),
        ("37040045/0532013000", False),
        ("37040044/0532013001", False),
        ("3000", False),
        ("", False),
        ("DE89370400440532013001", False),
    ],
)
def test_accounts_as_banks_write_them(written: str, same: bool) -> None:
    assert same_account(written, IBAN) is same


def test_a_line_of_an_xml_element() -> None:
    root = read_tree(b"<Document>\n\n <a>\n  <b>x</b></a></Document>")
    node = root.first("a/b")
    assert node is not None
    assert (node.line, node.text) == (4, "x")
    with pytest.raises(StatementError):
        camt053.read(root)
