"""Choices: how options are shown to people, and which option an answer means. Pure.

One prompt goes out as one message (:func:`render`), and each way in which clients can answer has its reader: words
and numbers (:func:`match_text`), a reaction, a poll, the structured answer of Rialto's own clients. All of them give
one of the same outcomes, so that a dialog handles an answer without knowing where it came from.
"""

from bots.framework.choices.matching import match_poll, match_reaction, match_structured, match_text
from bots.framework.choices.options import ChoicePrompt, InvalidChoices, Option, confirm, options_of
from bots.framework.choices.outcomes import (
    Ambiguous,
    Match,
    NoMatch,
    Page,
    Picked,
    Stale,
    Ticked,
    TooFew,
    TooMany,
    explain,
)
from bots.framework.choices.rendering import Poll, PollAnswer, Rendered, as_poll, render, render_chosen

__all__ = [
    "Ambiguous",
    "ChoicePrompt",
    "InvalidChoices",
    "Match",
    "NoMatch",
    "Option",
    "Page",
    "Picked",
    "Poll",
    "PollAnswer",
    "Rendered",
    "Stale",
    "Ticked",
    "TooFew",
    "TooMany",
    "as_poll",
    "confirm",
    "explain",
    "match_poll",
    "match_reaction",
    "match_structured",
    "match_text",
    "options_of",
    "render",
    "render_chosen",
]
