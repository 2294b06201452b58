"""Money: limits, audit log

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-28 18:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FIXED = (
    "seq",
    "at",
    "actor_mark",
    "action",
    "subject_mark",
    "outcome",
    "details_mark",
    "previous",
    "digest",
)
"""Columns of the audit log that never change. A name may become a pseudonym, and details may go: an erasure."""


def upgrade() -> None:
    _guard()
    _audit()
    _append_only()


def _guard() -> None:
    op.create_table(
        "guard_people",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("tier", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "frozen_at",
            sa.BigInteger(),
            nullable=True,
            comment="When the person froze the wallet; null: it is not frozen.",
        ),
        sa.Column("held_at", sa.BigInteger(), nullable=True, comment="When somebody else did; null: nobody holds it."),
        sa.Column("held_by", sa.Text(), nullable=True, comment="Who did."),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_guard_people")),
    )
    op.create_table(
        "guard_usage",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("span", sa.Text(), nullable=False, comment="day:2026-11-28 or month:2026-11, UTC."),
        sa.Column("spent", sa.BigInteger(), nullable=False, comment="Minor units."),
        sa.Column("ends_at", sa.BigInteger(), nullable=False, comment="When the day or month is over."),
        sa.PrimaryKeyConstraint("person", "currency", "span", name=op.f("pk_guard_usage")),
    )
    with op.batch_alter_table("guard_usage", schema=None) as batch_op:
        batch_op.create_index("ix_guard_usage_ends_at", ["ends_at"], unique=False)
    op.create_table(
        "guard_movements",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False, comment="out or in"),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("counterpart", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="Minor units."),
        sa.Column("counted", sa.BigInteger(), nullable=False, comment="What of it counts: less once a hold is voided."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", "direction", name=op.f("pk_guard_movements")),
    )
    with op.batch_alter_table("guard_movements", schema=None) as batch_op:
        batch_op.create_index("ix_guard_movements_person_at", ["person", "at"], unique=False)
        batch_op.create_index("ix_guard_movements_counterpart", ["counterpart"], unique=False)
        batch_op.create_index("ix_guard_movements_at", ["at"], unique=False)


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="From 1, without gaps."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column(
            "actor",
            sa.Text(),
            nullable=False,
            comment="Who; a pseudonym once the person is erased. Not in the digest.",
        ),
        sa.Column(
            "actor_mark", sa.LargeBinary(), nullable=False, comment="SHA-256 of the actor with the person's salt."
        ),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="Whom or what; like actor."),
        sa.Column("subject_mark", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column(
            "details",
            sa.LargeBinary(),
            nullable=True,
            comment="JSON, sealed; null: dropped when a person was erased. Not in the digest.",
        ),
        sa.Column("details_mark", sa.LargeBinary(), nullable=False, comment="SHA-256 of the sealed details."),
        sa.Column("previous", sa.LargeBinary(), nullable=False, comment="The digest of the entry before."),
        sa.Column(
            "digest",
            sa.LargeBinary(),
            nullable=False,
            comment="SHA-256 of all of the above but what is said to be left out.",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    with op.batch_alter_table("audit_log", schema=None) as batch_op:
        batch_op.create_index("ix_audit_log_subject_seq", ["subject", "seq"], unique=False)
        batch_op.create_index("ix_audit_log_actor_seq", ["actor", "seq"], unique=False)
        batch_op.create_index("ix_audit_log_at", ["at"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False, comment="1: there is one row."),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="Of the last entry; 0: there is none."),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of the last entry."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "audit_people",
        sa.Column("person", sa.Text(), nullable=False, comment="A user id; the row goes when the person is erased."),
        sa.Column("salt", sa.LargeBinary(), nullable=False, comment="Without it no mark leads back to the person."),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_audit_people")),
    )
    op.create_table(
        "audit_mentions",
        sa.Column("person", sa.Text(), nullable=False, comment="Whom the sealed details name."),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", "seq", name=op.f("pk_audit_mentions")),
    )
    with op.batch_alter_table("audit_mentions", schema=None) as batch_op:
        batch_op.create_index("ix_audit_mentions_seq", ["seq"], unique=False)


def _append_only() -> None:
    """The database itself refuses to delete or change entries, so that a mistake cannot; the chain shows intent."""
    if op.get_context().dialect.name == "sqlite":
        _append_only_on_sqlite()
    else:
        _append_only_on_postgresql()


def _append_only_on_sqlite() -> None:
    fixed = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in FIXED)
    op.execute(
        "CREATE TRIGGER audit_log_stays BEFORE DELETE ON audit_log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    )
    op.execute(
        f"CREATE TRIGGER audit_log_unchanged BEFORE UPDATE ON audit_log WHEN {fixed} "
        "OR (NEW.actor IS NOT OLD.actor AND substr(NEW.actor, 1, 7) <> 'erased:') "
        "OR (NEW.subject IS NOT OLD.subject AND substr(NEW.subject, 1, 7) <> 'erased:') "
        "OR (NEW.details IS NOT NULL AND NEW.details IS NOT OLD.details) "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    )


def _append_only_on_postgresql() -> None:
    fixed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in FIXED)
    op.execute(
        "CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation'; "
        "END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_log_stays BEFORE DELETE ON audit_log "
        "FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only()"
    )
    op.execute(
        "CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()"
    )
    op.execute(
        f"CREATE TRIGGER audit_log_unchanged BEFORE UPDATE ON audit_log FOR EACH ROW WHEN ({fixed} "
        "OR (NEW.actor IS DISTINCT FROM OLD.actor AND left(NEW.actor, 7) <> 'erased:') "
        "OR (NEW.subject IS DISTINCT FROM OLD.subject AND left(NEW.subject, 7) <> 'erased:') "
        "OR (NEW.details IS NOT NULL AND NEW.details IS DISTINCT FROM OLD.details)) "
        "EXECUTE FUNCTION audit_log_is_append_only()"
    )


def downgrade() -> None:
    for table in (
        "audit_mentions",
        "audit_people",
        "audit_head",
        "audit_log",
        "guard_movements",
        "guard_usage",
        "guard_people",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_log_is_append_only()")
