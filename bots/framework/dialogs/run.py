"""One run of a dialog's function: what is recorded is given back, and at the first thing that is not, it acts."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from appservice import json
from appservice.errors import RialtoError
from bots.framework.dialogs import codec
from bots.framework.dialogs.answers import Answer
from bots.framework.dialogs.errors import Changed, DialogTooLong, Interrupted, Suspended
from bots.framework.dialogs.questions import Accepted, Again, NotMine, Question, Turned
from bots.store.dialogs import Change, DialogRow, EntryRow
from bots.store.tables import DialogState

if TYPE_CHECKING:
    from bots.framework.context import Context

MAX_ENTRIES: Final = 1_000
MAX_SIZE: Final = 256 * 1024
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
        self.default: Any = None
        self.frontier: tuple[int, str, str] | None = None
        self.waiting: dict[str, Any] = {} if row.waiting is None else json.loads(row.waiting)
        self._answer = answer
        self._show = show
        self._only_look = only_look
        self._cursor = 0
        self._saved = len(entries)
        self._cut = False
        self._strict = ctx.services.strict

    @property
    def position(self) -> int:
        """Where in the journal the function is."""
        return self._cursor

    def key(self, what: str = "") -> str:
        """The stable key of what the dialog does here: another one after it was taken back."""
        return f"{self.row.id}/{self.row.epoch}/{self._cursor}{':' if what else ''}{what}"

    def truncate(self, position: int) -> None:
        """Take everything from ``position`` on back, before the run."""
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
        if self._cursor >= len(self.entries):
            if self._only_look:
                self.frontier = (self._cursor, kind, name)
                raise Suspended
            return None
        entry = self.entries[self._cursor]
        if entry.kind != kind or ((self._strict or kind in {"step", "do"}) and entry.name != name):
            raise Changed(f"entry {self._cursor} is {entry.kind} {entry.name}, and now {kind} {name}")
        self._cursor += 1
        return entry

    def append(self, kind: str, name: str, value: bytes, prompt: str | None = None) -> None:
        """Record something that happened."""
        entry = EntryRow(kind, name, value, prompt, self.ctx.now_ms())
        self.row.size += len(value) + len(kind) + len(name)
        self.entries.append(entry)
        self._cursor += 1
        if len(self.entries) > MAX_ENTRIES or self.row.size > MAX_SIZE:
            raise Interrupted(
                DialogTooLong(
                    f"the journal of {self.row.name} has {len(self.entries)} entries and {self.row.size} bytes; "
                    f"it may have {MAX_ENTRIES} and {MAX_SIZE}",
                    dialog=self.row.name,
                )
            )

    def require_no_answer(self) -> None:
        """What is at hand is no question, so an answer to one does not belong here."""
        if self._answer is not None:
            raise Changed(f"entry {self._cursor} was a question")

    # Questions

    async def ask(
        self,
        question: Question,
        *,
        timeout: Any = None,
        remind: Any = None,
        default: Any = None,
        before: Callable[[str], Awaitable[None]] | None = None,
    ) -> Any:
        """The recorded answer; or take the one that came; or ask and leave."""
        entry = self.recorded(question.kind, question.name)
        if entry is not None:
            try:
                return question.value(codec.loads(entry.value))
            except (KeyError, TypeError, AttributeError) as error:
                raise Changed(f"{question.kind}: {type(error).__name__}") from None
        self.question, self.timeout, self.remind, self.default = question, timeout, remind, default
        answer, self._answer = self._answer, None
        if answer is not None:
            return self._take(question, answer)
        if not self.waiting:
            self.waiting = question.first()
            if before is not None:
                await before(self.key())
        if self.row.prompt is None or self._show:
            self._send(question)
        raise Suspended

    def _send(self, question: Question) -> None:
        shown = self.waiting.get("shown", 0)
        self.waiting = {**self.waiting, "shown": shown + 1, "key": self.key(str(shown)).partition(":")[0]}
        self.row.prompt = question.show(self.ctx, self.waiting, self.key(str(shown)))

    def _take(self, question: Question, answer: Answer) -> Any:
        if answer.kind == "timeout" and question.kind != "vote":
            return self._settle(question, self.default, answer)
        outcome = question.read(self.ctx, answer, self.waiting)
        if isinstance(outcome, Accepted):
            return self._settle(question, outcome.value, answer)
        if isinstance(outcome, NotMine):
            raise NotAnAnswer(outcome.words)
        if isinstance(outcome, Again):
            if outcome.words:
                self.ctx.say(outcome.words)
            if outcome.show:
                self._send(question)
        elif isinstance(outcome, Turned):
            self.waiting = outcome.waiting
            if outcome.words:
                self.ctx.say(outcome.words)
            if outcome.show:
                self._send(question)
        raise Suspended

    def _settle(self, question: Question, value: Any, answer: Answer) -> Any:
        self.append(question.kind, question.name, codec.dumps(value), self.row.prompt)
        self.row.prompt, self.waiting, self.question = None, {}, None
        self.ctx.answerer = answer.person or self.row.owner
        return question.value(value)

    # Effects

    def once(self, kind: str, make: Callable[[], Any], name: str = "") -> Any:
        """A value that is made once and recorded: the time, a random number, a message."""
        entry = self.recorded(kind, name)
        if entry is not None:
            return codec.loads(entry.value)
        self.require_no_answer()
        value = make()
        self.append(kind, name, codec.dumps(value))
        return value

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        final: bool,
        undo: str,
        raises: tuple[type[Exception], ...],
    ) -> Any:
        """An effect outside: run, recorded and committed before anything else happens."""
        entry = self.recorded("step", name)
        if entry is not None:
            return _result(entry)
        self.require_no_answer()
        key = self.key()
        await self.checkpoint()
        given = dict(kwargs)
        if KEY_PARAMETER in _parameters(function):
            given[KEY_PARAMETER] = key
        meta: dict[str, Any] = {"final": final, "undo": undo, "key": key}
        try:
            result = await _called(function, args, given)
            value = json.dumps({**meta, "value": json.loads(codec.dumps(result))})
        except raises as error:
            self.append("step", name, _failure(meta, error))
            await self.checkpoint()
            raise
        except Exception as error:  # whatever it is: the plugin must not go on as if it had not been tried
            raise Interrupted(error) from error
        self.append("step", name, value)
        await self.checkpoint()
        return result

    async def do(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Effects through the unit of work: they and their record are one commit."""
        entry = self.recorded("do", name)
        if entry is not None:
            return codec.loads(entry.value)
        self.require_no_answer()
        try:
            result = await _called(function, (self.ctx, *args), kwargs)
        except Exception as error:  # as above
            raise Interrupted(error) from error
        self.append("do", name, codec.dumps(result))
        return result

    # Commits

    async def checkpoint(self) -> None:
        """Commit what happened so far; after a crash the run goes on from here."""
        self.store(DialogState.RUNNING)
        try:
            await self.ctx.unit.checkpoint()
        except Exception as error:  # the database's, not the plugin's
            raise Interrupted(error) from error

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
        row.revision += 1
        self._saved = len(self.entries)
        self._cut = False


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


async def _called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def _failure(meta: Mapping[str, Any], error: Exception) -> bytes:
    kind = type(error)
    # An error that speaks to people is made anew of its sentence; its arguments are its text otherwise.
    said = [error.human] if isinstance(error, RialtoError) else [str(error)]
    return json.dumps({**meta, "raised": f"{kind.__module__}:{kind.__qualname__}", "said": said})


def _result(entry: EntryRow) -> Any:
    record = json.loads(entry.value)
    if "raised" in record:
        raise codec.find(record["raised"])(*record["said"])
    return codec.loads(json.dumps(record["value"]))
