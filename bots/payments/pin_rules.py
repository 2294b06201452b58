"""What can be a PIN: not too short, and none of those that are tried first."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Mapping
from itertools import pairwise
from typing import Any, Final

from appservice.errors import RialtoError
from bots.framework.i18n import _

SHORTEST: Final = 6
LONGEST: Final = 12
_SMALL: Final = frozenset({0, 1, 2, 8, 9})
"""Steps from one digit to the next that people count in, up and down."""
_YEARS: Final = range(1900, 2100)
_TRIED_FIRST: Final = frozenset(
    {
        *("159753", "159357", "753951", "147258", "147852", "258369", "369258", "147369", "963852", "852963", "741852"),
        *("789456", "456123", "123789", "147896", "789632", "321654", "654123", "142536", "314159", "271828", "112358"),
        *("520131", "007008", "100200", "102030", "010203"),
    }
)
"""Shapes on the keypad and numbers that everybody knows: they lead every list of PINs that came out."""


class PinRefused(RialtoError):
    """A PIN that cannot be one. ``msgid`` with ``values`` is the sentence for people."""

    code = "pin_refused"

    def __init__(self, msgid: str, **values: Any) -> None:
        super().__init__(msgid.format(**values))
        self.msgid = msgid
        self.values: Mapping[str, Any] = values


def digits_of(text: str) -> str:
    """What was typed as a PIN: its digits as 0 to 9, whatever digits the keyboard has, without spaces and hyphens."""
    return "".join(
        str(unicodedata.decimal(each, each)) for each in unicodedata.normalize("NFKC", text) if each not in " -‐‑"
    )


def checked(text: str, person: str) -> str:
    """The PIN that was typed, when it can be one.

    Raises:
        PinRefused: it has too few or too many digits, or is easy to guess.
    """
    pin = digits_of(text)
    if not (pin.isascii() and pin.isdigit()):
        raise PinRefused(_("A PIN is made of digits only."))
    if not SHORTEST <= len(pin) <= LONGEST:
        raise PinRefused(_("A PIN has {shortest} to {longest} digits."), shortest=SHORTEST, longest=LONGEST)
    if len(set(pin)) < 3:
        raise PinRefused(_("This PIN is too easy to guess: use at least three different digits."))
    if _is_pattern(pin):
        raise PinRefused(_("This PIN is too easy to guess: it follows a pattern."))
    if _is_date(pin):
        raise PinRefused(_("This PIN is too easy to guess: it can be read as a date."))
    if pin in digits_of(person):
        raise PinRefused(_("This PIN is too easy to guess: it is a part of your name here."))
    return pin


def _is_pattern(pin: str) -> bool:
    half = len(pin) // 2
    return (
        pin in _TRIED_FIRST
        or _is_run(pin)
        or (_is_run(pin[:half], _SMALL) and _is_run(pin[half:], _SMALL))  # 123321, 123789
        or (pin[::2] == pin[1::2] and _is_run(pin[::2]))  # 112233
        or pin == pin[::-1]
        or any(pin == pin[:size] * (len(pin) // size) for size in range(1, half + 1))  # 121212, 123123
    )


def _is_run(pin: str, steps: Container[int] = range(10)) -> bool:
    """123456, 987654, 890123, 246802: every step is the same, and one of ``steps``."""
    found = {(int(after) - int(before)) % 10 for before, after in pairwise(pin)}
    return len(found) == 1 and found.pop() in steps


def _is_date(pin: str) -> bool:
    """A day, a month and a year in the orders that people write them in, the year with two digits or four."""
    if len(pin) == 6:
        return any(
            _is_day(day, month) for day, month in ((pin[:2], pin[2:4]), (pin[2:4], pin[:2]), (pin[4:], pin[2:4]))
        )
    if len(pin) == 8:
        ends = int(pin[4:]) in _YEARS and (_is_day(pin[:2], pin[2:4]) or _is_day(pin[2:4], pin[:2]))
        return ends or (int(pin[:4]) in _YEARS and _is_day(pin[6:], pin[4:6]))
    return False


def _is_day(day: str, month: str) -> bool:
    return 1 <= int(day) <= 31 and 1 <= int(month) <= 12
