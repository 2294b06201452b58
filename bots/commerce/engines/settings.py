"""What an operator sets of catalogues that are kept elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from bots.commerce.engines.base import CatalogueEngine
from bots.commerce.engines.builtin import BuiltIn
from bots.commerce.engines.joined import Joined
from bots.commerce.engines.vendure import PRECISION, Vendure
from bots.domain.merchants import Merchant
from bots.framework.http import HttpClient

__all__ = ["VendureSettings", "engine_of"]


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("needs http:// or https:// with a host, and no query or user name")
    return value


class VendureSettings(BaseModel):
    """One channel of a Vendure, as the catalogue of one merchant."""

    model_config = ConfigDict(extra="forbid")

    merchant: str = Field(
        min_length=1, max_length=40, description="The short name of the merchant whose products are kept there."
    )
    url: Annotated[str, AfterValidator(_url)] = Field(description="Of its Shop API: https://…/shop-api.")
    channel: SecretStr = Field(
        SecretStr(""), description="The token of the channel (vendure-token); empty: the default channel."
    )
    language: str = Field(
        "en", pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="Of names and descriptions (BCP 47)."
    )
    precision: int = Field(PRECISION, ge=0, le=6, description="Decimals of its whole numbers (MoneyStrategy).")


def engine_of(instance: str, elsewhere: Sequence[VendureSettings], http: HttpClient | None) -> CatalogueEngine:
    """The built-in catalogue, and those that are kept elsewhere beside it.

    Raises:
        ValueError: two belong to one merchant, or one needs an HTTP client that is not there.
    """
    builtin = BuiltIn(instance)
    if not elsewhere:
        return builtin
    if http is None:
        raise ValueError("a catalogue that is kept elsewhere needs an HTTP client")
    slugs = [each.merchant for each in elsewhere]
    if len(set(slugs)) < len(slugs):
        raise ValueError("two catalogues belong to one merchant")
    return Joined(instance, builtin, {each.merchant: partial(_made, http, each) for each in elsewhere})


def _made(http: HttpClient, settings: VendureSettings, merchant: Merchant) -> Vendure:
    return Vendure(
        http,
        settings.url,
        merchant.id,
        currency=merchant.currency,
        channel=settings.channel.get_secret_value(),
        language=settings.language,
        precision=settings.precision,
    )
