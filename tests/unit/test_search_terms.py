"""What is searched of a message, and how questions are put to the databases."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.search import (
    LATEST_MS,
    MOST_QUESTION,
    All,
    AnyOf,
    Kind,
    Place,
    Question,
    Said,
    Scope,
    Terms,
    as_fts5,
    as_tsquery,
    first_id,
    lookup,
    said,
    time_of,
)

TERMS = Terms(b"k" * 32)


def text(body: object, **more: Any) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": body, **more}


@pytest.mark.parametrize(
    ("event_type", "content", "found"),
    [
        ("m.room.message", text("hi"), Said("hi", Kind.TEXT)),
        ("m.room.message", {"msgtype": "m.image", "body": "cat.png"}, Said("cat.png", Kind.IMAGE)),
        ("m.room.message", {"msgtype": "m.location", "body": "Rialto"}, Said("Rialto", Kind.LOCATION)),
        ("m.sticker", {"body": "a duck"}, Said("a duck", Kind.STICKER)),
        (
            "org.matrix.msc3381.poll.start",
            {"org.matrix.msc3381.poll.start": {"question": {"org.matrix.msc1767.text": "Tea?"}}},
            Said("Tea?", Kind.POLL),
        ),
        ("m.poll.start", {"m.poll": {"question": {"m.text": [{"body": "Tea?"}]}}}, Said("Tea?", Kind.POLL)),
        (
            "m.room.message",
            text("> <@a:b> old\n> older\n\nnew", **{"m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}}),
            Said("new", Kind.TEXT),
        ),
        ("m.room.message", text("> only quoted"), Said("> only quoted", Kind.TEXT)),
        (
            "m.room.message",
            text(
                "* better",
                **{"m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}, "m.new_content": text("better")},
            ),
            Said("better", Kind.TEXT, "$x"),
        ),
        ("m.room.message", text("a\0b\ud800c"), Said("abc", Kind.TEXT)),
        ("m.room.message", {}, None),  # redacted
        ("m.room.message", text(7), None),
        ("m.room.message", {"msgtype": ["m.text"], "body": "x"}, None),
        ("m.room.message", text("x", **{"m.relates_to": {"rel_type": "m.replace", "event_id": 5}}), None),
        ("m.room.message", {"msgtype": "m.key.verification.request", "body": "x"}, None),
        ("m.poll.start", {"m.poll": {"question": {"m.text": [5]}}}, None),
        ("m.poll.start", {"m.poll": {"question": 5}}, None),
        ("m.reaction", {"m.relates_to": {}}, None),
        ("m.room.encrypted", {"ciphertext": "x"}, None),
    ],
)
def test_what_a_message_says(event_type: str, content: dict[str, Any], found: Said | None) -> None:
    assert said(event_type, content) == found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.sampled_from(["m.room.message", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start"]),
    st.dictionaries(
        st.sampled_from(["msgtype", "body", "m.relates_to", "m.new_content", "m.poll", "m.poll.start"]), json_values
    ),
)
def test_no_content_breaks_it(event_type: str, content: dict[str, Any]) -> None:
    found = said(event_type, content)
    if found is not None:
        found.text.encode()
        assert "\0" not in found.text


def test_a_link_is_a_kind_of_its_own_too() -> None:
    assert Said("see https://example.org now", Kind.TEXT).kinds == {Kind.TEXT, Kind.LINK}
    assert Said("see example.org", Kind.TEXT).kinds == {Kind.TEXT}


# Terms


def test_terms_say_nothing_without_the_key() -> None:
    assert TERMS.word("tea") == Terms(b"k" * 32).word("tea") != Terms(b"l" * 32).word("tea")
    assert re.fullmatch(r"[a-z2-7]{10}", TERMS.word("tea"))
    assert len({TERMS.word("a"), TERMS.chat("a"), TERMS.sender("a"), TERMS.workspace("a")}) == 4


def test_the_words_of_an_encrypted_chat_are_its_own() -> None:
    one = TERMS.of(Said("tea", Kind.TEXT), "@a:b", Place("1", encrypted=True), 0)
    other = TERMS.of(Said("tea", Kind.TEXT), "@a:b", Place("2", encrypted=True), 0)
    plain = TERMS.of(Said("tea", Kind.TEXT), "@a:b", Place("3"), 0)
    assert TERMS.word("tea") in plain
    assert TERMS.word("tea") not in one
    assert one[0] != other[0]


@given(st.text(max_size=200))
def test_terms_mean_nothing_to_a_database(body: str) -> None:
    for term in TERMS.of(Said(body, Kind.TEXT), "@a:b", Place("1"), 0):
        assert re.fullmatch(r"[a-z2-7]{10}", term)


# Questions


def test_a_question_is_made_of_words() -> None:
    assert Question.of("Crème, BRÛLÉE!").words == ("creme", "brulee")
    assert Question.of("").words == ()
    assert Question.of("  ").words == ()


@pytest.mark.parametrize(
    ("question", "options", "code"),
    [
        ("x" * (MOST_QUESTION + 1), {}, "question_too_long"),
        ("!!!", {}, "question_without_words"),
        ("tea", {"since": 5, "until": 4}, "question_ends_before_it_begins"),
    ],
)
def test_a_question_that_makes_no_sense(question: str, options: dict[str, int], code: str) -> None:
    with pytest.raises(ValueError, match=code):
        Question.of(question, **options)  # type: ignore[arg-type]


def test_nowhere_to_look_is_nothing_to_find() -> None:
    assert lookup(TERMS, Question(("tea",)), Scope()) is None


def test_a_question_in_open_and_sealed_chats() -> None:
    question = Question(("tea",), sender="@a:b")
    found = lookup(TERMS, question, Scope(frozenset({"1"}), frozenset({"2"})))
    assert found is not None
    assert found.whole == AnyOf(
        (
            All((TERMS.word("tea"), TERMS.chat("1"), TERMS.sender("@a:b"))),
            All((TERMS.word("tea", "2"), TERMS.chat("2"), TERMS.sender("@a:b"))),
        )
    )
    assert found.loose == AnyOf(
        (
            All((TERMS.word("tea"), TERMS.sender("@a:b"))),
            All((TERMS.word("tea", "2"), TERMS.sender("@a:b"))),
        )
    )
    assert (set(found.chats), found.sender) == ({"1", "2"}, "@a:b")


def test_a_question_without_anything_but_chats() -> None:
    found = lookup(TERMS, Question(), Scope(frozenset({"1", "2"})))
    assert found is not None
    assert found.loose is None
    assert found.whole == AnyOf((TERMS.chat("1"), TERMS.chat("2")))


def test_a_question_in_all_chats_of_a_product() -> None:
    found = lookup(TERMS, Question(("tea",)), Scope(workspace="shop"))
    assert found is not None
    assert found.whole == All((TERMS.word("tea"), TERMS.workspace("shop")))
    assert found.chats == frozenset()


def test_as_databases_read_it() -> None:
    what = All(("aa", AnyOf(("bb", "cc"))))
    assert as_fts5(what) == '("aa" AND ("bb" OR "cc"))'
    assert as_tsquery(what) == "('aa' & ('bb' | 'cc'))"


@given(st.integers(0, LATEST_MS), st.integers(0, LATEST_MS))
def test_ids_are_in_the_order_of_time(one: int, other: int) -> None:
    assert time_of(first_id(one)) == one
    assert (first_id(one) < first_id(other)) == (one < other)
    assert first_id(one) < 2**63


def test_times_that_cannot_be_are_bounded() -> None:
    assert time_of(first_id(-5)) == 0
    assert time_of(first_id(2**70)) == LATEST_MS
