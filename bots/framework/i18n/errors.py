"""What is wrong with a catalogue or with a text in the code."""

from __future__ import annotations

from appservice.errors import RialtoError


class TranslationError(RialtoError):
    """A text that cannot be used as it is translated: ``file:line: reason``. It falls back to the next language."""

    code = "bad_translation"

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}", file=file, line=line, reason=reason)
        self.file = file
        self.line = line
        self.reason = reason
