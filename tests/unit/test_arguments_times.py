"""Days, times, durations and places as people say them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.framework.arguments import InvalidValue, ParseEnv, Place, date_, duration, fold, nearest, place, time_, when
from bots.framework.arguments.identifiers import linked_identifier, read_alias, read_user
from bots.framework.arguments.words import distance

BERLIN = ZoneInfo("Europe/Berlin")
EARLIEST, LATEST = datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2037-12-31")


class German:
    """Some words of German."""

    language = "de"
    words: ClassVar[dict[str, str]] = {
        "tomorrow|tmr": "morgen",
        "day after tomorrow|the day after tomorrow": "übermorgen",
        "at|@": "um",
        "in": "in",
        "hour|hours|hr|hrs|h": "Stunde|Stunden|Std|h",
        "one|a|an": "ein|eine|einer",
        "monday|mon": "Montag|Mo",
        "march|mar": "März",
        "o'clock|oclock": "Uhr",
        "noon|midday": "Mittag",
        "on|next|this|the": "am|nächsten",
        "and|&|,": "und",
    }

    def t(self, text: str, /, **values: Any) -> str:
        text = self.words.get(text, text)
        return text.format(**values) if values else text

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        return self.t(one if count == 1 else many, count=count, **values)


def env(now: str = "2026-03-26T10:00", **changes: Any) -> ParseEnv:
    """Thursday in Berlin, three days before the clocks go forward."""
    return ParseEnv(datetime.fromisoformat(now).replace(tzinfo=BERLIN), BERLIN, "example.org", **changes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-03-26T10:00+01:00"),
        ("today", "2026-03-26T10:00+01:00"),
        ("tomorrow", "2026-03-27T09:00+01:00"),
        ("Tomorrow at 9", "2026-03-27T09:00+01:00"),
        ("tomorrow 21:15", "2026-03-27T21:15+01:00"),
        ("the day after tomorrow at noon", "2026-03-28T12:00+01:00"),
        ("18:30", "2026-03-26T18:30+01:00"),
        ("9:30", "2026-03-27T09:30+01:00"),
        ("at 9", "2026-03-27T09:00+01:00"),
        ("6 pm", "2026-03-26T18:00+01:00"),
        ("6pm", "2026-03-26T18:00+01:00"),
        ("12 am", "2026-03-27T00:00+01:00"),
        ("midnight", "2026-03-27T00:00+01:00"),
        ("today at 24:00", "2026-03-27T00:00+01:00"),
        ("7 o'clock", "2026-03-27T07:00+01:00"),
        ("7 in the evening", "2026-03-26T19:00+01:00"),
        ("monday", "2026-03-30T09:00+02:00"),
        ("on monday at 18:30", "2026-03-30T18:30+02:00"),
        ("thursday", "2026-04-02T09:00+02:00"),
        ("5 march", "2027-03-05T09:00+01:00"),
        ("5th of May at 8", "2026-05-05T08:00+02:00"),
        ("May 5, 2027 18:30", "2027-05-05T18:30+02:00"),
        ("31.12.2026 23:59", "2026-12-31T23:59+01:00"),
        ("18:30 tomorrow", "2026-03-27T18:30+01:00"),
        ("29 february", "2028-02-29T09:00+01:00"),
        ("2026-05-31 18:30", "2026-05-31T18:30+02:00"),
        ("2026-05-31T18:30:15Z", "2026-05-31T20:30:15+02:00"),
        ("2026-05-31T18:30+05:30", "2026-05-31T15:00+02:00"),
        ("in 2 hours", "2026-03-26T12:00+01:00"),
        ("in an hour", "2026-03-26T11:00+01:00"),
        ("in 90s", "2026-03-26T10:01:30+01:00"),
        ("in 2 days", "2026-03-28T10:00+01:00"),
        ("in 3 months", "2026-06-26T10:00+02:00"),
        # Where clocks change: days keep the time of day, hours pass.
        ("in 4 days", "2026-03-30T10:00+02:00"),
        ("in 96 hours", "2026-03-30T11:00+02:00"),
        # What the clocks skip is later by the length of the gap; of what comes twice it is the first.
        ("2026-03-29 02:30", "2026-03-29T03:30+02:00"),
        ("sunday at 2:30", "2026-03-29T03:30+02:00"),
        ("2026-10-25 02:30", "2026-10-25T02:30+02:00"),
    ],
)
def test_moments(text: str, expected: str) -> None:
    moment = when(text, env())
    assert moment.isoformat() == datetime.fromisoformat(expected).isoformat()
    assert moment.tzinfo is BERLIN


def test_of_a_time_that_comes_twice_the_first_that_is_still_to_come() -> None:
    between = ParseEnv(datetime(2026, 10, 25, 0, 45, tzinfo=UTC), BERLIN, "example.org")
    assert when("today at 2:30", between).astimezone(UTC) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    before = ParseEnv(datetime(2026, 10, 25, 0, 15, tzinfo=UTC), BERLIN, "example.org")
    assert when("2:30", before).astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_the_day_of_the_person_counts() -> None:
    late = datetime(2026, 3, 26, 23, 30, tzinfo=UTC)
    assert date_("today", ParseEnv(late, BERLIN, "x")) == date(2026, 3, 27)
    assert date_("today", ParseEnv(late, ZoneInfo("America/New_York"), "x")) == date(2026, 3, 26)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9",
        "25:00",
        "13 pm",
        "monday 5",
        "soon",
        "tomorrow tomorrow",
        "at",
        "5/6/2026",
        "2026-13-01",
        "tomorrow at 9 eggs",
        "in",
        "in two",
        "18:30 18:30",
        "0 may",
        "31 february",
        "2026-02-30",
        "32.1.2026",
        "1.13.2026",
        "in 999999 years",
        "in 1.5 months",
        "2026-05-31T99:00",
    ],
)
def test_no_moments(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        when(text, env())
    assert caught.value.human


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("morgen um 9", "2026-03-27T09:00+01:00"),
        ("übermorgen Mittag", "2026-03-28T12:00+01:00"),
        ("am nächsten Montag um 18:30 Uhr", None),
        ("am Montag um 18:30", "2026-03-30T18:30+02:00"),
        ("in einer Stunde", "2026-03-26T11:00+01:00"),
        ("in 2 Stunden", "2026-03-26T12:00+01:00"),
        ("5. März 2027", "2027-03-05T09:00+01:00"),
        ("9 Uhr", "2026-03-27T09:00+01:00"),
        ("tomorrow at 9", "2026-03-27T09:00+01:00"),
    ],
)
def test_moments_in_the_language_of_the_person(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(InvalidValue):
            when(text, env(translator=German()))
    else:
        assert when(text, env(translator=German())).isoformat() == datetime.fromisoformat(expected).isoformat()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", "2026-03-26"),
        ("2026-05-31", "2026-05-31"),
        ("monday", "2026-03-30"),
        ("in 3 days", "2026-03-29"),
        ("5 may", "2026-05-05"),
        ("31.12.2026", "2026-12-31"),
        ("2026-W14-1", "2026-03-30"),
        ("yesterday", "2026-03-25"),
    ],
)
def test_days(text: str, expected: str) -> None:
    assert date_(text, env()) == date.fromisoformat(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18:30", time(18, 30)),
        ("9", time(9)),
        ("at 6 pm", time(18)),
        ("6:45 pm", time(18, 45)),
        ("12 am", time(0)),
        ("12 pm", time(12)),
        ("noon", time(12)),
        ("midnight", time(0)),
        ("7.15", time(7, 15)),
        ("18:30:15", time(18, 30, 15)),
        ("24:00", time(0)),
    ],
)
def test_times(text: str, expected: time) -> None:
    assert time_(text, env()) == expected


@pytest.mark.parametrize("text", ["", "25", "24:30", "7:60", "13 pm", "0 am", "tomorrow", "18:30 x", "99:99"])
def test_no_times(text: str) -> None:
    with pytest.raises(InvalidValue):
        time_(text, env())


@given(
    st.datetimes(EARLIEST, LATEST),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_every_moment_is_read_back(moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    there = moment.replace(tzinfo=UTC).astimezone(zone)
    here = ParseEnv(datetime(1999, 1, 1, tzinfo=UTC), zone, "x")
    assert when(there.isoformat(), here).astimezone(UTC) == there.astimezone(UTC)
    read = when(moment.isoformat(), here)
    gap = read.replace(tzinfo=None) - moment
    assert gap in {timedelta(0), timedelta(hours=1), timedelta(minutes=30)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2 days", 172_800),
        ("an hour", 3600),
        ("a minute", 60),
        ("half an hour", 1800),
        ("1.5h", 5400),
        ("1,5 hours", 5400),
        ("1 hour and 30 minutes", 5400),
        ("3 weeks, 2 days", 1_987_200),
        ("PT1H", 3600),
        ("pt1h30m", 5400),
        ("P1DT2H", 93_600),
        ("P2W", 1_209_600),
        ("PT0.5S", 0.5),
        ("ten min", 600),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text, env()) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "h",
        "1h30",
        "1h 1h",
        "P",
        "PT",
        "P1",
        "-1h",
        "2 months",
        "P1Y",
        "200000 days",
        "1 h x",
        "and 1h",
        "1h and",
        "1/2 h",
    ],
)
def test_no_durations(text: str) -> None:
    with pytest.raises(InvalidValue):
        duration(text, env())


@given(st.integers(0, 5000), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_read_however_it_is_written(days: int, hours: int, minutes: int, seconds: int) -> None:
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    for text in (
        f"{days}d{hours}h{minutes}m{seconds}s",
        f"{days} days, {hours} hours, {minutes} minutes and {seconds} seconds",
        f"P{days}DT{hours}H{minutes}M{seconds}S",
    ):
        assert duration(text, env()) == length


def test_a_duration_in_the_language_of_the_person() -> None:
    assert duration("eine Stunde", env(translator=German())) == timedelta(hours=1)
    assert duration("2 Stunden und 5 min", env(translator=German())) == timedelta(hours=2, minutes=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("52.52, 13.40", Place(52.52, 13.4)),
        ("52.52,13.40", Place(52.52, 13.4)),
        ("-33.9 151.2", Place(-33.9, 151.2)),
        ("33.9°S 58.4°W", Place(-33.9, -58.4)),
        ("geo:52.52,13.40", Place(52.52, 13.4)),
        ("GEO:52.52,13.40,34;crs=WGS84;u=35?q=x", Place(52.52, 13.4)),
    ],
)
def test_places(text: str, expected: Place) -> None:
    found = place(text, env())
    assert found == expected
    assert place(found.geo_uri, env()) == expected


@pytest.mark.parametrize(
    "text", ["", "Berlin", "52.52", "91, 0", "0, 181", "geo:91,0", "geo:1,2;crs=moon", "nan, nan", "1,2,3,4"]
)
def test_no_places(text: str) -> None:
    with pytest.raises(InvalidValue):
        place(text, env())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"msgtype": "m.location", "body": "x", "geo_uri": "geo:52.52,13.40;u=8"}, Place(52.52, 13.4)),
        (
            {
                "msgtype": "m.location",
                "geo_uri": "geo:1,2",
                "org.matrix.msc3488.location": {"uri": "geo:3,4", "description": "the  Bakery"},
            },
            Place(3, 4, "the Bakery"),
        ),
        ({"msgtype": "m.location", "geo_uri": "geo:1,2?q=Caf%C3%A9+Ost"}, Place(1, 2, "Café Ost")),
    ],
)
def test_shared_places(content: dict[str, Any], expected: Place) -> None:
    assert place("whatever", env(content=content)) == expected


@pytest.mark.parametrize(
    "content", [{"msgtype": "m.location"}, {"msgtype": "m.location", "geo_uri": 7}, {"geo_uri": "geo:1,2"}]
)
def test_no_shared_places(content: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        place("", env(content=content))


@pytest.mark.parametrize("latitude", [91, -91, float("nan"), float("inf")])
def test_no_place_off_the_earth(latitude: float) -> None:
    with pytest.raises(ValueError, match="latitude"):
        Place(latitude, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@alice:x.org", "@alice:x.org"),
        ("@Alice", "@alice:home"),
        ("@a=b/c+d:x.org:8448", "@a=b/c+d:x.org:8448"),
        ("@alice:[::1]:80", "@alice:[::1]:80"),
        ("https://matrix.to/#/@a:x.org?via=y", "@a:x.org"),
        ("matrix:u/a:x.org", "@a:x.org"),
        ("alice", None),
        ("@", None),
        ("@:x", None),
        ("@a b:x", None),
        ("@a:x y", None),
        ("@" + "a" * 255, None),
        ("@ä:x", None),
        ("#a:x", None),
    ],
)
def test_user_ids(text: str, expected: str | None) -> None:
    found = read_user(text, "home")
    assert found == expected
    if found is not None:
        assert f"@{found.localpart}:{found.server_name}" == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#a:x.org", "#a:x.org"),
        ("#a", "#a:home"),
        ("#küche:x", "#küche:x"),
        ("matrix:r/a:x.org", "#a:x.org"),
        ("a", None),
        ("#a b", None),
        ("#", None),
    ],
)
def test_room_aliases(text: str, expected: str | None) -> None:
    found = read_alias(text, "home")
    assert found == expected
    if found is not None:
        assert f"#{found.localpart}:{found.server_name}" == found


def test_other_links_lead_to_nobody() -> None:
    assert linked_identifier("https://matrix.to/#/!room:x.org") is None
    assert linked_identifier("https://evil.example/#/@a:x.org") is None


def test_words() -> None:
    assert fold("  Übergrößen  ŁÓDŹ ") == "ubergrossen lodz"
    assert distance("coffe", "coffee") == distance("cofefe", "coffee") == 1
    assert nearest("coffe", ["tea", "coffee"]) == "coffee"
    assert nearest("Kafé", ["kafe"]) == "kafe"
    assert nearest("exp", ["espresso", "export"]) == "export"
    assert nearest("x", ["tea", "y"]) is None
    assert nearest("", ["tea"]) is None
    assert nearest("zebra", ["tea", "coffee"]) is None
