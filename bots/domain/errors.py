"""What every refusal of the domain has in common: a code for logs and programs, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = ["DomainError"]


class DomainError(ValueError):
    """Something that cannot be. ``code`` is for logs; ``msgid`` with ``values`` is the sentence for people, for the
    translator. Each kind of error has the sentences of its codes."""

    messages: ClassVar[Mapping[str, str]] = {}

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.msgid = self.messages[code]
        self.values = values

    @property
    def human(self) -> str:
        """The sentence in English."""
        return self.msgid.format(**self.values)
