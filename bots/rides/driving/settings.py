"""What an operator sets for drivers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bots.framework.i18n import _

__all__ = ["DocumentKind", "DrivingSettings"]


class DocumentKind(BaseModel):
    """A document that somebody who wants to drive has to show."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="How it is stored: licence.")
    label: str = Field("", max_length=60, description="How people read it; the name unless said.")
    expires: bool = Field(True, description="Whether it is valid until a day.")
    couriers: bool = Field(False, description="Whether who only brings things shows it too.")

    @property
    def words(self) -> str:
        """How people read it: to be translated where it is one of ours."""
        return self.label or self.name.replace("_", " ").replace("-", " ")


class DrivingSettings(BaseModel):
    """What an operator can set for the drivers' side."""

    model_config = ConfigDict(extra="forbid")

    documents: tuple[DocumentKind, ...] = Field(
        (
            DocumentKind(name="licence", label=_("driving licence")),
            DocumentKind(name="insurance", label=_("insurance")),
        ),
        max_length=8,
        description="Documents that drivers show, in order.",
    )
    remind_days: int = Field(14, ge=1, le=180, description="Days before a document expires on which it is reminded of.")
    navigation: tuple[Literal["geo", "openstreetmap", "google", "apple"], ...] = Field(
        ("geo", "openstreetmap"), description="Links to navigation that drivers are sent, as text."
    )
    arrived_metres: int = Field(
        300, ge=20, le=10_000, description="Metres from the pickup beyond which “arrived” has to be confirmed."
    )
    ended_metres: int = Field(
        500, ge=20, le=100_000, description="Metres from the destination beyond which the end has to be confirmed."
    )
    busy_most: int = Field(5, ge=1, le=20, description="Zones in the list of where it is busy.")

    @model_validator(mode="after")
    def _once(self) -> DrivingSettings:
        names = [each.name for each in self.documents]
        if len(set(names)) != len(names):
            raise ValueError("each document is named once")
        return self

    def needed(self, *, people: bool) -> list[DocumentKind]:
        """The documents of who drives people, or only brings things."""
        return [each for each in self.documents if people or each.couriers]
