"""Which bots there are, for plugins that show them to people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A bot that people can open.

    Attributes:
        summary: one line, in English; the plugin's catalogues have its translations.
        domain: the translations of the summary.
    """

    user_id: str
    name: str
    summary: str
    domain: str = ""


class Directory:
    """The bots that run, in the order of the configuration."""

    def __init__(self, entries: Callable[[], Sequence[ServiceEntry]]) -> None:
        self._entries = entries

    def entries(self, *, without: str = "") -> list[ServiceEntry]:
        """Every bot, but for the user ``without``."""
        return [entry for entry in self._entries() if entry.user_id != without]
