"""One run of a dialog's function: what is recorded is given back, and at the first thing that is not, it acts."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from appservice import json
from bots.framework.dialogs import codec
from bots.framework.dialogs.answers import Answer, NotGiven
from bots.framework.dialogs.errors import Changed, DialogTooLong, Interrupted, Suspended
from bots.framework.dialogs.questions import Accepted, Again, NotMine, Question, Turned
from bots.store.dialogs import Change, DialogRow, EntryRow
from bots.store.tables import DialogState

if TYPE_CHECKING:
    from bots.framework.context import Context

MAX_ENTRIES: Final = 1_000
MAX_SIZE: Final = 256 * 1024
MAX_REACTIONS: Final = 500
MAX_EARLIER: Final = 10
"""Showings of an open question that can be answered beside the last one."""
KEY_PARAMETER: Final = "idempotency_key"


class NotAnAnswer(BaseException):
    """The open question does not understand the answer, which may be meant for somebody else."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class Run:
    """Runs a dialog's function once, from its start to its next question or its end."""

    def __init__(
        self,
        row: DialogRow,
        entries: list[EntryRow],
        ctx: Context,
        answer: Answer | None = None,
        *,
        show: bool = False,
        only_look: bool = False,
    ) -> None:
        """
        Args:
            row: the dialog; changed as the run goes on.
            answer: to the question that is open.
            show: show the open question again.
            only_look: replay and do nothing: at the first thing that is not recorded, leave.
        """
        self.row = row
        self.entries = entries
        self.ctx = ctx
        self.question: Question | None = None
        """The question that is open at the end of the run."""
        self.timeout: Any = None
        self.remind: Any = None
        self.default: Any = NotGiven.NOT_GIVEN
        self.frontier: tuple[int, str, str] | None = None
        self.left: BaseException | None = None
        """What the function was left by. It stays left: whatever catches that, nothing more happens in this run."""
        self.waiting: dict[str, Any] = json.loads(row.known)
        self._answer = answer
        self._show = show
        self._only_look = only_look
        self._cursor = 0
        self._saved = len(entries)
        self._cut = False
        self._running = False
        """Whether it is in the database that this run is under way."""
        self._strict = ctx.services.strict

    @property
    def position(self) -> int:
        """Where in the journal the function is."""
        return self._cursor

    def key(self, what: str = "") -> str:
        """The stable key of what the dialog does here: another one after it was taken back."""
        return f"{self.row.id}/{self.row.epoch}/{self._cursor}{':' if what else ''}{what}"

    def leave(self, why: BaseException) -> BaseException:
        """The function is left by this, for good: raise it."""
        self.left = why
        return why

    def truncate(self, position: int) -> None:
        """Take everything from ``position`` on back, before the run."""
        self.row.size -= sum(_size(entry) for entry in self.entries[position:])
        del self.entries[position:]
        self._saved = min(self._saved, position)
        self._cut = True
        self.row.epoch += 1
        self.row.prompt, self.waiting = None, {}

    def recorded(self, kind: str, name: str) -> EntryRow | None:
        """The entry at the cursor, or None at the end of the journal.

        Raises:
            Changed: it is of another kind, or (names of steps) another one.
        """
        if self.left is not None:
            raise self.left
        if self._cursor >= len(self.entries):
            if self._only_look:
                self.frontier = (self._cursor, kind, name)
                raise self.leave(Suspended())
            return None
        entry = self.entries[self._cursor]
        if entry.kind != kind or ((self._strict or kind in {"step", "do"}) and entry.name != name):
            raise self.leave(Changed(f"entry {self._cursor} is {entry.kind} {entry.name}, and now {kind} {name}"))
        self._cursor += 1
        return entry

    def append(self, kind: str, name: str, value: bytes, prompt: str | None = None) -> None:
        """Record something that happened."""
        entry = EntryRow(kind, name, value, prompt, self.ctx.now_ms())
        self.row.size += _size(entry)
        self.entries.append(entry)
        self._cursor += 1
        if len(self.entries) > MAX_ENTRIES or self.row.size > MAX_SIZE:
            too_long = DialogTooLong(
                f"the journal of {self.row.name} has {len(self.entries)} entries and {self.row.size} bytes; "
                f"it may have {MAX_ENTRIES} and {MAX_SIZE}",
                dialog=self.row.name,
            )
            raise self.leave(Interrupted(too_long))

    def require_no_answer(self) -> None:
        """What is at hand is no question, so an answer to one does not belong here."""
        if self._answer is not None:
            raise self.leave(Changed(f"entry {self._cursor} was a question"))

    def written(self, value: Any) -> bytes:
        """A value as it is recorded. One that cannot be is a defect of the plugin that it must not get around."""
        try:
            return codec.dumps(value)
        except Exception as error:
            raise self.leave(Interrupted(error)) from error

    def read(self, make: Callable[[], Any]) -> Any:
        """What ``make`` reads from the journal; leaves when it does not fit any more."""
        try:
            return make()
        except Changed as change:
            raise self.leave(change) from None
        except (LookupError, TypeError, ValueError, AttributeError, ImportError) as error:
            raise self.leave(Changed(f"entry {self._cursor - 1}: {type(error).__name__}")) from None

    # Questions

    async def ask(
        self,
        question: Question,
        *,
        timeout: Any = None,
        remind: Any = None,
        default: Any = NotGiven.NOT_GIVEN,
        before: Callable[[str], Awaitable[None]] | None = None,
    ) -> Any:
        """The recorded answer; or take the one that came; or ask and leave."""
        if self._cursor >= len(self.entries) and self.left is None:
            self.question, self.timeout, self.remind, self.default = question, timeout, remind, default
        entry = self.recorded(question.kind, question.name)
        if entry is not None:
            return self.read(lambda: question.value(codec.loads(entry.value)))
        answer, self._answer = self._answer, None
        if answer is not None:
            return self._take(question, answer)
        if not self.waiting:
            self.waiting = question.first()
            if before is not None:
                await before(self.key())
        if self.row.prompt is None or self._show:
            self._send(question)
        raise self.leave(Suspended())

    def _send(self, question: Question) -> None:
        """Show the question; its earlier showings can be answered too, for people do not look which is the last."""
        shown, earlier = self.waiting.get("shown", 0), list(self.waiting.get("earlier", ()))
        if self.row.prompt is not None:
            earlier.append(self.row.prompt)
        self.waiting = {
            **self.waiting,
            "shown": shown + 1,
            "key": self.key(str(shown)).partition(":")[0],
            "earlier": earlier[-MAX_EARLIER:],
        }
        self.row.prompt = question.show(self.ctx, self.waiting, self.key(str(shown)))

    def _take(self, question: Question, answer: Answer) -> Any:
        if answer.kind == "timeout" and question.kind != "vote":
            return self._settle(question, self.default, answer)
        if answer.kind == "payment" and question.kind != "pay":
            raise self.leave(Changed(f"entry {self._cursor} was a payment, and now {question.kind}"))
        outcome = question.read(self.ctx, answer, self.waiting)
        if isinstance(outcome, Accepted):
            return self._settle(question, outcome.value, answer)
        if isinstance(outcome, NotMine):
            raise self.leave(NotAnAnswer(outcome.words))
        if isinstance(outcome, Again):
            if outcome.words:
                self.ctx.say(outcome.words)
            if outcome.show:
                self._send(question)
        elif isinstance(outcome, Turned):
            self.waiting = _with_reaction(outcome.waiting, answer)
            if outcome.words:
                self.ctx.say(outcome.words)
            if outcome.show:
                self._send(question)
        raise self.leave(Suspended())

    def _settle(self, question: Question, value: Any, answer: Answer) -> Any:
        self.append(question.kind, question.name, self.written(value), self.row.prompt)
        self.row.prompt, self.waiting, self.question = None, {}, None
        self.ctx.answerer = answer.person or self.row.owner
        return question.value(value)

    # Effects

    def once(self, kind: str, make: Callable[[], Any], name: str = "") -> Any:
        """A value that is made once and recorded: the time, a random number, a message."""
        entry = self.recorded(kind, name)
        if entry is not None:
            return self.read(lambda: codec.loads(entry.value))
        self.require_no_answer()
        value = make()
        self.append(kind, name, self.written(value))
        return value

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        final: bool = False,
        undo: str = "",
        raises: tuple[type[Exception], ...] = (),
        looks: bool = False,
    ) -> Any:
        """An effect outside: run, recorded and committed before anything else happens.

        Args:
            looks: it has no effect, so its record is committed with what comes next. What was stored before it is
                committed first, for it may read that.
        """
        entry = self.recorded("step", name)
        if entry is not None:
            result, raised = self.read(lambda: _result(entry))
            if raised is not None:
                raise raised
            return result
        self.require_no_answer()
        key = self.key()
        if not looks or self.ctx.unit.operations:
            await self.checkpoint()
        given = dict(kwargs)
        if KEY_PARAMETER in _parameters(function):
            given[KEY_PARAMETER] = key
        meta: dict[str, Any] = {"final": final, "undo": undo, "key": key}
        try:
            result = await _called(function, args, given)
        except raises as error:
            record = {**meta, "raised": json.loads(self.written(_anatomy(error)))}
            self.append("step", name, json.dumps(record))
            if not looks:
                await self.checkpoint()
            raise
        except Exception as error:
            raise self.leave(Interrupted(error)) from error
        self.append("step", name, json.dumps({**meta, "value": json.loads(self.written(result))}))
        if not looks:
            await self.checkpoint()
        return result

    async def do(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Effects through the unit of work: they and their record are one commit."""
        entry = self.recorded("do", name)
        if entry is not None:
            return self.read(lambda: codec.loads(entry.value))
        self.require_no_answer()
        try:
            result = await _called(function, (self.ctx, *args), kwargs)
        except Exception as error:
            raise self.leave(Interrupted(error)) from error
        self.append("do", name, self.written(result))
        return result

    # Commits

    async def checkpoint(self) -> None:
        """Commit what happened so far; after a crash the run goes on from here."""
        if self._running and self._saved == len(self.entries) and self.ctx.unit.empty and not self.ctx.starts:
            return  # by the last one
        self.ctx.hand_over()
        self.store(DialogState.RUNNING)
        try:
            await self.ctx.unit.checkpoint()
        except Exception as error:
            raise self.leave(Interrupted(error)) from error
        self._running = True

    def store(self, state: DialogState, error: str | None = None) -> None:
        """Have what happened so far committed with the unit."""
        row = self.row
        row.state = state
        row.cause = self.ctx.event.event_id
        row.updated_at = self.ctx.now_ms()
        row.entries = len(self.entries)
        row.error = error
        row.waiting = json.dumps(self.waiting) if self.waiting and state == DialogState.WAITING else None
        if state != DialogState.WAITING:
            row.prompt = None
        fresh = self.entries[self._saved :]
        change = Change(replace(row), self._saved, tuple(fresh), cut=self._cut)
        self.ctx.services.dialog_storage.save(self.ctx.unit, change)
        self.ctx.touched.add(row.id)
        row.revision += 1
        self._saved = len(self.entries)
        self._cut = False


def _with_reaction(waiting: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Which reactions have counted: a redaction names the event alone, and its content is gone by then."""
    reacted = dict(waiting.get("reacted", {}))
    if answer.kind == "reaction":
        reacted[answer.event_id] = answer.values[0]
    elif answer.kind == "unreaction":
        reacted.pop(answer.target, None)
    else:
        return waiting
    return {**waiting, "reacted": dict(list(reacted.items())[-MAX_REACTIONS:])}


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


async def _called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def _size(entry: EntryRow) -> int:
    """What an entry takes of a journal's size."""
    return len(entry.value) + len(entry.kind) + len(entry.name)


def _anatomy(error: Exception) -> list[Any]:
    """What an error is made of, to be recorded."""
    kind = type(error)
    if "<locals>" in kind.__qualname__:
        raise codec.Unrecordable(f"{kind.__qualname__} is made inside a function; define it in its module")
    return [f"{kind.__module__}:{kind.__qualname__}", list(error.args), dict(vars(error))]


def _result(entry: EntryRow) -> tuple[Any, Exception | None]:
    """The recorded result of a step, or the error that it raised."""
    record = json.loads(entry.value)
    if "raised" not in record:
        return codec.loads(json.dumps(record["value"])), None
    name, args, state = codec.loads(json.dumps(record["raised"]))
    kind = codec.find(name)
    # Put together again without its constructor, which may take other arguments than the error has.
    error: Exception = kind.__new__(kind, *args)
    error.args = tuple(args)
    vars(error).update(state)
    return None, error
