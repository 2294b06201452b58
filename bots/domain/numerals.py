"""Numbers as people write them, read exactly or not at all.

A comma is a decimal mark in Berlin and groups thousands in Boston. What can be read only one way is read; of “1,234”
the person's language
decides, and without one it is refused rather than guessed. The marks of languages are those of CLDR.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Final

LONGEST: Final = 30
"""Digits of the longest number that is read."""

NUMBER: Final = r"[.,٫]?\d(?:[\d.,'’٫٬\s]*\d)?"
"""A number without its sign, as a pattern; whether it is one is for :func:`read_number` to say."""

_COMMA: Final = frozenset(
    {
        "af",
        "be",
        "bg",
        "bs",
        "ca",
        "cs",
        "da",
        "de",
        "el",
        "es",
        "et",
        "eu",
        "fi",
        "fr",
        "gl",
        "hr",
        "hu",
        "hy",
        "id",
        "is",
        "it",
        "ka",
        "kk",
        "lt",
        "lv",
        "mk",
        "nb",
        "nl",
        "nn",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sl",
        "sq",
        "sr",
        "sv",
        "tr",
        "uk",
        "uz",
        "vi",
    }
)
_POINT: Final = frozenset(
    {
        "am",
        "bn",
        "cy",
        "en",
        "fa",
        "fil",
        "ga",
        "gu",
        "he",
        "hi",
        "ja",
        "kn",
        "ko",
        "ml",
        "mr",
        "ms",
        "mt",
        "my",
        "ne",
        "pa",
        "si",
        "sw",
        "ta",
        "te",
        "th",
        "tl",
        "ur",
        "yue",
        "zh",
        "zu",
    }
)
_REGIONS: Final = {
    "de-CH": ".",
    "de-LI": ".",
    "it-CH": ".",
    "en-ZA": ",",
    "en-AT": ",",
    "en-DE": ",",
    "sw-CD": ",",
    "ms-BN": ",",
} | dict.fromkeys(
    ("es-MX", "es-US", "es-419", "es-DO", "es-GT", "es-HN", "es-NI", "es-PA", "es-PE", "es-PR", "es-SV", "es-CU"), "."
)


class NumeralError(ValueError):
    """A text that is no number, or could be two: ``code`` is ``malformed`` or ``ambiguous``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def decimal_mark(language: str | None) -> str | None:
    """The decimal mark of a language (a BCP 47 tag), None where it is not known."""
    if not language:
        return None
    parts = language.replace("_", "-").split("-")
    base = parts[0].lower()
    region = next((part.upper() for part in parts[1:] if len(part) in {2, 3} and not part.isspace()), "")
    mark = _REGIONS.get(f"{base}-{region}")
    return mark or ("," if base in _COMMA else "." if base in _POINT else None)


def typed_digits(text: str) -> str:
    """A PIN or a code as it is compared: digits of any script as 0 to 9, without blanks and hyphens."""
    return "".join(str(unicodedata.decimal(each, each)) for each in text if not each.isspace() and each not in "-‐‑")


def read_number(text: str, language: str | None = None) -> Decimal:
    """The number a person wrote, with as many decimals as they wrote. Raises :class:`NumeralError`.

    Digits of any script; thousands in groups by ``.``, ``,``, apostrophe or space; the Indian grouping (1,23,456.50)
    too.
    """
    plain = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text.strip())
    sign = ""
    if plain[:1] in {"-", "+", "−"}:
        sign, plain = ("-" if plain[0] in "-−" else ""), plain[1:].lstrip()
    if not re.fullmatch(NUMBER, plain) or sum(char.isdigit() for char in plain) > LONGEST:
        raise NumeralError("malformed")
    whole, fraction = _split(plain, language)
    return Decimal(f"{sign}{whole}.{fraction}" if fraction else sign + whole)


def _split(plain: str, language: str | None) -> tuple[str, str]:
    """The digits before and after the decimal mark."""
    marks = [_kind(mark) for mark in re.findall(r"\s+|[^\d\s]", plain)]
    if not marks:
        return plain, ""
    last = marks[-1]
    decimal = _decides(plain, marks, language)
    if not decimal:
        return _ungroup(plain, last, marks), ""
    whole, _, fraction = plain.rpartition(plain[max(index for index, char in enumerate(plain) if not char.isdigit())])
    return (_ungroup(whole, marks[0], marks[:-1]) if len(marks) > 1 else whole or "0"), fraction


def _kind(mark: str) -> str:
    return " " if mark.isspace() else "'" if mark in "'’" else mark


def _decides(plain: str, marks: list[str], language: str | None) -> bool:
    """Whether the last mark is the decimal one."""
    last = marks[-1]
    if last in {" ", "'", "٬"}:
        return False
    if marks.count(last) > 1:
        return False
    if len(set(marks)) > 1 or last == "٫":
        return True
    whole, _, fraction = plain.partition(last)
    if len(fraction) != 3 or not whole or len(whole) > 3 or whole[0] == "0":
        return True
    mark = decimal_mark(language)
    if mark is None:
        raise NumeralError("ambiguous")
    return mark == last


def _ungroup(whole: str, kind: str, marks: list[str]) -> str:
    """The digits of a whole number in groups, when the groups are right."""
    if any(mark != kind for mark in marks):
        raise NumeralError("malformed")
    groups = re.split(r"\s+|\D", whole)
    western = len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    indian = (
        kind == "," and len(groups[0]) <= 2 and len(groups[-1]) == 3 and all(len(group) == 2 for group in groups[1:-1])
    )
    if not groups[0] or groups[0][0] == "0" or not (western or indian):
        raise NumeralError("malformed")
    return "".join(groups)
