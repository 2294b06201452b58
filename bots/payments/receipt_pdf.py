"""A receipt as a PDF. What draws it is loaded with the first one: it takes 20 MB of memory."""

from __future__ import annotations

from bots.payments.receipts import Sheet, Words

__all__ = ["receipt_pdf"]


def receipt_pdf(sheet: Sheet, words: Words) -> bytes:
    """The file, ``application/pdf``. Takes a good part of a second: not for the event loop.

    The same sheet gives the same bytes.
    """
    from bots.payments.receipt_page import draw

    return draw(sheet, words)
