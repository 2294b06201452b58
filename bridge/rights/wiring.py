"""People's rights in one piece: the service with the parts of every area of the messenger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection

from appservice.administration import Administration
from appservice.clock import Clock
from appservice.config import Config
from appservice.database import Database
from appservice.homeserver import Homeserver
from appservice.sealing import Sealer
from bridge.audit import Audit
from bridge.domain.rights import Obstacle
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.rights.engine import AuditPart, EnginePart
from bridge.rights.homeserver import HomeserverSource
from bridge.rights.own import RequestsPart
from bridge.rights.parts import Part
from bridge.rights.service import RaiseEvents, RightsService
from bridge.steward import Steward
from bridge.store import retention
from bridge.store import rights as store


def make(
    config: Config,
    database: Database,
    homeserver: Homeserver,
    steward: Steward,
    registry: Registry,
    administration: Administration,
    audit: Audit,
    notices: Notices,
    raise_events: RaiseEvents,
    clock: Clock,
    service_users: Collection[str],
    parts: Iterable[Part],
) -> RightsService:
    """The service; the composition root registers what is not the messenger's: bots, money, keys."""
    section = config.messenger.rights
    service = RightsService(
        database,
        audit,
        notices,
        raise_events,
        Sealer(config.encryption.pickle_key.get_secret_value(), "rights"),
        clock,
        service_users=service_users,
        archive_days=section.archive_days,
        exports_per_day=section.exports_per_day,
    )
    for part in parts:
        service.register(part)
    for own in (EnginePart(), RequestsPart(), AuditPart(audit)):
        service.register(own)
    service.register_source(HomeserverSource(homeserver, steward, registry, administration, database, service_users))
    service.add_obstacle(held)
    return service


def held(connection: Connection, person: str) -> Sequence[Obstacle]:
    """What somebody said in a chat under a legal hold is not theirs to take away."""
    count = sum(retention.is_held(connection, room_id) for room_id in store.rooms_of(connection, person))
    if not count:
        return ()
    return (Obstacle("legal_hold", "Chats of yours are under a legal hold; nothing can be erased until it ends."),)
