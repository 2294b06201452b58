"""Looking at a handler once, when it is defined: its parameters, or why it is impossible."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MethodType, SimpleNamespace, UnionType
from typing import Any, Final, get_args, get_origin

from bots.framework.arguments.converters import Converter, Unsupported, converter_for
from bots.framework.arguments.errors import SignatureError

MISSING: Final = inspect.Parameter.empty


class Kind(Enum):
    """How a parameter is given."""

    POSITIONAL = "positional"
    MANY = "many"
    """A ``list[X]``: as many as there are."""
    VARARGS = "varargs"
    """A ``*args: X``."""
    KEYWORD = "keyword"
    """Only by its name."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a handler. ``label`` is what people call it: its name with hyphens."""

    name: str
    kind: Kind
    converter: Converter
    default: Any = MISSING
    several: bool = False

    @property
    def label(self) -> str:
        """The name as it is shown."""
        return self.name.replace("_", "-").strip("-")

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is MISSING and self.kind is not Kind.VARARGS


class Definition:
    """A handler under inspection. ``owner`` is the plugin class: for messages, and for names that its body defines."""

    def __init__(self, function: Callable[..., Any], owner: type | None) -> None:
        method = function if isinstance(function, MethodType) else None
        self.function: Any = inspect.unwrap(method.__func__ if method is not None else function)
        self._bound = method is not None
        if owner is None and method is not None:
            owner = type(method.__self__)
        self._owner = owner

    @property
    def where(self) -> str:
        """File, line, class and function."""
        code = getattr(self.function, "__code__", None)
        name = getattr(self.function, "__qualname__", repr(self.function))
        if self._owner is not None:
            name = f"{self._owner.__qualname__}.{name.rpartition('.')[2]}"
        name = name.rpartition("<locals>.")[2]
        return f"{Path(code.co_filename)}:{code.co_firstlineno}: {name}" if code is not None else name

    def refuse(self, why: str) -> SignatureError:
        """The error that says why, and where."""
        code = getattr(self.function, "__code__", None)
        fields = {"file": code.co_filename, "line": code.co_firstlineno} if code is not None else {}
        return SignatureError(f"{self.where}: {why}", function=getattr(self.function, "__qualname__", ""), **fields)

    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters behind ``self`` and the context. Raises :class:`SignatureError`."""
        if not callable(self.function) or not hasattr(self.function, "__code__"):
            raise self.refuse("is no function; write async def")
        if not inspect.iscoroutinefunction(self.function):
            raise self.refuse("has to be a coroutine function: write async def")
        every = list(inspect.signature(self.function).parameters.values())
        method = self._bound or bool(every and every[0].name == "self")
        lead = 2 if method else 1
        plain = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
        if len(every) < lead or any(parameter.kind not in plain for parameter in every[:lead]):
            place, wanted = ("second", "self, ctx") if method else ("first", "ctx")
            raise self.refuse(f"takes the context as its {place} parameter: write ({wanted}, …)")
        found = tuple(self._parameter(parameter) for parameter in every[lead:])
        self._check_order(found)
        return found

    def _parameter(self, parameter: inspect.Parameter) -> Parameter:
        name = parameter.name
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise self.refuse(
                f"parameter {name!r} is positional-only, and arguments are handed over by name: remove the /"
            )
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            raise self.refuse(
                f"parameter **{name} leaves open which names there are: write each as a keyword parameter"
            )
        if parameter.annotation is MISSING:
            raise self.refuse(f"parameter {name!r} has no annotation: write for example {name}: str")
        if isinstance(parameter.default, (list, dict, set, bytearray)):
            raise self.refuse(
                f"parameter {name!r} has a mutable default, which all calls would share: write None or ()"
            )
        annotation = self._resolve(name, parameter.annotation)
        kind, several = Kind.POSITIONAL, False
        item = _item(annotation)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            kind, several = Kind.VARARGS, True
        elif item is not None:
            annotation, kind, several = item, Kind.MANY, True
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            kind = Kind.KEYWORD
        try:
            converter = converter_for(annotation)
        except Unsupported as error:
            raise self.refuse(f"parameter {name!r}: {error}") from None
        if converter.rest and several:
            raise self.refuse(
                f"parameter {name!r}: Rest is all the text there is, not one of several: write {name}: Rest"
            )
        return Parameter(name, kind, converter, parameter.default, several)

    def _resolve(self, name: str, annotation: Any) -> Any:
        """The annotation as an object; only this one, so that names imported for type checkers alone do no harm
        elsewhere."""
        holder: Any = SimpleNamespace(__annotations__={name: annotation})
        own: Mapping[str, Any] = vars(self._owner) if self._owner is not None else {}
        try:
            return typing.get_type_hints(holder, self.function.__globals__, dict(own), include_extras=True)[name]
        except NameError as error:
            raise self.refuse(
                f"parameter {name!r} is annotated with {annotation!r}, and {error.name!r} is not known in the module: "
                "import it, and not for type checkers alone"
            ) from None
        except (TypeError, SyntaxError, AttributeError) as error:
            raise self.refuse(f"parameter {name!r}: {annotation!r} is no annotation: {error}") from None

    def _check_order(self, found: tuple[Parameter, ...]) -> None:
        positional = [parameter for parameter in found if parameter.kind is not Kind.KEYWORD]
        for parameter in positional[:-1]:
            if parameter.converter.rest or parameter.kind in {Kind.MANY, Kind.VARARGS}:
                what = "Rest" if parameter.converter.rest else "a list"
                raise self.refuse(
                    f"parameter {parameter.name!r} is {what}, which takes all that is left, "
                    f"and {positional[-1].name!r} comes behind it: "
                    "put it last, or make those behind it keyword parameters with *"
                )
        labels: dict[str, str] = {}
        for parameter in found:
            if (other := labels.setdefault(parameter.label.casefold(), parameter.name)) != parameter.name:
                raise self.refuse(f"parameters {other!r} and {parameter.name!r} look the same to people: rename one")


def _item(annotation: Any) -> Any:
    """``X`` of ``list[X]`` or ``list[X] | None``; None for anything else."""
    if get_origin(annotation) is list:
        return get_args(annotation)[0]
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) in {typing.Union, UnionType} and len(kinds) == 1:
        return _item(kinds[0])
    return None
