"""What an operator sets for rides."""

from __future__ import annotations

from datetime import timedelta

from pydantic import ConfigDict, Field

from bots.fleet.terms import Terms
from bots.rides.dispatching import DispatchSettings
from bots.rides.driving.settings import DrivingSettings
from bots.rides.riding.settings import RidingSettings
from bots.rides.tariffs.settings import TariffSettings
from bots.routing.settings import RoutingSettings

__all__ = ["Settings"]


class Settings(TariffSettings):
    """What an operator can set."""

    model_config = ConfigDict(extra="forbid")

    round_seconds: float = Field(3, ge=0.5, le=60, description="Seconds between two rounds of dispatch.")
    pay_minutes: int = Field(5, ge=1, le=60, description="Minutes that a rider has to confirm the payment.")
    search_seconds: int = Field(120, ge=30, le=3600, description="Seconds after which a search is given up.")
    courier_search_minutes: int = Field(
        30, ge=1, le=1440, description="Minutes after which the search for a courier is given up."
    )
    offer_seconds: int = Field(25, ge=5, le=300, description="Seconds that a driver has to answer an offer.")
    grace_minutes: int = Field(5, ge=1, le=60, description="Minutes that a driver waits for a rider at the pickup.")
    schedule_minutes: int = Field(
        20, ge=5, le=120, description="Minutes before its time at which a trip ordered for later is woken."
    )
    capture_minutes: int = Field(
        10, ge=0, le=1440, description="Minutes after a ride in which a dispute leaves its money held."
    )
    silent_minutes: int = Field(
        15, ge=2, le=240, description="Minutes after which a driver of whom nothing is heard goes offline."
    )
    stale_seconds: int = Field(
        180, ge=15, le=3600, description="Seconds after which a driver's position is too old for offers."
    )
    lapses: int = Field(3, ge=0, le=20, description="Unanswered offers in a row that set a driver on a break; 0: none.")

    dispatch: DispatchSettings = Field(default_factory=DispatchSettings, description="How it is weighed who is asked.")
    riding: RidingSettings = Field(default_factory=RidingSettings, description="The riders' side.")
    driving: DrivingSettings = Field(default_factory=DrivingSettings, description="The drivers' side.")

    routing: RoutingSettings = Field(
        default_factory=RoutingSettings, description="Who knows travel times, and where places are."
    )

    def terms(self) -> Terms:
        """How long things wait."""
        return Terms(
            every=timedelta(seconds=self.round_seconds),
            pay=timedelta(minutes=self.pay_minutes),
            search=timedelta(seconds=self.search_seconds),
            client_search=timedelta(minutes=self.courier_search_minutes),
            offered=timedelta(seconds=self.offer_seconds),
            grace=timedelta(minutes=self.grace_minutes),
            ahead=timedelta(minutes=self.schedule_minutes),
            capture=timedelta(minutes=self.capture_minutes),
            silent=timedelta(minutes=self.silent_minutes),
            stale=timedelta(seconds=self.stale_seconds),
            lapses=self.lapses,
        )
