"""JSON as Matrix speaks it: orjson where it can, the standard library where orjson refuses.

orjson writes at most 254 levels of nesting and reads at most 1,024; it refuses lone surrogates and integers beyond
64 bits. A homeserver may deliver such events all the same, and a transaction that is refused for ever would stop
every later one, so they take the slow way instead.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


class JSONError(ValueError):
    """The bytes are no JSON, or nested deeper than this process can follow."""


def loads(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        JSONError: not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise JSONError(f"not JSON: {type(error).__name__}") from None


def dumps(value: Any) -> bytes:
    """Write JSON as UTF-8 bytes; what orjson refuses goes through the standard library, escaped to ASCII.

    The bytes are a copy: orjson's own keep the buffer they were written in, 4 KiB for the shortest text, for as long as
    they wait somewhere.

    Raises:
        JSONError: the value holds what JSON cannot say, or is nested too deeply.
    """
    try:
        return memoryview(orjson.dumps(value)).tobytes()
    except (TypeError, orjson.JSONEncodeError):
        pass
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JSONError(f"cannot be written as JSON: {type(error).__name__}") from None


def without_surrogates(value: Any) -> Any:
    """A copy in which lone surrogates are U+FFFD: a homeserver cannot store them, and would fail on the event for ever.

    Raises:
        JSONError: nested too deeply.
    """
    try:
        return _clean(value)
    except RecursionError:
        raise JSONError("nested too deeply") from None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
