"""Photon over HTTP: ``/api`` and ``/reverse``, which answer in GeoJSON."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from bots.domain.places import Place, Point
from bots.framework.http import HttpClient
from bots.routing.geocoding import HttpGeocoder, Pace, place_at

__all__ = ["Photon"]

LANGUAGES: Final = ("en", "de", "fr")
"""That Photon has where nothing else is set; it refuses others."""


class Photon(HttpGeocoder):
    """A geocoder behind Photon's API."""

    source = "photon"

    def __init__(
        self,
        http: HttpClient,
        url: str,
        *,
        user_agent: str,
        per_second: float,
        timeout: float = 4.0,
        pace: Pace | None = None,
        languages: Collection[str] = LANGUAGES,
    ) -> None:
        """As of :class:`HttpGeocoder`; ``languages``: that it was set up with."""
        super().__init__(http, url, user_agent=user_agent, per_second=per_second, timeout=timeout, pace=pace)
        self._languages = frozenset(languages)

    def _search(self, query: str, near: Point | None, limit: int, language: str) -> tuple[str, dict[str, str]]:
        parameters = {"q": query, "limit": str(limit)} | self._language(language)
        if near is not None:
            parameters |= {"lat": f"{near.latitude:.1f}", "lon": f"{near.longitude:.1f}"}
        return "/api", parameters

    def _reverse(self, point: Point, language: str) -> tuple[str, dict[str, str]]:
        where = {"lat": f"{point.latitude:.6f}", "lon": f"{point.longitude:.6f}", "limit": "1"}
        return "/reverse", where | self._language(language)

    def _language(self, language: str) -> dict[str, str]:
        short = language.replace("_", "-").partition("-")[0].lower()
        return {"lang": short} if short in self._languages else {}

    def _places(self, said: Any) -> tuple[Place, ...]:
        found = []
        for feature in said["features"]:
            longitude, latitude = feature["geometry"]["coordinates"][:2]
            found.append(place_at(Point(float(latitude), float(longitude)), _text(feature["properties"])))
        return tuple(found)


def _text(properties: dict[str, Any]) -> str:
    """An address as people write it: the name, street and number, the town, the country."""
    street = " ".join(str(properties[each]) for each in ("street", "housenumber") if properties.get(each))
    town = " ".join(str(properties[each]) for each in ("postcode", "city") if properties.get(each))
    parts = [str(properties.get("name") or ""), street, town, str(properties.get("country") or "")]
    return ", ".join(dict.fromkeys(each for each in parts if each))
