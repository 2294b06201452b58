"""Live positions: somebody shares where they are for a while (MSC3489, MSC3672), and each place that they come to.

A state event ``m.beacon_info`` begins it and ends it; each ``m.beacon`` that refers to it is a place. Clients write
them under their unstable names so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from appservice.events import Event
from bots.framework.arguments.places import Place
from bots.framework.clock import from_ms
from bots.framework.content.errors import ContentError
from bots.framework.content.locations import parse_geo_uri

__all__ = ["BEACONS", "BEACON_INFOS", "Beacon"]

BEACON_INFOS: Final = frozenset({"m.beacon_info", "org.matrix.msc3489.beacon_info", "org.matrix.msc3672.beacon_info"})
BEACONS: Final = frozenset({"m.beacon", "org.matrix.msc3489.beacon", "org.matrix.msc3672.beacon"})
LONGEST: Final = timedelta(days=31)
"""Nobody is believed to share for longer by one event."""
_LATEST_MS: Final = 250_000_000_000_000
"""Milliseconds since the epoch: in the year 9892. What is later is no time that a calendar knows."""


@dataclass(frozen=True, slots=True)
class Beacon:
    """Where somebody is, or that they begin or end to share it.

    Attributes:
        live: whether it goes on; False: they have ended it.
        place: None of a beginning and an end, which name none.
        at: when they were there (aware), by the clock of their device.
        accuracy: metres that the place may be wrong by; None: not said.
        until: of a beginning: when it ends by itself (aware); otherwise None.
    """

    live: bool
    place: Place | None
    at: datetime
    accuracy: float | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, event: Event) -> Beacon | None:
        """What an event says of its sender; None: nothing that can be read, or of somebody else."""
        if event.type in BEACONS:
            return _position(event)
        if event.type in BEACON_INFOS and event.state_key == event.sender:
            return _sharing(event)
        return None


def _position(event: Event) -> Beacon | None:
    content = event.content
    described = _first(content, "m.location", "org.matrix.msc3488.location")
    uri = described.get("uri") if isinstance(described, Mapping) else None
    if not isinstance(uri, str):
        return None
    try:
        point = parse_geo_uri(uri)
    except ContentError:
        return None
    return Beacon(True, Place(point.latitude, point.longitude), _moment(event, content), point.uncertainty)


def _sharing(event: Event) -> Beacon | None:
    content = event.content
    asset = _first(content, "m.asset", "org.matrix.msc3488.asset")
    # MSC3488: without a type it is the sender's own place.
    if isinstance(asset, Mapping) and asset.get("type", "m.self") != "m.self":
        return None
    at, live = _moment(event, content), content.get("live") is True
    timeout = content.get("timeout")
    until = None
    if live and isinstance(timeout, int) and not isinstance(timeout, bool):
        until = at + min(timedelta(milliseconds=max(0, min(timeout, _LATEST_MS))), LONGEST)
    return Beacon(live, None, at, until=until)


def _moment(event: Event, content: Mapping[str, Any]) -> datetime:
    said = _first(content, "m.ts", "org.matrix.msc3488.ts")
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= _LATEST_MS:
        return from_ms(said)
    return from_ms(max(0, min(event.timestamp, _LATEST_MS)))


def _first(content: Mapping[str, Any], *names: str) -> Any:
    return next((content[name] for name in names if name in content), None)
