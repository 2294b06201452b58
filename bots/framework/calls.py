"""What a webhook's handler is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

HOOK_CALLED: Final = "rialto.webhook"
"""The type of the internal event that a call becomes."""


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One call of a webhook, its signature checked.

    Attributes:
        name: of the webhook.
        json: the body, when it was JSON.
        text: the body, when it was text or a form.
        headers: the harmless ones, in lower case.
    """

    name: str
    json: Any = None
    text: str = ""
    headers: Mapping[str, str] | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> WebhookCall:
        """The call that an internal event is."""
        return cls(
            str(content.get("name", content.get("hook", ""))),
            content.get("json"),
            str(content.get("text", "")),
            content.get("headers") or {},
        )
