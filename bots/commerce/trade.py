"""What every service of commerce stands on: ids, seals, the clock, and the database for whoever has no handler."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.metrics import Metrics
from appservice.sealing import Sealer, derived_key
from bridge.domain.ulids import ENTROPY_BYTES, ulid

__all__ = ["RaiseEvents", "Trade"]

PURPOSE: Final = "commerce"

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[object]]
"""Runs the function in a commit and stores the events that it returns in it: ``Service.raise_events``."""


class Trade:
    """The one object of commerce in the composition root; a plugin gets it by its scope ``commerce.trade``.

    What lies sealed is bound to its place: ``kind`` and ``id`` of the row.
    """

    def __init__(
        self,
        pickle_key: str,
        database: Database,
        raise_events: RaiseEvents,
        clock: Clock,
        metrics: Metrics | None = None,
        *,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.database = database
        """For pages and other services. A handler reads by ``ctx.query`` and writes by ``ctx.store``."""
        self.raise_events = raise_events
        self.clock = clock
        self.metrics = metrics
        self.randomness = randomness
        self._sealer = Sealer(pickle_key, PURPOSE)
        self._key = derived_key(pickle_key, f"{PURPOSE} digests")

    def new_id(self) -> str:
        """A new ULID. In a dialog make it inside a step, so that a replay has the same one."""
        return ulid(self.clock.now_ms(), self.randomness(ENTROPY_BYTES))

    def id_for(self, *cause: str) -> str:
        """A ULID that is the same for the same cause. Its time is that of the cause's first part where that is a ULID,
        so that what is made of it sorts beside it."""
        digest = hmac.digest(self._key, "\0".join(("id", *cause)).encode(errors="surrogatepass"), "sha256")
        made = ulid(0, digest[:ENTROPY_BYTES])
        return cause[0][:10] + made[10:] if len(cause[0]) == len(made) else made

    def seal(self, kind: str, id: str, value: Mapping[str, Any]) -> bytes:
        """JSON, sealed for one row."""
        return self._sealer.seal(json.dumps(dict(value)), f"{kind}:{id}")

    def open(self, kind: str, id: str, sealed: bytes) -> dict[str, Any]:
        """What lies sealed in a row. Raises SealBroken: with another key, or for another row."""
        found: dict[str, Any] = json.loads(self._sealer.open(sealed, f"{kind}:{id}"))
        return found

    def digest(self, *parts: str) -> str:
        """Tells things apart that nobody may read: without the key nobody finds them by trying all there are."""
        return hmac.digest(self._key, "\0".join(parts).encode(errors="surrogatepass"), "sha256").hex()[:40]
