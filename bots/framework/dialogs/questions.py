"""Questions: how each is shown, and what an answer to it means."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from bots.framework import choices
from bots.framework import content as contents
from bots.framework.arguments import ArgumentError, InvalidValue, ParseEnv, parser_for, place_of
from bots.framework.arguments.places import Place
from bots.framework.choices import ChoicePrompt
from bots.framework.dialogs.answers import Answer, Attachment, Said
from bots.framework.i18n import Translator

if TYPE_CHECKING:
    from bots.framework.context import Context

KEPT_OPTIONS = 40
"""Of a question that is kept in memory."""

Waiting = dict[str, Any]
"""What an open question needs to know beside the function: JSON."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer, as it is recorded."""

    value: Any


@dataclass(frozen=True, slots=True)
class Again:
    """No answer: say ``words``, and show the question again when ``show``."""

    words: str
    show: bool = False


@dataclass(frozen=True, slots=True)
class Turned:
    """Not yet an answer: the question goes on with this."""

    waiting: Waiting
    show: bool = True
    words: str = ""


@dataclass(frozen=True, slots=True)
class NotMine:
    """Nothing that this question understands: it may be meant for somebody else; else say ``words``."""

    words: str


Outcome = Accepted | Again | Turned | NotMine


class Question(ABC):
    """One question of a dialog."""

    kind: ClassVar[str]
    text: str

    @property
    def name(self) -> str:
        """What it must be on a replay: a digest of its words."""
        return sha256(self.text.encode(errors="surrogatepass")).hexdigest()[:16]

    def first(self) -> Waiting:
        """What it knows before any answer."""
        return {}

    @abstractmethod
    def show(self, ctx: Context, waiting: Waiting, key: str) -> str:
        """Send it; the message's reference."""

    @abstractmethod
    def read(self, ctx: Context, answer: Answer, waiting: Waiting) -> Outcome:
        """What an answer means."""

    def value(self, recorded: Any) -> Any:
        """What the function gets for what is recorded."""
        return recorded

    @property
    def free(self) -> bool:
        """Whether any text may be its answer."""
        return True

    def hint(self, translator: Translator) -> str:
        """How to answer, for people who ask for help."""
        return translator.t("Write your answer.")

    def reader(self) -> Question | None:
        """What tells :class:`NotMine` from an answer as this question does and is small enough to be kept in memory;
        None when there is no such thing, or every text is an answer.
        """
        return None


@dataclass(frozen=True)
class Ask(Question):
    """A question that is answered in words, by a place or by a file."""

    kind: ClassVar[str] = "ask"
    text: str
    parse: Any = str
    validate: Callable[[Any], object] | None = None

    def first(self) -> Waiting:
        if self.parse is Attachment or self.parse is Said:
            return {"takes": ["media"]}
        return {"takes": ["location"]} if self.parse is Place else {}

    def show(self, ctx: Context, waiting: Waiting, key: str) -> str:
        return ctx.send(contents.text(self.text), key=key)

    def read(self, ctx: Context, answer: Answer, waiting: Waiting) -> Outcome:
        t = ctx.translator.t
        if answer.kind in {"reaction", "unreaction", "poll"}:
            return NotMine("")
        try:
            value = self._read(ctx, answer)
            if self.validate is not None:
                self.validate(value)
        except (InvalidValue, ArgumentError) as error:
            return Again(error.say(ctx.translator))
        except ValueError as error:
            return Again(t(str(error)) if str(error) else t("That does not fit. Please try again."))
        return Accepted(value)

    def _read(self, ctx: Context, answer: Answer) -> Any:
        if self.parse is Said:
            return Said(answer.text, dict(answer.content), answer.event_id, answer.person)
        if self.parse is Attachment:
            if answer.kind != "media":
                raise InvalidValue("dialog.no_attachment", "Please send a file or a picture.")
            return Attachment(dict(answer.content))
        if self.parse is Place and (shared := place_of(answer.content)) is not None:
            return shared
        if answer.kind == "media":
            raise InvalidValue("dialog.no_text", "Please answer in words.")
        if self.parse is str:
            if answer.kind == "location":
                raise InvalidValue("dialog.no_text", "Please answer in words.")
            return answer.text.strip()
        return call_parser(self.parse, answer.text, ctx.env(answer.content))


def call_parser(parse: Any, text: str, env: ParseEnv) -> Any:
    """A type, a parser ``(text, env)``, or a function of the text alone."""
    if not isinstance(parse, type) and callable(parse):
        try:
            takes = len(inspect.signature(parse).parameters)
        except (TypeError, ValueError):
            takes = 2
        if takes == 1:
            return parse(text)
    return parser_for(parse)(text, env)


def _is_number(text: str) -> bool:
    return text.strip().removeprefix("#").isdecimal()


@dataclass(frozen=True)
class Other:
    """What was said instead of an option, as it was read."""

    value: Any


@dataclass(frozen=True)
class Choose(Question):
    """A question with options."""

    kind: ClassVar[str] = "choose"
    prompt: ChoicePrompt
    values: Mapping[str, Any]
    """What the function gets for the value of an option."""
    poll: bool = False
    other: Any = None
    """Reads what is none of the options, in words or as a place; None: nothing else is an answer."""
    text: str = field(init=False)

    def __post_init__(self) -> None:
        options = "\n".join(f"{option.value}\0{option.label}" for option in self.prompt.options)
        object.__setattr__(self, "text", f"{self.prompt.question}\0{options}")

    @property
    def free(self) -> bool:
        return self.other is not None

    def first(self) -> Waiting:
        takes = {} if self.other is None else {"takes": ["location"]}
        return {"page": 1, "chosen": [], **takes}

    def _at(self, waiting: Waiting, key: str) -> ChoicePrompt:
        return replace(self.prompt, page=waiting["page"], chosen=tuple(waiting["chosen"]), id=key)

    def show(self, ctx: Context, waiting: Waiting, key: str) -> str:
        prompt = self._at(waiting, key.partition(":")[0])
        poll = choices.as_poll(prompt) if self.poll else None
        if poll is not None:
            asked = contents.Poll(
                poll.question,
                tuple(contents.Answer(answer.id, answer.text) for answer in poll.answers),
                poll.max_selections,
            )
            return ctx.send(contents.poll_start(asked), event_type=contents.POLL_START, key=key)
        rendered = choices.render(prompt, ctx.translator)
        content = {
            **contents.text(rendered.body),
            "format": "org.matrix.custom.html",
            "formatted_body": rendered.html,
            **rendered.content,
        }
        reference = ctx.send(content, key=key)
        for number, reaction in enumerate(rendered.reactions):
            ctx.react(reaction, reference, key=f"{key}:r{number}")
        return reference

    def read(self, ctx: Context, answer: Answer, waiting: Waiting) -> Outcome:
        prompt = self._at(waiting, waiting.get("key", ""))
        if answer.kind == "poll":
            match: choices.Match = choices.match_poll(prompt, answer.values)
        elif answer.kind in {"reaction", "unreaction"}:
            match = choices.match_reaction(prompt, answer.values[0], removed=answer.kind == "unreaction")
        elif answer.kind == "text":
            structured = choices.match_structured(prompt, answer.content)
            match = structured or choices.match_text(prompt, answer.text, ctx.translator)
            if isinstance(match, choices.NoMatch) and ctx.addressed and _is_number(answer.text):
                # A number of a list that is not the one at hand: whoever typed it needs to see that one.
                return Again(choices.explain(prompt, match, ctx.translator), show=True)
        elif answer.kind == "location":
            match = choices.NoMatch()
        else:
            return Again(choices.explain(prompt, choices.NoMatch(), ctx.translator), show=True)
        # What people say to each other in a group is no answer; a place that was asked for is.
        meant = answer.kind == "location" or (answer.kind == "text" and ctx.addressed)
        if self.other is not None and isinstance(match, choices.NoMatch) and meant:
            return self._else(ctx, answer)
        return self._outcome(ctx, prompt, match, waiting)

    def _else(self, ctx: Context, answer: Answer) -> Outcome:
        text = ctx.rest if answer.kind == "text" else answer.text
        try:
            return Accepted(Other(call_parser(self.other, text, ctx.env(answer.content))))
        except (InvalidValue, ArgumentError) as error:
            return Again(error.say(ctx.translator))

    def _outcome(self, ctx: Context, prompt: ChoicePrompt, match: choices.Match, waiting: Waiting) -> Outcome:
        words = choices.explain(prompt, match, ctx.translator)
        if isinstance(match, choices.Picked):
            return Accepted(list(match.values) if prompt.multiple else match.values[0])
        if isinstance(match, choices.Page):
            return Turned({**waiting, "page": match.number})
        if isinstance(match, choices.Ticked):
            return Turned({**waiting, "chosen": list(match.values)}, show=False)
        if isinstance(match, choices.NoMatch):
            return NotMine(words)
        return Again(words, show=isinstance(match, choices.Stale))

    def value(self, recorded: Any) -> Any:
        if isinstance(recorded, Other):
            return recorded.value
        if self.prompt.multiple:
            return [self.values[each] for each in recorded]
        return self.values[recorded]

    def hint(self, translator: Translator) -> str:
        return translator.t("Answer with the number or the name of an option, or react with its symbol.")

    def reader(self) -> Question | None:
        few = len(self.prompt.options) <= KEPT_OPTIONS and self.other is None
        return Choose(self.prompt, {}) if few else None  # without what the function gets, which may be anything


@dataclass(frozen=True)
class Vote(Choose):
    """A question that each of several people answers, until all have or the time is over."""

    kind: ClassVar[str] = "vote"
    voters: Sequence[str] = ()
    """Those whose votes end it early; empty: only time does."""

    def first(self) -> Waiting:
        return {"page": 1, "chosen": [], "votes": {}}

    def read(self, ctx: Context, answer: Answer, waiting: Waiting) -> Outcome:
        votes: dict[str, list[str]] = dict(waiting["votes"])
        if answer.kind == "timeout":
            return Accepted(votes)
        outcome = super().read(ctx, answer, waiting)
        if answer.kind == "unreaction":
            chosen = [value for value in votes.get(answer.person, []) if value not in self._reacted(answer)]
            votes[answer.person] = chosen
        elif isinstance(outcome, Accepted):
            votes[answer.person] = outcome.value if isinstance(outcome.value, list) else [outcome.value]
        elif isinstance(outcome, Turned) and answer.kind == "reaction":
            votes[answer.person] = list(dict.fromkeys([*votes.get(answer.person, []), *self._reacted(answer)]))
        else:
            return outcome
        if not votes[answer.person]:
            del votes[answer.person]
        if self.voters and set(self.voters) <= set(votes):
            return Accepted(votes)
        quiet = answer.kind in {"reaction", "unreaction", "poll"}
        words = "" if quiet else ctx.translator.t("Your vote is counted.")
        return Turned({**waiting, "votes": votes, "chosen": []}, show=False, words=words)

    def _reacted(self, answer: Answer) -> list[str]:
        match = choices.match_reaction(self.prompt, answer.values[0])
        return list(match.values) if isinstance(match, choices.Picked | choices.Ticked) else []

    def value(self, recorded: Any) -> Any:
        return {person: [self.values[each] for each in chosen] for person, chosen in recorded.items()}


@dataclass(frozen=True)
class Paid(Question):
    """A payment that is waited for. Nothing that is said in the chat makes it: only whoever moves the money does."""

    kind: ClassVar[str] = "pay"
    text: str
    memo: str = ""

    def show(self, ctx: Context, waiting: Waiting, key: str) -> str:
        words = ctx.translator.t("Waiting for your payment: {memo}", memo=self.memo or self.text)
        return ctx.send(contents.text(words), key=key)

    def read(self, ctx: Context, answer: Answer, waiting: Waiting) -> Outcome:
        if answer.kind == "payment":
            return Accepted(answer.values == ("paid",))
        t = ctx.translator.t
        return NotMine(t("I am waiting for your payment. Confirm it where you were asked to, or type “cancel”."))

    @property
    def free(self) -> bool:
        return False

    def hint(self, translator: Translator) -> str:
        return translator.t("Confirm the payment where you were asked to.")
