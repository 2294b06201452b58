"""Invite links, who uses them, and requests to join. Plain functions on a connection; times are ms."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping

from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bridge.domain.links import Link, UseState
from bridge.store.chat_tables import chat_members
from bridge.store.link_tables import chat_links, join_requests, link_uses

OPEN = "open"
DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody uses a link.

    Attributes:
        at: since when in this state.
        due_at: when the homeserver is asked (again) to invite them; None: not any more.
        attempts: how often it was asked in vain.
    """

    link_id: str
    user_id: str
    chat_id: str
    state: UseState
    at: int
    due_at: int | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks to join a chat.

    Attributes:
        state: ``open``, or ``declined`` not long ago.
        link_id: the link by which they came.
        knocked: they knocked at the room; otherwise the homeserver knows nothing of it.
        tell: they asked ``@rialto``, who tells them how it ended.
    """

    chat_id: str
    user_id: str
    state: str
    since: int
    link_id: str | None = None
    knocked: bool = False
    tell: bool = False
    reason: str = ""
    decided_by: str | None = None
    decided_at: int | None = None


# Links


def add(connection: Connection, link: Link) -> None:
    """Keep a new link."""
    row = {name: getattr(link, name) for name in Link.__slots__ if name != "token"}
    connection.execute(insert(chat_links).values(**row, digest=digest_of(link.token)))


def by_token(connection: Connection, token: str) -> Link | None:
    """The link of a code."""
    row = connection.execute(select(chat_links).where(chat_links.c.digest == digest_of(token))).mappings().first()
    return None if row is None else _link(row, token)


def by_id(connection: Connection, chat_id: str, link_id: str) -> Link | None:
    """A link of a chat; without its code."""
    query = select(chat_links).where(chat_links.c.id == link_id, chat_links.c.chat_id == chat_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _link(row)


def of_chat(connection: Connection, chat_id: str, now: int, *, limit: int) -> list[Link]:
    """The links of a chat that let somebody in, the newest first; without their codes."""
    query = (
        select(chat_links)
        .where(chat_links.c.chat_id == chat_id, _works(now))
        .order_by(chat_links.c.created_at.desc(), chat_links.c.id.desc())
        .limit(limit)
    )
    return [_link(row) for row in connection.execute(query).mappings()]


def count(connection: Connection, chat_id: str, now: int) -> int:
    """How many links of a chat let somebody in."""
    query = select(func.count()).select_from(chat_links).where(chat_links.c.chat_id == chat_id, _works(now))
    return int(connection.execute(query).scalar_one())


def revoke(connection: Connection, link_id: str, now: int) -> bool:
    """A link lets nobody in any more; whether it did."""
    query = update(chat_links).where(chat_links.c.id == link_id, chat_links.c.revoked_at.is_(None))
    return bool(connection.execute(query.values(revoked_at=now)).rowcount)


def digest_of(token: str) -> str:
    """How a code is known here."""
    return sha256(token.encode()).hexdigest()


# Uses


def take(
    connection: Connection, link: Link, user_id: str, state: UseState, now: int, due_at: int | None = None
) -> bool:
    """Somebody comes by a link. The same person counts once, however often; False: it lets nobody in any more.

    Whoever comes at the same time by the last use of a link waits here for the other's commit, and then gets none.
    """
    use = Use(link.id, user_id, link.chat_id, state, now, due_at)
    row = {name: getattr(use, name) for name in Use.__slots__} | {"state": state.value}
    new = connection.execute(insert_ignore(connection, link_uses, "link_id", "user_id"), row).rowcount
    if not new:
        # Also a link that is used up: by them, among others.
        still = select(chat_links.c.id).where(chat_links.c.id == link.id, _valid(now))
        if connection.execute(still).first() is None:
            return False
        set_use(connection, link.id, user_id, state, now, due_at)
        return True
    one = update(chat_links).where(chat_links.c.id == link.id, _works(now)).values(used=chat_links.c.used + 1)
    if connection.execute(one).rowcount:
        return True
    connection.execute(delete(link_uses).where(_use(link.id, user_id)))
    return False


def give_back(connection: Connection, link_id: str, user_id: str) -> bool:
    """Somebody did not come in after all: the use is another's. Whether there was one."""
    if not connection.execute(delete(link_uses).where(_use(link_id, user_id))).rowcount:
        return False
    left = case((chat_links.c.used > 0, chat_links.c.used - 1), else_=0)
    connection.execute(update(chat_links).where(chat_links.c.id == link_id).values(used=left))
    return True


def set_use(
    connection: Connection, link_id: str, user_id: str, state: UseState, now: int, due_at: int | None = None
) -> None:
    """How far they have come."""
    values = {"state": state.value, "at": now, "due_at": due_at, "attempts": 0}
    connection.execute(update(link_uses).where(_use(link_id, user_id)).values(**values))


def put_off(connection: Connection, use: Use, due_at: int) -> None:
    """The homeserver could not be asked; it is asked again at a time."""
    still = (link_uses.c.state == UseState.DUE.value, _use(use.link_id, use.user_id))
    connection.execute(update(link_uses).where(*still).values(due_at=due_at, attempts=use.attempts + 1))


def uses_of(connection: Connection, chat_id: str, user_id: str) -> list[Use]:
    """The links of a chat by which somebody comes."""
    query = select(link_uses).where(link_uses.c.chat_id == chat_id, link_uses.c.user_id == user_id)
    return [_made(row) for row in connection.execute(query).mappings()]


def count_pending(connection: Connection, link_id: str) -> int:
    """How many have been invited by a link and have not come yet."""
    pending = link_uses.c.state.in_((UseState.DUE.value, UseState.INVITED.value))
    query = select(func.count()).select_from(link_uses).where(link_uses.c.link_id == link_id, pending)
    return int(connection.execute(query).scalar_one())


def due(connection: Connection, now: int, limit: int) -> list[Use]:
    """Who is to be invited now, who waits longest first."""
    query = select(link_uses).where(link_uses.c.due_at <= now).order_by(link_uses.c.due_at).limit(limit)
    return [_made(row) for row in connection.execute(query).mappings()]


def first_due(connection: Connection) -> int | None:
    """When the next one is to be invited."""
    return connection.execute(select(func.min(link_uses.c.due_at))).scalar_one_or_none()


# Requests


def ask(connection: Connection, request: Request) -> None:
    """Keep a request; one of the same person is replaced, but the time it is from stays while it is open."""
    row = {name: getattr(request, name) for name in Request.__slots__}
    before = request_of(connection, request.chat_id, request.user_id)
    if before is not None and before.state == OPEN:
        row["since"] = before.since
        row["tell"] = before.tell or request.tell
        row["knocked"] = before.knocked or request.knocked
        row["link_id"] = request.link_id or before.link_id
        row["reason"] = request.reason or before.reason
    upsert(connection, join_requests, row)


def request_of(connection: Connection, chat_id: str, user_id: str) -> Request | None:
    """Somebody's request."""
    row = connection.execute(select(join_requests).where(_request(chat_id, user_id))).mappings().first()
    return None if row is None else _asked(row)


def count_requests(connection: Connection, chat_id: str) -> int:
    """How many wait for an answer."""
    query = select(func.count()).select_from(join_requests)
    return int(connection.execute(query.where(join_requests.c.chat_id == chat_id, _open())).scalar_one())


def knock_over(connection: Connection, room_id: str, user_id: str) -> None:
    """A knock is answered: it is none any more, before the homeserver's word of that has come."""
    mine = (chat_members.c.room_id == room_id, chat_members.c.user_id == user_id)
    connection.execute(delete(chat_members).where(*mine, chat_members.c.membership == "knock"))


def requests(connection: Connection, chat_id: str, room_id: str, limit: int) -> list[Request]:
    """Who waits for an answer, the first first: those who asked us, and those who knocked before we were there."""
    query = select(join_requests).where(join_requests.c.chat_id == chat_id, _open())
    query = query.order_by(join_requests.c.since, join_requests.c.user_id).limit(limit)
    found = {row["user_id"]: _asked(row) for row in connection.execute(query).mappings()}
    # Who came by a link is invited already, though the event that says so has not come yet.
    let_in = select(link_uses.c.user_id).where(
        link_uses.c.chat_id == chat_id, link_uses.c.state.in_((UseState.DUE.value, UseState.INVITED.value))
    )
    knocks = (
        select(chat_members.c.user_id, chat_members.c.since)
        .where(chat_members.c.room_id == room_id, chat_members.c.membership == "knock")
        .where(chat_members.c.user_id.not_in(let_in))
        .limit(limit)
    )
    for user_id, since in connection.execute(knocks):
        if user_id not in found:
            found[user_id] = Request(chat_id, user_id, OPEN, since, knocked=True)
    return sorted(found.values(), key=lambda each: (each.since, each.user_id))[:limit]


def decline(connection: Connection, request: Request, by: str, now: int) -> None:
    """They do not come in. It is kept for a while, so that they do not ask again at once."""
    row = {name: getattr(request, name) for name in Request.__slots__}
    row |= {"state": DECLINED, "reason": "", "link_id": None, "decided_by": by, "decided_at": now}
    upsert(connection, join_requests, row)


def forget_request(connection: Connection, chat_id: str, user_id: str) -> None:
    """It is answered, or taken back. Who was declined stays so."""
    connection.execute(delete(join_requests).where(_request(chat_id, user_id), _open()))


# The end


def forget_chat(connection: Connection, chat_id: str) -> None:
    """The chat is deleted."""
    for table in (chat_links, link_uses, join_requests):
        connection.execute(delete(table).where(table.c.chat_id == chat_id))


def prune(connection: Connection, *, ended: int, declined: int, limit: int) -> int:
    """Forget links that ended before a time, and whom they let in; and who was declined before another. How many links
    and requests; at most ``limit`` of each.
    """
    over = or_(chat_links.c.revoked_at <= ended, chat_links.c.expires_at <= ended)
    old = list(connection.execute(select(chat_links.c.id).where(over).limit(limit)).scalars())
    if old:
        waiting = select(link_uses.c.link_id).where(
            link_uses.c.link_id.in_(old), link_uses.c.state.in_((UseState.ASKED.value, UseState.DUE.value))
        )
        kept = set(connection.execute(waiting).scalars())
        old = [link_id for link_id in old if link_id not in kept]
    if old:
        connection.execute(delete(link_uses).where(link_uses.c.link_id.in_(old)))
        connection.execute(delete(chat_links).where(chat_links.c.id.in_(old)))
    where = and_(join_requests.c.state == DECLINED, join_requests.c.decided_at <= declined)
    return len(old) + int(connection.execute(delete(join_requests).where(where)).rowcount)


# People's rights


def about(connection: Connection, person: str) -> dict[str, list[dict[str, Any]]]:
    """What is kept of a person, by name of the file."""
    shown = [column for column in chat_links.c if column.name != "digest"]
    queries = {
        "made": select(*shown).where(chat_links.c.created_by == person).order_by(chat_links.c.created_at),
        "used": select(link_uses).where(link_uses.c.user_id == person).order_by(link_uses.c.at),
        "requests": select(join_requests).where(join_requests.c.user_id == person),
    }
    found = {name: [dict(row) for row in connection.execute(query).mappings()] for name, query in queries.items()}
    for row in found["requests"]:
        row.pop("decided_by")  # somebody else's doing
    return found


def erase(connection: Connection, person: str, pseudonym: str) -> None:
    """Forget a person; their links let people in on, as a pseudonym's."""
    connection.execute(delete(link_uses).where(link_uses.c.user_id == person))
    connection.execute(delete(join_requests).where(join_requests.c.user_id == person))
    connection.execute(update(chat_links).where(chat_links.c.created_by == person).values(created_by=pseudonym))
    decided = update(join_requests).where(join_requests.c.decided_by == person)
    connection.execute(decided.values(decided_by=pseudonym))


def _valid(now: int) -> Any:
    later = or_(chat_links.c.expires_at.is_(None), chat_links.c.expires_at > now)
    return and_(chat_links.c.revoked_at.is_(None), later)


def _works(now: int) -> Any:
    free = or_(chat_links.c.uses.is_(None), chat_links.c.used < chat_links.c.uses)
    return and_(_valid(now), free)


def _use(link_id: str, user_id: str) -> Any:
    return and_(link_uses.c.link_id == link_id, link_uses.c.user_id == user_id)


def _request(chat_id: str, user_id: str) -> Any:
    return and_(join_requests.c.chat_id == chat_id, join_requests.c.user_id == user_id)


def _open() -> Any:
    return join_requests.c.state == OPEN


def _link(row: RowMapping, token: str = "") -> Link:
    return Link(**{name: row[name] for name in Link.__slots__ if name != "token"}, token=token)


def _made(row: RowMapping) -> Use:
    return Use(**{name: row[name] for name in Use.__slots__} | {"state": UseState(row["state"])})


def _asked(row: RowMapping) -> Request:
    return Request(**{name: row[name] for name in Request.__slots__})
