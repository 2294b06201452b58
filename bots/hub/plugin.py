"""The hub bot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bots.framework import Context, Plugin, command, joined, message
from bridge.chats import Chats


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service that people can open."""

    user_id: str
    name: str
    summary: str


class Hub(Plugin):
    """Greets, explains, lists the services, opens a direct chat with the one chosen, and makes the person's space."""

    summary = "Where you begin: lists the services and opens them."

    def __init__(self, chats: Chats, services: Sequence[ServiceEntry]) -> None:
        """
        Args:
            services: what can be opened, in the order of the list; the hub itself is not among them.
        """
        self._chats = chats
        self._services = list(services)

    @joined
    async def greet(self, ctx: Context) -> None:
        """Once for each arrival in a room."""
        ctx.say(
            "Hello, I am Rialto. From here you open services as chats of their own.\n\n"
            + self._listing()
            + "\n\nType “help” to see what else I can do."
        )

    @command("help", help="Show what I can do.")
    async def help(self, ctx: Context, _rest: str) -> None:
        """Every command with its line."""
        lines = {entry.name: entry.help for entry in self.commands().values()}
        text = "\n".join(f"{name} – {words}" for name, words in lines.items())
        items = "".join(f"<li><code>{escape(name)}</code> – {escape(words)}</li>" for name, words in lines.items())
        ctx.say(
            "I open Rialto's services for you.\n\n" + text + "\n\nIn a group begin with “!” or with my name.",
            html=f"I open Rialto's services for you.<ul>{items}</ul>"
            "In a group begin with <code>!</code> or with my name.",
        )

    @command("services", help="List the services.", aliases=("list", "menu"))
    async def services(self, ctx: Context, _rest: str) -> None:
        """A numbered list."""
        ctx.say(self._listing())

    @command("open", help="Open a service: open 1, or open with its name.")
    async def open(self, ctx: Context, rest: str) -> None:
        """Open a direct, encrypted chat with a service and put it into the person's space."""
        if not self._services:
            ctx.say("No services are installed yet, so there is nothing to open.")
            return
        service = self._find(rest)
        if service is None:
            reason = f"There is no “{rest[:40]}” in the list." if rest else "Which one? Type “open” and its number."
            ctx.say(f"{reason}\n\n{self._listing()}")
            return
        room_id = await self._chats.direct(ctx.sender, service.user_id, service.name)
        await self._chats.space(ctx.sender, [room_id])
        ctx.say(
            f"I have opened an encrypted chat with {service.name}. Accept its invitation, or go there: "
            f"https://matrix.to/#/{room_id}",
            html=f"I have opened an encrypted chat with {escape(service.name)}. Accept its invitation, or go there: "
            f'<a href="https://matrix.to/#/{escape(room_id)}">{escape(service.name)}</a>',
        )

    @command("space", help="Make the Rialto space that holds all your services.")
    async def space(self, ctx: Context, _rest: str) -> None:
        """The space with a direct chat for each service."""
        if not self._services:
            ctx.say("No services are installed yet, so there is nothing for a space to hold.")
            return
        rooms = [await self._chats.direct(ctx.sender, service.user_id, service.name) for service in self._services]
        room_id = await self._chats.space(ctx.sender, rooms)
        ctx.say(
            f"Your Rialto space holds {len(rooms)} services. Accept the invitations, or go there: "
            f"https://matrix.to/#/{room_id}"
        )

    @message
    async def other(self, ctx: Context) -> None:
        """A bare number or name opens a service; anything else is answered with what can be said."""
        if not ctx.addressed:
            return
        if self._find(ctx.rest) is not None:
            await self.open(ctx, ctx.rest)
        else:
            ctx.say(f"{ctx.unknown_command()}\n\n{self._listing()}")

    def _listing(self) -> str:
        if not self._services:
            return "No services are installed yet."
        lines = [f"{number}. {entry.name} – {entry.summary}" for number, entry in enumerate(self._services, 1)]
        return "Services:\n" + "\n".join(lines) + "\nType a number to open one."

    def _find(self, text: str) -> ServiceEntry | None:
        if text.isdecimal() and 1 <= int(text[:6]) <= len(self._services):
            return self._services[int(text[:6]) - 1]
        wanted = text.casefold()
        for entry in self._services:
            if wanted in {entry.name.casefold(), entry.user_id.casefold(), entry.user_id[1:].partition(":")[0]}:
                return entry
        return None
