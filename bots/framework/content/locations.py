"""Places: ``m.location`` with the fields of MSC3488, and the geo URIs in it (RFC 5870)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bots.framework.content.characters import clean
from bots.framework.content.errors import ContentError
from bots.framework.i18n import English, Translator

_LOCATION = "org.matrix.msc3488.location"
_MAX_URI = 512
# RFC 5870, 3.3. A number has no exponent; parameter names are not case-sensitive.
_NUMBER = r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?"
_GEO = re.compile(
    rf"geo:({_NUMBER}),({_NUMBER})(?:,({_NUMBER}))?((?:;[A-Za-z0-9\-]+(?:=[A-Za-z0-9\-_.!~*'()\[\]:&+$%]*)?)*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class GeoPoint:
    """A point in WGS 84: degrees north and east, metres above the ellipsoid, metres that it may be wrong by."""

    latitude: float
    longitude: float
    altitude: float | None = None
    uncertainty: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.latitude, self.longitude, self.altitude or 0.0, self.uncertainty or 0.0)
        if not all(map(math.isfinite, numbers)) or abs(self.latitude) > 90 or abs(self.longitude) > 180:
            raise ContentError("a place lies between 90 degrees south and north and 180 degrees west and east")
        if self.uncertainty is not None and self.uncertainty < 0:
            raise ContentError("the uncertainty of a place is a distance in metres")

    @property
    def uri(self) -> str:
        """The geo URI (RFC 5870)."""
        # At the poles every longitude is the same, and so are 180 degrees west and east (3.4.4): one way to write each.
        longitude = 0.0 if abs(self.latitude) == 90 else 180.0 if self.longitude == -180 else self.longitude
        numbers = [_number(self.latitude, 7), _number(longitude, 7)]
        if self.altitude is not None:
            numbers.append(_number(self.altitude, 2))
        suffix = "" if self.uncertainty is None else f";u={_number(self.uncertainty, 2)}"
        return f"geo:{','.join(numbers)}{suffix}"


@dataclass(frozen=True, slots=True)
class Location:
    """A place that somebody sent. ``own`` says that it is where the sender is, not a place chosen on the map."""

    point: GeoPoint
    description: str
    own: bool


def parse_geo_uri(uri: str) -> GeoPoint:
    """Read a geo URI.

    Raises:
        ContentError: it is none, or not in WGS 84, or nowhere on Earth.
    """
    match = _GEO.fullmatch(uri) if len(uri) <= _MAX_URI else None
    if match is None:
        raise ContentError("the address of the place is no geo: URI")
    parameters: dict[str, str] = {}
    for parameter in filter(None, match[4].split(";")):
        name, _, value = parameter.partition("=")
        if parameters.setdefault(name.lower(), value) != value:
            raise ContentError("the address of the place names a parameter twice", parameter=name[:20])
    if parameters.get("crs", "wgs84").lower() != "wgs84":
        raise ContentError("the place is given in other coordinates than WGS 84")
    uncertainty = parameters.get("u")
    if uncertainty is not None and not re.fullmatch(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", uncertainty):
        raise ContentError("the uncertainty of a place is a distance in metres")
    return GeoPoint(
        latitude=float(match[1]),
        longitude=float(match[2]),
        altitude=float(match[3]) if match[3] is not None else None,
        uncertainty=float(uncertainty) if uncertainty is not None else None,
    )


def location(
    point: GeoPoint,
    description: str = "",
    *,
    own: bool = False,
    timestamp: int | None = None,
    translator: Translator | None = None,
) -> dict[str, Any]:
    """An ``m.location``, whose body names the place and its coordinates.

    Args:
        point: where.
        description: what the place is called.
        own: the sender is there, instead of pointing at it (``m.self`` and ``m.pin`` of MSC3488).
        timestamp: when the place was right, in milliseconds.
        translator: gives the word for a place without a description.
    """
    description = clean(description).strip()
    name = description or (translator or English()).t("Location")
    body = f"{name} ({point.uri})"
    described: dict[str, Any] = {"uri": point.uri}
    if description:
        described["description"] = description
    content: dict[str, Any] = {
        "msgtype": "m.location",
        "body": body,
        "geo_uri": point.uri,
        _LOCATION: described,
        "org.matrix.msc3488.asset": {"type": "m.self" if own else "m.pin"},
        "org.matrix.msc1767.text": body,
        "m.mentions": {},
    }
    if timestamp is not None:
        content["org.matrix.msc3488.ts"] = timestamp
    return content


def parse_location(content: Mapping[str, Any]) -> Location:
    """The place in an ``m.location`` that somebody sent, with the fields of MSC3488 or without.

    Raises:
        ContentError: there is none.
    """
    found = (content.get(key) for key in (_LOCATION, "m.location"))
    described: Mapping[str, Any] = next((value for value in found if isinstance(value, Mapping)), {})
    uri = described.get("uri", content.get("geo_uri"))
    if not isinstance(uri, str):
        raise ContentError("the message holds no place")
    texts = (described.get("description"), content.get("body"))
    description = next((text for text in texts if isinstance(text, str)), "")
    found = (content.get(key) for key in ("org.matrix.msc3488.asset", "m.asset"))
    asset: Mapping[str, Any] = next((value for value in found if isinstance(value, Mapping)), {})
    # MSC3488: without a type it is the sender's own place.
    return Location(parse_geo_uri(uri), clean(description), own=asset.get("type", "m.self") == "m.self")


def _number(value: float, digits: int) -> str:
    written = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written
