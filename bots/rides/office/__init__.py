"""The operator's side of the conversation."""

from __future__ import annotations

from bots.framework import Context, Setup
from bots.rides.office.cases import Cases
from bots.rides.office.drivers import Drivers
from bots.rides.office.surging import Surging
from bots.rides.office.trips import Trips
from bots.rides.pages.board import BoardDoor
from bots.rides.pages.board_state import BoardReader
from bots.rides.pages.map import Tiles
from bridge.audit import Audit

__all__ = ["Office"]


class Office(Trips, Drivers, Cases, Surging):
    """For the plugin to inherit, whose constructor sets :attr:`fleet` and calls :meth:`open_office`."""

    _board_door: BoardDoor | None = None
    _office_bot: str = ""

    def open_office(self, setup: Setup, tiles: Tiles | None = None) -> None:
        """Register what is told of trips and drivers, and open the board where pages are served. Whatever an operator
        decides is in the audit log.

        Args:
            tiles: below the board's map; None: it is drawn without.
        """
        self.audit, self._office_bot = setup.service(Audit), setup.instance
        self.fleet.trips.hooks.append(self.trip_told_office)
        self.fleet.drivers.hooks.append(self.driver_told_office)
        self._board_door = setup.services.get(BoardDoor)
        if self._board_door is not None:
            trade = self.fleet.trade
            self._board_door.open(setup.instance, BoardReader(self.fleet, trade.database, trade.clock), tiles)

    def board_link(self, ctx: Context) -> str:
        """A link that opens the live board once; empty: this installation serves no pages."""
        return "" if self._board_door is None else self._board_door.link(ctx, self._office_bot)
