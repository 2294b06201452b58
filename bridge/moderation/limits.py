"""Floods: too many arrivals in a chat close it for a while, too many invitations of one person are taken back.

Counts live in memory and begin anew at a start; what was done because of them is in the database and ends on time.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import Event
from appservice.homeserver import HomeserverError
from appservice.metrics import Metrics
from appservice.unit import UnitOfWork
from bridge.actor import SYSTEM
from bridge.audit import Audit, Scribe
from bridge.background import Background
from bridge.chats.consent import Consent
from bridge.domain.floods import Window, closed
from bridge.domain.kinds import Kind
from bridge.domain.roles import ADMIN
from bridge.errors import NotAllowed, TooMany
from bridge.feature import Feature
from bridge.moderation.service import ModerationService
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.steward import Steward, within_power
from bridge.store import chats as chat_store
from bridge.store import policies as store
from bridge.store.chats import Chat
from bridge.store.policies import Flood

log = logging.getLogger(__name__)

MEMBER: Final = "m.room.member"
JOIN_RULES: Final = "m.room.join_rules"
CONSUMER: Final = "bridge:floods"
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
MOST_TOLD: Final = 10
RETRY_MS: Final = 30_000
SPAM_TIMES: Final = 20
"""Invitations of a day that had to be taken back after which moderators hear of somebody."""


class InviteLimit(Consent):
    """Asked before somebody is invited: what people's settings say, and how many were invited already."""

    def __init__(self, inner: Consent, clock: Clock, metrics: Metrics, per_hour: int) -> None:
        self._inner = inner
        self._clock = clock
        self._metrics = metrics
        self.window = Window(per_hour, HOUR_MS)

    async def may(self, user_id: str, other: str, what: str) -> bool:
        """As the settings say.

        Raises:
            TooMany: they have invited too many people.
        """
        if what in {"add", "write"}:
            self.take(user_id)
        return await self._inner.may(user_id, other, what)

    def take(self, user_id: str) -> None:
        """One invitation more.

        Raises:
            TooMany: it is too much.
        """
        if self.window.add(user_id, self._clock.now_ms()):
            self._metrics.invites_limited.inc()
            raise TooMany("too_many_invites", "You have invited many people. Go on in an hour.", retry_after=3_600)

    def over(self, user_id: str) -> bool:
        """Whether one invitation more, made by the person's own client, is too much; it counts if not."""
        try:
            self.take(user_id)
        except TooMany:
            return True
        return False


class FloodFeature(Feature):
    """Watches who comes, and who invites."""

    name = CONSUMER

    def __init__(
        self,
        steward: Steward,
        database: Database,
        registry: Registry,
        notices: Notices,
        audit: Audit,
        clock: Clock,
        metrics: Metrics,
        service: ModerationService,
        invites: InviteLimit,
        *,
        joins_per_minute: int,
        closed_minutes: int,
        service_users: Collection[str],
    ) -> None:
        super().__init__(steward.user_id)
        self._steward = steward
        self._database = database
        self._registry = registry
        self._notices = notices
        self._note = Scribe(audit, clock)
        self._clock = clock
        self._metrics = metrics
        self._service = service
        self._invites = invites
        self._closed_ms = closed_minutes * MINUTE_MS
        self._service_users = frozenset(service_users)
        self._arrivals = Window(joins_per_minute, MINUTE_MS)
        self._spam = Window(SPAM_TIMES, 24 * HOUR_MS)
        self._retry_at: int | None = None
        self.screened = False
        """Whether the homeserver's module asks before each invitation, so that they are counted there."""
        self.background = Background("floods", clock, self.run_due, self._upcoming)

    def wants(self, event: Event) -> bool:
        """People who come by themselves, ask to come, or are invited by people, to groups and channels."""
        if event.type != MEMBER or event.state_key in self._service_users or event.sender in self._service_users:
            return False
        if event.membership not in {"join", "knock", "invite"} or event.membership == event.previous_membership:
            return False
        chat = self._registry.get(event.room_id)
        return chat is not None and chat.kind in {Kind.GROUP, Kind.CHANNEL}

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Count, and act when it is too much."""
        chat = self._registry.get(event.room_id)
        if chat is None:
            return
        if event.membership == "invite":
            if not self.screened and self._invites.over(event.sender):
                await self._take_back(chat, event, unit)
        # Who was invited was wanted by somebody, who has a limit of their own.
        elif event.previous_membership != "invite" and self._arrivals.add(chat.room_id, self._clock.now_ms()):
            await self._close(chat, unit)

    # Arrivals

    async def _close(self, chat: Chat, unit: UnitOfWork) -> None:
        """Close a chat, or keep it closed for longer. What was before is kept first, in the same commit."""
        hand, now = self._steward.of(chat), self._clock.now_ms()
        self._arrivals.forget(chat.room_id)
        known = await self._database.read(lambda connection: store.flood(connection, chat.room_id))
        before = await hand.state(chat.room_id, JOIN_RULES) or {}
        content = closed(before)
        until = now + self._closed_ms
        if content is None and known is None:
            return
        flood = Flood(chat.room_id, before if known is None else known.before, now, until)

        def work(connection: Connection) -> None:
            store.set_flood(connection, flood)
            self._note(connection, SYSTEM.name, "chat.close", f"chat:{chat.id}", details={"until": until})

        unit.store(work)
        if content is not None:
            unit.set_state(chat.room_id, JOIN_RULES, content, user_id=hand.user_id)
        if known is None:
            self._metrics.floods.inc()
            values = {"chat": chat.name or chat.room_id, "until": until}
            for person in await self._keepers(chat):
                self._notices.tell(unit, person, "chat.flooded", values)
        unit.after_commit(self.background.wake)

    async def _keepers(self, chat: Chat) -> list[str]:
        def read(connection: Connection) -> list[str]:
            found = chat_store.members(connection, chat.room_id, least=ADMIN, limit=MOST_TOLD)
            return [each.user_id for each in found if each.user_id not in self._service_users]

        return await self._database.read(read)

    async def run_due(self) -> int:
        """Open again what was closed for long enough; how many."""
        self._retry_at = None
        now, done = self._clock.now_ms(), 0
        for flood in await self._database.read(store.floods):
            if flood.until > now:
                break
            try:
                await self._open(flood)
            except HomeserverError as error:
                if error.temporary:
                    self._retry_at = now + RETRY_MS
                    raise
                log.warning("a chat cannot be opened again: %s", error, extra={"room_id": flood.room_id})
                await self._database.write(lambda connection, it=flood: store.drop_flood(connection, it.room_id))  # type: ignore[misc]
            done += 1
        return done

    async def _open(self, flood: Flood) -> None:
        chat = self._registry.get(flood.room_id)
        if chat is not None:
            hand = self._steward.of(chat)
            now = await hand.state(chat.room_id, JOIN_RULES) or {}
            # Unless somebody has decided otherwise meanwhile. A chat may have been closed by two steps.
            once = closed(flood.before) or {}
            if now in (once, closed(once)):
                try:
                    with within_power():
                        await hand.set_state(chat.room_id, JOIN_RULES, flood.before)
                except NotAllowed as error:
                    log.warning("a chat cannot be opened again: %s", error.code, extra={"room_id": chat.room_id})

        def work(connection: Connection) -> None:
            store.drop_flood(connection, flood.room_id)
            if chat is not None:
                self._note(connection, SYSTEM.name, "chat.open", f"chat:{chat.id}")

        await self._database.write(work)

    async def _upcoming(self) -> int | None:
        if self._retry_at is not None:
            return self._retry_at
        return await self._database.read(store.next_flood)

    # Invitations

    async def _take_back(self, chat: Chat, event: Event, unit: UnitOfWork) -> None:
        """Take an invitation back; say it to who made it, once an hour; moderators hear of who does not stop."""
        hand, now = self._steward.of(chat), self._clock.now_ms()
        user_id = event.state_key or ""
        if await hand.membership(chat.room_id, user_id) == "invite":
            try:
                with within_power():
                    await hand.kick(chat.room_id, user_id, "too many invitations")
            except NotAllowed:
                log.info("an invitation stays: too little power", extra={"room_id": chat.room_id})
        hour = now // HOUR_MS
        for notice in self._notices.event(f"invites {event.sender} {hour}", event.sender, "invites.limited"):
            unit.emit(notice)
        if self._spam.add(event.sender, now):
            self._spam.forget(event.sender)
            key = f"{event.sender} {hour // 24}"
            await self._service.report_by_limit(event.sender, chat, "invite_spam", key)
