"""Bringing: who dispatches trips, and the couriers' side in chat."""

from bots.commerce.couriers.dispatch import NEWS, Dispatcher, Moved, Trip
from bots.commerce.couriers.pool import Pool

__all__ = ["NEWS", "Dispatcher", "Moved", "Pool", "Trip"]
