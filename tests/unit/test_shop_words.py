"""What buyers write, read into places, counts and amounts; a cart before and after a change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.commerce.buying.carts import Edit
from bots.commerce.buying.complaining import photo_of
from bots.commerce.buying.extras import Extras
from bots.commerce.buying.places import read_address
from bots.commerce.buying.words import price_of, read_amount, read_count, short
from bots.domain.carts import Cart, CartError, CartLine
from bots.domain.catalogue import Choice, Modifier, ModifierGroup
from bots.domain.places import Point
from bots.framework import InvalidValue, ParseEnv, Said
from bots.framework.content import GeoPoint, location
from bots.framework.i18n import English
from tests.support.commerce import money


def env(content: dict[str, object] | None = None) -> ParseEnv:
    return ParseEnv(datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC"), "world", "EUR", English(), content or {})


def test_addresses_are_shared_told_or_written() -> None:
    shared = location(GeoPoint(52.5, 13.4), "Bakery")
    assert (place := read_address("", env(shared))).text == "Bakery"
    assert place.point == Point(52.5, 13.4)
    assert read_address("52.5, 13.4", env()).point == Point(52.5, 13.4)
    written = read_address("  Linden\n Street   7 ", env())
    assert (written.text, written.point) == ("Linden Street 7", None)
    for wrong in ("", "12", "1234567", "abc", "99.5, 13.4", "x" * 501):
        with pytest.raises(InvalidValue):
            read_address(wrong, env())


@pytest.mark.parametrize(("text", "count"), [("3", 3), (" 12 x", 12), ("4×", 4), ("٣", 3)])
def test_counts(text: str, count: int) -> None:
    assert read_count(text, 20) == count


@pytest.mark.parametrize("text", ["", "0", "21", "-1", "1.5", "many", "9" * 4_500, "²"])
def test_no_counts(text: str) -> None:
    with pytest.raises(InvalidValue):
        read_count(text, 20)


def test_amounts_are_in_the_currency_of_the_order() -> None:
    assert read_amount("2.50", "EUR", env()) == money("2.50")
    for wrong in ("2.5 USD", "2.123", "much"):
        with pytest.raises(InvalidValue):
            read_amount(wrong, "EUR", env())


@given(st.text(max_size=300), st.integers(2, 120))
def test_a_short_text_is_short(text: str, most: int) -> None:
    assert len(short(text, most)) <= most
    if len(text) <= most:
        assert short(text, most) == text


def test_prices() -> None:
    class Plain(English):
        def t(self, text: str, /, **values: object) -> str:
            return super().t(text, **values)

    assert price_of(Plain(), [money("2.00"), money("1.00")]) == "from 1.00 EUR"
    assert price_of(Plain(), [money("1.00"), money("1.00")]) == "1.00 EUR"


def test_what_is_left_of_a_group_of_extras() -> None:
    options = (Modifier("a", "A", money("1")), Modifier("b", "B", money("0"), available=False))
    extras = Extras.of(ModifierGroup("g", "G", options, 1, 2))
    assert (extras.keys, extras.most, extras.impossible) == (["a"], 1, False)
    assert Extras.of(ModifierGroup("g", "G", options[1:], 1, 1)).impossible


def test_edits_of_a_cart() -> None:
    cart = Cart((CartLine("m", "a", "v", 1, person="p"), CartLine("m", "b", "v", 2, shown=money("1"), person="q")), 7)
    assert [line.product for line in Edit("quantity", 1).of(cart).lines] == ["b"]
    assert Edit("quantity", 2, 5).of(cart).lines[1].quantity == 5
    assert Edit("note", 2, words="red").of(cart).lines[1].note == "red"
    changed = Edit("extras", 2, choices=(Choice("g", "x"),)).of(cart)
    assert (changed.lines[1].choices, changed.lines[1].shown) == ((Choice("g", "x"),), None)
    assert not Edit("empty").of(cart).lines
    assert [line.person for line in Edit("empty", person="p").of(cart).lines] == ["q"]
    for edit in (Edit("quantity", 1), Edit("quantity", 2, 5), Edit("note", 2, words="red"), Edit("empty")):
        assert edit.of(cart).version == 8
    for wrong in (Edit("quantity", 3), Edit("quantity", 1, 1_000), Edit("note", 1, words="x" * 301)):
        with pytest.raises(CartError):
            wrong.of(cart)


def test_photos() -> None:
    encrypted = {"msgtype": "m.image", "file": {"url": "mxc://world/x", "key": {"k": "s"}}}
    assert photo_of(Said("", encrypted, "$1", "@a:world")) == '{"url":"mxc://world/x","key":{"k":"s"}}'
    for wrong in (
        {"msgtype": "m.file", "url": "mxc://world/x"},
        {"msgtype": "m.image", "url": 7},
        {"msgtype": "m.image", "file": {"url": "x" * 5_000}},
    ):
        assert not photo_of(Said("", wrong, "$1", "@a:world"))
