"""When things happen again, against a clock that is watched minute by minute, and around changes of the clocks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bots.framework.clock import ManualClock, SystemClock, from_ms, to_ms
from bots.framework.recurrence import (
    LATE_MS,
    MAX_MISSED,
    At,
    Cron,
    Every,
    Plan,
    Rule,
    RuleError,
    decode,
    encode,
    following,
    latest,
    local,
    plan,
)

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
# The days in 2026 on which the clocks of the zone change.
CHANGES = {
    BERLIN: (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)),
    NEW_YORK: (datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
    LORD_HOWE: (datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC)),
}
MINUTE = timedelta(minutes=1)


def moment(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


def times(rule: Rule, since: str, count: int) -> list[str]:
    """The next times in UTC, without seconds."""
    found = []
    for due in following(rule, moment(since)):
        found.append(f"{from_ms(due):%m-%d %H:%M}")
        if len(found) == count:
            break
    return found


# --- the wall clock


def test_working_days_at_nine_stay_at_nine_when_the_clocks_change() -> None:
    rule = Cron("0 9 * * mon-fri", BERLIN)
    assert times(rule, "2026-03-26T12:00:00+00:00", 3) == ["03-27 08:00", "03-30 07:00", "03-31 07:00"]


@pytest.mark.parametrize(
    ("zone", "expression", "since", "expected"),
    [
        # Berlin, 29 March: 02:00 to 03:00 is skipped, which ends at 01:00 UTC.
        (BERLIN, "30 2 * * *", "2026-03-28T12:00:00+00:00", ["03-29 01:00", "03-30 00:30"]),
        (BERLIN, "0,15,30 2 * * *", "2026-03-28T12:00:00+00:00", ["03-29 01:00", "03-30 00:00"]),
        (BERLIN, "0 2,3 * * *", "2026-03-28T12:00:00+00:00", ["03-29 01:00", "03-30 00:00", "03-30 01:00"]),
        # Berlin, 25 October: 02:00 to 03:00 happens twice, first from 00:00 UTC.
        (BERLIN, "30 2 * * *", "2026-10-24T12:00:00+00:00", ["10-25 00:30", "10-26 01:30"]),
        (BERLIN, "30 2 * * *", "2026-10-25T01:10:00+00:00", ["10-26 01:30"]),
        # Every hour is every hour that passes.
        (BERLIN, "30 * * * *", "2026-10-24T23:45:00+00:00", ["10-25 00:30", "10-25 01:30", "10-25 02:30"]),
        (BERLIN, "30 * * * *", "2026-03-28T23:45:00+00:00", ["03-29 00:30", "03-29 01:30"]),
        # Lord Howe, 4 October: 02:00 to 02:30 is skipped, from 15:30 UTC on the day before.
        (LORD_HOWE, "15 2 * * *", "2026-10-03T12:00:00+00:00", ["10-03 15:30", "10-04 15:15"]),
        (LORD_HOWE, "*/15 3 * * *", "2026-10-03T12:00:00+00:00", ["10-03 16:00", "10-03 16:15"]),
        # Lord Howe, 5 April: 01:30 to 02:00 happens twice, first from 14:30 UTC on the day before.
        (LORD_HOWE, "45 1 * * *", "2026-04-04T12:00:00+00:00", ["04-04 14:45", "04-05 15:15"]),
        (LORD_HOWE, "45 * * * *", "2026-04-04T14:40:00+00:00", ["04-04 14:45", "04-04 15:15", "04-04 16:15"]),
        # A change at midnight, and a day that Samoa never had.
        ("America/Asuncion", "0 0 * * *", "2023-09-30T12:00:00+00:00", ["10-01 04:00", "10-02 03:00"]),
        ("Pacific/Apia", "0 12 30 12 *", "2011-12-01T00:00:00+00:00", ["12-30 10:00", "12-29 22:00"]),
    ],
)
def test_when_the_clocks_change(zone: str, expression: str, since: str, expected: list[str]) -> None:
    assert times(Cron(expression, zone), since, len(expected)) == expected


FIELD_VALUES = {0: range(60), 1: range(24)}


@st.composite
def simple_crons(draw: st.DrawFn) -> tuple[str, set[int], set[int], set[int]]:
    """An expression of lists, and the minutes, hours and days of the week that it means."""
    minutes = draw(st.sets(st.sampled_from((0, 1, 15, 29, 30, 31, 45, 59)), min_size=1, max_size=4))
    hours = draw(st.one_of(st.just(set(range(24))), st.sets(st.integers(0, 4), min_size=1, max_size=3)))
    days = draw(st.one_of(st.just(set(range(7))), st.sets(st.integers(0, 6), min_size=1, max_size=6)))

    def written(values: set[int], every: int) -> str:
        return "*" if len(values) == every else ",".join(map(str, sorted(values)))

    return f"{written(minutes, 60)} {written(hours, 24)} * * {written(days, 7)}", minutes, hours, days


def watched(
    zone: ZoneInfo, start: datetime, end: datetime, minutes: set[int], hours: set[int], days: set[int]
) -> list[int]:
    """What somebody would note who looks at the clock on the wall each minute, and knows what it never showed."""

    def matches(wall: datetime) -> bool:
        return wall.minute in minutes and wall.hour in hours and wall.isoweekday() % 7 in days

    every_hour, found, seen = len(hours) == 24, set(), set()
    now, before = start, (start - MINUTE).astimezone(zone).replace(tzinfo=None)
    while now < end:
        wall = now.astimezone(zone).replace(tzinfo=None)
        if matches(wall) and (every_hour or wall not in seen):
            found.add(to_ms(now))
        seen.add(wall)
        skipped = before + MINUTE
        while skipped < wall and not every_hour:
            if matches(skipped):
                found.add(to_ms(now))
            skipped += MINUTE
        before = wall
        now += MINUTE
    return sorted(found)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CHANGES)), st.integers(0, 1), simple_crons(), st.integers(0, 36 * 60))
@example(LORD_HOWE, 0, ("45 1,2 * * *", {45}, {1, 2}, set(range(7))), 0)
@example(LORD_HOWE, 1, ("0 2 * * *", {0}, {2}, set(range(7))), 0)
def test_like_the_clock_on_the_wall(
    name: str, which: int, cron: tuple[str, set[int], set[int], set[int]], offset: int
) -> None:
    expression, minutes, hours, days = cron
    start = CHANGES[name][which] - timedelta(hours=12)
    end = start + timedelta(days=2)
    expected = watched(ZoneInfo(name), start, end, minutes, hours, days)
    rule = Cron(expression, name)
    found = []
    for due in following(rule, to_ms(start) - 1):
        if due >= to_ms(end):
            break
        found.append(due)
    assert found == expected
    # From any moment on it is the same: nothing depends on where one begins.
    since = to_ms(start + timedelta(minutes=offset))
    assert rule.after(since) == next((due for due in expected if due > since), rule.after(to_ms(end) - 1))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"]),
    st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2040-01-01")),
)
def test_a_wall_time_is_the_first_that_shows_it_or_the_end_of_the_gap(name: str, wall: datetime) -> None:
    zone = ZoneInfo(name)
    wall = wall.replace(microsecond=0)
    found = local(wall, zone)
    shown = found.astimezone(zone).replace(tzinfo=None)
    assert shown >= wall
    if shown == wall:
        earlier = {(found - timedelta(minutes=each)).astimezone(zone).replace(tzinfo=None) for each in range(1, 200)}
        assert wall not in earlier
    else:
        before = (found - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
        assert before < wall < shown


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 9 * *", r"needs the five fields minute, hour, .*; it has 4"),
        ("0 0 9 * * *", "it has 6"),
        ("", "it has 0"),
        ("60 9 * * *", "'60' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 9 0 * *", "'0' is no day-of-month"),
        ("0 9 * foo *", "'foo' is no month"),
        ("0 9 * * fri-mon", "'fri-mon' is no day-of-week"),
        ("*/0 9 * * *", "is no minute"),
        ("-1 9 * * *", "is no minute"),
        ("0 9 31 2,4 *", "'31' is no day-of-month"),
        ("0 9 ٣ * *", "ASCII"),
        ("0 9 * * " + "1," * 150 + "1", "200 ASCII characters"),
        ("0 9 L/2-3 * *", "is no|cannot be read"),
        ("@daily", "it has 1"),
    ],
)
def test_a_broken_expression_says_what_is_wrong(expression: str, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        Cron(expression)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789*/,-#LWmonfri ", max_size=30))
def test_any_text_is_an_expression_or_a_rule_error(text: str) -> None:
    try:
        rule = Cron(text)
    except RuleError:
        return
    first = rule.after(0)
    assert first is not None and first > 0


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe", "../etc/passwd", "/etc/localtime", "", "\0", "x" * 500])
def test_no_such_zone(zone: str) -> None:
    with pytest.raises(RuleError, match="there is no time zone"):
        Cron("0 9 * * *", zone)


# --- once and at intervals


def test_once() -> None:
    rule = At(datetime(2026, 1, 1, 12, tzinfo=ZoneInfo(BERLIN)))
    assert times(rule, "2026-01-01T00:00:00+00:00", 5) == ["01-01 11:00"]
    assert rule.after(moment("2026-01-01T11:00:00+00:00")) is None


def test_a_naive_moment_is_none() -> None:
    with pytest.raises(RuleError, match="needs its time zone"):
        At(datetime.fromisoformat("2026-01-01"))
    with pytest.raises(RuleError, match="needs its time zone"):
        Every(timedelta(hours=1), datetime.fromisoformat("2026-01-01"))
    with pytest.raises(RuleError, match="before the year 9000"):
        At(datetime(9999, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(seconds=-1), timedelta(milliseconds=999), timedelta.max])
def test_an_interval_has_bounds(interval: timedelta) -> None:
    with pytest.raises(RuleError, match="an interval is between"):
        Every(interval, datetime(2026, 1, 1, tzinfo=UTC))


@given(st.integers(1000, 10**9), st.integers(0, 10**13), st.integers(0, 10**13))
def test_an_interval_keeps_its_anchor(step: int, start: int, now: int) -> None:
    due = Every(timedelta(milliseconds=step), from_ms(start)).after(now)
    assert due is not None and due > now and due >= start and (due - start) % step == 0
    assert due == start or due - step <= now


def test_an_interval_of_a_day_is_24_hours_when_the_clocks_change() -> None:
    rule = Every(timedelta(days=1), datetime(2026, 3, 28, 9, tzinfo=ZoneInfo(BERLIN)))
    assert times(rule, "2026-03-28T00:00:00+00:00", 3) == ["03-28 08:00", "03-29 08:00", "03-30 08:00"]


# --- catching up

HOURLY = Every(timedelta(hours=1), datetime(2026, 1, 1, tzinfo=UTC))
START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
HOUR = 3_600_000


@pytest.mark.parametrize("policy", ["skip", "once", "all"])
def test_in_time_every_policy_is_the_same(policy: str) -> None:
    assert plan(HOURLY, START, START + 5, policy) == Plan((START,), START + HOUR)  # type: ignore[arg-type]


def test_after_an_outage() -> None:
    now = START + 5 * HOUR + 10 * 60_000
    assert plan(HOURLY, START, now, "skip") == Plan((), START + 6 * HOUR)
    assert plan(HOURLY, START, now, "once") == Plan((START + 5 * HOUR,), START + 6 * HOUR)
    assert plan(HOURLY, START, now, "all") == Plan(tuple(START + each * HOUR for each in range(6)), START + 6 * HOUR)
    # The newest is not late: it is no missed one.
    assert plan(HOURLY, START, START + 5 * HOUR + LATE_MS, "skip") == Plan((START + 5 * HOUR,), START + 6 * HOUR)
    assert plan(HOURLY, START, START + 5 * HOUR + LATE_MS + 1, "skip").fire == ()


@pytest.mark.parametrize(
    ("policy", "fire"), [("skip", ()), ("once", (START,)), ("all", (START,))], ids=["skip", "once", "all"]
)
def test_what_happens_once_and_was_missed(policy: str, fire: tuple[int, ...]) -> None:
    assert plan(At(from_ms(START)), START, START + HOUR, policy) == Plan(fire, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", [Every(timedelta(minutes=1), from_ms(START)), Cron("* * * * *", BERLIN)])
def test_all_is_bounded_and_comes_in_portions(rule: Rule) -> None:
    now = START + 400 * 24 * HOUR
    fired: list[int] = []
    due: int | None = START
    while due is not None and due <= now:
        step = plan(rule, due, now, "all")
        assert 0 < len(step.fire) <= 10
        fired += step.fire
        due = step.due
    assert fired == [now - each * 60_000 for each in reversed(range(MAX_MISSED))]
    assert due == now + 60_000


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        [Cron("*/20 1-3 * * *", LORD_HOWE), Cron("0 9 * * mon", BERLIN), Cron("7 * * * *", NEW_YORK), HOURLY]
    ),
    st.integers(0, 60 * 24 * 60),
    st.integers(0, 20 * 24 * 60),
    st.integers(1, 12),
)
def test_the_latest_are_the_last_of_all(rule: Rule, begin: int, length: int, most: int) -> None:
    since = START + begin * 60_000
    until = since + length * 60_000
    every = []
    for due in following(rule, since - 1):
        if due > until:
            break
        every.append(due)
    assert latest(rule, since, until, most) == every[-most:]


@pytest.mark.parametrize("rule", [At(from_ms(START)), HOURLY, Cron("*/5 9-17 * * mon-fri", BERLIN)])
def test_a_rule_can_be_written_and_read(rule: Rule) -> None:
    again = decode(encode(rule))
    assert [*islice(following(again, START - 1), 5)] == [*islice(following(rule, START - 1), 5)]


@pytest.mark.parametrize("raw", [{}, {"at": "soon"}, {"every": 5000}, {"cron": "0 9 * * *"}, {"cron": 5, "zone": 5}])
def test_what_is_no_rule(raw: dict[str, object]) -> None:
    with pytest.raises(RuleError):
        decode(raw)


# --- clocks


async def test_a_manual_clock_lets_those_go_on_whose_time_has_come() -> None:
    clock = ManualClock(0)
    wake = asyncio.Event()
    waits = [asyncio.create_task(clock.wait_until(each)) for each in (1000, 2000)]
    woken = asyncio.create_task(clock.wait_until(10**9, wake))
    await asyncio.sleep(0)
    assert clock.waiting == 3
    clock.advance(seconds=1)
    await waits[0]
    assert not waits[1].done()
    wake.set()
    await woken
    clock.advance(timedelta(seconds=5))
    await waits[1]
    await clock.wait_until(0)
    assert (clock.waiting, clock.now_ms()) == (0, 6000)
    with pytest.raises(ValueError, match="does not go back"):
        clock.set(0)


async def test_the_machines_clock_waits_and_can_be_woken() -> None:
    clock, wake = SystemClock(), asyncio.Event()
    before = clock.now_ms()
    await clock.wait_until(before + 20, wake)
    assert clock.now_ms() >= before + 19
    waiting = asyncio.create_task(clock.wait_until(before + 10**9, wake))
    wake.set()
    async with asyncio.timeout(5):
        await waiting
        await clock.wait_until(before)
