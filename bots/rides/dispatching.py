"""How an operator weighs who is asked: the settings behind :class:`bots.domain.dispatch.Policy`."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bots.domain.dispatch_terms import DEFAULT, Policy

__all__ = ["DispatchSettings"]

WAVES_MOST: Final = 10
ASKED_MOST: Final = 20


class DispatchSettings(BaseModel):
    """What an operator can set of rounds of dispatch; ``docs/dispatch.md`` says what each does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pickup_minutes: float = Field(
        DEFAULT.pickup_cap / 60, gt=0, le=110, description="Nobody is asked who needs longer to the pickup."
    )
    wave_sizes: tuple[int, ...] = Field(
        DEFAULT.wave_sizes,
        description="Drivers who are asked at once in the first wave, the second, and so on; the last one goes on.",
    )
    waiting_weight: float = Field(
        DEFAULT.waiting_weight,
        ge=0,
        le=10,
        description="Seconds of driving that outweigh a second of a rider's waiting.",
    )
    idle_weight: float = Field(
        DEFAULT.idle_weight, ge=0, le=1, description="Seconds of driving that outweigh a second of a driver's idleness."
    )
    batch_metres: float = Field(
        DEFAULT.batch_reach, ge=0, le=5_000, description="Two pickups are that near at most to be brought in one go."
    )
    batch_detour_minutes: float = Field(
        DEFAULT.batch_detour / 60, ge=0, le=60, description="Neither of two is on the way for longer than this on top."
    )
    budget_seconds: float = Field(
        DEFAULT.budget, gt=0, le=30, description="A round computes so long; who is left then is matched nearest first."
    )

    @field_validator("wave_sizes")
    @classmethod
    def _waves(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(value) <= WAVES_MOST or not all(1 <= each <= ASKED_MOST for each in value):
            raise ValueError(f"needs 1 to {WAVES_MOST} numbers from 1 to {ASKED_MOST}, such as [1, 2, 3]")
        return value

    def policy(self) -> Policy:
        """The same for the dispatcher; how long offers and searches last say the fleet's terms."""
        return Policy(
            pickup_cap=self.pickup_minutes * 60,
            wave_sizes=self.wave_sizes,
            waiting_weight=self.waiting_weight,
            idle_weight=self.idle_weight,
            batch_reach=self.batch_metres,
            batch_detour=self.batch_detour_minutes * 60,
            budget=self.budget_seconds,
        )
