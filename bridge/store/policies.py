"""Policy lists, bans by them, floods, and how far the homeserver's reports were read. Functions on a connection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, tuple_, update
from sqlalchemy.engine import RowMapping

from appservice import json
from appservice.store.upsert import upsert
from bridge.domain.policies import Kind, Rule
from bridge.store.chat_tables import chat_members, chats
from bridge.store.moderation_tables import (
    moderation_bans,
    moderation_floods,
    moderation_lists,
    moderation_marks,
    moderation_rules,
)


@dataclass(frozen=True, slots=True)
class PolicyList:
    """A list that is followed. ``own``: the one that Rialto publishes. Times in ms."""

    room_id: str
    name: str
    own: bool
    added_by: str
    added_at: int
    read_at: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A rule and where it stands."""

    room_id: str
    type: str
    state_key: str
    rule: Rule
    applied_at: int | None
    since: int


@dataclass(frozen=True, slots=True)
class Flood:
    """A chat that is closed for a while. ``before``: its ``m.room.join_rules``. Times in ms."""

    room_id: str
    before: Mapping[str, Any]
    since: int
    until: int


# Lists


def add_list(connection: Connection, found: PolicyList) -> None:
    """Follow a list; one that is followed is read anew."""
    row = {name: getattr(found, name) for name in PolicyList.__slots__}
    upsert(connection, moderation_lists, row, {"name": found.name, "read_at": None})


def lists(connection: Connection) -> list[PolicyList]:
    """Those that are followed, the first one first."""
    query = select(moderation_lists).order_by(moderation_lists.c.added_at, moderation_lists.c.room_id)
    return [
        PolicyList(**{name: row[name] for name in PolicyList.__slots__}) for row in connection.execute(query).mappings()
    ]


def set_read(connection: Connection, room_id: str, at: int | None) -> None:
    """All rules of a list were read; None: they are to be read."""
    connection.execute(update(moderation_lists).where(moderation_lists.c.room_id == room_id).values(read_at=at))


def drop_list(connection: Connection, room_id: str) -> None:
    """Follow a list no more; its rules go."""
    connection.execute(delete(moderation_rules).where(moderation_rules.c.room_id == room_id))
    connection.execute(delete(moderation_lists).where(moderation_lists.c.room_id == room_id))


# Rules


def set_rule(connection: Connection, room_id: str, event_type: str, state_key: str, rule: Rule, now: int) -> None:
    """Keep a rule; one that says the same as before is applied no second time."""
    row = {
        "room_id": room_id,
        "type": event_type,
        "state_key": state_key,
        "kind": rule.kind.value,
        "entity": rule.entity,
        "reason": rule.reason,
        "applied_at": None,
        "since": now,
    }
    before = rule_at(connection, room_id, event_type, state_key)
    if before is not None and (before.rule.kind, before.rule.entity) == (rule.kind, rule.entity):
        upsert(connection, moderation_rules, row, {"reason": rule.reason})
    else:
        upsert(connection, moderation_rules, row)


def rule_at(connection: Connection, room_id: str, event_type: str, state_key: str) -> Kept | None:
    """The rule of a state event."""
    row = connection.execute(_rule_query(room_id, event_type, state_key)).mappings().first()
    return None if row is None else _kept(row)


def drop_rule(connection: Connection, room_id: str, event_type: str, state_key: str) -> None:
    """A rule is no more."""
    where = (
        moderation_rules.c.room_id == room_id,
        moderation_rules.c.type == event_type,
        moderation_rules.c.state_key == state_key,
    )
    connection.execute(delete(moderation_rules).where(*where))


def rules(connection: Connection, room_id: str | None = None) -> list[Kept]:
    """All rules, or those of one list."""
    query = select(moderation_rules).order_by(
        moderation_rules.c.since, moderation_rules.c.room_id, moderation_rules.c.type, moderation_rules.c.state_key
    )
    if room_id is not None:
        query = query.where(moderation_rules.c.room_id == room_id)
    return [_kept(row) for row in connection.execute(query).mappings()]


def unapplied(connection: Connection, limit: int) -> list[Kept]:
    """Rules whose members are still to be banned."""
    query = select(moderation_rules).where(moderation_rules.c.applied_at.is_(None))
    query = query.order_by(moderation_rules.c.since).limit(limit)
    return [_kept(row) for row in connection.execute(query).mappings()]


def set_applied(connection: Connection, kept: Kept, now: int) -> None:
    """Everybody whom a rule matches was banned."""
    where = (
        moderation_rules.c.room_id == kept.room_id,
        moderation_rules.c.type == kept.type,
        moderation_rules.c.state_key == kept.state_key,
        moderation_rules.c.entity == kept.rule.entity,
    )
    connection.execute(update(moderation_rules).where(*where).values(applied_at=now))


# Members and bans


def members_after(connection: Connection, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
    """A page of (user, chat) of everybody who is in a chat that is alive, invited to it or asks to be let in."""
    query = (
        select(chat_members.c.user_id, chat_members.c.room_id)
        .join(chats, chats.c.room_id == chat_members.c.room_id)
        .where(
            chat_members.c.membership.in_(("join", "invite", "knock")),
            chats.c.deleted_at.is_(None),
            chats.c.successor.is_(None),
            tuple_(chat_members.c.user_id, chat_members.c.room_id) > after,
        )
        .order_by(chat_members.c.user_id, chat_members.c.room_id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


def add_ban(connection: Connection, room_id: str, user_id: str, rule: Rule, now: int) -> None:
    """Note that somebody was banned by a rule."""
    row = {"room_id": room_id, "user_id": user_id, "rule": f"{rule.kind.value} {rule.entity}", "since": now}
    upsert(connection, moderation_bans, row, {"rule": row["rule"]})


def bans(connection: Connection, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
    """A page of (chat, user) of bans by rules."""
    query = select(moderation_bans.c.room_id, moderation_bans.c.user_id)
    query = query.where(tuple_(moderation_bans.c.room_id, moderation_bans.c.user_id) > after)
    query = query.order_by(moderation_bans.c.room_id, moderation_bans.c.user_id).limit(limit)
    return [(row[0], row[1]) for row in connection.execute(query)]


def drop_bans(connection: Connection, found: Collection[tuple[str, str]]) -> None:
    """They are lifted, or somebody's own doing by now."""
    for room_id, user_id in found:
        where = (moderation_bans.c.room_id == room_id, moderation_bans.c.user_id == user_id)
        connection.execute(delete(moderation_bans).where(*where))


def banned_in(connection: Connection, user_id: str) -> list[str]:
    """The chats that somebody was banned from by rules."""
    query = select(moderation_bans.c.room_id).where(moderation_bans.c.user_id == user_id)
    return list(connection.execute(query.order_by(moderation_bans.c.room_id)).scalars())


def erase(connection: Connection, person: str) -> None:
    """Forget the bans of a person. What lists say is their own."""
    connection.execute(delete(moderation_bans).where(moderation_bans.c.user_id == person))


# Floods


def set_flood(connection: Connection, flood: Flood) -> None:
    """Note that a chat is being closed; when it is already, only until when."""
    row = {
        "room_id": flood.room_id,
        "before": json.dumps(dict(flood.before)).decode(),
        "since": flood.since,
        "until": flood.until,
    }
    upsert(connection, moderation_floods, row, {"until": flood.until})


def flood(connection: Connection, room_id: str) -> Flood | None:
    """Whether a chat is closed."""
    row = connection.execute(select(moderation_floods).where(moderation_floods.c.room_id == room_id)).mappings().first()
    return None if row is None else _flood(row)


def floods(connection: Connection) -> list[Flood]:
    """All that are closed."""
    query = select(moderation_floods).order_by(moderation_floods.c.until)
    return [_flood(row) for row in connection.execute(query).mappings()]


def next_flood(connection: Connection) -> int | None:
    """When the next one opens again."""
    return connection.execute(select(func.min(moderation_floods.c.until))).scalar_one_or_none()


def drop_flood(connection: Connection, room_id: str) -> None:
    """It is open again."""
    connection.execute(delete(moderation_floods).where(moderation_floods.c.room_id == room_id))


# The homeserver's reports


def mark(connection: Connection, name: str) -> tuple[int, int]:
    """How many of the oldest reports were taken, and the number of the last one."""
    row = connection.execute(select(moderation_marks).where(moderation_marks.c.name == name)).first()
    return (0, 0) if row is None else (row.passed, row.last)


def set_mark(connection: Connection, name: str, passed: int, last: int) -> None:
    """These were taken."""
    upsert(connection, moderation_marks, {"name": name, "passed": passed, "last": last})


def _rule_query(room_id: str, event_type: str, state_key: str) -> Any:
    return select(moderation_rules).where(
        moderation_rules.c.room_id == room_id,
        moderation_rules.c.type == event_type,
        moderation_rules.c.state_key == state_key,
    )


def _kept(row: RowMapping) -> Kept:
    rule = Rule(Kind(row["kind"]), row["entity"], row["reason"])
    return Kept(row["room_id"], row["type"], row["state_key"], rule, row["applied_at"], row["since"])


def _flood(row: RowMapping) -> Flood:
    return Flood(row["room_id"], json.loads(row["before"]), row["since"], row["until"])
