"""Messages, changes, search, reports, the audit log."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bridge.api.models.common import (
    LARGEST,
    Body,
    ChatRef,
    EventId,
    Moment,
    Page,
    PageQuery,
    PersonRef,
    Query,
    View,
    line,
    text,
)


class NewMessage(Body):
    """A notice of the product's. Not into encrypted groups, channels and direct chats: the server cannot read these."""

    text: text(4_000)  # type: ignore[valid-type]
    html: text(16_000) | None = Field(  # type: ignore[valid-type]
        None, description="The same with `<b>`, `<i>`, `<a>`, lists and the like; other elements are taken out."
    )


class MessageView(View):
    """A message of the product's on its way."""

    id: str
    chat: str
    state: Literal["pending", "sent", "failed"]
    event_id: str | None = Field(description="Once it is sent.")
    error: str | None = Field(description="Why it failed.")
    created_at: Moment


class CommentView(View):
    """A comment on a post of a channel: which event it is and by whom, not what it says."""

    event_id: str
    chat: str = Field(description="The id of the chat that it stands in: the discussion group, or the channel.")
    sender: str
    external_id: str | None = Field(description="What the product calls them, if it knows them.")
    at: Moment = Field(description="By the sender's homeserver.")


class CommentPage(Page[CommentView]):
    """Comments, the first first."""


class StatusView(View):
    """What became of a message."""

    event_id: str
    state: Literal["sending", "sent", "delivered", "read", "failed"]
    seq: int | None = Field(description="Its number in the chat, without gaps.")
    at: Moment | None
    recipients: int = Field(description="Who is in the chat but for the sender.")
    delivered: int = Field(description="How many of them are known to have it.")
    read: int = Field(description="How many of them have read it and let it be known.")
    redacted: bool
    reason: str | None = Field(description="Why it failed.")


class ChangesQuery(Query):
    """Which changes."""

    after: int = Field(0, ge=0, le=LARGEST, description="The number of the last change that is known.")
    limit: int = Field(50, ge=1, le=200)
    wait: int = Field(0, ge=0, le=25, description="Seconds to wait for something new when there is nothing.")


class ChangeView(View):
    """Something that happened in a chat: what and by whom, not what was said."""

    seq: int
    event_id: str
    type: str
    sender: str
    at: Moment = Field(description="By the sender's homeserver; the order is that of the numbers.")
    state_key: str | None
    relation: str = Field(description="How it belongs to another event: `m.replace`, `redacts`, …; empty for none.")
    target: str = Field(description="That other event.")
    redacted: bool


class ChangesView(View):
    """What happened in a chat, in its order and without gaps."""

    items: list[ChangeView]
    head: int = Field(description="The number of the newest change.")
    next: int = Field(description="The number to ask on from.")
    more: bool


class Acknowledgement(Body):
    """That a message has arrived at somebody."""

    event_id: EventId


class SearchQuery(PageQuery):
    """What to look for."""

    text: line(200, blank=True) = Field("", description="Words; a message has all of them.")  # type: ignore[valid-type]
    chat: ChatRef | None = Field(None, description="In one chat; in all that the product may read, else.")
    sender: PersonRef | None = None
    since: Moment | None = None
    until: Moment | None = None
    kind: Literal["text", "image", "video", "audio", "file", "location", "poll", "sticker", "link"] | None = None


class HitView(View):
    """A message that was found."""

    chat: str
    event_id: str
    sender: str
    at: Moment
    kind: str
    seq: int | None = Field(description="Its number in the chat.")
    text: str = Field(description="A part of it, around what was looked for.")
    marks: list[tuple[int, int]] = Field(description="Where in `text` the words stand: from, to.")


class HitPage(Page[HitView]):
    """What was found, the newest first."""


class ReportQuery(PageQuery):
    """Which reports."""

    state: Literal["open", "done"] = Field("open", description="Those that wait, or those that are decided.")


class EvidenceView(View):
    """Something that a reporter chose to share."""

    body: str
    event_id: str = Field(description="The message; empty for what was only told.")
    seen: bool = Field(description="The server has read it itself; otherwise it is the reporter's word.")


class ReportView(View):
    """What somebody reported: all reports of the same target are one."""

    id: str
    chat: str | None
    event_id: str | None = Field(description="The message that it is about.")
    subject: str = Field(description="Whom it is about.")
    reporters: int = Field(description="How many have reported it. Who they are is told to moderators only.")
    reasons: list[str]
    evidence: list[EvidenceView]
    state: Literal["open", "acting", "done"] = Field(description="acting: decided, and about to be done.")
    action: str | None
    seconds: int | None = Field(description="Of a mute.")
    note: str = Field(description="The word to the person.")
    problem: str | None = Field(description="Why what was decided could not be done.")
    appealed: str | None = Field(description="Where the appeal stands.")
    created_at: Moment
    decided_at: Moment | None


class ReportPage(Page[ReportView]):
    """Reports, the oldest first."""


class ReportAction(Body):
    """What is done about a report."""

    action: Literal["dismiss", "warn", "mute", "remove", "ban"]
    reason: text(1_000, blank=True) = Field("", description="A word to the person.")  # type: ignore[valid-type]
    seconds: int | None = Field(None, ge=1, le=366 * 86_400, description="Of a mute; a day unless said.")


class AuditQuery(PageQuery):
    """Which entries: the product's own decisions, or all about one of its chats."""

    chat: ChatRef | None = None
    since: Moment | None = None
    until: Moment | None = None


class AuditView(View):
    """A decision."""

    seq: int
    at: Moment
    actor: str
    action: str
    subject: str
    outcome: str
    details: dict[str, Any] | None = Field(description="Null when they were dropped as a person was erased.")


class AuditPage(Page[AuditView]):
    """Decisions, the newest first."""
