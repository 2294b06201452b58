"""Chats: made, found, changed, archived, deleted. Upgrades and adoptions are in :mod:`bridge.chats.moving`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.audit import Audit
from bridge.chats import consent as consents
from bridge.chats.consent import Consent, Everybody
from bridge.chats.decisions import Decisions, RaiseEvents, Tell
from bridge.chats.jobs import DELETE, INVITE, PUBLISH, Jobs
from bridge.chats.moving import Moving
from bridge.chats.plans import NewChat, checked, discussed, hidden_alias, public_alias, taken
from bridge.chats.writing import set_writing
from bridge.domain import texts
from bridge.domain.kinds import Kind
from bridge.domain.pages import USUAL, BadCursor, Page, bounded, cursor, key_of
from bridge.domain.roles import POWER, Role, owners
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.errors import Conflict, NotAllowed, NotFound, Refused
from bridge.notices import Notices
from bridge.permissions import Permissions
from bridge.registry import Registry
from bridge.steward import Steward, within_power
from bridge.store import chat_jobs, rooms
from bridge.store import chats as store
from bridge.store.chats import Chat, Member

MOST_PINS: Final = 100
MOST_TOLD: Final = 100
"""Members of a chat who are told that it was deleted; of a larger one they see it."""
MOST_GENERATIONS: Final = 50
Making = Callable[[Connection, Chat], None]
Deleting = Callable[[Connection, Chat], None]
Moved = Callable[[Connection, Chat, Chat], None]


class ChatService(Decisions):
    """What can be done with chats. ``actor`` is who asks; what they may not see does not exist to them."""

    def __init__(
        self,
        steward: Steward,
        database: Database,
        registry: Registry,
        permissions: Permissions,
        audit: Audit,
        clock: Clock,
        jobs: Jobs,
        notices: Notices,
        raise_events: RaiseEvents,
        *,
        shards: int = 1,
        consent: Consent | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(database, registry, audit, clock, notices, raise_events)
        self._steward = steward
        self._permissions = permissions
        self._jobs = jobs
        self._shards = shards
        self._entropy = entropy
        self.consent: Consent = consent or Everybody()
        self.making: list[Making] = []
        """What other areas do in the transaction that makes a chat."""
        self.deleting: list[Deleting] = []
        """What other areas do in the transaction that deletes a chat: forget their rows of it, or refuse (a hold)."""
        self.moved: list[Moved] = []
        """What they do in the transaction that puts a new room in a chat's place: take their rows along."""
        self.fill: Callable[[], object] = lambda: None
        """Called when there is a chat whose members are still to be read."""
        self._moving = Moving(self, steward, database, registry, permissions, audit, clock, jobs, shards)

    # Making

    async def create(
        self,
        actor: Actor,
        kind: Kind,
        *,
        name: str,
        topic: str = "",
        public: bool = False,
        owner: str | None = None,
        members: Sequence[str] = (),
        alias: str = "",
        external_id: str | None = None,
        parent: Chat | None = None,
        key: str,
    ) -> Chat:
        """Make a chat and invite its people. The same key of the same actor gives the same chat; two people have one
        direct chat, whatever the key.

        Args:
            owner: whose it is; the person who asks unless told. A product may name anybody, or nobody.
            members: who else is invited.
            alias: the part of its address that people choose; of public chats only.
            external_id: a product's own id of it.
            parent: the channel whose discussion group it becomes; of groups only.

        Raises:
            Refused: a value cannot be.
            NotAllowed: somebody does not want to be added, or written to first.
            Conflict: the alias or the external id is taken, or the channel has a discussion group.
            HomeserverError: the homeserver is away; asking again goes on where this stopped.
        """
        new = self._checked(actor, kind, name, topic, public, owner, members, alias, external_id)
        if not 0 < len(key) <= texts.MOST_KEY:
            raise Refused("key_invalid", f"The idempotency key has 1 to {texts.MOST_KEY} characters.")
        if parent is not None:
            parent = await self._channel(actor, kind, parent)
        if kind is Kind.DIRECT:
            one, other = sorted(new.people)
            purpose = f"chat\0{actor.product}\0direct\0{one}\0{other}"
        else:
            purpose = f"chat\0{actor.name}\0{key}"
        async with self.lock(purpose):
            found, purpose = await self._made_before(purpose)
            if found is not None:
                if found.kind is not kind:
                    raise Conflict("key_used", "This idempotency key has made another chat.")
                await self._jobs.run_room(found.room_id)
                return found
            return await self._make(actor, new, purpose, external_id, parent)

    def _checked(
        self,
        actor: Actor,
        kind: Kind,
        name: str,
        topic: str,
        public: bool,
        owner: str | None,
        members: Sequence[str],
        alias: str,
        external_id: str | None,
    ) -> NewChat:
        if actor.user_id and owner not in {None, "", actor.user_id}:
            raise NotAllowed("owner_is_you", "A chat that you make is yours; hand it over afterwards.")
        if actor.user_id and kind is Kind.SERVICE:
            raise Refused("kind_not_made", "Service chats are made by services.")
        if external_id is not None:
            if not actor.product:
                raise Refused("external_id_of_product", "Only a product gives chats ids of its own.")
            with checked():
                external_id = texts.line(external_id, "external_id", most=texts.MOST_KEY)
        return NewChat.of(
            kind,
            name=name,
            topic=topic,
            public=public,
            owner=actor.user_id or owner or "",
            members=members,
            alias=alias,
        )

    async def _channel(self, actor: Actor, kind: Kind, parent: Chat) -> Chat:
        """The channel for which somebody makes a discussion group, as it is now."""
        if kind is not Kind.GROUP:
            raise Refused("no_group", "Posts are discussed in a group.")
        channel = await self.get(actor, parent.room_id)
        if channel.kind is not Kind.CHANNEL:
            raise Refused("no_channel", "Only channels have a discussion group.")
        await self._permissions.require(actor, channel, Role.ADMIN)
        return channel

    async def _made_before(self, purpose: str) -> tuple[Chat | None, str]:
        """The chat of a purpose, and the purpose of a new one: a deleted chat's is used up."""
        for _ in range(MOST_GENERATIONS):
            given = purpose

            def read(connection: Connection, given: str = given) -> tuple[str | None, Chat | None]:
                room_id = rooms.find(connection, given)
                return room_id, store.by_room(connection, room_id) if room_id else None

            room_id, found = await self._database.read(read)
            if found is not None and found.successor is not None:
                found = await self._database.read(lambda connection, it=found: store.by_id(connection, it.id))  # type: ignore[misc]
            if found is not None and found.alive:
                return found, purpose
            if room_id is None:
                return None, purpose
            purpose = f"{given}\0{room_id}"
        raise Conflict("too_many_generations", "This chat was made and deleted too often.")

    async def _make(
        self, actor: Actor, new: NewChat, purpose: str, external_id: str | None, parent: Chat | None
    ) -> Chat:
        what = "write" if new.kind is Kind.DIRECT else "add"
        for member in new.members:
            await consents.ask(self.consent, actor.user_id, member, what)
        if external_id is not None:
            await self._free(actor.product, external_id)
        if parent is not None and any(each.parent == parent.room_id for each in self._registry):
            raise discussed()
        steward = self._steward
        room_id = await steward.create(hidden_alias(steward.user_id, purpose), new.request(steward.user_id))
        alias = public_alias(steward.user_id, steward.server_name, new.alias) if new.alias else ""
        if alias and not await steward.set_alias(room_id, alias):
            raise Conflict("alias_taken", "This alias is taken.")
        now = self._clock.now_ms()
        chat = Chat(
            room_id=room_id,
            id=ulid(now, self._entropy(ENTROPY_BYTES)),
            kind=new.kind,
            public=new.public,
            encrypted=new.plan.encrypted,
            workspace=actor.product,
            created_by=actor.name,
            created_at=now,
            external_id=external_id,
            name=new.name,
            topic=new.topic,
            alias=alias,
            parent=None if parent is None else parent.room_id,
        )
        levels = new.levels(steward.user_id)

        def work(connection: Connection) -> Chat:
            known = store.by_room(connection, room_id)
            if known is not None:
                return known  # somebody else was quicker
            if external_id is not None and store.by_external_id(connection, actor.product, external_id) is not None:
                raise taken(external_id)
            if chat.parent is not None and store.has_group(connection, chat.parent):
                raise discussed()
            store.add(connection, chat, self._shards)
            store.change(connection, room_id, levels=json.dumps(levels).decode(), filled_at=now)
            rooms.remember(connection, purpose, room_id)
            usual = new.plan.users_default
            for user_id in new.people:
                power = POWER[new.roles[user_id]] if user_id in new.roles else usual
                store.set_member(connection, Member(room_id, user_id, "invite", max(power, usual), "", now))
            jobs = [chat_jobs.job(INVITE, room_id, now, user_id) for user_id in new.people]
            if alias or new.plan.listed:
                jobs.append(chat_jobs.job(PUBLISH, room_id, now))
            chat_jobs.add(connection, jobs)
            for each in self.making:
                each(connection, chat)
            self.note(connection, actor, "chat.create", chat, {"kind": new.kind.value, "public": new.public})
            return chat

        made = await self._database.write(work)
        self._registry.put(made)
        await self._jobs.run_room(room_id, most=len(new.people) + 1)
        return made

    async def _free(self, workspace: str, external_id: str) -> None:
        if await self._database.read(lambda connection: store.by_external_id(connection, workspace, external_id)):
            raise taken(external_id)

    # Finding

    async def get(self, actor: Actor, name: str) -> Chat:
        """A chat by its id or its room's.

        Raises:
            NotFound: there is none, or who asks may not see it: a member, whoever is invited, and for public chats
                everybody may; a product sees its own.
        """
        chat = self._registry.get(name) if name.startswith("!") else None
        if chat is None and len(name) <= texts.MOST_ID and "\0" not in name:
            find = store.by_room if name.startswith("!") else store.by_id
            chat = await self._database.read(lambda connection: find(connection, name))
        if chat is None or not chat.alive or not await self._sees(actor, chat):
            raise NotFound("no_such_chat", "There is no such chat.")
        return chat

    async def _sees(self, actor: Actor, chat: Chat) -> bool:
        if not actor.user_id:
            return not actor.product or actor.product == chat.workspace
        if chat.public:
            return True
        found = await self._database.read(lambda connection: store.member(connection, chat.room_id, actor.user_id))
        if found is not None:
            return found.membership in store.IN
        hand = self._steward.of(chat)
        try:
            return await hand.membership(chat.room_id, actor.user_id) in store.IN
        except HomeserverError as error:
            if error.temporary:
                raise
            return False

    async def by_external_id(self, actor: Actor, external_id: str) -> Chat:
        """A product's chat by the product's own id.

        Raises:
            NotFound: it has none so called.
        """
        chat = await self._database.read(
            lambda connection: store.by_external_id(connection, actor.product, external_id)
        )
        if chat is None or not chat.alive or not actor.product:
            raise NotFound("no_such_chat", "There is no such chat.")
        return chat

    async def list_for(self, user_id: str) -> list[Chat]:
        """The chats that somebody is in or invited to, the newest first."""
        return await self._database.read(lambda connection: store.of_person(connection, user_id))

    async def page(
        self, actor: Actor, *, kind: Kind | None = None, after: str | None = None, limit: int = USUAL
    ) -> Page[Chat]:
        """A page of a product's chats, the newest first.

        Raises:
            Refused: ``after`` is no cursor of this list.
        """
        place = read_cursor(after, int, str)
        limit = bounded(limit)
        found = await self._database.read(
            lambda connection: store.of_workspace(connection, actor.product, kind=kind, after=place, limit=limit + 1)
        )
        items = found[:limit]
        following = cursor(items[-1].created_at, items[-1].room_id) if len(found) > limit else None
        return Page(items, following)

    # Changing

    async def rename(self, actor: Actor, chat: Chat, value: str) -> Chat:
        """Call it something else."""
        with checked():
            value = texts.line(value)
        return await self._set(actor, chat, "m.room.name", {"name": value}, name=value)

    async def describe(self, actor: Actor, chat: Chat, value: str) -> Chat:
        """Say what it is about; empty: say nothing."""
        with checked():
            value = texts.prose(value)
        return await self._set(actor, chat, "m.room.topic", {"topic": value}, topic=value)

    async def set_avatar(self, actor: Actor, chat: Chat, value: str) -> Chat:
        """Give it a picture, by its ``mxc://`` address; empty: none."""
        with checked():
            value = texts.media(value)
        return await self._set(actor, chat, "m.room.avatar", {"url": value} if value else {}, avatar_url=value)

    async def pin(self, actor: Actor, chat: Chat, event_id: str) -> None:
        """Pin a message.

        Raises:
            NotFound: there is no such message (any more).
            Refused: there are too many pins.
        """
        await self._permissions.require(actor, chat, Role.MODERATOR)
        hand = self._steward.of(chat)
        event = await hand.event(chat.room_id, event_id) if event_id.startswith("$") else None
        if event is None or "redacted_because" in event.get("unsigned", {}) or event.get("state_key") is not None:
            raise NotFound("no_such_message", "There is no such message.")
        await self._pins(actor, chat, lambda pins: pins if event_id in pins else [*pins, event_id])

    async def unpin(self, actor: Actor, chat: Chat, event_id: str) -> None:
        """Pin a message no longer; nothing happens when it is not pinned."""
        await self._permissions.require(actor, chat, Role.MODERATOR)
        await self._pins(actor, chat, lambda pins: [each for each in pins if each != event_id])

    async def pins(self, actor: Actor, chat: Chat) -> list[str]:
        """The pinned messages' event ids, in their order."""
        await self._permissions.require(actor, chat, Role.READER)
        return await self._pinned(chat)

    async def _pinned(self, chat: Chat) -> list[str]:
        content = await self._steward.of(chat).state(chat.room_id, "m.room.pinned_events") or {}
        found = content.get("pinned")
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []

    async def _pins(self, actor: Actor, chat: Chat, change: Callable[[list[str]], list[str]]) -> None:
        async with self.lock(chat.room_id):
            before = await self._pinned(chat)
            after = change(before)
            if after == before:
                return
            if len(after) > MOST_PINS:
                raise Refused("too_many_pins", f"At most {MOST_PINS} messages are pinned.")
            with within_power():
                await self._steward.of(chat).set_state(chat.room_id, "m.room.pinned_events", {"pinned": after})
        await self.audited(actor, "chat.pin", chat, {"pins": len(after)})

    async def archive(self, actor: Actor, chat: Chat) -> Chat:
        """Let nobody write any more; everything stays to be read."""
        await self._permissions.require(actor, chat, Role.ADMIN)
        if chat.archived_at is not None:
            return chat
        async with self.lock(chat.room_id):
            with within_power():
                await set_writing(self._steward.of(chat), chat, archived=True)
            return await self.changed(actor, "chat.archive", chat, archived_at=self._clock.now_ms())

    async def unarchive(self, actor: Actor, chat: Chat) -> Chat:
        """Let people write again."""
        await self._permissions.require(actor, chat, Role.ADMIN)
        if chat.archived_at is None:
            return chat
        async with self.lock(chat.room_id):
            with within_power():
                await set_writing(self._steward.of(chat), chat, archived=False)
            return await self.changed(actor, "chat.unarchive", chat, archived_at=None)

    # Ending

    async def leave(self, user_id: str, chat: Chat) -> None:
        """Have a person out of a chat, as they asked for.

        Raises:
            NotFound: they are not in it.
            Refused: it is theirs alone, and others are in it: they hand it over or delete it.
        """
        hand = self._steward.of(chat)
        membership = await hand.membership(chat.room_id, user_id)
        if membership not in {"join", "invite", "knock"}:
            raise NotFound("no_such_chat", "There is no such chat.")
        if membership == "join" and chat.kind in {Kind.GROUP, Kind.CHANNEL} and not chat.workspace:
            found = owners(await hand.power_levels(chat.room_id))
            if user_id in found and not set(found) - {user_id, hand.user_id}:
                counts = await self._database.read(lambda it: store.count_members(it, [chat.room_id]))
                if counts.get(chat.room_id, 0) > 1:
                    raise Refused("owner_leaves", "It is yours: hand it over or delete it before you leave.")
        with within_power():
            await hand.kick(chat.room_id, user_id, "They asked to leave.")
        await self.audited(Actor.person(user_id), "chat.leave", chat, {})

    async def delete(
        self, actor: Actor, chat: Chat, also: Callable[[Connection], None] = lambda _connection: None
    ) -> None:
        """Delete it for everybody: it is gone at once here, and people are removed from the room in the background.

        Args:
            also: done in the same transaction.

        Raises:
            Refused: it is held (:mod:`bridge.retention`).
        """
        await self._permissions.require(actor, chat, Role.OWNER)
        now = self._clock.now_ms()

        def work(connection: Connection) -> list[Tell]:
            for each in self.deleting:
                each(connection, chat)
            there = store.members(connection, chat.room_id, limit=MOST_TOLD + 1)
            # The row stays, so that its id is not given again; the product's own id is free for another.
            store.change(connection, chat.room_id, deleted_at=now, external_id=None)
            store.remove_members(connection, chat.room_id)
            chat_jobs.forget_room(connection, chat.room_id)
            chat_jobs.add(connection, [chat_jobs.job(DELETE, chat.room_id, now)])
            also(connection)
            return [(each.user_id, "chat.deleted", {}) for each in there] if len(there) <= MOST_TOLD else []

        await self.decided(actor, "chat.delete", chat, {"kind": chat.kind.value}, work)
        self._registry.put(replace(chat, deleted_at=now))
        self._jobs.background.wake()

    async def upgrade(self, actor: Actor, chat: Chat, also: Making = lambda _connection, _chat: None) -> Chat:
        """Put a new room of the current version in its place. The chat keeps its id; people are invited there.

        Args:
            also: done in the transaction that puts it there.
        """
        return await self._moving.upgrade(actor, chat, also)

    async def adopt(self, actor: Actor, room_id: str) -> Chat:
        """Take over a room that Rialto did not make, without a change to what was said there.

        Raises:
            Refused: the steward was not invited, or its room version is not known.
            NotAllowed: who asks does not own it, or the steward has too little power.
        """
        return await self._moving.adopt(actor, room_id)

    async def _set(self, actor: Actor, chat: Chat, event_type: str, content: Mapping[str, Any], **values: Any) -> Chat:
        await self._permissions.require(actor, chat, Role.ADMIN)
        with within_power():
            await self._steward.of(chat).set_state(chat.room_id, event_type, content)
        return await self.changed(actor, "chat.change", chat, {"what": event_type}, **values)


def read_cursor(word: str | None, *kinds: type) -> Any:
    """The sort key of a cursor; None for the first page.

    Raises:
        Refused: it is none.
    """
    try:
        return None if word is None else key_of(word, *kinds)
    except BadCursor as error:
        raise Refused("bad_cursor", "The cursor is not one of this list.") from error
