"""Says how long messages are kept, and holds what must be kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database, DatabaseError
from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.audit import Audit, Scribe
from bridge.domain import texts
from bridge.domain.retention import MOST_DAYS, Policy, shortest, valid_days
from bridge.domain.roles import Role
from bridge.domain.texts import BadText
from bridge.errors import Conflict, NotAllowed, NotFound, Refused
from bridge.permissions import Permissions
from bridge.retention.freezing import Freezing
from bridge.retention.sweeper import Sweeper
from bridge.store import retention as store
from bridge.store.chats import Chat
from bridge.store.retention import CHAT, WORKSPACE, Hold

log = logging.getLogger(__name__)

HELD: Final = "chat_is_held"


class RetentionService:
    """Retention policies and legal holds."""

    def __init__(
        self,
        database: Database,
        permissions: Permissions,
        lock: Callable[[str], asyncio.Lock],
        audit: Audit,
        clock: Clock,
        freezing: Freezing | None,
        sweeper: Sweeper | None,
        *,
        everywhere: int | None = None,
    ) -> None:
        """
        Args:
            lock: one at a time changes a room (:meth:`bridge.chats.service.ChatService.lock`).
            freezing, sweeper: None where this is not the service itself, which follows within a minute then.
            everywhere: days that the operator allows at the most, for all chats; None: no limit.
        """
        self._database = database
        self._permissions = permissions
        self._lock = lock
        self._note = Scribe(audit, clock)
        self._clock = clock
        self._freezing = freezing
        self._sweeper = sweeper
        self._everywhere = everywhere

    # Policies

    async def set_policy(
        self, actor: Actor, *, chat: Chat | None = None, workspace: str | None = None, days: int | None
    ) -> Policy:
        """Have messages removed that are older; whichever rule is the shortest applies.

        Args:
            chat: for this one, by its owners; None: for all of a workspace.
            workspace: a product says it for its own; Rialto itself for any, '' for chats that belong to no product.
            days: None: no rule.

        Raises:
            Refused: ``retention_range``.
            NotAllowed, NotFound: it is not theirs to say.
        """
        if days is not None and not valid_days(days):
            raise Refused("retention_range", f"Messages can be kept for 1 to {MOST_DAYS} days, or for good.")
        if chat is not None:
            await self._permissions.require(actor, chat, Role.OWNER)
        name = self._workspace(actor, workspace) if chat is None else ""
        scope = WORKSPACE + name if chat is None else CHAT + chat.room_id
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            if store.days(connection, scope) == days:
                return
            store.set_days(connection, scope, days, actor.name, now)
            store.begin_sweeps(connection, now, everywhere=False)
            if chat is None:
                store.sweep_now(connection, now, workspace=name)
            else:
                store.sweep_now(connection, now, room_id=chat.room_id)
            subject = f"chat:{chat.id}" if chat is not None else f"workspace:{name}"
            self._note(connection, actor.name, "retention.policy", subject, details={"days": days})

        await self._database.write(work)
        if self._sweeper is not None:
            self._sweeper.background.wake()
        return await self.policy(actor, chat, workspace=workspace)

    async def policy(self, actor: Actor, chat: Chat | None = None, *, workspace: str | None = None) -> Policy:
        """For how long messages are kept: of a chat for its members, of a workspace for its product.

        Raises:
            NotFound: the chat is not for their eyes.
            NotAllowed: it is a person who asks for a workspace.
        """
        if chat is not None:
            await self._permissions.require(actor, chat, Role.READER)
        name = self._workspace(actor, workspace) if chat is None else ""

        def read(connection: Connection) -> Policy:
            if chat is None:
                return Policy(store.days(connection, WORKSPACE + name), self._everywhere)
            wider = shortest(self._everywhere, store.days(connection, WORKSPACE + chat.workspace))
            return Policy(store.days(connection, CHAT + chat.room_id), wider)

        return await self._database.read(read)

    @staticmethod
    def _workspace(actor: Actor, asked: str | None) -> str:
        if actor.user_id or (asked not in {None, actor.product} and actor.product):
            raise NotAllowed("workspace_of_product", "Only a product says what holds for its workspace.")
        return asked or actor.product

    # Holds

    async def hold(self, actor: Actor, chat: Chat, reason: str, *, by: str = "") -> Hold:
        """Have nothing of a chat removed, by timers, retention, people's rights or people, until it is released.

        Args:
            by: the operator for whom Rialto itself does it; who calls has made sure that it is one.

        Raises:
            Refused: ``reason_missing``, ``reason_too_long``.
            NotAllowed: people do not hold chats: a product holds its own, operators do others.
        """
        await self._holder(actor, chat)
        try:
            reason = texts.line(reason, "reason", most=texts.MOST_REASON)
        except BadText as error:
            raise Refused(error.code, error.human) from error
        now = self._clock.now_ms()
        name = by or actor.name
        found = Hold(chat.room_id, chat.workspace, reason, name, now)

        def work(connection: Connection) -> Hold:
            known = store.hold_of(connection, chat.room_id)
            if known is not None and known.released_at is None:
                return known
            store.hold(connection, found)
            self._note(connection, name, "retention.hold", f"chat:{chat.id}", details={"reason": reason})
            return found

        async with self._lock(chat.room_id):
            held = await self._database.write(work)
        await self._apply(chat)
        return held

    async def release(self, actor: Actor, chat: Chat, *, by: str = "") -> None:
        """What was held may be removed again, and what should have been is removed now.

        Args:
            by: as above.

        Raises:
            NotFound: it is not held.
            NotAllowed: as above.
        """
        await self._holder(actor, chat)
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            if not store.is_held(connection, chat.room_id):
                raise NotFound("no_such_hold", "This chat is not held.")
            store.release(connection, chat.room_id, now)
            store.sweep_now(connection, now, room_id=chat.room_id)
            self._note(connection, by or actor.name, "retention.release", f"chat:{chat.id}")

        async with self._lock(chat.room_id):
            await self._database.write(work)
        await self._apply(chat)
        if self._sweeper is not None:
            self._sweeper.released()

    async def holds(self, actor: Actor) -> Sequence[Hold]:
        """The holds of a product's workspace, or all of them for Rialto itself, the oldest first.

        Raises:
            NotAllowed: people do not see holds.
        """
        if actor.user_id:
            raise NotAllowed("holds_of_operators", "Holds are the operators' and products' to see.")
        workspace = actor.product or None
        return await self._database.read(lambda connection: store.holds(connection, workspace))

    async def _holder(self, actor: Actor, chat: Chat) -> None:
        if actor.user_id:
            raise NotAllowed("holds_of_operators", "Chats are held by operators and products.")
        await self._permissions.require(actor, chat, Role.OWNER)

    async def _apply(self, chat: Chat) -> None:
        """The room follows, now if that is possible."""
        if self._freezing is None:
            return
        try:
            await self._freezing.apply(chat.room_id)
        except (HomeserverError, DatabaseError) as error:
            log.warning("a hold's room follows later: %s", error, extra={"room_id": chat.room_id})
            self._freezing.background.wake()

    # For chats that move and end

    def moved(self, connection: Connection, old: Chat, new: Chat) -> None:
        """A new room takes the place of one; both are kept as before."""
        store.take_along(connection, old.room_id, new.room_id)
        store.begin_sweeps(connection, self._clock.now_ms(), everywhere=self._everywhere is not None)

    def deleting(self, connection: Connection, chat: Chat) -> None:
        """A chat is to be deleted for everybody.

        Raises:
            Conflict: ``chat_is_held``.
        """
        if store.is_held(connection, chat.room_id):
            raise Conflict(HELD, "This chat is held: nothing of it may be deleted.")
        store.forget_room(connection, chat.room_id)
