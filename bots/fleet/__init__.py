"""Fleets: drivers, trips, offers, rounds and positions, for bots that drive people and bring things. Knows no bot."""

from bots.fleet.cases import TripCase, TripCaseKind, TripCases, TripCaseState
from bots.fleet.drivers import Drivers
from bots.fleet.fleet import Fleet, Fleets
from bots.fleet.handlers import FleetClient, FleetKeeping
from bots.fleet.news import DriverHook, DriverNews, News, OfferHook, OfferNews, TripHook, TripNews
from bots.fleet.offers import Offers
from bots.fleet.positions import Heard, Positions, Seen
from bots.fleet.quotes import Offered, Quotes
from bots.fleet.terms import Charge, Terms
from bots.fleet.trips import Step, Trips, Wanted

__all__ = [
    "Charge",
    "DriverHook",
    "DriverNews",
    "Drivers",
    "Fleet",
    "FleetClient",
    "FleetKeeping",
    "Fleets",
    "Heard",
    "News",
    "OfferHook",
    "OfferNews",
    "Offered",
    "Offers",
    "Positions",
    "Quotes",
    "Seen",
    "Step",
    "Terms",
    "TripCase",
    "TripCaseKind",
    "TripCaseState",
    "TripCases",
    "TripHook",
    "TripNews",
    "Trips",
    "Wanted",
]
