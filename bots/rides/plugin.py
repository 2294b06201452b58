"""The bot of rides: riders, drivers and operators on one bot."""

from __future__ import annotations

from typing import Any

from bots.fleet import FleetKeeping, Fleets
from bots.framework import Context, Place, Setup, joined, location, message, middleware, own_chat, reaction
from bots.framework.http import HttpClient
from bots.framework.i18n import _
from bots.rides.driving import Driving
from bots.rides.office import Office
from bots.rides.riding import Riding
from bots.rides.settings import Settings

__all__ = ["Rides"]


class Rides(Riding, Driving, Office, FleetKeeping):
    """Drives people, and brings things for bots that sell them."""

    name = "rides"
    summary = _("Rides from where you are to where you want to be; or drive others, and bring things.")
    Settings = Settings
    locales = "bots.rides"
    scopes = frozenset(
        {
            "state",
            "schedules",
            "media",
            "people.read",
            "location.read",
            "rooms.create",
            "http",
            "payments.charge",
            "payments.read",
            "payments.send",
            "fleet",
        }
    )

    def __init__(self, setup: Setup) -> None:
        self.settings: Settings = setup.settings or Settings()
        self.fleet = setup.service(Fleets).of(setup.instance)
        http, routing = setup.services.get(HttpClient), self.settings.routing
        self.geocoder = routing.geocoder.make(http)
        self.fleet.attach(
            setup,
            terms=self.settings.terms(),
            tariff=self.settings.made(),
            router=routing.make(http),
            policy=self.settings.dispatch.policy(),
        )
        self.open_riding(setup, self.settings.riding)
        self.open_driving(setup, self.settings.driving)
        self.open_office(setup, self.settings.riding.maps.server())

    @middleware
    async def note_own_chat(self, ctx: Context, call_next: Any) -> None:
        """Note where people talk with the bot alone: what is theirs only is said there."""
        if ctx.incoming is not None and ctx.incoming.kind == "text" and ctx.addressed:
            await own_chat.remember(ctx)
        await call_next()

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what it is for."""
        if len(await ctx.humans()) > 1:
            ctx.say(ctx.t("Hello! Where you go is nobody else's affair: please write to me in a chat of our own."))
            return
        ctx.say(
            ctx.t(
                "Hello! Type “ride” to be driven, “send” to have something brought, or “save home” to keep a place. "
                "“drive” if you drive. “help” shows everything else."
            )
        )

    # What is said, shared and reacted without being a command or an answer: a driver's first

    @message
    async def other(self, ctx: Context) -> None:
        """An answer to a driver's card; whatever else: help."""
        if not await self.driver_said(ctx) and ctx.addressed:
            ctx.decline()

    @location
    async def somewhere(self, ctx: Context, place: Place) -> None:
        """Where a driver on duty is; of anybody else, where they might want to go."""
        if not await self.driver_is_at(ctx, place) and ctx.addressed:
            await self.place_shared(ctx, place)

    @reaction
    async def reacted(self, ctx: Context, key: str, event_id: str) -> None:
        """An answer to a driver's card."""
        await self.driver_reacted(ctx, key, event_id)
