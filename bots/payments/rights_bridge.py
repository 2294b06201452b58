"""Money as a part of all that is held about a person (:mod:`bridge.rights`): handed out and erased with the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from appservice.config import Config
from appservice.database import Database
from bots.framework.clock import Clock
from bots.payments.guard import Guard
from bots.payments.ledger import Ledger
from bots.payments.rights import Rights
from bots.payments.rights_parts import MONEY_BOTS, register_parts
from bridge.domain import rights as bridge_rights

__all__ = ["MoneyPart", "money_part"]


class MoneyPart:
    """The part. The audit log, which money shares with the messenger, is not in it."""

    name = "money"

    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    def export(self, connection: Connection, person: str) -> Iterator[tuple[str, Any]]:
        """Every table of money that names the person."""
        for name, rows in self._rights.tables(connection, person):
            yield f"money/{name}.json", list(rows)

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Who they were goes out of the books, and what they wrote; the books stay whole."""
        self._rights.forget(connection, person, pseudonym)

    def blocked(self, connection: Connection, person: str) -> Sequence[bridge_rights.Obstacle]:
        """Money in the wallet or on its way, a hold."""
        return [bridge_rights.Obstacle(each.code, each.human) for each in self._rights.blocked(connection, person)]


def money_part(config: Config, database: Database, clock: Clock) -> MoneyPart:
    """The part where there is no treasury: what a wallet that is no more has left."""
    rights = Rights(clock, Ledger(database, clock), Guard.of(config.payments))
    key = config.encryption.pickle_key.get_secret_value()
    register_parts(rights, key, [bot.instance for bot in config.bots if bot.plugin in MONEY_BOTS])
    return MoneyPart(rights)
