"""What an operator sets for the shop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bots.commerce.couriers.settings import FleetSettings
from bots.commerce.engines.settings import VendureSettings
from bots.commerce.selling import SellingSettings


class Settings(SellingSettings, FleetSettings):
    """What an operator can set."""

    couriers: Literal["none", "fleet"] = Field(
        "none",
        description="Who brings what merchants deliver into their zones: none, they themselves; fleet, the drivers of "
        "rides.",
    )
    vendure: tuple[VendureSettings, ...] = Field(
        (), description="Catalogues of merchants that are kept in a Vendure, each a channel of its Shop API."
    )
