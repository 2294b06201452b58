"""Channels: the group in which posts are discussed, the comments there, and what posts have reached."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection

from appservice.database import Database
from bridge.actor import Actor
from bridge.channels.discussions import Discussions
from bridge.chats.service import ChatService, read_cursor
from bridge.chats.slow import SPOKEN
from bridge.domain.delivery import Mark, Numbered
from bridge.domain.kinds import Kind
from bridge.domain.pages import USUAL, Page, bounded, cursor
from bridge.domain.roles import Role
from bridge.errors import Conflict, NotFound, Refused
from bridge.permissions import Permissions
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import channels as store
from bridge.store import chats as chat_store
from bridge.store import delivery as delivery_store
from bridge.store.channels import Answer, Post
from bridge.store.chats import Chat

MOST_KINDS: Final = 50
"""Different reactions that are counted one by one."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """How a post was received.

    Attributes:
        reach: different people who have read it and let it be known: who hides read receipts is not counted, nor who
            came to the channel after it.
        reactions: people's reactions, each kind of each person once.
        by_reaction: the same by kind, the most frequent ones.
    """

    event_id: str
    at: int
    reach: int
    reactions: int
    comments: int
    by_reaction: Mapping[str, int] = field(default_factory=dict)


class ChannelService:
    """What can be done with channels beside what chats have. ``actor`` is who asks."""

    def __init__(
        self,
        chats: ChatService,
        steward: Steward,
        database: Database,
        registry: Registry,
        permissions: Permissions,
        discussions: Discussions,
        service_users: Collection[str],
    ) -> None:
        """
        Args:
            service_users: the bots and the steward, whose reading counts for nothing.
        """
        self._chats = chats
        self._steward = steward
        self._database = database
        self._registry = registry
        self._permissions = permissions
        self._discussions = discussions
        self._service_users = frozenset(service_users) | {steward.user_id}
        chats.deleting.append(_deleted)
        chats.moved.append(self._moved)

    # Discussion groups

    async def link_discussion(self, actor: Actor, channel: Chat, group: Chat | None) -> None:
        """Have posts of a channel discussed in a group: members of the channel may come to it, each post is announced
        there, and answers to the announcement are its comments.

        Args:
            group: None: nowhere (any more). The group itself stays.

        Raises:
            Refused: these are no channel and no group.
            Conflict: it is the group of another channel.
            NotAllowed, NotFound: only admins and above, of both.
        """
        if channel.kind is not Kind.CHANNEL:
            raise Refused("no_channel", "Only channels have a discussion group.")
        if group is not None and group.kind is not Kind.GROUP:
            raise Refused("no_group", "Posts are discussed in a group.")
        await self._permissions.require(actor, channel, Role.ADMIN)
        if group is not None:
            await self._permissions.require(actor, group, Role.ADMIN)
        async with self._chats.lock(channel.room_id):
            changed = await self._database.write(lambda connection: self._link(connection, actor, channel, group))
        for room_id in changed:
            known = self._registry.get(room_id)
            if known is not None:
                mine = group is not None and room_id == group.room_id
                self._registry.put(replace(known, parent=channel.room_id if mine else None))
        for room_id in changed:
            await self._discussions.settle(room_id)

    def _link(self, connection: Connection, actor: Actor, channel: Chat, group: Chat | None) -> list[str]:
        known = None if group is None else chat_store.by_room(connection, group.room_id)
        if group is not None and (known is None or not known.alive):
            raise NotFound("no_such_chat", "There is no such chat.")
        if known is not None and known.parent not in {None, channel.room_id}:
            other = chat_store.by_room(connection, known.parent or "")
            if other is not None and other.alive:
                raise Conflict("group_taken", "Posts of another channel are discussed in this group.")
        changed = store.set_parent(connection, channel.room_id, None if group is None else group.room_id)
        details = {"group": None if group is None else group.id}
        self._chats.note(connection, actor, "channel.discussion", channel, details)
        return changed

    async def discussion(self, actor: Actor, channel: Chat) -> Chat | None:
        """The group in which posts of a channel are discussed."""
        await self._see(actor, channel)
        found = (chat for chat in self._registry if chat.parent == channel.room_id and chat.kind is Kind.GROUP)
        return next(found, None)

    # Posts

    async def post_statistics(self, actor: Actor, chat: Chat, event_id: str) -> Statistics:
        """How a post of a channel was received.

        Raises:
            Refused: it is no channel.
            NotFound: it has no such post (any more).
        """
        await self._see(actor, chat)

        def read(connection: Connection) -> Statistics | None:
            post = store.post(connection, chat.id, event_id)
            if post is None:
                return None
            # Who made it has read it; nobody learns that by a receipt.
            kept = delivery_store.find(connection, chat.id, event_id)
            apart = self._service_users | ({kept.numbered.entry.sender} if kept is not None else set())
            reactions = store.count_reactions(connection, event_id, MOST_KINDS)
            return Statistics(
                event_id=event_id,
                at=post.at,
                reach=0 if post.seq is None else store.reach(connection, chat.id, post.seq, apart),
                reactions=sum(reactions.values()),
                comments=store.count_comments(connection, event_id),
                by_reaction=reactions,
            )

        found = await self._database.read(read)
        if found is None:
            raise _no_post()
        return found

    async def comments(
        self, actor: Actor, chat: Chat, event_id: str, *, after: str | None = None, limit: int = USUAL
    ) -> Page[Answer]:
        """A page of the comments on a post, the first first: which events they are, and of which room. What they say
        is read by who is in that room.

        Raises:
            Refused: it is no channel, or the cursor is none of this list.
            NotFound: it has no such post (any more).
        """
        await self._see(actor, chat)
        place, limit = read_cursor(after, int, str), bounded(limit)

        def read(connection: Connection) -> list[Answer] | None:
            if store.post(connection, chat.id, event_id) is None:
                return None
            return store.comments(connection, event_id, after=place, limit=limit + 1)

        found = await self._database.read(read)
        if found is None:
            raise _no_post()
        items = found[:limit]
        return Page(items, cursor(items[-1].at, items[-1].event_id) if len(found) > limit else None)

    async def thread(self, actor: Actor, chat: Chat, event_id: str) -> Post:
        """Where comments on a post stand: ``root_room`` and ``root_id``, None as long as there is no group for them.

        Raises:
            Refused, NotFound: as :meth:`comments`.
        """
        await self._see(actor, chat)
        found = await self._database.read(lambda connection: store.post(connection, chat.id, event_id))
        if found is None:
            raise _no_post()
        return found

    async def _see(self, actor: Actor, chat: Chat) -> None:
        if chat.kind is not Kind.CHANNEL:
            raise Refused("no_channel", "That is no channel.")
        if not chat.public or not actor.user_id:
            await self._permissions.require(actor, chat, Role.READER)

    # What delivery tells

    def numbered(self, connection: Connection, chat: Chat, found: Sequence[Numbered]) -> None:
        """Posts have their numbers, by which it is known who has read them."""
        if chat.kind is Kind.CHANNEL:
            posts = [(each.entry.event_id, each.seq, each.entry.at) for each in found if _is_post(each)]
            store.number_posts(connection, chat.id, posts)

    def marked(self, connection: Connection, chat: Chat, before: Mark, after: Mark) -> None:
        """Somebody has read on. What was posted before they came is not read by that."""
        if chat.kind is not Kind.CHANNEL or before.read or not after.read:
            return
        member = chat_store.member(connection, chat.room_id, after.user_id)
        came = 0 if member is None else delivery_store.last_before(connection, chat.id, member.since)
        store.begin_reading(connection, chat.id, after.user_id, came, again=before.delivered)

    def _moved(self, _connection: Connection, _old: Chat, _new: Chat) -> None:
        self._discussions.background.wake()


def _deleted(connection: Connection, chat: Chat) -> None:
    if chat.kind is Kind.CHANNEL:
        store.forget_channel(connection, chat.id)
    channel = None if chat.parent is None else chat_store.by_room(connection, chat.parent)
    if channel is not None:
        store.forget_group(connection, channel.id, chat.room_id)


def _is_post(numbered: Numbered) -> bool:
    entry = numbered.entry
    return entry.type in SPOKEN and entry.state_key is None and not entry.relation


def _no_post() -> NotFound:
    return NotFound("no_such_message", "There is no such post.")
