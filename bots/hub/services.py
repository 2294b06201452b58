"""The services: listed, opened as chats of their own, gathered in a space; for operators switched on and off."""

from __future__ import annotations

from html import escape
from typing import Final, Literal

from bots.framework import Context, command
from bots.framework.directory import Directory, ServiceEntry
from bots.framework.i18n import fold
from bots.framework.permissions import Role
from bots.framework.switchboard import Switchboard, UnknownInstance
from bots.hub.area import SHOWN, Area
from bots.store.switches import EVERYWHERE, room_scope, server_scope
from bridge.chats import Chats

HERE: Final = "here"


class Services(Area):
    """Other bots."""

    _instance: str
    _chats: Chats
    _directory: Directory
    _switchboard: Switchboard

    @command("services", help="List the services.", aliases=("list",))
    async def services(self, ctx: Context) -> None:
        """A numbered list."""
        ctx.user_state.set(SHOWN, "services")
        ctx.say(self.listing(ctx))

    @command("open", help="Open a service: open 1, or open with its name.")
    async def open(self, ctx: Context, service: str = "") -> None:
        """Open a direct, encrypted chat with a service and put it into the person's space."""
        if not self._services():
            ctx.say(ctx.t("No services are installed yet, so there is nothing to open."))
            return
        found = self.found(service)
        if found is None:
            reason = ctx.t("There is no “{service}” in the list.", service=service[:40])
            if not service:
                reason = ctx.t("Which one? Type “open” and its number.")
            ctx.say(f"{reason}\n\n{self.listing(ctx)}")
            return
        room_id = await self._chats.direct(ctx.sender, found.user_id, found.name)
        await self._chats.space(ctx.sender, [room_id])
        words = ctx.t(
            "I have opened an encrypted chat with {service}. Accept its invitation, or go there:", service=found.name
        )
        link = f"https://matrix.to/#/{room_id}"
        ctx.say(f"{words} {link}", html=f'{escape(words)} <a href="{escape(link)}">{escape(found.name)}</a>')

    @command("space", help="Make the Rialto space that holds all your services.")
    async def space(self, ctx: Context) -> None:
        """The space with a direct chat for each service."""
        services = self._services()
        if not services:
            ctx.say(ctx.t("No services are installed yet, so there is nothing for a space to hold."))
            return
        rooms = [await self._chats.direct(ctx.sender, service.user_id, service.name) for service in services]
        room_id = await self._chats.space(ctx.sender, rooms)
        holds = ctx.n(
            "Your Rialto space holds {count} service. Accept the invitations, or go there:",
            "Your Rialto space holds {count} services. Accept the invitations, or go there:",
            len(rooms),
        )
        ctx.say(f"{holds} https://matrix.to/#/{room_id}")

    # For operators

    @command("plugins", help="Show the plugins and where they are disabled.", permission=Role.OPERATOR)
    async def plugins(self, ctx: Context) -> None:
        """Every plugin instance, whether it runs, and what operators have decided."""
        switches = await self._switchboard.switches()
        lines = []
        for info in self._switchboard.instances():
            state = ctx.t("runs")
            if info.problem:
                state = ctx.t("does not run")
            elif info.away:
                state = ctx.t("is not connected")
            elif info.paused:
                state = ctx.t("paused after failures")
            line = f"• {info.name} ({info.plugin}, {info.user_id}): {state}"
            for switch in switches:
                if switch.plugin == info.name:
                    where = switch.scope.partition(":")[2] or ctx.t("everywhere")
                    decided = ctx.t("enabled: {where}", where=where)
                    if not switch.enabled:
                        decided = ctx.t("disabled: {where}", where=where)
                    line += f"; {decided}"
            lines.append(line)
        ctx.say("\n".join(lines))

    @command("plugin enable", help="Enable a plugin again, in a place or everywhere.", permission=Role.OPERATOR)
    async def plugin_enable(self, ctx: Context, plugin: str, where: str = "") -> None:
        """The place is “here”, a room id or a server name; without one it is everywhere."""
        self._switch(ctx, plugin, where, "enable")

    @command("plugin disable", help="Disable a plugin, in a place or everywhere.", permission=Role.OPERATOR)
    async def plugin_disable(self, ctx: Context, plugin: str, where: str = "") -> None:
        """The place is “here”, a room id or a server name; without one it is everywhere."""
        if plugin == self._instance and not where:
            ctx.say(ctx.t("I cannot disable myself everywhere: nobody could enable me again from here."))
            return
        self._switch(ctx, plugin, where, "disable")

    def _switch(self, ctx: Context, plugin: str, where: str, action: Literal["enable", "disable"]) -> None:
        scope = _scope(where, ctx.room_id)
        if scope is None:
            ctx.say(ctx.t("“{where}” is no place: write “here”, a room id or a server name.", where=where[:80]))
            return
        try:
            self._switchboard.set(ctx.unit, plugin, action == "enable", scope=scope, by=ctx.sender)
        except UnknownInstance:
            ctx.say(ctx.t("There is no plugin “{plugin}”. Type “plugins” to see them.", plugin=plugin[:40]))
            return
        place = scope.partition(":")[2] or ctx.t("everywhere")
        done = ctx.t("Enabled: {plugin} ({where}).", plugin=plugin, where=place)
        if action == "disable":
            done = ctx.t("Disabled: {plugin} ({where}).", plugin=plugin, where=place)
        ctx.say(done)

    # What there is

    def _services(self) -> list[ServiceEntry]:
        return self._directory.entries(without=self._user_id)

    def listing(self, ctx: Context) -> str:
        """The services with numbers, in the person's language."""
        services = self._services()
        if not services:
            return ctx.t("No services are installed yet.")
        catalogues, language = ctx.services.catalogues, ctx.translator.language
        lines = [
            f"{number}. {entry.name} – {catalogues.translator(language, entry.domain or 'framework').t(entry.summary)}"
            for number, entry in enumerate(services, 1)
        ]
        return "\n".join([ctx.t("Services:"), *lines, ctx.t("Type a number to open one.")])

    def found(self, text: str) -> ServiceEntry | None:
        """The service that a number, a name or a user id stands for."""
        services, text = self._services(), text.strip()
        if text.isdecimal() and 1 <= int(text[:6]) <= len(services):
            return services[int(text[:6]) - 1]
        wanted = text.casefold()
        for entry in services:
            if wanted in {entry.name.casefold(), entry.user_id.casefold(), entry.user_id[1:].partition(":")[0]}:
                return entry
        return None


def _scope(where: str, room_id: str) -> str | None:
    """The scope of a switch; None when it is no place."""
    if not where:
        return EVERYWHERE
    if fold(where) == HERE:
        return room_scope(room_id)
    if where.startswith("!") and len(where) > 1:
        return room_scope(where)
    name = where.removeprefix("server:")
    return server_scope(name) if name and all(each.isalnum() or each in ".-:[]" for each in name) else None
