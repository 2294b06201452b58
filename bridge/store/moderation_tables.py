"""Tables of reports, appeals, policy lists and floods. Times are milliseconds since the epoch, UTC.

What people write (reasons, evidence, appeals) lies sealed: much of it is out of encrypted chats.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from appservice.store.tables import metadata

moderation_reports = Table(
    "moderation_reports",
    metadata,
    Column("id", Text, nullable=False, comment="A ULID."),
    Column("leader", Text, comment="The report on the same target that it is decided with; null: it leads."),
    Column("target", Text, nullable=False, comment="Room and message, or room and person."),
    Column("room_id", Text, nullable=False, comment="'' for a report on a person as such."),
    Column("event_id", Text, nullable=False, comment="'' for a report on a person."),
    Column("subject", Text, nullable=False, comment="Whom it is about; '' when nobody knows."),
    Column("reporter", Text, nullable=False),
    Column("source", Text, nullable=False, comment="person, client, limit."),
    Column("source_id", Text, comment="The homeserver's number of a report by a client."),
    Column("workspace", Text, nullable=False, comment="The product whose chat it is in; '' for people's own."),
    Column("words", LargeBinary, nullable=False, comment="Reason and evidence, JSON, sealed; empty once forgotten."),
    Column("state", Text, nullable=False, comment="open, acting, done."),
    Column("action", Text, comment="dismiss, warn, mute, remove, ban, suspend."),
    Column("seconds", Integer, comment="Of a mute; null: until it is lifted."),
    Column("note", LargeBinary, comment="The moderator's word to the person, sealed."),
    Column("problem", Text, comment="The code of why what was decided could not be done."),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", BigInteger, comment="While acting: when it is tried again."),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("ix_moderation_reports_state_id", "state", "id"),
    Index("ix_moderation_reports_workspace_state_id", "workspace", "state", "id"),
    Index("ix_moderation_reports_target", "target"),
    Index("ix_moderation_reports_leader", "leader"),
    Index("ix_moderation_reports_subject", "subject"),
    Index("ix_moderation_reports_reporter_created_at", "reporter", "created_at"),
    Index("ix_moderation_reports_decided_at", "decided_at"),
    Index("ix_moderation_reports_source_id", "source_id", unique=True),
)

moderation_appeals = Table(
    "moderation_appeals",
    metadata,
    Column("report_id", Text, nullable=False, comment="The decision that it is against; there is one appeal."),
    Column("user_id", Text, nullable=False),
    Column("words", LargeBinary, nullable=False, comment="Sealed; empty once forgotten."),
    Column("state", Text, nullable=False, comment="open, undoing, granted, refused."),
    Column("note", LargeBinary, comment="The answer's words, sealed."),
    Column("due_at", BigInteger, comment="While undoing: when it is tried again."),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("report_id"),
    Index("ix_moderation_appeals_state_report_id", "state", "report_id"),
    Index("ix_moderation_appeals_user_id", "user_id"),
)

moderation_lists = Table(
    "moderation_lists",
    metadata,
    Column("room_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("own", Boolean, nullable=False, comment="The one that Rialto publishes."),
    Column("read_at", BigInteger, comment="Its rules were all read then; null: they are still to be read."),
    Column("added_by", Text, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("room_id"),
)

moderation_rules = Table(
    "moderation_rules",
    metadata,
    Column("room_id", Text, nullable=False, comment="The list."),
    Column("type", Text, nullable=False),
    Column("state_key", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="user, room, server."),
    Column("entity", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("applied_at", BigInteger, comment="Members whom it matches were banned then; null: still to be done."),
    Column("since", BigInteger, nullable=False),
    PrimaryKeyConstraint("room_id", "type", "state_key"),
    Index("ix_moderation_rules_applied_at", "applied_at"),
)

moderation_bans = Table(
    "moderation_bans",
    metadata,
    Column("room_id", Text, nullable=False, comment="The chat."),
    Column("user_id", Text, nullable=False),
    Column("rule", Text, nullable=False, comment="Kind and entity, by which they were banned."),
    Column("since", BigInteger, nullable=False),
    PrimaryKeyConstraint("room_id", "user_id"),
    Index("ix_moderation_bans_user_id", "user_id"),
    comment="Bans by policy lists: lifted when no list says so any more.",
)

moderation_suspensions = Table(
    "moderation_suspensions",
    metadata,
    Column("product", Text, nullable=False, comment="Who has suspended the account, which was made for it."),
    Column("user_id", Text, nullable=False),
    Column("state", Text, nullable=False, comment="suspending, suspended, lifting."),
    Column("reason", LargeBinary, comment="Sealed."),
    Column("since", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", BigInteger, comment="When the homeserver is told (again); null: it was."),
    PrimaryKeyConstraint("product", "user_id"),
    Index("ix_moderation_suspensions_user_id", "user_id"),
    Index("ix_moderation_suspensions_due_at", "due_at"),
    comment="Suspensions by products. Those by moderators are decisions about reports.",
)

moderation_floods = Table(
    "moderation_floods",
    metadata,
    Column("room_id", Text, nullable=False, comment="The chat that is closed for a while."),
    Column("before", Text, nullable=False, comment="m.room.join_rules as they were, JSON."),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    PrimaryKeyConstraint("room_id"),
    Index("ix_moderation_floods_until", "until"),
)

moderation_marks = Table(
    "moderation_marks",
    metadata,
    Column("name", Text, nullable=False, comment="What was read of the homeserver's reports: events, users."),
    Column("passed", BigInteger, nullable=False, comment="How many of the oldest."),
    Column("last", BigInteger, nullable=False, comment="The number of the last one."),
    PrimaryKeyConstraint("name"),
)
