"""What all parts of the desk stand on: the merchant whose staff room this is, and who may do what in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from bots.commerce.cases import Cases
from bots.commerce.coupons import Coupons
from bots.commerce.orders import Orders
from bots.commerce.price_lists import PriceLists
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.telling import DOMAIN
from bots.commerce.trade import Trade
from bots.domain.merchants import Merchant, Staff
from bots.domain.money import Money, MoneyError
from bots.framework import Context, Dialog, InvalidValue, ParseEnv, Plugin
from bots.framework.i18n import Translator, _
from bots.framework.own_chat import own_chat
from bots.payments.merchants import MerchantAccounts, MerchantPayouts
from bridge.audit import Audit

__all__ = ["RANKS", "ROLES", "DeskBase", "DeskSettings", "Desks", "clear", "read_money", "refused"]

RANKS: Final = tuple(Staff)
"""From the highest to the lowest."""
ROLES: Final = {Staff.OWNER: _("owner"), Staff.MANAGER: _("manager"), Staff.CLERK: _("clerk")}
"""As people read them."""
PAGE: Final = 10
"""Of a list."""


class _Said(Protocol):
    @property
    def msgid(self) -> str: ...

    @property
    def values(self) -> dict[str, Any]: ...


class DeskSettings(BaseModel):
    """What an operator sets for the merchants' side; a part of the plugin's own settings."""

    model_config = ConfigDict(extra="forbid")

    report_after: int = Field(15, ge=0, le=240, description="Minutes after closing at which the day's report comes.")


@dataclass(frozen=True)
class Desks:
    """The services that the desk works with; one for a plugin."""

    trade: Trade
    sellers: Sellers
    shelf: Shelf
    orders: Orders
    cases: Cases
    coupons: Coupons
    price_lists: PriceLists
    accounts: MerchantAccounts
    payouts: MerchantPayouts
    audit: Audit
    settings: DeskSettings


class DeskBase(Plugin):
    """For the parts of the desk to inherit. The plugin's constructor sets :attr:`desk`."""

    desk: Desks

    async def desk_of(self, ctx: Context) -> Merchant | None:
        """The merchant whose staff room this is; None in any other room."""
        return await self.desk.sellers.of_room(ctx, ctx.room_id)

    async def at_desk(self, ctx: Context, least: Staff = Staff.CLERK) -> Merchant | None:
        """The merchant whose staff room this is, if the person may act there; otherwise None, and they are told.

        Who may is what the store says, whoever is in the room.

        Args:
            least: the role that it takes; those above it may too.
        """
        merchant = await self.desk_of(ctx)
        if merchant is None:
            ctx.say(ctx.t("That is for the staff of a merchant, in their staff room. To sell here yourself: “sell”."))
            return None
        role = (await self.desk.sellers.staff(ctx, merchant.id)).get(ctx.sender)
        if role is None:
            ctx.say(
                ctx.t("You do not work for {merchant}: somebody who manages it can add you.", merchant=merchant.name)
            )
            return None
        if RANKS.index(role) > RANKS.index(least):
            ctx.say(ctx.t("Only who is {role} or above may do that here.", role=ctx.t(ROLES[least])))
            return None
        return merchant

    async def desk_may(self, ctx: Context, merchant: Merchant, person: str, least: Staff = Staff.CLERK) -> bool:
        """Whether somebody may act for a merchant."""
        role = (await self.desk.sellers.staff(ctx, merchant.id)).get(person)
        return role is not None and RANKS.index(role) <= RANKS.index(least)

    async def desk_words_of(self, ctx: Context, person: str) -> Translator:
        """Texts in the language and time zone that a person has chosen."""
        known = await ctx.services.people.get(person)
        return ctx.services.catalogues.translator(known.language, DOMAIN, ZoneInfo(known.zone or "UTC"))

    def desk_words_for(self, ctx: Context, merchant: Merchant) -> Translator:
        """Texts in the language and time zone of a merchant: of what comes into the staff room by itself."""
        zone = ZoneInfo(merchant.hours.zone)
        return ctx.services.catalogues.translator(merchant.language, DOMAIN, zone)

    async def desk_operators(self, ctx: Context) -> list[str]:
        """Who is told of what operators decide: those whom the configuration names one by one."""
        roles = ctx.services.permissions.roles
        return [who for who in dict.fromkeys((*roles.operator, *roles.admin)) if "*" not in who]

    async def desk_tell_operators(self, ctx: Context, sentence: Callable[[Translator], str]) -> None:
        """Tell each operator in their own chat and language."""
        for person in await self.desk_operators(ctx):
            ctx.say(sentence(await self.desk_words_of(ctx, person)), room_id=await own_chat(ctx, person), notice=False)

    def desk_audited(
        self, ctx: Context, action: str, subject: str, outcome: str, actor: str = "", **details: Any
    ) -> None:
        """Note a decision in the audit log, in the commit that it belongs to."""
        at, who, audit = ctx.now_ms(), actor or ctx.sender, self.desk.audit

        def write(connection: Any) -> None:
            audit.append(connection, at=at, actor=who, action=action, subject=subject, outcome=outcome, details=details)

        ctx.store(write)


def here(ctx: Context, merchant: Merchant) -> datetime:
    """Now, on the merchant's clocks."""
    return ctx.now().astimezone(ZoneInfo(merchant.hours.zone))


def env_of(ctx: Context, merchant: Merchant) -> ParseEnv:
    """What days and times are read with in a merchant's time zone, amounts in their currency."""
    env = ctx.env()
    zone = ZoneInfo(merchant.hours.zone)
    return ParseEnv(env.now.astimezone(zone), zone, env.server_name, merchant.currency, env.translator, env.content)


def refused(error: _Said, say: Translator | Dialog | Context) -> str:
    """The sentence of a refusal in somebody's language."""
    values = {key: say.t(value) if key in {"state"} else value for key, value in error.values.items()}
    return say.t(error.msgid, **values)


def clear(error: Any) -> InvalidValue:
    """A refusal as something that a question says, and asks again."""
    return InvalidValue(error.code, error.msgid, clear=True, **error.values)


def read_money(currency: str) -> Callable[[str, ParseEnv], Money]:
    """A parser of amounts in one currency, which need not be named."""

    def read(text: str, env: ParseEnv) -> Money:
        try:
            amount = Money.parse(text, currency, env.translator.language)
        except MoneyError as error:
            raise InvalidValue.of_money(error) from None
        if amount.currency != currency:
            raise InvalidValue(
                "desk.currency", _("All amounts of a merchant are in {currency}."), clear=True, currency=currency
            )
        return amount

    return read
