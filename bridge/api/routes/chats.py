"""Chats and channels, their timers and retention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from bridge.api.endpoints import Call, Endpoint
from bridge.api.models.chats import (
    ChatChange,
    ChatPage,
    ChatQuery,
    ChatView,
    Discussion,
    HoldPage,
    HoldView,
    NewChat,
    NewHold,
    Pin,
    PostStatistics,
    RetentionChange,
    RetentionView,
    TimerChange,
    TimerView,
)
from bridge.api.models.common import PageQuery
from bridge.api.routes.base import Base, view_of
from bridge.domain.kinds import Kind
from bridge.domain.retention import Policy
from bridge.domain.timers import Timer
from bridge.store import chats as store
from bridge.store.chats import Chat
from bridge.store.retention import is_held

HOLDS = "holds"


class ChatRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._chats = base.services.chats

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        read, write = "chats.read", "chats.write"
        return [
            Endpoint("listChats", "GET", "/chats", "List chats", self.page, "Chats", read, ChatPage, query=ChatQuery),
            Endpoint(
                "createChat", "POST", "/chats", "Create a chat", self.create, "Chats", write, ChatView, body=NewChat,
                status=201, problems=(404,),
                description="Direct chats, groups and private channels are end-to-end encrypted; public channels are "
                "not: everybody may read them.",
            ),
            Endpoint("getChat", "GET", "/chats/{chat}", "Get a chat", self.get, "Chats", read, ChatView),
            Endpoint(
                "changeChat", "PATCH", "/chats/{chat}", "Change a chat", self.change, "Chats", write, ChatView,
                body=ChatChange,
            ),
            Endpoint(
                "deleteChat", "DELETE", "/chats/{chat}", "Delete a chat for all", self.delete, "Chats", write,
            ),
            Endpoint(
                "upgradeChat", "POST", "/chats/{chat}/upgrade", "Upgrade the room", self.upgrade, "Chats", write,
                ChatView, description="The chat goes on in a room of the newest version that clients know.",
            ),
            Endpoint(
                "pinMessage", "POST", "/chats/{chat}/pins", "Pin a message", self.pin, "Chats", write, body=Pin,
            ),
            Endpoint(
                "unpinMessage", "DELETE", "/chats/{chat}/pins/{event}", "Unpin a message", self.unpin, "Chats", write,
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, ChatQuery]) -> ChatPage:
        """A page of the product's chats."""
        kind = None if call.query.kind is None else Kind(call.query.kind)
        found = await self._chats.page(call.actor, kind=kind, after=call.query.after, limit=call.query.limit)
        parents = await self._base.database.read(lambda connection: _parents(connection, found.items))
        return ChatPage(
            items=[view_of(each, parent=parents.get(each.room_id)) for each in found.items], next=found.next
        )

    async def create(self, call: Call[NewChat, None]) -> ChatView:
        """A new one."""
        body = call.body
        owner = None if body.owner is None else await self._base.person_of(call, body.owner)
        members = [await self._base.person_of(call, each) for each in dict.fromkeys(body.members)]
        chat = await self._chats.create(
            call.actor,
            Kind(body.kind),
            name=body.name.strip(),
            topic=body.topic.strip(),
            public=body.public,
            owner=owner,
            members=tuple(members),
            alias=body.alias,
            external_id=body.external_id,
            key=call.once,
        )
        self._base.webhooks.hurry()
        return await self._shown(chat)

    async def get(self, call: Call[None, None]) -> ChatView:
        """One chat."""
        return await self._shown(await self._base.chat(call))

    async def change(self, call: Call[ChatChange, None]) -> ChatView:
        """What is to be different, one after the other: what came through stays when a later one is refused."""
        chat, body = await self._base.chat(call), call.body
        if body.name is not None and body.name.strip() != chat.name:
            await self._chats.rename(call.actor, chat, body.name.strip())
        if body.topic is not None and body.topic.strip() != chat.topic:
            await self._chats.describe(call.actor, chat, body.topic.strip())
        if body.avatar_url is not None and body.avatar_url != chat.avatar_url:
            await self._chats.set_avatar(call.actor, chat, body.avatar_url)
        if body.slow_mode is not None and body.slow_mode != chat.slow_mode:
            await self._base.services.members.set_slow_mode(call.actor, chat, body.slow_mode)
        if body.archived is not None and body.archived != (chat.archived_at is not None):
            await (self._chats.archive if body.archived else self._chats.unarchive)(call.actor, chat)
        return await self._shown(await self._base.chat_of(call, chat.id))

    async def delete(self, call: Call[None, None]) -> None:
        """Deleted for all."""
        chat = await self._base.chat(call)
        await self._chats.delete(call.actor, chat, lambda connection: call.done(connection, None))
        self._base.webhooks.hurry()

    async def upgrade(self, call: Call[None, None]) -> ChatView:
        """In a new room."""
        chat = await self._base.chat(call)
        # The same request again would find the new room, and put another one in its place.
        upgraded = await self._chats.upgrade(
            call.actor, chat, lambda connection, new: call.done(connection, _seen(connection, new))
        )
        return await self._shown(upgraded)

    async def pin(self, call: Call[Pin, None]) -> None:
        """Pinned."""
        await self._chats.pin(call.actor, await self._base.chat(call), call.body.event_id)

    async def unpin(self, call: Call[None, None]) -> None:
        """Not pinned."""
        await self._chats.unpin(call.actor, await self._base.chat(call), call.params["event"])

    async def _shown(self, chat: Chat) -> ChatView:
        return await self._base.database.read(lambda connection: _seen(connection, chat))


class ChannelRoutes:
    """What channels have beside: discussion groups and figures of posts."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._channels = base.services.channels

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "setDiscussion", "PUT", "/chats/{chat}/discussion", "Set a channel's discussion group",
                self.discussion, "Chats", "chats.write", body=Discussion,
            ),
            Endpoint(
                "getPostStatistics", "GET", "/chats/{chat}/posts/{event}/statistics", "How a post was received",
                self.statistics, "Chats", "chats.read", PostStatistics, problems=(422,),
            ),
        ]  # fmt: skip

    async def discussion(self, call: Call[Discussion, None]) -> None:
        """Another group, or none."""
        channel = await self._base.chat(call)
        group = None if call.body.group is None else await self._base.chat_of(call, call.body.group)
        await self._channels.link_discussion(call.actor, channel, group)

    async def statistics(self, call: Call[None, None]) -> PostStatistics:
        """Readers, reactions, comments."""
        chat = await self._base.chat(call)
        found = await self._channels.post_statistics(call.actor, chat, call.params["event"])
        return PostStatistics(
            event_id=found.event_id,
            at=max(found.at, 0),
            reach=found.reach,
            reactions=found.reactions,
            by_reaction=dict(found.by_reaction),
            comments=found.comments,
        )


class TimerRoutes:
    """Message timers."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._timers = base.services.timers

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "getTimer", "GET", "/chats/{chat}/timer", "How long messages stay", self.get, "Timers", "timers.read",
                TimerView,
            ),
            Endpoint(
                "setTimer", "PUT", "/chats/{chat}/timer", "Say how long messages stay", self.set, "Timers",
                "timers.write", TimerView, body=TimerChange,
            ),
        ]  # fmt: skip

    async def get(self, call: Call[None, None]) -> TimerView:
        """The chat's timer."""
        return _timer(await self._timers.get(await self._base.chat(call)))

    async def set(self, call: Call[TimerChange, None]) -> TimerView:
        """Another timer."""
        chat, body = await self._base.chat(call), call.body
        return _timer(await self._timers.set(call.actor, chat, body.seconds, start=body.start))


class RetentionRoutes:
    """Retention and legal holds."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._retention = base.services.retention

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        read, write = "retention.read", "retention.write"
        return [
            Endpoint(
                "getRetention", "GET", "/retention", "How long messages are kept", self.get, "Retention", read,
                RetentionView,
            ),
            Endpoint(
                "setRetention", "PUT", "/retention", "Say how long messages are kept", self.set, "Retention", write,
                RetentionView, body=RetentionChange,
            ),
            Endpoint(
                "getChatRetention", "GET", "/chats/{chat}/retention", "How long messages of a chat are kept",
                self.get_chat, "Retention", read, RetentionView,
            ),
            Endpoint(
                "setChatRetention", "PUT", "/chats/{chat}/retention", "Say how long messages of a chat are kept",
                self.set_chat, "Retention", write, RetentionView, body=RetentionChange,
            ),
            Endpoint(
                "holdChat", "PUT", "/chats/{chat}/hold", "Put a legal hold on a chat", self.hold, "Retention", write,
                body=NewHold, description="Nothing of the chat is removed, by timers, retention or people's rights.",
            ),
            Endpoint(
                "releaseChat", "DELETE", "/chats/{chat}/hold", "Release a legal hold", self.release, "Retention", write,
            ),
            Endpoint(
                "listHolds", "GET", "/holds", "List legal holds", self.holds, "Retention", read, HoldPage,
                query=PageQuery,
            ),
        ]  # fmt: skip

    async def get(self, call: Call[None, None]) -> RetentionView:
        """Of the workspace."""
        return _policy(await self._retention.policy(call.actor))

    async def set(self, call: Call[RetentionChange, None]) -> RetentionView:
        """Of the workspace."""
        return _policy(await self._retention.set_policy(call.actor, days=call.body.days))

    async def get_chat(self, call: Call[None, None]) -> RetentionView:
        """Of a chat."""
        chat = await self._base.chat(call)
        return await self._of_chat(call, chat)

    async def set_chat(self, call: Call[RetentionChange, None]) -> RetentionView:
        """Of a chat."""
        chat = await self._base.chat(call)
        await self._retention.set_policy(call.actor, chat=chat, days=call.body.days)
        return await self._of_chat(call, chat)

    async def hold(self, call: Call[NewHold, None]) -> None:
        """Hold."""
        await self._retention.hold(call.actor, await self._base.chat(call), call.body.reason)

    async def release(self, call: Call[None, None]) -> None:
        """Release."""
        await self._retention.release(call.actor, await self._base.chat(call))

    async def holds(self, call: Call[None, PageQuery]) -> HoldPage:
        """All holds of the workspace."""
        after = self._base.after(HOLDS, call.query.after)
        found = sorted(await self._retention.holds(call.actor), key=lambda each: (each.since, each.room_id))
        if after is not None:
            found = [each for each in found if (each.since, each.room_id) > after]
        limit = call.query.limit
        shown, following = self._base.page(HOLDS, found[: limit + 1], limit, lambda each: (each.since, each.room_id))

        def named(connection: Connection) -> list[HoldView]:
            views = []
            for each in shown:
                chat = store.by_room(connection, each.room_id)
                name = each.room_id if chat is None else chat.id
                views.append(HoldView(chat=name, reason=each.reason, by=each.actor, since=each.since))
            return views

        return HoldPage(items=await self._base.database.read(named), next=following)

    async def _of_chat(self, call: Call[Any, None], chat: Chat) -> RetentionView:
        policy = await self._retention.policy(call.actor, chat)
        held = await self._base.database.read(lambda connection: is_held(connection, chat.room_id))
        return _policy(policy, held)


def _seen(connection: Connection, chat: Chat) -> ChatView:
    """A chat as it is shown by itself."""
    counted = store.count_members(connection, [chat.room_id])
    return view_of(chat, counted.get(chat.room_id, 0), _parents(connection, [chat]).get(chat.room_id))


def _parents(connection: Connection, found: Sequence[Chat]) -> dict[str, str]:
    """Room id of a discussion group to the id of its channel."""
    parents = {}
    for chat in found:
        if chat.parent is not None and (channel := store.by_room(connection, chat.parent)) is not None:
            parents[chat.room_id] = channel.id
    return parents


def _timer(timer: Timer | None) -> TimerView:
    return (
        TimerView(seconds=None, start="sent")
        if timer is None
        else TimerView(seconds=timer.seconds, start=timer.start.value)
    )


def _policy(policy: Policy, held: bool | None = None) -> RetentionView:
    return RetentionView(days=policy.days, own=policy.own, wider=policy.wider, held=held)
