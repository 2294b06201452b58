"""The values that pieces of text stand for. What cannot be understood is a problem, and None. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from bots.commerce.importing.entries import Cell, GroupEntry, OptionEntry
from bots.commerce.importing.problems import Problems
from bots.domain.catalogue import STOCK_MAX, Stock, StockKind
from bots.domain.money import Money, MoneyError
from bots.domain.numerals import NumeralError, read_number

__all__ = ["Values", "key_of", "notation", "written_group"]

UNLIMITED: Final = frozenset({"unlimited", "∞", "endless"})
YES: Final = frozenset({"yes", "y", "true", "1", "x"})
NO: Final = frozenset({"no", "n", "false", "0"})
WEIGHT_MAX_G: Final = 10_000_000
_SLOTS: Final = re.compile(r"([0-9]{1,10})\s*(?:per|/)\s*([0-9]{1,4})\s*min(?:utes)?", re.IGNORECASE)
_WEIGHT: Final = re.compile(r"([0-9.,]+)\s*(g|kg)?", re.IGNORECASE)
_RANGE: Final = re.compile(r"([0-9]{1,2})(?:\s*[-–—]\s*([0-9]{1,2})|(\+))?")
_GROUP: Final = re.compile(
    r"\s*(?P<name>[^\[\]:]+?)\s*(?:\[\s*(?P<choose>[^\]]*?)\s*\])?\s*:(?P<options>.*)", re.DOTALL
)
_BARE: Final = re.compile(r"(?P<name>.+?)\s+(?P<choose>[0-9]{1,2}\s*[-–—]\s*[0-9]{1,2})")
"""“Toppings 0-3”, as it is written in the staff room."""
_OUT: Final = re.compile(r"(?P<rest>.*\S)\s*\(out\)", re.IGNORECASE | re.DOTALL)
_PRICED: Final = re.compile(
    r"(?P<name>.*\S)\s+(?P<price>[+\-−]\s*[0-9][0-9.,']*(?:\s*\D{1,4})?|[0-9]+[.,][0-9]+)", re.DOTALL
)
_COMMA: Final = re.compile(r"\||,(?=\s)")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_PLAIN: Final = str.maketrans({"ß": "ss", "ä": "ae", "ö": "oe", "ü": "ue", "æ": "ae", "ø": "o", "ł": "l", "đ": "d"})


def key_of(name: str, taken: Collection[str] = ()) -> str:
    """A key that a name makes, the same each time: “Crème brûlée” gives ``creme-brulee``. Of a name with letters
    that are no Latin ones a digest stands for them."""
    small = unicodedata.normalize("NFC", name).casefold().translate(_PLAIN)
    letters = [char for char in unicodedata.normalize("NFKD", small) if not unicodedata.combining(char)]
    base = re.sub(r"[^a-z0-9]+", "-", "".join(letters)).strip("-")[:48].strip("-")
    if not base or any(char.isalnum() and not char.isascii() for char in letters):
        base = f"{base}-" if base else ""
        base += blake2b(small.encode(), digest_size=4).hexdigest()
    key, count = base, 1
    while key in taken:
        count += 1
        key = f"{base}-{count}"
    return key


class Values:
    """Reads values of one merchant's file."""

    def __init__(self, problems: Problems, currency: str, language: str) -> None:
        """
        Args:
            language: of the merchant (BCP 47): decides what “1,234” means.
        """
        self._problems = problems
        self.currency = currency
        self._language = language

    def price(self, cell: Cell, *, signed: bool = False) -> Money | None:
        """An amount in the merchant's currency."""
        text = cell.text
        try:
            money = Money.parse(text, self.currency, self._language, signed=signed)
        except MoneyError as error:
            self._problems.say(cell.line, cell.column, error.msgid, **error.values)
            return None
        if money.currency != self.currency:
            self._problems.add(cell.line, cell.column, "import.currency", currency=self.currency, other=money.currency)
            return None
        return money

    def tax(self, cell: Cell) -> Decimal | None:
        """A rate in percent as a part of one."""
        text = cell.text.removesuffix("%").strip()
        try:
            percent = read_number(text, self._language)
        except NumeralError:
            percent = Decimal(-1)
        # 0.19 without a sign may mean either: nobody should find out by their books.
        unclear = 0 < percent < 1 and not cell.text.endswith("%")
        if unclear or not 0 <= percent < 1000 or int(percent.as_tuple().exponent) < -4:
            self._problems.add(cell.line, cell.column, "import.tax")
            return None
        return percent / 100

    def stock(self, cell: Cell) -> Stock | None:
        """How much there is."""
        text = cell.text.casefold()
        slots = _SLOTS.fullmatch(text)
        if text in UNLIMITED:
            return Stock()
        if slots is not None and 0 < int(slots[2]) <= 1440 and int(slots[1]) <= STOCK_MAX:
            return Stock(StockKind.BY_SLOT, int(slots[1]), int(slots[2]))
        if text.isdecimal() and len(text) <= 10 and int(text) <= STOCK_MAX:
            return Stock.of(int(text))
        self._problems.add(cell.line, cell.column, "import.stock")
        return None

    def weight(self, cell: Cell) -> int | None:
        """Grams."""
        match = _WEIGHT.fullmatch(cell.text)
        try:
            number = Decimal(-1) if match is None else read_number(match[1], self._language)
        except NumeralError:
            number = Decimal(-1)
        grams = number * 1000 if match is not None and (match[2] or "").casefold() == "kg" else number
        if grams != int(grams) or not 0 <= grams <= WEIGHT_MAX_G:
            self._problems.add(cell.line, cell.column, "import.weight")
            return None
        return int(grams)

    def yes(self, cell: Cell) -> bool | None:
        """Yes or no."""
        text = cell.text.casefold()
        if text not in YES | NO:
            self._problems.add(cell.line, cell.column, "import.yes_no")
            return None
        return text in YES

    def language(self, cell: Cell) -> str | None:
        """A language tag."""
        if cell.text and not _LANGUAGE.fullmatch(cell.text):
            self._problems.add(cell.line, cell.column, "import.language")
            return None
        return cell.text

    def images(self, cell: Cell) -> tuple[str, ...] | None:
        """Addresses of media on the homeserver."""
        found = tuple(each.strip() for each in cell.text.split("|") if each.strip())
        if not all(re.fullmatch(r"mxc://[^/\s]+/[A-Za-z0-9_-]+", each) for each in found):
            self._problems.add(cell.line, cell.column, "import.image")
            return None
        return found

    def number(self, cell: Cell, least: int, most: int) -> int | None:
        """A whole number."""
        if not (
            cell.text.isascii() and cell.text.isdecimal() and len(cell.text) < 10 and least <= int(cell.text) <= most
        ):
            self._problems.add(cell.line, cell.column, "import.number", least=least, most=most)
            return None
        return int(cell.text)

    def moment(self, cell: Cell) -> datetime | None:
        """A point in time; a day begins at midnight, in UTC unless it says otherwise."""
        try:
            found = datetime.fromisoformat(cell.text)
        except ValueError:
            self._problems.add(cell.line, cell.column, "import.date")
            return None
        if found.tzinfo is None:
            found = datetime.combine(found.date(), found.time() or time(0), UTC)
        return found

    def choose(self, cell: Cell, count: int) -> tuple[int, int] | None:
        """How many of so many options are chosen: at least, at most."""
        match = _RANGE.fullmatch(cell.text)
        if match is None:
            self._problems.add(cell.line, cell.column, "import.choose")
            return None
        least = int(match[1])
        if match[2] is not None:
            return least, int(match[2])
        return least, max(count, 1) if match[3] else least


def notation(cell: Cell, problems: Problems) -> list[GroupEntry] | None:
    """Groups of extras as a CSV writes them: ``Size [1]: Small | Large +2.00; Toppings [0-3]: Ham +1.50 | Tuna (out)``.

    Groups are parted by semicolons, extras by ``|`` or by a comma and a blank. In brackets stands how many are chosen:
    ``1`` exactly one, ``0-3`` up to three, ``2+`` at least two; without it none or one. An amount with a sign, or with
    decimals, is the price. ``(out)``: there is none at the moment.
    """
    groups = []
    for piece in cell.text.split(";"):
        if not piece.strip():
            continue
        match = _GROUP.fullmatch(piece)
        if match is None:
            problems.add(cell.line, cell.column, "import.extras")
            return None
        cells = {"name": Cell(match["name"], cell.line, cell.column)}
        choose, bare = match["choose"], _BARE.fullmatch(match["name"])
        if choose is None and bare is not None:
            cells["name"], choose = Cell(bare["name"], cell.line, cell.column), bare["choose"]
        if choose is not None:
            cells["choose"] = Cell(choose, cell.line, cell.column)
        options = tuple(_option(each.strip(), cell) for each in _COMMA.split(match["options"]) if each.strip())
        groups.append(GroupEntry(cells, options, cell.line))
    return groups


def _option(text: str, cell: Cell) -> OptionEntry:
    cells: dict[str, Cell] = {}
    out = _OUT.fullmatch(text)
    if out is not None:
        text = out["rest"]
        cells["available"] = Cell("no", cell.line, cell.column)
    priced = _PRICED.fullmatch(text)
    if priced is not None:
        text = priced["name"]
        cells["price"] = Cell(priced["price"].replace(" ", ""), cell.line, cell.column)
    cells["name"] = Cell(text, cell.line, cell.column)
    return OptionEntry(cells, cell.line)


def written_group(group: Mapping[str, str], options: Collection[tuple[str, Money, bool]]) -> str:
    """A group of extras in the notation."""
    pieces = []
    for name, price, available in options:
        amount = "" if not price else f" {'+' if price.minor > 0 else ''}{price.amount:f}"
        pieces.append(f"{name}{amount}{'' if available else ' (out)'}")
    return f"{group['name']} [{group['choose']}]: {' | '.join(pieces)}"
