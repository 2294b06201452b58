"""What an operator sets for the shop."""

from __future__ import annotations

from pydantic import Field

from bots.commerce.engines.settings import VendureSettings
from bots.commerce.selling import SellingSettings


class Settings(SellingSettings):
    """What an operator can set."""

    vendure: tuple[VendureSettings, ...] = Field(
        (), description="Catalogues of merchants that are kept in a Vendure, each a channel of its Shop API."
    )
