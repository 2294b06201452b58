"""The text behind a command becomes the typed arguments of its handler."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NewType, Self
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.money import Money
from bots.framework.arguments import (
    ArgumentError,
    InvalidValue,
    ParseEnv,
    Place,
    Range,
    Rest,
    RoomAlias,
    Signature,
    SignatureError,
    UserID,
    parser_for,
    place,
    quote,
)

if TYPE_CHECKING:
    from collections.abc import Sequence as Unknown

NOW = datetime(2026, 3, 26, 9, 0, tzinfo=UTC)
Seat = NewType("Seat", int)


class Size(Enum):
    SMALL = "small"
    MEDIUM = "medium"
    EXTRA_LARGE = "XL"


class Drink(Enum):
    COLD_BREW = 1
    CAFE_CREME = 2


@dataclass(frozen=True)
class Table:
    """A plugin's own type."""

    number: int

    __argument_expected__ = "a table such as T7"

    @classmethod
    def __argument__(cls, text: str, env: ParseEnv) -> Self:
        if not text.startswith("T"):
            raise ValueError(text)
        return cls(int(text[1:]))


class German:
    language = "de"
    words: ClassVar[dict[str, str]] = {
        "yes|y|true|on|1": "ja|j|an|wahr",
        "no|n|false|off|0": "nein|aus|falsch",
        "{argument}: {problem}": "{argument} – {problem}",
        "“{given}” is not {expected}.": "„{given}“ ist nicht {expected}.",
        "yes or no": "ja oder nein",
        "sugar": "Zucker",
    }

    def t(self, text: str, /, **values: Any) -> str:
        text = self.words.get(text, text)
        return text.format(**values) if values else text

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        return self.t(one if count == 1 else many, count=count, **values)


def env(**changes: Any) -> ParseEnv:
    given: dict[str, Any] = {
        "now": NOW,
        "zone": ZoneInfo("Europe/Berlin"),
        "server_name": "example.org",
        "default_currency": "EUR",
    }
    return ParseEnv(**{**given, **changes})


async def pay(ctx: object, to: UserID, amount: Money, memo: Rest = "") -> None: ...
async def coffee(
    ctx: object, size: Size = Size.MEDIUM, *, sugar: bool = False, cups: Annotated[int, Range(1, 10)] = 1
) -> None: ...
async def kinds(
    ctx: object, a: int, b: Decimal, c: bool, d: Literal["red", "dark green"], e: RoomAlias | None = None
) -> None: ...
async def tags(ctx: object, first: str, rest: list[str]) -> None: ...
async def add(ctx: object, *numbers: int) -> None: ...
async def remind(ctx: object, when: datetime, text: Rest) -> None: ...
async def book(ctx: object, table: Table, day: date, hours: timedelta = timedelta(hours=2)) -> None: ...
async def ride(ctx: object, to: Place, seat: Seat = Seat(1)) -> None: ...
async def echo(ctx: object, word: str, other: str = "") -> None: ...
async def drink(ctx: object, what: Drink, note: Rest = "") -> None: ...


def parse(function: Any, text: str, **changes: Any) -> dict[str, Any]:
    return Signature.of(function).parse(text, env(**changes))


def refused(function: Any, text: str, **changes: Any) -> ArgumentError:
    with pytest.raises(ArgumentError) as caught:
        parse(function, text, **changes)
    return caught.value


ALICE = UserID("@alice:example.org")


@pytest.mark.parametrize(
    ("function", "text", "expected"),
    [
        (pay, "@alice 5 EUR for  “the tea”", {"to": ALICE, "amount": Money(500, "EUR"), "memo": "for  “the tea”"}),
        (pay, "@alice:example.org 5", {"to": ALICE, "amount": Money(500, "EUR"), "memo": ""}),
        (pay, "@alice 5 all in all", {"to": ALICE, "amount": Money(500, "EUR"), "memo": "all in all"}),
        (pay, "@alice 5 usd tip", {"to": ALICE, "amount": Money(500, "USD"), "memo": "tip"}),
        (pay, "@alice 1 234,50 EUR tip", {"to": ALICE, "amount": Money(123450, "EUR"), "memo": "tip"}),
        (pay, "@alice EUR 5 tip", {"to": ALICE, "amount": Money(500, "EUR"), "memo": "tip"}),
        (pay, "amount=5 to=@alice tip", {"to": ALICE, "amount": Money(500, "EUR"), "memo": "tip"}),
        (pay, "@alice 5 to=you", {"to": ALICE, "amount": Money(500, "EUR"), "memo": "to=you"}),
        (pay, "@alice 5 --fast please", {"to": ALICE, "amount": Money(500, "EUR"), "memo": "--fast please"}),
        (pay, "https://matrix.to/#/%40alice%3Aexample.org 5", {"to": ALICE, "amount": Money(500, "EUR"), "memo": ""}),
        (
            pay,
            "[Al D](https://matrix.to/#/@alice:example.org) 5",
            {"to": ALICE, "amount": Money(500, "EUR"), "memo": ""},
        ),
        (coffee, "", {"size": Size.MEDIUM, "sugar": False, "cups": 1}),
        (coffee, "Extra-Large", {"size": Size.EXTRA_LARGE, "sugar": False, "cups": 1}),
        (coffee, "xl --sugar", {"size": Size.EXTRA_LARGE, "sugar": True, "cups": 1}),
        (coffee, "--cups 3 small --no-sugar", {"size": Size.SMALL, "sugar": False, "cups": 3}),
        (coffee, "sugar=yes CUPS=2", {"size": Size.MEDIUM, "sugar": True, "cups": 2}),
        (coffee, "--sugar=off --size=small", {"size": Size.SMALL, "sugar": False, "cups": 1}),
        (kinds, "-3 1.50 on red", {"a": -3, "b": Decimal("1.50"), "c": True, "d": "red", "e": None}),
        (
            kinds,
            "1 2 no dark green #x",
            {"a": 1, "b": Decimal(2), "c": False, "d": "dark green", "e": "#x:example.org"},
        ),
        (tags, 'a b "c d" e', {"first": "a", "rest": ["b", "c d", "e"]}),
        (tags, "a --rest b --rest c", {"first": "a", "rest": ["b", "c"]}),
        (add, "", {"numbers": ()}),
        (add, "1 2 3", {"numbers": (1, 2, 3)}),
        (remind, "in 2 hours buy “milk”", {"when": NOW + timedelta(hours=2), "text": "buy “milk”"}),
        (remind, "tomorrow at 9 buy 3 eggs", {"when": datetime(2026, 3, 27, 8, tzinfo=UTC), "text": "buy 3 eggs"}),
        (remind, "monday 5 eggs", {"when": datetime(2026, 3, 30, 7, tzinfo=UTC), "text": "5 eggs"}),
        (remind, '"18:30" at home', {"when": datetime(2026, 3, 26, 17, 30, tzinfo=UTC), "text": "at home"}),
        (book, "T7 5 may 3 hours", {"table": Table(7), "day": date(2026, 5, 5), "hours": timedelta(hours=3)}),
        (ride, "52.52, 13.40 2", {"to": Place(52.52, 13.4), "seat": 2}),
        (echo, r"\"a\" b\ c", {"word": '"a"', "other": "b c"}),
        (echo, "don't ¯\\_(ツ)_/¯", {"word": "don't", "other": "¯\\_(ツ)_/¯"}),
        (echo, "'it's so' „zwei Wörter“", {"word": "it's so", "other": "zwei Wörter"}),
        (echo, "«un deux» ’tis", {"word": "un deux", "other": "’tis"}),
        (echo, "a=b c", {"word": "a=b", "other": "c"}),
        (echo, "-- --word", {"word": "--word", "other": ""}),
        (echo, '"" x', {"word": "", "other": "x"}),
        (drink, "café crème please", {"what": Drink.CAFE_CREME, "note": "please"}),
        (drink, "COLD_BREW now", {"what": Drink.COLD_BREW, "note": "now"}),
    ],
)
def test_parsed(function: Any, text: str, expected: dict[str, Any]) -> None:
    assert parse(function, text) == expected


@pytest.mark.parametrize(
    ("function", "text", "code", "sentence"),
    [
        (pay, "", "argument.missing", "“to” is missing: expected a person such as @alice:example.org."),
        (pay, "@alice", "argument.missing", "“amount” is missing: expected an amount of money such as 12.50 EUR."),
        (pay, "alice 5", "argument.invalid", "to: “alice” is not a person such as @alice:example.org."),
        (pay, "@alice five", "argument.invalid", "amount: “five” is not an amount of money such as 12.50 EUR."),
        (pay, "@alice 5.555 EUR", "argument.invalid", "amount: EUR has at most 2 decimals, and “5.555 EUR” has 3."),
        (pay, "@alice 5 200 grams", "argument.invalid", None),
        (pay, "@alice -5", "argument.invalid", "amount: “-5” is less than nothing."),
        (coffee, "smal", "argument.invalid", "size: “smal” is not one of small, medium, XL. Did you mean “small”?"),
        (
            coffee,
            "small big",
            "argument.too_many",
            "I do not know what to do with “big”: that is more than I expected.",
        ),
        (coffee, "--cups 11", "argument.invalid", "cups: It may be at most 10."),
        (coffee, "--cups 0", "argument.invalid", "cups: It has to be at least 1."),
        (coffee, "--sugr", "argument.unknown_option", "There is no option “--sugr”. Did you mean “--sugar”?"),
        (coffee, "--cups", "argument.needs_value", "“cups” needs a value: a whole number."),
        (coffee, "--cups --sugar", "argument.needs_value", "“cups” needs a value: a whole number."),
        (coffee, "--cups 1 cups=2", "argument.repeated", "“cups” is given twice."),
        (kinds, "x 1 on red", "argument.invalid", "a: “x” is not a whole number."),
        (kinds, "1 1 perhaps red", "argument.invalid", "c: “perhaps” is not yes or no."),
        (
            kinds,
            "1 1 on dark gren",
            "argument.invalid",
            "d: “dark gren” is not one of red, dark green. Did you mean “dark green”?",
        ),
        (tags, "a", "argument.missing", "“rest” is missing: expected a text."),
        (echo, 'a "b', "argument.unclosed_quote", 'The quotation that begins with "b does not end: add ".'),
        (book, "7 today", "argument.invalid", "table: “7” is not a table such as T7."),
        (book, "Tx today", "argument.invalid", "table: “Tx” is not a table such as T7."),
        (book, "T7 31 february", "argument.invalid", "day: There is no such day as “31 february”."),
        (remind, "whenever buy milk", "argument.invalid", None),
    ],
)
def test_refused(function: Any, text: str, code: str, sentence: str | None) -> None:
    error = refused(function, text)
    assert error.code == code
    if sentence is not None:
        assert error.human == sentence


def test_an_error_tells_logs_nothing_that_a_person_wrote() -> None:
    error = refused(pay, "@alice hunter")
    assert (error.argument, error.fields) == ("amount", {"argument": "amount", "problem": "money.not_an_amount"})
    assert "hunter" in error.human
    assert "hunter" not in str(error)
    assert "hunter" not in str(error.fields)


def test_words_and_errors_in_the_language_of_the_person() -> None:
    async def stir(ctx: object, sugar: bool) -> None: ...

    assert parse(stir, "Ja", translator=German()) == {"sugar": True}
    assert parse(stir, "yes", translator=German()) == {"sugar": True}
    assert refused(stir, "oui", translator=German()).say(German()) == "Zucker – „oui“ ist nicht ja oder nein."


def test_people_in_a_pill() -> None:
    content = {
        "body": "bot: pay Alice Doe 5 EUR for Bob",
        "format": "org.matrix.custom.html",
        "formatted_body": '<mx-reply><a href="https://matrix.to/#/@eve:x.org">Alice Doe</a></mx-reply>'
        '<a href="https://matrix.to/#/@bot:x.org">bot</a>: pay '
        '<a href="https://matrix.to/#/@ad:other.org">Alice <b>Doe</b></a>'
        ' 5 EUR for <a href="https://matrix.to/#/%40bob%3Ax.org">Bob</a>',
    }
    values = parse(pay, "Alice Doe 5 EUR for Bob", content=content)
    assert values == {"to": "@ad:other.org", "amount": Money(500, "EUR"), "memo": "for Bob"}
    assert parse(echo, "Alice Doe", content=content) == {"word": "Alice Doe", "other": ""}
    assert parser_for(UserID)("Alice Doe", env(content=content)) == "@ad:other.org"


def test_two_people_of_one_name_are_told_apart_by_their_order() -> None:
    async def pair(ctx: object, first: UserID, second: UserID) -> None: ...

    link = '<a href="https://matrix.to/#/@alex{}:x.org">Alex</a>'
    content = {
        "format": "org.matrix.custom.html",
        "formatted_body": f"{link.format(0)}: pair {link.format(1)} {link.format(2)}",
    }
    assert parse(pair, "Alex, Alex", content=content) == {"first": "@alex1:x.org", "second": "@alex2:x.org"}


def test_a_bare_name_is_the_person_whom_the_message_mentions() -> None:
    content = {"m.mentions": {"user_ids": ["@alice:other.org", 7]}}
    assert parse(pay, "@Alice 5", content=content)["to"] == "@alice:other.org"
    assert parse(pay, "@bob 5", content=content)["to"] == "@bob:example.org"


def test_a_shared_place_is_an_argument() -> None:
    content = {"msgtype": "m.location", "body": "Here", "geo_uri": "geo:52.5,13.4;u=10"}
    assert parse(ride, "", content=content) == {"to": Place(52.5, 13.4), "seat": 1}
    assert refused(ride, "").code == "argument.missing"


@given(st.lists(st.text(), max_size=5))
def test_a_quoted_text_is_read_back_exactly(words: list[str]) -> None:
    async def many(ctx: object, *words: str) -> None: ...

    assert parse(many, " ".join(map(quote, words))) == {"words": tuple(words)}


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for function in (pay, coffee, remind, book, ride, tags, kinds):
        try:
            parse(function, text)
        except ArgumentError as error:
            assert error.human


@given(st.text())
def test_a_rest_is_untouched(text: str) -> None:
    async def note(ctx: object, text: Rest = "") -> None: ...

    value = parse(note, f"x {text}")["text"]
    assert value == f"x {text}".rstrip()


def test_structured_arguments() -> None:
    signature = Signature.of(coffee)
    assert signature.parse_structured({"size": "XL", "sugar": True, "cups": 3}, env()) == {
        "size": Size.EXTRA_LARGE,
        "sugar": True,
        "cups": 3,
    }
    assert Signature.of(tags).parse_structured({"first": "a", "rest": ["b c"]}, env()) == {
        "first": "a",
        "rest": ["b c"],
    }
    assert signature.parse_structured({"size": None}, env())["size"] is Size.MEDIUM
    for given_, code in (
        ({"cup": 1}, "argument.unknown_option"),
        ({"cups": 99}, "argument.invalid"),
        ({"cups": {}}, "argument.invalid"),
    ):
        with pytest.raises(ArgumentError) as caught:
            signature.parse_structured(given_, env())
        assert caught.value.code == code


def test_the_arguments_of_a_call() -> None:
    async def mixed(ctx: object, a: int, *more: int, loud: bool = False) -> dict[str, Any]:
        return {"a": a, "more": more, "loud": loud}

    signature = Signature.of(mixed)
    args, kwargs = signature.arguments(signature.parse("1 2 3 --loud", env()))
    assert (args, kwargs) == ((1, 2, 3), {"loud": True})
    assert inspect.signature(mixed).bind(None, *args, **kwargs)
    assert Signature.of(echo).arguments({"word": "a", "other": "b"}) == ((), {"word": "a", "other": "b"})


@pytest.mark.parametrize(
    ("function", "usage"),
    [
        (pay, "x <to> <amount> [memo…]"),
        (coffee, "x [size] [--sugar] [--cups <cups>]"),
        (tags, "x <first> <rest…>"),
        (add, "x [numbers…]"),
    ],
)
def test_usage(function: Any, usage: str) -> None:
    assert Signature.of(function).usage("x") == usage


class Shop:
    """A plugin with handlers that cannot be."""

    class Colour(Enum):
        RED = "red"

    async def fine(self, ctx: object, colour: Colour) -> None: ...
    async def number(self, ctx: object, n: float) -> None: ...
    async def bare(self, ctx: object, n) -> None: ...  # type: ignore[no-untyped-def]
    async def early(self, ctx: object, text: Rest, n: int) -> None: ...
    async def greedy(self, ctx: object, names: list[str], n: int) -> None: ...
    async def shared(self, ctx: object, names: list[str] = []) -> None: ...  # noqa: B006
    async def places(self, ctx: object, n: int, /) -> None: ...
    async def anything(self, ctx: object, **kwargs: int) -> None: ...
    async def strange(self, ctx: object, n: object) -> None: ...
    async def hidden(self, ctx: object, n: Unknown[int]) -> None: ...
    async def either(self, ctx: object, n: int | str) -> None: ...
    async def bounds(self, ctx: object, n: Annotated[str, Range(1, 2)]) -> None: ...
    async def lonely(self) -> None: ...
    async def twins(self, ctx: object, a_b: int, a_b_: int) -> None: ...
    def plain(self, ctx: object, n: int) -> None: ...
    async def empty(self, ctx: object, n: Annotated[int, Range(5, 1)]) -> None: ...


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("number", "use Decimal"),
        ("bare", "has no annotation: write for example n: str"),
        ("early", "put it last"),
        ("greedy", "put it last"),
        ("shared", "mutable default"),
        ("places", "positional-only"),
        ("anything", "**kwargs"),
        ("strange", "is not a type that text can be read into"),
        ("hidden", "not for type checkers alone"),
        ("either", "which type is meant"),
        ("bounds", "Range is for"),
        ("lonely", "takes the context"),
        ("twins", "look the same"),
        ("plain", "async def"),
        ("empty", "leave nothing"),
    ],
)
def test_an_impossible_signature_names_class_function_file_and_line(name: str, reason: str) -> None:
    function = getattr(Shop, name)
    with pytest.raises(SignatureError) as caught:
        Signature.of(function, Shop)
    assert caught.value.human.startswith(f"{__file__}:{function.__code__.co_firstlineno}: Shop.{name}: ")
    assert reason in caught.value.human


def test_a_type_of_the_class_and_a_bound_method() -> None:
    assert Signature.of(Shop.fine, Shop).parse("RED", env()) == {"colour": Shop.Colour.RED}
    assert Signature.of(Shop().fine).parse("red", env()) == {"colour": Shop.Colour.RED}


def test_parsers_for_dialogs() -> None:
    assert parser_for(Money)(" 5 EUR ", env()) == Money(500, "EUR")
    assert parser_for(Size)("small", env()) is Size.SMALL
    assert parser_for(place) is place
    assert parser_for(Table)("T3", env()) == Table(3)
    assert parser_for(int | None)("3", env()) == 3
    assert parser_for(Place)("", env(content={"msgtype": "m.location", "geo_uri": "geo:1,2"})) == Place(1, 2)
    with pytest.raises(InvalidValue) as caught:
        parser_for(Annotated[Money, Range(Money(100, "EUR"), None)])("0.50", env())
    assert caught.value.human == "It has to be at least 1.00 EUR."
    with pytest.raises(InvalidValue, match=r"argument\.wrong_currency"):
        parser_for(Annotated[Money, Range(Money(100, "EUR"), None)])("5 USD", env())


def test_an_environment_needs_an_aware_moment() -> None:
    with pytest.raises(ValueError, match="time zone"):
        env(now=datetime(2026, 1, 1))  # noqa: DTZ001


def test_one_message_is_bounded_work() -> None:
    assert refused(add, "1 " * 101).code == "argument.too_many_values"
    pill = '<a href="https://matrix.to/#/@a:x.org">a</a>'
    content = {"format": "org.matrix.custom.html", "formatted_body": pill * 1000}
    assert parse(echo, "aa" * 10_000, content=content)["word"] == "aa" * 10_000
    with pytest.raises(ArgumentError):
        parse(remind, "in " + "9" * 50_000 + " years x")
