"""The mini app from the chat: links that open it, the widget beside the room, and what comes back from it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection

from appservice.homeserver import HomeserverError, path
from bots.commerce.baskets import Baskets
from bots.commerce.page.app import CART_TIMER, CHECKOUT_TIMER, PREFIX, PURPOSE, MiniApp, link_subject
from bots.commerce.page.apps import MiniApps
from bots.commerce.page.together import Together
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.framework import Context, Plugin, Setup, command, timer
from bots.framework.i18n import _
from bots.framework.own_chat import alone, own_chat
from bots.pages.links import Links

__all__ = ["AppDoor", "Paged"]

log = logging.getLogger(__name__)

LINK_LASTS: Final = timedelta(minutes=10)
QUIET: Final = timedelta(seconds=4)
"""So long nothing has changed on the page before the chat is told of it."""
QUIET_TIMER: Final = "app_quiet"
WIDGET: Final = "im.vector.modular.widgets"
"""The state event by which clients show a page beside a room (MSC1236, as clients have it)."""


class AppDoor:
    """The way into the pages of all bots that sell; a plugin gets it by its scope ``commerce.trade``."""

    def __init__(self, links: Links, url: str, apps: MiniApps, *, widgets: bool = False) -> None:
        """
        Args:
            url: of the listener, as browsers know it.
            widgets: whether clients may show the pages beside a room.
        """
        self._links = links
        self._url = url
        self._apps = apps
        self.widgets = widgets

    def open(self, setup: Setup, sellers: Sellers, shelf: Shelf, baskets: Baskets) -> MiniApp:
        """Serve the pages of a bot: what it sells, and the carts of its people."""
        return self._apps.add(setup.instance, setup.user_id, sellers, shelf, baskets)

    def link(self, ctx: Context, bot: str) -> str:
        """A link that opens the page once, for the person at hand; those before it end. It counts from the commit
        on."""
        subject, person, now = link_subject(bot, ctx.room_id), ctx.sender, ctx.now_ms()
        drafted, keep = self._links.draft(
            purpose=PURPOSE, person=person, subject=subject, ttl_s=LINK_LASTS.total_seconds(), now=now
        )

        def replace(connection: Connection) -> None:
            self._links.withdraw(connection, purpose=PURPOSE, person=person, subject=subject, now=now)
            keep(connection)

        ctx.store(replace)
        return f"{self._url}{PREFIX}/{quote(bot)}/enter/{drafted.rsplit('/', 1)[1]}"

    def widget(self, bot: str, user_id: str, name: str) -> tuple[str, dict[str, Any]]:
        """State key and content of the widget of a bot."""
        key = f"rialto-{bot}"
        content = {
            "id": key,
            "type": "m.custom",
            "url": f"{self._url}{PREFIX}/{quote(bot)}/widget?roomId=$matrix_room_id&widgetId=$matrix_widget_id",
            "name": name,
            "creatorUserId": user_id,
            "data": {"title": name},
        }
        return key, content


class Paged(Plugin):
    """A bot with a mini app. What it shows and how it goes on to pay is the bot's."""

    _door: AppDoor | None = None
    _app: MiniApp | None = None
    _together: Together | None = None
    _instance: str = ""

    def open_page(self, setup: Setup, sellers: Sellers, shelf: Shelf, baskets: Baskets) -> None:
        """Have pages, where the installation serves any."""
        self._door, self._instance = setup.services.get(AppDoor), setup.instance
        if self._door is not None:
            self._app = self._door.open(setup, sellers, shelf, baskets)

    def share_page(self, together: Together) -> None:
        """Have the page of a room that orders together show what all of it want. Call it after :meth:`open_page`."""
        self._together = together
        if self._app is not None:
            self._app.together = together

    async def show_cart(self, ctx: Context, person: str, *, lead: str = "") -> None:
        """Say how a person's cart stands, in the room of the event; ``lead`` says why."""
        raise NotImplementedError

    async def begin_checkout(self, ctx: Context, person: str) -> None:
        """Begin to pay a person's cart, in the room of the event."""
        raise NotImplementedError

    @command("app", help=_("Open it as a page"), aliases=("page", "open app"))
    async def app(self, ctx: Context) -> None:
        """Open catalogue and cart as a page for a phone or a computer; what you choose there is in the chat too."""
        if self._door is None:
            ctx.say(ctx.t("This installation has no pages. Everything works here in the chat."))
            return
        if not await alone(ctx):
            await self._app_for_room(ctx)
            return
        link = self._door.link(ctx, self._instance)
        ctx.say(ctx.t("Open this page within 10 minutes. The link works once, and only for you:\n{link}", link=link))
        if self._door.widgets and await self._may_set(ctx):
            # Beside the room, where the bot may: clients with widgets then need no link.
            key, content = self._door.widget(self._instance, ctx.user_id, await ctx.display_name(ctx.user_id))
            ctx.set_state(WIDGET, content, key)

    async def _app_for_room(self, ctx: Context) -> None:
        """Somebody wants the page in a room with others: a link opens it once and for them, so it is said to them."""
        shared = None if self._together is None else await self._together.of_room(ctx, ctx.room_id)
        if self._door is None or shared is None or not await ctx.encrypted():
            ctx.say(ctx.t("The page is yours alone: please ask me for it in our own chat."))
            return
        link, room_id = self._door.link(ctx, self._instance), await own_chat(ctx, ctx.sender)
        ctx.say(
            ctx.t(
                "What you order together, as a page. The link works for 10 minutes, once, and only for you:\n{link}",
                link=link,
            ),
            room_id=room_id,
        )
        ctx.say(ctx.t("I have sent you a link in our own chat."), reply=True)

    async def page_changed(self, ctx: Context, owner: str) -> None:
        """Say how a cart stands that was changed on a page, once it is quiet there.

        Args:
            owner: whose it is: a user id, or ``group:ROOM``.
        """
        await self.show_cart(ctx, owner, lead=ctx.t("You have changed your cart on the page."))

    async def _may_set(self, ctx: Context) -> bool:
        """Whether the bot has the power for the widget's state event."""
        homeserver, state = ctx.services.homeserver, "/_matrix/client/v3/rooms"
        try:
            levels = await homeserver.request(
                "GET", path(state, ctx.room_id, "state", "m.room.power_levels"), user_id=ctx.user_id
            )
        except HomeserverError:
            return False
        users, events = levels.get("users", {}), levels.get("events", {})
        power = users.get(ctx.user_id, levels.get("users_default", 0))
        return bool(power >= events.get(WIDGET, levels.get("state_default", 50)))

    @timer(CART_TIMER)
    async def cart_changed_on_page(self, ctx: Context, data: dict[str, Any]) -> None:
        """Wait until it is quiet: every tap would be a message otherwise."""
        ctx.later(ctx.now() + QUIET, QUIET_TIMER, {"person": data["person"]}, key=f"app/{data['person']}")

    @timer(QUIET_TIMER)
    async def page_is_quiet(self, ctx: Context, data: dict[str, Any]) -> None:
        """Say how the cart stands now."""
        await self.page_changed(ctx, data["person"])

    @timer(CHECKOUT_TIMER)
    async def checkout_from_page(self, ctx: Context, data: dict[str, Any]) -> None:
        """Somebody goes on to pay."""
        ctx.schedules.cancel(f"app/{data['person']}")
        await self.begin_checkout(ctx, data["person"])
