"""A receipt as a PDF: one quiet page in the reader's language. The same receipt gives the same bytes.

The font is DejaVu Sans, embedded in part. Its scripts are Latin, Greek, Cyrillic, Arabic, Hebrew, Armenian and
Georgian among others, not those of East and South Asia: what it lacks is drawn as U+FFFD, and the ids and amounts of
every receipt stay readable. Arabic letters are joined, and lines run from right to left where the language does.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any, Final, Literal

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from bots.framework.i18n.tags import is_right_to_left
from bots.payments.receipts import Item, Row, Sheet, Words

__all__ = ["draw"]

Align = Literal["L", "R"]

WIDTH: Final = 148.0
HEIGHT: Final = 210.0
MARGIN: Final = 14.0
"""Of a page of A5, in mm."""
INNER: Final = WIDTH - 2 * MARGIN
FOOT: Final = 13.0
INK: Final = (24, 24, 27)
GREY: Final = (105, 105, 115)
RULE: Final = (215, 215, 220)
FONT: Final = "DejaVu"
MISSING: Final = "\ufffd"
_MARKS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SPACES: Final = {"\u202f": "\u00a0", "\u2009": "\u00a0", "\t": " ", "\n": " ", "\r": " "}


def draw(sheet: Sheet, words: Words) -> bytes:
    """The file; see :func:`bots.payments.receipt_pdf.receipt_pdf`."""
    drawn = _drawn(sheet, words, 1)
    if drawn.pages_count > 1:  # how many there are is known at the end, and stands on the first one too
        drawn = _drawn(sheet, words, drawn.pages_count)
    return bytes(drawn.output())


def _drawn(sheet: Sheet, words: Words, pages: int) -> _Page:
    page = _Page(sheet, words, pages)
    page.draw()
    return page


class _Page(FPDF):
    """The sheet on paper. Lengths are millimetres, sizes of type are points."""

    def __init__(self, sheet: Sheet, words: Words, pages: int) -> None:
        super().__init__(orientation="portrait", unit="mm", format=(WIDTH, HEIGHT))
        self._sheet = sheet
        self._words = words
        self._of = pages
        self._rtl = is_right_to_left(sheet.language)
        self._near: Align = "R" if self._rtl else "L"
        self._far: Align = "L" if self._rtl else "R"
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.c_margin = 0.0
        self.set_auto_page_break(True, FOOT + 3)
        with as_file(files("bots.payments") / "fonts") as folder:
            self.add_font(FONT, "", folder / "DejaVuSans.ttf")
            self.add_font(FONT, "B", folder / "DejaVuSans-Bold.ttf")
        self._drawable = frozenset.intersection(
            *(frozenset(font.cmap) for font in self.fonts.values() if isinstance(font, TTFFont))
        )
        self.set_text_shaping(True, direction="rtl" if self._rtl else "ltr")
        self.set_title(f"{sheet.title} {sheet.id}")
        self.set_subject(f"{sheet.heading}, {sheet.total}")
        self.set_lang(sheet.language)
        self.set_creator("Rialto")
        self.set_producer("Rialto")
        # The time of the payment, not of the printing.
        self.set_creation_date(sheet.made_at)

    def draw(self) -> None:
        """All of it."""
        self.add_page()
        self._head()
        self._rule(4, 4)
        for row in self._sheet.facts:
            self._fact(row)
        if self._sheet.items:
            self._rule(2.5, 4)
            for item in self._sheet.items:
                self._item(item)
        self._rule(2.5, 3.5)
        for row in self._sheet.sums:
            self._sum(row)

    def footer(self) -> None:
        """The number of the receipt on every page; the page's, where there are several."""
        self.set_y(-FOOT)
        self._type(7, colour=GREY)
        several = self._words("receipt.page", page=self.page_no(), pages=self._of) if self._of > 1 else ""
        self._line(self._sheet.id, several, 4)

    def _head(self) -> None:
        sheet = self._sheet
        self._type(8.5, colour=GREY)
        self._line(sheet.title, "", 5.5)
        self._type(15 if len(sheet.heading) <= 60 else 9, bold=True)
        self._block(sheet.heading, INNER, 7)
        self.ln(2)
        self._type(26, bold=True)
        self._line(sheet.total, "", 11)
        self._type(8.5, colour=GREY)
        self._line(sheet.paid, "", 5)
        if sheet.notice:
            self._type(8.5, bold=True)
            self._line(sheet.notice, "", 5)

    def _fact(self, row: Row) -> None:
        """A grey name, and beside it its text in as many lines as it needs."""
        label = 30.0
        self._type(8.5, colour=GREY)
        top = self._begin(5)
        self._cell(row.label, label, 5, self._near, self._left(0, label))
        self._type(8.5)
        self.set_y(top)
        self._block(row.value, INNER - label, 5, offset=label)
        self.ln(0.4)

    def _item(self, item: Item) -> None:
        """A thing and its amount; below in grey how many at which price."""
        amount = 34.0
        top = self._begin(9)
        self._type(9.5)
        self._cell(item.amount, amount, 5, self._far, self._left(INNER - amount, amount))
        self.set_y(top)
        self._block(item.name, INNER - amount - 4, 5)
        if item.detail:
            self._type(8, colour=GREY)
            self._line(item.detail, "", 4)
        self.ln(1.2)

    def _sum(self, row: Row) -> None:
        self._begin(7)
        self._type(10.5 if row.strong else 8.5, bold=row.strong, colour=INK if row.strong else GREY)
        self._line(row.label, row.value, 6.5 if row.strong else 5)

    def _begin(self, height: float) -> float:
        """Where the next row begins: on the next page when it does not fit on this one."""
        if self.will_page_break(height):
            self.add_page()
        return float(self.get_y())

    def _rule(self, before: float, after: float) -> None:
        self.ln(before)
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        self.line(MARGIN, self.get_y(), WIDTH - MARGIN, self.get_y())
        self.ln(after)

    def _type(self, size: float, *, bold: bool = False, colour: tuple[int, int, int] = INK) -> None:
        self.set_font(FONT, "B" if bold else "", size)
        self.set_text_color(*colour)

    def _line(self, near: str, far: str, height: float) -> None:
        """One line: a text where reading begins, and one where it ends."""
        top = self.get_y()
        if far:
            width = self.get_string_width(self._printable(far)) + 2
            self._cell(far, width, height, self._far, self._left(INNER - width, width))
            self._block(near, INNER - width - 3, height)
        else:
            self._block(near, INNER, height)
        self.set_y(max(top + height, self.get_y()))

    def _block(self, text: str, width: float, height: float, offset: float = 0.0) -> None:
        """Text in as many lines as it needs."""
        self.set_x(self._left(offset, width))
        self.multi_cell(
            width,
            height,
            self._printable(text),
            align=self._near,
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
            wrapmode=_wrap(text),
        )

    def _cell(self, text: str, width: float, height: float, align: Align, left: float) -> None:
        """One line at a place; the next thing drawn begins at the same height."""
        self.set_x(left)
        self.cell(width, height, self._printable(text), align=align, new_x=XPos.LMARGIN, new_y=YPos.TOP)

    def _printable(self, text: str) -> str:
        """The text with what the font has. Marks of direction go: lines are laid out by the bidi algorithm."""
        kept = (_SPACES.get(char, char) for char in text if char not in _MARKS)
        return "".join(char if ord(char) in self._drawable else MISSING for char in kept)

    def _left(self, offset: float, width: float) -> float:
        """The left edge of what begins ``offset`` from where reading begins."""
        return WIDTH - MARGIN - offset - width if self._rtl else MARGIN + offset


def _wrap(text: str) -> Any:
    """Words that are longer than a line break within: ids have no spaces."""
    return "CHAR" if max((len(word) for word in text.split()), default=0) > 60 else "WORD"
