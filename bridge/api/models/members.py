"""Members, invite links and join requests."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bridge.api.models.common import Body, Moment, Page, PageQuery, PersonRef, Query, Seconds, View, line

RoleWord = Literal["reader", "writer", "moderator", "admin", "owner"]
Membership = Literal["join", "invite", "knock", "ban"]


class MemberQuery(PageQuery):
    """Which members."""

    membership: Membership = Field("join", description="Those who are in it, are invited, ask to join, or are banned.")
    role: RoleWord | None = None
    query: line(100, blank=True) = Field("", description="Part of a name or user id.")  # type: ignore[valid-type]


class MemberView(View):
    """Somebody of a chat."""

    user_id: str
    external_id: str | None = Field(description="What the product calls them, if it knows them.")
    display_name: str
    role: RoleWord
    membership: Membership
    since: Moment
    muted_until: Moment | None = Field(description="0: for ever; null: not muted.")


class MemberPage(Page[MemberView]):
    """Members, those with most power first."""


class NewMember(Body):
    """Somebody to invite."""

    person: PersonRef
    role: RoleWord | None = Field(None, description="The role they get at once.")


class RoleChange(Body):
    """A member's role."""

    role: RoleWord


class Mute(Body):
    """A mute."""

    seconds: Seconds | None = Field(None, description="Null: until it is taken back.")


class Reason(Body):
    """Why, for the person and for the audit log."""

    reason: line(300, blank=True) = ""  # type: ignore[valid-type]


class Why(Query):
    """Why, for the person and for the audit log."""

    reason: line(300, blank=True) = ""  # type: ignore[valid-type]


class NewOwner(Body):
    """Whose the chat is to be."""

    person: PersonRef


class NewLink(Body):
    """An invite link."""

    title: line(100, blank=True) = ""  # type: ignore[valid-type]
    expires_in: Seconds | None = Field(None, description="Null: for good.")
    uses: int | None = Field(None, ge=1, le=1_000_000, description="How many may join by it; null: any number.")
    approval: bool = Field(False, description="Who comes by it is a join request.")


class LinkView(View):
    """An invite link."""

    id: str
    url: str = Field(description="To give to people: of a page, or of `@rialto` where there are no pages.")
    code: str = Field(description="What people write to `@rialto`: `join CODE`.")
    title: str
    approval: bool
    uses: int | None
    used: int
    expires_at: Moment | None
    revoked_at: Moment | None
    created_at: Moment


class LinkPage(Page[LinkView]):
    """Invite links, those made last first."""


class JoinRequestView(View):
    """Somebody who asks to join."""

    user_id: str
    external_id: str | None
    since: Moment


class JoinRequestPage(Page[JoinRequestView]):
    """Join requests, the oldest first."""


class JoinAnswer(Body):
    """Whether somebody may join."""

    accept: bool
