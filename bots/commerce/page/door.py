"""The mini app from the chat: links that open it, the widget beside the room, and what comes back from it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection

from appservice.homeserver import HomeserverError, path
from bots.commerce.page.app import CART_TIMER, CHECKOUT_TIMER, PREFIX, PURPOSE, link_subject
from bots.framework import Context, Plugin, command, timer
from bots.framework.i18n import _
from bots.framework.own_chat import alone
from bots.pages.links import Links

__all__ = ["AppDoor", "Paged"]

log = logging.getLogger(__name__)

LINK_LASTS: Final = timedelta(minutes=10)
QUIET: Final = timedelta(seconds=4)
"""So long nothing has changed on the page before the chat is told of it."""
QUIET_TIMER: Final = "app_quiet"
WIDGET: Final = "im.vector.modular.widgets"
"""The state event by which clients show a page beside a room (MSC1236, as clients have it)."""


@dataclass(frozen=True, slots=True)
class AppDoor:
    """Where the pages are.

    Attributes:
        url: of the listener as browsers know it; "" when there are none.
        widgets: whether clients may show them beside a room.
    """

    links: Links
    url: str
    widgets: bool = False

    def link(self, ctx: Context, bot: str) -> str:
        """A link that opens the page once, for the person at hand; those before it end. It counts from the commit
        on."""
        subject, person, now = link_subject(bot, ctx.room_id), ctx.sender, ctx.now_ms()
        path, keep = self.links.draft(
            purpose=PURPOSE, person=person, subject=subject, ttl_s=LINK_LASTS.total_seconds(), now=now
        )

        def replace(connection: Connection) -> None:
            self.links.withdraw(connection, purpose=PURPOSE, person=person, subject=subject, now=now)
            keep(connection)

        ctx.store(replace)
        return f"{self.url}{PREFIX}/{quote(bot)}/enter/{path.rsplit('/', 1)[1]}"

    def widget(self, bot: str, user_id: str, name: str) -> tuple[str, dict[str, Any]]:
        """State key and content of the widget of a bot."""
        key = f"rialto-{bot}"
        address = f"{self.url}{PREFIX}/{quote(bot)}/widget?roomId=$matrix_room_id&widgetId=$matrix_widget_id"
        content = {
            "id": key,
            "type": "m.custom",
            "url": address,
            "name": name,
            "creatorUserId": user_id,
            "data": {"title": name},
        }
        return key, content


class Paged(Plugin):
    """A bot with a mini app. What it shows and how it goes on to pay is the bot's."""

    door: AppDoor
    instance: str

    async def show_cart(self, ctx: Context, person: str, *, lead: str) -> None:
        """Say how a person's cart stands, in the room of the event; ``lead`` says why."""
        raise NotImplementedError

    async def begin_checkout(self, ctx: Context, person: str) -> None:
        """Begin to pay a person's cart, in the room of the event."""
        raise NotImplementedError

    @command("app", help=_("Open it as a page"), aliases=("page", "open app"))
    async def app(self, ctx: Context) -> None:
        """Open catalogue and cart as a page for a phone or a computer; what you choose there is in the chat too."""
        if not self.door.url:
            ctx.say(ctx.t("This installation has no pages. Everything works here in the chat."))
            return
        if not await alone(ctx):
            ctx.say(ctx.t("The page is yours alone: please ask me for it in our own chat."))
            return
        link = self.door.link(ctx, self.instance)
        ctx.say(ctx.t("Open this page within 10 minutes. The link works once, and only for you:\n{link}", link=link))
        await self._beside(ctx)

    async def _beside(self, ctx: Context) -> None:
        """Put the page beside the room, where the bot may: clients with widgets then need no link."""
        if not self.door.widgets or not await self._may_set(ctx):
            return
        key, content = self.door.widget(self.instance, ctx.user_id, await ctx.display_name(ctx.user_id))
        ctx.set_state(WIDGET, content, key)

    async def _may_set(self, ctx: Context) -> bool:
        """Whether the bot has the power for the widget's state event, and it is not there yet."""
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
        await self.show_cart(ctx, data["person"], lead=ctx.t("You have changed your cart on the page."))

    @timer(CHECKOUT_TIMER)
    async def checkout_from_page(self, ctx: Context, data: dict[str, Any]) -> None:
        """Somebody goes on to pay."""
        ctx.schedules.cancel(f"app/{data['person']}")
        await self.begin_checkout(ctx, data["person"])
