"""The bot platform's tables. Times are milliseconds since the epoch, UTC.

Whatever people said or plugins know of them lies sealed (AES-256-GCM with a key made of the pickle key): an encrypted
chat must not be readable in the database.
"""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from appservice.store.tables import metadata as _engine

__all__ = [
    "DialogState",
    "dialog_journal",
    "dialog_people",
    "dialogs",
    "metadata",
    "people",
    "plugin_state",
    "plugin_switches",
    "schedules",
]

metadata: MetaData
"""Whoever has this has all tables, those of the engine, the messenger and money too. A service that runs takes only
those that it needs: see ``__getattr__``.
"""


class DialogState(IntEnum):
    """Where a dialog stands."""

    RUNNING = 0
    """Its function has not come to a question yet, or stands before a step: a crash makes it go on from there."""
    WAITING = 1
    ENDED = 2
    CANCELLED = 3
    EXPIRED = 4
    FAILED = 5


plugin_state = Table(
    "plugin_state",
    _engine,
    Column("plugin", Text, nullable=False, comment="The plugin instance."),
    Column("scope", Text, nullable=False, comment="'', 'room:ID', 'user:ID' or 'member:ROOM USER'."),
    Column("key", Text, nullable=False),
    Column("value", LargeBinary, nullable=False, comment="JSON, sealed when secret."),
    Column("sealed", SmallInteger, nullable=False, comment="1: value is sealed with the pickle key."),
    Column("version", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    PrimaryKeyConstraint("plugin", "scope", "key"),
    Index("ix_plugin_state_expires_at", "expires_at"),
)

plugin_switches = Table(
    "plugin_switches",
    _engine,
    Column("plugin", Text, nullable=False, comment="The plugin instance."),
    Column("scope", Text, nullable=False, comment="'' for everywhere, 'room:ID' or 'server:NAME'."),
    Column("enabled", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("changed_by", Text, nullable=False, comment="A user id, or 'operator'."),
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("plugin", "scope"),
)

people = Table(
    "people",
    _engine,
    Column("user_id", Text, nullable=False),
    Column("language", Text, comment="BCP 47; null: not said."),
    Column("zone", Text, comment="IANA time zone; null: not said."),
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("user_id"),
)

schedules = Table(
    "schedules",
    _engine,
    Column("consumer", Text, nullable=False),
    Column("key", Text, nullable=False, comment="Unique for the consumer."),
    Column("room_id", Text, nullable=False, comment="The room whose order a firing keeps."),
    Column("person", Text, nullable=False, server_default=text("''")),
    Column("kind", Text, nullable=False, comment="The type of the internal event that a firing is."),
    Column("rule", Text, nullable=False, comment="JSON: once, every or cron, time zone, catch-up policy."),
    Column("content", LargeBinary, nullable=False, comment="JSON, sealed."),
    Column("due_at", BigInteger, nullable=False),
    Column("fired", BigInteger, nullable=False, server_default=text("0"), comment="How often it has fired."),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("consumer", "key"),
    Index("ix_schedules_due_at", "due_at"),
)

dialogs = Table(
    "dialogs",
    _engine,
    Column("id", Text, nullable=False),
    Column("consumer", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("owner", Text, nullable=False, comment="The person who began it."),
    Column("name", Text, nullable=False, comment="The dialog's function."),
    Column("version", Text, nullable=False, comment="What the function was when it began."),
    Column("arguments", LargeBinary, nullable=False, comment="JSON, sealed."),
    Column("state", SmallInteger, nullable=False, comment="DialogState"),
    Column("cause", Text, nullable=False, comment="The event that it was last worked for."),
    Column("prompt", Text, comment="The message that waits for an answer, by its reference."),
    Column("waiting", LargeBinary, comment="What the open question needs to know, as JSON, sealed."),
    Column("epoch", Integer, nullable=False, server_default=text("0"), comment="How often it was taken back."),
    Column("entries", Integer, nullable=False, comment="Length of the journal."),
    Column("size", Integer, nullable=False, comment="Bytes of the journal."),
    Column("revision", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    Column("error", Text),
    Column("started_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    PrimaryKeyConstraint("id"),
    Index("ix_dialogs_consumer_cause", "consumer", "cause"),
    Index("ix_dialogs_state_updated_at", "state", "updated_at"),
)

dialog_people = Table(
    "dialog_people",
    _engine,
    Column("consumer", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("user_id", Text, nullable=False, comment="Who may answer; '*' for everybody in the room."),
    Column("dialog_id", Text, nullable=False),
    PrimaryKeyConstraint("consumer", "room_id", "user_id", "dialog_id"),
    Index("ix_dialog_people_dialog_id", "dialog_id"),
)

dialog_journal = Table(
    "dialog_journal",
    _engine,
    Column("dialog_id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False, comment="ask, choose, say, step, …"),
    Column("name", Text, nullable=False, comment="Of a step; of the others what they must match on a replay."),
    Column("value", LargeBinary, nullable=False, comment="JSON, sealed."),
    Column("prompt", Text, comment="The message that was answered, by its reference."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("dialog_id", "position"),
)


def __getattr__(name: str) -> MetaData:
    if name != "metadata":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bots.store import (  # noqa: F401
        app_tables,
        bill_tables,
        catalogue_tables,
        courier_tables,
        driver_app_tables,
        fleet_tables,
        funding_tables,
        guard_tables,
        ledger_tables,
        order_tables,
        page_tables,
        payment_tables,
        surge_tables,
    )
    from bridge.store import (  # noqa: F401
        audit_tables,
        chat_tables,
        delivery_tables,
        link_tables,
        moderation_tables,
        privacy_tables,
        product_tables,
        rights_tables,
        search_tables,
        timer_tables,
    )

    return _engine
