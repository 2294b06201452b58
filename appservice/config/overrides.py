"""Environment variables over the file: ``RIALTO__DATABASE__URL``, ``RIALTO__BOTS__0__ENABLED``, ``…__AS_TOKEN_FILE``.

Two underscores go one level down. Text is taken as it stands, other kinds are read as YAML (so JSON works too).
A bot is named by its index in the list, counted from 0; the index after the last adds one. An empty variable
counts as not set. Below a free section (a plugin's settings) every name is a key, in lower case; a list or a mapping
is read as YAML, anything else is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from appservice.config.document import Value, parse
from appservice.config.problems import Place, Problem
from appservice.config.schema import Key, Kind, keys_of, leaves, nearest

PREFIX: Final = "RIALTO__"
FILE_SUFFIX: Final = "_file"
_RAW: Final = {Kind.TEXT, Kind.SECRET, Kind.CHOICE}


def apply_overrides(root: Value, model: type[BaseModel], environ: Mapping[str, str]) -> list[Problem]:
    """Set in ``root`` (a mapping) what ``environ`` overrides; returns what could not be understood."""
    problems: list[Problem] = []
    origin: dict[tuple[str, ...], str] = {}
    for variable in sorted((each for each in environ if each.startswith(PREFIX) and environ[each]), key=_order):
        try:
            path = _apply(root, model, variable, environ[variable])
        except _RefusedError as error:
            problems.append(Problem(Place(variable, variable=True), "", str(error)))
            continue
        if path in origin:
            words = f"sets the same key as {origin[path]}: keep one of them"
            problems.append(Problem(Place(variable, variable=True), "", words))
        origin[path] = variable
    return problems


class _RefusedError(Exception):
    """The words follow the variable's name."""


def _order(variable: str) -> list[tuple[int, int, str]]:
    """Whole lists before their items, items in numeric order."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in variable.split("__")]


def _apply(root: Value, model: type[BaseModel], variable: str, text: str) -> tuple[str, ...]:
    place = Place(variable, variable=True)
    parts = variable.removeprefix(PREFIX).lower().split("__")
    here, path = root, []
    while True:
        key, from_file = _key(keys_of(model), parts.pop(0), variable)
        path.append(key.name)
        if not parts:
            _mapping(here)[key.name] = _value(key, place, text, from_file)
            return tuple(path)
        if key.kind is Kind.SECTION and key.model is not None:
            here, model = _section(here, key, place), key.model
        elif key.kind is Kind.LIST and key.item is not None and parts[0].isdecimal() and len(parts[0]) <= 6:
            index = int(parts.pop(0))
            path.append(str(index))
            items = _items(here, key, place)
            if index > len(items):
                raise _RefusedError(f"names entry {index}, but the list has {len(items)} (counted from 0)")
            if not parts:
                if key.item.kind is Kind.SECTION:
                    raise _RefusedError("names a whole entry: set one of its keys, or the whole list")
                items[index : index + 1] = [_value(key.item, place, text, False)]
                return tuple(path)
            if key.item.model is None:
                raise _RefusedError(_unknown(variable))
            if index == len(items):
                items.append(Value(place, {}))
            here, model = items[index], key.item.model
        elif key.kind is Kind.FREE and all(parts):
            return (*path, *_below(_section(here, key, place), parts, place, text))
        else:
            raise _RefusedError(_unknown(variable))


def _key(keys: Mapping[str, Key], part: str, variable: str) -> tuple[Key, bool]:
    """The key, and whether its value is to be read from a file."""
    key = keys.get(part)
    if key is not None:
        return key, False
    key = keys.get(part.removesuffix(FILE_SUFFIX)) if part.endswith(FILE_SUFFIX) else None
    if key is None or key.kind is not Kind.SECRET:
        raise _RefusedError(_unknown(variable))
    return key, True


def _below(here: Value, parts: list[str], place: Place, text: str) -> list[str]:
    for part in parts[:-1]:
        here = _mapping(here).setdefault(part, Value(place, {}))
    value, problems = parse(text, lambda _: place)
    if value is None or problems or not isinstance(value.data, dict | list):
        value = Value(place, text)
    _mapping(here)[parts[-1]] = value
    return parts


def _mapping(value: Value) -> dict[str, Value]:
    if value.data is None:
        value.data = {}
    if not isinstance(value.data, dict):
        raise _RefusedError(f"names a key of something that is not a section ({value.place})")
    members: dict[str, Value] = value.data
    return members


def _section(here: Value, key: Key, place: Place) -> Value:
    members = _mapping(here)
    if key.name not in members:
        members[key.name] = Value(place, {})
    return members[key.name]


def _items(here: Value, key: Key, place: Place) -> list[Value]:
    """The list to change: that of the file, or else a copy of the default."""
    members = _mapping(here)
    if key.name not in members:
        members[key.name] = _as_value([_dump(each) for each in key.default or ()], place)
    items = members[key.name].data
    if not isinstance(items, list):
        raise _RefusedError("names an entry of something that is not a list")
    return items


def _dump(entry: Any) -> Any:
    return entry.model_dump(mode="json") if isinstance(entry, BaseModel) else entry


def _as_value(data: Any, place: Place) -> Value:
    if isinstance(data, dict):
        return Value(place, {name: _as_value(each, place) for name, each in data.items()})
    if isinstance(data, list):
        return Value(place, [_as_value(each, place) for each in data])
    return Value(place, data)


def _value(key: Key, place: Place, text: str, from_file: bool) -> Value:
    if from_file:
        return Value(place, {"file": Value(place, text)})
    if key.kind is Kind.SECTION:
        first = next(iter(keys_of(key.model))) if key.model is not None else ""
        raise _RefusedError(f"names a section: set one of its keys, like {place.source}__{first.upper()}")
    if key.kind in _RAW:
        return Value(place, text)
    value, problems = parse(text, lambda _: place)
    if problems or value is None:
        raise _RefusedError(f"needs {key.kind.value} as YAML or JSON")
    return value


def _unknown(variable: str) -> str:
    from appservice.config.models import Config

    names = [PREFIX + "__".join(path).upper() for path, _ in leaves(Config)]
    names += [f"{name}_FILE" for name in _secret_variables(Config)]
    known = nearest(re.sub(r"__\d+__", "__0__", variable).upper(), [each.lower() for each in names])
    hint = f", did you mean {known.upper()}?" if known else ""
    return f"is not a key of the configuration{hint}"


def _secret_variables(model: type[BaseModel]) -> Iterator[str]:
    for path, key in leaves(model):
        if key.kind is Kind.SECRET:
            yield PREFIX + "__".join(path).upper()
