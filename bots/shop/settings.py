"""What an operator sets for the shop."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from bots.commerce.desk import DeskSettings
from bots.commerce.engines.settings import VendureSettings
from bots.commerce.orders import Terms
from bots.commerce.seed import DemoSettings


class Settings(BaseModel):
    """What an operator can set."""

    model_config = ConfigDict(extra="forbid")

    pay_minutes: int = Field(15, ge=1, le=1440, description="Minutes that a buyer has to confirm the payment.")
    agree_minutes: int = Field(
        60, ge=1, le=10_080, description="Minutes that a buyer has to say whether they want what is left of an order."
    )
    conclude_days: int = Field(14, ge=1, le=365, description="Days after the delivery in which a buyer can complain.")
    vendure: tuple[VendureSettings, ...] = Field(
        (), description="Catalogues of merchants that are kept in a Vendure, each a channel of its Shop API."
    )
    desk: DeskSettings = Field(default_factory=DeskSettings, description="The merchants' side.")
    demo: DemoSettings = Field(default_factory=DemoSettings, description="Merchants to try things out with.")

    def terms(self) -> Terms:
        """How long orders wait."""
        return Terms(
            timedelta(minutes=self.pay_minutes),
            timedelta(minutes=self.agree_minutes),
            timedelta(days=self.conclude_days),
        )
