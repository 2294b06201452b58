"""The hub bot: where people begin, and where they manage their chats."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from appservice.homeserver import HomeserverError
from bots.framework import Context, InvalidValue, Setup, joined, message, middleware, own_chat
from bots.framework.arguments import ArgumentError
from bots.framework.directory import Directory
from bots.framework.handlers import noticed
from bots.framework.messenger_notices import Notice
from bots.framework.switchboard import Switchboard
from bots.hub import asides
from bots.hub.adoption import Adoption
from bots.hub.area import SHOWN
from bots.hub.channels import Channels
from bots.hub.devices import Devices
from bots.hub.holds import Holds
from bots.hub.links import Links
from bots.hub.members import Members
from bots.hub.menus import Menus
from bots.hub.moderation import ASK, Moderation
from bots.hub.notices import sentence
from bots.hub.policies import Policies
from bots.hub.privacy import Privacy
from bots.hub.refusals import sentence as because
from bots.hub.refusals import why
from bots.hub.rights import Rights
from bots.hub.search import Search
from bots.hub.timers import Timers
from bridge.chats import Chats
from bridge.errors import BridgeError
from bridge.messenger import Messenger

log = logging.getLogger(__name__)

REQUESTS: Final[Mapping[str, bool]] = MappingProxyType({"privacy.message_request": False, "privacy.add_request": True})
"""Notices that somebody asks for something: they are put as questions. Whether it is about being added."""

EXPORTED: Final = "export.ready"
"""The notice that a copy of somebody's data is made: it is sent to them."""
REPORT_REFUSED: Final = "report.refused"
"""The notice that a flag is no report, with the code of why."""


class Hub(
    Menus,
    Members,
    Links,
    Channels,
    Timers,
    Privacy,
    Devices,
    Search,
    Moderation,
    Policies,
    Holds,
    Rights,
    Adoption,
):
    """Greets, explains, lists and opens services; makes and manages people's chats; tells them what happens there.

    Operators see the plugins here, and enable and disable them.
    """

    name = "hub"
    summary = "Where you begin: services, chats, channels, and your privacy."
    scopes = frozenset(
        {"rooms.create", "services.list", "admin.plugins", "messenger.manage", "state", "media", "schedules"}
    )

    def __init__(self, setup: Setup) -> None:
        self._instance = setup.instance
        self._user_id = setup.user_id
        self._chats = setup.service(Chats)
        self._directory = setup.service(Directory)
        self._switchboard = setup.service(Switchboard)
        self._messenger = setup.service(Messenger)

    # Around everything

    @middleware
    async def around(self, ctx: Context, call_next: Any) -> None:
        """Note where the person talks with the hub alone, and say why something does not work."""
        if ctx.incoming is not None and ctx.addressed and ctx.incoming.kind == "text":
            await own_chat.remember(ctx)
        try:
            await call_next()
        except (InvalidValue, ArgumentError) as problem:
            ctx.say(problem.say(ctx.translator))
        except BridgeError as refused:
            ctx.say(why(refused, ctx.translator))

    # Coming in

    @joined
    async def greet(self, ctx: Context) -> None:
        """Once for each arrival in a room: to a person, or to a chat that is perhaps to be adopted."""
        if len(await ctx.humans()) > 1 and await self.welcomed(ctx):
            return
        hello = ctx.t("Hello, I am Rialto. From here you open services as chats of their own.")
        chats = ctx.t("I also make groups and channels for you and look after them: “menu” shows everything.")
        more = ctx.t("Type “help” to see what else I can do.")
        ctx.say(f"{hello} {chats}\n\n{self.listing(ctx)}\n\n{more}")

    @message(addressed=True)
    async def other(self, ctx: Context) -> None:
        """A bare number or name opens what was listed last: a service, or a chat's menu."""
        text = ctx.rest.strip()
        if text.isdecimal() and await ctx.user_state.get(SHOWN) == "chats" and self.here(ctx.room_id) is None:
            await self.begin(ctx, self.manage, f"#{text}")
        elif self.found(text) is not None:
            await self.open(ctx, text)
        elif (code := self._messenger.links.codes.find(text)) is not None and self.here(ctx.room_id) is None:
            ctx.start(self.join_by_code, "", code)
        else:
            ctx.decline()

    # What the messenger has to say

    @noticed
    async def told(self, ctx: Context, notice: Notice) -> None:
        """Tell a person what has happened in their own chat, or who is in a room of the hub's there."""
        values = notice.values
        own = await self._own_chat(ctx) if ctx.sender else ctx.room_id
        if not own:
            return
        if notice.code == ASK:
            where = str(values.get("room", "")), str(values.get("event", ""))
            asides.begin(ctx, own, self.report_what, *where, "")
        elif notice.code in REQUESTS:
            request, person, name = (str(values.get(key, "")) for key in ("request", "person", "chat"))
            asides.begin(ctx, own, self.asked, request, person, REQUESTS[notice.code], name)
        elif notice.code == EXPORTED:
            await self.send_export(ctx, own, str(values.get("request", "")), int(values.get("until", 0)))
        else:
            text = sentence(notice.code, values, ctx.translator)
            if notice.code == REPORT_REFUSED:
                text = because(str(values.get("reason", "")), ctx.translator) or text
            if text:
                ctx.say(text, room_id=own)

    @staticmethod
    async def _own_chat(ctx: Context) -> str:
        """The person's own chat; "" for somebody who cannot be invited: they are not told."""
        try:
            return await own_chat.own_chat(ctx, ctx.sender)
        except HomeserverError as error:
            if error.temporary:
                raise
            log.info("somebody cannot be told: %s", error)
            return ""
