"""``rialto rides``: what trips cost: whether a tariff's file is right, and what a way costs by it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from appservice.commands.common import Exit, UsageError, add_json, print_json, say

if TYPE_CHECKING:
    from bots.domain.fares import Quote
    from bots.domain.places import Point
    from bots.domain.tariffs import Tariff

EXAMPLE_M, EXAMPLE_S = 5_000, 900
"""Of the way whose price "check" shows: 5 km in 15 minutes."""


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("rides", help="what trips cost", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="whether a tariff's file is right", description=_check.__doc__)
    check.add_argument("file", type=Path, nargs="?", metavar="FILE", help="(default: the tariff of the demo city)")
    check.set_defaults(handler=_check)
    price = actions.add_parser("quote", help="what a way costs", description=_quote.__doc__)
    price.add_argument("pickup", type=_point, metavar="FROM", help="latitude,longitude")
    price.add_argument("dropoff", type=_point, metavar="TO", help="latitude,longitude")
    price.add_argument("--stop", type=_point, action="append", default=[], metavar="PLACE", help="a stop on the way")
    price.add_argument("--tariff", type=Path, metavar="FILE", help="(default: the tariff of the demo city)")
    price.add_argument("--at", metavar="TIME", help="of the pickup, such as 2026-03-01T18:00 (default: now)")
    price.add_argument("--km", type=float, metavar="N", help="how far it is (default: estimated)")
    price.add_argument("--minutes", type=float, metavar="N", help="how long it takes (default: estimated)")
    price.add_argument("--surge", type=int, default=100, metavar="PERCENT", help="of the price (default: 100)")
    price.set_defaults(handler=_quote)
    for action in actions.choices.values():
        add_json(action)


def _point(text: str) -> Point:
    from bots.domain.places import PlaceError, Point

    try:
        latitude, longitude = map(float, text.split(","))
        return Point(latitude, longitude)
    except (ValueError, PlaceError):
        raise argparse.ArgumentTypeError(f"needs latitude,longitude, got {text!r}") from None


def _tariff(file: Path | None) -> Tariff:
    from bots.rides.tariffs import default_tariff, read_file

    return default_tariff() if file is None else read_file(file)


def _check(arguments: argparse.Namespace) -> int:
    """Read a tariff's file and tell everything that is wrong with it, each with its line; or what a trip of 5 km and 15
    minutes costs by each of its rates. Exit code 2: something is wrong."""
    from appservice.config import ConfigError

    try:
        tariff = _tariff(arguments.file)
    except ConfigError as error:
        if not arguments.json:
            raise
        print_json({"right": False, "problems": [_problem(each) for each in error.problems]})
        return Exit.USAGE
    prices = list(_prices(tariff))
    if arguments.json:
        shown = [{"class": name, "zone": zone, "hours": hours, "price": price} for name, zone, hours, price in prices]
        print_json({"right": True, "name": tariff.name, "currency": tariff.currency, "prices": shown})
        return Exit.OK
    say(f"{tariff.name}: {len(tariff.classes)} classes, {len(tariff.zones)} zones, in {tariff.currency}")
    say(f"  {EXAMPLE_M / 1000:g} km and {EXAMPLE_S // 60} minutes:")
    for name, zone, hours, price in prices:
        say(f"  {name:<12} {zone or 'everywhere else':<18} {hours:<28} {price}")
    return Exit.OK


def _problem(problem: Any) -> dict[str, Any]:
    return {"file": problem.place.source, "line": problem.place.line, "key": problem.key, "reason": problem.reason}


def _prices(tariff: Tariff) -> Any:
    from bots.domain.fares import fare_of
    from bots.rides.tariffs.models import moment

    for (name, zone), rates in tariff.rates.items():
        for each in rates:
            first = each.windows[0]
            more = f" and {len(each.windows) - 1} more" if len(each.windows) > 1 else ""
            hours = f"{moment(first.begin)} to {moment(first.end, ends=True)}{more}"
            yield name, zone, hours, str(fare_of(tariff, each, EXAMPLE_M, EXAMPLE_S).total)


def _quote(arguments: argparse.Namespace) -> int:
    """What a way costs by each class, with its breakdown. Exit code 1: it is not driven there."""
    from bots.domain.fares import Surge, quote
    from bots.domain.tariffs import TariffError

    tariff = _tariff(arguments.tariff)
    way = [arguments.pickup, *arguments.stop, arguments.dropoff]
    at = _moment(arguments.at, tariff.zone)
    metres, seconds = _way(arguments, way, at, tariff.zone)
    surge = Surge(max(arguments.surge, 100), "operator" if arguments.surge > 100 else "")
    try:
        quotes = [quote(tariff, name, way, metres, seconds, at, surge=surge) for name in tariff.classes]
    except TariffError as error:
        say(error.human)
        return Exit.FAILED
    if arguments.json:
        print_json([_shown(each) for each in quotes])
        return Exit.OK
    say(f"{metres / 1000:.1f} km, {round(seconds / 60)} minutes, {at.astimezone(ZoneInfo(tariff.zone)):%a %H:%M}")
    for each in quotes:
        say(f"{tariff.classes[each.service].label}: {each.total}, of which {each.earning} for who drives")
        for line in each.lines:
            say(f"  {line.label.format(**line.values):<40} {line.amount}")
    return Exit.OK


def _moment(text: str | None, zone: str) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at needs a time such as 2026-03-01T18:00, got {text!r}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))


def _way(arguments: argparse.Namespace, way: list[Point], at: datetime, zone: str) -> tuple[int, int]:
    """Metres and seconds, as told or estimated."""
    import asyncio

    from bots.routing.base import RoutingError
    from bots.routing.estimate import Estimate, Speeds

    if arguments.km is not None and arguments.minutes is not None:
        return round(arguments.km * 1000), round(arguments.minutes * 60)
    try:
        route = asyncio.run(Estimate(Speeds(ZoneInfo(zone))).route(way, at))
    except RoutingError as error:
        raise UsageError(error.human) from None
    metres = route.metres if arguments.km is None else arguments.km * 1000
    seconds = route.seconds if arguments.minutes is None else arguments.minutes * 60
    return round(metres), round(seconds)


def _shown(quoted: Quote) -> dict[str, Any]:
    return {
        "class": quoted.service,
        "zone": quoted.zone,
        "total": str(quoted.total),
        "earning": str(quoted.earning),
        "hold": str(quoted.hold),
        "surge": quoted.surge.multiplier,
        "metres": quoted.metres,
        "seconds": quoted.seconds,
        "lines": [{"part": line.part, "amount": str(line.amount)} for line in quoted.lines],
    }
