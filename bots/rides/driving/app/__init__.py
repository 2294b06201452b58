"""Where apps of drivers say where they are: ``POST /fleet/positions``; see ``docs/driver-app.md``."""

from bots.rides.driving.app.endpoint import PREFIX, DriverApp
from bots.rides.driving.app.tokens import Tokens

__all__ = ["PREFIX", "DriverApp", "Tokens"]
