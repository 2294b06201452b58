"""What bytes say of pictures and sounds: by content, upright, bounded, and never an exception of another's making."""

from __future__ import annotations

import math
import struct
import wave
import zlib
from array import array
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from appservice.media import MediaError, blurhash, describe_audio, describe_image


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    written = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert(mode).save(written, kind, **options)
    return written.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


@pytest.mark.parametrize(
    ("kind", "mimetype"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("AVIF", "image/avif"),
    ],
)
def test_the_type_is_what_the_bytes_are(kind: str, mimetype: str) -> None:
    data = picture(40, 30, kind)
    info = describe_image(data)
    assert (info.mimetype, info.width, info.height, info.size) == (mimetype, 40, 30, len(data))
    assert info.thumbnail is None  # it is small itself
    assert info.blurhash is not None
    assert info.info()["xyz.amorgan.blurhash"] == info.blurhash


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_mode_has_a_thumbnail(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    info = describe_image(picture(2000, 1000, kind, mode))
    assert info.thumbnail is not None
    assert (info.thumbnail.width, info.thumbnail.height) == (800, 400)
    assert opened(info.thumbnail.data).size == (800, 400)


def test_what_is_transparent_stays_so() -> None:
    written = BytesIO()
    Image.new("RGBA", (1000, 1000), (255, 0, 0, 100)).save(written, "PNG")
    info = describe_image(written.getvalue())
    assert info.thumbnail is not None
    assert (info.thumbnail.mimetype, opened(info.thumbnail.data).mode) == ("image/png", "RGBA")


def test_the_orientation_is_applied() -> None:
    image = Image.new("RGB", (1200, 600), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 600, 600))  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter: red is on top
    exif[0x010F] = "a camera that tells where it was"
    written = BytesIO()
    image.save(written, "JPEG", exif=exif)
    info = describe_image(written.getvalue())
    assert (info.width, info.height) == (600, 1200)
    assert info.thumbnail is not None
    small = opened(info.thumbnail.data)
    assert small.size == (300, 600)
    top, bottom = small.getpixel((150, 50)), small.getpixel((150, 550))
    assert isinstance(top, tuple) and isinstance(bottom, tuple)
    assert top[0] > 200 > 50 > top[2]
    assert bottom[2] > 200 > 50 > bottom[0]
    assert not small.getexif()
    assert b"camera" not in info.thumbnail.data


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large, and is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_described_and_not_decoded() -> None:
    info = describe_image(bomb(8000, 8000))
    assert (info.width, info.height, info.thumbnail, info.blurhash) == (8000, 8000, None, None)
    with pytest.raises(MediaError):
        describe_image(bomb(100_000, 100_000))


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_anything_else(data: bytes) -> None:
    with pytest.raises(MediaError):
        describe_image(data)
    for start in (b"", b"RIFF\x10\0\0\0WAVE", b"OggS", b"fLaC", b"ID3", b"\xff\xfb\x90", b"\0\0\0\x18ftypM4A "):
        try:
            info = describe_audio(start + data)
        except MediaError:
            assert not start
        else:
            assert info.duration is None or info.duration > 0


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8), st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]))
def test_a_damaged_picture_is_described_or_refused(place: int, damage: bytes, kind: str) -> None:
    data = bytearray(picture(30, 20, kind))
    data[place : place + len(damage)] = damage
    for broken in (bytes(data), bytes(data[: len(data) // 2])):
        try:
            info = describe_image(broken)
        except MediaError as error:
            assert error.human
        else:
            assert info.width > 0


@pytest.mark.parametrize("data", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"BM" + bytes(100), b"%PDF-1.4"])
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(MediaError):
        describe_image(data)


# Made with the reference implementation (woltapp/blurhash, C) from the same pixels.
STRIPES = [(255, 0, 0) if (x + y) % 7 < 3 else (0, 90, 255) for y in range(30) for x in range(20)]
SLOPE = [((x * 8) % 256, (y * 10) % 256, (x * y) % 256) for y in range(24) for x in range(32)]


@pytest.mark.parametrize(
    ("pixels", "size", "components", "expected"),
    [
        (SLOPE, (32, 24), (4, 3), "LxH27h2lwtX3mAWUjwfAgFfmfTfi"),
        (SLOPE, (32, 24), (3, 4), "TxH27h2lwtmAWUjwgFfmfTn$Wsjs"),
        (SLOPE, (32, 24), (1, 1), "00H27h"),
        (STRIPES, (20, 30), (3, 4), "T7K7Tb}La}=jbIW=a}waa}=jbJW="),
        ([(0, 0, 0)] * 64, (8, 8), (4, 3), "L00000fQfQfQfQfQfQfQfQfQfQfQ"),
    ],
)
def test_the_blurhash_is_that_of_the_reference(
    pixels: list[tuple[int, int, int]], size: tuple[int, int], components: tuple[int, int], expected: str
) -> None:
    assert blurhash.encode(pixels, *size, *components) == expected


def test_impossible_blurhashes() -> None:
    with pytest.raises(ValueError, match="1 to 9"):
        blurhash.encode([(0, 0, 0)], 1, 1, 10, 1)
    with pytest.raises(ValueError, match="pixels"):
        blurhash.encode([(0, 0, 0)], 2, 1, 1, 1)


def sound(seconds: float, rate: int = 8000, channels: int = 1) -> bytes:
    frames = int(seconds * rate)
    samples = array("h")
    for frame in range(frames):
        value = int(32_767 * frame / frames * math.sin(frame / 3))
        samples.extend([value] * channels)
    written = BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return written.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_tells_its_duration_and_shape(channels: int) -> None:
    info = describe_audio(sound(2.5, channels=channels))
    assert (info.mimetype, info.duration, len(info.waveform)) == ("audio/wav", 2500, 100)
    assert max(info.waveform) <= 1024
    assert info.waveform[0] < 30 < 900 < info.waveform[-1]
    assert list(info.waveform) == sorted(info.waveform) or info.waveform[50] > info.waveform[10]
    assert info.info()["duration"] == 2500


def page(granule: int, sequence: int, flags: int, *packets: bytes) -> bytes:
    """An Ogg page (RFC 3533, 6) without its checksum, which nobody asks for here."""
    lengths = bytes(part for packet in packets for part in [255] * (len(packet) // 255) + [len(packet) % 255])
    header = b"OggS" + struct.pack("<BBqIII", 0, flags, granule, 7, sequence, 0)
    return header + bytes([len(lengths)]) + lengths + b"".join(packets)


def test_an_ogg_opus_tells_its_duration() -> None:
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)
    data = page(0, 0, 2, head) + page(0, 1, 0, tags) + page(48_000 * 3 + 312, 2, 4, bytes(100))
    info = describe_audio(data)
    assert info.mimetype == "audio/ogg"
    assert info.duration is not None
    assert abs(info.duration - 3000) <= 10
    assert info.waveform == ()


def test_a_sound_that_breaks_off_is_still_one() -> None:
    assert describe_audio(sound(1)[:50]).mimetype == "audio/wav"
    assert describe_audio(b"OggS" + bytes(60)).duration is None
