"""People's privacy settings in the database. Plain functions on a connection; times are ms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, update

from appservice.store.upsert import upsert
from bridge.domain.privacy import Audience, Relation, Settings, What
from bridge.store.privacy_tables import (
    privacy_blocks,
    privacy_contacts,
    privacy_exceptions,
    privacy_requests,
    privacy_screenshots,
    privacy_settings,
)

OPEN = "open"
ACCEPTED = "accepted"
"""The invitation is still to be made."""
DONE = "done"
DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody (``other``) would like to write to, or add, somebody (``user_id``). ``name``: of the room, sealed."""

    id: str
    user_id: str
    other: str
    what: What
    room_id: str
    name: str
    state: str
    asked_at: int
    answered_at: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Somebody is blocked, or not any more (``blocked``); ``synced``: the homeserver's ignore list says so too."""

    user_id: str
    other: str
    blocked: bool
    synced: bool
    since: int


@dataclass(slots=True)
class Said:
    """Everything that a person has said: what a homeserver's module needs to know of them."""

    settings: Settings = field(default_factory=Settings)
    relations: dict[str, Relation] = field(default_factory=dict)


# Settings


def settings_of(connection: Connection, user_id: str) -> Settings:
    """What a person has set."""
    query = select(privacy_settings.c.what, privacy_settings.c.audience).where(privacy_settings.c.user_id == user_id)
    return Settings(**{what: Audience(audience) for what, audience in connection.execute(query)})


def set_settings(connection: Connection, user_id: str, settings: Settings) -> None:
    """Keep what a person has set; what is for everybody takes no room."""
    connection.execute(delete(privacy_settings).where(privacy_settings.c.user_id == user_id))
    rows = [
        {"user_id": user_id, "what": what.value, "audience": settings.of(what).value}
        for what in What
        if settings.of(what) is not Audience.EVERYBODY
    ]
    if rows:
        connection.execute(privacy_settings.insert(), rows)


def relation_of(connection: Connection, user_id: str, other: str) -> Relation:
    """What ``user_id`` has said of ``other``."""

    def there(table: Table, *more: Any) -> bool:
        query = select(table.c.user_id).where(table.c.user_id == user_id, table.c.other == other, *more)
        return connection.execute(query).first() is not None

    query = select(privacy_exceptions.c.what, privacy_exceptions.c.allowed).where(
        privacy_exceptions.c.user_id == user_id, privacy_exceptions.c.other == other
    )
    return Relation(
        contact=there(privacy_contacts),
        blocked=there(privacy_blocks, privacy_blocks.c.blocked),
        exceptions={What(what): allowed for what, allowed in connection.execute(query)},
    )


def said_by(connection: Connection, users: Collection[str]) -> dict[str, Said]:
    """What each of these people has said, of everybody; those who have said nothing are left out."""
    found: dict[str, Said] = {}
    query = select(privacy_settings).where(privacy_settings.c.user_id.in_(users))
    values: dict[str, dict[str, Audience]] = {}
    for user_id, what, audience in connection.execute(query):
        values.setdefault(user_id, {})[what] = Audience(audience)
    for user_id, one in values.items():
        found.setdefault(user_id, Said()).settings = Settings(**one)
    contacts = _pairs(connection, privacy_contacts, users)
    blocks = _pairs(connection, privacy_blocks, users, privacy_blocks.c.blocked)
    exceptions: dict[tuple[str, str], dict[What, bool]] = {}
    for user_id, other, what, allowed in connection.execute(
        select(privacy_exceptions).where(privacy_exceptions.c.user_id.in_(users))
    ):
        exceptions.setdefault((user_id, other), {})[What(what)] = allowed
    for user_id, other in contacts | blocks | set(exceptions):
        relation = Relation(
            (user_id, other) in contacts, (user_id, other) in blocks, exceptions.get((user_id, other), {})
        )
        found.setdefault(user_id, Said()).relations[other] = relation
    return found


def _pairs(connection: Connection, table: Table, users: Collection[str], *more: Any) -> set[tuple[str, str]]:
    query = select(table.c.user_id, table.c.other).where(table.c.user_id.in_(users), *more)
    return {(row[0], row[1]) for row in connection.execute(query)}


def hiding_receipts(connection: Connection, users: Collection[str]) -> set[str]:
    """Those of these people who give no receipts."""
    query = select(privacy_settings.c.user_id).where(
        privacy_settings.c.user_id.in_(users),
        privacy_settings.c.what == What.RECEIPTS.value,
        privacy_settings.c.audience == Audience.NOBODY.value,
    )
    return set(connection.execute(query).scalars())


def set_exception(connection: Connection, user_id: str, other: str, what: What, allowed: bool | None) -> None:
    """What holds for somebody whatever the settings say; None: the settings hold again."""
    connection.execute(delete(privacy_exceptions).where(*_exception(user_id, other, what)))
    if allowed is not None:
        row = {"user_id": user_id, "other": other, "what": what.value, "allowed": allowed}
        connection.execute(privacy_exceptions.insert().values(row))


def _exception(user_id: str, other: str, what: What) -> tuple[Any, ...]:
    table = privacy_exceptions.c
    return table.user_id == user_id, table.other == other, table.what == what.value


def exceptions_of(connection: Connection, user_id: str) -> list[tuple[str, What, bool]]:
    """For whom something is otherwise."""
    table = privacy_exceptions.c
    query = select(table.other, table.what, table.allowed).where(table.user_id == user_id)
    return [(row[0], What(row[1]), row[2]) for row in connection.execute(query.order_by(table.other, table.what))]


# Contacts


def add_contact(connection: Connection, user_id: str, other: str, now: int) -> None:
    """``other`` is a contact of ``user_id``; the first time counts."""
    row = {"user_id": user_id, "other": other, "since": now}
    upsert(connection, privacy_contacts, row, {"user_id": user_id})


def remove_contact(connection: Connection, user_id: str, other: str) -> None:
    """No contact any more."""
    where = (privacy_contacts.c.user_id == user_id, privacy_contacts.c.other == other)
    connection.execute(delete(privacy_contacts).where(*where))


def contacts_of(connection: Connection, user_id: str, *, after: str = "", limit: int = 50) -> list[str]:
    """A page of a person's contacts, by name."""
    table = privacy_contacts.c
    query = select(table.other).where(table.user_id == user_id, table.other > after).order_by(table.other).limit(limit)
    return list(connection.execute(query).scalars())


# Blocks


def set_block(connection: Connection, user_id: str, other: str, blocked: bool, now: int) -> bool:
    """Block or unblock; whether that changed anything. The homeserver is to be told of it."""
    table = privacy_blocks.c
    query = select(table.blocked).where(table.user_id == user_id, table.other == other)
    if bool(connection.execute(query).scalar()) == blocked:
        return False
    row = {"user_id": user_id, "other": other, "blocked": blocked, "synced": False, "since": now}
    upsert(connection, privacy_blocks, row)
    return True


def blocked_by(connection: Connection, user_id: str, *, after: str = "", limit: int = 50) -> list[str]:
    """A page of whom a person blocks, by name."""
    table = privacy_blocks.c
    query = select(table.other).where(table.user_id == user_id, table.blocked, table.other > after)
    return list(connection.execute(query.order_by(table.other).limit(limit)).scalars())


def count_blocked(connection: Connection, user_id: str) -> int:
    """How many a person blocks."""
    table = privacy_blocks.c
    query = select(func.count()).select_from(privacy_blocks).where(table.user_id == user_id, table.blocked)
    return int(connection.execute(query).scalar_one())


def unsynced_blocks(connection: Connection, limit: int = 50) -> list[Block]:
    """What the homeserver does not know yet."""
    query = select(privacy_blocks).where(privacy_blocks.c.synced.is_(False)).limit(limit)
    return [Block(**row) for row in connection.execute(query).mappings()]


def block_synced(connection: Connection, block: Block) -> None:
    """The homeserver knows, if it has not changed meanwhile. What was lifted is forgotten."""
    table = privacy_blocks.c
    same = (table.user_id == block.user_id, table.other == block.other, table.blocked.is_(block.blocked))
    if block.blocked:
        connection.execute(update(privacy_blocks).where(*same).values(synced=True))
    else:
        connection.execute(delete(privacy_blocks).where(*same))


# Requests


def request(connection: Connection, user_id: str, other: str, what: What) -> Request | None:
    """The last time that ``other`` asked."""
    table = privacy_requests.c
    query = select(privacy_requests).where(table.user_id == user_id, table.other == other, table.what == what.value)
    return _request(connection.execute(query).mappings().first())


def request_by_id(connection: Connection, request_id: str) -> Request | None:
    """The request with an id."""
    query = select(privacy_requests).where(privacy_requests.c.id == request_id)
    return _request(connection.execute(query).mappings().first())


def put_request(connection: Connection, found: Request) -> None:
    """Keep a request; of one person for one thing there is one."""
    upsert(connection, privacy_requests, {name: getattr(found, name) for name in Request.__slots__})


def requests_of(connection: Connection, user_id: str, *, limit: int = 200) -> list[Request]:
    """The open requests to a person, the newest first."""
    table = privacy_requests.c
    query = select(privacy_requests).where(table.user_id == user_id, table.state == OPEN)
    rows = connection.execute(query.order_by(table.asked_at.desc(), table.id.desc()).limit(limit)).mappings()
    return [_must(row) for row in rows]


def count_open(connection: Connection, user_id: str) -> int:
    """How many requests to a person are open."""
    table = privacy_requests.c
    query = select(func.count()).select_from(privacy_requests).where(table.user_id == user_id, table.state == OPEN)
    return int(connection.execute(query).scalar_one())


def answer(connection: Connection, found: Request, state: str, now: int) -> bool:
    """Answer an open request; False when it is not open any more."""
    table = privacy_requests.c
    changed = connection.execute(
        update(privacy_requests)
        .where(table.id == found.id, table.state == OPEN)
        .values(state=state, answered_at=now, name="" if state == DECLINED else found.name)
    )
    return changed.rowcount == 1


def accepted(connection: Connection, limit: int = 50) -> list[Request]:
    """Requests whose invitation is to be made."""
    query = select(privacy_requests).where(privacy_requests.c.state == ACCEPTED).limit(limit)
    return [_must(row) for row in connection.execute(query).mappings()]


def finish(connection: Connection, request_id: str) -> bool:
    """The invitation is made, or can never be; False when that is known already."""
    table = privacy_requests.c
    where = (table.id == request_id, table.state == ACCEPTED)
    return connection.execute(update(privacy_requests).where(*where).values(state=DONE, name="")).rowcount == 1


def forget_requests(connection: Connection, before: int, limit: int = 1_000) -> int:
    """Drop what was answered, or asked and not answered, before a time; how many."""
    table = privacy_requests.c
    old = select(table.id).where(table.state.in_((OPEN, DONE, DECLINED)), table.asked_at < before).limit(limit)
    return connection.execute(delete(privacy_requests).where(table.id.in_(old))).rowcount


def _request(row: Mapping[Any, Any] | None) -> Request | None:
    return None if row is None else _must(row)


def _must(row: Mapping[Any, Any]) -> Request:
    return Request(**{name: row[name] for name in Request.__slots__} | {"what": What(row["what"])})


# Screenshots


def last_screenshot(connection: Connection, room_id: str, user_id: str) -> tuple[int, int] | None:
    """When the chat was told of somebody's last burst, and when its last screenshot was; None for none."""
    table = privacy_screenshots.c
    query = select(table.told_at, table.last_at).where(table.room_id == room_id, table.user_id == user_id)
    row = connection.execute(query).first()
    return None if row is None else (row[0], row[1])


def note_screenshot(connection: Connection, room_id: str, user_id: str, told: int, now: int) -> None:
    """Note a screenshot of a burst that the chat was told of at ``told``."""
    row = {"room_id": room_id, "user_id": user_id, "told_at": told, "last_at": now}
    upsert(connection, privacy_screenshots, row)


def forget_screenshots(connection: Connection, before: int) -> int:
    """Drop bursts that are over; how many."""
    return connection.execute(delete(privacy_screenshots).where(privacy_screenshots.c.last_at < before)).rowcount


# Rights


def about(connection: Connection, person: str) -> dict[str, list[dict[str, Any]]]:
    """Everything that is kept about a person: what they said. What others said of them is the others'."""
    tables = (privacy_settings, privacy_contacts, privacy_exceptions, privacy_blocks, privacy_requests)
    found = {
        table.name.removeprefix("privacy_"): [
            dict(row) for row in connection.execute(select(table).where(table.c.user_id == person)).mappings()
        ]
        for table in tables
    }
    table = privacy_requests.c
    asked = select(table.user_id, table.what, table.room_id, table.state, table.asked_at).where(table.other == person)
    found["asked"] = [dict(row) for row in connection.execute(asked).mappings()]
    shots = select(privacy_screenshots).where(privacy_screenshots.c.user_id == person)
    found["screenshots"] = [dict(row) for row in connection.execute(shots).mappings()]
    return found


def erase(connection: Connection, person: str) -> None:
    """Forget a person, in what they said and in what others said of them."""
    tables: Iterable[Table] = (privacy_contacts, privacy_exceptions, privacy_blocks, privacy_requests)
    for table in tables:
        connection.execute(delete(table).where((table.c.user_id == person) | (table.c.other == person)))
    for table in (privacy_settings, privacy_screenshots):
        connection.execute(delete(table).where(table.c.user_id == person))
