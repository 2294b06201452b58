"""The rider's side as a whole."""

from __future__ import annotations

from bots.commerce.addresses import AddressBook
from bots.framework import Setup
from bots.rides.pages.share import ShareDoor
from bots.rides.riding.following import Following
from bots.rides.riding.listing import Listing
from bots.rides.riding.settings import RidingSettings

__all__ = ["Riding"]


class Riding(Listing, Following):
    """For the plugin to inherit, whose constructor sets :attr:`fleet` (and :attr:`geocoder`, where addresses are looked
    up) and calls :meth:`open_riding`."""

    def open_riding(self, setup: Setup, settings: RidingSettings) -> None:
        """Register what is told of trips, offers and drivers."""
        self.riding = settings
        self.addresses = AddressBook(self.fleet.trade)
        self.door = setup.services.get(ShareDoor)
        if self.door is not None:
            self.door.open(setup.instance, settings.maps.server())
        self.fleet.trips.hooks.append(self.tell_rider)
