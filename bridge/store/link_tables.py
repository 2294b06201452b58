"""Tables of invite links, join requests and what channels have. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from appservice.store.tables import metadata

chat_links = Table(
    "chat_links",
    metadata,
    Column("id", Text, nullable=False, comment="A ULID; the code is made of it with a key that is not here."),
    Column("chat_id", Text, nullable=False),
    Column("digest", Text, nullable=False, comment="SHA-256 of the code."),
    Column("title", Text, nullable=False, server_default=text("''")),
    Column("approval", Boolean, nullable=False),
    Column("uses", Integer, comment="How many may come by it; null: any number."),
    Column("used", Integer, nullable=False, server_default=text("0")),
    Column("created_by", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    PrimaryKeyConstraint("id"),
    Index("ix_chat_links_chat_id_created_at", "chat_id", "created_at"),
    Index("uq_chat_links_digest", "digest", unique=True),
)

link_uses = Table(
    "link_uses",
    metadata,
    Column("link_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("chat_id", Text, nullable=False),
    Column("state", Text, nullable=False, comment="asked, due, invited, joined."),
    Column("at", BigInteger, nullable=False, comment="Of the state."),
    Column("due_at", BigInteger, comment="When the homeserver is asked (again) to invite them; null: not to be."),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("link_id", "user_id"),
    Index("ix_link_uses_chat_id_user_id", "chat_id", "user_id"),
    Index("ix_link_uses_user_id", "user_id"),
    Index("ix_link_uses_due_at", "due_at"),
)

join_requests = Table(
    "join_requests",
    metadata,
    Column("chat_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("state", Text, nullable=False, comment="open, declined."),
    Column("link_id", Text, comment="The link by which they came."),
    Column("knocked", Boolean, nullable=False, comment="They knocked in their client; else only we know of it."),
    Column("tell", Boolean, nullable=False, comment="They asked @rialto, who tells them how it ended."),
    Column("reason", Text, nullable=False, server_default=text("''"), comment="What they wrote, in the clear."),
    Column("since", BigInteger, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    PrimaryKeyConstraint("chat_id", "user_id"),
    Index("ix_join_requests_chat_id_state_since", "chat_id", "state", "since"),
    Index("ix_join_requests_user_id", "user_id"),
    Index("ix_join_requests_decided_at", "decided_at"),
)

channel_groups = Table(
    "channel_groups",
    metadata,
    Column("group_room", Text, nullable=False, comment="The discussion group."),
    Column("channel_room", Text, nullable=False, comment="Whose it is, as both rooms say it."),
    Column("told_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("group_room"),
    Index("ix_channel_groups_channel_room", "channel_room"),
)

channel_posts = Table(
    "channel_posts",
    metadata,
    Column("event_id", Text, nullable=False),
    Column("chat_id", Text, nullable=False, comment="The channel."),
    Column("seq", BigInteger, comment="Its number in the channel; null: not known yet."),
    Column("at", BigInteger, nullable=False),
    Column("root_id", Text, comment="The event in the discussion group below which its comments stand."),
    Column("root_room", Text),
    PrimaryKeyConstraint("event_id"),
    Index("ix_channel_posts_chat_id_at", "chat_id", "at"),
    Index("uq_channel_posts_root_id", "root_id", unique=True),
)

post_answers = Table(
    "post_answers",
    metadata,
    Column("event_id", Text, nullable=False),
    Column("post_id", Text, nullable=False),
    Column("chat_id", Text, nullable=False, comment="The channel."),
    Column("room_id", Text, nullable=False, comment="The channel's room, or the discussion group's."),
    Column("kind", Text, nullable=False, comment="comment, reaction."),
    Column("sender", Text, nullable=False),
    Column("reaction", Text, nullable=False, server_default=text("''"), comment="Of a reaction: which."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("event_id"),
    Index("ix_post_answers_post_id_kind_at", "post_id", "kind", "at", "event_id"),
    Index("ix_post_answers_chat_id", "chat_id"),
    Index("ix_post_answers_sender", "sender"),
)

channel_readers = Table(
    "channel_readers",
    metadata,
    Column("chat_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("start", BigInteger, nullable=False, comment="They count for posts with a higher number than this."),
    PrimaryKeyConstraint("chat_id", "user_id"),
    Index("ix_channel_readers_user_id", "user_id"),
)
