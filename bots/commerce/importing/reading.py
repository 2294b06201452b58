"""A file of bytes as what it says: the encoding, and CSV (RFC 4180, and what spreadsheets make of it). Pure."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Final

from bots.commerce.importing.entries import COLUMNS, PRODUCT, PRODUCTS_MAX, VARIANT, Cell, Entries, Entry
from bots.commerce.importing.problems import MESSAGES, FileRefused, Problem, Problems
from bots.domain.searching import distance

__all__ = ["CSV_MAX", "FORMULA", "YAML_MAX", "nearest_of", "read_csv", "text_of"]

CSV_MAX: Final = 4 * 1024 * 1024
YAML_MAX: Final = 512 * 1024
"""Bytes. YAML is read slowly: somebody waits for it."""
DELIMITERS: Final = (",", ";", "\t")
BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
"""Characters that show nothing; and those that turn the direction of what follows beyond their own cell."""
FORMULA: Final = frozenset("=+-@")
"""What spreadsheets take a cell for a formula by (OWASP, "CSV Injection"): behind an apostrophe they do not."""
NAMES: Final = {name.replace(" ", ""): name for name in COLUMNS}


def text_of(data: bytes, most: int) -> str:
    """The text of a file: UTF-8, with or without its mark, or UTF-16 and UTF-32 with theirs.

    Raises:
        FileRefused: too large, empty, no text, or text in an encoding that could be read in two ways.
    """
    if len(data) > most:
        raise _refused(0, "import.too_large", most=most // 1024)
    mark, encoding = next((each for each in BOMS if data.startswith(each[0])), (b"", "utf-8"))
    body = data[len(mark) :]
    if not mark and b"\x00" in body:
        raise _refused(0, "import.binary")
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        # Latin-1 would read anything, and get names wrong without anybody seeing it.
        raise _refused(1 + body.count(b"\n", 0, error.start), "import.encoding") from None
    if not text.strip():
        raise _refused(0, "import.empty")
    strange = _CONTROL.search(text)
    if strange is not None:
        line = 1 + text.count("\n", 0, strange.start())
        if ord(strange[0]) < 32 and line == 1 and strange.start() < 8:
            raise _refused(0, "import.binary")
        raise _refused(line, "import.control", character=f"U+{ord(strange[0]):04X}")
    return text


def _refused(line: int, code: str, **values: object) -> FileRefused:
    return FileRefused(Problem(line, "", MESSAGES[code], values))


def nearest_of(word: str, known: Sequence[str]) -> str | None:
    """The known word that somebody may have meant."""
    found = min(known, key=lambda each: distance(word, each, 3), default=None)
    return found if found is not None and distance(word, found, 3) <= max(1, min(3, len(word) // 2)) else None


def read_csv(text: str, problems: Problems) -> Entries:
    """What a CSV says. Lines with the same product are its variants.

    Raises:
        FileRefused: it cannot be read at all.
    """
    delimiter = _delimiter(text)
    rows = _rows(text, delimiter)
    first = next(rows, None)
    if first is None:
        raise _refused(0, "import.empty")
    columns = _columns(first[1], problems)
    entries = Entries()
    by_key: dict[str, Entry] = {}
    for line, row in rows:
        cells = _cells(line, row, columns, problems)
        if cells:
            _take(entries, by_key, line, cells, problems)
    return entries


def _delimiter(text: str) -> str:
    """The one that makes the most known columns of the first line with something in it."""
    head = next(line for line in text.splitlines() if line.strip())

    def known(delimiter: str) -> int:
        return sum(_named(cell.strip('" ')) in NAMES for cell in head.split(delimiter))

    return max(DELIMITERS, key=lambda each: (known(each), head.count(each)))


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the line that it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise _refused(line, "import.quotes") from None
        if any(cell.strip() for cell in row):
            yield line, row
        line = reader.line_num + 1


def _named(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def _columns(names: Sequence[str], problems: Problems) -> list[str]:
    """The columns in order; empty for one that is not known."""
    found: list[str] = []
    for name in names:
        known = NAMES.get(_named(name), "")
        if known and known in found:
            problems.add(1, known, "import.column_twice")
            known = ""
        elif not known and name.strip():
            near = nearest_of(_named(name), list(NAMES))
            if near is None:
                problems.add(1, name.strip()[:40], "import.unknown", name=name.strip(), columns=", ".join(COLUMNS))
            else:
                problems.add(1, name.strip()[:40], "import.unknown_near", name=name.strip(), near=NAMES[near])
        found.append(known)
    if not any(found):
        problems.found.clear()
        raise _refused(1, "import.no_header", columns=", ".join(COLUMNS[:4]))
    return found


def _cells(line: int, row: Sequence[str], columns: Sequence[str], problems: Problems) -> dict[str, Cell]:
    if any(cell.strip() for cell in row[len(columns) :]):
        problems.add(line, "", "import.cells", found=len(row), wanted=len(columns))
        return {}
    padded = [*row, *[""] * (len(columns) - len(row))]
    return {name: Cell(_text(text), line, name) for name, text in zip(columns, padded, strict=False) if name}


def _text(cell: str) -> str:
    """Without the mark that keeps spreadsheets from taking it for a formula."""
    text = cell.strip()
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA else text


def _take(entries: Entries, by_key: dict[str, Entry], line: int, cells: dict[str, Cell], problems: Problems) -> None:
    """One row: a new product, or one more variant of a product that was there before."""
    named = next((cells[name].text for name in ("key", "name") if name in cells and cells[name].text), "")
    if not named:
        problems.add(line, "name", "import.missing")
        return
    product = {name: cell for name, cell in cells.items() if name in PRODUCT}
    variant = {name: cell for name, cell in cells.items() if name in VARIANT}
    known = by_key.get(named.casefold())
    if known is None:
        if len(entries.products) >= PRODUCTS_MAX:
            raise _refused(line, "import.too_many", most=PRODUCTS_MAX)
        by_key[named.casefold()] = made = Entry(line, product, [variant])
        entries.products.append(made)
        return
    if not _has(variant, "variant") or not _has(known.variants[0], "variant"):
        problems.add(line, "key" if _has(product, "key") else "name", "import.twice", name=named, first=known.line)
        return
    known.variants.append(variant)
    for name, cell in product.items():
        if cell.text and cell.text != known.cells[name].text:
            problems.add(line, name, "import.product_differs", first=known.line)


def _has(cells: dict[str, Cell], name: str) -> bool:
    return name in cells and bool(cells[name].text)
