"""Events: what is one, what is none, and that nothing a homeserver says makes the parser crash."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.events import MAX_ID, Event, MalformedTransaction, Transaction, defect, shard_of

GOOD: dict[str, Any] = {
    "event_id": "$a",
    "room_id": "!r:localhost",
    "sender": "@alice:localhost",
    "type": "m.room.message",
    "content": {"body": "x"},
    "origin_server_ts": 12,
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [*GOOD, "state_key", "unsigned", "redacts", "membership", "prev_content", "m.relates_to", "events", "ephemeral"]
)
NEAR = st.fixed_dictionaries({}, optional={key: JSON | st.just(value) for key, value in GOOD.items()}).flatmap(
    lambda event: st.dictionaries(KEYS, JSON, max_size=4).map(lambda more: {**event, **more})
)


def test_a_good_event_has_no_defect_and_is_read() -> None:
    assert defect(GOOD) is None
    event = Event.parse(GOOD)
    assert (event.event_id, event.room_id, event.sender, event.type) == (
        "$a",
        "!r:localhost",
        GOOD["sender"],
        GOOD["type"],
    )
    assert (event.content, event.timestamp, event.state_key, event.encrypted) == ({"body": "x"}, 12, None, False)


@pytest.mark.parametrize("key", ["event_id", "room_id", "sender", "type"])
@pytest.mark.parametrize("value", [None, "", 3, [], {}, "x" * (MAX_ID + 1), "a\0b", "a\nb", "\ud800", "a\x7f"])
def test_an_id_that_is_none_is_a_defect(key: str, value: object) -> None:
    words = defect({**GOOD, key: value})
    assert words is not None
    assert words.startswith(key)


@pytest.mark.parametrize("key", ["event_id", "room_id", "sender", "type"])
def test_a_missing_id_is_a_defect_and_the_longest_is_none(key: str) -> None:
    assert defect({name: value for name, value in GOOD.items() if name != key}) is not None
    assert defect({**GOOD, key: "ü" * MAX_ID}) is None


@pytest.mark.parametrize("raw", [None, 1, "x", [], [GOOD]])
def test_what_is_no_object_is_a_defect(raw: object) -> None:
    assert "object" in (defect(raw) or "")


@pytest.mark.parametrize("change", [{"content": None}, {"content": []}, {"state_key": 1}, {"state_key": {}}])
def test_content_and_state_key_have_their_types(change: dict[str, Any]) -> None:
    assert defect({**GOOD, **change}) is not None


@pytest.mark.parametrize("state_key", ["", "x", "@bot:localhost"])
def test_a_state_key_may_be_any_text(state_key: str) -> None:
    assert defect({**GOOD, "state_key": state_key}) is None
    assert Event.parse({**GOOD, "state_key": state_key}).state_key == state_key


def test_odd_optional_parts_are_passed_over() -> None:
    event = Event.parse({**GOOD, "origin_server_ts": "later", "unsigned": 4, "redacts": 7})
    assert (event.timestamp, event.unsigned, event.redacts) == (0, {}, None)


def test_redacts_stands_on_top_or_in_the_content() -> None:
    """Room version 11 moved it into the content (MSC2174)."""
    assert Event.parse({**GOOD, "redacts": "$x"}).redacts == "$x"
    assert Event.parse({**GOOD, "content": {"redacts": "$y"}}).redacts == "$y"


@pytest.mark.parametrize(
    ("change", "now", "before"),
    [
        ({"content": {"membership": "join"}}, "join", None),
        ({"content": {"membership": "join"}, "unsigned": {"prev_content": {"membership": "invite"}}}, "join", "invite"),
        ({"content": {"membership": 3}, "unsigned": {"prev_content": []}}, None, None),
        ({"content": {}, "unsigned": {"prev_content": {"membership": {}}}}, None, None),
    ],
)
def test_membership(change: dict[str, Any], now: str | None, before: str | None) -> None:
    event = Event.parse({**GOOD, "type": "m.room.member", **change})
    assert (event.membership, event.previous_membership) == (now, before)
    assert Event.parse({**GOOD, **change}).membership is None


@given(JSON | NEAR)
def test_anything_has_a_defect_or_can_be_read(raw: Any) -> None:
    if defect(raw) is None:
        event = Event.parse(raw)
        assert event.membership is None or isinstance(event.membership, str)
        assert event.previous_membership is None or isinstance(event.previous_membership, str)
        assert event.redacts is None or isinstance(event.redacts, str)


@given(JSON | NEAR | st.fixed_dictionaries({"events": JSON}, optional={"ephemeral": JSON}))
def test_any_body_is_a_transaction_or_malformed(body: Any) -> None:
    try:
        transaction = Transaction.parse("t", body)
    except MalformedTransaction:
        return
    assert isinstance(transaction.events, tuple)
    assert all(isinstance(edu, dict) for edu in transaction.ephemeral)


@pytest.mark.parametrize(
    "body", [None, [], "x", 3, {}, {"events": {}}, {"events": None}, {"events": [], "ephemeral": 1}]
)
def test_a_body_of_another_shape_is_malformed(body: object) -> None:
    with pytest.raises(MalformedTransaction):
        Transaction.parse("t", body)


def test_a_transaction_keeps_every_event_and_the_ephemeral_objects() -> None:
    transaction = Transaction.parse("t", {"events": [GOOD, 7], "ephemeral": [{"a": 1}, 3], "to_device": "ignored"})
    assert transaction.events == (GOOD, 7)
    assert transaction.ephemeral == ({"a": 1},)


def test_ephemeral_events_by_their_unstable_name() -> None:
    """MSC2409; the stable name counts where both are there."""
    old = "de.sorunome.msc2409.ephemeral"
    assert Transaction.parse("t", {"events": [], old: [{"old": 1}]}).ephemeral == ({"old": 1},)
    assert Transaction.parse("t", {"events": [], "ephemeral": [{"new": 1}], old: [{"old": 1}]}).ephemeral == (
        {"new": 1},
    )


def test_the_shard_of_a_room_never_changes() -> None:
    """Fixed figures: another hash would tear the rooms of an installation from their shards."""
    assert [shard_of(f"!r{number}:localhost", 16) for number in range(6)] == [9, 9, 8, 8, 11, 11]
    assert {shard_of(f"!r{number}", 1) for number in range(20)} == {0}
    assert {shard_of(f"!r{number}", 4) for number in range(100)} == {0, 1, 2, 3}
