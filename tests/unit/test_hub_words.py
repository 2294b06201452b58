"""What people write to the hub: chats, people, lengths of time, links, what to look for. Pure."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.framework import InvalidValue, ParseEnv
from bots.framework.arguments import ArgumentError
from bots.hub import links, refusals, search, timers, words
from bots.hub.links import Wanted as Link
from bots.hub.search import Wanted
from bots.hub.timers import Wanted as Timer
from bridge.domain.roles import Role
from bridge.errors import NotAllowed, Refused, TooMany

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = 86_400
ENV = ParseEnv(now=NOW, zone=UTC, server_name="world")


def mentioning(html: str, *users: str) -> ParseEnv:
    content = {
        "m.mentions": {"user_ids": list(users)},
        "format": "org.matrix.custom.html",
        "formatted_body": html,
    }
    return ParseEnv(now=NOW, zone=UTC, server_name="world", content=content)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#2 1 day", ("2", "1 day")),
        ("#2", ("2", "")),
        ("  #news:world off", ("news:world", "off")),
        ("1 day", ("", "1 day")),
        ("", ("", "")),
        ("# 2", ("", "# 2")),
    ],
)
def test_which_chat(text: str, expected: tuple[str, str]) -> None:
    assert words.chat_reference(text) == expected


@pytest.mark.parametrize(
    "link",
    [
        "https://matrix.to/#/!room:world/$event",
        "https://matrix.to/#/%21room%3Aworld/%24event?via=world&via=other",
        "matrix:roomid/room:world/e/event?via=world",
    ],
)
def test_links_to_messages(link: str) -> None:
    assert words.message_link(f"look {link} there") == (words.Message("!room:world", "$event"), "look there")


@pytest.mark.parametrize("text", ["", "hello", "https://matrix.to/#/!room:world", "https://matrix.to/#/#a:world/$e"])
def test_what_is_no_link_to_a_message(text: str) -> None:
    assert words.message_link(text) == (None, text)


@pytest.mark.parametrize(
    ("text", "name", "people"),
    [
        ("Tea", "Tea", ()),
        ("Tea time with @bob:world and @carol:world", "Tea time", ("@bob:world", "@carol:world")),
        ("Tea with milk", "Tea with milk", ()),
        ("@bob", "", ("@bob:world",)),
        ("“Tea with milk” @bob:world", "Tea with milk", ("@bob:world",)),
        ("", "", ()),
        ('Tea "and', 'Tea "and', ()),
    ],
)
def test_a_name_and_people(text: str, name: str, people: tuple[str, ...]) -> None:
    assert words.name_and_people(text, ENV, "@rialto:world") == (name, people)


def test_pills_are_people() -> None:
    html = 'new group Tea with <a href="https://matrix.to/#/@bob:elsewhere">Bob Bobson</a>'
    env = mentioning(html, "@bob:elsewhere", "@rialto:world")
    assert words.name_and_people("Tea with Bob Bobson", env, "@rialto:world") == ("Tea", ("@bob:elsewhere",))
    assert words.person_first("Bob Bobson 1 hour", env) == ("@bob:elsewhere", "1 hour")


def test_people() -> None:
    assert words.people("@bob, @carol:elsewhere @bob", ENV) == ("@bob:world", "@carol:elsewhere")
    with pytest.raises(InvalidValue):
        words.people("@bob and friends", ENV)
    assert words.people_or_nobody("nobody", ENV) == ()
    assert words.person("https://matrix.to/#/@bob:elsewhere", ENV) == "@bob:elsewhere"
    for text in ("bob", "", "@bob 1 hour", "everybody"):
        with pytest.raises(InvalidValue):
            words.person(text, ENV)


def test_roles() -> None:
    assert words.role("to Moderator", ENV) is Role.MODERATOR
    assert words.role("member", ENV) is Role.WRITER
    assert words.role("emperor", ENV) is None
    assert words.role("", ENV) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("1 day", DAY), ("2 weeks", 14 * DAY), ("1 month", 30 * DAY), ("a year", 365 * DAY), ("off", None)],
)
def test_lengths_of_time(text: str, expected: int | None) -> None:
    assert words.seconds_or_off(text, ENV) == expected


@pytest.mark.parametrize("text", ["", "soon", "1", "999999999 years", "-1 day", "1 day off"])
def test_no_lengths_of_time(text: str) -> None:
    with pytest.raises(InvalidValue):
        words.seconds_or_off(text, ENV)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 day", Timer(DAY)),
        ("off", Timer(0)),
        ("5 minutes after reading", Timer(300, "read")),
        ("1h30m after the first reading", Timer(5_400, "read")),
    ],
)
def test_timers(text: str, expected: Timer) -> None:
    assert timers.wanted(text, ENV) == expected


@pytest.mark.parametrize("text", ["soon", "1 day please", "reading", "after 1 day"])
def test_no_timers(text: str) -> None:
    with pytest.raises(InvalidValue):
        timers.wanted(text, ENV)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 days 10 uses approval", Link(7 * DAY, 10, True)),
        ("10 uses", Link(7 * DAY, 10, False)),
        ("forever", Link(0, 0, False)),
        ("for 1 day, with approval", Link(DAY, 0, True)),
        ("approval forever 1 use", Link(0, 1, True)),
    ],
)
def test_invite_links(text: str, expected: Link) -> None:
    assert links.wanted(text, ENV) == expected


@pytest.mark.parametrize("text", ["please", "10", "10 uses please", "uses"])
def test_no_invite_links(text: str) -> None:
    with pytest.raises(InvalidValue):
        links.wanted(text, ENV)


def ms(*day: int, end: bool = False) -> int:
    return int(datetime(*day, tzinfo=UTC).timestamp() * 1000) + (DAY * 1000 - 1 if end else 0)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("green tea", Wanted("green tea")),
        ("tea from @bob", Wanted("tea", sender="@bob:world")),
        ("letters from home", Wanted("letters from home")),
        ("tea since 1 may", Wanted("tea", since=ms(2026, 5, 1))),
        (
            "tea since 1 december until 3 december",
            Wanted("tea", since=ms(2025, 12, 1), until=ms(2025, 12, 3, end=True)),
        ),
        ("tea since 2027-01-01", Wanted("tea", since=ms(2027, 1, 1))),
        ("tea since monday", Wanted("tea", since=ms(2026, 11, 23))),
        ("since when", Wanted("since when")),
        ("from @bob pictures", Wanted("", sender="@bob:world", kind="image")),
        ("pictures", Wanted("pictures")),
    ],
)
def test_what_to_look_for(text: str, expected: Wanted) -> None:
    assert search.wanted(text, ENV) == expected


@given(st.text(max_size=200))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    """Nothing that people write is more than a refusal."""
    words.chat_reference(text)
    words.message_link(text)
    words.one_line(text)
    for read in (
        lambda: words.name_and_people(text, ENV, "@rialto:world"),
        lambda: words.person_first(text, ENV),
        lambda: words.people(text, ENV),
        lambda: words.seconds_or_forever(text, ENV),
        lambda: words.alias_or_none(text, ENV),
        lambda: timers.wanted(text, ENV),
        lambda: links.wanted(text, ENV),
        lambda: search.wanted(text, ENV),
    ):
        with suppress(InvalidValue, ArgumentError):
            read()


def test_refusals_are_said_by_their_code() -> None:
    from bots.framework.i18n import English

    assert "admin" in refusals.why(NotAllowed("role_too_low", "x", role="admin"), English())
    assert refusals.why(Refused("no_such_code_ever", "As it came."), English()) == "As it came."
    said = refusals.why(TooMany("slow", "Slowly.", retry_after=1.2), English())
    assert said == "Slowly. Try again in 1 second."
