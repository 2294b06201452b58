"""What an operator sets: which billers there are."""

from __future__ import annotations

import secrets
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from bots.bills.billers import Biller, Billers, HttpBiller, simulated
from bots.domain import bills as domain
from bots.domain.bills import PHONE_PLANS, BillerInfo, Category, TopUp
from bots.domain.currencies import CURRENCIES
from bots.domain.money import Money, MoneyError
from bots.framework.http import HttpClient


def _currency(value: str) -> str:
    if value not in CURRENCIES:
        raise ValueError(f"needs the code of a currency (ISO 4217) such as EUR, got {value!r}")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("needs http:// or https:// with a host, and no query or user name")
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or "?" in value or "#" in value:
        raise ValueError("needs a path that begins with /, without ? or #")
    return value


Path = Annotated[str, AfterValidator(_path)]
AmountText = Annotated[str, Field(pattern=r"^[0-9]{1,15}(?:\.[0-9]{1,4})?$")]


class FieldSettings(BaseModel):
    """What the biller needs to know."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(description="What the biller calls it.")
    label: str = Field(description="What people call it.")
    pattern: str = Field(description="A regular expression that the whole value matches.")
    example: str = Field(description="A value that does.")


class BillerSettings(BaseModel):
    """A biller that speaks HTTP."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="Stays the same for ever: what was paid is kept under it.")
    name: str = Field(description="As people see it.")
    category: Category = Field(description="What its bills are for; top_up: credit for mobile phones.")
    url: Annotated[str, AfterValidator(_url)] = Field(description="What the paths are put behind.")
    fetch: Path = "/fetch"
    pay: Path = "/pay"
    status: Path = "/status"
    header: str = Field(
        "Authorization", pattern="^[A-Za-z][A-Za-z0-9-]{0,63}$", description="The header that proves us."
    )
    secret: SecretStr = Field(SecretStr(""), description="Its whole value; in a file of its own: {file: PATH}.")
    timeout: float = Field(20, gt=0, le=25, description="Seconds of one request with everything.")
    currency: Annotated[str, AfterValidator(_currency)] = Field("EUR", description="Of its bills (ISO 4217).")
    fields: tuple[FieldSettings, ...] = Field((), description="What it needs to know to find a bill.")
    country: str = Field("", description="Of a top-up: whose mobile numbers (ISO 3166-1).")
    amounts: tuple[AmountText, ...] = Field((), description="Of a top-up: what is sold.")
    least: AmountText | None = Field(None, description="Of a top-up: any amount from this one …")
    most: AmountText | None = Field(None, description="… to this one.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self.info()
        return self

    def info(self) -> BillerInfo:
        """As people see it. Raises ValueError when it cannot be."""
        fields = tuple(domain.Field(each.key, each.label, each.pattern, each.example) for each in self.fields)
        sold = None
        if self.category is Category.TOP_UP:
            plan = PHONE_PLANS.get(self.country)
            if plan is None:
                raise ValueError(f"a top-up needs a country, one of {', '.join(PHONE_PLANS)}")
            try:
                amounts = tuple(Money.of(each, self.currency) for each in self.amounts)
                least = None if self.least is None else Money.of(self.least, self.currency)
                most = None if self.most is None else Money.of(self.most, self.currency)
            except MoneyError as error:
                raise ValueError(error.human) from None
            sold = TopUp(plan, amounts, least, most)
        return BillerInfo(self.id, self.name, self.category, fields, sold)


class Settings(BaseModel):
    """What an operator can set."""

    model_config = ConfigDict(extra="forbid")

    simulated: bool = Field(True, description="Offer the made-up billers: for trying out, never in production.")
    currency: Annotated[str, AfterValidator(_currency)] = Field("EUR", description="Of the made-up billers.")
    billers: tuple[BillerSettings, ...] = Field((), description="Billers that speak HTTP.")
    webhook_secret: SecretStr = Field(
        # One that nobody knows closes the hook: an empty one would not.
        default_factory=lambda: SecretStr(secrets.token_hex(32)),
        description="Signs the billers' calls of /hooks/bills/confirmed (X-Rialto-Signature).",
    )
    look_at: int = Field(
        9, ge=0, le=23, description="The hour of a person's day at which saved accounts are looked at."
    )
    confirm_days: int = Field(3, ge=1, le=14, description="Days that a person has to confirm a payment.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        ids = [each.id for each in self.billers]
        if len(set(ids)) < len(ids):
            raise ValueError("two billers have one id")
        return self

    def make(self, http: HttpClient | None) -> Billers:
        """The billers. Raises ValueError when two have one id, or one needs a client that is not there."""
        found: list[Biller] = [*simulated(self.currency)] if self.simulated else []
        for each in self.billers:
            if http is None:
                raise ValueError(f"the biller {each.id} needs an HTTP client")
            secret = each.secret.get_secret_value()
            found.append(
                HttpBiller(
                    each.info(),
                    http,
                    each.url,
                    paths=(each.fetch, each.pay, each.status),
                    headers={each.header: secret} if secret else {},
                    currency=each.currency,
                    timeout=each.timeout,
                )
            )
        return Billers(found)
