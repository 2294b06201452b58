"""Commerce: couriers and their trips, group orders

Revision ID: 0018
Revises: 0017
Create Date: 2026-11-29 01:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "courier_jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="bots.domain.couriers.JobKind"),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.couriers.JobState"),
        sa.Column(
            "courier", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Who is asked, or has it."
        ),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False, comment="What the courier gets."),
        sa.Column("tip", sa.BigInteger(), nullable=True, comment="On top, when it is handed over; null: none."),
        sa.Column(
            "owed",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="1: the courier is to be paid.",
        ),
        sa.Column("deadline", sa.BigInteger(), nullable=True, comment="Of the offer; null: none is open."),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: places, codes, names, words of people."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_courier_jobs")),
    )
    with op.batch_alter_table("courier_jobs", schema=None) as batch_op:
        batch_op.create_index("ix_courier_jobs_courier", ["bot", "courier", "updated_at"], unique=False)
        batch_op.create_index("ix_courier_jobs_order", ["bot", "order_id", "opened_at"], unique=False)
        batch_op.create_index("ix_courier_jobs_owed", ["bot", "owed", "updated_at"], unique=False)
        batch_op.create_index("ix_courier_jobs_state", ["bot", "state", "updated_at"], unique=False)

    op.create_table(
        "couriers",
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance."),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.couriers.CourierState"),
        sa.Column("room_id", sa.Text(), nullable=False, comment="Where trips are offered to them."),
        sa.Column(
            "job",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="The trip that they have; empty: none.",
        ),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False, comment="When they were offered a trip last."),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: name, vehicle."),
        sa.PrimaryKeyConstraint("bot", "person", name=op.f("pk_couriers")),
    )
    with op.batch_alter_table("couriers", schema=None) as batch_op:
        batch_op.create_index("ix_couriers_bot_state", ["bot", "state", "asked_at"], unique=False)

    op.create_table(
        "group_orders",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column(
            "active",
            sa.Text(),
            nullable=True,
            comment="The room, while it is its order; null: it has ended. One for a room.",
        ),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.group_orders.GroupState"),
        sa.Column("order_id", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Once there is one."),
        sa.Column("deadline", sa.BigInteger(), nullable=True, comment="Until when people add, or pay; null: none."),
        sa.Column(
            "body", sa.Text(), nullable=False, comment="JSON: who is done, the shares with amounts and payments."
        ),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_orders")),
        sa.UniqueConstraint("bot", "active", name=op.f("uq_group_orders_bot_active")),
    )
    with op.batch_alter_table("group_orders", schema=None) as batch_op:
        batch_op.create_index("ix_group_orders_order", ["bot", "order_id"], unique=False)
        batch_op.create_index("ix_group_orders_state", ["bot", "state", "deadline"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("group_orders", schema=None) as batch_op:
        batch_op.drop_index("ix_group_orders_state")
        batch_op.drop_index("ix_group_orders_order")

    op.drop_table("group_orders")
    with op.batch_alter_table("couriers", schema=None) as batch_op:
        batch_op.drop_index("ix_couriers_bot_state")

    op.drop_table("couriers")
    with op.batch_alter_table("courier_jobs", schema=None) as batch_op:
        batch_op.drop_index("ix_courier_jobs_state")
        batch_op.drop_index("ix_courier_jobs_owed")
        batch_op.drop_index("ix_courier_jobs_order")
        batch_op.drop_index("ix_courier_jobs_courier")

    op.drop_table("courier_jobs")
