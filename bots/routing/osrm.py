"""OSRM over HTTP: version 1 of its API, as all of OSRM 5 and 6 speak it (``table`` and ``route``).

OSRM knows speeds of empty roads, not the hour; with :class:`~bots.routing.estimate.Speeds` its seconds are stretched by
the share of the hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from bots.domain.dispatch_near import metres_between, vectors
from bots.domain.places import PlaceError, Point
from bots.framework.http import HttpClient, HttpError, HttpRefused
from bots.routing.base import Route, RoutingError, Table
from bots.routing.estimate import DETOUR, POINTS_MAX, Speeds
from bots.routing.grouping import floats
from bots.routing.remote import RemoteRouter

__all__ = ["Osrm"]

NO_WAY: Final = frozenset({"NoRoute", "NoTable", "NoSegment"})
MAX_ANSWER: Final = 4 * 1024 * 1024


class Osrm(RemoteRouter):
    """A router behind OSRM's API."""

    name = "osrm"

    def __init__(
        self,
        http: HttpClient,
        url: str,
        *,
        profile: str = "driving",
        timeout: float = 2.0,
        places: int = 100,
        speeds: Speeds | None = None,
    ) -> None:
        """
        Args:
            url: where it is, without a path.
            profile: as it stands in its URLs.
            timeout: seconds for one answer.
            places: in one table at most (``--max-table-size``).
            speeds: by which times are stretched; None: as OSRM says.
        """
        super().__init__(http, url, timeout=timeout, places=places, speeds=speeds)
        self._profile = profile
        self._distances = True

    async def route(self, points: Sequence[Point], at: datetime) -> Route:
        """The way through places. Raises RoutingError."""
        if not 2 <= len(points) <= POINTS_MAX:
            raise RoutingError("route.points", most=POINTS_MAX)
        said = await self._ask("route", points, {"overview": "full", "geometries": "geojson", "steps": "false"})
        try:
            route = said["routes"][0]
            longer = self._longer(at)
            legs = tuple((_number(leg["duration"]) * longer, _number(leg["distance"])) for leg in route["legs"])
            if len(legs) != len(points) - 1:
                raise ValueError("not as many legs as there are between the places")
            line = tuple(Point(float(y), float(x)) for x, y, *_ in route["geometry"]["coordinates"])
            seconds, metres = _number(route["duration"]) * longer, _number(route["distance"])
        except (KeyError, IndexError, TypeError, ValueError, PlaceError) as error:
            raise self._nonsense("route", error) from None
        return Route(seconds, metres, line, legs, self.name)

    async def _table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        shape = (len(origins), len(destinations))
        if not all(shape):
            return Table(np.zeros(shape), np.zeros(shape), self.name)
        said = await self._ask("table", [*origins, *destinations], self._table_options(shape))
        try:
            seconds = floats(said["durations"], shape) * self._longer(at)
            if self._distances:
                metres = floats(said["distances"], shape)
            else:
                straight = metres_between(vectors(origins)[:, None], vectors(destinations)[None])
                metres = np.where(np.isfinite(seconds), straight * DETOUR, np.inf)
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense("table", error) from None
        return Table(seconds, metres, self.name)

    def _table_options(self, shape: tuple[int, int]) -> dict[str, str]:
        begins, ends = range(shape[0]), range(shape[0], sum(shape))
        return {
            "sources": ";".join(map(str, begins)),
            "destinations": ";".join(map(str, ends)),
            "annotations": "duration,distance" if self._distances else "duration",
        }

    async def _ask(self, service: str, points: Sequence[Point], options: dict[str, str]) -> Any:
        places = ";".join(f"{each.longitude:.6f},{each.latitude:.6f}" for each in points)
        url = f"{self._url}/{service}/v1/{self._profile}/{places}"
        try:
            # 400 is how OSRM says that there is no way, 501 that it cannot do it.
            response = await self._http.get(
                url, params=options, timeout=self._timeout, max_bytes=MAX_ANSWER, expect=(200, 400, 501)
            )
            said = response.json()
            code = said["code"]
        except (KeyError, TypeError) as error:
            raise self._nonsense(service, error) from None
        except HttpRefused as error:
            raise self._failed(service, f"status {error.status}") from None
        except HttpError as error:
            raise self._failed(service, error.code) from None
        if code == "Ok":
            return said
        if code in NO_WAY:
            raise RoutingError("route.none")
        if code == "NotImplemented" and service == "table" and self._distances:
            # Older ones have no table of distances with multi-level Dijkstra.
            self._distances = False
            return await self._ask(service, points, {**options, "annotations": "duration"})
        raise self._failed(service, str(code)[:40])


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError("a time or a distance is a number from 0 on")
    return float(value)
