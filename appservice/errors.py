"""The root of every error that Rialto raises on purpose."""

from __future__ import annotations

from typing import Any


class RialtoError(Exception):
    """An error that speaks twice: ``human`` to people, ``code`` and ``fields`` to logs and programs.

    ``code`` is stable and snake_case. ``fields`` never hold message bodies, tokens or keys.
    """

    code = "error"

    def __init__(self, human: str, **fields: Any) -> None:
        super().__init__(human)
        self.human = human
        self.fields = fields

    def __str__(self) -> str:
        return self.human
