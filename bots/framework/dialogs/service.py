"""A plugin's dialogs: begun, answered, taken back, reminded of, ended."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from appservice import json
from appservice.processor import Wait
from appservice.unit import UNSENT
from bots.framework.clock import from_ms
from bots.framework.dialogs import codec
from bots.framework.dialogs.answers import Answer, NotGiven
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
from bots.framework.dialogs.questions import NotMine, Question, Waiting
from bots.framework.dialogs.run import KEY_PARAMETER, NotAnAnswer, Run
from bots.framework.i18n import Translator, fold, words
from bots.framework.table import DialogHandler
from bots.store import dialogs as store
from bots.store.dialogs import DialogRow
from bots.store.tables import DialogState

if TYPE_CHECKING:
    from bots.framework.context import Context
    from bots.framework.services import Services

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT: Final = timedelta(days=1)
MAX_ATTEMPTS: Final = 100
MAX_OPEN: Final = 5
"""Dialogs of one person in one room; the oldest gives way to a new one."""
QUIET_ROOMS: Final = 10_000
QUIET_PEOPLE: Final = 1_000
"""Of one room."""
KEPT_QUESTIONS: Final = 2_000
SENDING_PAUSE_S: Final = 0.05
SENDING_S: Final = 10.0
ANSWERS: Final = frozenset({"ask", "choose", "vote"})
TIMER: Final = "rialto.dialog.timer"
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
    others: tuple[DialogRow, ...] = ()
    """Older ones of the same person, which the event may be for when this one does not understand it."""
    exact: bool = False
    """The event refers to its question."""


class Dialogs:
    """The dialogs of one plugin instance on one bot."""

    def __init__(self, consumer: str, services: Services) -> None:
        """
        Args:
            consumer: the name of the consumer, which dialogs belong to.
        """
        self._consumer = consumer
        self._services = services
        self._quiet: OrderedDict[str, set[str]] = OrderedDict()
        """People without open dialogs, by room: nearly every event can be passed on without asking the database."""
        self._waited: OrderedDict[str, int] = OrderedDict()
        """How often an event has waited for a message to be sent."""
        self._asked: OrderedDict[tuple[str, int, int], tuple[Question, Translator, Waiting]] = OrderedDict()
        """Open questions, by dialog, revision and time: words that such a one does not understand need no replay."""

    def forget_questions(self) -> None:
        """The code of the plugin is another one."""
        self._asked.clear()

    # Finding

    async def find(self, room_id: str, event_id: str, person: str, target: str = "") -> Target | None:
        """The dialog that an event of a person would be an answer to."""
        quiet = self._quiet.get(room_id)
        if quiet is not None and person in quiet:
            self._quiet.move_to_end(room_id)
            return None
        rows = await self._services.dialog_storage.active(self._consumer, room_id, person)
        if not rows:
            self._be_quiet(room_id, person)
            return None
        for row in rows:
            if row.state is DialogState.RUNNING and row.cause == event_id:
                return Target(row, resume=True)
        mine = [row for row in rows if row.state is DialogState.WAITING]
        if not mine:
            return None
        if target:
            return await self._referred(mine, event_id, target)
        return Target(mine[0], others=tuple(mine[1:]))

    async def reacted(self, room_id: str, person: str, event_id: str) -> tuple[DialogRow, str] | None:
        """The dialog in whose open question a person's reaction ``event_id`` has counted, and the reaction's key."""
        if person in self._quiet.get(room_id, ()):
            return None
        for row in await self._services.dialog_storage.active(self._consumer, room_id, person):
            key = json.loads(row.known).get("reacted", {}).get(event_id)
            if key is not None and row.state is DialogState.WAITING:
                return row, str(key)
        return None

    async def interrupted(self, ctx: Context) -> DialogRow | None:
        """The dialog that a crash has cut off while it was worked for the event at hand."""
        rows = await self._services.dialog_storage.active(self._consumer, ctx.room_id, ctx.sender)
        cause = ctx.event.event_id
        return next((row for row in rows if row.state is DialogState.RUNNING and row.cause == cause), None)

    async def resume(self, ctx: Context, handler: DialogHandler | None, row: DialogRow) -> None:
        """Go on where a crash has cut a dialog off. What led to its last run is committed, so it is not done again."""
        ctx.unit.go_on_from(f"{row.id}/{row.revision}")
        if handler is None:
            await self._gone(ctx, row)
        else:
            await self._drive(ctx, handler, Run(row, await self._entries(row), ctx))

    async def _referred(self, rows: Sequence[DialogRow], event_id: str, target: str) -> Target | None:
        """The dialog whose message is replied to, reacted to or voted in.

        Raises:
            Wait: that message may be one that is being sent: its event id is not known yet.
        """
        prompts = {row.prompt.removeprefix(UNSENT): Target(row, exact=True) for row in rows if row.prompt}
        for row in rows:
            for prompt in json.loads(row.known).get("earlier", ()):
                prompts[prompt.removeprefix(UNSENT)] = Target(row, exact=True)
        known = await self._sent(prompts)
        for txn_id, found in prompts.items():
            if known.get(txn_id) == target:
                return found
        sending = "" in known.values()
        for row in rows:
            old = [entry.prompt.removeprefix(UNSENT) for entry in await self._entries(row) if entry.prompt]
            sent = (await self._sent(old)).values()
            if target in sent:
                return Target(row, late=True, exact=True)
            sending = sending or "" in sent
        if sending:
            self._wait_for_sending(event_id)
        return None

    def _wait_for_sending(self, event_id: str) -> None:
        """After a crash a message is sent once more to learn its event id; answers to it wait for that, for a while."""
        waited = self._waited.pop(event_id, 0)
        if waited * SENDING_PAUSE_S < SENDING_S:
            self._waited[event_id] = waited + 1
            if len(self._waited) > QUIET_PEOPLE:
                self._waited.popitem(last=False)
            raise Wait(SENDING_PAUSE_S)

    async def _sent(self, txn_ids: Iterable[str]) -> dict[str, str]:
        return await self._services.dialog_storage.event_ids(txn_ids)

    def _be_quiet(self, room_id: str, person: str) -> None:
        people = self._quiet.setdefault(room_id, set())
        if len(people) >= QUIET_PEOPLE:
            people.clear()
        people.add(person)
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
        now = ctx.now_ms()
        owner = ctx.sender
        dialog_id, rows = await self._beginning(ctx, owner)
        await self._make_room(ctx, owner, rows)
        row = DialogRow(
            id=dialog_id,
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
        await self._drive(ctx, handler, Run(row, [], ctx))

    async def _beginning(self, ctx: Context, person: str) -> tuple[str, list[DialogRow]]:
        """The id of a new dialog, and those that its person has open.

        The id is the same in every attempt at an event, so that a commit that comes true late, when the next attempt
        has begun, begins no second dialog. One that has ended (its event is tried again at the operator's wish) gives
        way to a new one.
        """
        storage, room_id = self._services.dialog_storage, ctx.room_id
        alone = person in self._quiet.pop(room_id, ())
        rows: list[DialogRow] = []
        ctx.begun += 1
        for attempt in range(MAX_ATTEMPTS):
            cause = f"{ctx.unit.cause}\0{self._consumer}\0{ctx.begun}\0{attempt}"
            dialog_id = _ulid(ctx.event.timestamp, ctx.begun, cause)
            if attempt or alone:
                row = await self.get(dialog_id)
            else:
                row, rows = await storage.beside(dialog_id, self._consumer, room_id, person)
            if row is None or row.open:
                return dialog_id, rows
        raise DialogError("this event has begun its dialog too often", event=ctx.event.event_id)

    async def _make_room(self, ctx: Context, person: str, rows: Sequence[DialogRow]) -> None:
        """The oldest dialog of a person gives way when there are too many.

        Args:
            rows: those that the person may answer, the newest first.
        """
        rows = [row for row in rows if row.owner == person and row.id not in ctx.touched]
        for row in rows[MAX_OPEN - 1 :]:
            run = Run(row, await self._entries(row), ctx)
            await self._withdraw(ctx, run)
            self._end(ctx, run, DialogState.CANCELLED)

    # Answering

    async def answer(
        self, ctx: Context, handlers: Mapping[str, DialogHandler], target: Target, answer: Answer
    ) -> Verdict:
        """Hand an event to the dialog that it is for; when it does not understand it, to an older one."""
        row = target.row
        handler = handlers.get(row.name)
        if target.resume:
            await self.resume(ctx, handler, row)
            return Verdict.TAKEN
        if handler is None:
            await self._gone(ctx, row)
            return Verdict.TAKEN
        if target.late:
            if answer.kind == "text":
                ctx.say(ctx.translator.t("That was an answer to an earlier question. This is the current one:"))
            elif answer.kind == "unreaction":
                return Verdict.TAKEN
            await self._drive(ctx, handler, Run(row, await self._entries(row), ctx, show=True))
            return Verdict.TAKEN
        # Among several people “help” and “cancel” are said to each other, unless to the bot.
        meant = ctx.addressed or target.exact or row.people == (answer.person,)
        if answer.kind == "text" and meant and await self._controlled(ctx, handler, row, answer):
            return Verdict.TAKEN
        words = await self._offer(ctx, handler, row, answer)
        if words is None:
            return Verdict.TAKEN
        for older in target.others:
            older_handler = handlers.get(older.name)
            if older_handler is not None and await self._offer(ctx, older_handler, older, answer) is None:
                return Verdict.TAKEN
        ctx.unmatched = words
        return Verdict.NOT_MINE

    async def _offer(self, ctx: Context, handler: DialogHandler, row: DialogRow, answer: Answer) -> str | None:
        """Hand an answer to a dialog; None when it has taken it, otherwise what it would say."""
        kept = self._asked.get((row.id, row.revision, row.updated_at))
        if kept is not None and answer.kind == "text" and kept[1] is ctx.translator:
            outcome = kept[0].read(ctx, answer, kept[2])
            if isinstance(outcome, NotMine):
                return outcome.words
        try:
            await self._drive(ctx, handler, Run(row, await self._entries(row), ctx, answer))
        except NotAnAnswer as other:
            return other.words
        return None

    async def _controlled(self, ctx: Context, handler: DialogHandler, row: DialogRow, answer: Answer) -> bool:
        """Whether it was one of the words that every dialog knows."""
        word = fold(answer.text.strip().removeprefix("!"))
        which = next((key for key in _CONTROL if word in words(ctx.translator, key)), None)
        if which is None:
            return False
        if which == "back" and json.loads(row.known).get("page", 1) > 1:
            return False  # the page before
        entries = await self._entries(row)
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
        look = await self._look(ctx, handler, row, entries)
        if look is not None and look.question is not None:
            hint = look.question.hint(ctx.translator)
            ctx.say(hint + "\n" + ctx.translator.t("“back” takes your last answer back, “cancel” ends this."))
        await self._drive(ctx, handler, Run(row, entries, ctx, show=True))

    async def _look(
        self, ctx: Context, handler: DialogHandler, row: DialogRow, entries: list[store.EntryRow]
    ) -> Run | None:
        """The run up to the open question, with nothing done; None when the function does not come there any more."""
        if row.version != handler.version:
            return None
        look = Run(row, list(entries), ctx, only_look=True)
        try:
            await self._replay(handler, look)
        except (Changed, Interrupted):
            return None
        return look

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
            if row.cause == ctx.event.event_id:
                await self.resume(ctx, handler, row)
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
        look = await self._look(ctx, handler, row, entries)
        question = None if look is None else look.question
        if (
            look is not None
            and question is not None
            and (look.default is not NotGiven.NOT_GIVEN or question.kind == "vote")
        ):
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
        if row.state is DialogState.RUNNING:
            if row.cause == ctx.event.event_id:
                await self.resume(ctx, handler, row)
            return
        if handler is None:
            await self._gone(ctx, row)
            return
        entries = await self._entries(row)
        waiting = json.loads(row.known)
        if waiting.get("payment") != content.get("key"):
            return
        answer = Answer(
            "payment", row.owner, ctx.event.event_id, values=("paid",) if content.get("paid") else ("refused",)
        )
        await self._drive(ctx, handler, Run(row, entries, ctx, answer))

    async def gave_up(self, ctx: Context, event_id: str, dialog_id: str = "") -> None:
        """The last attempt at an event has failed: a dialog that stood in the middle of it ends.

        Args:
            dialog_id: of a time-out or a payment: the dialog that it was for, which nothing else would ever wake.
        """
        rows = await self._services.dialog_storage.active(self._consumer, ctx.room_id)
        for row in rows:
            if row.id == dialog_id or (row.state is DialogState.RUNNING and row.cause == event_id):
                run = Run(row, await self._entries(row), ctx)
                await self._withdraw(ctx, run)
                self._end(ctx, run, DialogState.FAILED, "a handler failed")

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
        args, kwargs = codec.loads(run.row.given)
        if not handler.takes(args, kwargs):
            raise Changed("it takes other arguments now")
        ended: BaseException | None = None
        try:
            await handler.function(Dialog(run), *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - what it is decides below
            ended = error
        if isinstance(ended, asyncio.CancelledError) and _cancelled():
            raise ended
        # What the run was left by counts, whatever the function made of it.
        left = run.left or ended
        if left is None or isinstance(left, Ended):
            return True
        if isinstance(left, Suspended):
            return None
        if isinstance(left, Exception | Interrupted | NotAnAnswer | KeyboardInterrupt):
            raise left
        raise DialogError(f"{handler.where} was left by {type(left).__name__}", dialog=run.row.name) from left

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
        reader = None if run.question is None else run.question.reader()
        if reader is not None:
            self._asked[row.id, row.revision, row.updated_at] = reader, ctx.translator, run.waiting
            if len(self._asked) > KEPT_QUESTIONS:
                self._asked.popitem(last=False)
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
        row = await self.get(run.row.id) or run.row
        fresh = Run(row, await self._entries(row), ctx)
        if any(_lasting(entry) for entry in fresh.entries):
            # To begin again would pay or order a second time.
            self._end(ctx, fresh, DialogState.FAILED, "changed")
            ctx.say(
                ctx.translator.t(
                    "This conversation has been updated since you began, so it ends here. What is done stays done."
                )
            )
            return
        ctx.say(ctx.translator.t("This conversation has been updated since you began, so let us begin again."))
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
        run = Run(row, await self._entries(row), ctx)
        await self._withdraw(ctx, run)
        self._end(ctx, run, DialogState.FAILED, "its function is gone")
        ctx.say(ctx.translator.t("What we talked about is not offered any more, so I have to stop here. I am sorry."))

    async def _entries(self, row: DialogRow) -> list[store.EntryRow]:
        return await self._services.dialog_storage.journal(row.id)

    async def get(self, dialog_id: str) -> DialogRow | None:
        """One dialog."""
        return await self._services.dialog_storage.get(dialog_id)


def _lasting(entry: store.EntryRow) -> bool:
    """Whether an entry stands for something that must not happen again."""
    if entry.kind == "pay":
        return bool(codec.loads(entry.value))
    return entry.kind == "do" or (entry.kind == "step" and bool(json.loads(entry.value).get("final")))


async def _undo(handler: DialogHandler, step: Mapping[str, Any]) -> None:
    owner = getattr(handler.function, "__self__", None)
    method = getattr(owner, step["undo"], None)
    if method is None:
        raise DialogError(f"{handler.where}: there is no method {step['undo']!r} to undo a step with")
    given = {KEY_PARAMETER: f"{step['key']}:undo"} if KEY_PARAMETER in inspect.signature(method).parameters else {}
    result = method(codec.loads(json.dumps(step["value"])), **given)
    if inspect.isawaitable(result):
        await result


def _cancelled() -> bool:
    """Whether somebody wants the task to end, as when a handler takes too long."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _ulid(moment: int, ordinal: int, cause: str) -> str:
    """A ULID (https://github.com/ulid/spec): sorts by time (ms), then by ``ordinal``; the same for the same cause."""
    digest = int.from_bytes(sha256(cause.encode(errors="surrogatepass")).digest()[:8])
    number = (moment & (2**48 - 1)) << 80 | (ordinal & 0xFFFF) << 64 | digest
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
