"""Hands events to one plugin: to its dialogs, its commands, its other handlers."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from appservice import json
from appservice.errors import RialtoError
from appservice.events import Event
from appservice.unit import UnitOfWork
from bots.framework import builtin
from bots.framework import content as contents
from bots.framework.arguments import ArgumentError
from bots.framework.arguments.places import place_of
from bots.framework.beacons import BEACON_INFOS, BEACONS, Beacon
from bots.framework.bot import PREFIX, REMEMBERED, BotUser, Claim
from bots.framework.calls import HOOK_CALLED, WebhookCall
from bots.framework.commands import CommandEntry, Matched, Page, Unknown
from bots.framework.context import DIALOG_STARTS, TIMER_FIRED, Context, Start
from bots.framework.dialogs import codec
from bots.framework.dialogs.answers import Answer
from bots.framework.dialogs.payments import OUTCOME
from bots.framework.dialogs.service import TIMER, Dialogs, Target, Verdict
from bots.framework.funding_changes import FUNDING_CHANGED, FundingChange
from bots.framework.i18n import FRAMEWORK, fold, words
from bots.framework.incoming import Incoming
from bots.framework.limits import Limited, RateLimiter
from bots.framework.messenger_notices import Notice
from bots.framework.payment_changes import PAYMENT_CHANGED, PaymentChange
from bots.framework.permissions import ROLES, Role
from bots.framework.plugin import Plugin
from bots.framework.services import Services
from bots.framework.state import Key
from bots.framework.table import Handler, HandlerTable
from bridge.notices import NOTICE

log = logging.getLogger(__name__)

WANTED: Final = frozenset(
    {"m.room.message", "m.room.encrypted", "m.room.redaction", "m.room.member", "m.reaction", *contents.POLL_RESPONSES}
)
ALONE: Final = Key("rialto alone", bool, default=False)
"""The bot is in a room of its own making, and has not greeted: nobody was there."""
SCHEDULE_FIRED: Final = "rialto.schedule"

Guard = Callable[[str], bool]


class HandlerLeft(RialtoError):
    """A handler ended by ``sys.exit()``, by a cancelled task of its own or the like: a failure like any other."""

    code = "handler_left"


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
        self._admitted: OrderedDict[str, None] = OrderedDict()
        """Events that a rate limit has let through."""

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
        self.dialogs.forget_questions()
        self.bot.rebuild()

    def enabled_in(self, room_id: str, person: str) -> bool:
        """Whether the plugin answers this person in this room."""
        return self._enabled(room_id, person.partition(":")[2])

    def wants(self, event: Event) -> bool:
        """Messages, edits, reactions, votes, redactions, and who comes and goes."""
        if event.type in BEACONS or event.type in BEACON_INFOS:
            return bool(self.table.of("beacon"))
        if event.type not in WANTED:
            return False
        if event.type == "m.room.member":
            return event.membership != event.previous_membership and (
                event.state_key == self.user_id or self.table.members
            )
        # A notice is never answered: two bots would talk for ever (specification, "m.notice").
        return event.content.get("msgtype") != "m.notice"

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Find the handler of an event and run it.

        Raises:
            HandlerLeft: the handler ended in a way that would take the engine with it.
        """
        try:
            await self._handle(event, unit)
        except (Exception, KeyboardInterrupt):
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise HandlerLeft("a handler has cancelled itself", consumer=self.name) from error
        except BaseException as error:
            raise HandlerLeft(f"a handler was left by {type(error).__name__}", consumer=self.name) from error

    async def _handle(self, event: Event, unit: UnitOfWork) -> None:
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
        elif (beacon := Beacon.of(event)) is not None:
            await self._beacon(event, unit, beacon)
        else:
            incoming = Incoming.of(event)
            if incoming is not None and (incoming.kind != "text" or incoming.text.strip()):
                await self._incoming(event, unit, incoming)

    # Messages

    async def _incoming(self, event: Event, unit: UnitOfWork, incoming: Incoming) -> None:
        if incoming.kind == "edit":
            await self._edited(event, unit, incoming)
            return
        claim = await self.bot.claim(self, event, incoming)
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
            await self._unknown(ctx)

    async def means(self, event: Event, incoming: Incoming) -> bool:
        """Whether a message is said to the plugin: addressed to the bot, or an answer to one of its questions."""
        claim = await self.bot.claim(self, event, incoming)
        return claim is not None and (claim.addressed or claim.target is not None)

    async def _answer(self, ctx: Context, claim: Claim, target: Target, incoming: Incoming) -> None:
        answer = incoming.answer(ctx.event)
        verdict = await self.dialogs.answer(ctx, self.table.dialogs, target, answer)
        if verdict is Verdict.TAKEN:
            await self._begin(ctx)
        elif claim.command is not None:
            await self._command(ctx, claim.command)
        elif claim.handler is not None:
            await self._heard(ctx, claim.handler, incoming, claim.groups or {})
        elif claim.addressed and ctx.unmatched:
            ctx.say(ctx.unmatched)

    async def overhears(self, event: Event, incoming: Incoming, target: Target) -> bool:
        """Whether a text in a group that is not addressed to the bot is an answer all the same: a choice is, and the
        file or the place that was asked for."""
        waiting = json.loads(target.row.known)
        if incoming.kind in {"media", "location"}:
            return incoming.kind in waiting.get("takes", ())
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
            await self._unknown(ctx)

    async def _unknown(self, ctx: Context) -> None:
        """Nobody knows what was said: help, or the nearest that is known and may be used."""

        known: dict[tuple[str, str | None], bool] = {}

        def allowed(entry: CommandEntry) -> bool:
            key = entry.owner, entry.permission
            if key not in known:
                known[key] = self._allowed(ctx, entry)
            return known[key]

        word, _, rest = ctx.rest.partition(" ")
        found: Page | Matched | Unknown
        if fold(word) in words(ctx.translator, "help"):
            found = self.bot.commands.help(rest.strip(), ctx.translator, prefix=self._prefix(ctx), allowed=allowed)
        else:
            found = self.bot.commands.match_structured(ctx.content, allowed) or self.bot.commands.match(
                ctx.rest, allowed
            )
        if isinstance(found, Page):
            self._show(ctx, found)
        elif isinstance(found, Unknown):
            if found.nearest is None and not found.group and self._prefix(ctx) and len(await ctx.humans()) > 1:
                return  # “!!!” is not said to bots, and “!weather” to another one
            ctx.say(found.say(ctx.translator, self._prefix(ctx)))
        else:  # a command of a plugin that is switched off here
            ctx.say(Unknown(word).say(ctx.translator, self._prefix(ctx)))

    def _prefix(self, ctx: Context) -> str:
        return PREFIX if ctx.text.strip().startswith(PREFIX) else ""

    def _show(self, ctx: Context, page: Page) -> None:
        ctx.say(page.text, html=page.html)

    def _allowed(self, ctx: Context, entry: CommandEntry) -> bool:
        """Whether the person may use a command here: of any plugin of the bot."""
        owner = self.bot.owner(entry.owner)
        if entry.owner != builtin.OWNER and (owner is None or not owner.enabled_in(ctx.room_id, ctx.sender)):
            return False
        return entry.permission is None or self._permitted(ctx, entry.permission)

    def _permitted(self, ctx: Context, permission: str) -> bool:
        """A role's own name needs that role; anything else needs an operator where no rule says otherwise."""
        default = permission if permission in ROLES else Role.OPERATOR
        return self.services.permissions.allows(ctx.sender, permission, default=default)

    def _limited(self, ctx: Context, limiter: RateLimiter | None) -> bool:
        if limiter is None or ctx.event.event_id in self._admitted:
            return False
        key = ctx.sender if limiter.limit.scope == "user" else ctx.room_id
        verdict = limiter.check(key, ctx.now_ms() / 1000)
        if not isinstance(verdict, Limited):
            # It counts once, however often a failing handler is tried.
            self._admitted[ctx.event.event_id] = None
            if len(self._admitted) > REMEMBERED:
                self._admitted.popitem(last=False)
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
        if not await self._resumed(ctx):
            await self._run_all(ctx, handlers, incoming.target)

    async def _redacted(self, event: Event, unit: UnitOfWork, target: str) -> None:
        handlers = self.table.of("redacted")
        taken_back = await self.dialogs.reacted(event.room_id, event.sender, target) if self.table.dialogs else None
        if taken_back is not None:
            row, key = taken_back
            answer = Answer("unreaction", event.sender, event.event_id, values=(key,), target=target)
            ctx = await self.context(event, unit)
            await self.dialogs.answer(ctx, self.table.dialogs, Target(row), answer)
            return
        if not handlers:
            return
        ctx = await self.context(event, unit)
        if not await self._resumed(ctx):
            await self._run_all(ctx, handlers, target)

    async def _beacon(self, event: Event, unit: UnitOfWork, beacon: Beacon) -> None:
        """Live positions are no answer to anything: every handler hears them."""
        ctx = await self.context(event, unit)
        if not await self._resumed(ctx):
            await self._run_all(ctx, self.table.of("beacon"), beacon)

    async def _member(self, event: Event, unit: UnitOfWork) -> None:
        ctx = await self.context(event, unit)
        if await self._resumed(ctx):
            return
        greeting = self.table.of("joined")
        if event.state_key != self.user_id:
            await self._run_all(ctx, self.table.of("member"), event.state_key, event.membership)
            if greeting and event.membership == "join" and await self._first_there(ctx):
                await self._run_all(ctx, greeting)
        elif greeting and event.membership == "join":
            # In a room that it has made itself nobody is there yet, and its encryption may still be on the way.
            if await ctx.humans(joined=True):
                await self._run_all(ctx, greeting)
            else:
                ctx.state.set(ALONE, True)

    async def _first_there(self, ctx: Context) -> bool:
        """Whether somebody has come to a bot that was alone in its room; once."""
        if not await ctx.state.get(ALONE) or not await ctx.humans(joined=True):
            return False
        ctx.state.delete(ALONE)
        return True

    # Events of our own

    async def _internal(self, event: Event, unit: UnitOfWork) -> None:
        ctx = await self.context(event, unit)
        content = event.content
        if await self._resumed(ctx):
            return
        if event.type == DIALOG_STARTS:
            args, kwargs = codec.loads(json.dumps(content["arguments"]))
            start = Start(self._dialog_named(str(content["name"])), tuple(args), kwargs, tuple(content["people"]))
            await self._begin_one(ctx, start)
            await self._begin(ctx)
            return
        fired = content.get("data") if "schedule" in content else None
        fired = fired if isinstance(fired, dict) else {}
        if event.type == TIMER:
            await self.dialogs.timer(ctx, await self._dialog_of(fired), fired)
        elif event.type == OUTCOME:
            await self.dialogs.payment(ctx, await self._dialog_of(content), content)
        elif event.type == PAYMENT_CHANGED:
            await self._run_all(ctx, self.table.of("payment"), PaymentChange.of(event))
        elif event.type == FUNDING_CHANGED:
            await self._run_all(ctx, self.table.of("funding"), FundingChange.of(event))
        elif event.type == NOTICE:
            await self._run_all(ctx, self.table.of("notice"), Notice.of(event))
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

    async def _run_all(self, ctx: Context, handlers: Sequence[Handler], *args: Any) -> None:
        """Run every one of them, then begin the dialogs they want: none waits for what another's dialog does."""

        async def each(ctx: Context) -> None:
            for handler in handlers:
                await handler.function(ctx, *args)

        if handlers:
            await self._run(ctx, each)

    async def _begin(self, ctx: Context) -> None:
        while ctx.starts:
            await self._begin_one(ctx, ctx.starts.pop(0))

    async def _resumed(self, ctx: Context) -> bool:
        """Whether a crash had cut off a dialog that this event began: it goes on, and no handler is called again."""
        row = await self.dialogs.interrupted(ctx)
        if row is None:
            return False
        await self.dialogs.resume(ctx, self.table.dialogs.get(row.name), row)
        await self._begin(ctx)
        return True

    async def _begin_one(self, ctx: Context, start: Start) -> None:
        name = getattr(start.dialog, "__name__", "")
        handler = self.table.dialogs.get(name)
        if handler is None:
            raise LookupError(f"{name or start.dialog!r} is no @dialog of {type(self.plugin).__name__}")
        await self.dialogs.begin(ctx, handler, start.args, start.kwargs, start.people)

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
            data = event.content.get("data") if event.type == TIMER else event.content
            dialog_id = data.get("dialog") if event.type in {TIMER, OUTCOME} and isinstance(data, dict) else None
            await self.dialogs.gave_up(ctx, event.event_id, str(dialog_id or ""))
            if event.type != "m.room.member":
                ctx.say(
                    ctx.translator.t(
                        "Sorry, something went wrong on my side and I could not answer. The operator knows."
                    ),
                    reply=True,
                )

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """Plugins do not hear of receipts and typing."""
