"""Hidden messages: text and media that a client shows when somebody asks for it. Pure; the fields: docs/privacy.md."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

HIDDEN: Final = "chat.rialto.hidden"
"""Content field: ``{"reason": …}``. Media is not shown, nor loaded, before it is asked for."""
MEDIA_SPOILER: Final = "page.codeberg.everypizza.msc4193.spoiler"
"""The same for other clients (MSC4193)."""
MEDIA_REASON: Final = "page.codeberg.everypizza.msc4193.spoiler.reason"
MEDIA: Final = frozenset({"m.image", "m.video", "m.audio", "m.file", "m.sticker"})


def hidden_text(text: str, reason: str = "") -> dict[str, Any]:
    """The content of a message whose text is hidden (specification, "Spoiler messages").

    ``body``, which stands in notifications and in clients without spoilers, holds the reason alone: a body with the
    text would have hidden nothing there.
    """
    mark = f'<span data-mx-spoiler="{escape(reason)}">' if reason else "<span data-mx-spoiler>"
    shown = escape(text).replace("\n", "<br>")
    return {
        "msgtype": "m.text",
        "body": f"[{reason or 'hidden'}]",
        "format": "org.matrix.custom.html",
        "formatted_body": f"{mark}{shown}</span>",
        HIDDEN: {"reason": reason},
    }


def hidden_media(content: Mapping[str, Any], reason: str = "") -> dict[str, Any]:
    """A media message that is hidden: without the small picture that clients draw before they load it (MSC2448).

    Raises:
        ValueError: it is no media message.
    """
    if content.get("msgtype") not in MEDIA:
        raise ValueError("only media can be hidden so; text has a form of its own")
    info = content.get("info")
    made: dict[str, Any] = {**content, HIDDEN: {"reason": reason}, MEDIA_SPOILER: True}
    if isinstance(info, Mapping):
        made["info"] = {name: value for name, value in info.items() if "blurhash" not in name}
    if reason:
        made[MEDIA_REASON] = reason
    return made


def is_hidden(content: Mapping[str, Any]) -> bool:
    """Whether a client must not show a message before it is asked to."""
    if isinstance(content.get(HIDDEN), Mapping) or content.get(MEDIA_SPOILER) is True:
        return True
    formatted = content.get("formatted_body")
    return isinstance(formatted, str) and "data-mx-spoiler" in formatted
