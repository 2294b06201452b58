"""Keys, scopes, rates, signatures, pauses and cursors of the API: what is pure of it."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.api.cursors import Cursors
from bridge.api.problems import Problem
from bridge.domain import keys, scopes, signatures
from bridge.domain.buckets import Buckets
from bridge.domain.hooks import LONGEST_PAUSE_S, pause_s
from bridge.domain.product_names import EXTERNAL_ID, PRODUCT, USER_ID, localpart

SECRETS = st.binary(min_size=keys.ID_BYTES + keys.SECRET_BYTES, max_size=keys.ID_BYTES + keys.SECRET_BYTES)


@given(SECRETS)
def test_a_key_is_known_by_its_form(random: bytes) -> None:
    key = keys.made(random)
    assert keys.parse(key.text) == key
    assert key.text not in repr(key)


@given(SECRETS, st.integers(7, 83), st.sampled_from("abcdefgh234567"))
def test_a_mistyped_key_is_none(random: bytes, place: int, other: str) -> None:
    text = keys.made(random).text
    changed = text[:place] + other + text[place + 1 :]
    assert changed == text or keys.parse(changed) is None


@given(st.text())
def test_anything_else_is_no_key(text: str) -> None:
    assert keys.parse(text) is None


def test_patterns_of_scopes() -> None:
    assert scopes.matching(["*"]) == set(scopes.SCOPES)
    assert scopes.matching(["chats.*"]) == {"chats.read", "chats.write"}
    assert all(scope.endswith(".read") for scope in scopes.matching(["*.read"]))
    assert scopes.matching(["people.sign_in"]) == {"people.sign_in"}
    for wrong in ("", "chats", "chats.fly", "*.fly", "**"):
        with pytest.raises(ValueError):
            scopes.matching([wrong])
    assert scopes.unknown(["chats.read", "chats.fly"]) == ["chats.fly"]


@given(st.lists(st.floats(0, 5), max_size=200), st.integers(1, 20), st.floats(1, 100))
def test_no_window_holds_more_than_a_burst_and_the_rate(pauses: list[float], count: int, per: float) -> None:
    buckets, now, taken = Buckets(count, per), 0.0, []
    for pause in pauses:
        now += pause
        verdict = buckets.take("one", now)
        assert 0 <= verdict.remaining < count and 0 <= verdict.reset <= per + 1e-6
        if verdict.allowed:
            taken.append(now)
        else:
            assert verdict.retry_after > 0
    for moment in taken:
        # Full at once, and refilled evenly while it is used up.
        assert sum(moment <= other < moment + per for other in taken) <= 2 * count + 1


def test_what_is_told_to_wait_may_go_on_then() -> None:
    buckets = Buckets(2, 10)
    assert [buckets.take("a", 0).remaining for _ in range(2)] == [1, 0]
    refused = buckets.take("a", 0)
    assert (refused.allowed, refused.retry_after) == (False, 5)
    assert not buckets.take("a", 4.9).allowed
    assert buckets.take("another", 0).allowed
    assert buckets.take("a", 5).allowed


def test_buckets_are_bounded() -> None:
    buckets = Buckets(1, 60, capacity=3)
    for name in "abcd":
        assert buckets.take(name, 0).allowed
    assert not buckets.take("d", 0).allowed and buckets.take("a", 0).allowed


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=40), st.integers(0, 10**11))
def test_a_signature_is_good_for_its_body_and_time(body: bytes, secret: bytes, moment: int) -> None:
    header = signatures.sign([b"new" + secret, secret], moment, body)
    assert signatures.verify(secret, header, body, moment)
    assert signatures.verify(b"new" + secret, header, body, moment + signatures.WINDOW_S)
    assert not signatures.verify(secret, header, body, moment + signatures.WINDOW_S + 1)
    assert not signatures.verify(secret, header, body + b"x", moment)
    assert not signatures.verify(secret + b"x", header, body, moment)
    later = header.replace(f"t={moment}", f"t={moment + 1}")
    assert not signatures.verify(secret, later, body, moment)


@pytest.mark.parametrize(
    "header", ["", "t=1", "v1=" + "a" * 64, "t=1,v1=abc", "t=x,v1=" + "a" * 64, "t=1,v1=" + "A" * 64]
)
def test_other_headers_are_no_signatures(header: str) -> None:
    assert not signatures.verify(b"secret", header, b"body", 1)


def test_pauses_grow_and_end() -> None:
    pauses = [pause_s(attempt, 0) for attempt in range(1, 40)]
    assert pauses == sorted(pauses) and pauses[0] == 10 and pauses[-1] == LONGEST_PAUSE_S
    assert pause_s(1, 1) == 12


@given(st.lists(st.one_of(st.integers(-(2**53), 2**53), st.text(max_size=40)), max_size=4))
def test_a_cursor_is_good_for_its_own_list(values: list[int | str]) -> None:
    cursors = Cursors("a pickle key for the tests")
    cursor = cursors.make("list a", *values)
    assert re.fullmatch("[A-Za-z0-9_-]+", cursor)
    assert cursors.read("list a", cursor) == values
    for place, given_cursor, by in (
        ("list b", cursor, cursors),
        ("list a", cursor[:-1] + ("A" if cursor[-1] != "A" else "B"), cursors),
        ("list a", cursor, Cursors("another pickle key")),
    ):
        try:
            assert by.read(place, given_cursor) == values  # the last character may hold bits that say nothing
        except Problem as problem:
            assert (problem.status, problem.code) == (400, "bad_cursor")
        else:
            assert place == "list a" and by is cursors


@given(st.text(max_size=60))
def test_an_invented_cursor_is_none(text: str) -> None:
    with pytest.raises(Problem):
        Cursors("a pickle key for the tests").read("list", text)


def test_the_first_page_needs_no_cursor() -> None:
    assert Cursors("a pickle key for the tests").read("list", None) is None


def test_names() -> None:
    for good in ("shop", "s", "shop-2", "a1-b2"):
        assert PRODUCT.fullmatch(good)
    for bad in ("Shop", "1shop", "shop_", "a-b-c", "shop-", "", "ship\n", "ä"):
        assert not PRODUCT.fullmatch(bad)
    assert (
        EXTERNAL_ID.fullmatch("customer:4711") and not EXTERNAL_ID.fullmatch("@a") and not EXTERNAL_ID.fullmatch("a/b")
    )
    assert USER_ID.fullmatch("@a:b.c:8448") and not USER_ID.fullmatch("@a b:c")


def test_localparts_tell_nothing_and_cannot_be_guessed() -> None:
    key = os.urandom(32)
    name = localpart(key, "shop", "ada@example.org")
    assert re.fullmatch("shop_[a-z2-7]{24}", name)
    assert name == localpart(key, "shop", "ada@example.org")
    assert name != localpart(os.urandom(32), "shop", "ada@example.org")
    assert name != localpart(key, "shop", "bob") and name[5:] != localpart(key, "sho", "pada@example.org")[4:]
