"""Dataclasses of the domain as plain JSON, and again: by the types of their fields.

Times are ms since the epoch. A field that was not there yet when something was written has its default; one that is not
there any more is left out. So what lies in the database outlives a change of the classes.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from appservice.clock import from_ms, to_ms
from bots.domain.money import Money

__all__ = ["into", "out"]

T = TypeVar("T")

MS = timedelta(milliseconds=1)


def out(value: Any) -> Any:
    """A value as JSON."""
    if value is None or type(value) in {str, int, float, bool}:
        return value
    if isinstance(value, Money):
        return [value.minor, value.currency]
    if isinstance(value, datetime):
        return to_ms(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value // MS
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {each.name: out(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): out(each) for key, each in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(out(each) for each in value)
    if isinstance(value, tuple | list):
        return [out(each) for each in value]
    raise TypeError(f"{type(value).__name__} is not written down")


def into(kind: type[T], value: Any) -> T:
    """The value of a type again.

    Raises:
        ValueError, TypeError, LookupError: it is none.
    """
    made: T = _reader(cast(Any, kind))(value)
    return made


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        (inner,) = (each for each in arguments if each is not type(None))
        read = _reader(inner)
        return lambda value: None if value is None else read(value)
    if origin in {tuple, frozenset}:
        item = _reader(arguments[0])
        if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
            items = [_reader(each) for each in arguments]
            return lambda value: tuple(read(each) for read, each in zip(items, value, strict=True))
        return lambda value: origin(item(each) for each in value)
    if origin is not None or kind in {Any, object}:  # a mapping: as it is
        return lambda value: value
    if kind is Money:
        return lambda value: Money(int(value[0]), str(value[1]))
    if kind is datetime:
        return from_ms
    if kind is date:
        return date.fromisoformat
    if kind is timedelta:
        return lambda value: value * MS
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if is_dataclass(kind):
        return _dataclass(kind)
    return lambda value: value


def _dataclass(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = {each.name: _reader(hints[each.name]) for each in fields(kind) if each.init}

    def read(value: Mapping[str, Any]) -> Any:
        return kind(**{name: read(value[name]) for name, read in readers.items() if name in value})

    return read
