"""What the bytes of an image say of it: type, size, a thumbnail, a BlurHash. Pure; slow enough for a thread."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from appservice.media import blurhash
from appservice.media.errors import MediaError

if TYPE_CHECKING:
    from PIL import Image

THUMBNAIL_SIZE = (800, 600)
# Decoded pixels take four bytes each, whatever few bytes the file has: beyond this a picture goes without a thumbnail.
MAX_PIXELS = 40_000_000
# A baseline JPEG is scaled while it is decoded, so a telephone's largest photo costs little.
MAX_PIXELS_BASELINE_JPEG = 160_000_000
# Smaller than this a picture is its own thumbnail.
NO_THUMBNAIL_BYTES = 64 * 1024
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF")
_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with more pictures behind it, as some cameras write
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
}
_ORIENTATION = 0x0112  # Exif 2.32, 4.6.4: 1 to 8, from 5 on the picture lies on its side
_BLUR_SIZE = (32, 32)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture: JPEG, or PNG where the original has transparent parts."""

    data: bytes
    mimetype: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A picture as people see it: turned as its EXIF orientation says.

    ``thumbnail`` and ``blurhash`` are None for a picture that is too large to decode; the former also for one that is
    small itself.
    """

    mimetype: str
    width: int
    height: int
    size: int
    thumbnail: Thumbnail | None
    blurhash: str | None

    def info(self) -> dict[str, Any]:
        """The ``info`` of an ``m.image`` (specification, "m.image"), but for the thumbnail's address."""
        info: dict[str, Any] = {"mimetype": self.mimetype, "w": self.width, "h": self.height, "size": self.size}
        if self.blurhash is not None:
            info["xyz.amorgan.blurhash"] = self.blurhash  # MSC2448
        if self.thumbnail is not None:
            info["thumbnail_info"] = {
                "mimetype": self.thumbnail.mimetype,
                "w": self.thumbnail.width,
                "h": self.thumbnail.height,
                "size": len(self.thumbnail.data),
            }
        return info


def describe_image(data: bytes) -> ImageInfo:
    """Look at a PNG, JPEG, GIF (its first picture), WebP or AVIF. The type comes from the bytes, never from a name.

    Runs for up to a second on a large photo, and takes up to 4 bytes for each of ``MAX_PIXELS``: call it in a thread.

    Raises:
        MediaError: the bytes are no such picture, or a broken one.
    """
    try:
        return _describe(data)
    except MediaError:
        raise
    # Pillow's decoders raise whatever they run into on hostile bytes: OSError, SyntaxError, struct.error, KeyError, …
    except Exception as error:
        raise MediaError("the file is no image that can be shown", reason=type(error).__name__) from error


def _describe(data: bytes) -> ImageInfo:
    from PIL import Image

    with Image.open(BytesIO(data), formats=_FORMATS) as image:
        mimetype = _TYPES.get(image.format or "")
        if mimetype is None:
            raise MediaError("the file is no image of a kind that clients show", format=image.format)
        width, height = image.size
        if width < 1 or height < 1:
            raise MediaError("the image has no pixels")
        orientation = _orientation(image)
        if orientation >= 5:
            width, height = height, width
        thumbnail, blur = None, None
        if _affordable(image):
            small = _upright(_reduced(image), orientation)
            blur = _blurhash(small)
            if not (_fits(width, height) and len(data) <= NO_THUMBNAIL_BYTES):
                thumbnail = _thumbnail(small)
                if len(thumbnail.data) >= len(data) and _fits(width, height):
                    thumbnail = None
    return ImageInfo(mimetype, width, height, len(data), thumbnail, blur)


def _affordable(image: Image.Image) -> bool:
    pixels = image.size[0] * image.size[1]
    baseline = image.format in {"JPEG", "MPO"} and not image.info.get("progressive")
    return pixels <= (MAX_PIXELS_BASELINE_JPEG if baseline else MAX_PIXELS)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    # A broken EXIF block says nothing of the picture; Pillow raises many kinds of errors on it.
    except Exception:  # noqa: BLE001
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _fits(width: int, height: int) -> bool:
    return width <= THUMBNAIL_SIZE[0] and height <= THUMBNAIL_SIZE[1]


def _reduced(image: Image.Image) -> Image.Image:
    """At most the thumbnail's longer side in both directions, in RGB or RGBA."""
    from PIL.Image import Resampling

    side = max(THUMBNAIL_SIZE)
    image.draft("RGB", (side, side))  # a JPEG is decoded at a fraction of its size
    image.load()
    transparent = "transparency" in image.info or "A" in image.getbands() or image.mode in {"PA", "La"}
    if image.mode not in {"RGB", "RGBA", "L", "LA"}:
        image = image.convert("RGBA" if transparent else "RGB")
    if image.size[0] > side or image.size[1] > side:
        image.thumbnail((side, side), Resampling.LANCZOS, reducing_gap=2.0)
    return image.convert("RGBA" if transparent else "RGB")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation)
    return image if turn is None else image.transpose(turn)


def _thumbnail(image: Image.Image) -> Thumbnail:
    from PIL.Image import Resampling

    small = image.copy()
    small.thumbnail(THUMBNAIL_SIZE, Resampling.LANCZOS)
    small.info.clear()  # no comment and no place from the original
    written = BytesIO()
    if small.mode == "RGBA" and _sees_through(small):
        small.save(written, "PNG", optimize=True)
        return Thumbnail(written.getvalue(), "image/png", *small.size)
    small.convert("RGB").save(written, "JPEG", quality=80, optimize=True)
    return Thumbnail(written.getvalue(), "image/jpeg", *small.size)


def _sees_through(image: Image.Image) -> bool:
    extrema = image.getchannel("A").getextrema()
    return isinstance(extrema[0], (int, float)) and extrema[0] < 255


def _blurhash(image: Image.Image) -> str:
    from PIL import Image as Images

    small = image.copy()
    small.thumbnail(_BLUR_SIZE)
    if small.mode == "RGBA":
        ground = Images.new("RGB", small.size, (255, 255, 255))  # what is transparent is shown on white as often as not
        ground.paste(small, mask=small.getchannel("A"))
        small = ground
    raw = small.tobytes()
    pixels = list(zip(raw[::3], raw[1::3], raw[2::3], strict=True))
    width, height = small.size
    x, y = (4, 3) if width >= height else (3, 4)
    return blurhash.encode(pixels, width, height, x, y)
