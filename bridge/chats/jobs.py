"""What the homeserver has still to be told of chats: invitations, addresses, the end of chats that were deleted.

Decided in a transaction, done after it, and again until it is done: after a crash, or when the homeserver is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.background import Background, together
from bridge.domain.kinds import PLANS
from bridge.steward import Steward
from bridge.store import chat_jobs
from bridge.store import chats as store
from bridge.store.chat_jobs import Job
from bridge.store.chats import Chat

log = logging.getLogger(__name__)

BATCH: Final = 50
CONCURRENCY: Final = 8
FIRST_PAUSE_MS: Final = 2_000
LONGEST_PAUSE_MS: Final = 3_600_000
MOST_ATTEMPTS: Final = 500
"""About three weeks."""
INVITE: Final = "invite"
PUBLISH: Final = "publish"
DELETE: Final = "delete"

Purge = Callable[[str], Awaitable[bool]]


class Jobs:
    """Does them: at once when a service asks for it, and in the background."""

    def __init__(self, steward: Steward, database: Database, clock: Clock) -> None:
        self._steward = steward
        self._database = database
        self._clock = clock
        self._limit = asyncio.Semaphore(CONCURRENCY)
        self._at_work: dict[str, asyncio.Lock] = {}
        self.purge: Purge | None = None
        """Has the homeserver forget a room with all that is in it; False where it cannot. Set where there is one."""
        self.background = Background("chats", clock, self.run_due, self._upcoming)

    async def run_due(self) -> int:
        """Do what is due, a batch of it; how much was tried."""
        now = self._clock.now_ms()
        due = await self._database.read(lambda connection: chat_jobs.due(connection, now, BATCH))
        await self._run(due)
        return len(due)

    async def run_room(self, room_id: str, most: int = BATCH) -> None:
        """Do what is to be done in a room; what fails is done later."""
        jobs = await self._database.read(lambda connection: chat_jobs.of_room(connection, room_id))
        await self._run(jobs[:most])
        self.background.wake()

    async def _upcoming(self) -> int | None:
        return await self._database.read(chat_jobs.next_due)

    async def _run(self, jobs: Sequence[Job]) -> None:
        await together(self._one(each) for each in jobs)

    async def _one(self, job: Job) -> None:
        # Who asked for it and the background may come to the same at once; both times is one too many.
        lock = self._at_work.setdefault(job.id, asyncio.Lock())
        if lock.locked():
            async with lock:
                return
        try:
            async with lock, self._limit:
                await self._attempt(job)
        finally:
            self._at_work.pop(job.id, None)

    async def _attempt(self, job: Job) -> None:
        chat = await self._database.read(lambda connection: store.by_room(connection, job.room_id))
        try:
            if chat is not None:
                await self._do(job, chat)
        except HomeserverError as error:
            if error.temporary and job.attempts < MOST_ATTEMPTS:
                pause = min(FIRST_PAUSE_MS * 2 ** min(job.attempts, 20), LONGEST_PAUSE_MS)
                pause = max(pause, int((error.retry_after or 0) * 1000))
                due_at = self._clock.now_ms() + pause
                await self._database.write(lambda connection: chat_jobs.later(connection, job.id, due_at))
                return
            log.warning("%s is given up: %s", job.kind, error, extra={"room_id": job.room_id})
            if job.kind == INVITE:
                await self._not_invited(job)
        await self._database.write(lambda connection: chat_jobs.done(connection, job.id))

    async def _do(self, job: Job, chat: Chat) -> None:
        if job.kind == DELETE:
            await self._delete(chat)
        elif not chat.alive:
            return
        elif job.kind == INVITE:
            await self._steward.of(chat).invite(chat.room_id, job.user_id)
        elif job.kind == PUBLISH:
            await self._publish(chat)

    async def _not_invited(self, job: Job) -> None:
        """They are banned, or their server refuses: they are not a member to be."""

        def work(connection: Connection) -> None:
            found = store.member(connection, job.room_id, job.user_id)
            if found is not None and found.membership == "invite":
                store.remove_member(connection, job.room_id, job.user_id)

        await self._database.write(work)

    async def _publish(self, chat: Chat) -> None:
        """Have its address in the room, and the room in the directory."""
        if chat.alias:
            await self._steward.set_state(chat.room_id, "m.room.canonical_alias", {"alias": chat.alias})
        plan = PLANS.get((chat.kind, chat.public))
        if plan is not None and plan.listed:
            await self._steward.list_room(chat.room_id, listed=True)

    async def _delete(self, chat: Chat) -> None:
        """Remove everybody, and then the steward. Where the homeserver forgets the room, with all that was said."""
        if await self._purged(chat):
            return
        hand = self._steward.of(chat)
        try:
            events = await hand.member_events(chat.room_id)
        except HomeserverError as error:
            if error.status not in {403, 404}:
                raise
            return  # the steward has left already
        if chat.public:
            await hand.list_room(chat.room_id, listed=False)
        inside = [
            str(raw.get("state_key"))
            for raw in events
            if raw.get("content", {}).get("membership") in {"join", "invite", "knock"}
        ]
        people = [user_id for user_id in inside if user_id != hand.user_id]
        for begin in range(0, len(people), CONCURRENCY):
            await together(self._kick(hand, chat, user_id) for user_id in people[begin : begin + CONCURRENCY])
        for alias in await hand.aliases(chat.room_id):
            await hand.drop_alias(alias)
        await hand.leave(chat.room_id)

    async def _purged(self, chat: Chat) -> bool:
        try:
            return self.purge is not None and await self.purge(chat.room_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            log.warning("a room cannot be purged: %s", error, extra={"room_id": chat.room_id})
            return False

    @staticmethod
    async def _kick(hand: Steward, chat: Chat, user_id: str) -> None:
        try:
            await hand.kick(chat.room_id, user_id, "This chat was deleted.")
        except HomeserverError as error:
            # An equal in an adopted room cannot be removed; what is said there stays theirs.
            if error.status != 403:
                raise
            log.info("a member of a deleted chat stays: %s", error, extra={"room_id": chat.room_id})
