"""The demo city as it lies in the package: merchants around a centre, each with a menu that the importer reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from ruamel.yaml import YAML

from bots.domain.merchants import Merchant, MerchantState, Way
from bots.domain.money import Money
from bots.domain.opening import Hours, Span
from bots.domain.orders import Fulfilment
from bots.domain.places import EARTH_M, Circle, Place, Point, Zone
from bridge.domain.ulids import ENTROPY_BYTES, ulid

__all__ = ["Centre", "Seed", "city"]

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Centre:
    """Where the city lies, and its time zone (IANA)."""

    point: Point
    zone: str


@dataclass(frozen=True, slots=True)
class Seed:
    """One merchant of the city. ``menu``: their catalogue, a YAML file for the importer."""

    merchant: Merchant
    menu: bytes


def city(bot: str, kind: str, owner: str = "", centre: Centre | None = None) -> list[Seed]:
    """The merchants of the city who sell one kind of thing.

    Args:
        bot: the plugin instance that they sell through.
        kind: ``food`` or ``shop``.
        owner: user id of whoever is to work for them; empty: nobody.
        centre: where the city is to lie; where its file has it unless told.
    """
    folder = files("bots.commerce.seed")
    document = YAML(typ="safe", pure=True).load(folder.joinpath("city.yaml").read_text(encoding="utf-8"))
    told = document["centre"]
    where = centre or Centre(Point(float(told["latitude"]), float(told["longitude"])), told["zone"])
    seeds = []
    for held in document["merchants"]:
        if held["bot"] == kind:
            menu = folder.joinpath("menus", f"{held['slug']}.yaml").read_bytes()
            seeds.append(Seed(_merchant(held, bot, owner, where, document["currency"]), menu))
    return seeds


def _merchant(held: Mapping[str, Any], bot: str, owner: str, centre: Centre, currency: str) -> Merchant:
    point = _moved(centre.point, held["north"], held["east"])
    return Merchant(
        # The same at every start, and of no time: they come before whoever signs up.
        id=ulid(0, sha256(f"{bot}\0{held['slug']}".encode()).digest()[:ENTROPY_BYTES]),
        slug=held["slug"],
        bot=bot,
        owner=owner,
        name=held["name"],
        currency=currency,
        state=MerchantState.ACTIVE,
        hours=_hours(held["hours"], centre.zone),
        description=held["description"],
        language=held["language"],
        where=Place(held["address"], point),
        zones=tuple(
            Zone(
                zone["name"],
                Circle(point, float(zone["radius"])),
                Money.of(zone["fee"], currency),
                *(
                    None if name not in zone else Money.of(zone[name], currency)
                    for name in ("per_km", "minimum", "free_from")
                ),
            )
            for zone in held["zones"]
        ),
        ways=tuple(_way(way, currency) for way in held.get("ways", ())),
        minimum=None if "minimum" not in held else Money.of(held["minimum"], currency),
        prepare=held.get("prepare", 20),
        tags=tuple(held["tags"]),
        auto_accept=True,
    )


def _way(held: Mapping[str, Any], currency: str) -> Way:
    free = held.get("free_from")
    first, last = held.get("days", (1, 3))
    return Way(
        held["name"],
        Fulfilment(held["kind"]),
        Money.of(held["fee"], currency),
        None if free is None else Money.of(free, currency),
        tuple(held.get("countries", ())),
        (first, last),
    )


def _moved(point: Point, north: float, east: float) -> Point:
    """So many metres away; over a few kilometres the earth is flat enough."""
    latitude = point.latitude + math.degrees(north / EARTH_M)
    longitude = point.longitude + math.degrees(east / EARTH_M / math.cos(math.radians(point.latitude)))
    return Point(round(latitude, 6), round((longitude + 180) % 360 - 180, 6))


def _hours(held: Mapping[str, list[str]], zone: str) -> Hours:
    week: list[tuple[Span, ...]] = [()] * 7
    for days, spans in held.items():
        first, _, last = days.partition("-")
        for day in range(DAYS.index(first), DAYS.index(last or first) + 1):
            week[day] = tuple(_span(each) for each in spans)
    return Hours(zone, tuple(week))


def _span(text: str) -> Span:
    opens, _, closes = text.partition("-")
    return Span(time.fromisoformat(opens), time(0) if closes == "24:00" else time.fromisoformat(closes))
