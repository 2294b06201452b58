"""Hands events to a plugin's handlers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appservice.events import Event
from appservice.media import Media
from appservice.rooms import Rooms
from appservice.unit import UnitOfWork
from bots.framework.context import Context
from bots.framework.plugin import Plugin

MEDIA = frozenset({"m.image", "m.file", "m.audio", "m.video"})
TEXT = frozenset({"m.text", "m.emote"})
WANTED = frozenset({"m.room.message", "m.room.encrypted", "m.room.redaction", "m.room.member"})


class BotConsumer:
    """One bot: a plugin with a user."""

    def __init__(self, plugin: Plugin, user_id: str, display_name: str, rooms: Rooms, media: Media) -> None:
        self.plugin = plugin
        self.user_id = user_id
        self.display_name = display_name
        self.name = f"bot:{user_id}"
        self._rooms = rooms
        self._media = media
        self._commands = plugin.commands()
        self._handlers = plugin.handlers()
        self._takes_text = bool(self._handlers.get("message"))

    def wants(self, event: Event) -> bool:
        """Messages, edits, redactions, and its own arrival."""
        if event.type not in WANTED:
            return False
        if event.type == "m.room.member":
            return event.state_key == self.user_id and event.membership == "join" != event.previous_membership
        # A notice is never answered: two bots would talk for ever (specification, "m.notice").
        return event.content.get("msgtype") != "m.notice"

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Find the handlers of an event and run them."""
        ctx = self._context(event, unit)
        if event.type == "m.room.member":
            await self._run("joined", ctx)
        elif event.type == "m.room.redaction":
            if event.redacts:
                await self._run("redacted", ctx, event.redacts)
        elif event.type == "m.room.message":
            await self._message(event, unit, ctx)

    async def _message(self, event: Event, unit: UnitOfWork, ctx: Context) -> None:
        relation = event.content.get("m.relates_to")
        if isinstance(relation, dict) and relation.get("rel_type") == "m.replace":
            content, original = event.content.get("m.new_content"), relation.get("event_id")
            if not isinstance(content, dict) or not isinstance(original, str) or "edited" not in self._handlers:
                return
            # Whoever is in the room can send an edit of anybody's message (specification, "Validity of replacement
            # events"): only the author's counts.
            if await self._rooms.sender_of(event.room_id, original, self.user_id) == event.sender:
                await self._run("edited", self._context(event, unit, content), original)
            return
        msgtype = event.content.get("msgtype")
        if not isinstance(msgtype, str):
            return
        if msgtype in MEDIA:
            await self._run("media", ctx)
        elif msgtype in TEXT and ctx.text.strip():
            await self._text(ctx)

    async def _text(self, ctx: Context) -> None:
        ctx.names = self._commands
        ctx.rest = ctx.text.strip()
        if self._commands:
            ctx.addressed, ctx.rest = await self._addressed(ctx, ctx.rest)
        word, rest = [*ctx.rest.split(maxsplit=1), "", ""][:2]  # a command may stand on a line of its own
        command = self._commands.get(word.casefold())
        if command is not None and ctx.addressed:
            await command.handler(ctx, rest.strip())
        elif self._takes_text:
            await self._run("message", ctx)
        elif ctx.addressed:
            ctx.say(ctx.unknown_command())

    async def _addressed(self, ctx: Context, text: str) -> tuple[bool, str]:
        """Whether a text is meant for this bot, and what is left without the address.

        Alone with one person everything is; among several people what begins with ``!`` or with the bot's name, or
        mentions it (specification, "User and room mentions").
        """
        if text.startswith("!"):
            return True, text[1:].lstrip()
        localpart = self.user_id[1:].partition(":")[0]
        for name in (self.user_id, "@" + localpart, self.display_name, localpart):
            if text.casefold().startswith(name.casefold()):
                rest = text[len(name) :]
                if not rest or not rest[0].isalnum():
                    return True, rest.lstrip(":, ") or "help"
        mentions = ctx.content.get("m.mentions")
        users = mentions.get("user_ids") if isinstance(mentions, dict) else None
        if isinstance(users, list) and self.user_id in users:
            return True, text
        return len(await ctx.humans()) <= 1, text

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """Tell the sender that a message could not be decrypted."""
        body = "I could not read your message: its key did not reach me. Please send it again."
        self._reply(event, unit, body)

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """Tell the sender that something went wrong."""
        if event.type == "m.room.member":
            return
        body = "Sorry, something went wrong on my side and I could not answer. The operator knows."
        self._reply(event, unit, body)

    def _reply(self, event: Event, unit: UnitOfWork, body: str) -> None:
        relation = {"m.in_reply_to": {"event_id": event.event_id}}
        self._context(event, unit).send({"msgtype": "m.notice", "body": body, "m.relates_to": relation})

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """Plugins do not hear of receipts and typing yet."""

    async def _run(self, kind: str, ctx: Context, *arguments: str) -> None:
        for handler in self._handlers.get(kind, ()):
            await handler(ctx, *arguments)

    def _context(self, event: Event, unit: UnitOfWork, content: Mapping[str, Any] | None = None) -> Context:
        return Context(event, unit, self.user_id, self.name, self._rooms, self._media, content)
