"""Of which bot of rides the couriers are: what an operator sets."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["FleetSettings"]


class FleetSettings(BaseModel):
    """For the settings of a bot that has things brought to inherit; its own ``couriers`` says whether a fleet does."""

    fleet: str = Field(
        "", description="Of couriers: fleet, the bot of rides (its instance); empty: the only one there is."
    )
    courier_class: str = Field("courier", description="Of couriers: fleet, the class of its tariff that brings things.")
