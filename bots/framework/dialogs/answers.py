"""What people answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal


class NotGiven(Enum):
    """The type of :data:`NOT_GIVEN`, where None is a value like any other."""

    NOT_GIVEN = "not given"


AnswerKind = Literal["text", "media", "location", "reaction", "unreaction", "poll", "payment", "timeout"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One event that may answer a question."""

    kind: AnswerKind
    person: str
    event_id: str
    text: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    """Of a poll: the ids; of a reaction: its key."""
    target: str = ""
    """The message it refers to: a reply, a reaction, a vote."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a person sent, as they sent it: send it on with ``ctx.send(attachment.content)``.

    Ask for one with ``parse=Attachment``.
    """

    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The file's name, or what it was described with."""
        name = self.content.get("filename", self.content.get("body"))
        return name if isinstance(name, str) else ""

    @property
    def kind(self) -> str:
        """image, file, audio or video."""
        msgtype = self.content.get("msgtype")
        return msgtype.removeprefix("m.") if isinstance(msgtype, str) else "file"


@dataclass(frozen=True, slots=True)
class Said:
    """Whatever a person said, text or file. Ask for it with ``parse=Said``."""

    text: str
    content: Mapping[str, Any]
    event_id: str
    person: str

    @property
    def attachment(self) -> Attachment | None:
        """The file, when it is one."""
        return Attachment(self.content) if "url" in self.content or "file" in self.content else None
