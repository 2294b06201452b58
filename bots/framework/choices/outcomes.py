"""What an answer to a prompt can mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bots.framework.choices.options import ChoicePrompt, Option
from bots.framework.i18n.translator import Translator


@dataclass(frozen=True, slots=True)
class Picked:
    """The answer: values of options, each once, in the order of the options; empty when none were wanted."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    """Not yet the answer: these values are ticked now; the prompt goes on with ``chosen=values``."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Another page is wanted; the prompt goes on with ``page=number``."""

    number: int


@dataclass(frozen=True, slots=True)
class NoMatch:
    """No option. ``nearest`` are those that may be meant: they are offered, never taken."""

    nearest: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several options fit."""

    candidates: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class TooFew:
    """Fewer options than must be chosen."""

    count: int
    minimum: int


@dataclass(frozen=True, slots=True)
class TooMany:
    """More options than may be chosen."""

    count: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Stale:
    """A structured answer to another prompt than the open one; the open one is to be shown again."""

    prompt: str


Match: TypeAlias = Picked | Ticked | Page | NoMatch | Ambiguous | TooFew | TooMany | Stale


def explain(prompt: ChoicePrompt, match: Match, translator: Translator) -> str:
    """What to say about an answer that chose nothing; empty for an outcome that needs no words."""
    t = translator.t
    if isinstance(match, NoMatch):
        if not match.nearest:
            return t("That is none of the options.")
        return t("That is none of the options. Did you mean {options}?", options=_listed(prompt, match.nearest))
    if isinstance(match, Ambiguous):
        first = _number(prompt, match.candidates[0])
        return t(
            "Several options fit: {options}. Please answer with # and the number, such as “#{number}”.",
            options=_listed(prompt, match.candidates[:5]),
            number=first,
        )
    if isinstance(match, TooFew):
        return translator.n(
            "Please choose at least {count} option.", "Please choose at least {count} options.", match.minimum
        )
    if isinstance(match, TooMany):
        return translator.n(
            "Please choose at most {count} option.", "Please choose at most {count} options.", match.maximum
        )
    if isinstance(match, Stale):
        return t("That was an answer to an earlier question. This is the current one:")
    return ""


def _number(prompt: ChoicePrompt, option: Option) -> int:
    return prompt.options.index(option) + 1


def _listed(prompt: ChoicePrompt, options: tuple[Option, ...]) -> str:
    return ", ".join(f"“{_number(prompt, option)}. {option.label}”" for option in options)
