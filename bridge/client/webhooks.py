"""For the receiver of a webhook: is it Rialto's, and what does it say."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from bridge.domain.signatures import HEADER, WINDOW_S, verify


class WebhookRefused(Exception):
    """It was not signed with the secret, is too old, or makes no sense: answer 400 and believe nothing of it."""


class WebhookEvent(BaseModel):
    """What happened.

    Attributes:
        id: of the delivery: one that comes a second time is the same.
        at: ms since the epoch.
        chat: the id of the chat, if it is about one.
    """

    id: str
    type: str
    at: int
    chat: str | None = None
    data: dict[str, Any]


def read_webhook(
    secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None, window: float = WINDOW_S
) -> WebhookEvent:
    """The event that a request tells of.

    Args:
        secret: as it was shown when the webhook was made.
        body: the very bytes of the request.
        now: seconds since the epoch, if not the machine's time.
        window: seconds that a request may be old.

    Raises:
        WebhookRefused: it is none.
    """
    named = {name.lower(): value for name, value in headers.items()}
    moment = time.time() if now is None else now
    if not verify(secret.encode(), named.get(HEADER.lower(), ""), body, moment, window):
        raise WebhookRefused("the signature is not good")
    try:
        return WebhookEvent.model_validate(json.loads(body))
    except (ValueError, ValidationError):
        raise WebhookRefused("the body makes no sense") from None
