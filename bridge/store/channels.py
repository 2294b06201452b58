"""Discussion groups of channels, posts, and what is said about them. Plain functions on a connection; times are ms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, or_, select, tuple_, update
from sqlalchemy.engine import RowMapping

from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bridge.domain.privacy import Audience, What
from bridge.store.chat_tables import chats
from bridge.store.delivery_tables import chat_marks
from bridge.store.link_tables import channel_groups, channel_posts, channel_readers, post_answers
from bridge.store.privacy_tables import privacy_settings

COMMENT: Final = "comment"
REACTION: Final = "reaction"


@dataclass(frozen=True, slots=True)
class Post:
    """A post of a channel.

    Attributes:
        seq: its number in the channel; None: not known yet.
        root_id: the event in the discussion group below which its comments stand; None: there is none.
    """

    event_id: str
    chat_id: str
    at: int
    seq: int | None = None
    root_id: str | None = None
    root_room: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A comment on a post, or a reaction to it. ``reaction``: which."""

    event_id: str
    post_id: str
    chat_id: str
    room_id: str
    kind: str
    sender: str
    at: int
    reaction: str = ""


# Discussion groups


def set_parent(connection: Connection, channel_room: str, group_room: str | None) -> list[str]:
    """Make a group the only one of a channel; None: it has none. The rooms that changed."""
    others = [
        room_id
        for room_id in connection.execute(select(chats.c.room_id).where(chats.c.parent == channel_room)).scalars()
        if room_id != group_room
    ]
    for room_id in others:
        connection.execute(update(chats).where(chats.c.room_id == room_id).values(parent=None))
    if group_room is None:
        return others
    connection.execute(update(chats).where(chats.c.room_id == group_room).values(parent=channel_room))
    return [*others, group_room]


def told(connection: Connection) -> dict[str, str]:
    """By discussion group, the channel whose it is, as both rooms say it."""
    query = select(channel_groups.c.group_room, channel_groups.c.channel_room)
    return {row[0]: row[1] for row in connection.execute(query)}


def tell(connection: Connection, group_room: str, channel_room: str | None, now: int) -> None:
    """Both rooms say now whose the group is."""
    if channel_room is None:
        connection.execute(delete(channel_groups).where(channel_groups.c.group_room == group_room))
    else:
        upsert(connection, channel_groups, {"group_room": group_room, "channel_room": channel_room, "told_at": now})


def group_of(connection: Connection, channel_room: str) -> str | None:
    """The discussion group of a channel."""
    query = select(channel_groups.c.group_room).where(channel_groups.c.channel_room == channel_room)
    return connection.execute(query.order_by(channel_groups.c.told_at.desc()).limit(1)).scalar_one_or_none()


# Posts


def add_post(connection: Connection, post: Post) -> None:
    """Keep a post; what is known of one that is there stays."""
    row = {name: getattr(post, name) for name in Post.__slots__}
    connection.execute(insert_ignore(connection, channel_posts, "event_id"), row)


def number_posts(connection: Connection, chat_id: str, found: Sequence[tuple[str, int, int]]) -> None:
    """Posts have numbers: event id, number, time."""
    for event_id, seq, at in found:
        row = {"event_id": event_id, "chat_id": chat_id, "seq": seq, "at": at}
        upsert(connection, channel_posts, row, {"seq": seq})


def set_root(connection: Connection, post_id: str, chat_id: str, root_id: str, root_room: str) -> None:
    """The discussion group has a message below which comments stand. Nothing happens when the post is gone."""
    where = (channel_posts.c.event_id == post_id, channel_posts.c.chat_id == chat_id)
    connection.execute(update(channel_posts).where(*where).values(root_id=root_id, root_room=root_room))


def post(connection: Connection, chat_id: str, event_id: str) -> Post | None:
    """A post of a channel."""
    query = select(channel_posts).where(channel_posts.c.event_id == event_id, channel_posts.c.chat_id == chat_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _post(row)


def post_about(connection: Connection, chat_id: str, event_id: str) -> Post | None:
    """The post that an event is, or that it stands for in the discussion group, or that it is a comment on."""
    own = or_(channel_posts.c.event_id == event_id, channel_posts.c.root_id == event_id)
    row = connection.execute(select(channel_posts).where(own, channel_posts.c.chat_id == chat_id)).mappings().first()
    if row is None:
        query = (
            select(channel_posts)
            .join(post_answers, post_answers.c.post_id == channel_posts.c.event_id)
            .where(post_answers.c.event_id == event_id, post_answers.c.kind == COMMENT)
            .where(channel_posts.c.chat_id == chat_id)
        )
        row = connection.execute(query).mappings().first()
    return None if row is None else _post(row)


def remove_post(connection: Connection, event_id: str) -> None:
    """A post is gone, and with it what was said about it."""
    connection.execute(delete(channel_posts).where(channel_posts.c.event_id == event_id))
    connection.execute(delete(post_answers).where(post_answers.c.post_id == event_id))


# What is said about them


def add_answer(connection: Connection, answer: Answer) -> None:
    """Keep a comment or a reaction."""
    row = {name: getattr(answer, name) for name in Answer.__slots__}
    connection.execute(insert_ignore(connection, post_answers, "event_id"), row)


def remove_answer(connection: Connection, event_id: str) -> None:
    """It was taken back, or removed."""
    connection.execute(delete(post_answers).where(post_answers.c.event_id == event_id))


def comments(
    connection: Connection, post_id: str, *, after: tuple[int, str] | None = None, limit: int = 50
) -> list[Answer]:
    """A page of the comments on a post, the first first.

    Args:
        after: ``at`` and ``event_id`` of the last one of the page before.
    """
    query = select(post_answers).where(post_answers.c.post_id == post_id, post_answers.c.kind == COMMENT)
    if after is not None:
        query = query.where(tuple_(post_answers.c.at, post_answers.c.event_id) > after)
    query = query.order_by(post_answers.c.at, post_answers.c.event_id).limit(limit)
    return [_answer(row) for row in connection.execute(query).mappings()]


def count_comments(connection: Connection, post_id: str) -> int:
    """How many comments a post has."""
    query = select(func.count()).select_from(post_answers)
    query = query.where(post_answers.c.post_id == post_id, post_answers.c.kind == COMMENT)
    return int(connection.execute(query).scalar_one())


def count_reactions(connection: Connection, post_id: str, most: int) -> dict[str, int]:
    """How many people react to a post in which way, the ways that most chose first; ``most`` ways."""
    people = func.count(post_answers.c.sender.distinct()).label("people")
    query = (
        select(post_answers.c.reaction, people)
        .where(post_answers.c.post_id == post_id, post_answers.c.kind == REACTION)
        .group_by(post_answers.c.reaction)
        .order_by(people.desc(), post_answers.c.reaction)
        .limit(most)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}


# Readers


def begin_reading(connection: Connection, chat_id: str, user_id: str, start: int, *, again: int) -> None:
    """Somebody lets it be known for the first time how far they have read.

    Args:
        start: they count for posts behind this number: those before were there before they came.
        again: the same for who was a reader before and hid it meanwhile: what they read then is not for counting.
    """
    row = {"chat_id": chat_id, "user_id": user_id, "start": start}
    upsert(connection, channel_readers, row, {"start": again})


def reach(connection: Connection, chat_id: str, seq: int, apart: Collection[str]) -> int:
    """How many have read a post and let it be known."""
    mark, reader, setting = chat_marks.c, channel_readers.c, privacy_settings.c
    both = (reader.chat_id == mark.chat_id) & (reader.user_id == mark.user_id)
    hides = (setting.user_id == mark.user_id) & (setting.what == What.RECEIPTS.value)
    hides &= setting.audience == Audience.NOBODY.value
    query = (
        select(func.count())
        .select_from(chat_marks.outerjoin(channel_readers, both).outerjoin(privacy_settings, hides))
        .where(mark.chat_id == chat_id, mark.read >= seq, mark.user_id.not_in(list(apart)))
        .where(func.coalesce(reader.start, 0) < seq, setting.user_id.is_(None))
    )
    return int(connection.execute(query).scalar_one())


# The end, and people's rights


def forget_channel(connection: Connection, chat_id: str) -> None:
    """A channel is deleted."""
    for table in (channel_posts, post_answers, channel_readers):
        connection.execute(delete(table).where(table.c.chat_id == chat_id))


def forget_group(connection: Connection, chat_id: str, group_room: str) -> None:
    """The discussion group of a channel is deleted."""
    here = (post_answers.c.chat_id == chat_id, post_answers.c.room_id == group_room)
    connection.execute(delete(post_answers).where(*here))
    rootless = update(channel_posts).where(channel_posts.c.chat_id == chat_id, channel_posts.c.root_room == group_room)
    connection.execute(rootless.values(root_id=None, root_room=None))


def about(connection: Connection, person: str) -> Mapping[str, list[dict[str, Any]]]:
    """What is kept of a person, by name of the file."""
    said = select(post_answers).where(post_answers.c.sender == person).order_by(post_answers.c.at)
    read = select(channel_readers).where(channel_readers.c.user_id == person)
    return {
        "answers": [dict(row) for row in connection.execute(said).mappings()],
        "reading": [dict(row) for row in connection.execute(read).mappings()],
    }


def erase(connection: Connection, person: str) -> None:
    """Nothing here names a person any more."""
    connection.execute(delete(post_answers).where(post_answers.c.sender == person))
    connection.execute(delete(channel_readers).where(channel_readers.c.user_id == person))


def _post(row: RowMapping) -> Post:
    return Post(**{name: row[name] for name in Post.__slots__})


def _answer(row: RowMapping) -> Answer:
    return Answer(**{name: row[name] for name in Answer.__slots__})
