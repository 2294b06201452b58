"""Messages that carry media. What was stored, as ``Media.upload_image`` and its like return it, becomes a content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bots.framework.content.characters import clean
from bots.framework.content.errors import ContentError
from bots.framework.i18n import English, Translator

Caption = str | Mapping[str, Any]

_CAPTION_KEYS = ("body", "format", "formatted_body", "m.mentions")
_WAVEFORM_MAX = 1024


def image(stored: Mapping[str, Any], name: str, *, caption: Caption = "") -> dict[str, Any]:
    """An ``m.image``.

    Args:
        stored: ``url`` or ``file``, and ``info``.
        name: the file's name.
        caption: text, or what ``markdown`` and ``html`` return (specification 1.10, "Media captions").
    """
    return _media("m.image", stored, name, caption)


def file(stored: Mapping[str, Any], name: str, *, caption: Caption = "") -> dict[str, Any]:
    """An ``m.file``; arguments as for :func:`image`."""
    return _media("m.file", stored, name, caption)


def audio(stored: Mapping[str, Any], name: str, *, caption: Caption = "") -> dict[str, Any]:
    """An ``m.audio``; arguments as for :func:`image`."""
    return _media("m.audio", stored, name, caption)


def video(
    stored: Mapping[str, Any],
    name: str,
    *,
    width: int | None = None,
    height: int | None = None,
    duration: int | None = None,
    caption: Caption = "",
) -> dict[str, Any]:
    """An ``m.video``; arguments as for :func:`image`, and pixels and milliseconds where they are known."""
    content = _media("m.video", stored, name, caption)
    known = {"w": width, "h": height, "duration": duration}
    content["info"] = {**content["info"], **{key: value for key, value in known.items() if value is not None}}
    return content


def voice(
    stored: Mapping[str, Any],
    *,
    duration: int | None = None,
    waveform: Sequence[int] = (),
    translator: Translator | None = None,
) -> dict[str, Any]:
    """A voice note: an ``m.audio`` that clients show as one (MSC3245, with the fields of MSC1767 that they read).

    Args:
        stored: ``url`` or ``file``, and ``info``; of Ogg Opus, which is what clients record and all of them play.
        duration: milliseconds, when ``info`` does not say.
        waveform: loudness from 0 to 1024, 30 to 120 points (MSC3246), when ``stored`` does not say.
        translator: gives the body's words.
    """
    name = (translator or English()).t("Voice message")
    content = _media("m.audio", stored, "", "")
    content.pop("filename")
    content["body"] = content["org.matrix.msc1767.text"] = name
    if duration is not None:
        content["info"] = {**content["info"], "duration": duration}
    details: dict[str, Any] = {"duration": content["info"].get("duration", 0)}
    points = waveform or stored.get("waveform", ())
    if points:
        details["waveform"] = [max(0, min(_WAVEFORM_MAX, int(point))) for point in points]
    content["org.matrix.msc1767.audio"] = details
    content["org.matrix.msc3245.voice"] = {}
    return content


def _media(msgtype: str, stored: Mapping[str, Any], name: str, caption: Caption) -> dict[str, Any]:
    address = {key: stored[key] for key in ("url", "file") if key in stored}
    if len(address) != 1:
        raise ContentError("media have either a url or, encrypted, a file")
    name = clean(name).replace("\n", " ").strip() or msgtype.removeprefix("m.")
    content: dict[str, Any] = {
        "msgtype": msgtype,
        "body": name,
        "filename": name,
        "info": dict(stored.get("info", {})),
        **address,
        "m.mentions": {},
    }
    if isinstance(caption, str):
        return {**content, "body": clean(caption)} if caption else content
    return content | {key: caption[key] for key in _CAPTION_KEYS if key in caption}
