"""Tells webhooks what waits for them: in order for each, several at the same time, until it is taken."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

import aiohttp

from appservice.clock import Clock
from appservice.database import Database
from appservice.guard import AddressPolicy, AddressRefused, Lookup, SystemLookup, guarded_connector
from appservice.metrics import Metrics
from appservice.sealing import SealBroken
from bridge.background import together
from bridge.domain.hooks import FIRST_PAUSE_S, GIVE_UP_MS, pause_s
from bridge.domain.signatures import HEADER, sign
from bridge.errors import Refused
from bridge.store import webhooks as store
from bridge.store.webhooks import Delivery, Webhook
from bridge.webhooks.service import WebhookService

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
BATCH: Final = 200
TIMEOUT_S: Final = 10.0
GONE: Final = 410
LOOK_MS: Final = 2_000


class Sender:
    """Tells it: :meth:`run_due`, again and again."""

    def __init__(
        self,
        database: Database,
        service: WebhookService,
        clock: Clock,
        policy: AddressPolicy,
        metrics: Metrics,
        *,
        lookup: Lookup | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            policy: the addresses that may be reached.
            lookup: gives the addresses of names; the machine's unless told.
        """
        self._database = database
        self._service = service
        self._clock = clock
        self._policy = policy
        self._lookup = lookup
        self._outcomes = metrics.webhook_deliveries
        self._jitter = jitter
        self._session: aiohttp.ClientSession | None = None
        self._system: SystemLookup | None = None

    async def stop(self) -> None:
        """Close the connections; harmless when there are none."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._system is not None:
            self._system.close()
            self._system = None

    async def run_due(self) -> int:
        """Tell what is due; how many were tried."""
        now = self._clock.now_ms()
        due = await self._database.read(lambda connection: store.due(connection, now, BATCH))
        if not due:
            return 0
        session = self._opened()
        queues: dict[str, list[tuple[Delivery, Webhook]]] = {}
        for delivery, hook in due:
            queues.setdefault(hook.id, []).append((delivery, hook))
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(queue: list[tuple[Delivery, Webhook]]) -> None:
            async with limit:
                for delivery, hook in queue:
                    if not await self._tell(session, delivery, hook):
                        return

        await together(one(queue) for queue in queues.values())
        return len(due)

    async def upcoming(self) -> int | None:
        """When something is to be told next. What others put down in their own commits wakes nobody: look soon."""
        if not self._service.active:
            return None
        soon = self._clock.now_ms() + LOOK_MS
        following = await self._database.read(store.next_due)
        return soon if following is None else min(following, soon)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            lookup = self._lookup
            if lookup is None:
                lookup = self._system = SystemLookup()
            self._session = aiohttp.ClientSession(
                connector=guarded_connector(self._policy, lookup, connections=AT_ONCE),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "Rialto"},
                trust_env=False,
            )
        return self._session

    async def _tell(self, session: aiohttp.ClientSession, delivery: Delivery, hook: Webhook) -> bool:
        """Try once; whether the next one may follow."""
        now = self._clock.now_ms()
        try:
            body, secrets = self._service.open(delivery), self._service.secrets(hook, now)
        except SealBroken:
            log.error("a delivery does not open: was encryption.pickle_key changed?", extra={"webhook": hook.id})
            await self._database.write(lambda connection: store.give_up(connection, delivery.id, 0, now))
            return True
        headers = {
            "Content-Type": "application/json",
            HEADER: sign(secrets, now // 1000, body),
            "X-Rialto-Delivery": delivery.id,
            "X-Rialto-Event": delivery.type,
        }
        status = await self._post(session, hook.url, headers, body)
        if 200 <= status < 300:
            self._outcomes.labels("delivered").inc()
            await self._database.write(lambda connection: store.delivered(connection, delivery, status, now))
            return True
        log.info("a webhook did not take a delivery", extra={"webhook": hook.id, "status": status})
        over = status == GONE or now - delivery.created_at >= GIVE_UP_MS
        self._outcomes.labels("failed" if over else "refused").inc()
        if status == GONE:
            await self._service.pause(hook, "it answered 410 (gone)")
        elif over:
            await self._database.write(lambda connection: store.give_up(connection, delivery.id, status, now))
            if now - (hook.taken_at or 0) >= GIVE_UP_MS:
                await self._service.pause(hook, "it took nothing for days")
        else:
            again = now + round(pause_s(delivery.attempts + 1, self._jitter()) * 1000)
            rest = now + FIRST_PAUSE_S * 1000
            await self._database.write(lambda connection: store.postpone(connection, delivery, status, again, rest))
        return False

    async def _post(self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes) -> int:
        """The status of the answer; 0: there was none."""
        try:
            self._service.check(url)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return response.status
        except (aiohttp.ClientError, AddressRefused, Refused, OSError, ValueError) as error:
            log.info("a webhook could not be reached: %s", type(error).__name__)
            return 0
