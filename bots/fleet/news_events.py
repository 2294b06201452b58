"""News as an internal event holds them: the whole is sealed while it waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bots.domain.drivers import Driver, DriverAction, Offer, OfferAction
from bots.domain.money import Money
from bots.domain.trips import Trip, TripAction
from bots.fleet.news import DriverNews, News, OfferNews, TripNews
from bots.fleet.plain import into, out

__all__ = ["driver_in", "driver_out", "offer_in", "offer_out", "trip_in", "trip_out"]


def trip_out(news: TripNews) -> dict[str, Any]:
    """News of a trip as JSON. What a sentence of the wallet is filled in with goes along as text."""
    return {
        "news": news.news.value,
        "before": out(news.before),
        "after": out(news.after),
        "action": None if news.action is None else news.action.value,
        "by": news.by,
        "amount": out(news.amount),
        "refused": news.refused,
        "values": {name: str(value) for name, value in news.values.items()},
    }


def trip_in(held: Mapping[str, Any]) -> TripNews:
    """The news again."""
    return TripNews(
        News(held["news"]),
        into(Trip, held["before"]),
        into(Trip, held["after"]),
        None if held["action"] is None else TripAction(held["action"]),
        held["by"],
        into(Money, held["amount"]) if held["amount"] is not None else None,
        held["refused"],
        held["values"],
    )


def offer_out(news: OfferNews) -> dict[str, Any]:
    """News of an offer as JSON: the driver without documents."""
    return {
        "offer": out(news.offer),
        "trips": [out(each) for each in news.trips],
        "driver": out(replace(news.driver, documents=())),
        "action": None if news.action is None else news.action.value,
        "broke": news.broke,
    }


def offer_in(held: Mapping[str, Any]) -> OfferNews:
    """The news again."""
    return OfferNews(
        into(Offer, held["offer"]),
        tuple(into(Trip, each) for each in held["trips"]),
        into(Driver, held["driver"]),
        None if held["action"] is None else OfferAction(held["action"]),
        bool(held["broke"]),
    )


def driver_out(news: DriverNews) -> dict[str, Any]:
    """News of a driver as JSON."""
    action = None if news.action is None else news.action.value
    return {"before": out(news.before), "after": out(news.after), "action": action, "by": news.by}


def driver_in(held: Mapping[str, Any]) -> DriverNews:
    """The news again."""
    action = None if held["action"] is None else DriverAction(held["action"])
    return DriverNews(into(Driver, held["before"]), into(Driver, held["after"]), action, held["by"])
