"""The operator's side of the conversation."""

from __future__ import annotations

from bots.fleet.fleet import Fleet
from bots.framework import Plugin

__all__ = ["Office"]


class Office(Plugin):
    """For the plugin to inherit, whose constructor sets :attr:`fleet` and calls :meth:`open_office`."""

    fleet: Fleet

    def open_office(self) -> None:
        """Register what is told of trips, offers and drivers."""
