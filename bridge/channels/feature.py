"""What is posted in channels and said about it: posts are announced in the discussion group, answers are noted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.database import Database
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.chats.slow import SPOKEN
from bridge.domain.kinds import Kind
from bridge.domain.permalinks import permalink
from bridge.feature import Feature
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import channels as store
from bridge.store.channels import COMMENT, REACTION, Answer, Post
from bridge.store.chats import Chat

POST: Final = "chat.rialto.post"
"""Field of the announcement of a post in the discussion group: ``{"room_id": …, "event_id": …}`` of the post."""
NOTICE: Final = "chat.rialto.notice"
PRODUCT: Final = "chat.rialto.product"
"""Field of what a product says by the steward: ``{"name": …, "title": …}``."""
WANTED: Final = SPOKEN | {"m.reaction", "m.room.redaction"}
MOST_REACTION: Final = 100


class ChannelsFeature(Feature):
    """Notes which event is about which post: relations stand outside of what is encrypted, so nothing is read."""

    name = "bridge:channels"

    def __init__(self, steward: Steward, database: Database, registry: Registry) -> None:
        super().__init__(steward.user_id)
        self._steward = steward
        self._database = database
        self._registry = registry

    def wants(self, event: Event) -> bool:
        """What is said in channels and discussion groups."""
        chat = self._registry.get(event.room_id)
        return (
            chat is not None
            and (chat.kind is Kind.CHANNEL or chat.parent is not None)
            and event.type in WANTED
            and event.state_key is None
        )

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Note it."""
        chat = self._registry.get(event.room_id)
        if chat is None:
            return
        channel = chat if chat.kind is Kind.CHANNEL else self._registry.get(chat.parent or "")
        if channel is None:
            return
        if event.type == "m.room.redaction":
            await self._redacted(channel, event, unit)
        elif chat is not channel and event.sender == self._steward.of(chat).user_id and PRODUCT not in event.content:
            self._announced(channel, event, unit)
        elif chat is channel and event.type != "m.reaction" and not _relation(event)[0]:
            await self._posted(channel, event, unit)
        else:
            await self._answered(channel, event, unit)

    async def _posted(self, channel: Chat, event: Event, unit: UnitOfWork) -> None:
        post = Post(event.event_id, channel.id, event.timestamp)
        unit.store(lambda connection: store.add_post(connection, post))
        if NOTICE in event.content:
            return
        room_id = await self._database.read(lambda connection: store.group_of(connection, channel.room_id))
        group = None if room_id is None else self._registry.get(room_id)
        if group is None or group.parent != channel.room_id:
            return
        link = permalink(channel.room_id, event.event_id, via=[self._steward.server_name])
        body = f"New post in “{channel.name or channel.room_id}”: {link}\nAnswer to this message to comment on it."
        content = {
            "msgtype": "m.notice",
            "body": body,
            "m.mentions": {},
            POST: {"room_id": channel.room_id, "event_id": event.event_id},
        }
        unit.send(group.room_id, content, user_id=self._steward.of(group).user_id, key=f"post {event.event_id}")

    def _announced(self, channel: Chat, event: Event, unit: UnitOfWork) -> None:
        """Our own announcement has come back, and has an id: comments are answers to it."""
        about = event.content.get(POST)
        post_id = about.get("event_id") if isinstance(about, Mapping) else None
        if isinstance(post_id, str):
            unit.store(lambda it: store.set_root(it, post_id, channel.id, event.event_id, event.room_id))

    async def _answered(self, channel: Chat, event: Event, unit: UnitOfWork) -> None:
        kind, target, replied = _relation(event)
        reacts = event.type == "m.reaction"
        if reacts != (kind == "m.annotation") or (kind not in {"", "m.annotation", "m.thread"}):
            return
        about = [each for each in (target, replied) if each]
        if not about or (event.sender == self._steward.user_id and PRODUCT not in event.content):
            return

        def find(connection: Connection) -> Post | None:
            return next((post for each in about if (post := store.post_about(connection, channel.id, each))), None)

        post = await self._database.read(find)
        # A reaction to a comment is none to the post.
        if post is None or (reacts and target not in {post.event_id, post.root_id}):
            return
        relates = event.content.get("m.relates_to")
        key = relates.get("key") if isinstance(relates, Mapping) else None
        reaction = str(json.without_surrogates(key)).replace("\0", "")[:MOST_REACTION] if isinstance(key, str) else ""
        answer = Answer(
            event_id=event.event_id,
            post_id=post.event_id,
            chat_id=channel.id,
            room_id=event.room_id,
            kind=REACTION if reacts else COMMENT,
            sender=event.sender,
            at=event.timestamp,
            reaction=reaction if reacts else "",
        )
        unit.store(lambda connection: store.add_answer(connection, answer))

    async def _redacted(self, channel: Chat, event: Event, unit: UnitOfWork) -> None:
        target = event.redacts
        if not target:
            return
        unit.store(lambda connection: store.remove_answer(connection, target))
        if event.room_id != channel.room_id:
            return
        post = await self._database.read(lambda connection: store.post(connection, channel.id, target))
        if post is None:
            return
        unit.store(lambda connection: store.remove_post(connection, target))
        group = None if post.root_room is None else self._registry.get(post.root_room)
        if group is not None and post.root_id is not None:
            unit.redact(group.room_id, post.root_id, reason="the post is gone", user_id=self._steward.of(group).user_id)


def _relation(event: Event) -> tuple[str, str, str]:
    """How an event belongs to another, to which, and to which it answers (specification, "Rich replies")."""
    relates: Any = event.content.get("m.relates_to")
    if not isinstance(relates, Mapping):
        return "", "", ""
    kind, target = _text(relates.get("rel_type")), _text(relates.get("event_id"))
    answered: Any = relates.get("m.in_reply_to")
    replied = _text(answered.get("event_id")) if isinstance(answered, Mapping) else ""
    return (kind, target, replied) if kind and target else ("", "", replied)


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 255 and "\0" not in value and value.isprintable() else ""
