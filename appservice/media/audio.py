"""What the bytes of a sound file say of it: type, duration, and the shape of the sound where that is cheap. Pure."""

from __future__ import annotations

import sys
import wave
from array import array
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from appservice.media.errors import MediaError

WAVEFORM_POINTS = 100  # MSC3246: 30 to 120
WAVEFORM_MAX = 1024
_MAX_FRAMES = 48_000 * 60 * 30  # half an hour: longer ones go without a shape
_MAX_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """A sound. ``duration`` in milliseconds, None when the file does not say; ``waveform`` from 0 to 1024, WAV only."""

    mimetype: str
    size: int
    duration: int | None
    waveform: tuple[int, ...] = ()

    def info(self) -> dict[str, Any]:
        """The ``info`` of an ``m.audio`` (specification, "m.audio")."""
        info: dict[str, Any] = {"mimetype": self.mimetype, "size": self.size}
        if self.duration is not None:
            info["duration"] = self.duration
        return info


def describe_audio(data: bytes) -> AudioInfo:
    """Look at a WAV, Ogg (Opus, Vorbis, FLAC), FLAC, MP3 or M4A. Call it in a thread: it reads the whole file.

    Raises:
        MediaError: the bytes are no such sound.
    """
    mimetype = _mimetype(data)
    if mimetype is None:
        raise MediaError("the file is no sound of a kind that clients play")
    return AudioInfo(mimetype, len(data), _duration(data), _waveform(data) if mimetype == "audio/wav" else ())


def _mimetype(data: bytes) -> str | None:
    """By the first bytes; none of these types can be told from another by its name only."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    if data[:4] == b"OggS":
        return "audio/ogg"
    if data[:4] == b"fLaC":
        return "audio/flac"
    if data[4:8] == b"ftyp" and data[8:11] in {b"M4A", b"M4B", b"mp4", b"iso"}:
        return "audio/mp4"
    # An MPEG audio frame: eleven bits set, a version and a layer that exist (ISO 11172-3, 2.4.1.3).
    if data[:3] == b"ID3" or (
        len(data) > 2 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x18 != 0x08 and data[1] & 0x06
    ):
        return "audio/mpeg"
    return None


def _duration(data: bytes) -> int | None:
    from tinytag import TinyTag

    try:
        seconds = TinyTag.get(file_obj=BytesIO(data), tags=False).duration
    # The parser raises its own errors and, on broken files, struct.error, OverflowError, …: then nobody knows how long.
    except Exception:  # noqa: BLE001
        return None
    if seconds is None or not 0 < seconds < _MAX_SECONDS:
        return None
    return round(seconds * 1000)


def _waveform(data: bytes) -> tuple[int, ...]:
    """The loudest sample of each hundredth of a WAV with 16 bits, of its first channel."""
    try:
        with wave.open(BytesIO(data)) as sound:
            channels, frames = sound.getnchannels(), sound.getnframes()
            if sound.getsampwidth() != 2 or not 0 < frames <= _MAX_FRAMES:
                return ()
            samples = array("h", sound.readframes(frames)[: frames * channels * 2])
    # wave.Error, EOFError, and on chunks that reach beyond the file a bare RuntimeError: then it has no shape.
    except Exception:  # noqa: BLE001
        return ()
    if sys.byteorder == "big":
        samples.byteswap()
    samples = samples[::channels]
    count = len(samples)
    points = min(WAVEFORM_POINTS, count)
    if points == 0:
        return ()
    pieces = [samples[count * place // points : count * (place + 1) // points] for place in range(points)]
    peaks = [max(map(abs, piece)) for piece in pieces]
    return tuple(min(WAVEFORM_MAX, peak * WAVEFORM_MAX // 32_767) for peak in peaks)
