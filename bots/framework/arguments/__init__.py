"""Text becomes typed values: the arguments of commands, and the answers in dialogs.

A handler's annotations say what its arguments are; :class:`Signature` is made of them once, when the plugin is
loaded, and parses the text behind
the command. A type of a plugin's own takes part by a classmethod ``__argument__(cls, text, env)`` that returns a
value or raises
``ValueError``; ``__argument_expected__`` ("a table number") tells people what is wanted, ``__argument_words__`` how
many words one value may
have. The parsers stand alone too: ``await d.ask("Where to?", parse=place)``.
"""

from bots.framework.arguments.converters import Converter, Parser, Range, Rest, Unsupported, converter_for, parser_for
from bots.framework.arguments.definition import Kind, Parameter
from bots.framework.arguments.durations import JOINERS, NUMBERS, UNITS, duration
from bots.framework.arguments.environment import ParseEnv
from bots.framework.arguments.errors import ArgumentError, InvalidValue, SignatureError, Text
from bots.framework.arguments.identifiers import RoomAlias, UserID
from bots.framework.arguments.places import Place, place, place_of
from bots.framework.arguments.scalars import YES_WORDS, alias, decimal, integer, money, user, yes_no
from bots.framework.arguments.signature import Signature
from bots.framework.arguments.times import TERMS, date_, time_, when
from bots.framework.arguments.tokens import quote
from bots.framework.arguments.words import fold, nearest

VOCABULARIES = (YES_WORDS, TERMS, UNITS, NUMBERS, JOINERS)
"""The words that are understood: the values are msgids, alternatives with ``|`` between, for catalogues."""

__all__ = [
    "VOCABULARIES",
    "ArgumentError",
    "Converter",
    "InvalidValue",
    "Kind",
    "Parameter",
    "ParseEnv",
    "Parser",
    "Place",
    "Range",
    "Rest",
    "RoomAlias",
    "Signature",
    "SignatureError",
    "Text",
    "Unsupported",
    "UserID",
    "alias",
    "converter_for",
    "date_",
    "decimal",
    "duration",
    "fold",
    "integer",
    "money",
    "nearest",
    "parser_for",
    "place",
    "place_of",
    "quote",
    "time_",
    "user",
    "when",
    "yes_no",
]
