"""Durations, deadlines, and what is read out of contents: pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.retention import DAY_MS, LATEST_MS, SOONEST_MS, Policy, expired, next_look, shortest, valid_days
from bridge.domain.timers import (
    LONGEST,
    MEDIA,
    MOST_MEDIA,
    SHORTEST,
    TIMER,
    BadDuration,
    Deadline,
    Start,
    Timer,
    deadline,
    in_words,
    media_of,
    message_timer,
    moment_sent,
    parse_duration,
    split_mxc,
    state_content,
)

timers = st.builds(Timer, st.integers(SHORTEST, LONGEST), st.sampled_from(Start))


# --- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1 day", 86_400),
        ("a day", 86_400),
        ("5s", 5),
        ("5 Seconds", 5),
        ("90 s", 90),
        ("1h30m", 5_400),
        ("1 h 30 min", 5_400),
        ("  2   weeks and 3 days ", 2 * 604_800 + 3 * 86_400),
        ("1 week, 1 day", 8 * 86_400),
        ("a month", 30 * 86_400),
        ("1 year", LONGEST),
        ("٣٠ s", 30),
        ("off", None),
        ("NEVER", None),
        ("0", None),
    ],
)
def test_durations_are_read(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "90",
        "day",
        "1 fortnight",
        "1 day ago",
        "-5 s",
        "5.5 s",
        "1e3 s",
        "² s",
        "1 day 'or 1=1",
        "d" * 5_000,
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadDuration) as caught:
        parse_duration(text)
    assert caught.value.code == "duration_unclear"


@pytest.mark.parametrize("text", ["4 s", "366 days", "2 years", "999999999 y", "1 year 1 second"])
def test_durations_have_bounds(text: str) -> None:
    with pytest.raises(BadDuration) as caught:
        parse_duration(text)
    assert caught.value.code == "timer_range"


@given(st.integers(SHORTEST, LONGEST))
def test_words_are_read_back(seconds: int) -> None:
    assert parse_duration(in_words(seconds)) == seconds


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_duration(text)
    except BadDuration:
        return
    assert found is None or SHORTEST <= found <= LONGEST


def test_words() -> None:
    assert in_words(86_400) == "1 day"
    assert in_words(5_400) == "1 hour 30 minutes"
    assert in_words(14 * 86_400) == "2 weeks"
    assert in_words(10 * 86_400) == "10 days"
    assert in_words(LONGEST) == "365 days"


# --- timers


@pytest.mark.parametrize("seconds", [SHORTEST - 1, LONGEST + 1, 0, -1, True])
def test_a_timer_has_bounds(seconds: int) -> None:
    with pytest.raises(BadDuration):
        Timer(seconds)


@given(timers)
def test_state_is_read_back(timer: Timer) -> None:
    assert Timer.of(state_content(timer, "@alice:world")) == timer


def test_off_is_read_back() -> None:
    assert Timer.of(state_content(None, "@alice:world")) is None


@pytest.mark.parametrize(
    "content",
    [
        None, [], "5", 5, {}, {"seconds": "5"}, {"seconds": 5.0}, {"seconds": True}, {"seconds": 4},
        {"seconds": LONGEST + 1}, {"seconds": 2**70}, {"seconds": 5, "start": "later"}, {"seconds": 5, "start": None},
        {"seconds": 5, "start": ["sent"]}, {"seconds": 5, "start": {}},
    ],
)  # fmt: skip
def test_nonsense_is_no_timer(content: object) -> None:
    assert Timer.of(content) is None


def test_a_message_starts_as_its_chat_does() -> None:
    chat = Timer(60, Start.READ)
    assert message_timer({TIMER: {"seconds": 5}}, chat) == Timer(5, Start.READ)
    assert message_timer({TIMER: {"seconds": 5, "start": "sent"}}, chat) == Timer(5, Start.SENT)
    assert message_timer({TIMER: {"seconds": 5}}, None) == Timer(5, Start.SENT)
    assert message_timer({"body": "x"}, chat) is None
    assert message_timer({TIMER: {"seconds": 1}}, chat) is None


@given(st.integers(0, 2**40), st.lists(st.one_of(st.none(), timers), max_size=4))
def test_no_timer_makes_a_message_stay_longer_than_another(sent_at: int, given_timers: list[Timer | None]) -> None:
    found = deadline(sent_at, *given_timers)
    for timer in filter(None, given_timers):
        if timer.start is Start.SENT:
            assert found.due_at is not None and found.due_at <= sent_at + timer.seconds * 1000
        else:
            assert found.read_seconds is not None and found.read_seconds <= timer.seconds
    assert bool(found) == any(given_timers)


def test_deadlines() -> None:
    assert deadline(1_000) == Deadline()
    assert deadline(1_000, Timer(60), Timer(5, Start.READ)) == Deadline(61_000, 5)
    assert deadline(1_000, Timer(60), None, Timer(10)) == Deadline(11_000)


def test_the_future_is_not_believed() -> None:
    assert moment_sent(5, 10) == 5
    assert moment_sent(20, 10) == 10
    assert moment_sent(-3, 10) == 0


# --- files


def test_files_of_a_message() -> None:
    content = {
        "url": "mxc://world/a",
        "info": {"thumbnail_url": "mxc://world/b", "thumbnail_file": {"url": "mxc://world/c"}},
        "file": {"url": "mxc://world/d", "key": {}},
        "m.new_content": {"url": "mxc://world/e", "file": {"url": "mxc://world/a"}},
        MEDIA: ["mxc://world/f", 7, "http://world/g"],
    }
    assert media_of(content) == tuple(f"mxc://world/{name}" for name in "adbcfe")
    assert split_mxc("mxc://world:8448/abc") == ("world:8448", "abc")


@pytest.mark.parametrize(
    "content",
    [
        {}, {"url": 5}, {"url": "https://x/y"}, {"url": "mxc://world/a/b"}, {"url": "mxc://world/../etc"},
        {"url": "mxc:///x"}, {"url": "mxc://world/" + "a" * 300}, {"url": "mxc://wor ld/a"}, {"url": "mxc://world/a\n"},
        {"file": []}, {"info": 3}, {"m.new_content": "x"}, {MEDIA: "mxc://world/a"},
    ],
)  # fmt: skip
def test_what_is_no_file(content: dict[str, Any]) -> None:
    assert media_of(content) == ()


def test_files_are_bounded() -> None:
    assert len(media_of({MEDIA: [f"mxc://world/{number}" for number in range(1_000)]})) == MOST_MEDIA


# --- retention


def test_the_shortest_rule_applies() -> None:
    assert shortest(None, 30, 7, None) == 7
    assert shortest(None, None) is None
    assert Policy(own=90, wider=30).days == 30
    assert Policy(own=7, wider=None).days == 7
    assert Policy().days is None


@pytest.mark.parametrize("days", [0, -1, True, 1.5, "7", None, 36_501, 2**70])
def test_days_have_bounds(days: object) -> None:
    assert not valid_days(days)


def test_all_before_an_old_event_is_old() -> None:
    assert expired([1, 2, 3, 4], 3) == 2
    assert expired([1, 99, 2, 4], 3) == 3
    assert expired([5, 6], 3) == 0
    assert expired([], 3) == 0


@given(st.lists(st.integers(0, 1_000)), st.integers(0, 1_000))
def test_nothing_old_is_left_behind(times: list[int], before: int) -> None:
    count = expired(times, before)
    assert all(at >= before for at in times[count:])
    assert count == 0 or times[count - 1] < before


def test_when_to_look_again() -> None:
    now = 1_000 * DAY_MS
    assert next_look(None, 7, now) == now + LATEST_MS
    assert next_look(now - 7 * DAY_MS + 5 * SOONEST_MS, 7, now) == now + 5 * SOONEST_MS
    assert next_look(now - 30 * DAY_MS, 7, now) == now + SOONEST_MS
    assert next_look(now, 7, now) == now + LATEST_MS
