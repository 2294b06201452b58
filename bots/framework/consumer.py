"""Hands events to one plugin: to its dialogs, its commands, its other handlers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from appservice import json
from appservice.events import Event
from appservice.unit import UnitOfWork
from bots.framework import content as contents
from bots.framework.arguments import ArgumentError
from bots.framework.arguments.places import place_of
from bots.framework.bot import PREFIX, BotUser, Claim
from bots.framework.calls import HOOK_CALLED, WebhookCall
from bots.framework.commands import CommandEntry, Matched, Page, Unknown
from bots.framework.context import TIMER_FIRED, Context, Start
from bots.framework.dialogs.payments import OUTCOME
from bots.framework.dialogs.service import START, TIMER, Dialogs, Target, Verdict
from bots.framework.i18n import FRAMEWORK, fold, words
from bots.framework.incoming import Incoming
from bots.framework.limits import Limited, RateLimiter
from bots.framework.permissions import ROLES, Role
from bots.framework.plugin import Plugin
from bots.framework.services import Services
from bots.framework.table import Handler, HandlerTable

log = logging.getLogger(__name__)

WANTED: Final = frozenset(
    {"m.room.message", "m.room.encrypted", "m.room.redaction", "m.room.member", "m.reaction", *contents.POLL_RESPONSES}
)
SCHEDULE_FIRED: Final = "rialto.schedule"

Guard = Callable[[str], bool]


class PluginConsumer:
    """One plugin instance on one bot."""

    def __init__(
        self,
        instance: str,
        plugin: Plugin,
        bot: BotUser,
        services: Services,
        *,
        enabled: Callable[[str, str], bool] = lambda _room, _server: True,
        domain: str = "",
    ) -> None:
        """
        Args:
            instance: the name of the instance, unique in the service.
            enabled: whether it answers in a room, and people of a server.
            domain: the translations of its texts.

        Raises:
            DefinitionError: one of its handlers can never be called.
        """
        self.instance = instance
        self.plugin = plugin
        self.bot = bot
        self.services = services
        self.table = HandlerTable(plugin, instance)
        self.domain = domain
        self._enabled = enabled
        self.dialogs = Dialogs(self.name, services)

    @property
    def name(self) -> str:
        """Stable across restarts."""
        return f"{self.instance}:{self.bot.user_id}"

    @property
    def user_id(self) -> str:
        """The bot's."""
        return self.bot.user_id

    def replace(self, plugin: Plugin) -> None:
        """Go on with another object of the plugin: its code was loaded anew."""
        self.table = HandlerTable(plugin, self.instance)
        self.plugin = plugin
        self.bot.rebuild()

    def enabled_in(self, room_id: str, person: str) -> bool:
        """Whether the plugin answers this person in this room."""
        return self._enabled(room_id, person.partition(":")[2])

    def wants(self, event: Event) -> bool:
        """Messages, edits, reactions, votes, redactions, and who comes and goes."""
        if event.type not in WANTED:
            return False
        if event.type == "m.room.member":
            return event.membership != event.previous_membership and (
                event.state_key == self.user_id or bool(self.table.of("member"))
            )
        # A notice is never answered: two bots would talk for ever (specification, "m.notice").
        return event.content.get("msgtype") != "m.notice"

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Find the handler of an event and run it."""
        if event.internal:
            await self._internal(event, unit)
            return
        if not self.enabled_in(event.room_id, event.sender):
            return
        if event.type == "m.room.member":
            await self._member(event, unit)
        elif event.type == "m.room.redaction":
            if event.redacts:
                await self._redacted(event, unit, event.redacts)
        else:
            incoming = Incoming.of(event)
            if incoming is not None and (incoming.kind != "text" or incoming.text.strip()):
                await self._incoming(event, unit, incoming)

    # Messages

    async def _incoming(self, event: Event, unit: UnitOfWork, incoming: Incoming) -> None:
        if incoming.kind == "edit":
            await self._edited(event, unit, incoming)
            return
        claim = await self.bot.claim(event, incoming)
        if claim is None or claim.consumer is not self:
            return
        ctx = await self.context(event, unit, incoming)
        ctx.addressed, ctx.rest = claim.addressed, claim.rest
        if claim.target is not None:
            await self._answer(ctx, claim, claim.target, incoming)
        elif claim.command is not None:
            await self._command(ctx, claim.command)
        elif claim.handler is not None:
            await self._heard(ctx, claim.handler, incoming, claim.groups or {})
        else:
            self._unknown(ctx, claim.unknown)

    async def _answer(self, ctx: Context, claim: Claim, target: Target, incoming: Incoming) -> None:
        handler = self.table.dialogs.get(target.row.name)
        answer = incoming.answer(ctx.event)
        verdict = await self.dialogs.answer(ctx, handler, target, answer)
        if verdict is Verdict.TAKEN:
            await self._begin(ctx)
        elif claim.command is not None:
            await self._command(ctx, claim.command)
        elif claim.addressed and ctx.unmatched:
            ctx.say(ctx.unmatched)

    async def overhears(self, event: Event, incoming: Incoming, target: Target) -> bool:
        """Whether a text in a group that is not addressed to the bot is an answer all the same: a choice is."""
        if incoming.kind == "location":
            return True
        waiting = json.loads(target.row.waiting or b"{}")
        # Only a question with options knows which; free words among several people are said to the others.
        return incoming.kind == "text" and "chosen" in waiting and len(incoming.text) < 100

    async def _command(self, ctx: Context, matched: Matched) -> None:
        entry = matched.entry
        if not self._allowed(ctx, entry):
            ctx.say(ctx.translator.t("You may not use “{command}” here.", command=entry.name))
            return
        if self._limited(ctx, self.table.limiters.get(entry.name)):
            return
        try:
            values = matched.parse(ctx.env())
        except ArgumentError as error:
            self._show(ctx, self.bot.commands.explain(matched, error, ctx.translator, prefix=self._prefix(ctx)))
            return
        args, kwargs = entry.signature.arguments(values)
        await self._run(ctx, entry.handler, *args, **kwargs)

    async def _heard(self, ctx: Context, handler: Handler, incoming: Incoming, groups: Mapping[str, Any]) -> None:
        permission = handler.mark.permission
        if permission is not None and not self._permitted(ctx, permission):
            return
        if self._limited(ctx, handler.limiter):
            return
        if incoming.kind == "location":
            place = place_of(incoming.content)
            if place is not None:
                await self._run(ctx, handler.function, place)
        elif incoming.kind == "reaction":
            await self._run(ctx, handler.function, incoming.values[0], incoming.target)
        else:
            await self._run(ctx, handler.function, **groups)
        if ctx.declined and ctx.addressed and incoming.kind == "text":
            self._unknown(ctx, None)

    def _unknown(self, ctx: Context, unknown: Unknown | None) -> None:
        """Nobody knows what was said: help, or the nearest that is known."""
        word, _, rest = ctx.rest.partition(" ")
        if fold(word) in words(ctx.translator, "help"):
            page = self.bot.commands.help(
                rest.strip(), ctx.translator, prefix=self._prefix(ctx), allowed=lambda entry: self._allowed(ctx, entry)
            )
            if isinstance(page, Page):
                self._show(ctx, page)
                return
            unknown = page
        if unknown is None:
            found = self.bot.commands.match(ctx.rest, lambda entry: self._allowed(ctx, entry))
            unknown = found if isinstance(found, Unknown) else None
        if unknown is not None:
            ctx.say(unknown.say(ctx.translator, self._prefix(ctx)))

    def _prefix(self, ctx: Context) -> str:
        return PREFIX if ctx.text.strip().startswith(PREFIX) else ""

    def _show(self, ctx: Context, page: Page) -> None:
        ctx.say(page.text, html=page.html)

    def _allowed(self, ctx: Context, entry: CommandEntry) -> bool:
        return entry.permission is None or self._permitted(ctx, entry.permission)

    def _permitted(self, ctx: Context, permission: str) -> bool:
        """A role's own name needs that role; anything else needs an operator where no rule says otherwise."""
        default = permission if permission in ROLES else Role.OPERATOR
        return self.services.permissions.allows(ctx.sender, permission, default=default)

    def _limited(self, ctx: Context, limiter: RateLimiter | None) -> bool:
        if limiter is None:
            return False
        key = ctx.sender if limiter.limit.scope == "user" else ctx.room_id
        verdict = limiter.check(key, ctx.now_ms() / 1000)
        if not isinstance(verdict, Limited):
            return False
        if verdict.tell:
            ctx.say(verdict.explain(ctx.translator))
        return True

    async def _edited(self, event: Event, unit: UnitOfWork, incoming: Incoming) -> None:
        handlers = self.table.of("edited")
        if not handlers:
            return
        # Whoever is in the room can send an edit of anybody's message (specification, "Validity of replacement
        # events"): only the author's counts.
        if await self.services.rooms.sender_of(event.room_id, incoming.target, self.user_id) != event.sender:
            return
        ctx = await self.context(event, unit, incoming)
        for handler in handlers:
            await self._run(ctx, handler.function, incoming.target)

    async def _redacted(self, event: Event, unit: UnitOfWork, target: str) -> None:
        handlers = self.table.of("redacted")
        if not handlers:
            return
        ctx = await self.context(event, unit)
        for handler in handlers:
            await self._run(ctx, handler.function, target)

    async def _member(self, event: Event, unit: UnitOfWork) -> None:
        ctx = await self.context(event, unit)
        if event.state_key == self.user_id:
            if event.membership == "join":
                for handler in self.table.of("joined"):
                    await self._run(ctx, handler.function)
            return
        for handler in self.table.of("member"):
            await self._run(ctx, handler.function, event.state_key, event.membership)

    # Events of our own

    async def _internal(self, event: Event, unit: UnitOfWork) -> None:
        ctx = await self.context(event, unit)
        content = event.content
        if event.type == START:
            start = Start(self._dialog_named(content["name"]), people=tuple(content.get("people", ())))
            await self._begin_one(ctx, start, content.get("arguments"))
            return
        fired = content.get("data") if "schedule" in content else None
        fired = fired if isinstance(fired, dict) else {}
        if event.type == TIMER:
            await self.dialogs.timer(ctx, await self._dialog_of(fired), fired)
        elif event.type == OUTCOME:
            await self.dialogs.payment(ctx, await self._dialog_of(content), content)
        elif event.type == TIMER_FIRED:
            await self._fire(ctx, self.table.timer(str(fired.get("name"))), fired.get("data"))
        elif event.type == SCHEDULE_FIRED:
            await self._fire(ctx, self.table.schedule(str(fired.get("name"))))
        elif event.type == HOOK_CALLED:
            call = WebhookCall.of(content)
            await self._fire(ctx, self.table.webhook(call.name), call)
        await self._begin(ctx)

    async def _fire(self, ctx: Context, handler: Handler | None, *args: Any) -> None:
        if handler is None:
            log.warning("what was to happen is not there any more", extra={"consumer": self.name})
            return
        await self._run(ctx, handler.function, *args)

    async def _dialog_of(self, content: Mapping[str, Any]) -> Any:
        row = await self.dialogs.get(str(content.get("dialog")))
        return None if row is None else self.table.dialogs.get(row.name)

    def _dialog_named(self, name: str) -> Callable[..., Any]:
        handler = self.table.dialogs.get(name)
        if handler is None:
            raise LookupError(f"there is no dialog {name!r}")
        return handler.function

    # Running

    async def _run(self, ctx: Context, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> None:
        """Run a handler inside the plugin's middleware, then begin the dialogs it wants."""

        async def call(rest: list[Handler]) -> None:
            if not rest:
                await function(ctx, *args, **kwargs)
                return
            await rest[0].function(ctx, lambda: call(rest[1:]))

        await call(self.table.of("middleware"))
        await self._begin(ctx)

    async def _begin(self, ctx: Context) -> None:
        while ctx.starts:
            await self._begin_one(ctx, ctx.starts.pop(0), None)

    async def _begin_one(self, ctx: Context, start: Start, arguments: Any) -> None:
        name = getattr(start.dialog, "__name__", "")
        handler = self.table.dialogs.get(name)
        if handler is None:
            raise LookupError(f"{name or start.dialog!r} is no @dialog of {type(self.plugin).__name__}")
        args, kwargs = (start.args, start.kwargs) if arguments is None else arguments
        await self.dialogs.begin(ctx, handler, tuple(args), dict(kwargs), start.people)

    async def context(self, event: Event, unit: UnitOfWork, incoming: Incoming | None = None) -> Context:
        """What handlers of an event are given, in the language of its sender."""
        person = await self.services.people.get(event.sender) if event.sender else None
        language = None if person is None else person.language
        zone = (None if person is None else person.zone) or "UTC"
        translator = self.services.catalogues.translator(language, self.domain or FRAMEWORK, ZoneInfo(zone))
        return Context(
            event,
            unit,
            self.user_id,
            self.services,
            translator,
            instance=self.instance,
            consumer=self.name,
            zone=zone,
            incoming=incoming,
        )

    # What goes wrong

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """Tell the sender that a message could not be decrypted; of several plugins one does."""
        if self.bot.consumers and self.bot.consumers[0] is not self:
            return
        ctx = await self.context(event, unit)
        ctx.say(
            ctx.translator.t("I could not read your message: its key did not reach me. Please send it again."),
            reply=True,
        )

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """Tell the sender that something went wrong."""
        ctx = await self.context(event, unit)
        if event.room_id.startswith("!"):
            await self.dialogs.gave_up(ctx, event.event_id)
            if event.type != "m.room.member":
                ctx.say(
                    ctx.translator.t(
                        "Sorry, something went wrong on my side and I could not answer. The operator knows."
                    ),
                    reply=True,
                )

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """Plugins do not hear of receipts and typing."""
