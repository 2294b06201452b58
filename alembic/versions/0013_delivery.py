"""The messenger: sequence numbers, delivery states, search

Revision ID: 0013
Revises: 0012
Create Date: 2026-11-28 22:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chat_heads",
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False, comment="The room whose events are numbered now."),
        sa.Column(
            "head", sa.BigInteger(), nullable=False, comment="The last number given; goes on when the room is upgraded."
        ),
        sa.Column(
            "first",
            sa.BigInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="The first number that is kept.",
        ),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chat_id", name=op.f("pk_chat_heads")),
    )
    op.create_table(
        "chat_marks",
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False, comment="All up to this number has arrived at them."),
        sa.Column("delivered_at", sa.BigInteger(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False, comment="They have read up to this number."),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chat_id", "user_id", name=op.f("pk_chat_marks")),
    )
    with op.batch_alter_table("chat_marks", schema=None) as batch_op:
        batch_op.create_index("ix_chat_marks_chat_id_delivered", ["chat_id", "delivered"], unique=False)
        batch_op.create_index("ix_chat_marks_chat_id_read", ["chat_id", "read"], unique=False)
        batch_op.create_index("ix_chat_marks_user_id", ["user_id"], unique=False)

    op.create_table(
        "chat_timeline",
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="From 1, without gaps."),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False, comment="As the homeserver sees it: m.room.encrypted."),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="By the sender's homeserver."),
        sa.Column("state_key", sa.Text(), nullable=True, comment="Null: no state event."),
        sa.Column("relation", sa.Text(), server_default=sa.text("''"), nullable=False, comment="rel_type, or redacts."),
        sa.Column(
            "target", sa.Text(), server_default=sa.text("''"), nullable=False, comment="The event that it belongs to."
        ),
        sa.Column("redacted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("numbered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chat_id", "seq", name=op.f("pk_chat_timeline")),
    )
    with op.batch_alter_table("chat_timeline", schema=None) as batch_op:
        batch_op.create_index("ix_chat_timeline_chat_id_numbered_at", ["chat_id", "numbered_at"], unique=False)
        batch_op.create_index("ix_chat_timeline_sender", ["sender"], unique=False)
        batch_op.create_index("uq_chat_timeline_event_id", ["event_id"], unique=True)

    op.create_table(
        "search_documents",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The time in ms, and 20 bits: newest last.",
        ),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="text, image, …"),
        sa.Column(
            "body",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Of an unencrypted chat; '' if hidden.",
        ),
        sa.Column("sealed", sa.LargeBinary(), nullable=True, comment="The body, sealed, of an encrypted chat."),
        sa.Column(
            "edited_by", sa.Text(), nullable=True, comment="The event that the text is from, if not the first one."
        ),
        sa.Column("terms", postgresql.TSVECTOR().with_variant(sa.Text(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_documents")),
    )
    with op.batch_alter_table("search_documents", schema=None) as batch_op:
        batch_op.create_index("ix_search_documents_chat_id", ["chat_id", "id"], unique=False)
        batch_op.create_index(
            "ix_search_documents_edited_by",
            ["edited_by"],
            unique=False,
            sqlite_where=sa.text("edited_by IS NOT NULL"),
            postgresql_where=sa.text("edited_by IS NOT NULL"),
        )
        batch_op.create_index("ix_search_documents_sender", ["sender", "id"], unique=False)
        batch_op.create_index(
            "ix_search_documents_terms",
            ["terms"],
            unique=False,
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
            sqlite_where=sa.text("id < 0"),
        )
        batch_op.create_index("uq_search_documents_event_id", ["event_id"], unique=True)

    op.create_table(
        "search_history",
        sa.Column("chat_id", sa.Text(), nullable=False, comment="An adopted chat, whose past is taken in bit by bit."),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column(
            "token",
            sa.Text(),
            nullable=False,
            comment="Where its timeline goes on, into the past; '' at the beginning.",
        ),
        sa.Column("taken", sa.BigInteger(), nullable=False, comment="Messages so far."),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("chat_id", name=op.f("pk_search_history")),
    )
    op.create_table(
        "search_leave",
        sa.Column(
            "chat_id",
            sa.Text(),
            nullable=False,
            comment="An encrypted chat with a service, searched with its person's leave.",
        ),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who gave it."),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chat_id", name=op.f("pk_search_leave")),
    )
    with op.batch_alter_table("search_leave", schema=None) as batch_op:
        batch_op.create_index("ix_search_leave_user_id", ["user_id"], unique=False)

    if op.get_context().dialect.name == "sqlite":
        # PostgreSQL has the index of the column itself.
        op.execute(
            "CREATE VIRTUAL TABLE search_terms USING fts5(terms, content='search_documents', content_rowid='id', "
            "tokenize='ascii', detail=none, columnsize=0)"
        )


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TABLE search_terms")
    for table in (
        "search_leave",
        "search_history",
        "search_documents",
        "chat_timeline",
        "chat_marks",
        "chat_heads",
    ):
        op.drop_table(table)
