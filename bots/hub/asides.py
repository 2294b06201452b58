"""How the hub goes on in another room than the one in which it was spoken to."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from appservice import json
from appservice.events import InternalEvent
from bots.framework import Context
from bots.framework.context import DIALOG_STARTS
from bots.framework.dialogs import codec


def begin(ctx: Context, room_id: str, dialog: Callable[..., Any], *args: Any, person: str = "") -> None:
    """Begin a dialog with the person at hand in another room than this, after what is done here.

    Args:
        person: with somebody else.
    """
    cause = f"{ctx.event.event_id}\0{room_id}\0{getattr(dialog, '__name__', '')}"
    content = {
        "name": getattr(dialog, "__name__", ""),
        "people": [],
        "arguments": json.loads(codec.dumps([list(args), {}])),
    }
    key = f"dialog:{sha256(cause.encode()).hexdigest()[:40]}"
    ctx.unit.emit(InternalEvent(key, ctx.consumer, room_id, DIALOG_STARTS, content, person or ctx.sender))
