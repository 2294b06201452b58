"""What the messenger refuses, and why: said to people, to products, and to logs."""

from __future__ import annotations

from typing import Any

from appservice.errors import RialtoError


class BridgeError(RialtoError):
    """The root of the messenger's errors. ``human`` may be shown; ``code`` is stable."""

    code = "bridge_error"


class Refused(BridgeError):
    """What was asked for cannot be: a wrong value, a chat of the wrong kind, a state in which it makes no sense."""

    code = "refused"

    def __init__(self, code: str, human: str, **fields: Any) -> None:
        """
        Args:
            code: stable and snake_case: ``name_too_long``.
            human: a sentence, in English; front ends translate it by the code.
        """
        super().__init__(human, **fields)
        self.code = code


class NotAllowed(Refused):
    """Who asks may not: the role in the chat is too low, or a contact's settings say no."""


class NotFound(Refused):
    """There is no such chat, link, person, message; or it is not for the eyes of who asks, which looks the same."""


class Conflict(Refused):
    """It has changed meanwhile, or is so already in another way."""


class TooMany(Refused):
    """Too often, or too much. ``retry_after``: seconds, 0 when waiting does not help."""

    def __init__(self, code: str, human: str, *, retry_after: float = 0, **fields: Any) -> None:
        super().__init__(code, human, **fields)
        self.retry_after = retry_after
