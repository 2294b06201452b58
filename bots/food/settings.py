"""What an operator sets for food."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bots.commerce.couriers.settings import FleetSettings
from bots.commerce.orders import Terms
from bots.commerce.selling import SellingSettings
from bots.domain.currencies import CURRENCIES
from bots.domain.money import Money, MoneyError
from bots.food.groups.service import GroupTerms


def _amounts(value: dict[str, str]) -> dict[str, str]:
    for currency, amount in value.items():
        if currency not in CURRENCIES:
            raise ValueError(f"needs codes of currencies (ISO 4217) such as EUR, got {currency!r}")
        try:
            money = Money.of(amount, currency)
        except MoneyError as error:
            raise ValueError(f"{currency}: {error.human}") from None
        if money.minor < 0:
            raise ValueError(f"{currency}: needs an amount that is not below nought, got {amount!r}")
    return value


class Settings(SellingSettings, FleetSettings):
    """What an operator can set. People are hungry: they wait for less long than in a shop."""

    agree_minutes: int = Field(
        10, ge=1, le=1440, description="Minutes that a buyer has to say whether they want what is left of an order."
    )
    conclude_days: int = Field(3, ge=1, le=365, description="Days after the delivery in which a buyer can complain.")
    answer_seconds: int | None = Field(
        None, ge=5, le=86_400, description="Seconds that restaurants have to answer an order; unset: what each says."
    )
    share_minutes: int = Field(
        10,
        ge=1,
        le=1440,
        description="Minutes that each has to confirm their share of a group order; less than pay_minutes.",
    )
    couriers: Literal["pool", "fleet"] = Field(
        "pool", description="Who brings orders: pool, people who sign up with this bot; fleet, the drivers of rides."
    )
    offer_seconds: int = Field(25, ge=5, le=600, description="Seconds that a courier has to answer an offer.")
    search_pause_seconds: int = Field(
        30, ge=1, le=3600, description="Seconds between two rounds in which no courier took a trip."
    )
    courier_least: Annotated[dict[str, str], AfterValidator(_amounts)] = Field(
        default_factory=dict,
        description="What a trip earns at least, by currency; what the delivery fee does not come to, the restaurant "
        "pays.",
    )
    pay_failed_trips: bool = Field(
        False,
        description="Whether restaurants pay couriers for a trip that failed, and once more for the way back, though "
        "the buyer's money goes back.",
    )
    door_minutes: int = Field(
        5,
        ge=1,
        le=60,
        description="Minutes at a door to which nobody comes until a courier may leave an order there with a photo.",
    )

    def terms(self) -> Terms:
        """How long orders wait."""
        answer = None if self.answer_seconds is None else timedelta(seconds=self.answer_seconds)
        return replace(super().terms(), answer=answer)

    def group_terms(self) -> GroupTerms:
        """How long groups wait."""
        return GroupTerms(timedelta(minutes=self.share_minutes))

    def least(self) -> dict[str, Money]:
        """What a trip earns at least."""
        return {currency: Money.of(amount, currency) for currency, amount in self.courier_least.items()}
