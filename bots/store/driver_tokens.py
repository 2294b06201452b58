"""SQL of the tokens of driver apps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, delete, insert, select

from bots.store.driver_app_tables import driver_tokens


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token of a driver's app. ``made_at``: ms since the epoch."""

    id: str
    bot: str
    person: str
    digest: str = field(repr=False)
    made_at: int


def put(connection: Connection, row: TokenRow) -> None:
    """A driver's token, in place of the one before."""
    revoke(connection, row.bot, row.person)
    connection.execute(insert(driver_tokens), asdict(row))


def find(connection: Connection, token_id: str) -> TokenRow | None:
    """A token by the part that finds it."""
    row = connection.execute(select(driver_tokens).where(driver_tokens.c.id == token_id)).mappings().one_or_none()
    return None if row is None else TokenRow(**row)


def of_person(connection: Connection, bot: str, person: str) -> TokenRow | None:
    """The token of a driver."""
    query = select(driver_tokens).where(driver_tokens.c.bot == bot, driver_tokens.c.person == person)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else TokenRow(**row)


def revoke(connection: Connection, bot: str, person: str) -> int:
    """A driver's token counts no more; how many there were."""
    where = (driver_tokens.c.bot == bot, driver_tokens.c.person == person)
    return connection.execute(delete(driver_tokens).where(*where)).rowcount


def erase(connection: Connection, person: str) -> int:
    """Forget a person's tokens with every bot; how many."""
    return connection.execute(delete(driver_tokens).where(driver_tokens.c.person == person)).rowcount
