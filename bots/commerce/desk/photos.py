"""Pictures of products, as the catalogue keeps them: drawn anew, so that nothing of the sender's comes along. Pure;
slow enough for a thread.

Product pictures are public: who has their address can fetch them from the homeserver without a key.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

from appservice.media import MediaError

__all__ = ["BYTES_MAX", "SIDE_MAX", "redrawn"]

BYTES_MAX: Final = 20 * 1024 * 1024
"""Of a picture that is sent."""
SIDE_MAX: Final = 1600
"""Pixels of the longer side of one that is kept."""
PIXELS_MAX: Final = 40_000_000
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")


def redrawn(data: bytes, side: int = SIDE_MAX) -> tuple[bytes, str]:
    """The picture as a JPEG, or a PNG where parts of it are transparent, upright, without place, comment or profile;
    and its media type. The kind is told by the bytes, never by a name.

    Args:
        side: pixels of the longer side at most.

    Raises:
        MediaError: it is none of the kinds that can be shown (no SVG), broken, or has too many pixels.
    """
    try:
        return _redrawn(data, side)
    except MediaError:
        raise
    # Pillow's decoders raise whatever they run into on hostile bytes: OSError, SyntaxError, struct.error, KeyError, …
    except Exception as error:
        raise MediaError("the file is no picture that can be shown", reason=type(error).__name__) from error


def _redrawn(data: bytes, side: int) -> tuple[bytes, str]:
    from PIL import Image, ImageOps

    with Image.open(BytesIO(data), formats=_FORMATS) as image:
        if image.size[0] * image.size[1] > PIXELS_MAX:
            raise MediaError("the picture has too many pixels", pixels=image.size[0] * image.size[1])
        image.draft("RGB", (side, side))  # a JPEG is decoded at a fraction of its size
        upright = ImageOps.exif_transpose(image)
        transparent = "transparency" in upright.info or upright.mode in {"RGBA", "LA", "PA", "La"}
        plain = upright.convert("RGBA" if transparent else "RGB")
    plain.thumbnail((side, side))
    seen_through = transparent and plain.getchannel("A").getextrema()[0] != 255
    fresh = Image.new("RGBA" if seen_through else "RGB", plain.size)
    fresh.paste(plain if seen_through else plain.convert("RGB"))
    out = BytesIO()
    if seen_through:
        fresh.save(out, "PNG", optimize=True)
        return out.getvalue(), "image/png"
    fresh.save(out, "JPEG", quality=85, optimize=True)
    return out.getvalue(), "image/jpeg"
