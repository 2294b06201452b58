"""What stands on a page: data, whose texts are in the reader's language already. How it looks is the renderer's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """The sign that says how something ended, beside the words that say it too."""

    NONE = ""
    DONE = "done"
    WAITING = "waiting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that the reader decides on: “To”, “Bob”.

    Attributes:
        detail: below the value, smaller: the full id below a name.
    """

    label: str
    value: str
    detail: str = ""


class FieldKind(StrEnum):
    """What is typed or chosen."""

    PIN = "pin"
    TEXT = "text"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several. ``hint`` explains it."""

    value: str
    label: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """Something to fill in.

    Attributes:
        error: what is wrong with what was filled in.
        value: stands there already; never that of a PIN.
        choices: of :attr:`FieldKind.CHOICE`.
    """

    name: str
    label: str
    kind: FieldKind = FieldKind.TEXT
    hint: str = ""
    error: str = ""
    value: str = ""
    choices: Sequence[Choice] = ()


class Weight(StrEnum):
    """How much a button stands out."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class Button:
    """Sends the form, with ``action`` for what is to be done. The first is what Enter does."""

    action: str
    label: str
    weight: Weight = Weight.PRIMARY


@dataclass(frozen=True, slots=True)
class Way:
    """A link that leads away from the page, and looks like a button."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing. ``svg``: an element of our own making, which is not escaped; ``alt`` says what it shows."""

    svg: str
    alt: str


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page. With buttons it is a form.

    Attributes:
        lead: a sentence or two below the title.
        amount: the one number that the page is about, large.
        caution: what to look at twice before going on.
        problem: what is wrong and belongs to no field.
        texts: paragraphs between the facts and the form.
        ways: where else to go, below the form.
        picture: below them.
        closing: what to do next, or what else to know, at the end.
        status: of the answer over HTTP.
        retry_after: seconds, where trying again makes sense later only.
    """

    title: str
    lead: str = ""
    amount: str = ""
    mark: Mark = Mark.NONE
    facts: Sequence[Fact] = ()
    texts: Sequence[str] = ()
    caution: str = ""
    problem: str = ""
    fields: Sequence[Field] = ()
    buttons: Sequence[Button] = ()
    ways: Sequence[Way] = ()
    picture: Picture | None = None
    closing: str = ""
    status: int = 200
    retry_after: int | None = None

    @property
    def wrong(self) -> tuple[Field, ...]:
        """The fields with something wrong."""
        return tuple(each for each in self.fields if each.error)

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return bool(self.problem or self.wrong)
