"""What gives texts in a person's language."""

from __future__ import annotations

from typing import Any, Protocol


class Translator(Protocol):
    """Texts in one language. A text is known by its English form, with ``{named}`` fields."""

    @property
    def language(self) -> str:
        """The language as a BCP 47 tag: ``en``, ``pt-BR``."""

    def t(self, text: str, /, **values: Any) -> str:
        """The text in this language with its fields filled in."""

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        """The text for ``count`` things, by the plural rules of this language; ``{count}`` is filled in too."""


class English:
    """The texts as they stand in the code."""

    language = "en"
    """English."""

    def t(self, text: str, /, **values: Any) -> str:
        """The text itself."""
        return text.format(**values) if values else text

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        """One or many."""
        return (one if count == 1 else many).format(count=count, **values)
