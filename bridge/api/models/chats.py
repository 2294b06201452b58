"""Chats and channels, and what holds for them: timers, retention, holds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bridge.api.models.common import (
    Body,
    ChatRef,
    EventId,
    ExternalId,
    Moment,
    Mxc,
    Page,
    PageQuery,
    PersonRef,
    View,
    line,
    text,
)

KindWord = Literal["direct", "group", "channel", "service"]


class NewChat(Body):
    """A chat of the product's."""

    kind: KindWord
    name: line(200, blank=True) = Field("", description="Must be there, but of a direct chat.")  # type: ignore[valid-type]
    topic: text(2_000, blank=True) = ""  # type: ignore[valid-type]
    public: bool = Field(False, description="Everybody may join. A public channel is not encrypted.")
    external_id: ExternalId | None = Field(None, description="The product's own id of the chat.")
    alias: str = Field(
        "", pattern=r"^([a-z0-9][a-z0-9._-]{1,49})?$", description="The local part of the alias of a public chat."
    )
    owner: PersonRef | None = Field(None, description="Who owns it; the product alone unless told.")
    members: list[PersonRef] = Field([], max_length=100, description="Who is invited at once.")


class ChatChange(Body):
    """What is to be different. What is left out stays."""

    name: line(200) | None = None  # type: ignore[valid-type]
    topic: text(2_000, blank=True) | None = None  # type: ignore[valid-type]
    avatar_url: Mxc | None = None
    slow_mode: int | None = Field(
        None, ge=0, le=86_400, description="Seconds between two messages of a member; 0: off."
    )
    archived: bool | None = Field(None, description="Nobody writes in an archived chat.")


class ChatView(View):
    """A chat."""

    id: str
    room_id: str = Field(description="The Matrix room: another one after an upgrade.")
    kind: KindWord
    name: str
    topic: str
    avatar_url: str
    public: bool
    encrypted: bool
    external_id: str | None
    alias: str
    parent: str | None = Field(description="The id of the channel whose discussion group this is.")
    slow_mode: int
    adopted: bool
    members: int | None = Field(description="How many are in it; null in lists.")
    created_at: Moment
    archived_at: Moment | None


class ChatPage(Page[ChatView]):
    """Chats, those made last first."""


class ChatQuery(PageQuery):
    """Which chats."""

    kind: KindWord | None = None


class Discussion(Body):
    """A channel's discussion group."""

    group: ChatRef | None = Field(description="A group of the product's; null: none any more.")


class PostStatistics(View):
    """How a post of a channel was received."""

    event_id: str
    at: Moment
    reach: int = Field(description="Different people who have read it and let it be known.")
    reactions: int
    by_reaction: dict[str, int] = Field(description="The same by kind, the most frequent ones.")
    comments: int


class Pin(Body):
    """A message to pin."""

    event_id: EventId


class TimerChange(Body):
    """How long messages stay."""

    seconds: int | None = Field(description="5 s to a year; null: for good.", ge=5, le=31_536_000)
    start: Literal["sent", "read"] = Field("sent", description="From sending, or from the first reading.")


class TimerView(View):
    """How long messages stay in a chat."""

    seconds: int | None
    start: Literal["sent", "read"]


class RetentionChange(Body):
    """How long messages are kept at the most."""

    days: int | None = Field(description="Null: what the wider rule says.", ge=1, le=36_500)


class RetentionView(View):
    """How long messages are kept at the most."""

    days: int | None = Field(description="What applies: the shortest rule. Null: for good.")
    own: int | None = Field(description="The rule of the chat, or of the workspace.")
    wider: int | None = Field(description="What holds without it.")
    held: bool | None = Field(None, description="Whether a legal hold keeps everything; null for the workspace.")


class NewHold(Body):
    """A legal hold: nothing of a chat is removed until it is released."""

    reason: line(500)  # type: ignore[valid-type]


class HoldView(View):
    """A legal hold."""

    chat: str
    reason: str
    by: str
    since: Moment


class HoldPage(Page[HoldView]):
    """All holds."""
