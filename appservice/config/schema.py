"""What the loader and the example need to know about a key of the models, in plain words."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined


class Kind(StrEnum):
    """What a key takes. The value is how an error names it."""

    SECTION = "a section of keys"
    LIST = "a list"
    FREE = "a section of keys, each as its reader wants it"
    SECRET = "text, or {file: PATH}"  # noqa: S105  words, not a secret
    TEXT = "text"
    CHOICE = "one of its names"
    BOOLEAN = "true or false"
    INTEGER = "a whole number"
    NUMBER = "a number"


@dataclass(frozen=True)
class Key:
    """One key: ``model`` for a section, ``item`` for the entries of a list, ``choices`` for a choice."""

    name: str
    kind: Kind
    required: bool = False
    default: Any = None
    description: str = ""
    model: type[BaseModel] | None = None
    item: Key | None = None
    choices: tuple[str, ...] = ()


@cache
def keys_of(model: type[BaseModel]) -> dict[str, Key]:
    """The keys of a model, in its order."""
    keys = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        secret = isinstance(extra, dict) and bool(extra.get("secret"))
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        keys[name] = _key(
            name,
            field.annotation,
            secret=secret,
            required=field.is_required(),
            default=None if default is PydanticUndefined else default,
            description=field.description or "",
        )
    return keys


def _key(name: str, annotation: Any, *, secret: bool = False, **about: Any) -> Key:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        (inner,) = (arg for arg in args if arg is not type(None))
        return _key(name, inner, secret=secret, **about)
    if origin is tuple:
        return Key(name, Kind.LIST, item=_key(name, args[0]), **about)
    if origin is dict:
        return Key(name, Kind.FREE, **about)
    if origin is Literal:
        return Key(name, Kind.CHOICE, choices=tuple(map(str, args)), **about)
    if not isinstance(annotation, type):
        raise TypeError(f"{name}: the loader knows no keys of type {annotation}")
    if issubclass(annotation, BaseModel):
        return Key(name, Kind.SECTION, model=annotation, **about)
    if issubclass(annotation, Enum):
        return Key(name, Kind.CHOICE, choices=tuple(str(each.value) for each in annotation), **about)
    if secret or annotation is SecretStr:
        return Key(name, Kind.SECRET, **about)
    kinds = {str: Kind.TEXT, bool: Kind.BOOLEAN, int: Kind.INTEGER, float: Kind.NUMBER}
    if annotation not in kinds:
        raise TypeError(f"{name}: the loader knows no keys of type {annotation}")
    return Key(name, kinds[annotation], **about)


def leaves(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Every key below ``model`` that is not a section, with its path."""
    for name, key in keys_of(model).items():
        if key.model is not None and key.kind is Kind.SECTION:
            yield from leaves(key.model, (*prefix, name))
        else:
            yield (*prefix, name), key


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` was probably meant to be."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None
