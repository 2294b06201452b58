"""A plugin's dialogs: begun, answered, taken back, reminded of, ended."""

from __future__ import annotations

import inspect
import logging
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from appservice import json
from appservice.unit import UNSENT
from bots.framework.clock import from_ms
from bots.framework.dialogs import codec
from bots.framework.dialogs.answers import Answer
from bots.framework.dialogs.dialog import Dialog
from bots.framework.dialogs.errors import (
    Changed,
    DeterminismError,
    DialogError,
    DialogTooLong,
    Ended,
    Interrupted,
    Suspended,
)
from bots.framework.dialogs.run import NotAnAnswer, Run
from bots.framework.i18n import fold, words
from bots.framework.table import DialogHandler
from bots.store import dialogs as store
from bots.store.dialogs import DialogRow
from bots.store.tables import DialogState

if TYPE_CHECKING:
    from bots.framework.context import Context
    from bots.framework.services import Services

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT: Final = timedelta(days=1)
MAX_OPEN: Final = 5
"""Dialogs of one person in one room; the oldest gives way to a new one."""
QUIET_ROOMS: Final = 10_000
ANSWERS: Final = frozenset({"ask", "choose", "vote"})
TIMER: Final = "rialto.dialog.timer"
START: Final = "rialto.dialog.start"
_CONTROL: Final = ("cancel", "back", "help")


class Verdict(Enum):
    """What became of an answer."""

    TAKEN = "taken"
    NOT_MINE = "not mine"


@dataclass(frozen=True, slots=True)
class Target:
    """The dialog that an event is for."""

    row: DialogRow
    resume: bool = False
    """Its last run was cut off by a crash: it goes on, and the event is not an answer any more."""
    late: bool = False
    """The event refers to a question that is answered already."""
    words: str = ""


class Dialogs:
    """The dialogs of one plugin instance on one bot."""

    def __init__(self, consumer: str, services: Services) -> None:
        """
        Args:
            consumer: the name of the consumer, which dialogs belong to.
        """
        self._consumer = consumer
        self._services = services
        self._quiet: OrderedDict[str, None] = OrderedDict()
        """Rooms without open dialogs: nearly every event can be passed on without asking the database."""

    # Finding

    async def find(self, room_id: str, event_id: str, person: str, target: str = "") -> Target | None:
        """The dialog that an event of a person would be an answer to."""
        if room_id in self._quiet:
            self._quiet.move_to_end(room_id)
            return None
        rows = await self._services.dialog_storage.active(self._consumer, room_id)
        if not rows:
            self._be_quiet(room_id)
            return None
        for row in rows:
            if row.state is DialogState.RUNNING and row.cause == event_id:
                return Target(row, resume=True)
        mine = [row for row in rows if person in row.people or store.ANYBODY in row.people]
        mine = [row for row in mine if row.state is DialogState.WAITING]
        if not mine:
            return None
        if target:
            return await self._referred(mine, target)
        return Target(mine[0])

    async def _referred(self, rows: Sequence[DialogRow], target: str) -> Target | None:
        """The dialog whose message is replied to, reacted to or voted in."""
        prompts = {row.prompt.removeprefix(UNSENT): row for row in rows if row.prompt}
        known = await self._sent(prompts)
        for txn_id, row in prompts.items():
            if known.get(txn_id) == target:
                return Target(row)
        for row in rows:
            old = [entry.prompt.removeprefix(UNSENT) for entry in await self._entries(row) if entry.prompt]
            if target in (await self._sent(old)).values():
                return Target(row, late=True)
        return None

    async def _sent(self, txn_ids: Iterable[str]) -> dict[str, str]:
        return await self._services.dialog_storage.event_ids(txn_ids)

    def _be_quiet(self, room_id: str) -> None:
        self._quiet[room_id] = None
        if len(self._quiet) > QUIET_ROOMS:
            self._quiet.popitem(last=False)

    # Beginning

    async def begin(
        self,
        ctx: Context,
        handler: DialogHandler,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        people: Sequence[str],
    ) -> None:
        """Begin a dialog with the person of ``ctx``, or with some people, and run it to its first question."""
        self._quiet.pop(ctx.room_id, None)
        now = ctx.now_ms()
        owner = ctx.sender
        row = DialogRow(
            id=_ulid(now),
            consumer=self._consumer,
            room_id=ctx.room_id,
            owner=owner,
            name=handler.name,
            version=handler.version,
            arguments=codec.dumps([list(args), dict(kwargs)]),
            state=DialogState.RUNNING,
            cause=ctx.event.event_id,
            started_at=now,
            updated_at=now,
            people=tuple(people) or (owner,),
        )
        await self._make_room(ctx, owner)
        await self._drive(ctx, handler, Run(row, [], ctx))

    async def _make_room(self, ctx: Context, person: str) -> None:
        """The oldest dialog of a person gives way when there are too many."""
        rows = await self._services.dialog_storage.active(self._consumer, ctx.room_id, person)
        for row in rows[MAX_OPEN - 1 :]:
            if row.owner == person:
                self._end(ctx, Run(row, await self._entries(row), ctx), DialogState.CANCELLED)

    # Answering

    async def answer(self, ctx: Context, handler: DialogHandler | None, target: Target, answer: Answer) -> Verdict:
        """Hand an event to the dialog that it is for."""
        row = target.row
        if handler is None:
            await self._gone(ctx, row)
            return Verdict.TAKEN
        entries = await self._entries(row)
        if target.resume:
            await self._drive(ctx, handler, Run(row, entries, ctx))
            return Verdict.TAKEN
        if target.late:
            if answer.kind == "text":
                ctx.say(ctx.translator.t("That was an answer to an earlier question. This is the current one:"))
            elif answer.kind == "unreaction":
                return Verdict.TAKEN
            await self._drive(ctx, handler, Run(row, entries, ctx, show=True))
            return Verdict.TAKEN
        if answer.kind == "text" and await self._controlled(ctx, handler, row, entries, answer):
            return Verdict.TAKEN
        try:
            await self._drive(ctx, handler, Run(row, entries, ctx, answer))
        except NotAnAnswer as other:
            ctx.unmatched = other.words
            return Verdict.NOT_MINE
        return Verdict.TAKEN

    async def _controlled(
        self, ctx: Context, handler: DialogHandler, row: DialogRow, entries: list[store.EntryRow], answer: Answer
    ) -> bool:
        """Whether it was one of the words that every dialog knows."""
        word = fold(answer.text.strip().removeprefix("!"))
        which = next((key for key in _CONTROL if word in words(ctx.translator, key)), None)
        if which is None:
            return False
        if which == "back" and json.loads(row.waiting or b"{}").get("page", 1) > 1:
            return False  # the page before
        if which == "cancel":
            run = Run(row, entries, ctx)
            await self._withdraw(ctx, run)
            self._end(ctx, run, DialogState.CANCELLED)
            ctx.say(ctx.translator.t("Cancelled."))
        elif which == "help":
            await self._help(ctx, handler, row, entries)
        else:
            await self._back(ctx, handler, row, entries)
        return True

    async def _help(self, ctx: Context, handler: DialogHandler, row: DialogRow, entries: list[store.EntryRow]) -> None:
        run = Run(row, entries, ctx)
        if await self._replay(handler, run) is not None or run.question is None:
            await self._drive(ctx, handler, Run(row, entries, ctx, show=True))
            return
        t = ctx.translator.t
        hint = run.question.hint(ctx.translator)
        ctx.say(hint + "\n" + t("“back” takes your last answer back, “cancel” ends this."))
        await self._drive(ctx, handler, Run(row, entries, ctx, show=True))

    async def _back(self, ctx: Context, handler: DialogHandler, row: DialogRow, entries: list[store.EntryRow]) -> None:
        t = ctx.translator.t
        at = next((index for index in range(len(entries) - 1, -1, -1) if entries[index].kind in ANSWERS), None)
        if at is None:
            ctx.say(t("This is the first question; there is nothing to take back."))
            return
        behind = entries[at + 1 :]
        steps = [json.loads(entry.value) for entry in behind if entry.kind == "step"]
        if any(step["final"] for step in steps) or any(entry.kind in {"pay", "do"} for entry in behind):
            ctx.say(t("What is done cannot be taken back here. Type “cancel” to stop."))
            return
        for step in reversed(steps):
            if step["undo"] and "value" in step:
                await _undo(handler, step)
        run = Run(row, entries, ctx)
        await self._withdraw(ctx, run)
        run.truncate(at)
        await self._drive(ctx, handler, run)

    async def _withdraw(self, ctx: Context, run: Run) -> None:
        """A payment that is waited for is not wanted any more."""
        key = run.waiting.get("payment")
        if key and self._services.payments is not None:
            await self._services.payments.withdraw(key, ctx.unit)

    # What is not said by a person

    async def timer(self, ctx: Context, handler: DialogHandler | None, content: Mapping[str, Any]) -> None:
        """A reminder or a time-out is due; one that is not up to date any more is passed over."""
        row = await self.get(str(content.get("dialog")))
        if row is None or not row.open:
            return
        if row.state is DialogState.RUNNING:
            if row.cause == ctx.event.event_id and handler is not None:
                await self._drive(ctx, handler, Run(row, await self._entries(row), ctx))
            return
        if row.entries != content.get("entries") or row.epoch != content.get("epoch"):
            return
        if handler is None:
            await self._gone(ctx, row)
            return
        entries = await self._entries(row)
        if content.get("what") == "remind":
            await self._drive(ctx, handler, Run(row, entries, ctx, show=True), reminded=True)
            return
        look = Run(row, entries, ctx)
        await self._replay(handler, look)
        if look.question is not None and (look.default is not None or look.question.kind == "vote"):
            answer = Answer("timeout", row.owner, ctx.event.event_id)
            await self._drive(ctx, handler, Run(row, entries, ctx, answer))
            return
        run = Run(row, entries, ctx)
        await self._withdraw(ctx, run)
        self._end(ctx, run, DialogState.EXPIRED)
        ctx.say(
            ctx.translator.t("I have not heard from you for a while, so I stop here. Begin again whenever you like.")
        )

    async def payment(self, ctx: Context, handler: DialogHandler | None, content: Mapping[str, Any]) -> None:
        """A payment has ended."""
        row = await self.get(str(content.get("dialog")))
        if row is None or not row.open:
            return
        if handler is None:
            await self._gone(ctx, row)
            return
        entries = await self._entries(row)
        if row.state is DialogState.RUNNING:
            if row.cause == ctx.event.event_id:
                await self._drive(ctx, handler, Run(row, entries, ctx))
            return
        waiting = json.loads(row.waiting or b"{}")
        if waiting.get("payment") != content.get("key"):
            return
        answer = Answer(
            "payment", row.owner, ctx.event.event_id, values=("paid",) if content.get("paid") else ("refused",)
        )
        await self._drive(ctx, handler, Run(row, entries, ctx, answer))

    async def gave_up(self, ctx: Context, event_id: str) -> None:
        """The last attempt at an event has failed: a dialog that stood in the middle of it ends."""
        rows = await self._services.dialog_storage.active(self._consumer, ctx.room_id)
        for row in rows:
            if row.state is DialogState.RUNNING and row.cause == event_id:
                self._end(ctx, Run(row, await self._entries(row), ctx), DialogState.FAILED, "a handler failed")

    # Running

    async def _drive(self, ctx: Context, handler: DialogHandler, run: Run, *, reminded: bool = False) -> None:
        """Run to the next question or the end, and have what happened committed."""
        row = run.row
        if row.version != handler.version:
            await self._restart(ctx, handler, run, f"version {row.version!r}, now {handler.version!r}")
            return
        try:
            over = await self._replay(handler, run)
        except Changed as change:
            if self._services.strict:
                raise DeterminismError(
                    f"{handler.where}: on a replay {row.name} did something else than before: {change}. What it does "
                    "between two awaits of d must be the same every time",
                    dialog=row.name,
                ) from None
            await self._restart(ctx, handler, run, str(change))
            return
        except Interrupted as interrupted:
            if isinstance(interrupted.cause, DialogTooLong):
                log.error("%s", interrupted.cause, extra={"consumer": self._consumer})
                self._end(ctx, run, DialogState.FAILED, interrupted.cause.code)
                ctx.say(ctx.translator.t("This has become too long for me, so I have to stop here. I am sorry."))
                return
            raise interrupted.cause from None
        if over is not None:
            self._end(ctx, run, DialogState.ENDED)
            return
        if self._services.strict:
            await self._look_again(ctx, handler, run)
        self._wait(ctx, handler, run, reminded=reminded)

    async def _replay(self, handler: DialogHandler, run: Run) -> object | None:
        """Run the function; None when it stands at a question, anything else when it is over."""
        args, kwargs = codec.loads(run.row.arguments)
        try:
            await handler.function(Dialog(run), *args, **kwargs)
        except Suspended:
            return None
        except Ended:
            return True
        return True

    async def _look_again(self, ctx: Context, handler: DialogHandler, run: Run) -> None:
        """Strict: replayed at once, the function must come to the same question."""
        again = Run(run.row, list(run.entries), ctx, only_look=True)
        await self._replay(handler, again)
        question = run.question
        here = None if question is None else (run.position, question.kind, question.name)
        if again.frontier != here:
            raise DeterminismError(
                f"{handler.where}: replayed, {run.row.name} came to {again.frontier} instead of {here}. What it does "
                "between two awaits of d must be the same every time",
                dialog=run.row.name,
            )

    def _wait(self, ctx: Context, handler: DialogHandler, run: Run, *, reminded: bool) -> None:
        row, now = run.row, ctx.now_ms()
        if run.question is not None and run.question.kind == "pay":
            run.waiting = {**run.waiting, "payment": run.key()}
        due = self._deadline(run, handler, now)
        remind = run.remind or handler.remind
        row.expires_at = due
        what = "expire"
        if remind is not None and not reminded and not run.waiting.get("reminded"):
            at = now + int(remind.total_seconds() * 1000)
            if at < due:
                what, due = "remind", at
        if reminded:
            run.waiting = {**run.waiting, "reminded": True}
        run.store(DialogState.WAITING)
        content = {"dialog": row.id, "entries": row.entries, "epoch": row.epoch, "what": what}
        ctx.schedules.at(
            from_ms(due), TIMER, content, key=f"dialog:{row.id}", person=row.owner, room=row.room_id, catch_up="once"
        )

    def _deadline(self, run: Run, handler: DialogHandler, now: int) -> int:
        """When the open question is given up: what was set for it stays, whatever comes meanwhile."""
        if "until" in run.waiting:
            return int(run.waiting["until"])
        timeout = run.timeout or handler.timeout or DEFAULT_TIMEOUT
        if isinstance(timeout, datetime):
            due = int(timeout.timestamp() * 1000)
        else:
            due = now + int(timeout.total_seconds() * 1000)
        if isinstance(timeout, datetime) or (run.question is not None and run.question.kind == "vote"):
            run.waiting = {**run.waiting, "until": due}
        return due

    def _end(self, ctx: Context, run: Run, state: DialogState, error: str | None = None) -> None:
        run.row.expires_at = None
        run.store(state, error)
        ctx.schedules.cancel(f"dialog:{run.row.id}")

    async def _restart(self, ctx: Context, handler: DialogHandler, run: Run, why: str) -> None:
        """The function is another one than the dialog began with: begin again, politely."""
        log.info("a dialog begins again: %s", why, extra={"consumer": self._consumer, "dialog": run.row.name})
        ctx.discard()
        await self._withdraw(ctx, run)
        ctx.say(ctx.translator.t("This conversation has been updated since you began, so let us begin again."))
        row = await self.get(run.row.id) or run.row
        fresh = Run(row, await self._entries(row), ctx)
        fresh.truncate(0)
        row.version = handler.version
        try:
            over = await self._replay(handler, fresh)
        except Changed as change:
            # Its arguments cannot be read any more.
            log.warning("a dialog cannot begin again: %s", change, extra={"consumer": self._consumer})
            self._end(ctx, fresh, DialogState.FAILED, "changed")
            ctx.say(ctx.translator.t("Please begin it anew."))
            return
        except Interrupted as interrupted:
            raise interrupted.cause from None
        if over is not None:
            self._end(ctx, fresh, DialogState.ENDED)
        else:
            self._wait(ctx, handler, fresh, reminded=False)

    async def _gone(self, ctx: Context, row: DialogRow) -> None:
        """Its function is not there any more."""
        self._end(ctx, Run(row, await self._entries(row), ctx), DialogState.FAILED, "its function is gone")
        ctx.say(ctx.translator.t("What we talked about is not offered any more, so I have to stop here. I am sorry."))

    async def _entries(self, row: DialogRow) -> list[store.EntryRow]:
        return await self._services.dialog_storage.journal(row.id)

    async def get(self, dialog_id: str) -> DialogRow | None:
        """One dialog."""
        return await self._services.dialog_storage.get(dialog_id)


async def _undo(handler: DialogHandler, step: Mapping[str, Any]) -> None:
    owner = getattr(handler.function, "__self__", None)
    method = getattr(owner, step["undo"], None)
    if method is None:
        raise DialogError(f"{handler.where}: there is no method {step['undo']!r} to undo a step with")
    result = method(codec.loads(json.dumps(step["value"])))
    if inspect.isawaitable(result):
        await result


_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _ulid(now_ms: int) -> str:
    """A ULID (https://github.com/ulid/spec): sorts by time."""
    number = (now_ms & (2**48 - 1)) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
