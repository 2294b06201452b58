"""Surges that operators set by hand, on SQLite and PostgreSQL."""

from __future__ import annotations

from appservice.database import Database
from bots.store import surges as sql
from bots.store.surges import OverrideRow

NOON = 1_800_000_000_000


def row(zone: str = "centre", **changes: object) -> OverrideRow:
    values: dict[str, object] = {
        "bot": "rides",
        "zone": zone,
        "multiplier": 150,
        "until": NOON + 60_000,
        "person": "@olga:world",
        "set_at": NOON,
    }
    return OverrideRow(**(values | changes))  # type: ignore[arg-type]


async def test_one_for_a_zone_and_only_while_it_counts(database: Database) -> None:
    await database.write(lambda connection: sql.put(connection, row()))
    await database.write(lambda connection: sql.put(connection, row("")))
    await database.write(lambda connection: sql.put(connection, row(bot="taxis")))
    again = row(multiplier=120, until=NOON + 120_000, person="@carla:world", set_at=NOON + 1)
    await database.write(lambda connection: sql.put(connection, again))
    assert await database.read(lambda connection: sql.of_bot(connection, "rides", NOON)) == [row(""), again]
    assert await database.read(lambda connection: sql.of_bot(connection, "rides", NOON + 60_000)) == [again]
    assert await database.read(lambda connection: sql.of_bot(connection, "rides", NOON + 120_000)) == []
    await database.write(lambda connection: sql.drop(connection, "rides", "centre"))
    assert await database.read(lambda connection: sql.of_bot(connection, "rides", NOON)) == [row("")]
    assert len(await database.read(lambda connection: sql.of_bot(connection, "taxis", NOON))) == 1
