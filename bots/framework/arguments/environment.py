"""What a text is read with besides itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, tzinfo
from typing import Any

from bots.framework.arguments.words import Vocabulary
from bots.framework.i18n import English, Translator


@dataclass(frozen=True, slots=True)
class ParseEnv:
    """The moment, the person and the message.

    ``now`` is aware; ``zone`` is the person's time zone; ``server_name`` completes a bare ``@alice``; ``content`` is
    the
    content of the message (mentions, formatted body, location). ``morning`` is the time of a day for which none is
    named.
    """

    now: datetime
    zone: tzinfo
    server_name: str
    default_currency: str | None = None
    translator: Translator = field(default_factory=English)
    content: Mapping[str, Any] = field(default_factory=dict)
    morning: time = time(9)
    _vocabularies: dict[int, Vocabulary] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("now needs a time zone")

    @property
    def language(self) -> str:
        """The person's language, BCP 47."""
        return self.translator.language

    def vocabulary(self, terms: Mapping[str, str]) -> Vocabulary:
        """The words of the person's language for the terms of a module; made once for a message."""
        made = self._vocabularies.get(id(terms))
        if made is None:
            made = self._vocabularies[id(terms)] = Vocabulary(terms, self.translator)
        return made
