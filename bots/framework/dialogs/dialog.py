"""What a dialog's function is given: ``d``."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import sha256
from types import UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin, overload

from pydantic import BaseModel, TypeAdapter, ValidationError

from bots.domain.money import Money
from bots.framework import choices
from bots.framework import content as contents
from bots.framework.arguments import ParseEnv
from bots.framework.choices import Option
from bots.framework.dialogs.answers import NotGiven
from bots.framework.dialogs.errors import Ended
from bots.framework.dialogs.payments import Payment, PaymentsMissing
from bots.framework.dialogs.questions import Ask, Choose, Paid, Vote
from bots.framework.dialogs.run import Run

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
M = TypeVar("M", bound=BaseModel)


class Dialog:
    """A conversation with one person, or with some people in a group.

    The function runs from its start on every answer: each ``await d.…`` gives back what is recorded, until the first
    that has nothing recorded acts. So between two of them it must do the same every time: the time, random numbers and
    everything from outside come through ``d`` too.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    # Who and where

    @property
    def person(self) -> str:
        """The user id of the person who began it."""
        return self._run.row.owner

    @property
    def people(self) -> tuple[str, ...]:
        """Who may answer; ``*`` is everybody in the room."""
        return self._run.row.people

    @property
    def room_id(self) -> str:
        """The room it takes place in."""
        return self._run.row.room_id

    @property
    def id(self) -> str:
        """The dialog's id, the same for its whole life."""
        return self._run.row.id

    def t(self, text: str, /, **values: Any) -> str:
        """A text of the plugin in the person's language."""
        return self._run.ctx.translator.t(text, **values)

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        """A text for ``count`` things in the person's language."""
        return self._run.ctx.translator.n(one, many, count, **values)

    # Questions

    @overload
    async def ask(
        self,
        question: str,
        *,
        parse: type[T],
        validate: Callable[[T], object] | None = None,
        timeout: timedelta | None = None,
        remind: timedelta | None = None,
        default: T | NotGiven | None = NotGiven.NOT_GIVEN,
    ) -> T: ...

    @overload
    async def ask(
        self,
        question: str,
        *,
        parse: Callable[[str, ParseEnv], T] | Callable[[str], T],
        validate: Callable[[T], object] | None = None,
        timeout: timedelta | None = None,
        remind: timedelta | None = None,
        default: T | NotGiven | None = NotGiven.NOT_GIVEN,
    ) -> T: ...

    @overload
    async def ask(
        self,
        question: str,
        *,
        validate: Callable[[str], object] | None = None,
        timeout: timedelta | None = None,
        remind: timedelta | None = None,
        default: str | NotGiven | None = NotGiven.NOT_GIVEN,
    ) -> str: ...

    async def ask(
        self,
        question: str,
        *,
        parse: Any = str,
        validate: Callable[[Any], object] | None = None,
        timeout: timedelta | None = None,
        remind: timedelta | None = None,
        default: Any = NotGiven.NOT_GIVEN,
    ) -> Any:
        """Ask for words, a place or a file; asks again until the answer can be read.

        Args:
            question: what to ask.
            parse: a type (int, Money, Place, date, an Enum, ``Attachment``, ``Said``, …) or a function of the text.
            validate: raises ValueError with a sentence for the person when the value does not do.
            timeout: without an answer for so long the dialog ends with a word, or goes on with ``default``.
            remind: without an answer for so long the question is asked again, once.
            default: what a time-out gives, instead of the end; None is a value too.
        """
        asked = Ask(question, parse, validate)
        return await self._run.ask(asked, timeout=timeout, remind=remind, default=default)

    @overload
    async def choose(
        self,
        question: str,
        options: type[E],
        *,
        poll: bool = ...,
        page_size: int = ...,
        timeout: timedelta | None = ...,
    ) -> E: ...

    @overload
    async def choose(
        self,
        question: str,
        options: Sequence[Option],
        *,
        poll: bool = ...,
        page_size: int = ...,
        timeout: timedelta | None = ...,
    ) -> Option: ...

    @overload
    async def choose(
        self,
        question: str,
        options: Sequence[str],
        *,
        poll: bool = ...,
        page_size: int = ...,
        timeout: timedelta | None = ...,
    ) -> str: ...

    @overload
    async def choose(
        self,
        question: str,
        options: Mapping[str, T],
        *,
        poll: bool = ...,
        page_size: int = ...,
        timeout: timedelta | None = ...,
    ) -> T: ...

    async def choose(
        self,
        question: str,
        options: Any,
        *,
        poll: bool = False,
        page_size: int = 10,
        timeout: timedelta | None = None,
    ) -> Any:
        """Have one option chosen: by number, label, reaction, poll or a button of Rialto's own clients.

        Args:
            question: what to ask.
            options: labels, :class:`Option` objects, an Enum, or labels and what each stands for. What stands in the
                list is given back.
            poll: ask by a poll event, which clients draw; others show it as numbered text.
            page_size: so many are shown at once, 20 at most; ``more`` and ``back`` turn the pages.
            timeout: without an answer for so long the dialog ends with a word.
        """
        prompt, values = _options(question, options, page_size=page_size)
        return await self._run.ask(Choose(prompt, values, poll), timeout=timeout)

    async def choose_or(
        self,
        question: str,
        options: Sequence[Option],
        other: Callable[[str, ParseEnv], T],
        *,
        page_size: int = 10,
        timeout: timedelta | None = None,
    ) -> Option | T:
        """Have one option chosen, or something else said: a saved place, or another one that is shared or written.

        Args:
            question: what to ask.
            options: what is offered; the one that was chosen is given back.
            other: reads what is none of them, words or a shared place (``env.content``); raises InvalidValue.
            page_size: so many are shown at once, 20 at most.
            timeout: without an answer for so long the dialog ends with a word.
        """
        prompt, values = _options(question, options, page_size=page_size)
        return cast("Option | T", await self._run.ask(Choose(prompt, values, other=other), timeout=timeout))

    @overload
    async def choose_many(
        self,
        question: str,
        options: type[E],
        *,
        minimum: int = ...,
        maximum: int | None = ...,
        poll: bool = ...,
        page_size: int = ...,
        timeout: timedelta | None = ...,
    ) -> list[E]: ...

    @overload
    async def choose_many(
        self,
        question: str,
        options: Sequence[Option],
        *,
        minimum: int = ...,
        maximum: int | None = ...,
        poll: bool = ...,
        page_size: int = ...,
        timeout: timedelta | None = ...,
    ) -> list[Option]: ...

    @overload
    async def choose_many(
        self,
        question: str,
        options: Sequence[str],
        *,
        minimum: int = ...,
        maximum: int | None = ...,
        poll: bool = ...,
        page_size: int = ...,
        timeout: timedelta | None = ...,
    ) -> list[str]: ...

    @overload
    async def choose_many(
        self,
        question: str,
        options: Mapping[str, T],
        *,
        minimum: int = ...,
        maximum: int | None = ...,
        poll: bool = ...,
        page_size: int = ...,
        timeout: timedelta | None = ...,
    ) -> list[T]: ...

    async def choose_many(
        self,
        question: str,
        options: Any,
        *,
        minimum: int = 1,
        maximum: int | None = None,
        poll: bool = False,
        page_size: int = 10,
        timeout: timedelta | None = None,
    ) -> list[Any]:
        """Have several options chosen: “1 and 3”, labels, several reactions and then the one for done.

        Args:
            question: what to ask.
            options: as of :meth:`choose`; what was chosen is given back, in the order of the list.
            minimum: so many at least; with 0 the answer may be “none”.
            maximum: so many at most.
            poll: ask by a poll event, which clients draw.
            page_size: so many are shown at once.
            timeout: without an answer for so long the dialog ends with a word.
        """
        prompt, values = _options(question, options, page_size=page_size)
        prompt = replace(prompt, multiple=True, minimum=minimum, maximum=maximum)
        return cast(list[Any], await self._run.ask(Choose(prompt, values, poll), timeout=timeout))

    async def confirm(self, question: str, *, timeout: timedelta | None = None) -> bool:
        """Yes or no, by word or reaction, in the person's language or in English."""
        prompt = choices.confirm(question, self._run.ctx.translator)
        values = {option.value: option.value == "yes" for option in prompt.options}
        return bool(await self._run.ask(Choose(prompt, values), timeout=timeout))

    async def vote(
        self,
        question: str,
        options: Sequence[str],
        *,
        until: timedelta | datetime,
        voters: Collection[str] = (),
        multiple: bool = False,
        poll: bool = True,
    ) -> dict[str, list[str]]:
        """Have the people of a group dialog vote, until all of ``voters`` have or the time is over.

        Args:
            question: what to ask.
            options: labels.
            until: how long, or until when.
            voters: user ids; nobody in particular: only time ends it.
            multiple: whether one may vote for several.
            poll: by a poll event; otherwise as numbered text, answered like a choice.

        Returns:
            The chosen labels by user id; who did not vote is not in it.
        """
        prompt, values = _options(question, options)
        prompt = replace(prompt, multiple=multiple, maximum=None)
        asked = Vote(prompt, values, poll, voters=tuple(voters))
        votes = cast(dict[str, list[str]], await self._run.ask(asked, timeout=until))
        if poll and choices.as_poll(prompt) is not None:
            self._end_poll()
        return votes

    def _end_poll(self) -> None:
        """Tell clients that the poll of the question that was answered last takes no more votes."""
        run = self._run
        start = run.entries[run.position - 1].prompt

        def send() -> str:
            content = contents.poll_end(start or "", translator=run.ctx.translator)
            return run.ctx.send(content, event_type=contents.POLL_END, key=run.key())

        if start is not None:
            run.once("say", send, "poll end")

    async def form(self, model: type[M], questions: Mapping[str, str] | None = None) -> M:
        """Ask for each field of a pydantic model, one after the other; ``back`` goes a field back.

        The question is the field's ``description``, or what ``questions`` says; an Enum or a Literal is a choice, a
        bool a yes or no. A value that the model refuses is asked for again.
        """
        given: dict[str, Any] = {}
        for name, field in model.model_fields.items():
            question = (questions or {}).get(name) or field.description or name.replace("_", " ").capitalize()
            kind = _plain(field.annotation)
            adapter: TypeAdapter[Any] = TypeAdapter(
                field.rebuild_annotation() if field.annotation is not None else Any, config={"extra": "forbid"}
            )
            if kind is bool:
                given[name] = await self.confirm(question)
            elif isinstance(kind, type) and issubclass(kind, Enum):
                given[name] = await self.choose(question, kind)
            elif get_origin(kind) is Literal:
                given[name] = await self.choose(question, {str(value): value for value in get_args(kind)})
            else:
                given[name] = await self.ask(question, parse=kind or str, validate=_checked(adapter))
        return model(**given)

    async def pay(self, total: Money, *, to: str, memo: str) -> bool:
        """Have the person pay; whether they did. The payment is confirmed with the wallet, never here."""
        run = self._run
        payments = run.ctx.services.payments
        if payments is None:
            raise PaymentsMissing("there is no wallet to pay with", dialog=run.row.name)

        async def request(key: str) -> None:
            row = run.row
            payment = Payment(key, row.owner, total, to, memo, row.consumer, row.room_id, row.id)
            await payments.request(payment, run.ctx.unit)

        return bool(await run.ask(Paid(f"{total} {to} {memo}", memo), before=request))

    # Effects

    async def say(self, text: str, *, html: str | None = None) -> str:
        """Send a text; its reference. ``html`` makes it nicer where it is shown."""
        content = contents.text(text) if html is None else {**contents.html(html), "body": text}
        return await self.send(content)

    async def markdown(self, source: str) -> str:
        """Send Markdown; its reference."""
        return await self.send(contents.markdown(source, translator=self._run.ctx.translator))

    async def send(self, content: Mapping[str, Any]) -> str:
        """Send a message event's content; its reference."""
        run = self._run
        name = sha256(repr(sorted(content.items())).encode(errors="surrogatepass")).hexdigest()[:16]
        return str(run.once("say", lambda: run.ctx.send(content, key=run.key()), name))

    @overload
    async def step(
        self,
        name: str,
        function: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        final: bool = ...,
        undo: str = ...,
        raises: tuple[type[Exception], ...] = ...,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def step(
        self,
        name: str,
        function: Callable[..., T],
        /,
        *args: Any,
        final: bool = ...,
        undo: str = ...,
        raises: tuple[type[Exception], ...] = ...,
        **kwargs: Any,
    ) -> T: ...

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        final: bool = False,
        undo: str = "",
        raises: tuple[type[Exception], ...] = (),
        **kwargs: Any,
    ) -> Any:
        """Do something outside, once, and record its result; later runs get the result.

        A crash in the very moment between the effect and its record makes it happen again: a parameter of the function
        called ``idempotency_key`` gets a key that is the same then.

        Args:
            final: ``back`` does not go behind it.
            undo: the name of a method of the plugin ``(self, result)`` that takes it back when ``back`` goes behind it.
            raises: errors that are recorded too, and raised again in later runs. Any other makes the engine try again.
        """
        return await self._run.step(name, function, args, kwargs, final=final, undo=undo, raises=raises)

    @overload
    async def look(
        self,
        name: str,
        function: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        raises: tuple[type[Exception], ...] = ...,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def look(
        self,
        name: str,
        function: Callable[..., T],
        /,
        *args: Any,
        raises: tuple[type[Exception], ...] = ...,
        **kwargs: Any,
    ) -> T: ...

    async def look(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        raises: tuple[type[Exception], ...] = (),
        **kwargs: Any,
    ) -> Any:
        """Read something outside, and record what was found; later runs get that.

        A step without effects: it costs no commit of its own, and a crash before the next one has it read again. What
        the dialog and its handler have stored before is in the database when it reads.

        Args:
            raises: errors that are recorded too, and raised again in later runs. Any other makes the engine try again.
        """
        return await self._run.step(name, function, args, kwargs, raises=raises, looks=True)

    @overload
    async def do(self, name: str, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T: ...

    @overload
    async def do(self, name: str, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...

    async def do(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run ``function(ctx, …)``, whose effects through ``ctx`` (state, schedules, messages, transfers) are committed
        together with the record that it ran: exactly once.
        """
        return await self._run.do(name, function, args, kwargs)

    async def now(self) -> datetime:
        """The time, aware (UTC), the same in every run."""
        return cast(datetime, self._run.once("now", lambda: datetime.fromtimestamp(self._run.ctx.now_ms() / 1000, UTC)))

    async def random(self) -> float:
        """A random number from 0 up to 1, the same in every run."""
        return float(self._run.once("random", random.SystemRandom().random))

    async def answerer(self) -> str:
        """The user id of the person who answered last."""
        return str(self._run.once("answerer", lambda: self._run.ctx.answerer or self._run.row.owner))

    async def end(self, text: str | None = None) -> NoReturn:
        """End the dialog here, with a word."""
        if text is not None:
            await self.say(text)
        raise self._run.leave(Ended())


def _options(question: str, options: Any, *, page_size: int = 10) -> tuple[choices.ChoicePrompt, dict[str, Any]]:
    """A prompt, and what each option's value stands for."""
    if isinstance(options, type) and issubclass(options, Enum):
        members = list(options)
        found = [Option(member.name, _label(member)) for member in members]
        values: dict[str, Any] = {member.name: member for member in members}
    elif isinstance(options, Mapping):
        found = list(choices.options_of(tuple(options)))
        values = {option.value: options[label] for option, label in zip(found, options, strict=True)}
    else:
        found = list(choices.options_of(tuple(options)))
        values = {option.value: given for option, given in zip(found, options, strict=True)}
    return choices.ChoicePrompt(question, found, page_size=page_size), values


def _label(member: Enum) -> str:
    value = member.value
    return value if isinstance(value, str) else member.name.replace("_", " ").capitalize()


def _plain(annotation: Any) -> Any:
    """The type inside ``X | None``."""
    if get_origin(annotation) in {Union, UnionType}:
        inner = [each for each in get_args(annotation) if each is not type(None)]
        return inner[0] if len(inner) == 1 else str
    return annotation


def _checked(adapter: TypeAdapter[Any]) -> Callable[[Any], object]:
    def check(value: Any) -> None:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"]) from None

    return check
