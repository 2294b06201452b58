"""One Matrix user and the plugins that answer as it: which of them an event belongs to."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from appservice.events import Event
from bots.framework import builtin
from bots.framework.arguments import fold
from bots.framework.choices.text import fold_key
from bots.framework.commands import CommandTable, Matched, Unknown
from bots.framework.dialogs.service import Target
from bots.framework.handlers import Filter
from bots.framework.incoming import Incoming
from bots.framework.table import Handler
from bots.store.dialogs import worked

if TYPE_CHECKING:
    from bots.framework.consumer import PluginConsumer

PREFIX: Final = "!"
REMEMBERED: Final = 1_000
_HANDLED: Final = {"text": "message", "media": "media", "location": "location", "reaction": "reaction"}


@dataclass(frozen=True, slots=True)
class Claim:
    """Which plugin answers an event, and how."""

    consumer: PluginConsumer
    addressed: bool
    rest: str
    command: Matched | None = None
    unknown: Unknown | None = None
    handler: Handler | None = None
    target: Target | None = None
    groups: Mapping[str, Any] | None = None


class BotUser:
    """A bot: one user of the homeserver, one table of commands, one or more plugins."""

    def __init__(self, user_id: str, display_name: str) -> None:
        self.user_id = user_id
        self.display_name = display_name
        self.consumers: list[PluginConsumer] = []
        self.commands = CommandTable(())
        localpart = user_id[1:].partition(":")[0]
        names = (user_id, "@" + localpart, display_name, localpart)
        self._names = [(len(name), name.casefold()) for name in names]
        self._claims: OrderedDict[str, tuple[PluginConsumer | None, Claim | None]] = OrderedDict()

    def rebuild(self) -> None:
        """The plugins have changed: make the table of commands anew.

        Raises:
            CommandConflict: two plugins have a command of the same name.
        """
        own = [entry for consumer in self.consumers for entry in consumer.table.commands]
        names = {fold(name) for entry in own for name in (entry.name, *entry.aliases)}
        self.commands = CommandTable([*own, *(entry for entry in builtin.entries() if fold(entry.name) not in names)])
        self._claims.clear()

    def owner(self, name: str) -> PluginConsumer | None:
        """The consumer of a plugin instance."""
        return next((consumer for consumer in self.consumers if consumer.instance == name), None)

    async def claim(self, consumer: PluginConsumer, event: Event, incoming: Incoming) -> Claim | None:
        """What ``consumer`` has to do with an event: the plugins of a bot, and every attempt of each, agree on whose it
        is. None: nothing.
        """
        if len(self.consumers) == 1:
            return await self._claim(event, incoming, self._present(event))
        if event.event_id not in self._claims:
            claim = (
                None
                if await self._was_taken(consumer, event)
                else await self._claim(event, incoming, self._present(event))
            )
            self._claims[event.event_id] = (None if claim is None else claim.consumer, claim)
            if len(self._claims) > REMEMBERED:
                self._claims.popitem(last=False)
        owner, claim = self._claims[event.event_id]
        if owner is not consumer:
            return None
        # What is open changes as the owner works, and perhaps fails: its next attempt looks again.
        self._claims[event.event_id] = (owner, None)
        return claim or await self._claim(event, incoming, [consumer])

    def _present(self, event: Event) -> list[PluginConsumer]:
        return [consumer for consumer in self.consumers if consumer.enabled_in(event.room_id, event.sender)]

    async def _was_taken(self, consumer: PluginConsumer, event: Event) -> bool:
        """Whether another plugin has answered already, and a crash came then.

        What it did to its dialogs may have changed whose the event would be now.
        """
        others = [each.name for each in self.consumers if each is not consumer]
        database = consumer.services.database
        return await database.read(lambda connection: worked(connection, others, event.event_id))

    async def _claim(self, event: Event, incoming: Incoming, present: Sequence[PluginConsumer]) -> Claim | None:
        if not present:
            return None
        addressed, rest, explicit = await self._addressed(event, incoming, present[0])
        command = self._command(incoming, rest, present) if addressed else None
        matched = command if isinstance(command, Matched) else None
        unknown = command if isinstance(command, Unknown) else None
        answer = await self._dialog(event, incoming, present, addressed=addressed)
        if answer is not None and not (matched is not None and explicit and not answer[1].resume):
            owner, target = answer
            # What a dialog overhears and does not understand is heard by the plugin's other handlers; so is a place,
            # which may be said beside every question.
            overheard = not (target.exact or target.resume) and (not addressed or incoming.kind == "location")
            heard = await self._handler(event, incoming, [owner], addressed, rest) if overheard else None
            groups = None if heard is None else heard.groups
            handler = None if heard is None else heard.handler
            return Claim(owner, addressed, rest, matched, handler=handler, target=target, groups=groups)
        if matched is not None:
            owner = self.owner(matched.entry.owner) or present[0]
            return Claim(owner, addressed, rest, command=matched)
        heard = await self._handler(event, incoming, present, addressed, rest)
        if heard is not None:
            return heard
        if incoming.kind == "text" and addressed and rest:
            return Claim(present[0], addressed, rest, unknown=unknown)
        return None

    async def _handler(
        self, event: Event, incoming: Incoming, present: Sequence[PluginConsumer], addressed: bool, rest: str
    ) -> Claim | None:
        """The first handler whose filter fits."""
        for consumer in present:
            for handler in consumer.table.of(_HANDLED.get(incoming.kind, "")):
                groups = await self._fits(handler.mark.filter, event, incoming, addressed=addressed, rest=rest)
                if groups is not None:
                    return Claim(consumer, addressed, rest, handler=handler, groups=groups)
        return None

    def _command(self, incoming: Incoming, rest: str, present: Sequence[PluginConsumer]) -> Matched | Unknown | None:
        """The command that is meant; a word for what is none is found only when nobody else has one."""
        if incoming.kind != "text":
            return None
        names = {builtin.OWNER, *(consumer.instance for consumer in present)}
        found = self.commands.match_structured(incoming.content) or self.commands.lookup(rest)
        if isinstance(found, Matched) and found.entry.owner not in names:
            return None
        return found

    async def _dialog(
        self, event: Event, incoming: Incoming, present: Sequence[PluginConsumer], *, addressed: bool
    ) -> tuple[PluginConsumer, Target] | None:
        refers = incoming.target or incoming.reply_to
        found = await self._targets(event, present, refers)
        if not found and refers and addressed and incoming.kind in {"text", "media", "location"}:
            # A reply to something else than a question, in a chat of two, is still said to the bot.
            found = await self._targets(event, present, "")
        for consumer, target in found:
            if target.resume or target.exact or addressed or await consumer.overhears(event, incoming, target):
                return consumer, target
        return None

    async def _targets(
        self, event: Event, present: Sequence[PluginConsumer], refers: str
    ) -> list[tuple[PluginConsumer, Target]]:
        """The dialogs of the plugins that an event may be for: one that was cut off, the open question it refers to,
        the dialog begun last.
        """
        found = []
        for consumer in present:
            target = await consumer.dialogs.find(event.room_id, event.event_id, event.sender, refers)
            if target is not None:
                found.append((consumer, target))
        if len(found) > 1:
            found.sort(key=lambda each: (each[1].row.started_at, each[1].row.id), reverse=True)
            found.sort(key=lambda each: (not each[1].resume, each[1].late))
        return found

    async def _fits(
        self, wanted: Filter, event: Event, incoming: Incoming, *, addressed: bool, rest: str
    ) -> Mapping[str, Any] | None:
        """Whether a handler hears a message: the named groups of its pattern, or None."""
        text = rest if addressed else incoming.text.strip()
        if wanted.text is not None and fold(wanted.text) != fold(text):
            return None
        if wanted.addressed is not None and wanted.addressed != addressed:
            return None
        if wanted.thread is not None and wanted.thread != bool(incoming.thread):
            return None
        kind = str(incoming.content.get("msgtype", "")).removeprefix("m.")
        if wanted.kinds and kind not in wanted.kinds:
            return None
        if wanted.keys and {fold_key(key) for key in wanted.keys}.isdisjoint(map(fold_key, incoming.values)):
            return None
        if wanted.reply is not None and wanted.reply != await self._is_reply(event, incoming):
            return None
        if wanted.regex is None:
            return {}
        found = wanted.regex.search(text[:10_000])
        return None if found is None else {key: value or "" for key, value in found.groupdict().items()}

    async def _is_reply(self, event: Event, incoming: Incoming) -> bool:
        if not incoming.reply_to:
            return False
        rooms = self.consumers[0].services.rooms
        return await rooms.sender_of(event.room_id, incoming.reply_to, self.user_id) == self.user_id

    async def _addressed(self, event: Event, incoming: Incoming, consumer: PluginConsumer) -> tuple[bool, str, bool]:
        """Whether a message is meant for this bot, what is left without the address, and whether it has a prefix.

        Alone with one person everything is; among several people what begins with ``!`` or with the bot's name, or
        mentions it (specification, "User and room mentions").
        """
        text = incoming.text.strip()
        if text.startswith(PREFIX) and len(text) > 1:
            return True, text[1:].lstrip(), True
        localpart = self.user_id[1:].partition(":")[0]
        folded = text[:300].casefold()
        for length, name in self._names:
            if folded.startswith(name):
                rest = text[length:]
                if not rest or not rest[0].isalnum():
                    if self.commands.lookup(text) is not None:
                        return True, text, False  # a bot that is called like its command
                    return True, rest.lstrip(":, ") or "help", False
        mentions = incoming.content.get("m.mentions")
        users = mentions.get("user_ids") if isinstance(mentions, dict) else None
        if isinstance(users, list) and self.user_id in users:
            return True, re.sub(rf"@?{re.escape(localpart)}(?::\S+)?", "", text).strip() or text, False
        return len(await consumer.services.rooms.humans(event.room_id)) <= 1, text, False
