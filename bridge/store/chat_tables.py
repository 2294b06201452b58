"""Tables of chats and their members. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from appservice.store.tables import metadata

chats = Table(
    "chats",
    metadata,
    Column("room_id", Text, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("id", Text, nullable=False, comment="A ULID: the chat's name outside of Matrix, also after an upgrade."),
    Column("kind", Text, nullable=False, comment="direct, group, channel, service."),
    Column("public", Boolean, nullable=False),
    Column("encrypted", Boolean, nullable=False),
    Column("workspace", Text, nullable=False, comment="The product whose chat it is; '' for people's own."),
    Column("external_id", Text, comment="The product's own id of it."),
    Column("name", Text, nullable=False, server_default=text("''"), comment="As the room's state says."),
    Column("topic", Text, nullable=False, server_default=text("''")),
    Column("avatar_url", Text, nullable=False, server_default=text("''")),
    Column("alias", Text, nullable=False, server_default=text("''")),
    Column("parent", Text, comment="room_id of the channel whose discussion group it is."),
    Column("adopted", Boolean, nullable=False, server_default=text("false"), comment="Rialto did not make the room."),
    Column("slow_mode", Integer, nullable=False, server_default=text("0"), comment="Seconds between messages; 0: off."),
    Column("archived_at", BigInteger, comment="Nobody writes any more."),
    Column("deleted_at", BigInteger, comment="Deleted for all; the row stays so that the id is not given again."),
    Column("successor", Text, comment="room_id of the room that took its place in an upgrade."),
    Column("levels", Text, comment="m.room.power_levels as last seen, JSON."),
    Column("filled_at", BigInteger, comment="chat_members holds every member since; null: they are still being read."),
    Column("created_by", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("room_id"),
    Index("ix_chats_id", "id"),
    Index("ix_chats_workspace_created_at", "workspace", "created_at"),
    Index("ix_chats_workspace_external_id", "workspace", "external_id", unique=True),
)

chat_members = Table(
    "chat_members",
    metadata,
    Column("room_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("membership", Text, nullable=False, comment="join, invite, knock, ban; leave: only while muted."),
    Column("power", Integer, nullable=False, server_default=text("0"), comment="By m.room.power_levels."),
    Column("display_name", Text, nullable=False, server_default=text("''")),
    Column("folded", Text, nullable=False, server_default=text("''"), comment="Name and user id, to be looked for."),
    Column("since", BigInteger, nullable=False, comment="Of this membership."),
    Column("spoke_at", BigInteger, comment="Of the last message, where slow mode is on."),
    Column("muted_until", BigInteger, comment="Not a writer until then; null: not muted. 0: for ever."),
    Column("muted_power", Integer, comment="What they get back."),
    PrimaryKeyConstraint("room_id", "user_id"),
    Index("ix_chat_members_user_id", "user_id"),
    Index("ix_chat_members_room_id_membership_power_user_id", "room_id", "membership", "power", "user_id"),
    Index("ix_chat_members_muted_until", "muted_until"),
)

# What the homeserver has still to be told: decided, and done again until it is done.
chat_jobs = Table(
    "chat_jobs",
    metadata,
    Column("id", Text, nullable=False, comment="Made of what is to be done: it is to be done once."),
    Column("room_id", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="invite, publish, delete."),
    Column("user_id", Text, nullable=False, server_default=text("''")),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("ix_chat_jobs_due_at", "due_at"),
    Index("ix_chat_jobs_room_id", "room_id"),
)
