"""What an operator sets: who knows travel times, and who knows where places are."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bots.framework.http import HttpClient
from bots.routing.base import Geocoder, Router
from bots.routing.cache import Cached
from bots.routing.estimate import DETOUR, FREE_KMH, WEEKDAY, WEEKEND, Estimate, Speeds
from bots.routing.fallback import Fallback
from bots.routing.geocoding import Coordinates, First
from bots.routing.nominatim import Nominatim
from bots.routing.osrm import Osrm
from bots.routing.photon import LANGUAGES, Photon
from bots.routing.valhalla import Valhalla

__all__ = ["EstimateSettings", "GeocoderSettings", "RoutingSettings"]


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("needs http:// or https:// with a host, and no query or user name")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"needs a time zone such as Europe/Berlin, got {value!r}") from None
    return value


Url = Annotated[str, AfterValidator(_url)]
Hours = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=24, max_length=24)]


class EstimateSettings(BaseModel):
    """How travel times are estimated, and other routers' times are stretched."""

    model_config = ConfigDict(extra="forbid")

    timezone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="Whose hours the shapes are of.")
    free_kmh: float = Field(FREE_KMH, gt=0, le=200, description="Speed along roads when they are empty.")
    detour: float = Field(DETOUR, ge=1, le=5, description="How many times as long roads are as the straight line.")
    weekday: Hours = Field(WEEKDAY, description="Share of that speed in each hour from Monday to Friday.")
    weekend: Hours = Field(WEEKEND, description="The same on Saturday and Sunday.")

    def speeds(self) -> Speeds:
        """How fast one drives when."""
        return Speeds(ZoneInfo(self.timezone), free_kmh=self.free_kmh, weekday=self.weekday, weekend=self.weekend)

    def make(self) -> Estimate:
        """The estimate."""
        return Estimate(self.speeds(), detour=self.detour)


class GeocoderSettings(BaseModel):
    """Who knows where places are; coordinates and shared locations are always understood."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["coordinates", "nominatim", "photon"] = Field("coordinates", description="Which one is asked.")
    url: Url | None = Field(None, description="Where it is; it may be in a private network.")
    user_agent: str = Field(
        "", max_length=200, description="Names you, with a way to reach you: public ones ask for it."
    )
    per_second: float = Field(1.0, gt=0, le=1000, description="Requests a second at most.")
    timeout: float = Field(4.0, gt=0, le=20, description="Seconds for an answer.")
    languages: tuple[str, ...] = Field(LANGUAGES, description="That a Photon was set up with.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind != "coordinates" and (self.url is None or not self.user_agent.strip()):
            raise ValueError(f"{self.kind} needs a url and a user_agent")
        if not self.user_agent.isprintable():
            raise ValueError("a user agent is one line")
        return self

    def make(self, http: HttpClient | None) -> Geocoder:
        """The geocoder. Raises ValueError when it needs a client that is not there."""
        if self.kind == "coordinates":
            return Coordinates()
        assert self.url is not None
        if http is None:
            raise ValueError(f"{self.kind} needs an HTTP client")
        if self.kind == "nominatim":
            nominatim = Nominatim(
                http, self.url, user_agent=self.user_agent, per_second=self.per_second, timeout=self.timeout
            )
            return First(Coordinates(), nominatim)
        photon = Photon(
            http,
            self.url,
            user_agent=self.user_agent,
            per_second=self.per_second,
            timeout=self.timeout,
            languages=self.languages,
        )
        return First(Coordinates(), photon)


class RoutingSettings(BaseModel):
    """Who knows travel times, and who knows where places are."""

    model_config = ConfigDict(extra="forbid")

    router: Literal["estimate", "osrm", "valhalla"] = Field("estimate", description="Who is asked for travel times.")
    url: Url | None = Field(None, description="Where it is; it may be in a private network.")
    profile: str = Field(
        "", pattern="^[a-z_]{0,30}$", description="OSRM's profile (driving) or Valhalla's costing (auto)."
    )
    timeout: float = Field(2.0, gt=0, le=20, description="Seconds for an answer; then the estimate says it.")
    places: int = Field(0, ge=0, le=10_000, description="In one table at most; 0: 100 of OSRM, 50 of Valhalla.")
    traffic: bool = Field(True, description="Stretch its times by the estimate's shape of the day.")
    cache_entries: int = Field(50_000, ge=1, le=5_000_000, description="Ways that are remembered.")
    cache_seconds: int = Field(600, ge=1, le=86_400, description="For how long.")
    estimate: EstimateSettings = Field(default_factory=EstimateSettings, description="The estimate.")
    geocoder: GeocoderSettings = Field(default_factory=GeocoderSettings, description="Who knows addresses.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.router != "estimate" and self.url is None:
            raise ValueError(f"{self.router} needs a url")
        if self.places == 1:
            raise ValueError("a table has two places at least")
        return self

    def make(self, http: HttpClient | None) -> Router:
        """The router. Raises ValueError when it needs a client that is not there."""
        estimate = self.estimate.make()
        if self.router == "estimate":
            return estimate
        assert self.url is not None
        if http is None:
            raise ValueError(f"{self.router} needs an HTTP client")
        speeds = self.estimate.speeds() if self.traffic else None
        asked: Router
        if self.router == "osrm":
            asked = Osrm(
                http,
                self.url,
                profile=self.profile or "driving",
                timeout=self.timeout,
                places=self.places or 100,
                speeds=speeds,
            )
        else:
            asked = Valhalla(
                http,
                self.url,
                costing=self.profile or "auto",
                timeout=self.timeout,
                places=self.places or 50,
                speeds=speeds,
            )
        remembered = Cached(asked, entries=self.cache_entries, seconds=self.cache_seconds)
        # A whole answer may be several tables, one after the other.
        return Fallback(remembered, estimate, timeout=2 * self.timeout)
