"""Names, cursors and the background: what chats stand on."""

from __future__ import annotations

import asyncio
import base64
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.clock import ManualClock
from appservice.database import DatabaseError
from bridge import background as backgrounds
from bridge.background import Background, together
from bridge.chats.plans import NewChat, hidden_alias
from bridge.domain import texts
from bridge.domain.kinds import PLANS, Kind
from bridge.domain.pages import BadCursor, bounded, cursor, key_of
from bridge.domain.texts import BadText
from bridge.errors import Refused

STEWARD = "@_rialto:world"

# Texts


@given(st.text())
def test_a_name_is_one_line_or_refused(text: str) -> None:
    try:
        found = texts.line(text)
    except BadText as error:
        assert error.code in {"name_missing", "name_too_long", "name_invalid"}
        return
    assert found == unicodedata.normalize("NFC", text.strip()) and 0 < len(found) <= texts.MOST_NAME
    assert "\n" not in found and "\0" not in found and found.encode()
    assert texts.line(found) == found


@given(st.text())
def test_a_topic_has_lines(text: str) -> None:
    try:
        found = texts.prose(text)
    except BadText as error:
        assert error.code in {"topic_too_long", "topic_invalid"}
        return
    assert "\0" not in found and found.encode("utf-8", "strict") is not None and texts.prose(found) == found


@pytest.mark.parametrize(
    "user_id",
    ["@alice:example.org", "@a.b-c_d=e/f+g:example.org:8448", "@x:[::1]:80", "@Old!Name:example.org", "@1:localhost"],
)
def test_people(user_id: str) -> None:
    assert texts.user_id(user_id) == user_id


@pytest.mark.parametrize(
    "user_id",
    [
        *(
            "",
            "alice",
            "@:x",
            "@a",
            "@a:",
            "@a b:x",
            "@a:x y",
            "@a:x\n",
            "@a\0:x",
            "@é:x",
            "@a:x/../y",
            "@a:x?y",
            "#a:x",
        ),
        "@" + "a" * 250 + ":world",
    ],
)
def test_no_people(user_id: str) -> None:
    with pytest.raises(BadText) as caught:
        texts.user_id(user_id)
    assert caught.value.code == "user_invalid"


@pytest.mark.parametrize("url", ["", "mxc://example.org/AbC-1_2", "mxc://[::1]:8448/x"])
def test_pictures(url: str) -> None:
    assert texts.media(url) == url


@pytest.mark.parametrize(
    "url", ["http://x/y", "mxc://x", "mxc://x/", "mxc://x/y/z", "mxc://x/..", "mxc:///y", "javascript:x"]
)
def test_no_pictures(url: str) -> None:
    with pytest.raises(BadText):
        texts.media(url)


def test_the_alias_of_a_purpose_is_nobodys_to_take() -> None:
    hidden = hidden_alias(STEWARD, "direct\0@alice:world\0@bot:world").partition("_rialto_")[2]
    with pytest.raises(BadText):
        texts.alias(hidden)
    for word in ("a", "-a", "a b", "A", "a:b", "#a", "a" * 51, "é", "a\n"):
        with pytest.raises(BadText):
            texts.alias(word)
    assert [texts.alias(word) for word in ("", "news", "a-b_c.d", "2026")] == ["", "news", "a-b_c.d", "2026"]


# Plans


def test_what_is_in_no_plan_is_refused() -> None:
    for kind in Kind:
        for public in (False, True):
            people = ["@b:x"] if kind is Kind.DIRECT else []
            if (kind, public) in PLANS:
                assert NewChat.of(kind, name="x", public=public, owner="@a:x", members=people).plan
                continue
            with pytest.raises(Refused) as caught:
                NewChat.of(kind, name="x", public=public, owner="@a:x", members=people)
            assert caught.value.code == "kind_not_public"


def test_the_owner_is_invited_once_and_first() -> None:
    new = NewChat.of(Kind.GROUP, name="x", owner="@a:x", members=["@b:x", "@a:x", "@b:x"])
    assert new.people == ("@a:x", "@b:x")
    assert "invite" not in new.request(STEWARD)


# Pages


@given(
    st.lists(
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_characters="\0", codec="utf-8")))
    )
)
def test_a_cursor_is_read_as_it_was_written(key: list[int | str]) -> None:
    word = cursor(*key)
    if len(word) > 2_048:
        return
    assert key_of(word, *(type(part) for part in key)) == tuple(key)


@given(st.text())
def test_what_is_no_cursor_is_refused(word: str) -> None:
    with pytest.raises(BadCursor):
        key_of(word, int, str)


@pytest.mark.parametrize(
    "content",
    [
        "[1]",
        '[1,"a",2]',
        '["a",1]',
        '[true,"a"]',
        '[1.5,"a"]',
        '{"a":1}',
        "[" * 5_000,
        f'[{2**63},"a"]',
        '[1,"\\u0000"]',
    ],
)
def test_cursors_of_other_lists_are_refused(content: str) -> None:
    word = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    with pytest.raises(BadCursor):
        key_of(word, int, str)


def test_pages_are_bounded() -> None:
    assert [bounded(limit) for limit in (-1, 0, 1, 50, 200, 201, 10**9)] == [1, 1, 1, 50, 200, 200, 200]


# The background


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_background_waits_until_something_is_due() -> None:
    clock, due, done = ManualClock(), [100, 200], list[int]()
    begin = clock.now_ms()

    async def work() -> int:
        now = [moment for moment in due if begin + moment <= clock.now_ms()]
        for moment in now:
            due.remove(moment)
            done.append(moment)
        return len(now)

    async def upcoming() -> int | None:
        return begin + min(due) if due else None

    background = Background("test", clock, work, upcoming)
    background.start()
    background.start()
    await _turns()
    assert done == []
    clock.advance(milliseconds=100)
    await _turns()
    assert done == [100]
    due.append(150)
    clock.advance(milliseconds=50)
    background.wake()
    await _turns()
    assert done == [100, 150]
    clock.advance(seconds=1)
    await _turns()
    assert done == [100, 150, 200]
    await background.stop()
    await background.stop()
    assert clock.waiting == 0


async def test_the_background_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tries = ManualClock(), list[int]()

    async def work() -> int:
        tries.append(clock.now_ms())
        if len(tries) == 1:
            raise DatabaseError("gone")
        if len(tries) == 2:
            raise ValueError("a bug")
        return 0

    async def upcoming() -> int | None:
        return None

    background = Background("test", clock, work, upcoming)
    background.start()
    await _turns()
    assert len(tries) == 1
    clock.advance(milliseconds=backgrounds.PAUSE_MS)
    await _turns()
    assert len(tries) == 2
    clock.advance(milliseconds=backgrounds.PAUSE_MS)
    await _turns()
    assert len(tries) == 2  # what it does not know it does not hurry for
    clock.advance(milliseconds=backgrounds.LONGEST_MS)
    await _turns()
    assert len(tries) == 3
    await background.stop()


async def test_what_is_due_and_not_done_is_not_asked_for_without_a_pause() -> None:
    clock, tries = ManualClock(), list[int]()

    async def work() -> int:
        tries.append(1)
        return 0

    async def upcoming() -> int | None:
        return clock.now_ms() - 1_000

    background = Background("test", clock, work, upcoming)
    background.start()
    await _turns()
    assert len(tries) == 1
    await background.stop()


async def test_together_ends_with_the_last_and_fails_with_the_first() -> None:
    done: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(0)
        if number == 1:
            raise KeyError(number)
        done.append(number)

    with pytest.raises(KeyError):
        await together(one(number) for number in range(4))
    assert done == [0, 2, 3]
