"""Idempotency keys: a write that is sent twice happens once, and is answered alike both times.

What a write came to is kept, sealed, for a day, by the product and the ``Idempotency-Key``. The same key with another
request is an error. Of requests at the same time one works and the others wait for its answer, and are told to come
back (409) when it takes too long. What failed for a moment (a homeserver that is away) is not kept: the same key tries
again. A write that a crash cut off is done again with the same key, and nothing happens twice: handlers make their
effects with :attr:`bridge.api.endpoints.Call.once`, or keep what the request came to in the commit of the effect
(:attr:`bridge.api.endpoints.Call.done`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.sealing import Sealer
from bridge.api.problems import Problem
from bridge.store import api_requests as store

LEASE_MS: Final = 60_000
"""Longer than a handler may take."""
WAIT_S: Final = 10.0
KEEP_MS: Final = 24 * 3_600_000
PASSING: Final = frozenset({401, 408, 429})
"""Statuses that say nothing about the request itself; neither do those from 500 on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request came to: the status and the body.

    Attributes:
        kind: content type of a body that is no JSON; of reads only.
        name: of the file that such a body is saved as; '': it is to be shown.
    """

    status: int
    body: bytes
    replayed: bool = False
    kind: str = ""
    name: str = ""


Finish = Callable[[Connection, Outcome], None]
"""Keeps what a write came to within a transaction."""
Work = Callable[[Finish], Awaitable[Outcome]]


class Idempotency:
    """Has each write done once."""

    def __init__(self, database: Database, pickle_key: str, clock: Clock, *, wait_s: float = WAIT_S) -> None:
        """
        Args:
            wait_s: seconds that a request waits for its twin.
        """
        self._database = database
        self._sealer = Sealer(pickle_key, store.PURPOSE)
        self._clock = clock
        self._wait_s = wait_s
        self._running: dict[tuple[str, str], asyncio.Future[None]] = {}

    async def start(self) -> None:
        """Take over what an earlier process left: it works on nothing any more."""
        await self._database.write(store.release_all)

    async def purge(self) -> int:
        """Forget what is old; how many."""
        before = self._clock.now_ms() - KEEP_MS
        return await self._database.write(lambda connection: store.purge(connection, before))

    async def once(self, product: str, key: str, fingerprint: str, work: Work) -> Outcome:
        """What a write comes to, or came to when it was sent before.

        Args:
            key: the ``Idempotency-Key``.
            fingerprint: of the request, see :func:`fingerprint_of`.

        Raises:
            Problem: the key was used for another request, or its request still runs.
        """
        hashed = sha256(key.encode()).hexdigest()
        place = (product, hashed)
        deadline = asyncio.get_running_loop().time() + self._wait_s
        while True:
            running = self._running.get(place)
            if running is not None:
                await self._wait(running, deadline)
                continue
            # From here to the claim nobody else of this process comes in.
            done = self._running[place] = asyncio.get_running_loop().create_future()
            try:
                kept = await self._claim(place, fingerprint)
                if kept is None:
                    return await self._do(place, work)
            finally:
                del self._running[place]
                done.set_result(None)
            if kept.fingerprint != fingerprint:
                raise Problem(
                    422, "idempotency_key_reused", "This Idempotency-Key was used for another request before."
                )
            if kept.status is not None:
                body = self._sealer.open(kept.answer, "\0".join(place)) if kept.answer else b""
                return Outcome(kept.status, body, replayed=True)
            # Another process works on it.
            raise _in_progress()

    async def _wait(self, running: asyncio.Future[None], deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(running)
        except TimeoutError:
            raise _in_progress() from None

    async def _claim(self, place: tuple[str, str], fingerprint: str) -> store.Kept | None:
        now = self._clock.now_ms()
        return await self._database.write(
            lambda connection: store.claim(connection, *place, fingerprint, now, now + LEASE_MS)
        )

    async def _do(self, place: tuple[str, str], work: Work) -> Outcome:
        def finish(connection: Connection, outcome: Outcome) -> None:
            sealed = self._sealer.seal(outcome.body, "\0".join(place))
            store.finish(connection, *place, outcome.status, sealed)

        try:
            outcome = await work(finish)
        except BaseException:
            await self._database.write(lambda connection: store.release(connection, *place))
            raise
        if outcome.status in PASSING or outcome.status >= 500:
            await self._database.write(lambda connection: store.release(connection, *place))
            return outcome
        await self._database.write(lambda connection: finish(connection, outcome))
        return outcome


def fingerprint_of(method: str, target: str, body: Any) -> str:
    """What tells one request from another: its method, path with query, and what its body says."""
    written = json.dumps(_ordered(body)) if body is not None else b""
    return sha256(f"{method}\0{target}\0".encode() + written).hexdigest()


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    return value


def _in_progress() -> Problem:
    return Problem(409, "request_in_progress", "The same request is being worked on; try again soon.", retry_after=2)
