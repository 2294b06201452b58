"""Numbers, amounts, yes and no, people and rooms: one text in, one value out, or :class:`InvalidValue`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from bots.domain.money import MESSAGES, Money, MoneyError
from bots.domain.numerals import NumeralError, read_number
from bots.framework.arguments.environment import ParseEnv
from bots.framework.arguments.errors import InvalidValue, Text, shorten
from bots.framework.arguments.identifiers import RoomAlias, UserID, read_alias, read_user
from bots.framework.arguments.mentions import mentioned, pills_of
from bots.framework.arguments.words import fold, nearest

INTEGER: Final = Text("a whole number")
DECIMAL: Final = Text("a number")
AMOUNT: Final = Text("an amount of money such as 12.50 EUR")
YES_NO: Final = Text("yes or no")
USER: Final = Text("a person such as @alice:example.org")
ALIAS: Final = Text("a room address such as #kitchen:example.org")

YES_WORDS: Final[Mapping[str, str]] = MappingProxyType({"yes": "yes|y|true|on|1", "no": "no|n|false|off|0"})
"""The words for yes and no: a msgid lists them with ``|`` between."""

_CODES_THAT_ARE_WORDS: Final = frozenset(
    {
        "ALL",
        "AMD",
        "ARS",
        "BAM",
        "BOB",
        "CAD",
        "CHE",
        "COP",
        "CUP",
        "DOP",
        "ERN",
        "GEL",
        "LAK",
        "MAD",
        "MOP",
        "MUR",
        "MXN",
        "NAD",
        "PAB",
        "PEN",
        "RON",
        "SAR",
        "SEK",
        "SOS",
        "STN",
        "TOP",
        "TRY",
    }
)


_GROUPS: Final = re.compile(r"(?:[^\d\s]+\s*)?\d{1,3}(?:\s+\d{3})+")


def integer(text: str, env: ParseEnv) -> int:
    """A whole number."""
    number = _number(text, env, INTEGER)
    if number.as_tuple().exponent != 0:
        raise InvalidValue.of(text, INTEGER)
    return int(number)


def decimal(text: str, env: ParseEnv) -> Decimal:
    """A number with the decimals that were written."""
    return _number(text, env, DECIMAL)


def _number(text: str, env: ParseEnv, expected: Text) -> Decimal:
    try:
        return read_number(text, env.language)
    except NumeralError as error:
        if error.code == "ambiguous":
            raise InvalidValue(
                "argument.ambiguous_number",
                "“{given}” can be read in two ways: write it without a mark between the thousands.",
                clear=True,
                given=shorten(text),
            ) from None
        raise InvalidValue.of(text, expected) from None


def money(text: str, env: ParseEnv) -> Money:
    """An amount of money, in the currency that is named or the default one."""
    try:
        return Money.parse(text, env.default_currency, env.language)
    except MoneyError as error:
        raise InvalidValue.of_money(error) from None


def money_words(text: str, env: ParseEnv) -> bool:
    """Whether several words in a row may be one amount: “5 EUR” is, “5 all” of “5 all in” is not.

    Raises :class:`InvalidValue` for “5 200” without a currency behind it: five, or five thousand?
    """
    words = text.split()
    if _GROUPS.fullmatch(text):
        raise InvalidValue(
            "money.ambiguous_number", MESSAGES["money.ambiguous_number"], clear=True, given=shorten(text)
        )
    if words[-1][-1].isdigit():
        return len(words) == 2 and not any(char.isdigit() for char in words[0])
    return env.default_currency is None or words[-1].upper() not in _CODES_THAT_ARE_WORDS or words[-1].isupper()


def yes_no(text: str, env: ParseEnv) -> bool:
    """Yes or no, in English or the person's language."""
    name = env.vocabulary(YES_WORDS).get(text)
    if name is None:
        raise InvalidValue.of(text, YES_NO)
    return name == "yes"


def user(text: str, env: ParseEnv) -> UserID:
    """A person: ``@alice:server``, ``@alice``, a matrix.to link or matrix: URI, or somebody whom the message
    mentions."""
    name = text.strip()
    for pill in pills_of(env.content):
        if pill.name == name and (found := read_user(pill.user_id, env.server_name)):
            return found
    bare = name.removeprefix("@").casefold()
    of_that_name = {other for other in mentioned(env.content) if other.partition(":")[0].casefold() == "@" + bare}
    if len(of_that_name) == 1 and (found := read_user(of_that_name.pop(), env.server_name)):
        return found
    found = read_user(name, env.server_name)
    if found is None:
        raise InvalidValue.of(text, USER)
    return found


def alias(text: str, env: ParseEnv) -> RoomAlias:
    """A room: ``#name:server``, ``#name``, a matrix.to link or matrix: URI."""
    found = read_alias(text.strip(), env.server_name)
    if found is None:
        raise InvalidValue.of(text, ALIAS)
    return found


def word(text: str, env: ParseEnv) -> str:
    """The text as it is."""
    return text


class Choice:
    """One of a set of values, by any of its names, without case and accents; _ and - are spaces."""

    def __init__(self, names: Mapping[str, object], labels: tuple[str, ...]) -> None:
        self._values = {self._key(name): value for name, value in names.items()}
        self.labels = labels
        self.expected = Text("one of {choices}", {"choices": ", ".join(labels)})

    @staticmethod
    def _key(name: str) -> str:
        return fold(re.sub(r"[_-]", " ", name))

    def __call__(self, text: str, env: ParseEnv) -> object:
        """The value of that name."""
        key = self._key(text)
        if key not in self._values:
            raise InvalidValue.of(text, self.expected, nearest=nearest(text, self.labels))
        return self._values[key]
