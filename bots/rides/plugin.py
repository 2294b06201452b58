"""The bot of rides: riders, drivers and operators on one bot."""

from __future__ import annotations

from bots.fleet import FleetKeeping, Fleets
from bots.framework import Setup
from bots.framework.i18n import _
from bots.rides.driving import Driving
from bots.rides.office import Office
from bots.rides.riding import Riding
from bots.rides.settings import Settings

__all__ = ["Rides"]


class Rides(Riding, Driving, Office, FleetKeeping):
    """Drives people, and brings things for bots that sell them."""

    name = "rides"
    summary = _("Rides from where you are to where you want to be; or drive others, and bring things.")
    Settings = Settings
    locales = "bots.rides"
    scopes = frozenset(
        {
            "state",
            "schedules",
            "media",
            "people.read",
            "location.read",
            "rooms.create",
            "http",
            "payments.charge",
            "payments.read",
            "payments.send",
            "fleet",
        }
    )

    def __init__(self, setup: Setup) -> None:
        self.settings: Settings = setup.settings or Settings()
        self.fleet = setup.service(Fleets).of(setup.instance)
        self.open_riding(setup, self.settings.riding)
        self.open_driving()
        self.open_office(setup)
