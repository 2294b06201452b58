"""What a driver's app sends: fixes, read from JSON; and how soon it is to send again. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bots.domain.drivers import Driver, DriverState, Position
from bots.domain.places import Point

__all__ = ["FIXES_MAX", "Batch", "Malformed", "interval", "read"]

FIXES_MAX: Final = 100
ACCURACY_MAX_M: Final = 100_000.0
SPEED_MAX: Final = 150.0
"""Metres a second: no road leads faster."""
ROUGH_M: Final = 1_000.0
"""A fix that may be wrong by more says nothing: somewhere in the city."""
OLD: Final = timedelta(hours=1)
_EARLIEST_MS: Final = 946_684_800_000  # the year 2000
_LATEST_MS: Final = 4_102_444_800_000  # the year 2100
LOW: Final = 0.15
"""Of a full battery."""

TRIP_S: Final = 5
NEAR_S: Final = 15
IDLE_S: Final = 60
OFFLINE_S: Final = 0


class Malformed(ValueError):
    """What was sent is no batch. ``errors``: a JSON pointer (RFC 6901) and what is wrong there."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("the request is not what it has to be")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Batch:
    """What an app has sent.

    Attributes:
        positions: the oldest first, their times by our clock.
        passed_over: fixes that say too little, or are older than an hour.
        low: the battery is low, and nothing charges it.
    """

    positions: tuple[Position, ...]
    passed_over: int
    low: bool


def read(body: Any, now: datetime) -> Batch:
    """A batch from JSON. All of it is taken or none: an app that sends nonsense is to hear of it.

    Args:
        now: ours (aware). Where the app says when it sent (``sent``), its clock is set right by the difference.

    Raises:
        Malformed: and where.
    """
    if not isinstance(body, dict):
        raise Malformed([("", "needs to be an object")])
    errors: list[tuple[str, str]] = []
    sent = _moment(body.get("sent"), "/sent", errors, needed=False)
    offset = timedelta() if sent is None else now - sent
    fixes = body.get("fixes")
    if not isinstance(fixes, list) or len(fixes) > FIXES_MAX:
        raise Malformed([*errors, ("/fixes", f"needs to be a list of at most {FIXES_MAX} fixes")])
    positions = [each for each in _positions(fixes, errors) if each is not None]
    battery = _number(body.get("battery"), "/battery", errors, 0.0, 1.0)
    charging = body.get("charging", False)
    if not isinstance(charging, bool):
        errors.append(("/charging", "needs to be true or false"))
    if errors:
        raise Malformed(errors)
    right = sorted((_shifted(each, offset, now) for each in positions), key=lambda each: each.at)
    useful = tuple(
        each for each in right if now - each.at <= OLD and (each.accuracy_m is None or each.accuracy_m <= ROUGH_M)
    )
    return Batch(useful, len(right) - len(useful), battery is not None and battery < LOW and not charging)


def _shifted(position: Position, offset: timedelta, now: datetime) -> Position:
    return Position(
        position.point, min(position.at + offset, now), position.accuracy_m, position.heading, position.speed
    )


def _positions(fixes: list[Any], errors: list[tuple[str, str]]) -> Iterator[Position | None]:
    for index, fix in enumerate(fixes):
        where = f"/fixes/{index}"
        if not isinstance(fix, dict):
            errors.append((where, "needs to be an object"))
            continue
        yield _position(fix, where, errors)


def _position(fix: Mapping[str, Any], where: str, errors: list[tuple[str, str]]) -> Position | None:
    before = len(errors)
    latitude = _number(fix.get("lat"), f"{where}/lat", errors, -90.0, 90.0, needed=True)
    longitude = _number(fix.get("lon"), f"{where}/lon", errors, -180.0, 180.0, needed=True)
    at = _moment(fix.get("at"), f"{where}/at", errors)
    accuracy = _number(fix.get("accuracy"), f"{where}/accuracy", errors, 0.0, ACCURACY_MAX_M)
    heading = _number(fix.get("heading"), f"{where}/heading", errors, 0.0, 360.0)
    speed = _number(fix.get("speed"), f"{where}/speed", errors, 0.0, SPEED_MAX)
    if len(errors) > before or latitude is None or longitude is None or at is None:
        return None
    return Position(Point(latitude, longitude), at, accuracy, heading, speed)


def _number(
    value: Any, where: str, errors: list[tuple[str, str]], least: float, most: float, *, needed: bool = False
) -> float | None:
    if value is None and not needed:
        return None
    # JSON's true is Python's 1; NaN is not between any two numbers.
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        errors.append((where, f"needs to be a number from {least:g} to {most:g}"))
        return None
    return float(value)


def _moment(value: Any, where: str, errors: list[tuple[str, str]], *, needed: bool = True) -> datetime | None:
    if value is None and not needed:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not _EARLIEST_MS <= value <= _LATEST_MS:
        errors.append((where, "needs to be milliseconds since 1970-01-01 UTC"))
        return None
    return datetime.fromtimestamp(value / 1000, UTC)


def interval(driver: Driver, *, moving: bool, demand: bool, low: bool) -> int:
    """Seconds until the app is to send again; 0: not before the driver wants trips.

    Args:
        moving: they have moved in the last minutes.
        demand: somebody near them waits for a driver.
        low: the battery is low.
    """
    if driver.trip or driver.offer:
        return NEAR_S if low else TRIP_S
    if driver.state not in {DriverState.ONLINE, DriverState.BREAK}:
        return OFFLINE_S
    if driver.state is DriverState.BREAK or low or not (moving or demand):
        return IDLE_S
    return NEAR_S
