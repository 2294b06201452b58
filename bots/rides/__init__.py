"""``@rides``: rides and couriers, dispatched in chat."""

from bots.rides.plugin import Rides

__all__ = ["Rides"]
