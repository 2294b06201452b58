"""Drivers: approved by the operator, online and offline, rated."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bots.commerce.hand import Reader
from bots.domain.drivers import Driver, DriverAction, DriverState
from bots.fleet.news import DriverHook
from bots.framework import Context

__all__ = ["Drivers"]


class Drivers:
    """The drivers of a fleet. Writes are compare-and-set, in the commit of the handler at hand. Raises DriverError."""

    hooks: list[DriverHook]
    """Told of everything, in order."""

    async def get(self, reader: Reader, person: str) -> Driver | None:
        """Somebody who has applied, by their user id."""
        raise NotImplementedError

    async def in_states(
        self, reader: Reader, states: Collection[DriverState], limit: int = 100, after: str = ""
    ) -> list[Driver]:
        """Drivers in these states by their user ids, from behind ``after``."""
        raise NotImplementedError

    async def counts(self, reader: Reader) -> dict[DriverState, int]:
        """How many drivers are in each state."""
        raise NotImplementedError

    async def apply(self, ctx: Context, driver: Driver) -> Driver:
        """Somebody wants to drive (state APPLIED), or wants to again who was rejected."""
        raise NotImplementedError

    async def approve(self, ctx: Context, driver: Driver, by: str) -> Driver:
        """The operator lets them drive."""
        raise NotImplementedError

    async def reject(self, ctx: Context, driver: Driver, by: str, reason: str) -> Driver:
        """The operator does not."""
        raise NotImplementedError

    async def suspend(self, ctx: Context, driver: Driver, by: str, reason: str) -> Driver:
        """The operator has them drive no more: a trip that they are on the way to is matched again, first in line; one
        that is under way they bring to its end (the operator can stop it)."""
        raise NotImplementedError

    async def reinstate(self, ctx: Context, driver: Driver, by: str) -> Driver:
        """The operator lets them drive again."""
        raise NotImplementedError

    async def go_online(self, ctx: Context, driver: Driver, zones: Collection[str] = ()) -> Driver:
        """They want trips. Raises DriverError ("driver.nowhere"): their position is not known, or is old."""
        raise NotImplementedError

    async def take_break(self, ctx: Context, driver: Driver) -> Driver:
        """They want none just now; an offer that is open is declined."""
        raise NotImplementedError

    async def go_offline(self, ctx: Context, driver: Driver) -> Driver:
        """They stop. Raises DriverError ("driver.busy"): they have a trip."""
        raise NotImplementedError

    async def change(self, ctx: Context, before: Driver, **changes: Any) -> Driver:
        """What somebody says of themselves: name, vehicle, services, zones, documents, room."""
        raise NotImplementedError

    async def heard(self, ctx: Context, person: str) -> None:
        """Something was heard of them (a message, a position): they stay online."""
        raise NotImplementedError

    async def rate(self, ctx: Context, person: str, trip_id: str, stars: int, text: str = "") -> bool:
        """A rider's stars, 1 to 5, once for a trip; whether they count now. Raises DriverError ("driver.stars")."""
        raise NotImplementedError

    async def act(self, ctx: Context, driver: Driver, action: DriverAction, by: str = "", **changes: Any) -> Driver:
        """Any action: what the methods above stand on."""
        raise NotImplementedError
