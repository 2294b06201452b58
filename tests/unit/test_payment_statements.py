"""Statements: the month somebody means, and the forms that a statement is given in."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.money import Money
from bots.framework.clock import to_ms
from bots.framework.i18n import English, Formats
from bots.payments.receipts import Words
from bots.payments.statements import (
    HEADINGS,
    SHOWN,
    Form,
    Month,
    Statement,
    StatementError,
    StatementLine,
    Wanted,
    harmless,
    read_wanted,
    statement_beancount,
    statement_csv,
    statement_text,
)

NOW = to_ms(datetime(2026, 11, 28, 18, tzinfo=UTC))
BERLIN = ZoneInfo("Europe/Berlin")
MARCH = Month(2026, 3)


class Speaks(English):
    def __init__(self, language: str) -> None:
        self.language = language


def words(language: str = "en", zone: str = "UTC") -> Words:
    return Words(Speaks(language), Formats(language, ZoneInfo(zone)))


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


# --- which month


@pytest.mark.parametrize(
    ("text", "language", "year", "month"),
    [
        ("", "en", 2026, 11),
        ("march", "en", 2026, 3),
        ("March", "de", 2026, 3),
        ("MARCH 2025", "en", 2025, 3),
        ("2025 march", "en", 2025, 3),
        ("march, 2025", "en", 2025, 3),
        ("december", "en", 2025, 12),
        ("november", "en", 2026, 11),
        ("mar", "en", 2026, 3),
        ("sept", "en", 2026, 9),
        ("may", "en", 2026, 5),
        ("2026-03", "en", 2026, 3),
        ("2026/3", "en", 2026, 3),
        ("3.2026", "de", 2026, 3),
        ("03/2026", "fr", 2026, 3),
        ("3", "en", 2026, 3),
        ("12", "en", 2025, 12),
        ("März", "de", 2026, 3),
        ("marz", "de", 2026, 3),
        ("Dez.", "de", 2025, 12),
        ("février 2026", "fr", 2026, 2),
        ("marzec", "pl", 2026, 3),
        ("marca 2026", "pl", 2026, 3),
        ("марта", "ru", 2026, 3),
        ("مارس", "ar", 2026, 3),
        ("٢٠٢٦-٠٣", "ar", 2026, 3),
        ("3月", "ja", 2026, 3),
    ],
)
def test_a_month_however_it_is_written(text: str, language: str, year: int, month: int) -> None:
    assert read_wanted(text, words(language), NOW) == Wanted(Month(year, month))


@pytest.mark.parametrize(
    ("text", "form"),
    [("march csv", Form.CSV), ("CSV march", Form.CSV), ("march beancount", Form.BEANCOUNT), ("march text", Form.TEXT)],
)
def test_the_form_stands_before_or_behind(text: str, form: Form) -> None:
    assert read_wanted(text, words(), NOW) == Wanted(MARCH, form)
    assert read_wanted("csv", words(), NOW) == Wanted(Month(2026, 11), Form.CSV)


@pytest.mark.parametrize(
    "text", ["lunch", "2026", "13", "0", "2026-13", "ma", "ju", "march april", "march 26", "1999-01"]
)
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(StatementError) as caught:
        read_wanted(text, words(), NOW)
    assert caught.value.human == f"“{text}” is not a month. Write for example “November” or “2026-11”."
    assert text not in repr(caught.value.fields)


@pytest.mark.parametrize("text", ["december 2026", "2027-01", "12/2026"])
def test_a_month_to_come(text: str) -> None:
    with pytest.raises(StatementError, match="has not begun yet"):
        read_wanted(text, words(), NOW)


def test_the_month_is_the_one_where_the_person_is() -> None:
    new_year = to_ms(datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    assert read_wanted("", words(), new_year).month == Month(2026, 12)
    assert read_wanted("", words(zone="Europe/Berlin"), new_year).month == Month(2027, 1)
    assert read_wanted("january 2027", words(zone="Europe/Berlin"), new_year).month == Month(2027, 1)
    assert Month(2026, 12).following.begins(BERLIN) == to_ms(datetime(2026, 12, 31, 23, tzinfo=UTC))


@given(st.text(max_size=30))
def test_anything_is_a_month_or_none(text: str) -> None:
    with contextlib.suppress(StatementError):
        assert read_wanted(text, words(), NOW).month.first <= datetime(2026, 11, 28, tzinfo=UTC).date()


# --- forms


def line(day: int, minor: int, balance: int, description: str = "", who: str = "@bob:example.org") -> StatementLine:
    at = to_ms(datetime(2026, 3, day, 23, 30, tzinfo=UTC))
    return StatementLine(at, "payment", who, description, eur(minor), eur(balance), f"01P{day}", f"01P{day}:1")


STATEMENT = Statement(
    "@alice:example.org",
    MARCH,
    eur(1000),
    eur(5500),
    (line(3, -500, 500, "lunch"), line(4, 5000, 5500, "rent,\n“March”", "bot:shop")),
)


def test_a_statement_adds_up() -> None:
    with pytest.raises(ValueError, match="add up"):
        Statement("@a:x", MARCH, eur(0), eur(1), (line(3, 2, 2),))
    with pytest.raises(ValueError, match="add up"):
        Statement("@a:x", MARCH, eur(0), eur(4), (line(3, 2, 2), line(4, 1, 4)))


def test_for_the_chat() -> None:
    assert statement_text(STATEMENT, words()).splitlines() == [
        "Statement of March 2026 in EUR",
        "Balance before: €10.00",
        "• Mar 3: -€5.00 · Payment between people · @bob:example.org · lunch",
        "• Mar 4: €50.00 · Payment between people · bot:shop · rent, “March”",
        "In: €50.00",
        "Out: €5.00",
        "Balance after: €55.00",
    ]


def test_a_long_one_shows_the_last_and_an_empty_one_says_so() -> None:
    many = tuple(line(3, 1, number + 1) for number in range(SHOWN + 7))
    text = statement_text(Statement("@a:x", MARCH, eur(0), eur(SHOWN + 7), many), words())
    assert text.count("•") == SHOWN and "7 more are in the file" in text
    assert "Nothing moved in March 2026." in statement_text(Statement("@a:x", MARCH, eur(5), eur(5), ()), words())


def test_as_csv() -> None:
    file = statement_csv([STATEMENT], BERLIN)
    assert file.startswith(b"\xef\xbb\xbf") and file.count(b"\r\n") == 3
    rows = list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))
    assert rows[0] == list(HEADINGS)
    assert rows[1] == [
        "2026-03-04T00:30:00.000+01:00",
        "payment",
        "'@bob:example.org",
        "lunch",
        "-5.00",
        "EUR",
        "5.00",
        "01P3",
        "01P3:1",
    ]
    assert rows[2][3] == "rent,\n“March”"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'=1"),
        ("  =1", "'  =1"),
        ("＝1+1", "'＝1+1"),
        ("\x00=1", "'=1"),
        ("lunch = good", "lunch = good"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(text: str, cell: str) -> None:
    assert harmless(text) == cell


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_comes_back_from_csv_as_one_cell(description: str, who: str) -> None:
    made = Statement("@a:x", MARCH, eur(0), eur(1), (line(3, 1, 1, description, who),))
    rows = list(csv.reader(io.StringIO(statement_csv([made], UTC).decode("utf-8-sig"), newline="")))
    assert len(rows) == 2 and len(rows[1]) == len(HEADINGS)
    for cell in rows[1][1:4]:
        assert not cell or cell.lstrip(" \n\u00a0")[:1] not in tuple("=+-@")


def test_for_beancount() -> None:
    text = statement_beancount([STATEMENT], BERLIN, NOW).decode()
    bob = re.findall(r"Expenses:Wallet:EUR:Xbob-example-org-[0-9a-f]{6}", text)
    assert len(bob) == 2
    assert f"2026-02-28 open {bob[0]} EUR" in text
    assert "2026-02-28 pad Assets:Wallet:EUR Equity:Opening-Balances:EUR" in text
    assert "2026-03-01 balance Assets:Wallet:EUR 10.00 EUR" in text
    assert '2026-03-04 * "@bob:example.org" "lunch"' in text
    assert "  Assets:Wallet:EUR  -5.00 EUR" in text
    assert f"  {bob[0]}  5.00 EUR" in text
    assert text.rstrip().endswith("2026-04-01 balance Assets:Wallet:EUR 55.00 EUR")


def test_beancount_of_a_month_that_is_not_over_ends_with_today() -> None:
    at = to_ms(datetime(2026, 3, 10, 12, tzinfo=UTC))
    assert "2026-03-11 balance Assets:Wallet:EUR 55.00 EUR" in statement_beancount([STATEMENT], UTC, at).decode()


@given(st.text(max_size=60))
def test_any_text_stays_on_its_line_in_beancount(text: str) -> None:
    made = Statement("@a:x", MARCH, eur(0), eur(1), (line(3, 1, 1, text, text),))
    found = statement_beancount([made], UTC, NOW).decode().split("\n")
    plain = statement_beancount([Statement("@a:x", MARCH, eur(0), eur(1), (line(3, 1, 1),))], UTC, NOW)
    assert len(found) == len(plain.decode().split("\n"))
