"""Rides: drivers, trips, offers, positions, cases

Revision ID: 0023
Revises: 0022
Create Date: 2026-11-29 07:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "driver_positions",
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: where, when, how sure."),
        sa.PrimaryKeyConstraint("bot", "person", name=op.f("pk_driver_positions")),
    )
    op.create_table(
        "drivers",
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance of rides."),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.drivers.DriverState"),
        sa.Column("room_id", sa.Text(), nullable=False, comment="Where trips are offered to them."),
        sa.Column(
            "trip",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="That they are bound to; empty: none.",
        ),
        sa.Column(
            "batched", sa.Text(), server_default=sa.text("''"), nullable=False, comment="A second one in the same go."
        ),
        sa.Column(
            "offer", sa.Text(), server_default=sa.text("''"), nullable=False, comment="That they have before them."
        ),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.Column("idle_since", sa.BigInteger(), nullable=False),
        sa.Column(
            "online_until",
            sa.BigInteger(),
            nullable=True,
            comment="Unless something is heard of them; null: they are not online.",
        ),
        sa.Column("lapses", sa.Integer(), nullable=False, comment="Offers in a row that they have not answered."),
        sa.Column("ratings", sa.Integer(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False, comment="The sum of all ratings."),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column(
            "sealed", sa.LargeBinary(), nullable=False, comment="JSON: name, vehicle, classes, zones, documents."
        ),
        sa.PrimaryKeyConstraint("bot", "person", name=op.f("pk_drivers")),
    )
    with op.batch_alter_table("drivers", schema=None) as batch_op:
        batch_op.create_index("ix_drivers_state", ["bot", "state", "person"], unique=False)
        batch_op.create_index("ix_drivers_until", ["bot", "online_until"], unique=False)

    op.create_table(
        "trip_cases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("trip_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="bots.fleet.cases.TripCaseKind"),
        sa.Column(
            "active",
            sa.Text(),
            nullable=True,
            comment="The kind while it is open, null afterwards: one of a kind for a trip.",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.fleet.cases.TripCaseState"),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("back", sa.BigInteger(), nullable=True, comment="What went back to the rider; null: nothing."),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: what was said."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trip_cases")),
        sa.UniqueConstraint("trip_id", "active", name=op.f("uq_trip_cases_trip_id_active")),
    )
    with op.batch_alter_table("trip_cases", schema=None) as batch_op:
        batch_op.create_index("ix_trip_cases_person", ["bot", "person"], unique=False)
        batch_op.create_index("ix_trip_cases_state", ["bot", "state", "opened_at"], unique=False)

    op.create_table(
        "trip_offers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("driver", sa.Text(), nullable=False),
        sa.Column(
            "open_for",
            sa.Text(),
            nullable=True,
            comment="The driver while it is open, null afterwards: one for a driver.",
        ),
        sa.Column("trip_id", sa.Text(), nullable=False),
        sa.Column(
            "second_id", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Brought in the same go."
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.drivers.OfferState"),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("pickup_seconds", sa.Integer(), nullable=False),
        sa.Column("pickup_metres", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("earning", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trip_offers")),
        sa.UniqueConstraint("bot", "open_for", name=op.f("uq_trip_offers_bot_open_for")),
    )
    with op.batch_alter_table("trip_offers", schema=None) as batch_op:
        batch_op.create_index("ix_trip_offers_driver", ["bot", "driver", "made_at"], unique=False)
        batch_op.create_index("ix_trip_offers_second", ["second_id"], unique=False)
        batch_op.create_index("ix_trip_offers_state", ["bot", "state", "deadline"], unique=False)
        batch_op.create_index("ix_trip_offers_trip", ["trip_id", "made_at"], unique=False)

    op.create_table(
        "trip_ratings",
        sa.Column("trip_id", sa.Text(), nullable=False),
        sa.Column("rated", sa.Text(), nullable=False, comment="Who is rated: user id."),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False, comment="Who rates: user id."),
        sa.Column("stars", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: their words."),
        sa.PrimaryKeyConstraint("trip_id", "rated", name=op.f("pk_trip_ratings")),
    )
    with op.batch_alter_table("trip_ratings", schema=None) as batch_op:
        batch_op.create_index("ix_trip_ratings_person", ["bot", "person"], unique=False)
        batch_op.create_index("ix_trip_ratings_rated", ["bot", "rated", "at"], unique=False)

    op.create_table(
        "trip_steps",
        sa.Column("trip_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Of the trip after it."),
        sa.Column("action", sa.Text(), nullable=False, comment="bots.domain.trips.TripAction, or what else happened."),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False, comment="Who did it; empty: it happened by itself."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("trip_id", "revision", name=op.f("pk_trip_steps")),
    )
    with op.batch_alter_table("trip_steps", schema=None) as batch_op:
        batch_op.create_index("ix_trip_steps_person", ["person"], unique=False)

    op.create_table(
        "trips",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance of rides."),
        sa.Column("number", sa.Text(), nullable=False, comment="As people say it."),
        sa.Column("kind", sa.Text(), nullable=False, comment="bots.domain.trips.TripKind"),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.trips.TripState"),
        sa.Column(
            "client", sa.Text(), nullable=False, comment="The consumer that wants it brought; empty: a rider does."
        ),
        sa.Column("reference", sa.Text(), nullable=False, comment="What it is to the client."),
        sa.Column(
            "active",
            sa.Text(),
            nullable=True,
            comment="Client and reference while it has not ended; null: no client, or it has.",
        ),
        sa.Column("rider", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False, comment="Where the rider is told."),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("driver", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("batch", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "of_trip",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Of a return: the trip that failed.",
        ),
        sa.Column("payment", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("quoted", sa.BigInteger(), nullable=False),
        sa.Column("earning", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=True, comment="Null: not known yet."),
        sa.Column("tip", sa.BigInteger(), nullable=True),
        sa.Column("surge", sa.Integer(), nullable=False, comment="In hundredths."),
        sa.Column("waves", sa.Integer(), nullable=False, comment="How often offers went out."),
        sa.Column("priority", sa.Integer(), nullable=False, comment="How often a driver was lost."),
        sa.Column("disputed", sa.SmallInteger(), nullable=False),
        sa.Column("owed", sa.SmallInteger(), nullable=False, comment="1: the driver is still to be paid."),
        sa.Column("settled", sa.SmallInteger(), nullable=False, comment="1: the money is where the state says."),
        sa.Column(
            "deadline", sa.BigInteger(), nullable=True, comment="When the state ends by itself; null: it does not."
        ),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column(
            "sealed", sa.LargeBinary(), nullable=False, comment="JSON: places, PINs, names, words of people, times."
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trips")),
        sa.UniqueConstraint("bot", "active", name=op.f("uq_trips_bot_active")),
    )
    with op.batch_alter_table("trips", schema=None) as batch_op:
        batch_op.create_index("ix_trips_deadline", ["bot", "deadline"], unique=False)
        batch_op.create_index("ix_trips_driver", ["bot", "driver", "id"], unique=False)
        batch_op.create_index("ix_trips_reference", ["bot", "client", "reference", "id"], unique=False)
        batch_op.create_index("ix_trips_number", ["bot", "number"], unique=False)
        batch_op.create_index("ix_trips_rider", ["bot", "rider", "id"], unique=False)
        batch_op.create_index("ix_trips_settled", ["bot", "settled", "updated_at"], unique=False)
        batch_op.create_index("ix_trips_state", ["bot", "state", "updated_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("trips", schema=None) as batch_op:
        batch_op.drop_index("ix_trips_state")
        batch_op.drop_index("ix_trips_settled")
        batch_op.drop_index("ix_trips_rider")
        batch_op.drop_index("ix_trips_number")
        batch_op.drop_index("ix_trips_reference")
        batch_op.drop_index("ix_trips_driver")
        batch_op.drop_index("ix_trips_deadline")

    op.drop_table("trips")
    with op.batch_alter_table("trip_steps", schema=None) as batch_op:
        batch_op.drop_index("ix_trip_steps_person")

    op.drop_table("trip_steps")
    with op.batch_alter_table("trip_ratings", schema=None) as batch_op:
        batch_op.drop_index("ix_trip_ratings_rated")
        batch_op.drop_index("ix_trip_ratings_person")

    op.drop_table("trip_ratings")
    with op.batch_alter_table("trip_offers", schema=None) as batch_op:
        batch_op.drop_index("ix_trip_offers_trip")
        batch_op.drop_index("ix_trip_offers_state")
        batch_op.drop_index("ix_trip_offers_second")
        batch_op.drop_index("ix_trip_offers_driver")

    op.drop_table("trip_offers")
    with op.batch_alter_table("trip_cases", schema=None) as batch_op:
        batch_op.drop_index("ix_trip_cases_state")
        batch_op.drop_index("ix_trip_cases_person")

    op.drop_table("trip_cases")
    with op.batch_alter_table("drivers", schema=None) as batch_op:
        batch_op.drop_index("ix_drivers_until")
        batch_op.drop_index("ix_drivers_state")

    op.drop_table("drivers")
    op.drop_table("driver_positions")
