"""Which annotation is read how."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin

from bots.domain.money import Money, MoneyError
from bots.framework.arguments import durations, places, scalars, times
from bots.framework.arguments.environment import ParseEnv
from bots.framework.arguments.errors import InvalidValue, Text
from bots.framework.arguments.identifiers import RoomAlias, UserID
from bots.framework.arguments.places import Place

Parser = Callable[[str, ParseEnv], Any]


class _RestMark:
    """Marks the parameter that takes everything that is left."""

    def __repr__(self) -> str:
        return "Rest"


REST_MARK: Final = _RestMark()
Rest = Annotated[str, REST_MARK]
"""The last parameter's annotation for everything that is left, quotes and white space untouched. To a type checker it
is ``str``."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a parameter, both included, None for none: ``Annotated[int, Range(1, 10)]``.

    For int, Decimal, Money (amounts of another currency are refused), date, datetime, time and timedelta.
    """

    minimum: Any = None
    maximum: Any = None

    def check(self, value: Any) -> None:
        """Raises :class:`InvalidValue` for a value outside."""
        for bound in (self.minimum, self.maximum):
            if isinstance(bound, Money) and isinstance(value, Money) and bound.currency != value.currency:
                raise InvalidValue(
                    "argument.wrong_currency",
                    "It has to be in {currency}, not {given}.",
                    clear=True,
                    currency=bound.currency,
                    given=value.currency,
                )
        if self.minimum is not None and value < self.minimum:
            raise InvalidValue(
                "argument.too_small", "It has to be at least {minimum}.", clear=True, minimum=str(self.minimum)
            )
        if self.maximum is not None and value > self.maximum:
            raise InvalidValue(
                "argument.too_large", "It may be at most {maximum}.", clear=True, maximum=str(self.maximum)
            )


class Unsupported(Exception):
    """An annotation that no text can be read into; the message says why and what would do."""


_STRING: Final[Mapping[str, Any]] = types.MappingProxyType({"schema_type": "primitive", "type": "string"})


@dataclass(frozen=True, slots=True)
class Converter:
    """How one annotation is read.

    ``words`` is the most words that one value has, ``span`` says which runs of words may be one; ``schema`` is the
    type for
    clients (MSC4391); ``rest`` takes the text as it stands, ``flag`` needs no value, ``mention`` takes the user id of
    a pill; ``shared``
    finds the value in a message's content instead.
    """

    convert: Parser
    expected: Text
    words: int = 1
    span: Callable[[str, ParseEnv], bool] | None = None
    schema: Mapping[str, Any] = field(default_factory=lambda: _STRING)
    choices: tuple[str, ...] = ()
    rest: bool = False
    flag: bool = False
    mention: bool = False
    shared: Callable[[Mapping[str, Any]], Any] | None = None
    description: str = ""


def primitive(kind: str) -> dict[str, Any]:
    """A primitive type of MSC4391."""
    return {"schema_type": "primitive", "type": kind}


def literals(values: tuple[Any, ...]) -> dict[str, Any]:
    """A choice among values, as MSC4391 has it: a union of literals."""
    kinds = {bool: "boolean", int: "integer", str: "string"}
    variants = [{"schema_type": "literal", "value": value, "literal_type": kinds[type(value)]} for value in values]
    return variants[0] if len(variants) == 1 else {"schema_type": "union", "variants": variants}


def _plain(kind: Any) -> Converter | None:
    """The converter of a class that is known by name."""
    known: dict[Any, Converter] = {
        str: Converter(scalars.word, Text("a text")),
        int: Converter(scalars.integer, scalars.INTEGER, schema=primitive("integer")),
        Decimal: Converter(scalars.decimal, scalars.DECIMAL),
        bool: Converter(scalars.yes_no, scalars.YES_NO, schema=primitive("boolean"), flag=True),
        Money: Converter(scalars.money, scalars.AMOUNT, words=5, span=scalars.money_words),
        UserID: Converter(scalars.user, scalars.USER, schema=primitive("user_id"), mention=True),
        RoomAlias: Converter(scalars.alias, scalars.ALIAS, schema=primitive("room_alias")),
        date: Converter(times.date_, times.DATE, words=5),
        time: Converter(times.time_, times.TIME, words=5),
        datetime: Converter(times.when, times.WHEN, words=9),
        timedelta: Converter(durations.duration, durations.EXPECTED, words=9),
        Place: Converter(places.place, places.EXPECTED, words=5, shared=places.place_of),
    }
    return known.get(kind) if isinstance(kind, type) else None


def converter_for(annotation: Any) -> Converter:
    """How a value of this annotation is read. Raises :class:`Unsupported`."""
    if get_origin(annotation) is Annotated:
        return _annotated(annotation)
    if isinstance(annotation, NewType):
        return converter_for(annotation.__supertype__)
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        return _optional(annotation)
    if origin is Literal:
        return _literal(get_args(annotation))
    if annotation is float:
        raise Unsupported("float cannot hold 0.10 exactly; use Decimal, int or Money")
    if (plain := _plain(annotation)) is not None:
        return plain
    if isinstance(annotation, type):
        if callable(getattr(annotation, "__argument__", None)):
            return _own(annotation)
        if issubclass(annotation, Enum):
            return _enum(annotation)
    raise Unsupported(
        f"{annotation!r} is not a type that text can be read into; use str, int, Decimal, bool, Money, UserID, "
        "RoomAlias, date, time, datetime, timedelta, Place, an Enum, Literal, Rest, list[…] of these, "
        "or a class with a classmethod __argument__(cls, text, env)"
    )


def parser_for(kind: Any) -> Parser:
    """The function ``(text, env) -> value`` for a type; a parser is its own. Raises :class:`Unsupported`, the parser
    :class:`InvalidValue`."""
    if not isinstance(kind, type) and get_origin(kind) is None and callable(kind) and not isinstance(kind, NewType):
        parser: Parser = kind
        return parser
    converter = converter_for(kind)

    def parse(text: str, env: ParseEnv) -> Any:
        if converter.shared is not None and (shared := converter.shared(env.content)) is not None:
            return shared
        return converter.convert(text if converter.rest else text.strip(), env)

    return parse


def _annotated(annotation: Any) -> Converter:
    inner, *extras = get_args(annotation)
    converter = converter_for(inner)
    for extra in extras:
        if isinstance(extra, _RestMark):
            if inner is not str:
                raise Unsupported("Rest is for text: write Rest or Annotated[str, REST_MARK]")
            converter = replace(converter, rest=True)
        elif isinstance(extra, str):
            converter = replace(converter, description=extra)
        elif isinstance(extra, Range):
            _check_range(inner, extra)
            converter = replace(converter, convert=_bounded(converter.convert, extra), shared=None)
    return converter


def _check_range(inner: Any, bounds: Range) -> None:
    kind = inner.__supertype__ if isinstance(inner, NewType) else inner
    if kind not in {int, Decimal, Money, date, datetime, time, timedelta}:
        raise Unsupported("Range is for int, Decimal, Money, date, datetime, time and timedelta")
    fitting = (int, Decimal) if kind in {int, Decimal} else kind
    for bound in (bounds.minimum, bounds.maximum):
        if bound is not None and (not isinstance(bound, fitting) or isinstance(bound, bool)):
            raise Unsupported(f"the bound {bound!r} of Range is no {kind.__name__}")
    if bounds.minimum is not None and bounds.maximum is not None and bounds.minimum > bounds.maximum:
        raise Unsupported("the bounds of Range leave nothing between them")


def _bounded(convert: Parser, bounds: Range) -> Parser:
    def parse(text: str, env: ParseEnv) -> Any:
        value = convert(text, env)
        bounds.check(value)
        return value

    return parse


def _optional(annotation: Any) -> Converter:
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if len(kinds) != 1 or len(kinds) == len(get_args(annotation)):
        raise Unsupported(f"{annotation!r} leaves open which type is meant; use one type, or one type and None")
    return converter_for(kinds[0])


def _literal(values: tuple[Any, ...]) -> Converter:
    if any(type(value) not in {str, int, bool} for value in values):
        raise Unsupported("Literal is for str, int and bool here; use an Enum")
    labels = tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in values)
    choice = scalars.Choice(dict(zip(labels, values, strict=True)), labels)
    return Converter(choice, choice.expected, words=_most_words(labels), schema=literals(values), choices=labels)


def _enum(kind: type[Enum]) -> Converter:
    if not len(kind):
        raise Unsupported(f"{kind.__name__} has no members")
    names: dict[str, object] = {}
    labels = []
    for member in kind:
        label = member.value if isinstance(member.value, str) else member.name.lower().replace("_", " ")
        labels.append(label)
        names[str(member.value)] = member
        names[label] = member
    for name, member in kind.__members__.items():
        names.setdefault(name, member)
    choice = scalars.Choice(names, tuple(labels))
    return Converter(
        choice, choice.expected, words=_most_words(tuple(names)), schema=literals(tuple(labels)), choices=tuple(labels)
    )


def _most_words(labels: tuple[str, ...]) -> int:
    return max(len(label.replace("_", " ").replace("-", " ").split()) for label in labels) or 1


def _own(kind: type) -> Converter:
    """A class of a plugin's author."""
    wanted: str = getattr(kind, "__argument_expected__", "") or f"a {kind.__name__.lower()}"
    expected = Text(wanted)
    read: Callable[[str, ParseEnv], Any] = kind.__argument__  # type: ignore[attr-defined]

    def parse(text: str, env: ParseEnv) -> Any:
        try:
            return read(text, env)
        except InvalidValue:
            raise
        except MoneyError as error:
            raise InvalidValue.of_money(error) from error
        except ValueError as error:
            raise InvalidValue.of(text, expected) from error

    return Converter(parse, expected, words=int(getattr(kind, "__argument_words__", 1)))
