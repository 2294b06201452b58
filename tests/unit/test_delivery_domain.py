"""How far messages come: laws of marks and relations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.delivery import Mark, State, furthest, merged, relation_of

NEWS = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 1_000))


@given(st.lists(NEWS))
def test_a_mark_never_goes_back_and_read_is_delivered(news: list[tuple[int, int, int]]) -> None:
    mark = Mark("@a:b")
    for delivered, read, at in news:
        after = merged(mark, delivered, read, at)
        assert after.delivered >= max(mark.delivered, delivered, after.read)
        assert after.read == max(mark.read, read)
        assert merged(after, delivered, read, at + 1) == after  # told twice is told once
        mark = after


@given(st.permutations([(3, 0, 1), (5, 2, 1), (4, 4, 1)]))
def test_the_order_of_news_does_not_matter(news: list[tuple[int, int, int]]) -> None:
    mark = Mark("@a:b")
    for each in news:
        mark = merged(mark, *each)
    assert (mark.delivered, mark.read) == (5, 4)


def test_what_was_read_was_delivered() -> None:
    with pytest.raises(ValueError, match="delivered"):
        Mark("@a:b", delivered=1, read=2)


@pytest.mark.parametrize(
    ("delivered", "read", "failed", "state"),
    [
        (0, 0, False, State.SENT),
        (1, 0, False, State.DELIVERED),
        (2, 1, False, State.READ),
        (0, 0, True, State.FAILED),
        (1, 0, True, State.DELIVERED),
    ],
)
def test_the_furthest_state_counts(delivered: int, read: int, failed: bool, state: State) -> None:
    assert furthest(delivered=delivered, read=read, failed=failed) is state
    assert state.word == state.name.lower()


@pytest.mark.parametrize(
    ("event_type", "content", "redacts", "found"),
    [
        ("m.room.redaction", {}, "$x", ("redacts", "$x")),
        ("m.room.redaction", {}, None, ("", "")),
        ("m.room.redaction", {}, "$x\0", ("", "")),
        ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$x"}}, None, ("m.annotation", "$x")),
        (
            "m.room.encrypted",
            {"m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}},
            None,
            ("m.replace", "$x"),
        ),
        ("m.room.message", {"m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}}, None, ("", "")),
        ("m.room.message", {"m.relates_to": {"rel_type": ["m.replace"], "event_id": "$x"}}, None, ("", "")),
        ("m.room.message", {"m.relates_to": {"rel_type": "m.replace", "event_id": "$" + "x" * 300}}, None, ("", "")),
        ("m.room.message", {"m.relates_to": {"rel_type": "y" * 65, "event_id": "$x"}}, None, ("", "")),
        ("m.room.message", {"m.relates_to": 5}, None, ("", "")),
    ],
)
def test_relations(event_type: str, content: dict[str, Any], redacts: str | None, found: tuple[str, str]) -> None:
    assert relation_of(event_type, content, redacts) == found
