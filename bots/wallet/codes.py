"""QR codes: a request for money as a picture, and the picture read again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bots.framework import RialtoError
from bots.wallet.words import token_of

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS: Final = 40_000_000
"""Pixels of a photo that is looked at: as many as a picture has that gets a thumbnail."""
MOST_BYTES: Final = 20 * 1024 * 1024
_SIDE: Final = 1600
_SCALE: Final = 8
_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "AVIF")


class Unreadable(RialtoError):
    """A picture in which no code can be looked for."""

    code = "wallet_picture_unreadable"


def link_of(wallet: str, token: str) -> str:
    """The link of a request: it opens the chat with the wallet in every Matrix client, and says what to pay
    (specification, "matrix.to navigation")."""
    return f"https://matrix.to/#/{quote(wallet, safe='@:')}?action=pay&token={token}"


def picture_of(link: str) -> bytes:
    """A QR code as PNG (ISO/IEC 18004, error correction M: it is read off screens)."""
    import segno

    out = io.BytesIO()
    segno.make_qr(link, error="m").save(out, kind="png", scale=_SCALE, border=4)
    return out.getvalue()


def texts_in(picture: bytes) -> list[str]:
    """What the codes in a picture say. Takes up to a second for a large photo: call it in a thread.

    Raises:
        Unreadable: it is no picture, or a broken or a huge one.
    """
    if len(picture) > MOST_BYTES:
        raise Unreadable("the picture is too large", size=len(picture))
    try:
        return _texts(picture)
    except Unreadable:
        raise
    # Decoders of pictures raise whatever they run into on hostile bytes: OSError, SyntaxError, struct.error, …
    except Exception as error:
        raise Unreadable("the file is no picture that can be read", reason=type(error).__name__) from error


def _texts(picture: bytes) -> list[str]:
    import zxingcpp
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(picture), formats=_FORMATS) as image:
        if image.size[0] * image.size[1] > MOST_PIXELS:
            raise Unreadable("the picture is too large", width=image.size[0], height=image.size[1])
        image.draft("L", (_SIDE, _SIDE))
        ImageOps.exif_transpose(image, in_place=True)
        grey = _on_white(image)
    sizes = [grey]
    if max(grey.size) > _SIDE:
        small = grey.copy()
        small.thumbnail((_SIDE, _SIDE))
        sizes.insert(0, small)
    for size in sizes:
        found = zxingcpp.read_barcodes(size, formats=zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode]))
        if found:
            return [each.text for each in found if each.valid]
    return []


def _on_white(image: Image.Image) -> Image.Image:
    """In shades of grey; what is see-through is white, not black."""
    from PIL import Image

    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        # A small file can be a huge picture: no copy of it has more than a byte for each pixel.
        seen = image if image.mode in {"RGBA", "LA"} else image.convert("RGBA")
        white = Image.new("L", seen.size, 255)
        white.paste(seen.convert("L"), mask=seen.getchannel("A"))
        return white
    return image.convert("L")


def tokens_in(texts: list[str]) -> list[str]:
    """The requests among what codes say, each once."""
    return list(dict.fromkeys(token for text in texts if (token := token_of(text)) is not None))


def is_bank_transfer(texts: list[str]) -> bool:
    """Whether one of them is a bank transfer's (EPC069-12: the first line says BCD)."""
    return any(text.startswith("BCD\n") or text.startswith("BCD\r\n") for text in texts)
