"""Words as search sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.words import LONGEST_WORD, MOST_TEXT, MOST_WORDS, excerpt, located, wanted, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("hello HELLO Hello", ["hello"]),
        ("Crème brûlée", ["creme", "brulee"]),
        ("Cre\u0300me", ["creme"]),  # the accent apart
        ("STRASSE Straße", ["strasse"]),
        ("ﬁne ②", ["fine", "2"]),
        ("don't", ["don", "t"]),
        ("a_b-c", ["a", "b", "c"]),
        ("İstanbul", ["istanbul"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("order #1234 12.50 EUR", ["order", "1234", "12", "50", "eur"]),
        ("", []),
        ("🚩 !!! \n\t", []),
        ("你好吗", ["你", "好", "吗", "你好", "好吗"]),
        ("a你b", ["a", "你", "b"]),
    ],
)
def test_words_of_a_text(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("CREME", "crème"),
        ("你好", "说你好吗"),
        ("好", "你好吗"),
        ("สวัสดี", "บอกสวัสดีครับ"),
        ("カメラ", "新しいカメラ"),
        ("b2b", "our B2B shop"),
    ],
)
def test_what_is_looked_for_is_found(question: str, text: str) -> None:
    assert set(wanted(question, 12)) <= set(words(text))


def test_a_run_without_blanks_is_looked_for_by_its_pairs() -> None:
    assert wanted("你好吗", 12) == ["你好", "好吗"]
    assert not set(wanted("你吗", 12)) <= set(words("你好吗"))


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_text_is_found_by_itself_and_by_its_parts(left: str, right: str) -> None:
    whole = words(f"{left} {right}")
    assert set(wanted(left, MOST_WORDS)) <= set(whole)
    assert set(wanted(right, MOST_WORDS)) <= set(whole)


@given(st.text(max_size=200))
def test_words_are_plain_and_stay_what_they_are(text: str) -> None:
    for word in words(text):
        assert word
        assert word.isprintable()
        assert word == word.casefold() or not word.isascii()
        assert " " not in word
    assert words(text.upper()) is not None


@given(st.text(max_size=300))
def test_places_are_in_the_text(text: str) -> None:
    for word in located(text):
        assert 0 <= word.start < word.end <= len(text)


def test_bounds() -> None:
    assert words("x" * 10_000) == ["x" * LONGEST_WORD]
    assert len(words(" ".join(f"w{number}" for number in range(10_000)))) == MOST_WORDS
    assert words(" " * MOST_TEXT + "late") == []


def test_an_excerpt_shows_what_was_looked_for() -> None:
    text = "word " * 100 + "the needle " + "tail " * 100
    shown, marks = excerpt(text, frozenset({"needle"}), 80)
    assert len(shown) <= 82
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert [shown[start:end] for start, end in marks] == ["needle"]


def test_an_excerpt_of_a_short_text_is_all_of_it() -> None:
    assert excerpt("Crème brûlée", frozenset({"brulee"})) == ("Crème brûlée", [(6, 12)])
    assert excerpt("nothing", frozenset()) == ("nothing", [])


def test_marks_that_touch_are_one() -> None:
    assert excerpt("你好吗", frozenset({"你好", "好吗"})) == ("你好吗", [(0, 3)])


@given(st.text(max_size=600), st.integers(10, 100))
def test_marks_lie_in_the_excerpt(text: str, most: int) -> None:
    shown, marks = excerpt(text, frozenset(words(text)[:3]), most)
    assert len(shown) <= most + 2
    last = 0
    for start, end in marks:
        assert last <= start < end <= len(shown)
        last = end
