"""Tables of people's privacy settings. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, PrimaryKeyConstraint, Table, Text, text

from appservice.store.tables import metadata

privacy_settings = Table(
    "privacy_settings",
    metadata,
    Column("user_id", Text, nullable=False),
    Column("what", Text, nullable=False, comment="write, add, call, presence, last_seen, receipts."),
    Column("audience", Text, nullable=False, comment="contacts, nobody; what has no row is for everybody."),
    PrimaryKeyConstraint("user_id", "what"),
)

privacy_contacts = Table(
    "privacy_contacts",
    metadata,
    Column("user_id", Text, nullable=False, comment="Whose contact it is."),
    Column("other", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    PrimaryKeyConstraint("user_id", "other"),
    Index("ix_privacy_contacts_other", "other"),
)

privacy_exceptions = Table(
    "privacy_exceptions",
    metadata,
    Column("user_id", Text, nullable=False, comment="Whose setting it is."),
    Column("other", Text, nullable=False, comment="For whom it is otherwise."),
    Column("what", Text, nullable=False, comment="write, add, call, presence, last_seen, receipts."),
    Column("allowed", Boolean, nullable=False),
    PrimaryKeyConstraint("user_id", "other", "what"),
    Index("ix_privacy_exceptions_other", "other"),
)

privacy_blocks = Table(
    "privacy_blocks",
    metadata,
    Column("user_id", Text, nullable=False, comment="Who blocks."),
    Column("other", Text, nullable=False, comment="Who is blocked."),
    Column("blocked", Boolean, nullable=False, comment="False: it is lifted, and the homeserver does not know yet."),
    Column("synced", Boolean, nullable=False, comment="The homeserver's ignore list says the same."),
    Column("since", BigInteger, nullable=False),
    PrimaryKeyConstraint("user_id", "other"),
    Index("ix_privacy_blocks_other", "other"),
    Index("ix_privacy_blocks_synced", "synced"),
)

privacy_requests = Table(
    "privacy_requests",
    metadata,
    Column("user_id", Text, nullable=False, comment="Who is asked."),
    Column("other", Text, nullable=False, comment="Who asks."),
    Column("what", Text, nullable=False, comment="write, add."),
    Column("id", Text, nullable=False),
    Column("room_id", Text, nullable=False, comment="Into which they were to be invited, of the last time."),
    Column("name", Text, nullable=False, server_default=text("''"), comment="Of the room, sealed."),
    Column("state", Text, nullable=False, comment="open, accepted (the invitation is to be made), done, declined."),
    Column("asked_at", BigInteger, nullable=False),
    Column("answered_at", BigInteger),
    PrimaryKeyConstraint("user_id", "other", "what"),
    Index("ix_privacy_requests_id", "id", unique=True),
    Index("ix_privacy_requests_other", "other"),
    Index("ix_privacy_requests_state", "state"),
)

privacy_screenshots = Table(
    "privacy_screenshots",
    metadata,
    Column("room_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("told_at", BigInteger, nullable=False, comment="When the chat was told of the burst."),
    Column("last_at", BigInteger, nullable=False, comment="The last screenshot of the burst."),
    PrimaryKeyConstraint("room_id", "user_id"),
    Index("ix_privacy_screenshots_last_at", "last_at"),
)
