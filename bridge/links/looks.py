"""QR codes (ISO/IEC 18004) of links."""

from __future__ import annotations

from typing import Any


def qr_svg(text: str) -> str:
    """A text as a QR code: an ``<svg>`` element without a size, which whoever shows it gives."""
    made: str = _qr(text).svg_inline(border=4, dark="#000", light="#fff", omitsize=True)
    return made


def qr_svg_file(text: str) -> bytes:
    """A text as a QR code: an SVG file."""
    import io

    file = io.BytesIO()
    _qr(text).save(file, kind="svg", scale=8, border=4, dark="#000", light="#fff")
    return file.getvalue()


def qr_png(text: str) -> bytes:
    """A text as a QR code: a PNG image."""
    import io

    file = io.BytesIO()
    _qr(text).save(file, kind="png", scale=8, border=4)
    return file.getvalue()


def _qr(text: str) -> Any:
    # Only where a picture is wanted.
    import segno

    return segno.make(text, error="m", micro=False)
