"""Places on the earth: coordinates, geo URIs (RFC 5870) and shared locations."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from bots.framework.arguments.environment import ParseEnv
from bots.framework.arguments.errors import InvalidValue, Text

EXPECTED: Final = Text("a place: share a location, or write coordinates such as 52.52, 13.40")

_NUMBER: Final = r"[+-]?\d{1,3}(?:\.\d{1,15})?"
_PAIR: Final = re.compile(rf"({_NUMBER})\s*°?\s*([NS])?\s*[,;\s]\s*({_NUMBER})\s*°?\s*([EW])?", re.IGNORECASE)
_GEO: Final = re.compile(
    rf"geo:({_NUMBER}),({_NUMBER})(?:,{_NUMBER}|,[+-]?\d+(?:\.\d+)?)?((?:;[^;?#\s]*)*)(?:\?[^\s#]*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Place:
    """A point of WGS 84, in degrees: north and east are positive. ``name`` is what people call it, or nothing."""

    latitude: float
    longitude: float
    name: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.latitude) and abs(self.latitude) <= 90):
            raise ValueError("latitude is between -90 and 90")
        if not (math.isfinite(self.longitude) and abs(self.longitude) <= 180):
            raise ValueError("longitude is between -180 and 180")

    @property
    def geo_uri(self) -> str:
        """The place as a geo URI."""
        return f"geo:{_plain(self.latitude)},{_plain(self.longitude)}"

    def __str__(self) -> str:
        return self.name or f"{_plain(self.latitude)}, {_plain(self.longitude)}"


def _plain(degrees: float) -> str:
    text = f"{degrees:.7f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def place(text: str, env: ParseEnv) -> Place:
    """The place that a message shares or a text tells: “52.52, 13.40”, “geo:52.52,13.40”. Raises
    :class:`InvalidValue`."""
    shared = place_of(env.content)
    return shared if shared is not None else read_place(text)


def read_place(text: str) -> Place:
    """The place that a text tells by coordinates or geo URI. Raises :class:`InvalidValue`."""
    plain = text.strip().replace("−", "-")
    if match := _GEO.fullmatch(plain):
        parameters = [parameter.partition("=") for parameter in match[3].lower().split(";") if parameter]
        if any(name == "crs" and value != "wgs84" for name, _, value in parameters):
            raise InvalidValue.of(text, EXPECTED)
        return _place(float(match[1]), float(match[2]), text)
    if match := _PAIR.fullmatch(plain):
        latitude, longitude = float(match[1]), float(match[3])
        south, west = (match[2] or "").upper() == "S", (match[4] or "").upper() == "W"
        return _place(-latitude if south else latitude, -longitude if west else longitude, text)
    raise InvalidValue.of(text, EXPECTED)


def place_of(content: Mapping[str, Any]) -> Place | None:
    """The place of an m.location message (specification, "m.location"; MSC3488), None when it is none."""
    extensible: Mapping[str, Any] = next(
        (
            content[key]
            for key in ("m.location", "org.matrix.msc3488.location")
            if isinstance(content.get(key), Mapping)
        ),
        {},
    )
    if content.get("msgtype") != "m.location" and not extensible:
        return None
    uri = extensible.get("uri", content.get("geo_uri"))
    if not isinstance(uri, str):
        return None
    try:
        found = read_place(uri)
    except InvalidValue:
        return None
    name = extensible.get("description")
    return Place(
        found.latitude, found.longitude, " ".join(name.split())[:200] if isinstance(name, str) else _query_name(uri)
    )


def _query_name(uri: str) -> str:
    match = re.search(r"[?&]q=([^&#]*)", uri)
    return " ".join(unquote(match[1].replace("+", " ")).split())[:200] if match else ""


def _place(latitude: float, longitude: float, given: str) -> Place:
    try:
        return Place(latitude, longitude)
    except ValueError:
        raise InvalidValue(
            "argument.no_such_place",
            "Latitude is between -90 and 90 degrees, longitude between -180 and 180.",
            clear=True,
        ) from None
