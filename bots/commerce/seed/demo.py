"""The demo city in a plugin: its settings, and the part that puts it in when the plugin starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bots.commerce.seed.planting import plant
from bots.commerce.seed.reading import Centre, Seed, city
from bots.commerce.trade import Trade
from bots.domain.places import Point
from bots.framework import Plugin

__all__ = ["Demo", "DemoSettings"]

USER: Final = r"^$|^@[^:\s]+:\S+$"


class CentreSettings(BaseModel):
    """Where the demo city is to lie."""

    model_config = ConfigDict(extra="forbid")

    latitude: float = Field(ge=-85, le=85, description="Degrees, WGS 84.")
    longitude: float = Field(ge=-180, le=180, description="Degrees, WGS 84.")
    zone: str = Field(description="Its time zone (IANA), such as Europe/Berlin.")

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"needs a time zone (IANA) such as Europe/Berlin, got {value!r}") from None
        return value


class DemoSettings(BaseModel):
    """Merchants to try things out with."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(
        False, description="Put in the merchants of the demo city, once: for trying out, never in production."
    )
    owner: str = Field(
        "", pattern=USER, description="The user id of whoever works for them. They accept by themselves all the same."
    )
    centre: CentreSettings | None = Field(None, description="Where the city lies, if not in Berlin.")

    def seeds(self, bot: str, kind: str) -> list[Seed]:
        """The merchants. ``kind``: ``food`` or ``shop``."""
        told = self.centre
        centre = None if told is None else Centre(Point(told.latitude, told.longitude), told.zone)
        return city(bot, kind, self.owner, centre)


class Demo(Plugin):
    """A plugin that may have the demo city's merchants, for it to inherit."""

    _seeds: Callable[[], Sequence[Seed]] | None = None
    _seeded: Trade

    def open_demo(self, settings: DemoSettings, trade: Trade, instance: str, kind: str) -> None:
        """Put the city in when the plugin starts, if its settings say so."""
        self._seeded = trade
        self._seeds = (lambda: settings.seeds(instance, kind)) if settings.enabled else None

    async def start(self) -> None:
        """Before the first event."""
        await super().start()
        if self._seeds is not None:
            await plant(self._seeded.database, self._seeds(), self._seeded.clock.now_ms())
