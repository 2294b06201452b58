"""The rider's side of the conversation."""

from __future__ import annotations

from bots.fleet.fleet import Fleet
from bots.framework import Plugin

__all__ = ["Riding"]


class Riding(Plugin):
    """For the plugin to inherit, whose constructor sets :attr:`fleet` and calls :meth:`open_riding`."""

    fleet: Fleet

    def open_riding(self) -> None:
        """Register what is told of trips, offers and drivers."""
