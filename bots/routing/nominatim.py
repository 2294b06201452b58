"""Nominatim over HTTP: ``/search`` and ``/reverse`` with ``format=jsonv2``.

The public one asks for a user agent that names the application, for one request a second at most over all its people,
and that answers are remembered; it does not want to be asked while somebody types. All of that is kept for any of them.
"""

from __future__ import annotations

from typing import Any, Final

from bots.domain.places import Place, Point
from bots.routing.geocoding import HttpGeocoder, place_at

__all__ = ["Nominatim"]

AROUND: Final = 0.5
"""Degrees to each side of where somebody is: places there come first, others are not left out."""


class Nominatim(HttpGeocoder):
    """A geocoder behind Nominatim's API."""

    source = "nominatim"

    def _search(self, query: str, near: Point | None, limit: int, language: str) -> tuple[str, dict[str, str]]:
        parameters = {"q": query, "format": "jsonv2", "limit": str(limit), "accept-language": language}
        if near is not None:
            west, east = max(near.longitude - AROUND, -180.0), min(near.longitude + AROUND, 180.0)
            south, north = max(near.latitude - AROUND, -90.0), min(near.latitude + AROUND, 90.0)
            parameters["viewbox"] = f"{west:.1f},{south:.1f},{east:.1f},{north:.1f}"
        return "/search", parameters

    def _reverse(self, point: Point, language: str) -> tuple[str, dict[str, str]]:
        return "/reverse", {
            "lat": f"{point.latitude:.6f}",
            "lon": f"{point.longitude:.6f}",
            "format": "jsonv2",
            "zoom": "18",
            "accept-language": language,
        }

    def _places(self, said: Any) -> tuple[Place, ...]:
        if isinstance(said, dict):  # of /reverse: one place, or {"error": "Unable to geocode"}
            said = [] if "error" in said else [said]
        return tuple(
            place_at(Point(float(each["lat"]), float(each["lon"])), str(each["display_name"])) for each in said
        )
