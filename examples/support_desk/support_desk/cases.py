"""What a case is, and what of a message goes to the other side. Pure: no room, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from bots.framework.content import strip_reply_fallback

_KEPT: Final = (
    "msgtype",
    "body",
    "filename",
    "url",
    "file",
    "info",
    "geo_uri",
    "org.matrix.msc1767.audio",
    "org.matrix.msc3245.voice",
)
"""Of a message. Not its relations and mentions, and not its formatted body: a mention hides a user id in a link."""
LONGEST: Final = 10_000
"""Characters of a text from outside: an event holds 65,536 bytes."""
NOTE: Final = "//"
"""What staff begin with stays among them."""


class Case(BaseModel):
    """Somebody's question."""

    number: int
    topic: str
    room: str = ""
    """The chat with the person; empty for somebody without one, who wrote on the website."""
    name: str = ""
    contact: str = ""
    """How to reach somebody without a chat."""
    state: Literal["open", "closed"] = "open"
    assignee: str = ""
    root: str = ""
    """The event that the thread begins with; empty until it is known."""

    @property
    def key(self) -> str:
        """What its first message in the staff room is sent with."""
        return f"case:{self.number}"

    def card(self) -> str:
        """The first message of its thread."""
        who = self.name + (f" <{self.contact}>" if self.contact else "")
        state = "closed" if self.state == "closed" else f"for {self.assignee}" if self.assignee else "open"
        return f"#{self.number} {self.topic} – {who} [{state}]"


class Form(BaseModel):
    """What the website's form sends."""

    name: str = Field(max_length=80)
    topic: str = Field(max_length=80)
    text: str = Field(max_length=LONGEST)
    contact: str = Field("", max_length=200)
    user: str = Field("", pattern="^(@[^:]+:.+)?$", max_length=255)
    """The Matrix user id of somebody who gave one: they are answered in a chat."""


class News(BaseModel):
    """What another service tells the staff, of a case or of none."""

    text: str = Field(max_length=LONGEST)
    case: int | None = None
    person: bool = False
    """Whether the person is told, too."""


def relayed(content: Mapping[str, Any], hidden: Iterable[str] = (), instead: str = "") -> dict[str, Any]:
    """A message as the other side gets it: what it says, and nothing of who said it.

    Args:
        hidden: user ids that must not be in it.
        instead: stands where one was.
    """
    copy = {key: content[key] for key in _KEPT if key in content}
    body = copy.get("body")
    body = strip_reply_fallback(body) if isinstance(body, str) else ""
    for user_id in hidden:
        body = body.replace(user_id, instead)
    return {**copy, "body": body, "m.mentions": {}}


def stays_inside(text: str) -> bool:
    """Whether what staff wrote is a note among them, or meant as a command."""
    return text.lstrip().startswith((NOTE, "!"))
