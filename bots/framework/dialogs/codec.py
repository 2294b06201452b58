"""How values lie in a journal: as JSON, with a tag where JSON has no form of its own.

Classes are written by module and name and found again by them: a journal is sealed with the pickle key, so nobody but
this service wrote it. One that is gone means that the dialog was changed.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from base64 import b64decode, b64encode
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from importlib import import_module
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from appservice import json
from appservice.errors import RialtoError
from bots.framework.dialogs.errors import Changed

TAG: Final = "$"


class Unrecordable(RialtoError):
    """A value that cannot be written into a journal."""

    code = "dialog_unrecordable"


def dumps(value: Any) -> bytes:
    """The value as JSON.

    Raises:
        Unrecordable: it, or something in it, cannot be found again: an open file, a function, a local class; or it is
            nested too deeply, perhaps in itself.
    """
    try:
        return json.dumps(_out(value))
    except RecursionError:
        raise Unrecordable("what is nested so deeply cannot be recorded", type=type(value).__name__) from None


def loads(data: bytes) -> Any:
    """The value again.

    Raises:
        Changed: a class it needs is gone or takes other values now.
    """
    try:
        return _in(json.loads(data))
    except (LookupError, TypeError, ValueError, AttributeError, ImportError, ArithmeticError) as error:
        raise Changed(f"a recorded value: {type(error).__name__}") from None


_SIMPLE: Final[dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]]] = {
    Decimal: ("decimal", str, Decimal),
    datetime: ("datetime", lambda v: [v.isoformat(), getattr(v.tzinfo, "key", None)], lambda v: _moment(*v)),
    date: ("date", date.isoformat, date.fromisoformat),
    time: ("time", lambda v: [v.isoformat(), getattr(v.tzinfo, "key", None), v.fold], lambda v: _clock_time(*v)),
    timedelta: (
        "duration",
        lambda v: [v.days, v.seconds, v.microseconds],
        lambda v: timedelta(v[0], v[1], v[2]),
    ),
    UUID: ("uuid", str, UUID),
    bytes: ("bytes", lambda v: b64encode(v).decode(), b64decode),
}
_BY_TAG: Final = {tag: back for tag, _, back in _SIMPLE.values()}


def _moment(text: str, zone: str | None) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(ZoneInfo(zone)) if zone else moment


def _clock_time(text: str, zone: str | None, fold: int) -> time:
    found = time.fromisoformat(text).replace(fold=fold)
    return found.replace(tzinfo=ZoneInfo(zone)) if zone else found


def _out(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in {bool, int, str}:
        return _bounded(value)
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "v": repr(value)}
    if kind is list:
        return [_out(item) for item in value]
    if kind is dict:
        if all(type(key) is str for key in value) and TAG not in value:
            return {key: _out(item) for key, item in value.items()}
        return {TAG: "dict", "v": [[_out(key), _out(item)] for key, item in value.items()]}
    if kind in {tuple, set, frozenset}:
        items = [_out(item) for item in value]
        return {TAG: kind.__name__, "v": items if kind is tuple else sorted(items, key=repr)}
    if kind in _SIMPLE:
        tag, write, _ = _SIMPLE[kind]
        return {TAG: tag, "v": write(value)}
    return {TAG: "object", "t": _name(kind), "v": _state(value)}


def _bounded(value: Any) -> Any:
    if type(value) is int and not -(2**63) <= value < 2**63:
        return {TAG: "int", "v": str(value)}
    return value


def _state(value: Any) -> Any:
    if isinstance(value, Flag):
        return value.value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, BaseModel):
        return _model(value)
    if dataclasses.is_dataclass(value):
        return {field.name: _out(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _out(item) for key, item in value._asdict().items()}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, OrderedDict | Counter):
        return [[_out(key), _out(item)] for key, item in value.items()]
    raise Unrecordable(
        f"{_name(type(value))} cannot be recorded; record plain values, dataclasses, enums or pydantic models",
        type=_name(type(value)),
    )


def _model(value: BaseModel) -> Any:
    """A pydantic model, in a form that is known to be read again: secrets, say, are not."""
    for by_alias in (False, True):
        written = value.model_dump(mode="json", by_alias=by_alias)
        try:
            if type(value).model_validate(written) == value:
                return written
        except ValidationError:
            continue
    raise Unrecordable(f"{_name(type(value))} does not come back from its own JSON", type=_name(type(value)))


def _name(kind: type) -> str:
    if "<locals>" in kind.__qualname__:
        raise Unrecordable(
            f"{kind.__module__}.{kind.__qualname__} is made inside a function and could not be found again; "
            "define it in its module",
            type=kind.__qualname__,
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def _in(value: Any) -> Any:
    if isinstance(value, list):
        return [_in(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    if tag is None:
        return {key: _in(item) for key, item in value.items()}
    inner = value["v"]
    if tag == "object":
        return _object(value["t"], inner)
    if tag == "dict":
        return {_in(key): _in(item) for key, item in inner}
    if tag in {"tuple", "set", "frozenset"}:
        items = [_in(item) for item in inner]
        return {"tuple": tuple, "set": set, "frozenset": frozenset}[tag](items)
    if tag == "float":
        return float(inner)
    if tag == "int":
        return int(inner)
    return _BY_TAG[tag](inner)


def _object(name: str, inner: Any) -> Any:
    try:
        kind = find(name)
        if issubclass(kind, Flag):
            return kind(inner)
        if issubclass(kind, Enum):
            return kind[inner]
        if issubclass(kind, BaseModel):
            return kind.model_validate(inner)
        if issubclass(kind, str | int):
            return kind(inner)
        if issubclass(kind, OrderedDict | Counter):
            return kind({_in(key): _in(item) for key, item in inner})
        return kind(**{key: _in(item) for key, item in inner.items()})
    except (KeyError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise Changed(f"{name}: {type(error).__name__}") from None


def find(name: str) -> Any:
    """A class by ``module:name``."""
    module_name, _, path = name.partition(":")
    found: Any = sys.modules.get(module_name) or import_module(module_name)
    for part in path.split("."):
        found = getattr(found, part)
    return found
