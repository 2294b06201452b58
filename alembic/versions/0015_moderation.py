"""The messenger: reports, policy lists, floods; people's rights

Revision ID: 0015
Revises: 0014
Create Date: 2026-11-28 22:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "moderation_appeals",
        sa.Column(
            "report_id", sa.Text(), nullable=False, comment="The decision that it is against; there is one appeal."
        ),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False, comment="Sealed; empty once forgotten."),
        sa.Column("state", sa.Text(), nullable=False, comment="open, undoing, granted, refused."),
        sa.Column("note", sa.LargeBinary(), nullable=True, comment="The answer's words, sealed."),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="While undoing: when it is tried again."),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_moderation_appeals")),
    )
    with op.batch_alter_table("moderation_appeals", schema=None) as batch_op:
        batch_op.create_index("ix_moderation_appeals_state_report_id", ["state", "report_id"], unique=False)
        batch_op.create_index("ix_moderation_appeals_user_id", ["user_id"], unique=False)

    op.create_table(
        "moderation_bans",
        sa.Column("room_id", sa.Text(), nullable=False, comment="The chat."),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="Kind and entity, by which they were banned."),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room_id", "user_id", name=op.f("pk_moderation_bans")),
        comment="Bans by policy lists: lifted when no list says so any more.",
    )
    with op.batch_alter_table("moderation_bans", schema=None) as batch_op:
        batch_op.create_index("ix_moderation_bans_user_id", ["user_id"], unique=False)

    op.create_table(
        "moderation_floods",
        sa.Column("room_id", sa.Text(), nullable=False, comment="The chat that is closed for a while."),
        sa.Column("before", sa.Text(), nullable=False, comment="m.room.join_rules as they were, JSON."),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room_id", name=op.f("pk_moderation_floods")),
    )
    with op.batch_alter_table("moderation_floods", schema=None) as batch_op:
        batch_op.create_index("ix_moderation_floods_until", ["until"], unique=False)

    op.create_table(
        "moderation_lists",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False, comment="The one that Rialto publishes."),
        sa.Column(
            "read_at",
            sa.BigInteger(),
            nullable=True,
            comment="Its rules were all read then; null: they are still to be read.",
        ),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room_id", name=op.f("pk_moderation_lists")),
    )
    op.create_table(
        "moderation_marks",
        sa.Column(
            "name", sa.Text(), nullable=False, comment="What was read of the homeserver's reports: events, users."
        ),
        sa.Column("passed", sa.BigInteger(), nullable=False, comment="How many of the oldest."),
        sa.Column("last", sa.BigInteger(), nullable=False, comment="The number of the last one."),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_moderation_marks")),
    )
    op.create_table(
        "moderation_reports",
        sa.Column("id", sa.Text(), nullable=False, comment="A ULID."),
        sa.Column(
            "leader",
            sa.Text(),
            nullable=True,
            comment="The report on the same target that it is decided with; null: it leads.",
        ),
        sa.Column("target", sa.Text(), nullable=False, comment="Room and message, or room and person."),
        sa.Column("room_id", sa.Text(), nullable=False, comment="'' for a report on a person as such."),
        sa.Column("event_id", sa.Text(), nullable=False, comment="'' for a report on a person."),
        sa.Column("subject", sa.Text(), nullable=False, comment="Whom it is about; '' when nobody knows."),
        sa.Column("reporter", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="person, client, limit."),
        sa.Column("source_id", sa.Text(), nullable=True, comment="The homeserver's number of a report by a client."),
        sa.Column(
            "workspace", sa.Text(), nullable=False, comment="The product whose chat it is in; '' for people's own."
        ),
        sa.Column(
            "words",
            sa.LargeBinary(),
            nullable=False,
            comment="Reason and evidence, JSON, sealed; empty once forgotten.",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="open, acting, done."),
        sa.Column("action", sa.Text(), nullable=True, comment="dismiss, warn, mute, remove, ban, suspend."),
        sa.Column("seconds", sa.Integer(), nullable=True, comment="Of a mute; null: until it is lifted."),
        sa.Column("note", sa.LargeBinary(), nullable=True, comment="The moderator's word to the person, sealed."),
        sa.Column("problem", sa.Text(), nullable=True, comment="The code of why what was decided could not be done."),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="While acting: when it is tried again."),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moderation_reports")),
    )
    with op.batch_alter_table("moderation_reports", schema=None) as batch_op:
        batch_op.create_index("ix_moderation_reports_decided_at", ["decided_at"], unique=False)
        batch_op.create_index("ix_moderation_reports_leader", ["leader"], unique=False)
        batch_op.create_index("ix_moderation_reports_reporter_created_at", ["reporter", "created_at"], unique=False)
        batch_op.create_index("ix_moderation_reports_source_id", ["source_id"], unique=True)
        batch_op.create_index("ix_moderation_reports_state_id", ["state", "id"], unique=False)
        batch_op.create_index("ix_moderation_reports_subject", ["subject"], unique=False)
        batch_op.create_index("ix_moderation_reports_target", ["target"], unique=False)
        batch_op.create_index("ix_moderation_reports_workspace_state_id", ["workspace", "state", "id"], unique=False)

    op.create_table(
        "moderation_rules",
        sa.Column("room_id", sa.Text(), nullable=False, comment="The list."),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="user, room, server."),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "applied_at",
            sa.BigInteger(),
            nullable=True,
            comment="Members whom it matches were banned then; null: still to be done.",
        ),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room_id", "type", "state_key", name=op.f("pk_moderation_rules")),
    )
    with op.batch_alter_table("moderation_rules", schema=None) as batch_op:
        batch_op.create_index("ix_moderation_rules_applied_at", ["applied_at"], unique=False)

    op.create_table(
        "rights_files",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="A piece of the archive, sealed."),
        sa.PrimaryKeyConstraint("request_id", "seq", name=op.f("pk_rights_files")),
    )
    op.create_table(
        "rights_requests",
        sa.Column("id", sa.Text(), nullable=False, comment="A ULID."),
        sa.Column("person", sa.Text(), nullable=False, comment="Who asked; their pseudonym once they are erased."),
        sa.Column("kind", sa.Text(), nullable=False, comment="export, erase."),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, running, sweeping, done, failed."),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="Who asked for it: the person, a product, operator."),
        sa.Column("stage", sa.Text(), server_default=sa.text("''"), nullable=False, comment="What is being done."),
        sa.Column("done", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="Of total."),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="Of an erasure: user id and pseudonym, until nothing more comes of them.",
        ),
        sa.Column("problem", sa.Text(), nullable=True, comment="Codes of why it failed, or what could not be done."),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="Bytes of the archive."),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="When it goes on; null: it is over."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rights_requests")),
    )
    with op.batch_alter_table("rights_requests", schema=None) as batch_op:
        batch_op.create_index("ix_rights_requests_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_rights_requests_finished_at", ["finished_at"], unique=False)
        batch_op.create_index("ix_rights_requests_person", ["person"], unique=False)


def downgrade() -> None:
    op.drop_table("rights_files")
    op.drop_table("rights_requests")
    op.drop_table("moderation_marks")
    op.drop_table("moderation_floods")
    op.drop_table("moderation_bans")
    op.drop_table("moderation_rules")
    op.drop_table("moderation_lists")
    op.drop_table("moderation_appeals")
    op.drop_table("moderation_reports")
