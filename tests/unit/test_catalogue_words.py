"""How products are found by words: folding, spellings, distances, and what comes first."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.commerce.importing.values import key_of
from bots.domain.catalogue import KEY, Product, Variant
from bots.domain.money import Money
from bots.domain.searching import (
    Found,
    closeness,
    distance,
    indexed,
    score,
    spellings,
    terms,
    typos,
    wanted,
)

LETTERS = st.text(string.ascii_lowercase + "éüабвгعغم", min_size=4, max_size=14).filter(str.isalpha)


def product(name: str, description: str = "", **changes: object) -> Product:
    return Product("p", name, (Variant("one", "One", Money(1, "EUR")),), description=description, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Müller's CAFÉ", [("muller", "mueller"), ("s",), ("cafe",)]),
        ("Straße", [("strasse",)]),
        ("İstanbul ılık", [("istanbul",), ("ilik",)]),
        ("الفلافل", [("الفلافل", "فلافل")]),
        ("كنافة", [("كنافه",)]),
        ("مُـحَـمَّـرة", [("محمره",)]),
        ("牛肉面", [("牛肉",), ("肉面",)]),
        ("面", [("面",)]),
        ("!!!", []),
        ("red red RED", [("red",)]),
        ("a b c d e f g h i j", [(letter,) for letter in "abcdefgh"]),
    ],
)
def test_words_that_are_looked_for(text: str, expected: list[tuple[str, ...]]) -> None:
    assert wanted(text) == expected


def test_words_of_a_product() -> None:
    made = product("Tomatensuppe scharf", "Mit Brot und scharf", categories=("x",))
    found = indexed(made, ["Suppen"])
    assert found == {"tomatensuppe": 2, "scharf": 2, "suppen": 12, "mit": 20, "brot": 20, "und": 20}
    long = indexed(product("x", " ".join(f"word{number}" for number in range(500))))
    assert len(long) <= 200
    assert [each for each, *_ in terms("牛肉面")] == ["牛", "肉", "面", "牛肉", "肉面"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("pizza", "pizza", 0),
        ("piza", "pizza", 1),
        ("pizzza", "pizza", 1),
        ("pazza", "pizza", 1),
        ("pziza", "pizza", 1),
        ("pzizza", "pizza", 1),
        ("peza", "pizza", 2),
        ("sushi", "pizza", 3),
        ("", "pizza", 3),
        ("ca", "abc", 3),
    ],
)
def test_distance(one: str, other: str, expected: int) -> None:
    assert distance(one, other, 2) == expected
    assert distance(other, one, 2) == expected


def mistaken(word: str, place: int, kind: int, letter: str) -> str:
    place %= len(word)
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + letter + word[place:]
    if kind == 2:
        return word[:place] + letter + word[place + 1 :]
    return word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :]


MISTAKE = st.tuples(st.integers(0, 13), st.integers(0, 3), st.sampled_from("abcxyz"))


@settings(max_examples=300, deadline=None)
@given(LETTERS, MISTAKE)
def test_one_wrong_letter_is_found(word: str, mistake: tuple[int, int, str]) -> None:
    wrong = mistaken(word, *mistake)
    if typos(wrong) and distance(wrong, word, 1) <= 1:
        assert spellings(word) & spellings(wrong, looking=True), (word, wrong)
        assert closeness(wrong, word) > 0


@settings(max_examples=300, deadline=None)
@given(LETTERS.filter(lambda word: len(word) >= 8), MISTAKE, MISTAKE)
def test_two_wrong_letters_of_a_long_word_are_found(
    word: str, one: tuple[int, int, str], two: tuple[int, int, str]
) -> None:
    wrong = mistaken(mistaken(word, *one), *two)
    if typos(wrong) == 2 and distance(wrong, word, 2) <= 2:
        assert spellings(word) & spellings(wrong, looking=True), (word, wrong)
        assert closeness(wrong, word) > 0


def test_what_is_not_spelt_is_not_misspelt() -> None:
    for word in ("ab", "牛肉", "2024", "a1b2c3"):
        assert spellings(word) == set()
        assert closeness(word, word + "x") == 0
    assert closeness("choc", "chocolate") == 0.5
    assert closeness("cho", "chocolate") == 0
    assert len(spellings("w" * 40)) < 60


def test_what_comes_first() -> None:
    def points(made: Product, text: str, language: str = "", **more: object) -> float:
        found = Found(made.name, made.language, indexed(made), **more)  # type: ignore[arg-type]
        return score(found, [dict.fromkeys(forms, 1.0) for forms in wanted(text)], language)

    short, long = product("Pizza"), product("Pizza with everything on it")
    told = product("Bread", "Like a pizza")
    assert points(short, "pizza") > points(long, "pizza") > points(told, "pizza") > 0
    assert points(product("Red shirt"), "red shirt") > points(product("Red trousers"), "red shirt") > 0
    assert points(product("Bread"), "pizza") == 0
    german = product("Pizza", language="de-AT")
    assert points(german, "pizza", "de") > points(german, "pizza", "en")
    assert points(german, "pizza", "de") == points(short, "pizza", "de")
    loved = points(short, "pizza", stars=5.0, ratings=100)
    assert loved > points(short, "pizza", stars=5.0, ratings=1) > points(short, "pizza")
    assert points(short, "pizza", stars=1.0, ratings=100) < points(short, "pizza")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_words_and_a_key(text: str) -> None:
    for forms in wanted(text):
        assert forms and all(forms)
    assert KEY.fullmatch(key_of(text))
    assert key_of(text) == key_of(text)
    assert KEY.fullmatch(key_of(text, [key_of(text)])) and key_of(text, [key_of(text)]) != key_of(text)
