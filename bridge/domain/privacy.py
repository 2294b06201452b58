"""Who may do what with a person: what they have set, and for whom otherwise. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final


class What(StrEnum):
    """What somebody may do with, or see of, a person."""

    WRITE = "write"
    """Begin a direct chat."""
    ADD = "add"
    """Add to groups and channels."""
    CALL = "call"
    PRESENCE = "presence"
    """See whether they are here now."""
    LAST_SEEN = "last_seen"
    """See when they were here last."""
    RECEIPTS = "receipts"
    """See what they have read."""


class Audience(StrEnum):
    """To whom something is open."""

    EVERYBODY = "everybody"
    CONTACTS = "contacts"
    NOBODY = "nobody"


ASKED: Final = frozenset({What.WRITE, What.ADD})
"""What a stranger is not simply refused when it is for contacts: the person is asked."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person has set. Receipts are for everybody or for nobody: the homeserver knows no third way."""

    write: Audience = Audience.EVERYBODY
    add: Audience = Audience.EVERYBODY
    call: Audience = Audience.EVERYBODY
    presence: Audience = Audience.EVERYBODY
    last_seen: Audience = Audience.EVERYBODY
    receipts: Audience = Audience.EVERYBODY

    def __post_init__(self) -> None:
        for what in What:
            object.__setattr__(self, what.value, Audience(getattr(self, what.value)))
        if self.receipts is Audience.CONTACTS:
            raise ValueError("receipts are for everybody or for nobody")

    def of(self, what: What) -> Audience:
        """To whom ``what`` is open."""
        found: Audience = getattr(self, what.value)
        return found

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """With some values changed.

        Raises:
            ValueError: there is no such setting, or no such audience.
        """
        for name in values:
            What(name)
        return replace(self, **values)


OPEN: Final = Settings()
"""Of who has set nothing."""


@dataclass(frozen=True, slots=True)
class Relation:
    """What a person has said of somebody.

    Attributes:
        exceptions: what holds for this one whatever the settings say.
    """

    contact: bool = False
    blocked: bool = False
    exceptions: Mapping[What, bool] = field(default_factory=dict)


def allowed(settings: Settings, relation: Relation, what: What) -> bool:
    """Whether somebody in this relation to a person may. A block goes before everything."""
    if relation.blocked:
        return False
    exception = relation.exceptions.get(what)
    if exception is not None:
        return exception
    audience = settings.of(what)
    return audience is Audience.EVERYBODY or (audience is Audience.CONTACTS and relation.contact)


class Answer(StrEnum):
    """What becomes of an invitation."""

    ALLOW = "allow"
    ASK = "ask"
    """The person decides first."""
    REFUSE = "refuse"


def screen(settings: Settings, relation: Relation, what: What, *, declined: bool) -> Answer:
    """What becomes of an invitation by somebody.

    Args:
        declined: the person has said no to this one not long ago: then they are not asked again.
    """
    if allowed(settings, relation, what):
        return Answer.ALLOW
    may_ask = (
        what in ASKED
        and settings.of(what) is not Audience.NOBODY
        and not relation.blocked
        and relation.exceptions.get(what) is None
    )
    return Answer.ASK if may_ask and not declined else Answer.REFUSE


def rule(settings: Settings, what: What, relations: Iterable[tuple[str, Relation]]) -> tuple[bool, list[str]]:
    """Settings as the homeserver's module takes them: whether everybody may, and for whom it is the other way round.

    Args:
        relations: everybody of whom the person has said anything.
    """
    everybody = settings.of(what) is Audience.EVERYBODY
    return everybody, sorted(name for name, one in relations if allowed(settings, one, what) != everybody)
