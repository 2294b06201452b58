"""Valhalla over HTTP: ``sources_to_targets`` and ``route``, with POST.

The long answer of the matrix is read (an array of objects for each source), which every version gives, and the short
one (``durations`` and ``distances``) that newer ones give when asked. Distances are kilometres, and null is no way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from bots.domain.places import Point
from bots.framework.http import HttpClient, HttpError, HttpRefused
from bots.routing.base import Floats, Route, RoutingError, Table
from bots.routing.estimate import POINTS_MAX, Speeds
from bots.routing.grouping import floats
from bots.routing.polyline import decoded
from bots.routing.remote import RemoteRouter

__all__ = ["Valhalla"]

NO_WAY: Final = frozenset({154, 170, 171, 442})
"""Of Valhalla's error codes: too far, places that no roads join, no road nearby, no path."""
MAX_ANSWER: Final = 8 * 1024 * 1024


class Valhalla(RemoteRouter):
    """A router behind Valhalla's API."""

    name = "valhalla"

    def __init__(
        self,
        http: HttpClient,
        url: str,
        *,
        costing: str = "auto",
        timeout: float = 2.0,
        places: int = 50,
        speeds: Speeds | None = None,
    ) -> None:
        """
        Args:
            url: where it is, without a path.
            costing: for which vehicle ("auto", "taxi", "bicycle", "motor_scooter").
            timeout: seconds for one answer.
            places: in one table at most (``max_matrix_location_pairs`` is 2,500 where nothing else is set).
            speeds: by which times are stretched; None: as Valhalla says.
        """
        super().__init__(http, url, timeout=timeout, places=places, speeds=speeds)
        self._costing = costing

    async def route(self, points: Sequence[Point], at: datetime) -> Route:
        """The way through places. Raises RoutingError."""
        if not 2 <= len(points) <= POINTS_MAX:
            raise RoutingError("route.points", most=POINTS_MAX)
        asked = {
            "locations": _places(points),
            "costing": self._costing,
            "units": "kilometers",
            "directions_type": "none",
        }
        said = await self._ask("route", asked)
        try:
            trip = said["trip"]
            longer = self._longer(at)
            legs: list[tuple[float, float]] = []
            line: list[Point] = []
            for leg in trip["legs"]:
                summary = leg["summary"]
                legs.append((float(summary["time"]) * longer, float(summary["length"]) * 1000))
                # Each leg begins where the one before ended.
                line += decoded(leg["shape"])[1 if line else 0 :]
            if len(legs) != len(points) - 1 or trip.get("units", "kilometers") != "kilometers":
                raise ValueError("not as many legs as there are between the places, or not in kilometres")
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise self._nonsense("route", error) from None
        seconds, metres = sum(each[0] for each in legs), sum(each[1] for each in legs)
        return Route(seconds, metres, tuple(line), tuple(legs), self.name)

    async def _table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        shape = (len(origins), len(destinations))
        if not all(shape):
            return Table(np.zeros(shape), np.zeros(shape), self.name)
        asked = {
            "sources": _places(origins),
            "targets": _places(destinations),
            "costing": self._costing,
            "units": "kilometers",
        }
        said = await self._ask("sources_to_targets", asked)
        try:
            if said.get("units", "kilometers") != "kilometers":
                raise ValueError("not in kilometres")
            seconds, kilometres = _matrix(said["sources_to_targets"], shape)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._nonsense("sources_to_targets", error) from None
        # One of the two without the other is no way either.
        metres = np.where(np.isfinite(seconds), kilometres * 1000, np.inf)
        return Table(np.where(np.isfinite(metres), seconds * self._longer(at), np.inf), metres, self.name)

    async def _ask(self, service: str, asked: dict[str, Any]) -> Any:
        try:
            response = await self._http.post(
                f"{self._url}/{service}", json=asked, timeout=self._timeout, max_bytes=MAX_ANSWER, expect=(200, 400)
            )
            said = response.json()
            if response.status == 200:
                return said
            code = said["error_code"]
        except (KeyError, TypeError) as error:
            raise self._nonsense(service, error) from None
        except HttpRefused as error:
            raise self._failed(service, f"status {error.status}") from None
        except HttpError as error:
            raise self._failed(service, error.code) from None
        if code in NO_WAY:
            raise RoutingError("route.none")
        raise self._failed(service, f"error {code!r}"[:40])


def _places(points: Sequence[Point]) -> list[dict[str, float]]:
    return [{"lat": round(each.latitude, 6), "lon": round(each.longitude, 6)} for each in points]


def _matrix(said: Any, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Seconds and kilometres, of the short answer or the long one. Raises ValueError, KeyError, TypeError."""
    if isinstance(said, dict):
        return floats(said["durations"], shape), floats(said["distances"], shape)
    times = [[cell["time"] for cell in row] for row in said]
    lengths = [[cell["distance"] for cell in row] for row in said]
    return floats(times, shape), floats(lengths, shape)
