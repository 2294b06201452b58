"""What an operator sets for riders."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bots.rides.pages.map import Tiles

__all__ = ["MapSettings", "RidingSettings"]


class MapSettings(BaseModel):
    """Where maps on pages have their tiles from. Without, they are drawn here, and nobody else hears of them."""

    model_config = ConfigDict(extra="forbid")

    tiles: str = Field(
        "",
        pattern=r"^$|^https?://[^\s\"'<>;,]+$",
        description="Address of a tile server with {z}, {x} and {y}; empty: maps are drawn without tiles.",
    )
    credit: str = Field("", max_length=100, description="Whom the tiles' licence wants to be named.")

    @model_validator(mode="after")
    def _whole(self) -> MapSettings:
        if self.tiles and not all(part in self.tiles for part in ("{z}", "{x}", "{y}")):
            raise ValueError("the address of tiles needs {z}, {x} and {y}")
        if self.tiles and any(part in self.tiles.split("/", 3)[2] for part in "{}"):
            raise ValueError("the host of tiles is one")
        return self

    def server(self) -> Tiles | None:
        """The server, if there is one."""
        return Tiles(self.tiles, self.credit) if self.tiles else None


class RidingSettings(BaseModel):
    """What an operator can set for the rider's side."""

    model_config = ConfigDict(extra="forbid")

    contact: Literal["masked", "room"] = Field(
        "masked",
        description="How rider and driver talk: through the bot, or in a room of the trip where they see each other.",
    )
    lost_hours: int = Field(
        24, ge=0, le=720, description="Hours after a trip in which rider and driver can still write about a lost item."
    )
    follow_seconds: int = Field(15, ge=5, le=120, description="Seconds between two positions that a rider is sent.")
    lost_after_seconds: int = Field(
        90, ge=20, le=900, description="Seconds without a position after which the rider is told where it was last."
    )
    share_hours: int = Field(24, ge=1, le=168, description="Hours after which a shared trip is not shared any more.")
    open_most: int = Field(5, ge=1, le=50, description="Trips that one person may have under way or ordered.")
    ahead_days: int = Field(30, ge=1, le=365, description="Days ahead for which a trip can be ordered.")
    tips: tuple[int, ...] = Field((5, 10, 15), description="Tips that are offered, in per cent of the fare.")
    maps: MapSettings = Field(default_factory=MapSettings, description="Maps on pages.")

    @property
    def lost(self) -> timedelta:
        """How long after a trip people may still write."""
        return timedelta(hours=self.lost_hours)
