"""The terminal client's text: what strangers write never reaches the terminal as commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.terminal.chat import COMMENT, lines_of, read_lines
from appservice.terminal.client import Seen
from appservice.terminal.text import one_line, safe


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("plain\ntext", "plain\ntext"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2\x1b\\x", "x"),
        ("a\x9b31mb", "ab"),
        ("bell\x07, back\x08space, nul\x00", "bell, backspace, nul"),
        ("over\rwrite", "overwrite"),
        ("dos\r\nlines", "dos\nlines"),
        ("a\tb", "a b"),
        ("\u202eevil\u2066", "evil"),
        ("family 👨\u200d👩\u200d👧", "family 👨\u200d👩\u200d👧"),
        ("\x1b[", ""),
        ("\ud800", ""),
    ],
)
def test_escape_sequences_and_controls_are_removed(hostile: str, harmless: str) -> None:
    assert safe(hostile) == harmless


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b[]\\;m\x07\x9b\x9c\x90")))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not [each for each in safe(text) if each != "\n" and (ord(each) < 32 or 127 <= ord(each) < 160)]
    assert "\n" not in one_line(text)


def test_a_huge_message_is_cut() -> None:
    assert len(safe("x" * 1_000_000)) == 20_000


def seen(content: dict[str, object]) -> Seen:
    """A message."""
    return Seen("!r:x", "$e", "@a:x", "m.room.message", content)


def test_the_body_of_an_edit_is_the_new_one() -> None:
    edit = seen(
        {
            "body": "* new",
            "m.new_content": {"body": "new"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$old"},
        }
    )
    assert (edit.body, edit.replaces) == ("new", "$old")


@pytest.mark.parametrize("content", [{}, {"body": 7}, {"body": None}, {"m.relates_to": "x"}, {"m.relates_to": []}])
def test_malformed_content_is_empty_text(content: dict[str, object]) -> None:
    assert seen(content).body == ""
    assert seen(content).replaces is None


async def test_scripts_come_from_pipes_and_files(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("one\r\ntwo\nthree")
    with path.open() as file:
        assert [line async for line in read_lines(file)] == ["one", "two", "three"]
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\nthree")
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert [line async for line in read_lines(pipe)] == ["one", "two", "three"]
    with Path(os.devnull).open() as nothing:
        assert [line async for line in read_lines(nothing)] == []
    assert [line async for line in lines_of(["a"])] == ["a"]


def test_comments_of_scripts() -> None:
    assert COMMENT.match("# a comment")
    assert not COMMENT.match("#room:server")
