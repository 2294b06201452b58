"""JSON: what orjson refuses takes the slow way, and what cannot be JSON says so."""

from __future__ import annotations

import json as standard
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.json import JSONError, dumps, loads, without_surrogates


def nested(levels: int) -> str:
    """A list in a list in a list …"""
    return "[" * levels + "]" * levels


def value(levels: int) -> Any:
    """The same, parsed."""
    found: Any = []
    for _ in range(levels - 1):
        found = [found]
    return found


def test_three_hundred_levels_are_read_and_written() -> None:
    """orjson writes 254 at most."""
    deep = value(300)
    with pytest.raises(orjson.JSONEncodeError):
        orjson.dumps(deep)
    assert dumps(deep) == nested(300).encode()
    assert loads(nested(300)) == deep


def test_five_thousand_levels_are_an_error_and_no_crash() -> None:
    with pytest.raises(JSONError):
        loads(nested(5_000))
    with pytest.raises(JSONError):
        dumps(value(5_000))
    with pytest.raises(JSONError):
        without_surrogates(value(5_000))


def test_lone_surrogates_are_read_and_written_as_escapes() -> None:
    text = r'{"body":"\ud800 x \udfff"}'
    assert loads(text) == {"body": "\ud800 x \udfff"}
    written = dumps(loads(text))
    assert written == text.encode()
    assert standard.loads(written) == {"body": "\ud800 x \udfff"}


def test_what_is_written_keeps_no_buffer_beyond_its_length() -> None:
    """Thousands of messages wait in memory when much comes at once."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [dumps({"body": f"message {number}"}) for number in range(500)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(kept) < 200


def test_big_integers_survive_being_written() -> None:
    big = 2**80
    assert standard.loads(dumps({"n": big})) == {"n": big}
    assert loads("123") == 123
    assert loads(str(2**63)) == 2**63
    assert loads(str(big)) == pytest.approx(big)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", '{"a":NaN}', '["\\ud800", NaN]'])
def test_constants_that_are_no_json_are_refused(text: str) -> None:
    with pytest.raises(JSONError):
        loads(text)


def test_nan_is_never_written_as_nan() -> None:
    assert dumps([float("nan")]) == b"[null]"
    with pytest.raises(JSONError):
        dumps(["\ud800", float("nan")])


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'"\xff"', b"{'a': 1}", b"[1,]", b"\xef\xbb\xbf{"])
def test_what_is_no_json_is_an_error_that_quotes_nothing(data: bytes) -> None:
    with pytest.raises(JSONError) as caught:
        loads(data)
    assert "'a'" not in str(caught.value)


@pytest.mark.parametrize("thing", [object(), {"a": {1, 2}}, ["\ud800", object()], b"bytes"])
def test_what_json_cannot_say_is_an_error(thing: object) -> None:
    with pytest.raises(JSONError):
        dumps(thing)


def test_an_error_is_a_value_error() -> None:
    assert issubclass(JSONError, ValueError)


@given(st.text(st.characters()) | st.lists(st.text(st.characters())) | st.dictionaries(st.text(), st.text()))
def test_without_surrogates_changes_nothing_else(thing: Any) -> None:
    clean = without_surrogates(thing)
    orjson.dumps(clean)
    assert without_surrogates(clean) == clean
    try:
        orjson.dumps(thing)
    except (TypeError, orjson.JSONEncodeError):
        assert clean != thing
    else:
        assert clean == thing


def test_without_surrogates_keeps_pairs_and_replaces_lone_ones() -> None:
    assert without_surrogates({"\ud800": ["a\udc00b", "😀", 3, None, ("t",)]}) == {"�": ["a�b", "😀", 3, None, ["t"]]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(allow_nan=False, width=32),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_written_is_read_as_it_was(thing: Any) -> None:
    if "Infinity" not in standard.dumps(thing):
        assert loads(dumps(thing)) == thing
